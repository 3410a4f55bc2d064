"""Rules of documents: totals, invoiced orders, retainers, subscriptions."""

from __future__ import annotations

import itertools
import time
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.sandbox_api import Api
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.coverage import WITH_RULES
from zoho_async.sandbox.data.dates import day
from zoho_async.sandbox.replies import ApiRefusal


@pytest.fixture
def books() -> Api:
    return Api("books")


_NUMBERS = itertools.count()


def item(api: Api) -> str:
    body = {"name": f"Bolt {next(_NUMBERS)}", "rate": 1}
    made: str = api.call("POST", "/items", body)["item"]["item_id"]
    return made


def customer(api: Api) -> str:
    parties = api.store.world_of(api.product).parties
    return api.store.collection(parties).id(0)


def order(api: Api, word: str, key: str, *quantities: int) -> dict[str, Any]:
    """An order of one item in several lines, at rate 10."""
    lines = [{"item_id": item(api), "name": "x", "rate": 10, "quantity": q} for q in quantities]
    body = {"customer_id": customer(api), "vendor_id": customer(api), "line_items": lines}
    body["date"] = "2026-01-01"
    made: dict[str, Any] = api.call("POST", f"/{word}", body)[key]
    return made


# -- totals ---------------------------------------------------------------------------------------

LINES = [
    {"name": "a", "rate": 100, "quantity": 2, "tax_percentage": 10, "tax_name": "VAT"},
    {"name": "b", "rate": "33.33", "quantity": 3},
]


@pytest.mark.parametrize(
    ("fields", "sub_total", "tax_total", "total"),
    [
        ({}, "299.99", "20", "319.99"),
        ({"discount": "10%"}, "299.99", "18", "287.99"),
        ({"discount": "29.999"}, "299.99", "18", "287.99"),
        ({"discount": "10%", "is_discount_before_tax": False}, "299.99", "20", "287.99"),
        ({"discount": "10%", "discount_type": "item_level"}, "299.99", "20", "319.99"),
        ({"is_inclusive_tax": True}, "299.99", "18.18", "299.99"),
        ({"shipping_charge": "5.50", "adjustment": "-0.49"}, "299.99", "20", "325.00"),
    ],
)
@pytest.mark.parametrize(("word", "key"), [("estimates", "estimate"), ("invoices", "invoice")])
def test_a_total_follows_from_lines_discount_tax_and_charges(
    books: Api,
    word: str,
    key: str,
    fields: dict[str, Any],
    sub_total: str,
    tax_total: str,
    total: str,
) -> None:
    lines = [{**line, "item_id": item(books)} for line in LINES]
    body = {"customer_id": customer(books), "line_items": lines, **fields}
    made = books.call("POST", f"/{word}", body)[key]
    shown = [Decimal(str(made[name])) for name in ("sub_total", "tax_total", "total")]
    assert shown == [Decimal(sub_total), Decimal(tax_total), Decimal(total)]


def test_a_line_discount_applies_at_item_level(books: Api) -> None:
    line = {"name": "a", "rate": 100, "quantity": 1, "item_id": item(books), "discount": "25%"}
    body = {"customer_id": customer(books), "discount_type": "item_level", "line_items": [line]}
    made = books.call("POST", "/estimates", body)["estimate"]
    assert made["line_items"][0]["item_total"] == 75
    assert made["line_items"][0]["discount"] == "25%"
    assert made["total"] == 75


def test_a_line_that_names_a_tax_is_taxed_by_its_percentage(books: Api) -> None:
    tax = books.call("POST", "/settings/taxes", {"tax_name": "GST", "tax_percentage": "12.5"})
    line = {"name": "a", "rate": 8, "quantity": 1, "tax_id": tax["tax"]["tax_id"]}
    body = {"customer_id": customer(books), "line_items": [{**line, "item_id": item(books)}]}
    made = books.call("POST", "/estimates", body)["estimate"]
    assert (made["tax_total"], made["total"]) == (1, 9)
    assert made["taxes"][0]["tax_name"] == "GST"


# -- conversions ----------------------------------------------------------------------------------


def test_an_invoiced_estimate_shows_it_until_the_invoice_is_removed(books: Api) -> None:
    estimate = order(books, "estimates", "estimate", 1)
    path = f"/estimates/{estimate['estimate_id']}"
    books.call("POST", f"{path}/status/sent")
    lines = [{"item_id": item_of(estimate), "rate": 10, "quantity": 1}]
    body = {"customer_id": customer(books), "line_items": lines}
    made = books.call("POST", "/invoices", body, estimate_id=estimate["estimate_id"])["invoice"]
    assert books.call("GET", path)["estimate"]["status"] == "invoiced"
    with pytest.raises(ApiRefusal):
        books.call("DELETE", path)
    books.call("DELETE", f"/invoices/{made['invoice_id']}")
    assert books.call("GET", path)["estimate"]["status"] == "sent"
    assert books.call("DELETE", path)["code"] == 0


