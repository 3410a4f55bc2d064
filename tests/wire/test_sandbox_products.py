"""All four products over HTTP: their conventions, lists, errors and writes."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.plain_client import Answer, PlainClient, raw
from zoho_async import Limits, Session
from zoho_async.description import load, operations
from zoho_async.export import Export
from zoho_async.export.catalog import exportable_of
from zoho_async.limits import MemoryLedger
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.coverage import counts, level_of

PDF = b"%PDF-1.4 mine"
LINES: dict[str, Any] = {"line_items": [{"name": "Work", "rate": 1}]}
OURS = {"customer_id": "a seeded one"}
NOTE = {**LINES, **OURS, "date": "2026-01-01"}
PAYMENT: dict[str, Any] = {
    "payment_mode": "cash",
    "amount": 1,
    "date": "2026-01-01",
    "invoices": [{"invoice_id": "a seeded one", "amount_applied": 1}],
}


SIZES = {"books.contacts": 60, "books.items": 60, "books.invoices": 120}


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(per_minute=10**6, in_flight=10**3, sizes=SIZES)) as client:
        yield client


async def ask(
    zoho: PlainClient, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    """Call any product. ``path`` begins with its base path."""
    named = {"Authorization": f"Zoho-oauthtoken {zoho.token}", **(headers or {})}
    url = zoho.sandbox.url + path
    async with zoho.http.request(method, url, headers=named, **more) as reply:
        return Answer(reply.status, reply.headers, await reply.read())


def rows_of(zoho: PlainClient, resource: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row) for row in zoho.sandbox.truth(resource)]


# -- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", PRODUCTS)
async def test_an_export_has_every_row_of_every_list(product: str, tmp_path: Path) -> None:
    sizes = {"books.contacts": 30, "books.items": 20, "books.invoices": 230, "books.projects": 5}
    async with Sandbox(sizes=sizes, per_minute=10**6, in_flight=10**3) as server:
        limits = Limits(limit=10**6, burst=10**6, in_flight=10**3)
        names = list(exportable_of(load(product).operations))
        async with (
            Session.from_env(server.environment(), limits=limits, ledger=MemoryLedger()) as zoho,
            Export(zoho, names, to=tmp_path) as job,
        ):
            async for _ in job:
                pass
        assert job.summary.done
        for name in names:
            written = (tmp_path / name.replace(".", "/", 1)).with_suffix(".jsonl").read_bytes()
            assert sorted(written.splitlines()) == sorted(server.truth(name)), name


async def test_lists_have_the_requested_number_of_rows_in_a_stable_order() -> None:
    server = Sandbox(sizes={"bills": 400, "inventory.packages": 3})
    bills = [msgspec.json.decode(row) for row in server.truth("bills")]
    assert len(bills) == 400
    assert [row["bill_id"] for row in bills] == sorted(row["bill_id"] for row in bills)
    assert [row["created_time"] for row in bills] == sorted(row["created_time"] for row in bills)
    assert all(18 <= len(row["bill_id"]) <= 19 for row in bills)
    assert len(server.truth("inventory.packages")) == 3
    again = Sandbox(sizes={"bills": 400})
    assert again.truth("bills") == server.truth("bills")
    assert Sandbox(seed=2, sizes={"bills": 400}).truth("bills") != server.truth("bills")


async def test_documents_name_existing_customers(zoho: PlainClient) -> None:
    contacts = {row["contact_id"]: row["contact_name"] for row in rows_of(zoho, "contacts")}
    for row in rows_of(zoho, "estimates"):
        assert contacts[row["customer_id"]] == row["customer_name"]
    customers = {row["customer_id"] for row in rows_of(zoho, "billing.customers")}
    assert {row["customer_id"] for row in rows_of(zoho, "billing.invoices")} <= customers


async def test_filters_with_their_variants_apply_where_rows_have_the_field(
    zoho: PlainClient,
) -> None:
    bills = rows_of(zoho, "bills")
    wanted = bills[3]["bill_number"]
    by_number = await zoho.get("/bills", bill_number=wanted)
    assert [row["bill_number"] for row in by_number.json["bills"]] == [wanted]
    start = await zoho.get("/bills", bill_number_startswith=wanted[:-2])
    assert {row["bill_number"] for row in start.json["bills"]} == {
        row["bill_number"] for row in bills if row["bill_number"].startswith(wanted[:-2])
    }
    status = bills[0]["status"]
    same = await zoho.get("/bills", status=status)
    assert {row["status"] for row in same.json["bills"]} == {status}
    assert same.json["page_context"]["search_criteria"][0]["column_name"] == "status"
    payments = rows_of(zoho, "customer_payments")
    small = await zoho.get("/customerpayments", amount_less_than=5000)
    assert len(small.json["customerpayments"]) == sum(row["amount"] < 5000 for row in payments)
    paged = await zoho.get("/bills", per_page=10, page=3, sort_column="created_time")
    assert len(paged.json["bills"]) == 5
    assert paged.json["page_context"]["has_more_page"] is False
    assert (await zoho.get("/bills", per_page="many")).code == 2
    assert (await zoho.get("/bills", last_modified_time="2026-01-01T00:00:00Z")).code == 2


async def test_views_show_those_of_a_status(zoho: PlainClient) -> None:
    orders = rows_of(zoho, "sales_orders")
    drafts = await zoho.get("/salesorders", filter_by="Status.Draft")
    assert len(drafts.json["salesorders"]) == sum(row["status"] == "draft" for row in orders)


async def test_a_filter_that_inventory_ignores_is_ignored(zoho: PlainClient) -> None:
    answer = await ask(zoho, "GET", "/inventory/v1/bills?bill_number=none-such")
    assert len(answer.json["bills"]) == len(zoho.sandbox.truth("inventory.bills"))


async def test_a_chart_of_accounts_has_no_pages(zoho: PlainClient) -> None:
    async with raw(Sandbox(sizes={"chart_of_accounts": 700})) as other:
        answer = await other.get("/chartofaccounts")
        assert len(answer.json["chartofaccounts"]) == 700
        assert answer.json["page_context"]["per_page"] == 5000


async def test_lists_without_pages_have_no_page_context(zoho: PlainClient) -> None:
    answer = await zoho.get("/invoices/templates")
    assert answer.json["templates"]
    assert "page_context" not in answer.json


async def test_a_list_can_show_records_of_another_collection(zoho: PlainClient) -> None:
    made = await ask(zoho, "POST", "/inventory/v1/salesorders", json=order_for(zoho))
    number = made.json["salesorder"]["salesorder_number"]
    item = rows_of(zoho, "inventory.items")[0]["item_id"]
    shown = await ask(zoho, "GET", f"/inventory/v1/items/transactions/salesorders?item_id={item}")
    assert number in {row["salesorder_number"] for row in shown.json["salesorders"]}


def order_for(zoho: PlainClient) -> dict[str, Any]:
    customer = rows_of(zoho, "inventory.contacts")[0]["contact_id"]
    item = rows_of(zoho, "inventory.items")[0]["item_id"]
    line = {"item_id": item, "quantity": 2, "rate": 3}
    return {"customer_id": customer, "line_items": [line]}


async def test_several_items_of_inventory_are_read_at_once(zoho: PlainClient) -> None:
    ids = [row["item_id"] for row in rows_of(zoho, "inventory.items")[:3]]
    path = f"/inventory/v1/itemdetails?item_ids={ids[2]},{ids[0]},17"
    answer = await ask(zoho, "GET", path)
    assert [row["item_id"] for row in answer.json["items"]] == [ids[2], ids[0]]


# -- records --------------------------------------------------------------------------------------


async def test_a_created_record_is_answered_with_201_its_location_and_the_servers_ids(
    zoho: PlainClient,
) -> None:
    vendor = rows_of(zoho, "contacts")[0]
    line = {"name": "Paper", "rate": 2.5, "quantity": 4}
    body = {"vendor_id": vendor["contact_id"], "bill_number": "B-1", "line_items": [line]}
    made = await zoho.call("POST", "/bills", json=body)
    bill = made.json["bill"]
    assert made.status == 201
    assert made.headers["location"].endswith(f"/bills/{bill['bill_id']}")
    assert bill["vendor_name"] == vendor["contact_name"]
    assert bill["line_items"][0]["line_item_id"].isdigit()
    assert bill["status"] == "draft"
    assert b"null" not in made.body
    assert b'"rate":2.5' in made.body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", bill["created_time"])
    again = await zoho.call("POST", "/bills", json=body)
    assert (again.status, again.code) == (400, 13011)
    assert "bill_number" in again.json["message"]
    elsewhere = {**body, "vendor_id": rows_of(zoho, "contacts")[1]["contact_id"]}
    assert (await zoho.call("POST", "/bills", json=elsewhere)).status == 201


async def test_missing_numbers_are_generated(zoho: PlainClient) -> None:
    customer = rows_of(zoho, "contacts")[0]["contact_id"]
    body = {"customer_id": customer, "line_items": [{"name": "Work", "rate": 1}]}
    made = await zoho.call("POST", "/estimates", json=body)
    assert made.json["estimate"]["estimate_number"] == "EST-000026"
    asked = {"ignore_auto_number_generation": "true"}
    refused = await zoho.call("POST", "/estimates", json=body, **asked)  # type: ignore[arg-type]
    assert (refused.status, refused.code) == (400, 4)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "named"),
    [
        ("/bills", {"bill_number": "B-2"}, 400, 4, "vendor_id"),
        ("/bills", {"vendor_id": "1", "bill_number": "B-2"}, 404, 1002, "ontact"),
        ("/estimates", {"customer_id": "8", "line_items": [{"item_id": "9"}]}, 404, 1002, "ontact"),
        ("/estimates", {"currency_id": "8", **LINES, **OURS}, 400, 9004, "currency"),
        ("/estimates", {"line_items": [{"item_id": "9"}], **OURS}, 400, 2006, "item"),
        ("/customerpayments", {**PAYMENT, "customer_id": "9"}, 400, 3004, "customer"),
        ("/estimates", {"estimate_number": "EST-000003", **LINES, **OURS}, 400, 1001, "number"),
        ("/creditnotes", {"creditnote_number": "CN-000003", **NOTE}, 400, 12018, "number"),
        ("/expenses", "nonsense", 400, 1038, "JSON"),
        ("/chartofaccounts", {"account_type": "moon"}, 400, 4, "account_type"),
        (
            "/settings/currencies",
            {"currency_code": ["USD"], "currency_format": "1"},
            400,
            4,
            "code",
        ),
        ("/journals", {"journal_date": "yesterday"}, 400, 4, "journal_date"),
        ("/bills/1/comments", {"description": "x"}, 404, 1002, "bill"),
        ("/nothing", {}, 404, 5, "URL"),
    ],
)
async def test_invalid_bodies_are_refused_with_a_code_and_the_field(
    zoho: PlainClient, path: str, body: object, status: int, code: int, named: str
) -> None:
    if isinstance(body, dict):
        body = seeded(zoho, body)
    sent = {"data": body} if isinstance(body, str) else {"json": body}
    answer = await zoho.call("POST", path, **sent)
    assert (answer.status, answer.code) == (status, code)
    assert named in answer.json["message"]


def seeded(zoho: PlainClient, body: dict[str, Any]) -> dict[str, Any]:
    """Fill in ids of sample records."""
    rows = {"customer_id": "contacts", "invoice_id": "invoices"}
    found = {name: rows_of(zoho, resource)[0] for name, resource in rows.items()}
    found["customer_id"]["customer_id"] = found["customer_id"]["contact_id"]
    text = msgspec.json.encode(body).decode()
    for name, row in found.items():
        text = text.replace(f'"{name}":"a seeded one"', f'"{name}":"{row[name]}"')
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded


async def test_an_undescribed_request_is_refused_and_logged(
    zoho: PlainClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "zoho_async.sandbox"):
        for path in ("/billing/v1/nowhere", "/inventory/v1/items/x", "/crm/v3/leads"):
            assert (await ask(zoho, "GET", path)).code == 5
    assert len(caplog.records) == 3


async def test_comments_belong_to_their_record(zoho: PlainClient) -> None:
    first, second = (row["bill_id"] for row in rows_of(zoho, "bills")[:2])
    made = await zoho.call("POST", f"/bills/{first}/comments", json={"description": "Paid?"})
    comment = made.json["comment"]["comment_id"]
    here = (await zoho.get(f"/bills/{first}/comments")).json["comments"]
    there = (await zoho.get(f"/bills/{second}/comments")).json["comments"]
    assert here[-1]["description"] == "Paid?" or here[0]["description"] == "Paid?"
    assert comment in {row["comment_id"] for row in here}
    assert comment not in {row["comment_id"] for row in there}
    assert (await zoho.call("DELETE", f"/bills/{second}/comments/{comment}")).code == 1002
    assert (await zoho.call("DELETE", f"/bills/{first}/comments/{comment}")).code == 0
    assert comment not in (await zoho.get(f"/bills/{first}/comments")).body.decode()


async def test_a_person_is_found_without_naming_the_contact(zoho: PlainClient) -> None:
    contact = rows_of(zoho, "inventory.contacts")[2]["contact_id"]
    body = {"contact_id": contact, "first_name": "Ada", "last_name": "Byron"}
    made = await ask(zoho, "POST", "/inventory/v1/contacts/contactpersons", json=body)
    person = made.json["contact_person"]["contact_person_id"]
    path = f"/inventory/v1/contacts/contactpersons/{person}"
    changed = await ask(zoho, "PUT", path, json={"contact_id": contact, "first_name": "Eva"})
    assert changed.code == 0
    listed = await ask(zoho, "GET", f"/inventory/v1/contacts/{contact}/contactpersons")
    assert "Eva" in {row["first_name"] for row in listed.json["contact_persons"]}


async def test_verbs_change_the_status_to_a_word_that_the_description_allows(
    zoho: PlainClient,
) -> None:
    bill = rows_of(zoho, "bills")[0]["bill_id"]
    for verb, status in (("status/void", "void"), ("status/open", "open"), ("approve", "approved"),
                         ("submit", "pending_approval")):  # fmt: skip
        assert (await zoho.call("POST", f"/bills/{bill}/{verb}")).code == 0
        read = (await zoho.get(f"/bills/{bill}")).json["bill"]
        assert read["status"] == status
    assert (await zoho.call("POST", "/bills/1/status/void")).code == 1002


async def test_many_are_changed_at_once_and_each_has_its_own_outcome(zoho: PlainClient) -> None:
    ids = [row["account_id"] for row in rows_of(zoho, "chart_of_accounts")[:2]]
    answer = await zoho.call(
        "POST", f"/chartofaccounts/inactive?account_ids={','.join([*ids, '12'])}"
    )
    good, bad = answer.json["data"]
    assert (good["code"], good["ids"]) == (0, ids)
    assert (bad["code"], bad["ids"]) == (1002, ["12"])
    gone = await zoho.call("DELETE", f"/chartofaccounts/bulkdelete?account_ids={','.join(ids)}")
    assert gone.code == 0
    assert not set(ids) & {row["account_id"] for row in rows_of(zoho, "chart_of_accounts")}


async def test_custom_fields_of_any_record_are_sent_in_three_forms(zoho: PlainClient) -> None:
    bill = rows_of(zoho, "bills")[0]["bill_id"]
    fields = [{"label": "Region", "api_name": "cf_region", "value": "North"}]
    await zoho.call("PUT", f"/bills/{bill}", json={"custom_fields": fields})
    read = (await zoho.get(f"/bills/{bill}")).json["bill"]
    assert read["custom_fields"][0]["value"] == "North"
    assert read["cf_region"] == read["custom_field_hash"]["cf_region"] == "North"
    headers = {
        "X-Unique-Identifier-Key": "cf_region",
        "X-Unique-Identifier-Value": "North",
        "X-Upsert": "true",
    }
    changed = await zoho.call("PUT", "/bills", json={"notes": "upserted"}, headers=headers)
    assert changed.json["bill"]["bill_id"] == bill


# -- documents ------------------------------------------------------------------------------------


async def test_an_attachment_is_returned_and_can_be_removed(zoho: PlainClient) -> None:
    bill = rows_of(zoho, "bills")[0]["bill_id"]
    path = f"/bills/{bill}/attachment"
    assert (await zoho.get(path)).status == 404
    form = aiohttp.FormData()
    form.add_field("attachment", PDF, filename="bill.pdf", content_type="application/pdf")
    assert (await zoho.call("POST", path, data=form)).status == 201
    sent = await zoho.get(path)
    assert sent.body == PDF
    assert sent.headers["Content-Type"] == "application/pdf"
    assert "bill.pdf" in sent.headers["Content-Disposition"]
    assert (await zoho.call("DELETE", path)).code == 0
    assert (await zoho.get(path)).status == 404
    wrong = aiohttp.FormData()
    wrong.add_field("attachment", b"MZ", filename="virus.exe")
    assert (await zoho.call("POST", path, data=wrong)).code == 4


async def test_documents_are_valid_files_of_the_requested_format(zoho: PlainClient) -> None:
    estimate = rows_of(zoho, "estimates")[0]["estimate_id"]
    pdf = (await zoho.get(f"/estimates/{estimate}", accept="pdf")).body
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    assert pdf[start:].startswith(b"xref")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", pdf), 1):
        assert pdf[int(offset) :].startswith(b"%d 0 obj" % number)
    html = await zoho.get(f"/estimates/{estimate}", accept="html")
    assert html.body.startswith(b"<!DOCTYPE html>")
    several = await zoho.get("/estimates/pdf", estimate_ids=estimate)
    assert several.body.startswith(b"%PDF")
    assert (await zoho.get("/estimates/pdf", estimate_ids="17")).code == 1002
    assert (await zoho.get(f"/estimates/{estimate}", accept="json")).code == 0


# -- the products' own ways -----------------------------------------------------------------------


async def test_billing_and_invoice_take_the_organization_from_a_header() -> None:
    async with raw(Sandbox(organizations=["20000000"])) as zoho:
        for base, header in (
            ("/billing/v1/plans", "X-com-zoho-subscriptions-organizationid"),
            ("/subscriptions/v1/plans", "X-com-zoho-subscriptions-organizationid"),
            ("/invoice/v3/estimates", "X-com-zoho-invoice-organizationid"),
        ):
            assert (await ask(zoho, "GET", base)).code == 6024
            ours, other = [
                (await ask(zoho, "GET", base, headers={header: name})).body
                for name in (zoho.sandbox.organization, "20000000")
            ]
            assert ours != other
            assert (await ask(zoho, "GET", base, headers={header: "3"})).code == 6041


async def test_billing_names_plans_by_their_codes(zoho: PlainClient) -> None:
    product = rows_of(zoho, "billing.products")[0]["product_id"]
    body = {
        "plan_code": "gold/1",
        "name": "Gold",
        "recurring_price": 9,
        "interval": 1,
        "product_id": product,
    }
    body["plan_code"] = "gold-1"
    assert (await ask(zoho, "POST", "/billing/v1/plans", json=body)).status == 201
    read = await ask(zoho, "GET", "/billing/v1/plans/gold-1")
    assert read.json["plan"]["name"] == "Gold"
    assert (await ask(zoho, "GET", "/billing/v1/plans/none")).code == 101002
    again = await ask(zoho, "POST", "/billing/v1/plans", json=body)
    assert again.status == 400
    off = await ask(zoho, "POST", "/billing/v1/plans/gold-1/markasinactive")
    assert off.code == 0
    read = await ask(zoho, "GET", "/billing/v1/plans/gold-1")
    assert read.json["plan"]["status"] == "inactive"


async def test_an_operation_that_returns_another_record_creates_it(zoho: PlainClient) -> None:
    before = len(rows_of(zoho, "billing.invoices"))
    subscription = rows_of(zoho, "billing.subscriptions")[0]["subscription_id"]
    path = f"/billing/v1/subscriptions/{subscription}/charge"
    made = await ask(zoho, "POST", path, json={"amount": 12.5, "description": "Setup"})
    invoice = made.json["invoice"]["invoice_id"]
    assert len(rows_of(zoho, "billing.invoices")) == before + 1
    read = await ask(zoho, "GET", f"/billing/v1/invoices/{invoice}")
    assert read.json["invoice"]["invoice_id"] == invoice


async def test_a_setting_is_read_back(zoho: PlainClient) -> None:
    body = {"date": "2026-02-01", "accounts": []}
    await zoho.call("PUT", "/settings/openingbalances", json={**body, "opening_balance_id": "7"})
    read = await zoho.get("/settings/openingbalances")
    assert read.json["opening_balance"]["date"] == "2026-02-01"


# -- what is kept, and what it costs --------------------------------------------------------------


async def test_writes_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "books.sqlite"
    form = aiohttp.FormData()
    form.add_field("attachment", PDF, filename="a.pdf", content_type="application/pdf")
    async with raw(Sandbox(file=file)) as zoho:
        first, second = (row["bill_id"] for row in rows_of(zoho, "bills")[:2])
        contact = {"contact_name": "Kept Ltd"}
        made = (await zoho.call("POST", "/contacts", json=contact)).json["contact"]
        await zoho.call("PUT", f"/bills/{first}", json={"notes": "kept é"})
        await zoho.call("POST", f"/bills/{first}/comments", json={"description": "kept"})
        await zoho.call("POST", f"/bills/{first}/attachment", data=form)
        await zoho.call("DELETE", f"/bills/{second}")
        await zoho.call("PUT", "/settings/openingbalances", json={"date": "2026-02-01"})
        truth = {name: zoho.sandbox.truth(name) for name in ("bills", "contacts")}
        comments = (await zoho.get(f"/bills/{first}/comments")).body
    async with raw(Sandbox(file=file)) as zoho:
        assert {name: zoho.sandbox.truth(name) for name in truth} == truth
        assert (await zoho.get(f"/contacts/{made['contact_id']}")).json["contact"] == made
        assert (await zoho.get(f"/bills/{first}")).json["bill"]["notes"] == "kept é"
        assert (await zoho.get(f"/bills/{first}/comments")).body == comments
        assert (await zoho.get(f"/bills/{first}/attachment")).body == PDF
        assert (await zoho.get(f"/bills/{second}")).code == 1002
        opening = (await zoho.get("/settings/openingbalances")).json["opening_balance"]
        assert opening["date"] == "2026-02-01"
        following = (await zoho.call("POST", "/contacts", json={"contact_name": "Next"})).json
        assert int(following["contact"]["contact_id"]) > int(made["contact_id"])


STARTED = """
import asyncio
from zoho_async import description
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox

async def start():
    async with Sandbox(sizes={f"{product}.invoices": 10**6 for product in PRODUCTS}):
        return description.load.cache_info().currsize

print(asyncio.run(start()))
"""


def test_a_start_loads_the_specification_of_books_alone() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, check=True)
    assert done.stdout == b"1\n"


def test_every_operation_has_a_level() -> None:
    assert {product: sum(each.values()) for product, each in counts().items()} == {
        product: len(operations(product)) for product in PRODUCTS
    }
    assert level_of("books.invoices.create") in (1, 2)
    with pytest.raises(KeyError):
        level_of("books.invoices.conjure")
