"""Waiting for the limits: order, fairness, longest waits, cancellation, and the rate."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, Literal
from unittest.mock import Mock

import pytest

from tests.support.organization_scheduler import organization_scheduler
from zoho_async.clock import LoopClock
from zoho_async.errors import ConfigurationError, DailyQuotaExceeded, WaitTooLong
from zoho_async.events import BlockStarted, Event, Refused, Waited
from zoho_async.limits import (
    Lane,
    Ledger,
    Limits,
    MemoryLedger,
    Quota,
    Refusal,
    Scheduler,
    Slot,
)
from zoho_async.limits.shared_limits import stricter
from zoho_async.limits.usage import Ending

pytestmark = pytest.mark.looptime

WHOLE = Limits(limit=100, burst=100)


def make(
    limits: Limits | None = None,
    *,
    ledger: Ledger | None = None,
    key: str = "api/1",
    seen: list[Event] | None = None,
) -> Scheduler:
    observer = None if seen is None else seen.append
    return organization_scheduler(limits, ledger, key=key, observer=observer)


def now() -> float:
    return asyncio.get_running_loop().time()


async def call(
    limiter: Scheduler, latency: float = 0.3, lane: Lane = "bulk", **options: Any
) -> None:
    slot = await limiter.admit(lane, max_wait=None, **options)
    slot.sent()
    await asyncio.sleep(latency)
    await slot.replied()


def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


async def settled() -> None:
    """Run everything that can run without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


async def fill(limiter: Scheduler, calls: int) -> list[Slot]:
    return [await limiter.admit() for _ in range(calls)]


async def nothing_left(limiter: Scheduler) -> bool:
    await settled()
    waiting = (await limiter.snapshot()).waiting
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return waiting == {"interactive": 0, "bulk": 0} and not tasks


# -- the rate --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "calls", "latency", "seconds"),
    [
        (Limits(), 46, 0.3, 2.25),
        (Limits(), 80, 0.3, 27.75),
        (Limits(), 100, 0.3, 69.2),
        (Limits(), 170, 0.02, 126.4),
        (WHOLE, 100, 0.3, 3.0),
        (WHOLE, 110, 0.3, 60.6),
        (WHOLE, 210, 0.3, 120.9),
        (Limits(in_flight=5), 100, 5.0, 102.6),
    ],
)
async def test_waiting_calls_use_the_full_limits(
    limits: Limits, calls: int, latency: float, seconds: float
) -> None:
    limiter = make(limits)
    began = now()
    await asyncio.gather(*(call(limiter, latency) for _ in range(calls)))
    assert now() - began == pytest.approx(seconds, rel=0.01)


async def test_bulk_calls_leave_the_burst_of_every_minute_to_interactive_calls() -> None:
    limiter = make()
    began = now()
    job = start(_bulk_job(limiter, 240))
    for minute in range(3):
        await asyncio.sleep(began + 58.0 + 60.5 * minute - now())
        asked_at = now()
        for _ in range(10):
            await (await limiter.admit()).replied()
        assert now() == asked_at
    await job


async def test_a_bulk_job_after_an_idle_minute_starts_at_once_again() -> None:
    limiter = make()
    for calls, took in ((45, 1.5), (45, 1.5)):
        began = now()
        await _bulk_job(limiter, calls)
        assert now() - began == pytest.approx(took, abs=0.1)
        await asyncio.sleep(60.0)


async def test_interactive_calls_find_places_during_a_long_bulk_job() -> None:
    limiter = make()
    job = start(_bulk_job(limiter, 400))
    waits: list[float] = []
    for _ in range(30):
        await asyncio.sleep(9.0)
        asked_at = now()
        slot = await limiter.admit()
        waits.append(now() - asked_at)
        await slot.replied()
    await job
    assert max(waits) < 1.0


async def _bulk_job(limiter: Scheduler, calls: int) -> None:
    await asyncio.gather(*(call(limiter) for _ in range(calls)))


async def test_the_steady_rate_is_reported() -> None:
    assert make().rate == pytest.approx(80 / 60)
    assert make(WHOLE).rate == pytest.approx(100 / 60)


