"""Lists read from a server equal the truth, cost the fewest calls and leave nothing behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest

from zoho_async import Session
from zoho_async.auth import Credentials
from zoho_async.books import contacts, invoices, items, organizations
from zoho_async.errors import Blocked, SessionClosed
from zoho_async.http.retry import Policy
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.operation import ListOperation
from zoho_async.paging import Pager
from zoho_async.paging.plan import MOST_AHEAD
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.wire import Moment, Record

SIZES = [0, 1, 199, 200, 201, 1000]

#: No other program uses the organization, so calls of a test are not paced.
ALONE = Limits(limit=100, burst=100, in_flight=10)

QUICK = Policy(base=0.001)

UNCOUNTED = msgspec.structs.replace(contacts._LIST, totals=False)


@asynccontextmanager
async def opened(
    rows: int, *, latency: float = 0.0, faults: Sequence[Fault] = (), limits: Limits = ALONE
) -> AsyncIterator[tuple[Sandbox, Session]]:
    sizes = {"books.contacts": rows, "books.items": rows, "books.invoices": rows}
    async with (
        Sandbox(sizes=sizes, latency=latency, faults=faults, minute=limits.window) as sandbox,
        Session(
            Credentials(sandbox.client_id, sandbox.client_secret, sandbox.refresh_token),
            organization=sandbox.organization,
            api_url=sandbox.url,
            accounts_url=sandbox.accounts_url,
            limits=limits,
            ledger=MemoryLedger(),
            retry=QUICK,
        ) as zoho,
    ):
        yield sandbox, zoho


def pages_sent(sandbox: Sandbox) -> list[int]:
    return [int(arrival.query["page"]) for arrival in sandbox.arrivals if "page" in arrival.query]


def tasks_of_ours() -> list[str]:
    return [name for task in asyncio.all_tasks() if "page" in (name := task.get_name())]


# -- the truth ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_raw_rows_are_the_truth_byte_for_byte_in_the_fewest_calls(size: int) -> None:
    async with opened(size) as (sandbox, zoho):
        assert [row async for row in contacts.list(zoho).raw()] == sandbox.truth("books.contacts")
        assert sandbox.calls == max(1, math.ceil(size / 200))


@pytest.mark.parametrize("size", SIZES)
async def test_a_list_without_a_total_is_read_whole_with_one_check_past_its_end(size: int) -> None:
    async with opened(size) as (sandbox, zoho):
        rows = [row async for row in Pager(zoho, UNCOUNTED).raw()]
        assert rows == sandbox.truth("books.contacts")
        pages = math.ceil(size / 200)
        assert sorted(pages_sent(sandbox))[: pages + 1] == list(range(1, pages + 2))
        assert sandbox.calls <= pages + 2


async def test_records_are_the_same_rows() -> None:
    async with opened(1000) as (sandbox, zoho):
        ids = [contact.contact_id async for contact in contacts.list(zoho)]
        assert ids == [
            msgspec.json.decode(row)["contact_id"] for row in sandbox.truth("books.contacts")
        ]
        pages = [page async for page in contacts.list(zoho).pages()]
        assert [len(page) for page in pages] == [200] * 5
        assert [contact.contact_id for page in pages for contact in page] == ids


async def test_a_list_without_a_steady_order_is_whole_too() -> None:
    async with opened(450) as (sandbox, zoho):
        rows = [row async for row in items.list(zoho).raw()]
        assert sorted(rows) == sorted(sandbox.truth("books.items"))


async def test_a_list_that_is_not_paged_is_one_call() -> None:
    async with opened(0) as (sandbox, zoho):
        found = [organization async for organization in organizations.list(zoho)]
        assert [organization.organization_id for organization in found] == [sandbox.organization]
        assert sandbox.calls == 1


async def test_an_awaited_list_is_one_page() -> None:
    async with opened(450) as (sandbox, zoho):
        page = await contacts.list(zoho, page=2, per_page=50)
        assert len(page) == 50
        assert page.context.page == 2
        assert page.context.has_more_page is True
        assert sandbox.calls == 1


async def test_an_export_can_begin_at_any_page() -> None:
    async with opened(1000) as (sandbox, zoho):
        pages = [page async for page in contacts.list(zoho).raw_pages(first=4)]
        assert [page.number for page in pages] == [4, 5]
        assert {page.total for page in pages} == {1000}
        rows = [bytes(row) for page in pages for row in page.rows]
        assert rows == sandbox.truth("books.contacts")[600:]
        assert all(page_id for page in pages for page_id in page.ids)


class Owner(msgspec.Struct):
    """A contact as a user's own struct, without its id."""

    contact_name: str
    created_time: Moment | None = None
    balance: Decimal | None = msgspec.field(name="outstanding_receivable_amount", default=None)


async def test_a_list_of_an_own_shape_is_whole_and_proven() -> None:
    async with opened(450) as (sandbox, zoho):
        pager = contacts.list(zoho).into(Owner)
        found = [owner async for owner in pager]
        assert pager.completeness == "proven"
        assert sandbox.calls == 3
        truth = [msgspec.json.decode(row) for row in sandbox.truth("books.contacts")]
    assert [one.contact_name for one in found] == [row["contact_name"] for row in truth]
    assert all(isinstance(one.balance, Decimal) for one in found)
    assert all(one.created_time is not None for one in found)


