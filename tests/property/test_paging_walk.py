"""A reader that keeps asking gets every row once and in order, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import looptime
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from zoho_async.errors import Request, ServerError
from zoho_async.events import Event
from zoho_async.http.transport import Answer
from zoho_async.operation import BOOKS, ListOperation
from zoho_async.paging import Pager
from zoho_async.paging.plan import MOST_AHEAD
from zoho_async.wire import Decoder, Record

T = TypeVar("T")


class Thing(Record, frozen=True, kw_only=True):
    thing_id: str | None = None


def list_of_things(*, totals: bool) -> ListOperation[Thing]:
    return ListOperation(
        name="books.things.list",
        product=BOOKS,
        path="/things",
        row=Thing,
        key="things",
        row_id="thing_id",
        totals=totals,
    )


class Weather(msgspec.Struct, frozen=True):
    """The faults that are drawn for each page."""

    latencies: list[float]
    failures: list[bool]
    quiet: list[bool]

    def at(self, call: int) -> tuple[float, bool, bool]:
        return (
            self.latencies[call % len(self.latencies)],
            self.failures[call % len(self.failures)],
            self.quiet[call % len(self.quiet)],
        )


weathers = st.builds(
    Weather,
    st.lists(st.sampled_from([0.0, 0.02, 0.3, 2.0, 9.0]), min_size=1, max_size=7),
    # The last one is fine, or nothing would ever come.
    st.lists(st.booleans(), max_size=6).map(lambda some: [*some, False]),
    st.lists(st.booleans(), min_size=1, max_size=5),
)


class Zoho:
    """A session over ``rows`` rows, 5 a page, in changing weather."""

    organization = "10234695"
    rate = 4 / 3

    def __init__(self, rows: int, weather: Weather) -> None:
        self.rows = rows
        self.weather = weather
        self.decoder = Decoder()
        self.sent: list[int] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def with_options(self, *, lane: object, max_wait: object) -> Zoho:
        return self

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        assert query is not None
        number = int(str(query["page"]))
        latency, fails, quiet = self.weather.at(len(self.sent))
        self.sent.append(number)
        await asyncio.sleep(latency)
        if fails:
            raise ServerError(Request("GET", "/things"), 500, 1000, "try later")
        ids_here = range((number - 1) * 5, min(number * 5, self.rows))
        context = {"has_more_page": number * 5 < self.rows and not quiet, "per_page": 5}
        if "response_option" in query:
            context["total"] = self.rows
        rows = [{"thing_id": str(10**17 + n)} for n in ids_here]
        body = msgspec.json.encode({"code": 0, "page_context": context, "things": rows})
        return Answer(200, {}, body, latency), read(body)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def observe(self, event: Event) -> None:
        pass


async def read(zoho: Zoho, *, totals: bool, patience: float, slowness: float) -> list[int]:
    """Read to the end, asking again after every error and every wait past ``patience``."""
    rows = aiter(Pager(zoho, list_of_things(totals=totals), query={"per_page": 5}))
    got: list[int] = []
    while True:
        wait = patience
        try:
            row = await asyncio.wait_for(anext(rows), wait)
        except TimeoutError:
            patience *= 2
        except ServerError:
            pass
        except StopAsyncIteration:
            break
        else:
            got.append(int(row.thing_id or 0) - 10**17)
            assert max(zoho.sent) <= len(got) // 5 + 1 + MOST_AHEAD
            if slowness:
                await asyncio.sleep(slowness)
    assert not zoho.tasks
    return got


@settings(max_examples=examples(60))
@given(
    st.integers(0, 80),
    weathers,
    st.booleans(),
    st.sampled_from([0.1, 3.0, 100.0]),
    st.sampled_from([0.0, 0.5]),
)
def test_errors_timeouts_and_false_ends_cost_a_patient_reader_no_row(
    rows: int, weather: Weather, totals: bool, patience: float, slowness: float
) -> None:
    zoho = Zoho(rows, weather)
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        got = runner.run(read(zoho, totals=totals, patience=patience, slowness=slowness))
    assert got == list(range(rows))


@settings(max_examples=examples(60))
@given(st.integers(1, 80), weathers, st.booleans(), st.integers(0, 79))
def test_a_reader_that_stops_at_any_row_leaves_no_tasks(
    rows: int, weather: Weather, totals: bool, last: int
) -> None:
    zoho = Zoho(rows, msgspec.structs.replace(weather, failures=[False]))

    async def leave() -> None:
        async for row in Pager(zoho, list_of_things(totals=totals), query={"per_page": 5}):
            if int(row.thing_id or 0) - 10**17 >= min(last, rows - 1):
                break
        sent = len(zoho.sent)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not zoho.tasks
        await asyncio.sleep(100)
        assert len(zoho.sent) == sent

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(leave())
