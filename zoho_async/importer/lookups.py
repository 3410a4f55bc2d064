"""Find the ids of records by their names: customers, items, taxes, currencies, accounts.

The list of a resource is read once, when a column needs it. Names are compared without regard to
case and surrounding spaces. A name that two records have is refused: no guess decides.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final

import msgspec
from anyio import to_thread

from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import list_operation
from zoho_async.importer.targets import target_of
from zoho_async.importer.values import WrongCell, shown
from zoho_async.paging import Pager
from zoho_async.paging.list_defaults import default_of
from zoho_async.session import Session
from zoho_async.wire.text import is_object, untyped

#: An id as Zoho makes them. Shorter numbers may be names.
_LONG_ID: Final = re.compile(r"\d{12,25}", re.ASCII)
_CONTACTS: Final = ("contacts", "customers")
#: Where the record behind an id is looked up, and by which fields of its row.
_LOOKUPS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "customer_id": (_CONTACTS, ("contact_name", "display_name", "email")),
    "vendor_id": (_CONTACTS, ("contact_name", "display_name", "email")),
    "item_id": (("items",), ("sku", "name")),
    "tax_id": (("taxes",), ("tax_name",)),
    "currency_id": (("currencies",), ("currency_code",)),
    "account_id": (("chart_of_accounts",), ("account_name",)),
    "paid_through_account_id": (("chart_of_accounts",), ("account_name",)),
    "deposit_to_account_id": (("chart_of_accounts",), ("account_name",)),
    "project_id": (("projects",), ("project_name",)),
}


class _Index(msgspec.Struct, frozen=True):
    """The records of one list. ``by_name`` has their ids by each name in lower case."""

    resource: str
    ids: set[str]
    by_name: dict[str, set[str]]


class Lookups:
    """The records that the columns of one import name. `load` reads them."""

    def __init__(self, product: str) -> None:
        self._product: Final = product
        self._indexes: Final[dict[str, _Index]] = {}

    async def load(self, zoho: Session, wanted: Mapping[str, Iterable[Any]]) -> None:
        """Read the lists for ``wanted``: the values of the columns for each field.

        Nothing is read for a field whose values are all ids.
        """
        read: dict[str, _Index] = {}
        for field, values in wanted.items():
            resources, names = _LOOKUPS[field]
            if all(_LONG_ID.fullmatch(str(value).strip()) for value in values):
                continue
            for resource in resources:
                facts = await to_thread.run_sync(_list_of, f"{self._product}.{resource}")
                if facts is None:
                    continue
                if resource not in read:
                    read[resource] = await _read(zoho, facts, resource, names)
                self._indexes[field] = read[resource]
                break

    def find(self, field: str, value: Any) -> Any:
        """Return the id that ``value`` means in ``field``. Raises `WrongCell`."""
        index = self._indexes.get(field)
        if index is None:
            return value
        text = str(value).strip()
        if text in index.ids:
            return text
        found = index.by_name.get(text.casefold(), set())
        if len(found) == 1:
            return next(iter(found))
        if not found:
            raise WrongCell(f"is {shown(text)}, which no record of {index.resource} is called")
        some = ", ".join(sorted(found)[:4])
        raise WrongCell(
            f"is {shown(text)}, which {len(found)} records of {index.resource} are called; "
            f"give the id instead ({some})"
        )


def is_lookup(field: str) -> bool:
    """Whether a field takes the name of a record in place of its id."""
    return field in _LOOKUPS


def _list_of(resource: str) -> OperationFacts | None:
    try:
        return target_of(resource).list
    except ConfigurationError:
        return None


async def _read(
    zoho: Session, facts: OperationFacts, resource: str, names: tuple[str, ...]
) -> _Index:
    index = _Index(resource, set(), {})
    async for row in read_rows(zoho, facts):
        record = str(row.get(facts.row_id) or "")
        if not record:
            continue
        index.ids.add(record)
        for name in names:
            if text := str(row.get(name) or "").strip().casefold():
                index.by_name.setdefault(text, set()).add(record)
    return index


async def read_rows(zoho: Session, facts: OperationFacts) -> AsyncGenerator[dict[str, Any]]:
    """Yield every row of a list as an object, with the rows that its default leaves out."""
    known = default_of(facts.product, facts.path)
    query = {"filter_by": known.every} if known is not None and known.every else {}
    async for encoded in Pager(zoho, list_operation(facts), query=query).raw():
        row = untyped(encoded)
        if is_object(row):
            yield row