async def test_ten_thousand_waiting_calls_share_a_timer() -> None:
    limiter = make(Limits(limit=1, burst=1))
    slot = await limiter.admit()
    tasks = [start(limiter.admit(max_wait=1e5 + at)) for at in range(10_000)]
    await settled()
    loop = asyncio.get_running_loop()
    timers = loop._scheduled  # type: ignore[attr-defined]  # no public name counts timers
    assert len(timers) < 10
    head, *waiters = tasks
    for task in waiters:
        task.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    assert (await limiter.snapshot()).waiting == {"interactive": 1, "bulk": 0}
    await slot.unsent()
    await (await head).unsent()
    assert await nothing_left(limiter)


# -- order -----------------------------------------------------------------------------------------


async def test_interactive_calls_go_first_and_bulk_keeps_its_share() -> None:
    limiter = make(Limits(limit=1, burst=1, window=1.0))
    held = await limiter.admit()
    order: list[str] = []

    async def one(lane: Lane) -> None:
        slot = await limiter.admit(lane, max_wait=None)
        order.append(lane[0])
        await slot.replied()

    tasks = [start(one("bulk")) for _ in range(4)]
    tasks += [start(one("interactive")) for _ in range(12)]
    await settled()
    await held.replied()
    await asyncio.gather(*tasks)
    assert "".join(order) == "iiibiiibiiibiiib"


async def test_a_caller_with_ten_thousand_calls_does_not_hold_up_one_with_three() -> None:
    limiter = make(Limits(limit=10, burst=10, window=1.0))
    many = [start(call(limiter, 0.0, caller="export")) for _ in range(10_000)]
    await settled()
    began = now()
    await asyncio.gather(*(call(limiter, 0.0, caller="other") for _ in range(3)))
    assert now() - began < 3.0
    for task in many:
        task.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    assert await nothing_left(limiter)


async def test_bulk_calls_that_wait_for_the_reserve_do_not_hold_up_interactive_calls() -> None:
    limiter = make(Limits(day=100, reserve=97))
    for _ in range(3):
        await call(limiter)
    waiting = start(limiter.admit("bulk", max_wait=None, wait_for_reset=True))
    await settled()
    for _ in range(20):
        slot = await limiter.admit(max_wait=0.0)
        await slot.replied()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


# -- longest waits ---------------------------------------------------------------------------------


async def test_a_wait_known_to_be_too_long_fails_at_once() -> None:
    limiter = make(Limits(limit=2, burst=2, in_flight=10))
    for slot in await fill(limiter, 2):
        await slot.replied()
    began = now()
    with pytest.raises(WaitTooLong) as raised:
        await limiter.admit(max_wait=5.0)
    assert raised.value.seconds == pytest.approx(60.06)
    assert now() == began


async def test_a_queue_known_to_be_too_long_fails_at_once() -> None:
    limiter = make(Limits(limit=2, burst=2))
    tasks = [start(call(limiter)) for _ in range(5)]
    await settled()
    began = now()
    with pytest.raises(WaitTooLong) as raised:
        await limiter.admit("bulk", max_wait=59.0)
    assert raised.value.seconds >= 60.0
    assert now() == began
    await asyncio.gather(*tasks)


async def test_paced_calls_fail_at_once_if_their_queue_is_too_long() -> None:
    limiter = make()
    tasks = [start(call(limiter)) for _ in range(110)]
    await settled()
    with pytest.raises(WaitTooLong) as raised:
        await limiter.admit("bulk", max_wait=59.0)
    assert raised.value.seconds == 60.0  # 100 wait, and a minute takes 80
    await asyncio.gather(*tasks)


async def test_a_wait_ends_at_its_deadline() -> None:
    limiter = make(Limits(in_flight=1))
    slot = await limiter.admit()
    began = now()

    async def wait() -> float:
        with pytest.raises(WaitTooLong):
            await limiter.admit(max_wait=7.0)
        return now() - began

    assert await asyncio.gather(*(wait() for _ in range(3))) == pytest.approx([7.0] * 3)
    await slot.replied()
    assert await nothing_left(limiter)


async def test_a_block_rejects_waiters_with_an_earlier_deadline() -> None:
    limiter = make(Limits(in_flight=1))
    slot = await limiter.admit()
    patient = start(limiter.admit(max_wait=None))
    await settled()
    hurried = start(limiter.admit(max_wait=60.0))
    await settled()
    await slot.replied(refusal=Refusal(44))
    await settled()
    assert isinstance(hurried.exception(), WaitTooLong)
    slot = await patient
    assert now() == pytest.approx(900.0)
    await slot.replied()


