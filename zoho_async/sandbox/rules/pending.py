"""Single lines of an invoice in Billing: added while it is pending, and removed.

Documented: usage is charged this way before an invoice is open.

Assumed: an invoice in any other status takes lines, too, because nothing forbids it. A line whose
amount was paid cannot be removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.api.context import OperationHandler, RecordRef, RequestContext
from zoho_async.sandbox.api.render import record_reply
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import statuses
from zoho_async.sandbox.rules.amounts import exact, lines_of
from zoho_async.sandbox.rules.documents import KINDS
from zoho_async.sandbox.rules.settlement import FORBIDDEN

_PRODUCT: Final = "billing"


def _add(ask: RequestContext) -> ApiReply:
    found = ask.records[0]
    assert found is not None
    state = found.collection.state(found.index)
    name, lines = lines_of(state)
    rows: Any = ask.call.body.get("invoice_items")
    sent = [dict(row) for row in rows if is_object(row)] if is_list(rows) else []
    found.collection.change(found.index, {name or "invoice_items": [*lines, *sent]})
    name_lines(ask.store, found)
    return record_reply(ask.facts, found, "The items have been added.")


def name_lines(store: Store, invoice: RecordRef) -> None:
    """Give every line of an invoice an id by which it can be removed."""
    inside = schemas(_PRODUCT).by_path["invoices", "{}", "lineitems"]
    if invoice.schema.product != _PRODUCT:
        return
    name, lines = lines_of(invoice.collection.state(invoice.index))
    if all(line.get("item_id") for line in lines):
        return
    rows = store.at(inside, (invoice.id,))
    named = [line if line.get("item_id") else line | {"item_id": _id(rows)} for line in lines]
    invoice.collection.change(invoice.index, {name: named})


def _id(rows: Collection) -> str:
    return rows.id(rows.add({}))


def _remove(ask: RequestContext) -> ApiReply | None:
    found, row = ask.records[0], ask.records[1]
    assert found is not None
    state = found.collection.state(found.index)
    name, lines = lines_of(state)
    kept = [line for line in lines if str(line.get("item_id")) != ask.ids[1]]
    if len(kept) == len(lines):
        return None  # a seeded row, which is not a line of the invoice
    after: dict[str, Any] = state | {name: kept}
    statuses.settle(KINDS["invoices"], after, seeded=True, today="")
    if exact(after.get("balance")) < 0:
        raise ApiRefusal(400, FORBIDDEN, "The total cannot be less than the settled amount.")
    found.collection.change(found.index, {name: kept})
    if row is not None:
        row.collection.remove(row.index)
    return success("The item has been removed.")


#: The operations of this module.
HANDLERS: Final[Mapping[str, OperationHandler]] = {
    "billing.invoices.add_items_to_pending": _add,
    "billing.invoices.delete_items_from_pending": _remove,
}
