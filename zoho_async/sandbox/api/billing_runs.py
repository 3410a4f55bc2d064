"""Invoices and bills that the sandbox itself puts together, and payments that it collects.

Out of a sales order, of estimates, of projects, of an unbilled charge, or of what a subscription is
charged at once: each takes what the rules say is left of it, and what comes of that (statuses,
figures, what is billed once) is as for an invoice that a caller wrote. Many are made one by one;
one refusal spares the others.

Not known, and chosen: what an invoice carries over besides lines (see `_CARRIED`), whole even where
part of an order was invoiced before; that it is a draft, dated today; that its number is the next
one; that collecting a charge pays the whole balance at once and never fails. Invoices are mapped
with sales orders (``/invoices/mapwithorder``) by no rule: the description does not say which order
is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zoho_async.sandbox.api.bulk import each, requested_ids
from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.render import record_reply, reply_values
from zoho_async.sandbox.api.writing import create
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import billables, conversions, unbilled
from zoho_async.sandbox.rules.amounts import exact, work_out
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End, today

#: What an invoice takes over from an order, besides its lines.
_CARRIED: Final = (
    *("customer_id", "customer_name", "currency_id", "exchange_rate", "reference_number"),
    *("discount", "discount_type", "is_discount_before_tax", "is_inclusive_tax"),
    *("shipping_charge", "adjustment", "adjustment_description", "notes", "terms"),
    *("salesperson_id", "salesperson_name", "place_of_supply", "gst_treatment", "gst_no"),
)


def answer(ask: RequestContext) -> ApiReply | None:
    """The answer to an operation that makes such invoices, else None. Raises `ApiRefusal`."""
    match ask.call.method, ask.facts.path:
        case "POST", "/invoices/fromsalesorder":
            made = _of_order(ask, ("salesorders", ask.call.params["salesorder_id"]))
            return _told(ask, made)
        case "POST", "/invoices/fromestimates":
            return _many(ask, lambda one: _of_order(ask, ("estimates", one)))
        case "POST", "/invoices/fromprojects":
            return _many(ask, lambda one: _of_project(ask, one))
        case "POST", "/unbilledcharges/{unbilled_charge_id}/createinvoice":
            return _told(ask, _of_charge(ask))
        case "POST", "/subscriptions/{subscription_id}/charge":
            return _told(ask, _of_subscription(ask))
        case "POST", "/subscriptions/{subscription_id}/buyonetimeaddon":
            return _told(ask, _of_subscription(ask))
        case "GET", "/bills/editpage/frompurchaseorders":
            return _bill(ask)
        case "POST", "/invoices/{invoice_id}/collect":
            return _collected(ask)
        case _:
            return None


def _of_order(ask: RequestContext, order: End) -> RecordRef:
    state, lines = conversions.rest(ask.store, ask.facts.product, order)
    fields: dict[str, Any] = {name: state[name] for name in _CARRIED if name in state}
    fields["line_items"] = lines
    return _made(ask, fields, [order])


def _of_project(ask: RequestContext, project_id: str) -> RecordRef:
    project, lines = billables.unbilled(ask.store, ask.facts.product, project_id)
    fields = {name: project.get(name, "") for name in ("customer_id", "customer_name")}
    number = ask.call.params.get("invoice_number")
    if number:
        fields["invoice_number"] = number
    return _made(ask, {**fields, "line_items": lines})


def _of_charge(ask: RequestContext) -> RecordRef:
    charge = ("unbilledcharges", ask.ids[0])
    state, lines = conversions.rest(ask.store, ask.facts.product, charge)
    made = _made(ask, _billed(state, lines), [charge])
    unbilled.forget(ask.store, charge[1])
    return made


def _of_subscription(ask: RequestContext) -> RecordRef:
    found = _source(ask)
    subscription = found.collection.state(found.index)
    return _made(ask, _billed(subscription, unbilled.charged(ask)))


def _bill(ask: RequestContext) -> ApiReply:
    """What is left of purchase orders, as the body of a bill that is not made yet."""
    ids = requested_ids(ask) or []
    bill: dict[str, Any] = {"purchaseorder_ids": ids, "line_items": []}
    for one in ids:
        state, lines = conversions.rest(ask.store, ask.facts.product, ("purchaseorders", one))
        carried = ("vendor_id", "vendor_name", *_CARRIED)
        bill = {name: state[name] for name in carried if name in state} | bill
        bill["line_items"] += lines
    work_out(bill)
    told = {"purchaseorder_ids": ids, "bill": bill}
    return success("success", reply_values(ask.facts, None, None, told))


def _billed(of: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("customer_name", "email", "salesperson_id", "salesperson_name")
    fields = {name: of[name] for name in names if of.get(name)}
    return {
        **fields,
        "customer_id": unbilled.customer(of),
        "invoice_date": today(),
        "due_date": today(),
        "invoice_items": [dict(line) for line in lines],
    }


def _made(ask: RequestContext, fields: dict[str, Any], parents: Sequence[End] = ()) -> RecordRef:
    home = ask.homes.by_path["invoices",]
    made = create(ask, home, ask.store.at(home, ()), fields, checked=False)
    conversions.follow(ask.store, made, parents)
    return made


def _collected(ask: RequestContext) -> ApiReply:
    """Pay the whole balance of an invoice."""
    found = _source(ask)
    invoice = found.collection.state(found.index)
    balance = exact(invoice.get("balance"))
    if balance <= 0:
        raise ApiRefusal(400, FORBIDDEN, "Nothing is due for this invoice.")
    home = ask.homes.by_path["payments",]
    fields: dict[str, Any] = {
        name: invoice.get(name, "") for name in ("customer_id", "customer_name", "email")
    }
    row = {"invoice_id": found.id, "amount_applied": balance}
    mode = "creditcard" if ask.call.body.get("card_id") else "banktransfer"
    fields |= {"amount": balance, "date": today(), "payment_mode": mode, "invoices": [row]}
    paid = create(ask, home, ask.store.at(home, ()), fields, checked=False)
    return _told(ask, paid)


def _source(ask: RequestContext) -> RecordRef:
    found = ask.found[0]
    assert found is not None
    return found


def _told(ask: RequestContext, made: RecordRef) -> ApiReply:
    message, path = made.collection.resource.added, made.home.path[0]
    status = ask.facts.status
    headers = {"location": f"/api/v3/{path}/{made.id}"} if status == 201 else None
    return record_reply(ask.facts, made, message, status=status, headers=headers)


def _many(ask: RequestContext, make: Callable[[str], RecordRef]) -> ApiReply:
    home = ask.homes.by_path["invoices",]
    ids = requested_ids(ask) or []
    return each(ask, home, ids, make, "The invoices have been created.")
