"""Charges of a subscription that are invoiced later.

A one-time charge, a one-time addon, or the first term of a subscription can ask for this
(``add_to_unbilled_charges``). It then adds a line to the subscription's unbilled charge instead of
making an invoice. If there is no such charge a new one is created, and the subscription names it.

A converted charge behaves as an invoiced order (see `orders` and `conversions`): ``invoiced``
while its invoice exists and is not void, ``open`` otherwise. Its total follows from its lines.

Documented: everything above, except for the following.

Assumed:

- A charge is converted once and stays while its invoice does. It is open again after the invoice
  is void or deleted, but the subscription does not name it again.
- The reply to such a charge is described as an invoice. It holds the lines and the total, but
  neither an id nor a number.

Not simulated: renewals, which convert charges too.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.render import reply_values
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules.amounts import exact, lines_of, plain

_PRODUCT: Final = "billing"
_NO_ADDON: Final = 102001
LINES: Final = "unbilled_charge_items"


def add_charges(ask: RequestContext, found: RecordRef) -> ApiReply:
    """Answer a charge to a subscription that is to stay unbilled. Raises `ApiRefusal`."""
    lines = charged(ask)
    add(ask.store, found, lines)
    subscription = found.collection.state(found.index)
    total = sum((exact(line["price"]) * exact(line["quantity"]) for line in lines), Decimal(0))
    reply: dict[str, Any] = {
        name: subscription.get(name, "") for name in ("customer_name", "email")
    }
    reply |= {"status": "open", "invoice_items": lines, "total": plain(total)}
    reply["customer_id"] = customer(subscription)
    return success("The charges have been added.", reply_values(ask.facts, None, None, reply))


def is_wanted(ask: RequestContext) -> bool:
    """Whether a body asks to leave its charges unbilled."""
    return ask.call.body.get("add_to_unbilled_charges") in (True, "true")


def charged(ask: RequestContext) -> list[dict[str, Any]]:
    """The lines of a one-time charge, or of addons that are bought once. Raises `ApiRefusal`."""
    body = ask.call.body
    if ask.tail == ["charge"]:
        text = str(body.get("description", ""))
        return [_line("Charge", "", body.get("amount"), 1) | {"description": text}]
    rows: Any = body.get("addons")
    lines: list[dict[str, Any]] = []
    for row in rows if is_list(rows) else []:
        if is_object(row):
            addon = _addon(ask.store, str(row.get("addon_code", "")))
            price = row.get("price", _price(addon))
            name = str(addon.get("name", ""))
            lines.append(_line(name, str(row["addon_code"]), price, row.get("quantity", 1)))
    return lines


def add(store: Store, subscription: RecordRef, lines: list[dict[str, Any]]) -> None:
    """Add lines to a subscription's unbilled charge."""
    collection, state = subscription.collection, subscription.collection.state(subscription.index)
    charges = store.at(schemas(_PRODUCT).by_path["unbilledcharges",], ())
    index = charges.find(str(state.get("unbilled_charge_id") or ""))
    if index is not None and charges.state(index).get("status") != "invoiced":
        charges.change(index, {LINES: [*lines_left(charges.state(index)), *lines]})
        return
    made = charges.add(
        {
            "customer_id": customer(state),
            "customer_name": state.get("customer_name", ""),
            "email": state.get("email", ""),
            "unbilled_charge_date": store.world.day_now(),
            "status": "open",
            LINES: lines,
        }
    )
    collection.change(subscription.index, {"unbilled_charge_id": charges.id(made)})


def first_term(store: Store, subscription: RecordRef) -> None:
    """Charge the first term of a new subscription as unbilled."""
    state = subscription.collection.state(subscription.index)
    plan: Any = state.get("plan")
    if not is_object(plan) or state.get("status") != "live":
        return
    lines = [
        _line(
            str(plan.get("name", "")),
            str(plan.get("plan_code", "")),
            plan.get("price"),
            plan.get("quantity", 1),
        )
    ]
    addons: Any = state.get("addons")
    for row in addons if is_list(addons) else []:
        if is_object(row):
            code, price = str(row.get("addon_code", "")), row.get("price")
            lines.append(_line(code, code, price, row.get("quantity", 1)))
    add(store, subscription, lines)


def forget(store: Store, charge: str) -> None:
    """Remove a converted or deleted charge from the subscriptions that name it."""
    subscriptions = store.at(schemas(_PRODUCT).by_path["subscriptions",], ())
    for index in subscriptions.indexes():
        if str(subscriptions.state(index).get("unbilled_charge_id")) == charge:
            subscriptions.change(index, {"unbilled_charge_id": ""})


def lines_left(charge: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of a charge. A seeded charge has none: it gives one line of its total."""
    lines = lines_of(charge)[1]
    total = exact(charge.get("total"))
    return lines if lines or not total else [_line("Charges", "", total, 1)]


def _line(name: str, code: str, price: Any, quantity: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "code": code,
        "price": plain(price),
        "quantity": plain(quantity),
    }


def customer(of: Mapping[str, Any]) -> str:
    """The customer of a subscription, or of a charge."""
    whole = of.get("customer")
    inside = whole.get("customer_id", "") if is_object(whole) else ""
    return str(of.get("customer_id") or inside)


def _addon(store: Store, code: str) -> dict[str, Any]:
    addons = store.at(schemas(_PRODUCT).by_path["addons",], ())
    index = addons.find(code)
    if index is None:
        raise ApiRefusal(404, _NO_ADDON, "Addon does not exist.")
    return addons.state(index)


def _price(addon: Mapping[str, Any]) -> Any:
    rows: Any = addon.get("price_brackets")
    prices = (
        [row["price"] for row in rows if is_object(row) and "price" in row] if is_list(rows) else []
    )
    return prices[0] if prices else addon.get("price", 0)
