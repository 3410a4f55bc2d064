"""Refusals of orders, projects and charges with their codes, and the documents they create."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.sandbox_api import Api
from zoho_async.sandbox.replies import ApiRefusal


@pytest.fixture
def books() -> Api:
    return Api("books")


def customer(api: Api) -> str:
    return api.store.collection(api.store.world_of(api.product).parties).id(0)


def order(api: Api, word: str, key: str, **fields: Any) -> dict[str, Any]:
    """An estimate or order of one line: quantity 5, rate 10."""
    item = api.call("POST", "/items", {"name": f"Bolt {word}", "rate": 1})["item"]["item_id"]
    line = {"item_id": item, "name": "x", "rate": 10, "purchase_rate": 10, "quantity": 5}
    party = customer(api)
    body = {"customer_id": party, "vendor_id": party, "date": "2026-01-01", "line_items": [line]}
    body["purchaseorder_number"] = "PO-1 of ours"
    made: dict[str, Any] = api.call("POST", f"/{word}", body | fields)[key]
    return made


def refusal(api: Api, method: str, path: str, body: dict[str, Any] | None = None) -> int:
    with pytest.raises(ApiRefusal) as refused:
        api.call(method, path, body)
    return refused.value.code


def test_an_estimate_cannot_become_a_draft_again_and_its_retainer_is_a_percentage(
    books: Api,
) -> None:
    made = order(books, "estimates", "estimate")
    path = f"/estimates/{made['estimate_id']}"
    assert books.call("PUT", path, {"status": "draft"})["code"] == 0
    books.call("POST", f"{path}/status/sent")
    assert refusal(books, "PUT", path, {"status": "draft"}) == 4041
    assert refusal(books, "PUT", path, {"retainer_percentage": 101}) == 9526


def test_an_expired_estimate_can_be_declined_or_extended_but_not_accepted(
    books: Api,
) -> None:
    made = order(books, "estimates", "estimate", expiry_date="2024-02-01")
    path = f"/estimates/{made['estimate_id']}"
    books.call("POST", f"{path}/status/sent")
    assert books.call("GET", path)["estimate"]["status"] == "expired"
    assert refusal(books, "POST", f"{path}/status/accepted") == 1000
    books.call("PUT", path, {"expiry_date": "2999-01-01"})
    assert books.call("GET", path)["estimate"]["status"] == "sent"
    assert books.call("POST", f"{path}/status/accepted")["code"] == 0


@pytest.mark.parametrize(
    ("product", "word", "key", "closing", "child"),
    [
        ("books", "salesorders", "salesorder", "void", "invoices"),
        ("inventory", "salesorders", "salesorder", "void", "invoices"),
        ("books", "purchaseorders", "purchaseorder", "cancelled", "bills"),
        ("inventory", "purchaseorders", "purchaseorder", "cancelled", "bills"),
    ],
)
def test_a_void_or_cancelled_order_cannot_be_converted(
    product: str, word: str, key: str, closing: str, child: str
) -> None:
    api = Api(product)
    made = order(api, word, key)
    number = made[f"{word[:-1]}_id"]
    api.call("POST", f"/{word}/{number}/status/{closing}")
    body = {"customer_id": customer(api), "vendor_id": customer(api), "date": "2026-01-01"}
    body |= {"bill_number": "B-1", "due_date": "2999-01-01", "line_items": made["line_items"]}
    with pytest.raises(ApiRefusal) as refused:
        api.call("POST", f"/{child}", body, **{f"{word[:-1]}_id": number})
    assert "cannot be linked" in refused.value.message


def test_a_reopened_order_shows_what_was_invoiced(books: Api) -> None:
    made = order(books, "salesorders", "salesorder")
    number = made["salesorder_id"]
    books.call("POST", "/invoices/fromsalesorder", {}, salesorder_id=number)
    seen: list[str] = []
    for verb in ("void", "open"):
        books.call("POST", f"/salesorders/{number}/status/{verb}")
        rows = books.rows("/salesorders", "salesorders")
        seen += [row["status"] for row in rows if row["salesorder_id"] == number]
    assert seen == ["void", "invoiced"]


def test_orders_are_confirmed_in_bulk() -> None:
    inventory = Api("inventory")
    made = order(inventory, "salesorders", "salesorder")
    number = made["salesorder_id"]
    done = inventory.call("POST", "/salesorders/status/confirmed", {}, salesorder_ids=f"{number},1")
    (told,) = done["data"]["email_success_info"]
    assert told["ids"] == [number]
    (lost,) = done["data"]["email_error_info"]
    assert lost["ids"] == ["1"]
    assert inventory.call("GET", f"/salesorders/{number}")["salesorder"]["status"] == "confirmed"


def test_estimates_are_invoiced_once_and_a_refusal_affects_one_only(books: Api) -> None:
    number = order(books, "estimates", "estimate", discount="10%")["estimate_id"]
    done = books.call("POST", "/invoices/fromestimates", {}, estimate_ids=f"{number},1")
    assert [(row["code"], row["ids"]) for row in done["data"]] == [(0, [number]), (1002, ["1"])]
    again = books.call("POST", "/invoices/fromestimates", {}, estimate_ids=number)
    assert [row["code"] for row in again["data"]] == [1000]
    (invoice,) = books.store.collection("invoices").written()
    assert invoice["total"] == 45
    assert invoice["estimate_id"] == number
    assert invoice["invoice_number"] == "INV-000001"


def test_an_invoiced_expense_keeps_its_contact_and_stays_billable(books: Api) -> None:
    account = books.store.at(books.schemas.by_path["chartofaccounts",], ()).id(0)
    body = {"account_id": account, "date": "2026-01-01", "amount": 7, "is_billable": True}
    body |= {"customer_id": customer(books), "paid_through_account_id": account}
    expense = books.call("POST", "/expenses", body)["expense"]
    assert expense["status"] == "unbilled"
    number = expense["expense_id"]
    line = {"name": "Taxi", "rate": 7, "quantity": 1, "expense_id": number}
    asked = {"customer_id": customer(books), "line_items": [line]}
    invoice = books.call("POST", "/invoices", asked)["invoice"]
    read = books.call("GET", f"/expenses/{number}", accept="json")["expense"]
    assert read["status"] == "invoiced"
    assert read["invoice_number"] == invoice["invoice_number"]
    assert refusal(books, "POST", "/invoices", asked) == 1000
    other = books.store.collection("contacts").id(1)
    assert refusal(books, "DELETE", f"/expenses/{number}") == 5001
    assert refusal(books, "PUT", f"/expenses/{number}", {"customer_id": other}) == 5019
    assert refusal(books, "PUT", f"/expenses/{number}", {"is_billable": False}) == 5032
    books.call("POST", f"/invoices/{invoice['invoice_id']}/status/void")
    assert books.call("DELETE", f"/expenses/{number}")["code"] == 0


def test_a_seeded_charge_is_invoiced_in_full_and_once() -> None:
    billing = Api("billing")
    charges = billing.store.at(billing.schemas.by_path["unbilledcharges",], ())
    path = f"/unbilledcharges/{charges.id(0)}"
    total = charges.state(0)["total"]
    made = billing.call("POST", f"{path}/createinvoice")["invoice"]
    assert Decimal(made["total"]) == Decimal(str(total))
    assert billing.call("GET", path)["unbilled_charge"]["status"] == "invoiced"
    assert refusal(billing, "POST", f"{path}/createinvoice") == 1000


def test_an_unknown_addon_is_refused() -> None:
    billing = Api("billing")
    number = billing.store.at(billing.schemas.by_path["subscriptions",], ()).id(0)
    body = {"addons": [{"addon_code": "no such addon"}]}
    assert refusal(billing, "POST", f"/subscriptions/{number}/buyonetimeaddon", body) == 102001
