"""Invoices and bills that the sandbox builds, and payments that it collects.

The sources are a sales order, estimates, projects, an unbilled charge, and what a subscription is
charged at once. Each invoice takes what is left of its source. Statuses and totals then follow as
for an invoice that a caller wrote. Several are created one by one, and one error does not stop the
others.

Unknown, and chosen here:

- which fields other than lines an invoice takes over (`_CARRIED`): all of them, even if part of an
  order was invoiced before
- the invoice is a draft, dated today, with the next number
- collecting a charge pays the whole balance at once and never fails

Mapping invoices to sales orders (``/invoices/mapwithorder``) has no rule, because the specification
does not say which order is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zoho_async.sandbox.api.bulk import apply_to_each, requested_ids
from zoho_async.sandbox.api.context import OperationHandler, RecordRef, RequestContext
from zoho_async.sandbox.api.render import record_reply, reply_values
from zoho_async.sandbox.api.writing import create
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import billables, conversions, unbilled
from zoho_async.sandbox.rules.amounts import exact, work_out
from zoho_async.sandbox.rules.settlement import FORBIDDEN, End

#: The fields that an invoice takes over from an order, in addition to its lines.
_CARRIED: Final = (
    *("customer_id", "customer_name", "currency_id", "exchange_rate", "reference_number"),
    *("discount", "discount_type", "is_discount_before_tax", "is_inclusive_tax"),
    *("shipping_charge", "adjustment", "adjustment_description", "notes", "terms"),
    *("salesperson_id", "salesperson_name", "place_of_supply", "gst_treatment", "gst_no"),
)


def _from_order(context: RequestContext) -> ApiReply:
    made = _invoice_order(context, ("salesorders", context.call.params["salesorder_id"]))
    return _reply(context, made)


def _from_estimates(context: RequestContext) -> ApiReply:
    return _invoice_each(context, lambda one: _invoice_order(context, ("estimates", one)))


def _from_projects(context: RequestContext) -> ApiReply:
    return _invoice_each(context, lambda one: _invoice_project(context, one))


def _from_charge(context: RequestContext) -> ApiReply:
    return _reply(context, _invoice_charge(context))


def _charge_subscription(context: RequestContext) -> ApiReply:
    if unbilled.is_wanted(context):
        return unbilled.add_charges(context, _first_record(context))
    return _reply(context, _invoice_subscription(context))


def _invoice_order(context: RequestContext, order: End) -> RecordRef:
    state, lines = conversions.rest(context.store, context.facts.product, order)
    fields: dict[str, Any] = {name: state[name] for name in _CARRIED if name in state}
    fields["line_items"] = lines
    return _create_invoice(context, fields, [order])


def _invoice_project(context: RequestContext, project_id: str) -> RecordRef:
    project, lines = billables.unbilled(context.store, context.facts.product, project_id)
    fields = {name: project.get(name, "") for name in ("customer_id", "customer_name")}
    number = context.call.params.get("invoice_number")
    if number:
        fields["invoice_number"] = number
    return _create_invoice(context, {**fields, "line_items": lines})


def _invoice_charge(context: RequestContext) -> RecordRef:
    charge = ("unbilledcharges", context.ids[0])
    state, lines = conversions.rest(context.store, context.facts.product, charge)
    made = _create_invoice(
        context, _billing_fields(state, lines, context.store.world.day_now()), [charge]
    )
    unbilled.forget(context.store, charge[1])
    return made


def _invoice_subscription(context: RequestContext) -> RecordRef:
    found = _first_record(context)
    subscription = found.collection.state(found.index)
    lines = unbilled.charged(context)
    today = context.store.world.day_now()
    return _create_invoice(context, _billing_fields(subscription, lines, today))


def _draft_bill(context: RequestContext) -> ApiReply:
    """Return what is left of purchase orders as the body of a bill, without creating it."""
    ids = requested_ids(context) or []
    bill: dict[str, Any] = {"purchaseorder_ids": ids, "line_items": []}
    for one in ids:
        state, lines = conversions.rest(
            context.store, context.facts.product, ("purchaseorders", one)
        )
        carried = ("vendor_id", "vendor_name", *_CARRIED)
        bill = {name: state[name] for name in carried if name in state} | bill
        bill["line_items"] += lines
    work_out(bill)
    values = {"purchaseorder_ids": ids, "bill": bill}
    return success("success", reply_values(context.facts, None, None, values))


def _billing_fields(
    of: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], today: str
) -> dict[str, Any]:
    names = ("customer_name", "email", "salesperson_id", "salesperson_name")
    fields = {name: of[name] for name in names if of.get(name)}
    return {
        **fields,
        "customer_id": unbilled.customer(of),
        "invoice_date": today,
        "due_date": today,
        "invoice_items": [dict(line) for line in lines],
    }


def _create_invoice(
    context: RequestContext, fields: dict[str, Any], parents: Sequence[End] = ()
) -> RecordRef:
    schema = context.schemas.by_path["invoices",]
    made = create(context, schema, context.store.at(schema, ()), fields, checked=False)
    conversions.follow(context.store, made, parents)
    return made


def _collect(context: RequestContext) -> ApiReply:
    """Create a payment of the whole balance of an invoice."""
    found = _first_record(context)
    invoice = found.collection.state(found.index)
    balance = exact(invoice.get("balance"))
    if balance <= 0:
        raise ApiRefusal(400, FORBIDDEN, "Nothing is due for this invoice.")
    schema = context.schemas.by_path["payments",]
    fields: dict[str, Any] = {
        name: invoice.get(name, "") for name in ("customer_id", "customer_name", "email")
    }
    row = {"invoice_id": found.id, "amount_applied": balance}
    mode = "creditcard" if context.call.body.get("card_id") else "banktransfer"
    fields |= {
        "amount": balance,
        "date": context.store.world.day_now(),
        "payment_mode": mode,
        "invoices": [row],
    }
    paid = create(context, schema, context.store.at(schema, ()), fields, checked=False)
    return _reply(context, paid)


def _first_record(context: RequestContext) -> RecordRef:
    found = context.records[0]
    assert found is not None
    return found


def _reply(context: RequestContext, made: RecordRef) -> ApiReply:
    message, path = made.collection.resource.added, made.schema.path[0]
    status = context.facts.status
    headers = {"location": f"/api/v3/{path}/{made.id}"} if status == 201 else None
    return record_reply(context.facts, made, message, status=status, headers=headers)


def _invoice_each(context: RequestContext, make: Callable[[str], RecordRef]) -> ApiReply:
    schema = context.schemas.by_path["invoices",]
    ids = requested_ids(context) or []
    return apply_to_each(context, schema, ids, make, "The invoices have been created.")


#: The operations of this module.
HANDLERS: Final[Mapping[str, OperationHandler]] = {
    "books.invoices.create_from_sales_order": _from_order,
    "inventory.invoices.create_from_sales_order": _from_order,
    "books.invoices.bulk_create_from_estimates": _from_estimates,
    "books.invoices.bulk_create_from_projects": _from_projects,
    "books.bills.convert_purchase_order": _draft_bill,
    "billing.unbilled_charges.convert_to_invoice": _from_charge,
    "billing.subscriptions.add_charge": _charge_subscription,
    "billing.subscriptions.buy_one_time_addon": _charge_subscription,
    "billing.invoices.collect_charge": _collect,
}
