"""The lines of an invoice of Billing, one by one: added while it is pending, and taken out again.

Known from documents: that usage is charged so before an invoice is open. Not known, and chosen:
that an invoice in any other status takes lines too, as nothing says that it does not; that no line
goes whose amount was paid already.
"""

from __future__ import annotations

from typing import Any, Final

from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.render import record_reply
from zoho_async.sandbox.data.resources import homes
from zoho_async.sandbox.data.store import Collection, Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import statuses
from zoho_async.sandbox.rules.amounts import exact, lines_of
from zoho_async.sandbox.rules.documents import KINDS
from zoho_async.sandbox.rules.settlement import FORBIDDEN

_PRODUCT: Final = "billing"


def answer(ask: RequestContext) -> ApiReply | None:
    """The answer to a line that is added or taken out, else None. Raises `ApiRefusal`."""
    match ask.call.method, ask.facts.path:
        case "POST", "/invoices/{invoice_id}/lineitems":
            return _added(ask)
        case "DELETE", "/invoices/{invoice_id}/lineitems/{item_id}":
            return _taken_out(ask)
        case _:
            return None


def _added(ask: RequestContext) -> ApiReply:
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
    """Give every line of an invoice an id under which it can be taken out."""
    inside = homes(_PRODUCT).by_path["invoices", "{}", "lineitems"]
    if invoice.home.product != _PRODUCT:
        return
    name, lines = lines_of(invoice.collection.state(invoice.index))
    if all(line.get("item_id") for line in lines):
        return
    rows = store.at(inside, (invoice.id,))
    named = [line if line.get("item_id") else line | {"item_id": _id(rows)} for line in lines]
    invoice.collection.change(invoice.index, {name: named})


def _id(rows: Collection) -> str:
    return rows.id(rows.add({}))


def _taken_out(ask: RequestContext) -> ApiReply | None:
    found, row = ask.records[0], ask.records[1]
    assert found is not None
    state = found.collection.state(found.index)
    name, lines = lines_of(state)
    kept = [line for line in lines if str(line.get("item_id")) != ask.ids[1]]
    if len(kept) == len(lines):
        return None  # a row that the seed put there, which is no line of the invoice
    after: dict[str, Any] = state | {name: kept}
    statuses.settle(KINDS["invoices"], after, seeded=True, today="")
    if exact(after.get("balance")) < 0:
        raise ApiRefusal(400, FORBIDDEN, "The total cannot be less than what is settled.")
    found.collection.change(found.index, {name: kept})
    if row is not None:
        row.collection.remove(row.index)
    return success("The item has been removed.")
