"""The promise of the limits for any history of calls, judged by the arrivals at a server.

A real scheduler runs on simulated time against a simulated server. Requests and replies take any
time. Callers give up before, during and after sending. Abandoned requests arrive as late as
`linger` allows. Then the test checks the server's list of arrivals.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import looptime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ledgers import ledger_of
from tests.support.organization_scheduler import organization_scheduler
from tests.support.redis_server import RedisServer
from zoho_async.errors import LimitError
from zoho_async.limits import Lane, Ledger, Limits, Quota, Refusal, Scheduler

WINDOW = 10.0
LINGER = 4.0
#: Longer than anything here may take. If it is reached, a waiter was forgotten.
FOREVER = 1e6

Fate = Literal["reply", "abandon", "unsent"]


@dataclass
class Call:
    """The history of one call, in seconds, fixed before it starts."""

    start: float
    lane: Lane
    caller: int
    prepare: float
    out: float
    back: float
    fate: Fate
    abandon_after: float
    gives_up: float | None
    max_wait: float | None
    code: int | None
    retry_after: float | None
    quota: int | None


@dataclass
class Server:
    """Count arrivals, and the calls that the client has in flight."""

    arrivals: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    blocks: list[tuple[float, float]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    ended: int = 0


seconds = st.floats(0, 12, allow_nan=False).map(lambda value: round(value, 3))
short = st.floats(0, LINGER, allow_nan=False).map(lambda value: round(value, 3))

calls = st.builds(
    Call,
    start=st.one_of(st.just(0.0), st.floats(0, 40).map(lambda value: round(value, 2))),
    lane=st.sampled_from(["interactive", "bulk"]),
    caller=st.integers(0, 2),
    prepare=st.one_of(st.just(0.0), short),
    out=st.one_of(st.just(0.0), short),
    back=st.one_of(st.just(0.0), seconds),
    fate=st.sampled_from(["reply", "reply", "reply", "abandon", "unsent"]),
    abandon_after=short,
    gives_up=st.one_of(st.none(), st.none(), seconds),
    max_wait=st.one_of(st.none(), seconds),
    code=st.sampled_from([None] * 12 + [44, 1070, 43]),
    retry_after=st.one_of(st.none(), st.floats(0.5, 30).map(lambda value: round(value, 1))),
    quota=st.one_of(st.none(), st.none(), st.integers(0, 200)),
)

limits_of_all_kinds = st.integers(1, 6).flatmap(
    lambda limit: st.builds(
        Limits,
        limit=st.just(limit),
        burst=st.integers(1, limit),
        window=st.just(WINDOW),
        linger=st.just(LINGER),
        in_flight=st.integers(1, 5),
    )
)


async def live(limiter: Scheduler, server: Server, call: Call) -> None:
    """Run one call from asking to its end."""
    clock = limiter.clock
    await asyncio.sleep(call.start)
    try:
        async with asyncio.timeout(call.gives_up):
            slot = await limiter.admit(call.lane, max_wait=call.max_wait, caller=call.caller)
    except (LimitError, TimeoutError):
        server.ended += 1
        return
    server.in_flight += 1
    server.most_in_flight = max(server.most_in_flight, server.in_flight)
    await asyncio.sleep(call.prepare)
    if call.fate == "unsent":
        server.in_flight -= 1
        await slot.unsent()
    else:
        sent = clock.monotonic()
        slot.sent()
        server.sent.append(sent)
        server.arrivals.append(sent + call.out)
        if call.fate == "abandon":
            await asyncio.sleep(call.abandon_after)
            server.in_flight -= 1
            await slot.lost()
        else:
            await asyncio.sleep(call.out + call.back)
            server.in_flight -= 1
            refusal = None if call.code is None else Refusal(call.code, call.retry_after)
            quota = None if call.quota is None else Quota(1000, call.quota, 600.0)
            await slot.replied(quota=quota, refusal=refusal)
            if call.code in (43, 44):
                now = clock.monotonic()
                lasts = (await limiter.snapshot()).blocked_for
                server.blocks.append((now, now + lasts))
    server.ended += 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


EVERYWHERE = pytest.mark.parametrize(
    "kept",
    [
        "memory",
        pytest.param("file", marks=pytest.mark.long),
        pytest.param("redis", marks=pytest.mark.long),
    ],
)


def on_simulated_time(work: Coroutine[Any, Any, None], ledger: Ledger) -> None:
    loop = looptime.new_event_loop(start=0)
    try:
        loop.run_until_complete(work)
        loop.run_until_complete(ledger.close())
    finally:
        loop.close()


def worst_window(arrivals: Sequence[float], window: float) -> int:
    """Return the most arrivals in any half-open window; each fixed minute is one."""
    ordered = sorted(arrivals)
    return max(
        (bisect_left(ordered, start + window) - at for at, start in enumerate(ordered)), default=0
    )


@EVERYWHERE
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(limits=limits_of_all_kinds, history=st.lists(calls, min_size=1, max_size=40))
def test_no_window_ever_sees_more_arrivals_than_the_limit(
    kept: str, url: str, limits: Limits, history: list[Call]
) -> None:
    server = Server()

    async def run(ledger: Ledger) -> None:
        limiter = organization_scheduler(limits, ledger)
        async with asyncio.timeout(FOREVER):
            await asyncio.gather(*(live(limiter, server, call) for call in history))
        # No waiter is left, and no trace of those that left.
        await asyncio.sleep(0)
        seen = await limiter.snapshot()
        assert seen.waiting == {"interactive": 0, "bulk": 0}
        if kept == "memory":
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(FOREVER)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        seen = await limiter.snapshot()
        assert (seen.minute_used, seen.in_flight) == (0, 0)

    with ledger_of(kept, url) as ledger:
        on_simulated_time(run(ledger), ledger)
    assert server.ended == len(history)
    assert worst_window(server.arrivals, limits.window) <= limits.limit
    assert server.most_in_flight <= limits.in_flight


@EVERYWHERE
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(limits=limits_of_all_kinds, history=st.lists(calls, min_size=5, max_size=30))
def test_nothing_is_admitted_while_a_block_lasts(
    kept: str, url: str, limits: Limits, history: list[Call]
) -> None:
    server = Server()
    for call in history:
        call.prepare = 0.0  # an admitted call is sent at once

    async def run(ledger: Ledger) -> None:
        limiter = organization_scheduler(limits, ledger)
        async with asyncio.timeout(FOREVER):
            await asyncio.gather(*(live(limiter, server, call) for call in history))

    with ledger_of(kept, url) as ledger:
        on_simulated_time(run(ledger), ledger)
    for closed, opened in server.blocks:
        assert not [sent for sent in server.sent if closed < sent < opened - 1e-6]


@EVERYWHERE
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    queues=st.dictionaries(st.integers(0, 5), st.integers(1, 12), min_size=2),
    lane=st.sampled_from(["interactive", "bulk"]),
)
def test_callers_of_one_lane_take_turns(
    kept: str, url: str, queues: dict[int, int], lane: Lane
) -> None:
    """No caller gets more than one turn more than another that still waits."""
    order: list[int] = []
    limits = Limits(limit=1, burst=1, window=WINDOW)

    async def run(ledger: Ledger) -> None:
        limiter = organization_scheduler(limits, ledger)
        first = await limiter.admit()  # so that all others have to wait

        async def one(caller: int) -> None:
            slot = await limiter.admit(lane, max_wait=None, caller=caller)
            order.append(caller)
            await slot.replied()

        tasks = [
            asyncio.create_task(one(caller))
            for caller, waiting in queues.items()
            for _ in range(waiting)
        ]
        await asyncio.sleep(0)
        await first.replied()
        await asyncio.gather(*tasks)

    with ledger_of(kept, url) as ledger:
        on_simulated_time(run(ledger), ledger)
    head, *others = order  # the head was first, before the turns began
    left = dict(queues)
    left[head] -= 1
    served = dict.fromkeys(queues, 0)
    for caller in others:
        served[caller] += 1
        left[caller] -= 1
        waiting = [one for one in queues if left[one] > 0]
        assert all(served[caller] <= served[one] + 1 for one in waiting)