def item_of(document: dict[str, Any]) -> str:
    found: str = document["line_items"][0]["item_id"]
    return found


@pytest.mark.parametrize(
    ("product", "statuses"),
    [("books", ("partially_invoiced", "invoiced", "partially_invoiced")), ("inventory", None)],
)
def test_an_order_counts_its_invoiced_quantities(
    product: str, statuses: tuple[str, ...] | None
) -> None:
    api = Api(product)
    sales = order(api, "salesorders", "salesorder", 5)
    path, number = f"/salesorders/{sales['salesorder_id']}", sales["salesorder_id"]
    ordered = sales["line_items"][0]
    seen: list[tuple[Any, Any]] = []

    def look() -> None:
        orders = api.store.collection(f"{product}.sales_orders")
        state = orders.state(orders.indexes()[-1])
        seen.append((state["status"], state["line_items"][0]["quantity_invoiced"]))

    line = {"item_id": ordered["item_id"], "rate": 10, "quantity": 2}
    body = {"customer_id": customer(api), "line_items": [line]}
    first = api.call("POST", "/invoices", body, salesorder_id=number)["invoice"]
    look()
    line |= {"quantity": 3, "salesorder_item_id": ordered["line_item_id"]}
    api.call("POST", "/invoices", body, salesorder_id=number)
    look()
    api.call("POST", f"/invoices/{first['invoice_id']}/status/void")
    look()
    assert [quantity for _, quantity in seen] == [2, 5, 3]
    if statuses is not None:
        assert tuple(status for status, _ in seen) == statuses
    with pytest.raises(ApiRefusal) as refused:
        api.call("DELETE", path)
    assert refused.value.status == 400


def test_an_instant_invoice_takes_the_remaining_quantity(books: Api) -> None:
    sales = order(books, "salesorders", "salesorder", 5, 1)
    number, first = sales["salesorder_id"], sales["line_items"][0]
    line = {"item_id": first["item_id"], "rate": 10, "quantity": 2}
    line["salesorder_item_id"] = first["line_item_id"]
    body = {"customer_id": customer(books), "line_items": [line]}
    books.call("POST", "/invoices", body, salesorder_id=number)
    made = books.call("POST", "/invoices/fromsalesorder", {}, salesorder_id=number)["invoice"]
    assert [each["quantity"] for each in made["line_items"]] == [3, 1]
    assert made["total"] == 40
    assert books.rows("/salesorders", "salesorders")[0]["status"] == "invoiced"
    with pytest.raises(ApiRefusal):
        books.call("POST", "/invoices/fromsalesorder", {}, salesorder_id=number)


def test_a_purchase_order_is_billed_in_parts_and_an_unknown_one_is_refused(books: Api) -> None:
    bought = order(books, "purchaseorders", "purchaseorder", 4)
    line = {"item_id": item_of(bought), "rate": 10, "quantity": 3}
    line["purchaseorder_item_id"] = bought["line_items"][0]["line_item_id"]
    body = {"vendor_id": customer(books), "bill_number": "B-1", "line_items": [line]}
    body["purchaseorder_ids"] = [bought["purchaseorder_id"]]
    books.call("POST", "/bills", body)
    path = f"/purchaseorders/{bought['purchaseorder_id']}"
    assert books.call("GET", path)["purchaseorder"]["status"] == "partially_billed"
    line["quantity"], body["bill_number"] = 1, "B-2"
    last = books.call("POST", "/bills", body)["bill"]
    assert books.call("GET", path)["purchaseorder"]["status"] == "billed"
    books.call("DELETE", f"/bills/{last['bill_id']}")
    assert books.call("GET", path)["purchaseorder"]["status"] == "partially_billed"
    body |= {"purchaseorder_ids": ["123"], "bill_number": "B-3"}
    with pytest.raises(ApiRefusal) as refused:
        books.call("POST", "/bills", body)
    assert refused.value.status == 404


# -- retainers ------------------------------------------------------------------------------------


