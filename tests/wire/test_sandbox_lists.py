"""The sandbox's lists: pages, orders and filters, checked against its records."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.plain_client import PlainClient, raw
from zoho_async.sandbox import Sandbox

SIZES = {"contacts": 230, "items": 90, "invoices": 450, "projects": 12}


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(seed=7, sizes=SIZES, per_minute=1000)) as client:
        yield client


@pytest.mark.parametrize("resource", ["contacts", "invoices", "projects"])
async def test_the_pages_together_equal_the_truth_byte_for_byte(
    zoho: PlainClient, resource: str
) -> None:
    rows = await zoho.rows(resource, sort_column="created_time", sort_order="A")
    assert rows == zoho.sandbox.truth(f"books.{resource}")
    assert len(rows) == SIZES[resource]


async def test_every_order_has_the_same_rows(zoho: PlainClient) -> None:
    truth = sorted(zoho.sandbox.truth("invoices"))
    for column in ("customer_name", "total", "date", "created_time"):
        rows = await zoho.rows("invoices", sort_column=column, sort_order="D", per_page=77)
        values = [msgspec.json.decode(row)[column] for row in rows]
        assert sorted(rows) == truth
        folded = [value.casefold() if isinstance(value, str) else value for value in values]
        assert folded == sorted(folded, reverse=True)


async def test_the_same_seed_makes_the_same_rows_and_another_seed_others() -> None:
    first, again, other = Sandbox(seed=5), Sandbox(seed=5), Sandbox(seed=6)
    assert first.truth("projects") == again.truth("projects") != other.truth("projects")


def test_a_longer_list_begins_with_the_records_of_a_shorter_one() -> None:
    """The times differ, because every list covers the three years."""
    short, long = (Sandbox(sizes={"contacts": n}).truth("contacts") for n in (5, 50))
    names = ("contact_id", "contact_name", "email", "payment_terms", "currency_code")
    for one, other in zip(short, long[:5], strict=True):
        a, b = msgspec.json.decode(one), msgspec.json.decode(other)
        assert [a[name] for name in names] == [b[name] for name in names]


def test_ids_are_long_texts_of_digits_that_ascend_with_created_time() -> None:
    few = {"contacts": 300, "invoices": 300}
    for seed in range(6):
        rows = [msgspec.json.decode(row) for row in Sandbox(seed=seed, sizes=few).truth("contacts")]
        ids = [row["contact_id"] for row in rows]
        assert all(isinstance(each, str) and len(each) in (18, 19) for each in ids)
        assert ids == sorted(ids, key=int) == sorted(set(ids))
        times = [row["created_time"] for row in rows]
        assert times == sorted(times)


async def test_a_page_is_at_most_200_rows_and_200_is_the_default(zoho: PlainClient) -> None:
    for asked in ({}, {"per_page": 200}, {"per_page": 500}):
        answer = (await zoho.get("/invoices", **asked)).json
        assert len(answer["invoices"]) == 200
        assert answer["page_context"]["per_page"] == 200


async def test_a_page_past_the_end_is_empty_and_the_last(zoho: PlainClient) -> None:
    answer = (await zoho.get("/invoices", page=9)).json
    assert answer["invoices"] == []
    assert answer["page_context"]["has_more_page"] is False


async def test_the_page_context_is_as_recorded(zoho: PlainClient) -> None:
    answer = await zoho.get(
        "/contacts", page=1, per_page=100, sort_column="contact_name", sort_order="A"
    )
    assert answer.json["page_context"] == {
        "page": 1,
        "per_page": 100,
        "has_more_page": True,
        "report_name": "Contacts",
        "applied_filter": "Status.All",
        "custom_fields": [],
        "sort_column": "contact_name",
        "sort_order": "A",
    }


async def test_totals_are_sent_on_request_and_alone_with_option_2(
    zoho: PlainClient,
) -> None:
    counted = (await zoho.get("/invoices", response_option=1)).json
    assert counted["page_context"]["total"] == 450
    assert counted["page_context"]["total_pages"] == 3
    alone = (await zoho.get("/invoices", response_option=2)).json
    assert "invoices" not in alone
    assert alone["page_context"]["total"] == 450
    assert "total" not in (await zoho.get("/invoices")).json["page_context"]


async def test_filters_return_exactly_the_matching_rows(zoho: PlainClient) -> None:
    truth = [msgspec.json.decode(row) for row in zoho.sandbox.truth("invoices")]
    middle = truth[225]

    async def count(**query: str | int) -> int:
        answer = await zoho.get("/invoices", response_option=2, **query)
        assert answer.status == 200, answer.body
        return int(answer.json["page_context"]["total"])

    def expected(test: Any) -> int:
        return sum(1 for row in truth if test(row))

    assert await count(status="paid") == expected(lambda row: row["status"] == "paid")
    unpaid = ("sent", "overdue", "partially_paid")
    assert await count(status="unpaid") == expected(lambda row: row["status"] in unpaid)
    assert await count(filter_by="Status.Draft") == expected(lambda row: row["status"] == "draft")
    day = middle["date"]
    assert await count(date=day) == expected(lambda row: row["date"] == day)
    assert await count(date_start=day) == expected(lambda row: row["date"] >= day)
    assert await count(date_before=day) == expected(lambda row: row["date"] < day)
    assert await count(due_date_after=day) == expected(lambda row: row["due_date"] > day)
    assert await count(invoice_number_contains="22") == expected(
        lambda row: "22" in row["invoice_number"]
    )
    assert await count(total=middle["total"]) == expected(
        lambda row: row["total"] == middle["total"]
    )
    assert await count(customer_id=middle["customer_id"]) == expected(
        lambda row: row["customer_id"] == middle["customer_id"]
    )
    assert await count(search_text="inv-00022") == expected(
        lambda row: "INV-00022" in row["invoice_number"]
    )


async def test_invoices_are_found_by_an_item_in_their_lines(zoho: PlainClient) -> None:
    invoice = msgspec.json.decode(zoho.sandbox.truth("invoices")[3])
    whole = (await zoho.get(f"/invoices/{invoice['invoice_id']}")).json["invoice"]
    item_id = whole["line_items"][0]["item_id"]
    rows = [msgspec.json.decode(row) for row in await zoho.rows("invoices", item_id=item_id)]
    assert invoice["invoice_id"] in [row["invoice_id"] for row in rows]
    assert 0 < len(rows) < 450


async def test_items_are_filtered_by_their_price(zoho: PlainClient) -> None:
    rates = [msgspec.json.decode(row)["rate"] for row in zoho.sandbox.truth("items")]
    rows = await zoho.rows("items", rate_less_than="50000.5")
    assert len(rows) == sum(1 for rate in rates if rate < 50000.5)


async def test_last_modified_time_returns_changes_since_a_time(zoho: PlainClient) -> None:
    rows = [msgspec.json.decode(row) for row in zoho.sandbox.truth("invoices")]
    times = sorted(row["last_modified_time"] for row in rows)
    since = times[300]
    found = await zoho.rows("invoices", last_modified_time=since)
    assert len(found) == sum(1 for each in times if each >= since)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-06-09T09:45:19Z",
        "2026-06-09T09:45:19-04:00",
        "2026-06-09T09:45:19.5-0400",
        "2026-06-09T09:45:19 0530",
        "2026-06-09",
        "2026-13-09T09:45:19+0000",
    ],
)
async def test_a_time_in_another_format_is_refused(zoho: PlainClient, moment: str) -> None:
    answer = await zoho.get("/invoices", last_modified_time=moment)
    assert (answer.status, answer.code) == (400, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sort_column": "colour"},
        {"sort_order": "up"},
        {"page": "0"},
        {"page": "one"},
        {"status": "lost"},
        {"date": "yesterday"},
        {"total": "much"},
        {"search_text": "x" * 101},
    ],
)
async def test_invalid_values_are_refused_with_code_2(
    zoho: PlainClient, wrong: dict[str, str]
) -> None:
    answer = await zoho.get("/invoices", **wrong)
    assert (answer.status, answer.code) == (400, 2)


async def test_unknown_parameters_and_contact_type_are_ignored(
    zoho: PlainClient,
) -> None:
    for query in ({"colour": "red"}, {"contact_type": "vendor"}):
        answer = await zoho.get("/contacts", response_option=2, **query)
        assert answer.json["page_context"]["total"] == 230


async def test_money_has_a_point_and_missing_values_are_blanks_never_null(
    zoho: PlainClient,
) -> None:
    for resource in ("contacts", "items", "invoices", "projects"):
        for row in zoho.sandbox.truth(resource):
            assert b":null" not in row
    item = next(row for row in zoho.sandbox.truth("items") if b'"tax_percentage":""' in row)
    assert b'"is_backorder":""' in item
    money = ("total", "balance", "shipping_charge")
    for row in zoho.sandbox.truth("invoices"):
        raw_values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        assert all(b"." in bytes(raw_values[name]) for name in money)


async def test_custom_fields_are_sent_in_three_forms(zoho: PlainClient) -> None:
    rows = [msgspec.json.decode(row) for row in zoho.sandbox.truth("invoices")]
    row = next(row for row in rows if row["custom_fields"])
    assert (
        row["cf_score"] == row["custom_field_hash"]["cf_score"] == str(row["cf_score_unformatted"])
    )
    assert row["custom_fields"][1]["value"] == row["cf_score_unformatted"]
    assert any(not row["custom_fields"] for row in rows)


async def test_some_prices_are_finer_than_a_float(zoho: PlainClient) -> None:
    rows = Sandbox(sizes={"items": 600}).truth("items")
    texts = [
        bytes(msgspec.json.decode(row, type=dict[str, msgspec.Raw])["rate"]).decode()
        for row in rows
    ]
    assert any(repr(float(text)) != text for text in texts)


async def test_edits_while_paging_move_rows(zoho: PlainClient) -> None:
    contacts = zoho.sandbox.store().collection("contacts")
    first = (await zoho.get("/contacts", sort_column="created_time", per_page=10)).json
    contacts.remove(0)
    second = (await zoho.get("/contacts", sort_column="created_time", per_page=10, page=2)).json
    ids = [row["contact_id"] for page in (first, second) for row in page["contacts"]]
    assert contacts.world.id("books.contacts", 10) not in ids
    assert len(zoho.sandbox.truth("contacts")) == 229


async def test_lists_inside_records_belong_to_that_record(zoho: PlainClient) -> None:
    first, second = (
        msgspec.json.decode(row)["project_id"] for row in zoho.sandbox.truth("projects")[:2]
    )
    tasks = (await zoho.get(f"/projects/{first}/tasks")).json["tasks"]
    assert tasks
    assert {task["project_id"] for task in tasks} == {first}
    others = (await zoho.get(f"/projects/{second}/tasks")).json["tasks"]
    assert {task["task_id"] for task in others}.isdisjoint(task["task_id"] for task in tasks)
    assert (await zoho.get("/projects/1/tasks")).code == 1002


async def test_several_items_are_read_at_once(zoho: PlainClient) -> None:
    ids = [msgspec.json.decode(row)["item_id"] for row in zoho.sandbox.truth("items")[:3]]
    answer = await zoho.get("/itemdetails", item_ids=",".join(ids))
    assert [item["item_id"] for item in answer.json["items"]] == ids


async def test_starting_is_fast_with_any_number_of_rows() -> None:
    least, most = [[await seconds_to_start(rows) for _ in range(5)] for rows in (10, 1_000_000)]
    assert min(most) < 100 * min(least)  # a row costs less than a thousandth of a start


async def seconds_to_start(rows: int) -> float:
    began = time.process_time()  # of this process alone: others share the machine
    async with Sandbox(sizes={"invoices": rows}):
        return time.process_time() - began
