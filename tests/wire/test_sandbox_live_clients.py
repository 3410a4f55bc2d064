"""What clients of the live service rely on, described or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.plain_client import Answer, PlainClient, raw
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.api.router import all_operations
from zoho_async.sandbox.coverage import RECORDED, marks

LINES = {"line_items": [{"name": "Work", "rate": 10, "quantity": 2}]}
PAYMENT_FIELDS = {
    *("invoice_numbers", "unused_amount", "bcy_unused_amount", "account_id", "account_name"),
    *("description", "reference_number", "customer_id", "customer_name", "payment_type"),
    *("payment_status", "created_time", "last_modified_time", "has_attachment"),
}


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(per_minute=10**6, in_flight=10**3, sizes={"contacts": 5})) as client:
        yield client


async def call(zoho: PlainClient, method: str, path: str, **more: Any) -> Answer:
    """Call any product. ``path`` begins with its base path."""
    headers = {"Authorization": f"Zoho-oauthtoken {zoho.token}", **more.pop("headers", {})}
    async with zoho.http.request(method, zoho.sandbox.url + path, headers=headers, **more) as reply:
        return Answer(reply.status, reply.headers, await reply.read())


def first(zoho: PlainClient, name: str) -> str:
    return zoho.sandbox.store().collection(name).id(0)


async def test_a_slash_at_the_end_of_a_path_is_ignored(zoho: PlainClient) -> None:
    plain = await call(zoho, "GET", "/books/v3/contacts?per_page=2")
    slashed = await call(zoho, "GET", "/books/v3/contacts/?per_page=2")
    assert slashed.status == 200
    assert slashed.json["contacts"] == plain.json["contacts"]
    one = await call(zoho, "GET", f"/books/v3/contacts/{first(zoho, 'contacts')}/")
    assert one.json["contact"]["contact_id"] == first(zoho, "contacts")
    assert (await call(zoho, "GET", "/books/v3/organizations/")).status == 200
    assert zoho.sandbox.unknown == []


async def test_ids_may_be_fields_of_a_form_or_of_a_body(zoho: PlainClient) -> None:
    orders = zoho.sandbox.store().collection("inventory.sales_orders")
    ids = [orders.id(index) for index in range(2)]
    for index in range(2):
        orders.change(index, {"status": "draft"})
    sent = await call(
        zoho,
        "POST",
        "/inventory/v1/salesorders/status/confirmed",
        data={"salesorder_ids": ",".join(ids)},
    )
    assert (sent.status, sent.code) == (200, 0), sent.body
    assert [orders.state(index)["status"] for index in range(2)] == ["confirmed", "confirmed"]
    invoices = zoho.sandbox.store().collection("books.invoices")
    for index in range(2):
        invoices.change(index, {"status": "draft"})
    marked = await call(
        zoho,
        "POST",
        "/books/v3/invoices/status/sent",
        json={"invoice_ids": ",".join(invoices.id(index) for index in range(2))},
    )
    assert marked.code == 0, marked.body
    assert "draft" not in [invoices.state(index)["status"] for index in range(2)]


async def test_a_form_without_fields_is_still_refused(zoho: PlainClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = await call(zoho, "POST", "/books/v3/contacts", data=b"", headers=headers)
    assert (sent.status, sent.code) == (400, 4)


async def test_null_is_a_body_without_fields(zoho: PlainClient) -> None:
    null = {"data": b"null", "headers": {"Content-Type": "application/json"}}
    assert (await call(zoho, "GET", "/books/v3/contacts", **null)).code == 0
    path = f"/books/v3/contacts/{first(zoho, 'contacts')}/inactive"
    assert (await call(zoho, "POST", path, **null)).code == 0
    made = await call(zoho, "POST", "/books/v3/contacts", **null)
    assert made.code == (await call(zoho, "POST", "/books/v3/contacts")).code == 3013


async def test_the_inbox_lists_what_was_uploaded_to_it(zoho: PlainClient) -> None:
    assert (await call(zoho, "GET", "/books/v3/documents")).json["documents"] == []
    form = aiohttp.FormData()
    form.add_field("attachment", b"%PDF-1.4 a", filename="a.pdf")
    made = await call(zoho, "POST", "/books/v3/documents", data=form)
    assert made.status == 201, made.body
    (row,) = (await call(zoho, "GET", "/books/v3/documents")).json["documents"]
    assert row["file_name"] == "a.pdf"
    path = f"/books/v3/documents/{row['document_id']}"
    assert (await call(zoho, "GET", path)).body == b"%PDF-1.4 a"
    assert (await call(zoho, "DELETE", path)).code == 0
    assert (await call(zoho, "GET", path)).status == 404
    assert (await call(zoho, "GET", "/books/v3/documents")).json["documents"] == []


async def test_inventory_lists_warehouses(zoho: PlainClient) -> None:
    rows = (await call(zoho, "GET", "/inventory/v1/settings/warehouses")).json["warehouses"]
    assert rows
    assert {"warehouse_id", "warehouse_name", "is_primary"} <= rows[0].keys()


async def test_inventory_makes_an_invoice_of_an_order(zoho: PlainClient) -> None:
    customer = first(zoho, "inventory.contacts")
    order = await call(
        zoho, "POST", "/inventory/v1/salesorders", json={"customer_id": customer, **LINES}
    )
    number = order.json["salesorder"]["salesorder_id"]
    path = f"/inventory/v1/invoices/fromsalesorder?salesorder_id={number}"
    made = await call(zoho, "POST", path)
    assert made.code == 0, made.body
    assert made.json["invoice"]["customer_id"] == customer
    assert made.json["invoice"]["total"] == 20


async def test_inventory_keeps_addresses_of_a_contact(zoho: PlainClient) -> None:
    path = f"/inventory/v1/contacts/{first(zoho, 'inventory.contacts')}/address"
    made = await call(zoho, "POST", path, json={"city": "Ulm"})
    assert made.json["address_info"]["city"] == "Ulm", made.body
    number = made.json["address_info"]["address_id"]
    changed = await call(zoho, "PUT", f"{path}/{number}", json={"city": "Vienna"})
    assert changed.json["address_info"]["city"] == "Vienna"
    assert (await call(zoho, "DELETE", f"{path}/{number}")).code == 0


async def test_billing_lists_organizations(zoho: PlainClient) -> None:
    rows = (await call(zoho, "GET", "/billing/v1/organizations")).json["organizations"]
    assert [row["organization_id"] for row in rows] == list(zoho.sandbox.organizations)


@pytest.mark.parametrize("base", ["/books/v3", "/invoice/v3", "/inventory/v1"])
async def test_rows_of_customer_payments_have_their_live_fields(
    zoho: PlainClient, base: str
) -> None:
    rows = (await call(zoho, "GET", f"{base}/customerpayments")).json["customerpayments"]
    assert rows
    assert all(row.keys() >= PAYMENT_FIELDS for row in rows)


async def test_billing_answers_400_for_a_missing_record(zoho: PlainClient) -> None:
    gone = await call(zoho, "GET", "/billing/v1/customers/460000000000099999")
    assert gone.status == 400
    assert gone.code != 0
    assert (await call(zoho, "GET", "/billing/v1/nothing")).status == 404
    assert (await call(zoho, "GET", "/books/v3/bills/460000000000099999")).status == 404


async def test_messages_are_those_of_the_live_service(zoho: PlainClient) -> None:
    body = {"customer_id": first(zoho, "contacts"), **LINES}
    made = await call(zoho, "POST", "/books/v3/estimates", json=body)
    assert made.json["message"] == "The quote has been created."
    path = f"/books/v3/estimates/{made.json['estimate']['estimate_id']}"
    assert (await call(zoho, "DELETE", path)).json["message"] == "The quote has been deleted."


@pytest.mark.parametrize("resource", ["contacts", "invoices", "bills", "expenses", "journals"])
async def test_every_attachment_is_in_documents(zoho: PlainClient, resource: str) -> None:
    path = f"/books/v3/{resource}/{first(zoho, resource)}"
    for name in ("a.pdf", "b.pdf"):
        form = aiohttp.FormData()
        form.add_field("attachment", b"%PDF-1.4 " + name.encode(), filename=name)
        assert (await call(zoho, "POST", f"{path}/attachment", data=form)).code == 0
    (record,) = [v for v in (await call(zoho, "GET", path)).json.values() if isinstance(v, dict)]
    assert [row["file_name"] for row in record["documents"]] == ["a.pdf", "b.pdf"]
    for row in record["documents"]:
        file = await call(zoho, "GET", f"/books/v3/documents/{row['document_id']}")
        assert file.body == b"%PDF-1.4 " + row["file_name"].encode()


@pytest.mark.parametrize("resource", ["estimates", "invoices", "bills"])
async def test_a_comment_leaves_its_record_alone(zoho: PlainClient, resource: str) -> None:
    rows = zoho.sandbox.store().collection(resource)
    before = rows.row(0)["last_modified_time"]
    path = f"/books/v3/{resource}/{rows.id(0)}/comments"
    made = await call(zoho, "POST", path, json={"description": "Hello"})
    assert made.code == 0, made.body
    listed = [v for v in (await call(zoho, "GET", path)).json.values() if isinstance(v, list)]
    assert "Hello" in [row["description"] for row in listed[0]]
    assert rows.row(0)["last_modified_time"] == before


async def test_a_restart_keeps_tokens_valid() -> None:
    async with raw(Sandbox(sizes={"contacts": 2})) as before:
        token, port = before.token, urlsplit(before.sandbox.url).port
    assert port is not None
    async with raw(Sandbox(sizes={"contacts": 2}, port=port)) as after:
        own = after.token
        after.token = token
        assert (await after.get("/contacts")).status == 200
        assert after.sandbox.accounts.state(own, after.sandbox.clock.now()) == "good"
        after.token = token[:-1] + ("0" if token[-1] != "0" else "1")
        assert (await after.get("/contacts")).code == 14


async def test_a_restart_does_not_revive_what_has_ended() -> None:
    server = Sandbox(token_life=0.0)
    form = {
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "grant_type": "refresh_token",
        "refresh_token": server.refresh_token,
    }
    reply = server.accounts.answer(form, now=server.clock.now(), api_domain="")
    token = reply.body.decode().split('"')[3]
    later = Sandbox()
    assert later.accounts.state(token, later.clock.now()) == "dead"
    assert Sandbox(seed=2).accounts.state(token, 0.0) == "unknown"


def test_each_operation_has_a_mark() -> None:
    marked = marks()
    every = {name for product in PRODUCTS for name in all_operations(product)}
    assert marked.keys() == every
    assert {name for name, mark in marked.items() if mark == "recorded"} == RECORDED
    assert marked["books.bills.list"] == "documented"
    assert marked["inventory.invoices.create_from_sales_order"] == "assumed"