def test_a_retainer_is_paid_in_full_drawn_and_cannot_be_deleted(books: Api) -> None:
    lines = {"line_items": [{"description": "ahead", "rate": 100}]}
    body = {"customer_id": customer(books), **lines}
    made = books.call("POST", "/retainerinvoices", body)["retainerinvoice"]
    retainer = made["retainerinvoice_id"]
    books.call("POST", f"/retainerinvoices/{retainer}/status/sent")
    payment: dict[str, Any] = {"customer_id": customer(books), "payment_mode": "cash"}
    payment["date"] = "2026-01-01"
    payment |= {"retainerinvoice_id": retainer, "amount": 99}
    assert refusal(books, "POST", "/customerpayments", payment) == 9521
    paid = books.call("POST", "/customerpayments", payment | {"amount": 100})["payment"]
    state = books.call("GET", f"/retainerinvoices/{retainer}")["retainerinvoice"]
    assert (state["status"], state["balance"], state["payment_made"]) == ("paid", 0, 100)
    path = f"/customerpayments/{paid['payment_id']}"
    assert refusal(books, "PUT", path, {"amount": 120}) == 9523
    assert refusal(books, "DELETE", f"/retainerinvoices/{retainer}") == 9520
    more = {"line_items": [{"description": "ahead", "rate": 150}]}
    assert refusal(books, "PUT", f"/retainerinvoices/{retainer}", more) == 9533
    line = {"item_id": item(books), "rate": 70, "quantity": 1}
    invoice = books.call("POST", "/invoices", {**body, "line_items": [line]})["invoice"]
    row = {"invoice_id": invoice["invoice_id"], "amount_applied": 71}
    drawn = f"/retainerinvoices/{retainer}/invoices"
    assert refusal(books, "POST", drawn, {"invoice_payments": [row]}) == 24016
    books.call("POST", drawn, {"invoice_payments": [row | {"amount_applied": 70}]})
    state = books.call("GET", f"/retainerinvoices/{retainer}")["retainerinvoice"]
    assert state["payment_drawn"] == 70
    read = books.call("GET", f"/invoices/{invoice['invoice_id']}")["invoice"]
    assert (read["status"], read["balance"], read["payment_made"]) == ("paid", 0, 70)
    assert refusal(books, "POST", f"/retainerinvoices/{retainer}/status/void") == 9520


def refusal(api: Api, method: str, path: str, body: dict[str, Any] | None = None) -> int:
    with pytest.raises(ApiRefusal) as refused:
        api.call(method, path, body)
    return refused.value.code


def test_refused_applications_have_the_documented_codes(books: Api) -> None:
    line = {"item_id": item(books), "rate": 50, "quantity": 1}
    body = {"customer_id": customer(books), "date": "2026-01-01", "line_items": [line]}
    note = books.call("POST", "/creditnotes", body | {"creditnote_number": "N-1"})["creditnote"]
    invoice = books.call("POST", "/invoices", body)["invoice"]["invoice_id"]
    path, credits = f"/invoices/{invoice}", f"/invoices/{invoice}/credits"
    row = {"creditnote_id": note["creditnote_id"], "amount_applied": 20}
    asked = {"apply_creditnotes": [row]}
    assert refusal(books, "POST", credits, asked) == 12005
    books.call("POST", f"{path}/status/sent")
    assert books.call("POST", credits, asked)["code"] == 0
    assert refusal(books, "DELETE", path) == 12008
    payment: dict[str, Any] = {"customer_id": customer(books), "payment_mode": "cash"}
    payment["date"] = "2026-01-01"
    payment |= {"amount": 40, "invoices": [{"invoice_id": invoice, "amount_applied": 31}]}
    assert refusal(books, "POST", "/customerpayments", payment) == 24016
    payment["invoices"] = [{"invoice_id": invoice, "amount_applied": 30}]
    paid = books.call("POST", "/customerpayments", payment)["payment"]
    assert refusal(books, "DELETE", path) == 4001
    assert refusal(books, "POST", credits, asked) == 12006
    other = books.store.collection("contacts").id(1)
    assert refusal(books, "PUT", path, {"customer_id": other}) == 3010
    assert books.rows(f"{path}/payments", "payments")[0]["amount"] == 30
    assert books.rows(f"{path}/creditsapplied", "credits")[0]["amount_applied"] == 20
    books.call("POST", f"{path}/status/void")
    assert refusal(books, "POST", credits, asked) == 12007
    free = books.call("GET", f"/creditnotes/{note['creditnote_id']}", None, accept="json")
    assert (free["creditnote"]["balance"], free["creditnote"]["status"]) == (50, "open")
    again = books.call("GET", f"/customerpayments/{paid['payment_id']}")["payment"]
    assert (again["unused_amount"], again["invoices"]) == (40, [])


