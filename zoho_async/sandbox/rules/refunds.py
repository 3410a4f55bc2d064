"""Refunds of credits and payments, limited to the amount left.

Seeded refunds moved no money, so they can be changed and removed freely.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiRefusal
from zoho_async.sandbox.rules import exchange
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.documents import KINDS, Kind
from zoho_async.sandbox.rules.settlement import ApplicationLedger, End, end_of


def _refund_of(ask: RequestContext) -> tuple[Kind, End] | None:
    """The source whose refund a call writes."""
    shape = [part for part in ask.facts.path.split("/") if part]
    source = ask.records[0] if ask.records else None
    document = end_of(source) if source is not None and "refunds" in shape[2:3] else None
    return document if document is not None and document[0].role != "debt" else None


def check(
    ask: RequestContext, collection: Collection, fields: dict[str, Any], index: int | None
) -> None:
    """Refuse a refund of more than the amount left, and fill in its rate. Raises `ApiRefusal`."""
    document = _refund_of(ask)
    if document is None or "amount" not in fields:
        return
    if index is not None and not _is_made(collection, index):
        return
    before = exact(collection.state(index).get("amount")) if index is not None else Decimal(0)
    amount = exact(fields.get("amount"))
    ledger = ApplicationLedger(ask.store, ask.facts.product)
    left = ledger.left(document[1])
    if amount <= 0 or amount - before > left:
        raise ApiRefusal(400, 4, "Invalid value passed for amount: more than the amount left")
    if index is None:
        exchange.fill_rate(ledger, fields, [(document[1], amount)])


def written(ask: RequestContext, found: RecordRef, before: Decimal) -> None:
    """Subtract a refund from its source; ``before`` is the refund's earlier amount."""
    document = _refund_of(ask)
    if document is None or not _is_made(found.collection, found.index):
        return
    amount = exact(found.collection.state(found.index).get("amount"))
    more = amount - before
    if more:
        ApplicationLedger(ask.store, ask.facts.product).refund(document[1], more)


def _is_made(collection: Collection, index: int) -> bool:
    """Whether a caller created the record."""
    resource = collection.resource
    return index >= collection.world.size(resource.name, resource.default_rows)


def removed(store: Store, found: RecordRef, state: Mapping[str, Any]) -> None:
    """Return the amount of a removed refund to its source."""
    path, above = found.schema.path, getattr(found.collection.resource, "parents", {})
    kind = KINDS.get(path[0]) if path[1:] == ("{}", "refunds") else None
    if kind is not None and above and _is_made(found.collection, found.index):
        end = (kind.word, str(next(iter(above.values()))))
        ApplicationLedger(store, found.schema.product).refund(end, -exact(state.get("amount")))
