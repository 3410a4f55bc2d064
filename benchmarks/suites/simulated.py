"""What the limits themselves cost, by simulation: held time, no client, the sandbox's own judge.

`pace` is how long 100 calls take under the limits. `day` is a day of an organization with 10,000
calls: fifty exports share 9,000 of them while people go on with their work. The judge (the
sandbox's, which shares no arithmetic with the scheduler) sees every call at its arrival.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from typing import Any

import msgspec

from benchmarks import held
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from zoho_async import Limits
from zoho_async.clock import LoopClock
from zoho_async.limits import Lane, MemoryLedger, Quota, Refusal, Scheduler, scheduler
from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter

ROWS_LATENCY = 0.3
_BULK_CALLERS = 50
_BULK_CALLS = 9_000
_PEOPLE_CALLS = 450
_DAY = 86_400.0


def seconds_for(calls: int, limits: Limits, latency: float = ROWS_LATENCY) -> float:
    """How long ``calls`` bulk calls take at least, in seconds."""
    return held.run(_seconds_for(calls, limits, latency))


async def _seconds_for(calls: int, limits: Limits, latency: float) -> float:
    ours = _scheduler(limits)

    async def call() -> None:
        slot = await ours.admit("bulk", max_wait=None)
        slot.sent()
        await asyncio.sleep(latency)
        await slot.replied()

    await asyncio.gather(*(call() for _ in range(calls)))
    return asyncio.get_running_loop().time() - held.START


def pace(run: Run) -> Table:
    """T: what any client must take for 100 calls, whatever it costs itself."""
    table = Table(
        key="pace",
        title="100 calls under the limits, replies after 0.3 s, by simulation",
        columns=["limits", "seconds", "calls a minute"],
    )
    for name, limits in {
        "limit 90, burst 10 (the default)": Limits(),
        "limit 90, the log alone": Limits(burst=90),
        "limit 100, burst 10": Limits(limit=100),
        "limit 100, the log alone": Limits(limit=100, burst=100),
    }.items():
        seconds = seconds_for(100, limits)
        long = seconds_for(2_000, limits) - seconds_for(1_000, limits)
        table.add(name, seconds, 1_000 / long * 60)
    table.notes.append("calls a minute: of the second thousand")
    return table


class _Day(msgspec.Struct):
    """What happened on one day, in seconds from its start."""

    waits: list[float] = []
    bulk_sent: list[float] = []
    people_sent: list[float] = []
    refused: int = 0
    bulk_done: float = 0.0


def day(run: Run) -> Table:
    """A day of 10,000 calls: 50 bulk callers and a trickle of people."""
    table = Table(
        key="day",
        title="A day of 10,000 calls: 50 callers want 9,000, people 450; replies in 0.3 to 1.5 s",
        columns=[
            *("bulk goes", "people p50 s", "people p99 s", "people max s", "bulk done h"),
            *("calls/r h", "x calls/r", "worst minute", "refused"),
        ],
    )
    seeds = range(run.either(5, 1))
    full = [held.run(_live(Limits.for_plan("premium"), seed, every=15.0)) for seed in seeds]
    # Together with people: by 450 in the time that bulk takes, or over the whole day.
    even_limits = Limits.for_plan("premium", pace="even")
    even = held.run(_live(even_limits, 0, every=_DAY / (_PEOPLE_CALLS + 50)))
    limits = Limits.for_plan("premium")
    least = (_BULK_CALLS - limits.burst) / limits.rate
    for name, days in {"at full pace": full, "evenly over the day": [even]}.items():
        waits = sorted(wait for one in days for wait in one.waits)
        done = max(one.bulk_done for one in days)
        ideal = least if days is full else None
        table.add(
            name,
            _quantile(waits, 0.5),
            _quantile(waits, 0.99),
            waits[-1],
            done / 3600,
            None if ideal is None else ideal / 3600,
            None if ideal is None else done / ideal,
            max(_worst_minute(one) for one in days),
            sum(one.refused for one in days),
        )
    everyone = sorted(wait for one in (*full, even) for wait in one.waits)
    table.reach = [
        Reach("people's wait, 99th percentile", _quantile(everyone, 0.99), 1.0, " s"),
        Reach("bulk done, to calls/r", max(one.bulk_done for one in full) / least, 1.01, "x"),
        Reach("refused calls", sum(one.refused for one in (*full, even)), 0),
    ]
    table.notes.append(f"at full pace: the worst of {len(full)} days; a call of people every 15 s")
    table.series = {"full": _series(full[0]), "even": _series(even), "rate": limits.rate}
    return table


async def _live(limits: Limits, seed: int, *, every: float) -> _Day:
    """One day; people call every so many seconds on average."""
    chance, lived = random.Random(seed), _Day()
    ours = _scheduler(limits)
    # The day began when we begin, and Zoho tells so in every reply.
    judge = RateLimiter(LimitRules(), held.START)
    clock = asyncio.get_running_loop().time

    async def call(lane: Lane, caller: object) -> None:
        asked = clock()
        slot = await ours.admit(lane, caller=caller, max_wait=None, wait_for_reset=True)
        slot.sent()
        (lived.bulk_sent if lane == "bulk" else lived.people_sent).append(clock() - held.START)
        if lane == "interactive":
            lived.waits.append(clock() - asked)
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        verdict = judge.arrive("1", clock())
        limit, remaining, reset = judge.quota("1", clock())
        await asyncio.sleep(chance.uniform(0.25, 1.2))
        refusal = None
        if verdict is None:
            judge.leave("1")
        else:
            lived.refused += 1
            refusal = Refusal(verdict.code, verdict.retry_after)
        await slot.replied(quota=Quota(limit, remaining, reset), refusal=refusal)

    async def export(number: int) -> None:
        for _ in range(_BULK_CALLS // _BULK_CALLERS):
            await call("bulk", number)

    async def people() -> None:
        async with asyncio.TaskGroup() as calls:
            for _ in range(_PEOPLE_CALLS):
                await asyncio.sleep(chance.expovariate(1 / every))
                calls.create_task(call("interactive", "people"))

    async def exports() -> None:
        await asyncio.gather(*(export(number) for number in range(_BULK_CALLERS)))
        lived.bulk_done = clock() - held.START

    await asyncio.gather(exports(), people())
    return lived


def _scheduler(limits: Limits) -> Scheduler:
    return scheduler(
        "host/1",
        account="host/@client",
        limits=limits,
        ledger=MemoryLedger(),
        clock=LoopClock(),
        observer=None,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _worst_minute(lived: _Day) -> int:
    times = sorted(lived.bulk_sent + lived.people_sent)
    return max(bisect_left(times, time + 60.0) - at for at, time in enumerate(times))


def _series(lived: _Day) -> dict[str, Any]:
    """Calls of each minute while bulk runs, and people's waits."""
    minutes = int(lived.bulk_done // 60) + 1
    counts = {name: [0] * minutes for name in ("bulk", "people")}
    for name, sent in (("bulk", lived.bulk_sent), ("people", lived.people_sent)):
        for time in sent:
            if time < lived.bulk_done:
                counts[name][int(time // 60)] += 1
    return {**counts, "waits": sorted(lived.waits)}