async def test_a_spent_day_raises_at_once_or_waits_for_the_reset() -> None:
    limiter = make()
    slot = await limiter.admit()
    await slot.replied(quota=Quota(1000, 0, 3600.0), refusal=Refusal(45))
    with pytest.raises(DailyQuotaExceeded) as raised:
        await limiter.admit()
    assert raised.value.reset_at is not None
    assert raised.value.reset_at.timestamp() == pytest.approx(now() + 3602)
    patient = start(limiter.admit(max_wait=None, wait_for_reset=True))
    waiters = start(limiter.admit(max_wait=None))
    with pytest.raises(DailyQuotaExceeded):
        await waiters
    with pytest.raises(WaitTooLong):
        await limiter.admit(max_wait=60.0, wait_for_reset=True)
    slot = await patient
    assert now() == pytest.approx(3602, abs=1)
    await slot.replied()


# -- cancellation ----------------------------------------------------------------------------------


async def test_a_cancelled_head_passes_its_role_on() -> None:
    limiter = make(Limits(in_flight=1))
    slot = await limiter.admit()
    head = start(limiter.admit())
    following = start(limiter.admit())
    await settled()
    head.cancel()
    await settled()
    await slot.replied()
    slot = await following
    await slot.replied()
    assert await nothing_left(limiter)


async def test_a_waiter_cancelled_as_it_becomes_head_passes_its_role_on() -> None:
    limiter = make(Limits(in_flight=1))
    slot = await limiter.admit()
    head, following, last = (start(limiter.admit()) for _ in range(3))
    await settled()
    await slot.replied()  # wakes the head, which is admitted and wakes the next waiter
    while not head.done():  # noqa: ASYNC110 - step by step, to be there in that moment
        await asyncio.sleep(0)
    following.cancel()
    await (await head).replied()
    await (await last).replied()
    assert following.cancelled()
    assert await nothing_left(limiter)


async def test_a_cancelled_bulk_head_wastes_no_token() -> None:
    limiter = make(Limits(limit=20, burst=1, in_flight=1))
    slot = await limiter.admit()
    head = start(limiter.admit("bulk"))  # has the only token, waits for the call in flight
    await settled()
    head.cancel()
    await settled()
    began = now()
    following = start(limiter.admit("bulk"))
    await settled()
    await slot.replied()
    await (await following).replied()
    assert now() == began


async def test_a_call_that_is_never_sent_gives_its_place_to_a_waiter() -> None:
    limiter = make(Limits(limit=1, burst=1))
    slot = await limiter.admit()
    waiting = start(limiter.admit(max_wait=None))
    await settled()
    await slot.unsent()
    following = await waiting
    assert now() == 0.0
    await following.unsent()
    assert (await limiter.snapshot()).minute_used == 0
    assert (await limiter.snapshot()).day_used == 0


async def test_an_abandoned_call_keeps_its_place_until_it_must_have_arrived() -> None:
    limiter = make(Limits(limit=1, burst=1, linger=30.0))
    slot = await limiter.admit()
    slot.sent()
    await asyncio.sleep(2.0)
    await slot.lost()
    await limiter.admit(max_wait=None)
    assert now() == pytest.approx(90.06)


async def test_only_the_first_ending_of_a_slot_counts() -> None:
    limiter = make(Limits(limit=1, burst=1))
    slot = await limiter.admit()
    await slot.replied()
    await slot.unsent()
    await slot.lost()
    assert (await limiter.snapshot()).minute_used == 1
    assert (await limiter.snapshot()).next_place_in == pytest.approx(60.06)


@pytest.mark.parametrize("first", ["replied", "lost", "unsent"])
async def test_an_ended_slot_settles_once(
    first: Literal["replied", "lost", "unsent"],
) -> None:
    settler = Mock(clock=LoopClock(), settle=Mock(return_value=None))
    slot = Slot(settler, 7)
    slot.sent()
    for ending in (first, "replied", "lost", "unsent"):
        await getattr(slot, ending)()
    settler.settle.assert_called_once_with(7, Ending(first, 0.0))


# -- refusals by Zoho -----------------------------------------------------------------------------


