"""The activity log of Books in the shapes that were seen live, and in worse ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest
from aiohttp import web

from tests.support.answering_server import AnsweringServer
from tests.support.held_clock import HeldClock
from zoho_async.export import feed
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.feed import ChangeFeed, read_feed
from zoho_async.http.call import Budget

TODAY: Final = date(2026, 4, 30)
NOON: Final = datetime(2026, 4, 30, 12, tzinfo=UTC).timestamp()


def row(number: int, days_ago: int = 0, what: str = "updated") -> dict[str, Any]:
    """A row as it was seen live (its ids and names are made up)."""
    return {
        "activity_id": f"9{number}",
        "date": (TODAY - timedelta(days_ago)).isoformat(),
        "description": f'Invoice "INV-{number}" of amount 11,000.00 {what}',
        "user_id": "90000000000000901",
        "user_name": "Sample Person",
        "activity_type": "",
        "ref_transaction_type": "invoice",
        "activity_details": {
            "transaction_id": f"1{number}",
            "transaction_name": f"INV-{number}",
            "transaction_type": "invoice",
            "operation_type": what,
            "customer_id": "90000000000000201",
            "customer_name": "Sample Buyer",
        },
    }


def pages(
    rows: Sequence[dict[str, Any]], *, key: str = "activity_logs", size: int = 3
) -> list[web.Response]:
    """The pages of a log that takes no notice of the dates."""
    cut = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [
        web.json_response(
            {
                "code": 0,
                "message": "success",
                key: page,
                "page_context": {
                    "page": number,
                    "per_page": size,
                    "has_more_page": number < len(cut),
                },
            }
        )
        for number, page in enumerate(cut, 1)
    ]


async def read(
    server: AnsweringServer, since: float | None = None, product: str = "books"
) -> ChangeFeed:
    clock = HeldClock(now=NOON)
    async with server.session() as zoho:
        return await read_feed(zoho, product, since, clock, Budget(1_000))


@pytest.mark.parametrize("key", ["activity_logs", "activitylogs", "activities"])
async def test_entries_of_the_last_days_are_read(server: AnsweringServer, key: str) -> None:
    server.answers = pages([row(1), row(2, 1), row(3, 2, "deleted"), row(4, 2)], key=key)
    found = await read(server)
    assert (found.status, found.calls) == ("read", 2)
    assert [(one.record, one.deleted) for one in found.entries] == [
        ("11", False), ("12", False), ("13", True), ("14", False)
    ]  # fmt: skip
    assert server.taken[0].query["from_date"] == "2026-04-28"
    assert server.taken[0].query["to_date"] == "2026-05-01"


async def test_a_log_that_ignores_the_dates_is_left_once_it_is_older(
    server: AnsweringServer,
) -> None:
    server.answers = pages([row(number, number) for number in range(30)])
    found = await read(server)
    assert (found.status, found.calls) == ("read", 2)
    assert [one.record for one in found.entries] == ["10", "11", "12"]


async def test_a_log_that_begins_with_the_oldest_day_is_read_to_its_end(
    server: AnsweringServer,
) -> None:
    server.answers = pages([row(number, 29 - number) for number in range(30)])
    found = await read(server)
    assert (found.status, found.calls) == ("read", 10)
    assert [one.record for one in found.entries] == ["127", "128", "129"]


async def test_a_log_that_repeats_its_pages_is_incomplete(server: AnsweringServer) -> None:
    server.answers = pages([row(number) for number in range(30)])[:1]
    found = await read(server)
    assert (found.status, found.calls, len(found.entries)) == ("incomplete", 2, 3)
    assert not found.usable
    assert found.reason


async def test_a_log_without_end_is_incomplete(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_PAGES", 4)
    server.answers = pages([row(number) for number in range(30)])
    assert ((await read(server)).status, len(server.taken)) == ("incomplete", 4)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((401, {"code": 57, "message": "You are not authorized"}), "refused"),
        ((404, {"code": 5, "message": "Invalid URL Passed"}), "refused"),
        ((500, {"code": 1000, "message": "Internal error"}), "failed"),
    ],
)
async def test_a_log_that_is_not_given_is_no_failure_of_the_run(
    server: AnsweringServer, answer: tuple[int, dict[str, Any]], status: str
) -> None:
    server.answers = [web.json_response(answer[1], status=answer[0])]
    found = await read(server)
    assert found.status == status
    assert str(answer[1]["message"]) in found.reason


async def test_an_id_that_is_used_again_names_each_record(server: AnsweringServer) -> None:
    again = [{**row(2), "activity_id": "91"}, row(1, what="deleted"), row(1, 1)]
    server.answers = pages([row(1), row(1), *again], size=5)
    found = await read(server)
    assert [(one.record, one.deleted) for one in found.entries] == [
        ("11", False), ("12", False), ("11", True), ("11", False)
    ]  # fmt: skip


async def test_a_full_page_without_a_page_context_may_not_be_the_last(
    server: AnsweringServer,
) -> None:
    for size, status in ((200, "incomplete"), (199, "read")):
        rows = [row(number) for number in range(size)]
        server.answers = [web.json_response({"code": 0, "activity_logs": rows})]
        assert (await read(server)).status == status


async def test_odd_rows_name_nothing(server: AnsweringServer) -> None:
    bare = {"id": "7", "date": "2026-04-30", "description": 'Expense "E" deleted'}
    odd: list[dict[str, Any]] = [
        bare,
        bare,
        {},
        {"activity_id": None, "activity_details": None, "date": None},
    ]
    server.answers = pages([*odd, row(5)], size=200)
    found = await read(server)
    assert found.status == "read"
    assert [one.record for one in found.entries if one.record] == ["15"]
    assert found.entries[0].entry_id == "7"


async def test_the_days_since_the_last_run_are_read_with_the_overlap(
    server: AnsweringServer,
) -> None:
    server.answers = pages([row(1)])
    await read(server, since=NOON - 5 * 86_400)
    assert server.last.query["from_date"] == "2026-04-23"


def event(number: int, hours_ago: int = 0, **changed: object) -> dict[str, Any]:
    moment = datetime(2026, 4, 30, 12, tzinfo=UTC) - timedelta(hours=hours_ago)
    when = moment.strftime("%Y-%m-%dT%H:%M:%S%z")
    named = {"event_id": f"7{number}", "event_type": "payment_thankyou", "event_time": when}
    return named | changed


async def test_events_of_billing_have_times_and_name_no_records(server: AnsweringServer) -> None:
    rows = [event(1), event(2, 30), event(3, 30, event_time=""), event(4, 24 * 5), event(5, 24 * 6)]
    server.answers = pages(rows, key="events", size=2)
    found = await read(server, product="billing")
    assert (found.feed, found.status, found.calls) == ("billing.events", "read", 3)
    assert [(one.entry_id, one.record, one.day) for one in found.entries] == [
        *(("71", "", "2026-04-30"), ("72", "", "2026-04-29"), ("73", "", "")),
    ]
    assert found.entries[0].time == NOON
    first = found.entries[0]
    known = ListFeed(read=NOON - 60, seen={first.identity: first.day})
    assert [one.entry_id for one in found.unused(known)] == ["72", "73"]


@pytest.mark.parametrize(("number", "status"), [(199, "read"), (200, "incomplete")])
async def test_a_full_page_of_events_without_a_page_context_may_not_be_all(
    server: AnsweringServer, number: int, status: str
) -> None:
    body = {"code": 0, "message": "success", "events": [event(one) for one in range(number)]}
    server.answers = [web.json_response(body) for _ in range(2)]
    assert (await read(server, product="billing")).status == status
