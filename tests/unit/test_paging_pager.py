"""Reading a list: every row once, fetched ahead in step, nothing left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import pytest

from zoho_async.errors import InvalidRequest, Request, SessionClosed, ShapeError
from zoho_async.events import Event, Paged
from zoho_async.http.transport import Answer
from zoho_async.operation import BOOKS, ListOperation
from zoho_async.paging import Pager
from zoho_async.paging.lookahead import Walk
from zoho_async.paging.plan import MOST_AHEAD
from zoho_async.wire import Decoder, Record, Unreadable

T = TypeVar("T")

pytestmark = [
    pytest.mark.looptime,
    pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter"),
]


class Thing(Record, frozen=True, kw_only=True):
    thing_id: str | None = None
    name: str | None = None


class Setting(Record, frozen=True, kw_only=True):
    name: str | None = None


THINGS = ListOperation(
    name="books.things.list",
    product=BOOKS,
    path="/things",
    row=Thing,
    key="things",
    row_id="thing_id",
    order="created_time",
)
COUNTED = msgspec.structs.replace(THINGS, totals=True)
SETTINGS = ListOperation(
    name="books.settings.list",
    product=BOOKS,
    path="/settings",
    row=Setting,
    key="things",
    paged=False,
)


class Zoho:
    """A session whose server answers after ``latency`` seconds, in ``log`` all that it was asked.

    The limits let ``rate`` calls a second through; calls wait in line for it.
    """

    organization = "10234695"

    def __init__(self, rows: int = 0, *, latency: float = 0.3, rate: float = 1000.0) -> None:
        self.rows = [{"thing_id": str(10**17 + n), "name": f"row {n}"} for n in range(rows)]
        self.latency = latency
        self.rate = rate
        self.lane: str = "interactive"
        self.decoder = Decoder()
        self.log: list[tuple[int, str, Mapping[str, object]]] = []
        self.events: list[Event] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.errors: dict[int, Exception] = {}
        self.slow: dict[int, float] = {}
        self.quiet: set[int] = set()
        self.eternal = False
        self.closed = False
        self.context = True
        self.origin = self
        self.free_at = 0.0
        self.headers: dict[str, str] = {}

    @property
    def pages(self) -> list[int]:
        """The numbers of the pages that were sent, in order."""
        return [page for page, _, _ in self.log]

    def with_options(self, *, lane: Literal["interactive", "bulk"], max_wait: float | None) -> Zoho:
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.lane = lane
        assert max_wait is None
        return view

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        asked = dict(query or {})
        number = int(str(asked.get("page", 1)))
        loop = asyncio.get_running_loop()
        self.origin.free_at = max(self.origin.free_at, loop.time()) + 1 / self.rate
        await asyncio.sleep(self.origin.free_at - 1 / self.rate - loop.time())
        self.log.append((number, self.lane, asked))
        await asyncio.sleep(self.slow.get(number, self.latency))
        if number in self.errors:
            raise self.errors[number]
        body = self.body(number, asked)
        return Answer(200, self.headers, body, self.latency), read(body)

    def body(self, number: int, asked: Mapping[str, object]) -> bytes:
        per_page = int(str(asked.get("per_page", 200)))
        rows = self.rows[(number - 1) * per_page : number * per_page]
        more = self.eternal or (number * per_page < len(self.rows) and number not in self.quiet)
        context: dict[str, object] = {"page": number, "per_page": per_page, "has_more_page": more}
        if asked.get("response_option") == 1:
            context["total"] = len(self.rows)
        reply: dict[str, object] = {"code": 0, "message": "success", "things": rows}
        if self.context:
            reply["page_context"] = context
        return msgspec.json.encode(reply)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        if self.origin.closed:
            work.close()
            raise SessionClosed
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def observe(self, event: Event) -> None:
        self.events.append(event)

    async def aclose(self) -> None:
        self.closed = True
        for task in (tasks := list(self.tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def things(zoho: Zoho, **query: object) -> Pager[Thing]:
    return Pager(zoho, THINGS, query=query)


async def names(rows: AsyncIterator[Thing]) -> list[str | None]:
    return [row.name async for row in rows]


async def names_into(read: list[str | None], rows: AsyncIterator[Thing]) -> None:
    """What was read is there even if an exception ends the reading."""
    async for row in rows:
        read.append(row.name)  # noqa: PERF401 # a comprehension would lose it


def all_names(zoho: Zoho) -> list[str | None]:
    return [row["name"] for row in zoho.rows]


def expected_failure() -> InvalidRequest:
    return InvalidRequest(Request("GET", "/things"), 400, 2, "no")


# -- one page -----------------------------------------------------------------------------------


async def test_an_awaited_list_is_one_page_in_zohos_own_order() -> None:
    zoho = Zoho(450)
    page = await things(zoho, page=2, status="active", sort_order=None)
    assert [row.name for row in page] == all_names(zoho)[200:400]
    assert len(page) == 200
    assert page.number == 2
    assert page.context.has_more_page is True
    assert zoho.log == [(2, "interactive", {"page": 2, "status": "active"})]


async def test_an_awaited_list_without_a_page_context_has_an_empty_one() -> None:
    zoho = Zoho(3)
    zoho.context = False
    page = await Pager(zoho, SETTINGS)
    assert page.context.has_more_page is None
    assert page.number == 1


async def test_undocumented_keys_of_a_reply_stay_with_its_page() -> None:
    class Chatty(Zoho):
        def body(self, number: int, asked: Mapping[str, object]) -> bytes:
            reply = msgspec.json.decode(super().body(number, asked))
            return msgspec.json.encode(reply | {"summary": {"open": 3}})

    assert (await things(Chatty(3))).extra == {"summary": {"open": 3}}
    async for page in things(Chatty(3)).pages():
        assert page.extra == {"summary": {"open": 3}}


# -- every row ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 199, 200, 201, 400, 1000])
@pytest.mark.parametrize("operation", [THINGS, COUNTED])
async def test_iteration_gives_every_row_once(size: int, operation: ListOperation[Thing]) -> None:
    zoho = Zoho(size)
    assert await names(aiter(Pager(zoho, operation))) == all_names(zoho)
    assert not zoho.tasks


@pytest.mark.parametrize("size", [0, 1, 199, 200, 201, 400, 1000])
async def test_with_a_total_no_page_past_the_end_is_asked_for(size: int) -> None:
    zoho = Zoho(size)
    await names(aiter(Pager(zoho, COUNTED)))
    assert zoho.pages == list(range(1, max(1, math.ceil(size / 200)) + 1))


async def test_the_rows_are_counted_with_the_first_page_only_and_not_against_the_callers_word() -> (
    None
):
    zoho = Zoho(450)
    await names(aiter(Pager(zoho, COUNTED)))
    assert [asked.get("response_option") for _, _, asked in zoho.log] == [1, None, None]
    zoho = Zoho(450)
    await names(aiter(Pager(zoho, COUNTED, query={"response_option": 0})))
    assert {asked.get("response_option") for _, _, asked in zoho.log} == {0}


async def test_iteration_asks_for_the_steady_order_and_full_pages() -> None:
    zoho = Zoho(450)
    await names(aiter(things(zoho, status="active")))
    assert zoho.log[0][2] == {
        "status": "active",
        "page": 1,
        "per_page": 200,
        "sort_column": "created_time",
        "sort_order": "A",
    }


async def test_the_callers_own_order_page_and_page_size_win() -> None:
    zoho = Zoho(450)
    rows = await names(aiter(things(zoho, sort_column="date", page=2, per_page="100")))
    assert rows == all_names(zoho)[100:]
    assert {asked.get("sort_column") for _, _, asked in zoho.log} == {"date"}
    assert not any("sort_order" in asked for _, _, asked in zoho.log)
    assert zoho.pages[0] == 2


async def test_a_list_that_is_not_paged_is_one_call_without_parameters_of_ours() -> None:
    zoho = Zoho(300)
    zoho.context = False
    assert len([row async for row in Pager(zoho, SETTINGS)]) == 200  # the fake's only page
    assert zoho.log == [(1, "interactive", {})]


async def test_a_short_list_without_a_page_context_is_one_call() -> None:
    zoho = Zoho(30)
    zoho.context = False
    assert len(await names(aiter(things(zoho)))) == 30
    assert zoho.pages == [1]


async def test_rows_without_an_id_are_passed_as_they_are() -> None:
    zoho = Zoho()
    zoho.rows = [{"thing_id": row_id, "name": "same"} for row_id in ("", "", "-1", "-1", "7", "7")]
    assert len(await names(aiter(things(zoho, status="active")))) == 5


async def test_rows_that_are_repeated_come_once() -> None:
    zoho = Zoho(500)
    zoho.rows[200:200] = zoho.rows[190:200]
    zoho.rows[450:450] = zoho.rows[3:5]
    once = [f"row {n}" for n in range(500)]
    assert sorted(map(str, await names(aiter(things(zoho))))) == sorted(once)
    pages = [page async for page in things(zoho).pages()]
    assert sum(map(len, pages)) == 500


async def test_an_id_field_that_no_struct_describes_still_tells_rows_apart() -> None:
    zoho = Zoho(10)
    zoho.rows += zoho.rows
    operation = msgspec.structs.replace(THINGS, row=Setting)
    assert len([row async for row in Pager(zoho, operation)]) == 10


async def test_has_more_page_that_is_false_too_early_loses_nothing() -> None:
    zoho = Zoho(1000)
    zoho.quiet = {1, 3, 4}
    assert await names(aiter(things(zoho))) == all_names(zoho)


async def test_has_more_page_that_is_true_for_ever_ends_with_three_empty_pages() -> None:
    zoho = Zoho(1000)
    zoho.eternal = True
    assert await names(aiter(things(zoho, status="active"))) == all_names(zoho)
    assert 8 <= max(zoho.pages) <= 9


async def test_a_page_that_came_empty_among_others_is_passed_over() -> None:
    class Absent(Zoho):
        def body(self, number: int, asked: Mapping[str, object]) -> bytes:
            whole = super().body(number, asked)
            reply = msgspec.json.decode(whole)
            return msgspec.json.encode(reply | {"things": []}) if number == 3 else whole

    zoho = Absent(1000)
    found = await names(aiter(things(zoho)))
    assert found == all_names(zoho)[:400] + all_names(zoho)[600:]
    assert [len(page.rows) async for page in things(zoho).pages()] == [200, 200, 200, 200]


@pytest.mark.parametrize("with_ids", [True, False])
async def test_a_server_that_repeats_its_page_for_ever_does_not_hold_the_reader(
    with_ids: bool,
) -> None:
    class Parrot(Zoho):
        def body(self, number: int, asked: Mapping[str, object]) -> bytes:
            return super().body(1, asked)

    zoho = Parrot(300)
    zoho.eternal = True
    operation = THINGS if with_ids else msgspec.structs.replace(THINGS, row_id="")
    rows = [row async for row in Pager(zoho, operation)]
    assert len({row.name for row in rows}) == 200
    assert len(zoho.pages) < 10


async def test_a_filtered_read_that_ends_on_a_short_page_is_not_checked() -> None:
    zoho = Zoho(30)
    await names(aiter(things(zoho, last_modified_time="2026-01-01T00:00:00+0000")))
    assert zoho.pages == [1]
    await names(aiter(things(zoho, filter_by="Status.All")))
    assert zoho.pages == [1, 1, 2]


async def test_the_chart_of_accounts_is_checked_even_with_a_filter() -> None:
    zoho = Zoho(30)
    accounts = msgspec.structs.replace(THINGS, path="/chartofaccounts")
    await names(aiter(Pager(zoho, accounts, query={"last_modified_time": "2026-01-01"})))
    assert zoho.pages == [1, 2]


# -- look-ahead ---------------------------------------------------------------------------------


async def test_the_first_page_goes_by_the_sessions_options_and_the_rest_as_bulk() -> None:
    zoho = Zoho(1000)
    await names(aiter(things(zoho)))
    lanes = {page: lane for page, lane, _ in zoho.log}
    assert lanes.pop(1) == "interactive"
    assert set(lanes.values()) == {"bulk"}


@pytest.mark.parametrize("latency", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("operation", [THINGS, COUNTED])
async def test_a_quick_reader_keeps_the_limits_busy(
    latency: float, operation: ListOperation[Thing]
) -> None:
    zoho = Zoho(12_000, latency=latency, rate=4 / 3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert len(await names(aiter(Pager(zoho, operation)))) == 12_000
    assert loop.time() - began == pytest.approx(60 * 0.75 + 2 * latency, abs=latency + 1.6)


async def test_a_slow_reader_stops_the_fetching() -> None:
    zoho = Zoho(20_000, latency=2.0, rate=100)
    rows = aiter(things(zoho))
    for _ in range(250):
        await anext(rows)
    await asyncio.sleep(1000)
    assert max(zoho.pages) <= 2 + MOST_AHEAD
    await asyncio.sleep(1000)
    asked = len(zoho.pages)
    assert len(zoho.log) == asked
    assert len(await names(rows)) == 20_000 - 250


async def test_look_ahead_is_no_deeper_than_the_limits_and_the_latency_need() -> None:
    zoho = Zoho(20_000, latency=0.3, rate=4 / 3)
    rows = aiter(things(zoho))
    for _ in range(10 * 200):
        await anext(rows)
    await asyncio.sleep(1000)
    assert max(zoho.pages) == 10 + 2


async def test_each_page_read_is_observed() -> None:
    zoho = Zoho(450)
    zoho.rows[210] = zoho.rows[5]
    await names(aiter(Pager(zoho, COUNTED)))
    told = [event for event in zoho.events if isinstance(event, Paged)]
    assert [(event.page, event.rows, event.new) for event in told[:3]] == [
        (1, 200, 200),
        (2, 200, 199),
        (3, 50, 50),
    ]
    assert told[0].path == "/things"


# -- leaving ------------------------------------------------------------------------------------


async def nothing_follows(zoho: Zoho) -> None:
    """No task stays and no further page is sent."""
    sent = len(zoho.log)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(1000)
    assert len(zoho.log) == sent


async def read_until(zoho: Zoho, number: int, kind: str) -> None:
    pager = things(zoho)
    if kind == "rows":
        async for row in pager:
            if row.name == f"row {number}":
                raise Done
    elif kind == "pages":
        async for page in pager.pages():
            if any(row.name == f"row {number}" for row in page):
                raise Done
    else:
        async for raw in pager.raw():
            if raw.endswith(f'row {number}"}}'.encode()):
                raise Done


class Done(Exception):
    pass


@pytest.mark.parametrize("kind", ["rows", "pages", "raw"])
async def test_an_exception_in_the_loop_ends_the_look_ahead(kind: str) -> None:
    zoho = Zoho(5000, rate=20)
    with pytest.raises(Done):
        await read_until(zoho, 450, kind)
    await nothing_follows(zoho)


async def test_a_break_ends_the_look_ahead() -> None:
    zoho = Zoho(5000, rate=20)
    async for row in things(zoho):
        if row.name == "row 450":
            break
    await nothing_follows(zoho)


async def test_a_break_out_of_one_of_two_loops_leaves_the_other_alone() -> None:
    zoho = Zoho(1000, rate=20)
    pager = things(zoho)
    read = 0
    async for _ in pager:
        read += 1
        if read == 300:
            async for _ in pager:
                break
    assert read == 1000
    await nothing_follows(zoho)


async def test_a_cancelled_reader_ends_the_look_ahead_even_if_its_iterator_is_held() -> None:
    zoho = Zoho(5000, rate=20)
    held = []

    async def read() -> None:
        rows = aiter(things(zoho))
        held.append(rows)
        async for row in rows:
            if row.name == "row 450":
                await asyncio.sleep(1000)

    task = asyncio.create_task(read())
    await asyncio.sleep(10)
    task.cancel()
    await asyncio.wait([task])
    await nothing_follows(zoho)


async def test_a_reader_cancelled_while_it_waits_for_a_page_ends_the_look_ahead() -> None:
    zoho = Zoho(5000, latency=5, rate=20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(names(aiter(things(zoho))), 7)
    await nothing_follows(zoho)


async def test_a_walk_can_go_on_after_a_timeout_and_loses_no_row() -> None:
    zoho = Zoho(1000, latency=5)
    rows = aiter(things(zoho))
    read: list[str | None] = []
    timeouts = 0
    while True:
        try:
            read.append((await asyncio.wait_for(anext(rows), 7 if timeouts % 2 else 3)).name)
        except TimeoutError:
            timeouts += 1
        except StopAsyncIteration:
            break
    assert read == all_names(zoho)
    assert timeouts > 0


async def test_closing_an_iterator_ends_it_at_once() -> None:
    zoho = Zoho(5000, rate=20)
    async with things(zoho).pages() as pages:
        await anext(pages)
        await anext(pages)
        assert zoho.tasks
    assert not zoho.tasks
    with pytest.raises(StopAsyncIteration):
        await anext(pages)
    async with aiter(things(zoho)) as rows:
        await anext(rows)
    assert [row async for row in rows] == []
    await nothing_follows(zoho)


async def test_an_iterator_closed_by_another_task_ends_for_its_reader() -> None:
    zoho = Zoho(5000, latency=5)
    rows = aiter(things(zoho))
    reader = asyncio.create_task(names(rows))
    await asyncio.sleep(7)
    await rows.aclose()
    assert len(await reader) == 200
    await nothing_follows(zoho)


async def test_an_iterator_dropped_on_another_thread_ends_too() -> None:
    zoho = Zoho(5000, rate=20)
    rows = [aiter(things(zoho))]
    await anext(rows[0])
    assert zoho.tasks
    await asyncio.to_thread(rows.clear)
    await nothing_follows(zoho)


async def test_a_walk_is_gone_with_its_reader_and_needs_no_collector() -> None:
    zoho = Zoho(1000)
    gc.collect()
    gc.disable()
    try:
        assert len(await names(aiter(things(zoho)))) == 1000
        async for _ in things(zoho):
            break
        zoho.errors[3] = expected_failure()
        with pytest.raises(InvalidRequest):
            await names(aiter(things(zoho)))
        zoho.errors.clear()
        await asyncio.sleep(10)
        assert not [thing for thing in gc.get_objects() if type(thing) is Walk]
    finally:
        gc.enable()


async def test_a_task_that_reads_many_lists_keeps_nothing_of_them() -> None:
    zoho = Zoho(3)
    task = asyncio.current_task()
    assert task is not None
    before = len(task._callbacks)  # there is no public view of them
    async for _ in things(zoho):
        pass
    async for _ in things(zoho):
        break
    assert len(task._callbacks) == before


async def test_several_tasks_may_share_one_iterator() -> None:
    zoho = Zoho(2500)
    rows = aiter(things(zoho))

    async def work() -> list[str | None]:
        done = []
        async for row in rows:
            await asyncio.sleep(0.001)
            done.append(row.name)
        return done

    done = await asyncio.gather(*(work() for _ in range(5)))
    assert all(done)
    assert sorted(str(name) for part in done for name in part) == sorted(map(str, all_names(zoho)))
    await nothing_follows(zoho)


async def test_reading_each_row_in_a_task_of_its_own_fetches_no_page_twice() -> None:
    zoho = Zoho(1000)
    rows = aiter(Pager(zoho, COUNTED))
    for _ in range(1000):
        await asyncio.create_task(anext(rows))
        await asyncio.sleep(0.01)
    assert zoho.pages == [1, 2, 3, 4, 5]


async def test_pages_that_had_come_before_a_timeout_are_not_fetched_again() -> None:
    zoho = Zoho(1000)
    rows = aiter(Pager(zoho, COUNTED))
    zoho.slow[2] = 1000
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(names(rows), 10)
    zoho.slow.clear()
    assert len(await names(rows)) == 800
    assert sorted(zoho.pages) == [1, 2, 2, 3, 4, 5]


# -- errors -------------------------------------------------------------------------------------


async def test_an_error_of_a_page_comes_after_the_rows_before_it() -> None:
    zoho = Zoho(5000, latency=2, rate=20)
    zoho.errors[4] = expected_failure()
    read: list[str | None] = []
    with pytest.raises(InvalidRequest):
        await names_into(read, aiter(things(zoho)))
    assert read == all_names(zoho)[:600]
    await nothing_follows(zoho)


async def test_a_walk_can_go_on_after_an_error() -> None:
    zoho = Zoho(1000)
    zoho.errors[1] = zoho.errors[3] = expected_failure()
    rows = aiter(Pager(zoho, COUNTED))
    with pytest.raises(InvalidRequest):
        await anext(rows)
    del zoho.errors[1]
    read: list[str | None] = []
    with pytest.raises(InvalidRequest):
        await names_into(read, rows)
    del zoho.errors[3]
    assert read + await names(rows) == all_names(zoho)


async def test_an_error_past_the_end_is_ignored() -> None:
    zoho = Zoho(900, latency=2, rate=20)
    zoho.errors[6] = expected_failure()
    assert await names(aiter(things(zoho, status="active"))) == all_names(zoho)
    assert 6 in zoho.pages


async def test_a_reply_that_is_no_list_is_no_empty_list() -> None:
    class Broken(Zoho):
        def body(self, number: int, asked: Mapping[str, object]) -> bytes:
            return b'{"code": 0, "message": "success"}'

    with pytest.raises(Unreadable, match="neither 'things'"):
        await things(Broken())
    with pytest.raises(Unreadable, match="neither 'things'"):
        await names(aiter(things(Broken())))


async def test_a_closed_session_shows_when_its_next_page_is_due() -> None:
    zoho = Zoho(5000, latency=5, rate=20)
    rows = aiter(things(zoho))
    await anext(rows)
    await zoho.aclose()
    read: list[str | None] = []
    with pytest.raises(SessionClosed):
        await names_into(read, rows)
    assert len(read) == 199
    await nothing_follows(zoho)


async def test_a_session_that_is_closed_meanwhile_is_no_cancellation_of_the_reader() -> None:
    zoho = Zoho(5000, latency=5, rate=20)
    reader = asyncio.create_task(names(aiter(things(zoho))))
    await asyncio.sleep(7)
    await zoho.aclose()
    with pytest.raises(SessionClosed):
        await reader


# -- your own shapes ----------------------------------------------------------------------------


@dataclasses.dataclass
class Named:
    name: str


async def test_rows_of_an_own_shape_come_once_though_it_has_no_id() -> None:
    zoho = Zoho(450)
    zoho.rows[200:200] = zoho.rows[190:200]
    named = things(zoho).into(Named)
    assert [row.name async for row in named] == [f"row {n}" for n in range(450)]
    pages = [page async for page in named.pages()]
    assert sum(map(len, pages)) == 450
    assert [page.ids[0] for page in pages] == [str(10**17), str(10**17 + 200), str(10**17 + 390)]


async def test_an_awaited_list_of_an_own_shape_is_one_page_with_the_callers_parameters() -> None:
    zoho = Zoho(450)
    page = await things(zoho, page=2, status="active").into(Named)
    assert page.rows[0] == Named("row 200")
    assert zoho.log == [(2, "interactive", {"page": 2, "status": "active"})]


async def test_a_wrong_shape_is_raised_with_its_page_and_the_rows_before_it_come() -> None:
    zoho = Zoho(450)
    zoho.rows[300]["name"] = {"first": 1}  # type: ignore[assignment]  # Zoho sends anything
    rows = aiter(things(zoho).into(Named))
    assert [(await anext(rows)).name for _ in range(200)] == all_names(zoho)[:200]
    with pytest.raises(ShapeError, match=r"Named\.name should be text"):
        await anext(rows)


async def test_completeness_does_not_depend_on_the_shape() -> None:
    zoho = Zoho(450)
    for row in zoho.rows:
        row["created_time"] = "2020-01-01T00:00:00+0000"
    zoho.headers = {"date": "Fri, 27 Nov 2026 12:00:00 GMT"}
    pager = Pager(zoho, COUNTED)
    named = pager.into(Named)
    assert len([row async for row in named]) == 450
    assert named.completeness == "proven"
    assert len([row async for row in pager]) == 450
    assert pager.completeness == "proven"


# -- bytes --------------------------------------------------------------------------------------


async def test_raw_rows_are_the_bytes_that_zoho_wrote() -> None:
    zoho = Zoho(450)
    zoho.rows.insert(300, zoho.rows[7])
    expected = [msgspec.json.encode(row) for n, row in enumerate(zoho.rows) if n != 300]
    assert [row async for row in things(zoho).raw()] == expected


async def test_raw_pages_keep_repeated_rows_and_begin_where_they_are_told() -> None:
    zoho = Zoho(450)
    zoho.rows[250] = zoho.rows[240]
    zoho.rows[251] = {"thing_id": "", "name": "without id"}
    pages = [page async for page in Pager(zoho, COUNTED).raw_pages(first=2)]
    assert [page.number for page in pages] == [2, 3]
    assert [len(page.rows) for page in pages] == [200, 50]
    assert pages[0].ids[50] == pages[0].ids[40]
    assert pages[0].ids[51] == ""
    assert [page.total for page in pages] == [450, 450]
    assert bytes(pages[0].rows[0]) == msgspec.json.encode(zoho.rows[200])


async def test_raw_pages_past_the_end_are_one_empty_page() -> None:
    zoho = Zoho(400)
    pages = [page async for page in Pager(zoho, COUNTED).raw_pages(first=3)]
    assert [(page.number, len(page.rows), page.total) for page in pages] == [(3, 0, 400)]
    assert zoho.pages == [3]