async def test_nothing_is_sent_during_a_block_and_little_right_after_it() -> None:
    limiter = make(WHOLE)
    slot = await limiter.admit()
    await slot.replied(refusal=Refusal(44, 120.0))
    admitted: list[float] = []

    async def one() -> None:
        held = await limiter.admit("bulk", max_wait=None)
        admitted.append(now())
        await held.replied()

    await asyncio.gather(*(one() for _ in range(300)))
    assert min(admitted) == pytest.approx(120.0)
    minutes = [
        sum(60 * at <= moment - 120 < 60 * at + 60 for moment in admitted) for at in range(5)
    ]
    assert minutes[0] <= 25
    assert minutes == sorted(minutes)  # additive growth, minute by minute


async def test_a_block_of_the_account_stops_all_its_organizations() -> None:
    ledger = MemoryLedger()
    one, two = make(ledger=ledger), make(ledger=ledger, key="api/2")
    slot = await one.admit()
    await slot.replied(refusal=Refusal(43))
    with pytest.raises(WaitTooLong):
        await two.admit()


async def test_a_block_of_an_organization_stops_only_that_one() -> None:
    ledger = MemoryLedger()
    one, two = make(ledger=ledger), make(ledger=ledger, key="api/2")
    slot = await one.admit()
    await slot.replied(refusal=Refusal(44))
    with pytest.raises(WaitTooLong):
        await one.admit()
    await two.admit()


async def test_a_1070_shrinks_concurrency_and_it_grows_back_slowly() -> None:
    limiter = make(Limits(in_flight=4))
    first, *others = await fill(limiter, 4)
    await first.replied(refusal=Refusal(1070))
    for slot in others:
        await slot.replied(refusal=Refusal(1070))  # also in flight at that time
    assert (await limiter.snapshot()).cap == 3
    assert (await limiter.snapshot()).blocked_for == 0.0
    began = now()
    slots = await fill(limiter, 3)
    assert 0 < now() - began <= 2.0
    await limiter.admit(max_wait=None)  # waits for the cap to grow, without replies
    assert now() == pytest.approx(60.0, abs=1.0)
    assert len(slots) == 3


# -- observers -------------------------------------------------------------------------------------


async def test_waits_and_refusals_are_reported() -> None:
    seen: list[Event] = []
    limiter = make(Limits(limit=1, burst=1), seen=seen)
    slot = await limiter.admit()
    await slot.replied()
    slot = await limiter.admit(max_wait=None)
    await slot.replied(refusal=Refusal(44, 30.0))
    waited, *refused = seen
    assert isinstance(waited, Waited)
    assert (waited.organization, waited.lane) == ("1", "interactive")
    assert waited.seconds == pytest.approx(60.06)
    assert refused == [
        Refused(organization="1", code=44, blocked_for=30.0),
        BlockStarted(organization="1", seconds=30.0),
    ]
    shown = await limiter.snapshot()
    assert (shown.admitted, shown.refused) == (2, 1)
    assert shown.waited_seconds == pytest.approx(60.06)
    assert shown.blocked_for == pytest.approx(30.0)


async def test_a_failing_observer_takes_no_place() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))

    def fails(event: Event) -> None:
        raise RuntimeError(type(event).__name__)

    limiter = make(Limits(limit=1, burst=1))
    limiter.observer = fails
    await (await limiter.admit()).replied()
    await (await limiter.admit(max_wait=None)).replied(refusal=Refusal(44))
    assert [str(problem["exception"]) for problem in problems] == [
        "Waited",
        "Refused",
        "BlockStarted",
    ]
    assert (await limiter.snapshot()).in_flight == 0


async def test_events_of_calls_without_an_organization_name_none() -> None:
    assert make(key="api/@me").organization is None


async def test_all_callers_of_a_loop_share_one_scheduler() -> None:
    ledger = MemoryLedger()
    one = make(Limits(in_flight=1), ledger=ledger)
    assert make(Limits(in_flight=2), ledger=ledger) is one
    assert make(ledger=MemoryLedger()) is not one


@pytest.mark.parametrize("strict_first", [True, False])
async def test_the_stricter_limits_apply_until_their_caller_leaves(strict_first: bool) -> None:
    ledger = MemoryLedger()
    strict, loose = Limits(limit=20, burst=20, in_flight=99), Limits(limit=90, in_flight=99)
    one, other = (strict, loose) if strict_first else (loose, strict)
    limiter = make(one, ledger=ledger)
    open_places = make(loose, ledger=ledger)
    caller = Caller()
    limiter.join(caller, other)
    admitted = 0
    while limiter is open_places and admitted < 200:
        try:
            await (await limiter.admit(max_wait=0.0)).replied()
        except WaitTooLong:
            break
        admitted += 1
    assert admitted == 20
    if not strict_first:
        limiter.leave(caller)
        assert limiter.limits == loose


