"""The lists that can be asked for what changed since a moment.

A list is asked in one of three ways: by its filter for the last modification, sorted by it, or as
a whole, as Billing's events. The theory is in `zoho_async.webhooks.catching_up`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async import description
from zoho_async.billing.types.events import Event
from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import list_operation
from zoho_async.export.incremental import BOUND, asks_changes, sorts_by_change, zoho_time
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.paging import Pager
from zoho_async.session import Session
from zoho_async.webhooks.events import readable
from zoho_async.wire import Record
from zoho_async.wire.page import MODIFIED

#: Events of Billing are listed like records.
EVENTS: Final = "billing.events"


class _ChangedRows(ListOperation[Record], frozen=True):
    """A list whose rows are compared with the filter here."""

    @property
    def checks_filters(self) -> bool:
        return True


class ChangedList(msgspec.Struct, frozen=True):
    """A list to ask. ``module`` and ``id_field`` are the names in a payload."""

    facts: OperationFacts
    module: str
    id_field: str

    @property
    def resource(self) -> str:
        return self.facts.resource

    @property
    def takes_all(self) -> bool:
        """Whether every page must be read: rows are filtered, or in an unknown order."""
        return bool(self.facts.changes) or self.resource == EVENTS

    def pager(self, zoho: Session, since: float, *, page: int | None = None) -> Pager[Record]:
        """The rows that changed since a moment, and possibly others, from ``page`` on."""
        facts = self.facts
        same = msgspec.structs.asdict(list_operation(facts))
        operation = _ChangedRows(**same | {"row": Event if self.resource == EVENTS else Record})
        query: dict[str, object] = {} if page is None else {"page": page}
        if facts.changes:
            query[facts.changes] = zoho_time(since - BOUND)
        elif self.resource != EVENTS:
            query |= {"sort_column": MODIFIED, "sort_order": "D"}
        return Pager(zoho, operation, query=query)


def changed_list(name: str) -> ChangedList:
    """The list ``product.resource``. Raises `ConfigurationError` if it cannot be asked."""
    product = name.partition(".")[0]
    if product not in PRODUCTS:
        raise ConfigurationError(f"{name!r} must name a product and a list: books.invoices")
    by_name = {each.name: each for each in description.reads(product)}
    facts, get = by_name.get(f"{name}.list"), by_name.get(f"{name}.get")
    if facts is None or get is None or not facts.row_id:
        raise ConfigurationError(f"{product} has no list {name!r} whose records can be read")
    id_field = get.path.rpartition("{")[2].removesuffix("}")
    if name == EVENTS:
        return ChangedList(facts, get.key, id_field)
    can_ask = asks_changes(facts)
    is_read = readable(product, get.key, {id_field: "1"})[0] == name
    if not is_read or not (can_ask or sorts_by_change(facts)):
        raise ConfigurationError(
            f"{name} cannot be asked for its changes: export it, or read it from time to time"
        )
    asked = facts if can_ask else msgspec.structs.replace(facts, changes="")
    return ChangedList(asked, get.key, id_field)
