"""What the description says about a resource that is written to."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from zoho_async import description
from zoho_async.description import Field, OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.importer.writes import TokenRoom
from zoho_async.operation import PRODUCTS
from zoho_async.wire.text import is_object

_REFERENCE: Final = "reference_number"
_NOTES: Final = "notes"


class WriteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A resource and its operations, None for those that it does not have.

    ``id_field`` is the field that holds a record's id, "" if that is not known.
    """

    resource: str
    id_field: str
    create: OperationFacts | None
    update: OperationFacts | None
    upsert: OperationFacts | None
    delete: OperationFacts | None
    get: OperationFacts | None
    list: OperationFacts | None

    @property
    def product(self) -> str:
        return self.resource.partition(".")[0]

    @property
    def by_creation(self) -> bool:
        """Whether its list can be read in the order of creation."""
        return self.list is not None and self.list.order == "created_time"


@functools.cache
def target_of(resource: str) -> WriteTarget:
    """Return the operations of ``product.resource``. Raises `ConfigurationError` if unknown.

    Reads a file at first: call it off the event loop.
    """
    product, dot, _ = resource.partition(".")
    if not dot or product not in PRODUCTS:
        raise ConfigurationError(
            f"{resource!r} names no resource; write it with its product: books.contacts"
        )
    found = {
        facts.name.rpartition(".")[2]: facts
        for facts in description.load(product).operations
        if facts.resource == resource
    }
    if not found:
        raise ConfigurationError(
            f"{resource!r} is no resource; `zoho-async resources` shows the names"
        )
    rows = found.get("list")
    return WriteTarget(
        resource=resource,
        id_field="" if rows is None else rows.row_id,
        create=found.get("create"),
        update=found.get("update"),
        upsert=found.get("upsert"),
        delete=found.get("delete"),
        get=found.get("get"),
        list=rows,
    )


def facts_of(operation: str) -> OperationFacts:
    """Return the facts of ``product.resource.verb``. Raises `ConfigurationError` if unknown.

    Reads a file at first: call it off the event loop.
    """
    try:
        return description.load(operation.partition(".")[0]).named(operation)
    except LookupError:
        raise ConfigurationError(f"{operation!r} is no operation") from None


def room_for(
    facts: OperationFacts,
    body: Mapping[str, Any],
    *,
    custom_field: str | None = None,
    notes: bool = False,
) -> TokenRoom | None:
    """Return where a record that ``facts`` creates from ``body`` can carry a token.

    The unique ``custom_field`` if one is named, else an empty ``reference_number``, else ``notes``
    if the caller wants that. None if there is no such room.
    """
    fields = {field.name for field in facts.body}
    if custom_field is not None and "custom_fields" in fields:
        return TokenRoom("custom_field", custom_field)
    if _REFERENCE in fields and not body.get(_REFERENCE):
        return TokenRoom("reference_number", _REFERENCE)
    return TokenRoom("notes", _NOTES) if notes and _NOTES in fields else None


def record_in(reply: Any, facts: OperationFacts, id_field: str) -> dict[str, Any]:
    """Return the record in the ``reply`` of a write, {} if it has none."""
    if not is_object(reply):
        return {}
    named = reply.get(facts.key) if facts.key else None
    places = [named, *reply.values()]
    for place in places:
        if is_object(place) and (not id_field or place.get(id_field)):
            return place
    return reply if id_field and reply.get(id_field) else {}


def field_named(fields: tuple[Field, ...], name: str) -> Field | None:
    """Return the field called ``name``, None without it."""
    return next((field for field in fields if field.name == name), None)