class Caller:
    """A caller with limits."""


def test_stricter_limits_satisfy_both() -> None:
    one = Limits(limit=20, burst=20, window=60, linger=40, in_flight=9, day=500, reserve=0.5)
    other = Limits(limit=90, burst=10, window=50, in_flight=5, reserve=10, pace="even")
    both = stricter(one, other)
    assert both == stricter(other, one)
    assert both == Limits(
        limit=20, burst=10, window=60, linger=40, in_flight=5, day=500, reserve=250, pace="even"
    )


def test_loops_of_other_threads_share_the_limits() -> None:
    """A place that is freed in one loop wakes a caller of another loop at once."""
    ledger = MemoryLedger()
    limits = Limits(in_flight=1)
    waits, freed = threading.Event(), threading.Event()

    async def holder() -> None:
        slot = await make(limits, ledger=ledger).admit()
        loop = asyncio.get_running_loop()
        other = threading.Thread(target=lambda: asyncio.run(waiter()))
        other.start()
        await loop.run_in_executor(None, waits.wait)
        await slot.replied()
        await loop.run_in_executor(None, freed.wait)
        other.join()

    async def waiter() -> None:
        limiter = make(limits, ledger=ledger)
        asyncio.get_running_loop().call_later(0.05, waits.set)
        slot = await limiter.admit(max_wait=30.0)
        freed.set()
        await slot.replied()

    began = time.monotonic()
    asyncio.run(holder())
    assert freed.is_set()
    assert time.monotonic() - began < 25.0  # it was woken before its deadline


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"burst": 0},
        {"burst": 91},
        {"window": 0.0},
        {"window": float("nan")},
        {"linger": -1.0},
        {"in_flight": 0},
        {"day": 0},
        {"reserve": -0.1},
        {"block_scope": "everyone"},
    ],
)
def test_invalid_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**wrong)


# -- several in one turn of the event loop ---------------------------------------------------------


async def waiting_for(limiter: Scheduler, order: list[int], calls: int) -> list[asyncio.Task[Slot]]:
    """Start calls of three callers that note their admission in ``order``."""

    async def one(number: int) -> Slot:
        slot = await limiter.admit(caller=number % 3, max_wait=None)
        order.append(number)
        return slot

    tasks = [start(one(number)) for number in range(calls)]
    await settled()
    return tasks


async def test_free_places_are_given_in_one_turn_of_the_loop_and_in_order() -> None:
    limiter = make(Limits(limit=12, burst=12, in_flight=12))
    first = await fill(limiter, 12)
    order: list[int] = []
    tasks = await waiting_for(limiter, order, 12)
    for slot in first:
        await slot.unsent()
    await asyncio.sleep(0)  # the head is woken
    await asyncio.sleep(0)  # and all others are admitted with it
    await asyncio.sleep(0)
    assert order == list(range(12))
    for task in tasks:
        await task.result().unsent()
    assert await nothing_left(limiter)


async def test_a_waiter_that_is_cancelled_before_seeing_its_slot_gives_it_back() -> None:
    limiter = make(Limits(limit=3, burst=3, in_flight=3))
    first = await fill(limiter, 3)
    order: list[int] = []
    tasks = await waiting_for(limiter, order, 6)
    for slot in first:
        await slot.unsent()
    for _ in range(3):
        if (await limiter.snapshot()).in_flight < 3:
            await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await settled()
    assert order == [0, 3, 4]
    assert (await limiter.snapshot()).in_flight == 3
    for number in (0, 3, 4):
        await tasks[number].result().unsent()
    await settled()
    await tasks[5].result().unsent()
    assert await nothing_left(limiter)


async def test_a_long_queue_is_admitted_in_several_turns() -> None:
    limiter = make(Limits(limit=1000, burst=1000, in_flight=1))
    held = await limiter.admit()
    order: list[int] = []
    tasks = await waiting_for(limiter, order, 500)
    limiter.limits = Limits(limit=1000, burst=1000, in_flight=1000)
    most = before = 0
    while len(order) < 500:
        await asyncio.sleep(0)
        most, before = max(most, len(order) - before), len(order)
    assert 1 < most <= 65
    for slot in [held, *(task.result() for task in tasks)]:
        await slot.unsent()
    assert await nothing_left(limiter)