@pytest.mark.parametrize("product", ["books", "invoice", "inventory", "billing"])
def test_seeded_documents_are_consistent(product: str) -> None:
    api = Api(product)
    words = {"debt": ("paid",), "credit": ("closed",)}
    seen = 0
    for schema in api.schemas.by_path.values():
        collection = api.store.at(schema, ()) if not schema.parents else None
        kind = getattr(collection and collection.resource, "kind", None)
        if collection is None or kind is None or kind.role not in words:
            continue
        for index in collection.indexes():
            state, row = collection.state(index), collection.row(index)
            for name in ("total", "balance"):
                assert row.get(name, state.get(name)) == state.get(name)
            if "total" in state and "balance" in state:
                seen += 1
                assert 0 <= state["balance"] <= state["total"]
                if state.get("status") in words[kind.role]:
                    assert state["balance"] == 0
            lines = state.get("line_items") or state.get("creditnote_items")
            if isinstance(lines, list) and "total" in state:
                assert (
                    sum(line.get("item_total", state["total"]) for line in lines) == state["total"]
                )
    assert seen > 40


# -- subscriptions --------------------------------------------------------------------------------

TODAY = date.fromisoformat(day(int(time.time())))


@pytest.fixture
def billing() -> Api:
    api = Api("billing")
    product = api.store.collection("billing.products").id(0)
    plan = {"plan_code": "gold", "name": "Gold", "recurring_price": "12.50", "interval": 1}
    plan |= {"interval_unit": "months", "product_id": product, "trial_period": 0}
    api.call("POST", "/plans", plan)
    return api


def subscribe(api: Api, starts: date, /, **plan: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"customer_id": customer(api), "plan": {"plan_code": "gold", **plan}}
    body |= {"card_id": "1", "account_id": "1", "starts_at": str(starts)}
    made: dict[str, Any] = api.call("POST", "/subscriptions", body)["subscription"]
    return made


@pytest.mark.parametrize(
    ("days_ago", "plan", "status"),
    [
        (0, {}, "live"),
        (-5, {}, "future"),
        (0, {"trial_days": 14}, "trial"),
        (20, {"trial_days": 14}, "live"),
        (0, {"exclude_trial": True}, "live"),
        (200, {"billing_cycles": 3}, "expired"),
        (10, {"billing_cycles": 3}, "live"),
        (200, {}, "live"),
    ],
)
def test_status_and_term_of_a_subscription_follow_from_its_start(
    billing: Api, days_ago: int, plan: dict[str, Any], status: str
) -> None:
    made = subscribe(billing, TODAY - timedelta(days=days_ago), quantity=3, **plan)
    assert (made["status"], made["amount"]) == (status, Decimal("37.5"))
    assert made["plan"]["name"] == "Gold"
    if status == "expired":
        assert made["next_billing_at"] == ""
        assert made["expires_at"] <= str(TODAY)
    else:
        assert made["next_billing_at"] > str(TODAY)
    if status == "live":
        begins = date.fromisoformat(made["current_term_starts_at"])
        ends = date.fromisoformat(made["current_term_ends_at"])
        assert begins <= TODAY < ends
        assert timedelta(days=28) <= ends - begins <= timedelta(days=31)
        assert made["next_billing_at"] == str(ends)
        assert made["last_billing_at"] == str(begins)


def test_only_a_subscription_cancelled_at_term_end_can_be_reactivated(
    billing: Api,
) -> None:
    made = subscribe(billing, TODAY)
    path = f"/subscriptions/{made['subscription_id']}"
    assert refusal(billing, "POST", f"{path}/reactivate") == 1000
    ending = billing.call("POST", f"{path}/cancel", {}, cancel_at_end="true")["subscription"]
    assert (ending["status"], ending["next_billing_at"]) == ("non_renewing", "")
    back = billing.call("POST", f"{path}/reactivate")["subscription"]
    assert (back["status"], back["next_billing_at"]) == ("live", made["next_billing_at"])
    gone = billing.call("POST", f"{path}/cancel", {}, cancel_at_end="false")["subscription"]
    assert (gone["status"], gone["next_billing_at"]) == ("cancelled", "")
    assert refusal(billing, "POST", f"{path}/reactivate") == 1000


def test_a_renewal_can_only_be_postponed(billing: Api) -> None:
    made = subscribe(billing, TODAY)
    path = f"/subscriptions/{made['subscription_id']}/postpone"
    assert refusal(billing, "POST", path, {"renewal_at": str(TODAY)}) == 4
    later = str(TODAY + timedelta(days=90))
    moved = billing.call("POST", path, {"renewal_at": later})["subscription"]
    assert moved["next_billing_at"] == later == moved["current_term_ends_at"]