async def test_lists_read_side_by_side_are_each_whole() -> None:
    async with opened(1000, latency=0.01) as (sandbox, zoho):

        async def read(pager: Pager[Record]) -> int:
            return len([row async for row in pager.raw()])

        lists: list[Pager[Record]] = [contacts.list(zoho), invoices.list(zoho), items.list(zoho)]
        assert await asyncio.gather(*map(read, lists)) == [1000, 1000, 1000]
        assert sandbox.refused == 0


# -- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [contacts._LIST, UNCOUNTED])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="last_page", path="*/contacts", after=1, times=2),
        Fault(kind="last_page", path="*/contacts", times=None),
        Fault(kind="repeat_rows", path="*/contacts", rows=7, times=None),
        Fault(kind="empty", path="*/contacts", after=2),
        Fault(kind="cut", path="*/contacts", after=2),
        Fault(kind="html", path="*/contacts"),
        Fault(kind="drop", path="*/contacts", after=1, times=2),
        Fault(kind="status", path="*/contacts", after=1, status=502),
    ],
    ids=lambda fault: fault.kind if isinstance(fault, Fault) else "",
)
async def test_no_fault_of_zohos_costs_or_doubles_a_row(
    fault: Fault, operation: ListOperation[contacts.Contact]
) -> None:
    fault = msgspec.structs.replace(fault, seen=0, hits=0)
    async with opened(1000, faults=[fault]) as (sandbox, zoho):
        rows = [row async for row in Pager(zoho, operation).raw()]
        assert rows == sandbox.truth("books.contacts")
        assert fault.hits > 0


async def test_an_error_that_stays_is_raised_after_the_rows_before_it() -> None:
    refusal = Fault(kind="status", path="*/contacts", after=2, times=None, status=500)
    async with opened(1000, faults=[refusal]) as (_, zoho):
        read: list[str | None] = []

        async def read_all() -> None:
            async for contact in contacts.list(zoho):
                read.append(contact.contact_id)  # noqa: PERF401 # a comprehension would lose it

        with pytest.raises(Exception, match="HTTP 500"):
            await read_all()
        assert len(read) in (200, 400)
        assert tasks_of_ours() == []


# -- leaving ------------------------------------------------------------------------------------


async def nothing_follows(sandbox: Sandbox, zoho: Session) -> None:
    """During other calls no page arrives and no task is left."""
    sent = len(pages_sent(sandbox))
    for _ in range(4):
        await zoho.request("GET", "/organizations")
    assert tasks_of_ours() == []
    assert len(pages_sent(sandbox)) == sent


class Enough(Exception):
    pass


async def test_a_break_leaves_nothing_behind() -> None:
    async with opened(4000, latency=0.05) as (sandbox, zoho):
        read = 0
        async for _ in contacts.list(zoho):
            read += 1
            if read == 250:
                break
        await nothing_follows(sandbox, zoho)


async def test_an_exception_leaves_nothing_behind() -> None:
    async with opened(4000, latency=0.05) as (sandbox, zoho):

        async def read() -> None:
            async for page in contacts.list(zoho).pages():
                if page.number == 2:
                    raise Enough

        with pytest.raises(Enough):
            await read()
        await nothing_follows(sandbox, zoho)


@pytest.mark.parametrize("seconds", [0.02, 0.08, 0.12, 0.17])
async def test_a_cancelled_reader_leaves_nothing_behind(seconds: float) -> None:
    async with opened(4000, latency=0.05) as (sandbox, zoho):

        async def read() -> int:
            return len([row async for row in contacts.list(zoho)])

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), seconds)
        await nothing_follows(sandbox, zoho)


async def test_look_ahead_that_waits_for_the_limits_is_never_sent_after_a_break() -> None:
    paced = Limits(limit=20, burst=2, window=20)
    async with opened(4000, limits=paced) as (sandbox, zoho):
        async for page in contacts.list(zoho).pages():
            if page.number == 2:
                break
        await nothing_follows(sandbox, zoho)


async def test_a_slow_reader_stops_the_fetching() -> None:
    async with opened(4000, latency=0.05) as (sandbox, zoho):
        rows = aiter(contacts.list(zoho))
        await anext(rows)
        for _ in range(6):
            await zoho.request("GET", "/organizations")
        assert max(pages_sent(sandbox)) <= 1 + MOST_AHEAD
        assert tasks_of_ours() == []
        assert len([row async for row in rows]) == 3999


async def test_closing_the_session_ends_a_walk_with_a_clear_error() -> None:
    async with opened(4000, latency=0.05) as (_, zoho):
        rows = aiter(contacts.list(zoho))
        await anext(rows)
        await zoho.aclose()
        assert tasks_of_ours() == []
        for _ in range(199):
            await anext(rows)
        with pytest.raises(SessionClosed):
            await anext(rows)


async def test_a_block_is_waited_out_by_look_ahead() -> None:
    refusal = Fault(kind="refuse", path="*/contacts", after=2, code=44, retry_after=1)
    short = msgspec.structs.replace(ALONE, window=1)
    async with opened(1000, faults=[refusal], limits=short) as (sandbox, zoho):
        try:
            rows = [row async for row in contacts.list(zoho).raw()]
        except Blocked:
            pytest.fail("look-ahead is patient")
        assert rows == sandbox.truth("books.contacts")