def test_a_plan_change_applies_at_once_or_at_the_end_of_the_term(
    billing: Api,
) -> None:
    made = subscribe(billing, TODAY)
    path = f"/subscriptions/{made['subscription_id']}"
    body = {"plan": {"plan_code": "gold", "price": 20}, "end_of_term": True}
    body |= {"addons": [{"addon_code": "a", "price": 5, "quantity": 2}]}
    later = billing.call("PUT", path, body)["subscription"]
    assert (later["amount"], later["plan"]["price"]) == (Decimal("12.5"), Decimal("12.5"))
    now = billing.call("PUT", path, {**body, "end_of_term": False})["subscription"]
    assert (now["amount"], now["plan"]["price"]) == (30, 20)
    lost = {"plan": {"plan_code": "no such plan"}}
    assert refusal(billing, "PUT", path, lost) == 101002


def test_a_charge_creates_an_invoice_of_its_amount(billing: Api) -> None:
    path = f"/subscriptions/{subscribe(billing, TODAY)['subscription_id']}/charge"
    invoice = billing.call("POST", path, {"amount": "7.25", "description": "Setup"})["invoice"]
    assert (invoice["total"], invoice["balance"]) == (Decimal("7.25"), Decimal("7.25"))


def test_billing_pays_credits_and_refunds_invoices(billing: Api) -> None:
    line = {"code": "gold", "name": "x", "price": 50, "rate": 50, "quantity": 1}
    body: dict[str, Any] = {"customer_id": customer(billing), "date": "2026-01-01"}
    items = {"line_items": [line], "invoice_items": [line], "creditnote_items": [line]}
    invoice = billing.call("POST", "/invoices", body | items)["invoice"]["invoice_id"]
    billing.call("POST", f"/invoices/{invoice}/converttoopen")
    note = billing.call("POST", "/creditnotes", body | items | {"creditnote_number": "N"})
    credit = note["credit_note"]["creditnote_id"]
    rows = [{"creditnote_id": credit, "amount_applied": 20}]
    billing.call("POST", f"/invoices/{invoice}/credits", {"apply_creditnotes": rows})
    billing.call("POST", f"/creditnotes/{credit}/refunds", {"amount": 30, "description": "x"})
    assert refusal(billing, "POST", f"/creditnotes/{credit}/refunds", {"amount": 1}) == 4
    body |= {"payment_mode": "cash", "amount": 35}
    body["invoices"] = [{"invoice_id": invoice, "amount_applied": 30}]
    paid = billing.call("POST", "/payments", body)["payment"]["payment_id"]
    read = billing.call("GET", f"/invoices/{invoice}")["invoice"]
    assert (read["status"], read["balance"]) == ("paid", 0)
    assert (read["payment_made"], read["credits_applied"]) == (30, 20)
    closed = billing.call("GET", f"/creditnotes/{credit}")["credit_note"]
    assert (closed["status"], closed["balance"]) == ("closed", 0)
    billing.call("POST", f"/payments/{paid}/refunds", {"amount": 5, "description": "x"})
    assert refusal(billing, "POST", f"/payments/{paid}/refunds", {"amount": 1}) == 4


# -- views of days --------------------------------------------------------------------------------


def test_day_and_month_filters_apply_and_week_filters_do_not(books: Api) -> None:
    entries = books.store.collection("time_entries")
    seeded = len(entries.indexes())
    dates = {
        "Date.Today": TODAY,
        "Date.PreviousDay": TODAY - timedelta(days=1),
        "Date.PreviousMonth": TODAY.replace(day=1) - timedelta(days=1),
    }
    made = {
        view: entries.id(entries.add({"log_date": str(wanted), "notes": view}))
        for view, wanted in dates.items()
    }
    for view, entry in made.items():
        rows = books.rows("/projects/timeentries", "time_entries", filter_by=view)
        length = 7 if "Month" in view else 10  # the sample data has entries of that month, too
        assert {row["log_date"][:length] for row in rows} == {str(dates[view])[:length]}
        assert entry in {row["time_entry_id"] for row in rows}
    everything = books.rows("/projects/timeentries", "time_entries", filter_by="Date.ThisWeek")
    assert len(everything) == seeded + 3


# -- tiers ----------------------------------------------------------------------------------------


def test_operations_with_rules_exist() -> None:
    known = {each.name for product in PRODUCTS for each in operations(product).values()}
    assert known >= WITH_RULES
    assert len(WITH_RULES) > 250
