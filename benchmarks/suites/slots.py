"""What a slot of the limits costs by itself, beside other limiters.

No call is made. What is measured is CPU time, so that waiting costs nothing: everybody's limits are
two hundred calls in a hundredth of a second, and the tasks that wait are made beforehand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiolimiter import AsyncLimiter

from benchmarks.measure import Times, in_turns
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from zoho_async import Limits
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Lane, MemoryLedger, Scheduler, scheduler

_COLUMNS = ["who", "CPU us", "low", "high"]
_BUSY = 200  # calls that a limiter lets go in `_WINDOW`
_WINDOW = 0.01

#: Waits for one admission and ends it.
Once: TypeAlias = Callable[[], Awaitable[object]]


def free(run: Run) -> Table:
    """Admit and settle with nobody else there."""
    return asyncio.run(_free(run))


async def _free(run: Run) -> Table:
    times = run.either(5_000, 1_000)
    bucket = AsyncLimiter(10**9, 60)
    contenders = {
        "aiolimiter": bucket.acquire,
        **_pyrate(10**6, 60.0),
        "zoho_async, interactive": once_of(limiter_of(10**6, 10**6), "interactive"),
        "zoho_async, bulk": once_of(limiter_of(10**6, 10**5), "bulk"),
    }
    figures = await in_turns(
        [(name, repeated(once, times)) for name, once in contenders.items()],
        rounds=run.either(15, 5),
    )
    table = _table("slot", "A slot of the limits: admit and settle, nobody waits", figures)
    ours = next(each for each in figures if "interactive" in each.name)
    table.reach = [Reach("CPU of a slot", ours.median * 1e6, 5.0, " us")]
    return table


def waiting(run: Run) -> Table:
    """Admissions while others wait: 1,000, 10,000 and 100,000 of them."""
    return asyncio.run(_waiting(run))


async def _waiting(run: Run) -> Table:
    table = Table(
        key="waiting",
        title="A slot with others waiting: all of them admitted, per admission",
        columns=["who", "waiting", "CPU us", "low", "high", "less the task"],
    )
    found: dict[tuple[str, int], Times] = {}
    crowds = (1_000, 10_000) if run.quick else (1_000, 10_000, 100_000)
    for crowd in crowds:
        contenders: dict[str, Once] = {"tasks alone, no limiter": _nothing}
        if crowd <= 10_000:  # theirs grow with the crowd: ten times this takes minutes
            contenders["aiolimiter"] = AsyncLimiter(_BUSY, _WINDOW).acquire
            contenders |= _pyrate(_BUSY, _WINDOW)
        contenders["zoho_async, interactive"] = once_of(limiter_of(_BUSY, _BUSY), "interactive")
        contenders["zoho_async, bulk"] = once_of(limiter_of(_BUSY, _BUSY // 10), "bulk")
        figures = await in_turns(
            [(name, crowd_of(once, crowd)) for name, once in contenders.items()],
            rounds=1 if crowd > 10_000 else run.either(3, 1),
        )
        for each in figures:
            found[each.name, crowd] = each
            low, high = min(each.cpu) * 1e6, max(each.cpu) * 1e6
            rest = (each.median - figures[0].median) * 1e6
            table.add(each.name, crowd, each.median * 1e6, low, high, rest)
    table.series = {
        name: [
            [crowd, found[name, crowd].median * 1e6] for crowd in crowds if (name, crowd) in found
        ]
        for name in dict.fromkeys(name for name, _ in found)
    }

    def own(crowd: int) -> float:
        tasks = found["tasks alone, no limiter", crowd].median
        return found["zoho_async, interactive", crowd].median - tasks

    growth = own(crowds[-1]) / own(1_000)
    table.reach = [
        Reach("CPU of a slot, 10,000 waiting, less the task", own(10_000) * 1e6, 15.0, " us"),
        Reach(f"the same with {crowds[-1]:,} waiting, to 1,000", growth, 1.25, "x"),
    ]
    table.notes.append("the task that waits is in the figures; the first lines are that alone")
    return table


def _table(key: str, title: str, figures: list[Times]) -> Table:
    table = Table(key=key, title=title, columns=_COLUMNS)
    for each in figures:
        table.add(each.name, each.median * 1e6, min(each.cpu) * 1e6, max(each.cpu) * 1e6)
    return table


def repeated(once: Once, times: int) -> Callable[[], Awaitable[int]]:
    async def work() -> int:
        for _ in range(times):
            await once()
        return times

    return work


def crowd_of(once: Once, crowd: int) -> Callable[[], Awaitable[int]]:
    async def work() -> int:
        await asyncio.gather(*(once() for _ in range(crowd)))
        return crowd

    return work


async def _nothing() -> None:
    await asyncio.sleep(0)


def limiter_of(limit: int, burst: int) -> Scheduler:
    return scheduler(
        "host/1",
        account="host/@client",
        limits=Limits(limit=limit, burst=burst, window=_WINDOW, linger=_WINDOW, in_flight=10**6),
        ledger=MemoryLedger(),
        clock=SYSTEM_CLOCK,
        observer=None,
    )


def once_of(ours: Scheduler, lane: Lane) -> Once:
    async def once() -> None:
        slot = await ours.admit(lane, max_wait=None)
        slot.sent()
        await slot.replied()

    return once


def _pyrate(limit: int, window: float) -> dict[str, Once]:
    """pyrate-limiter, if it is installed."""
    try:
        from pyrate_limiter import Limiter, Rate
    except ImportError:
        return {}
    limiter = Limiter(Rate(limit, int(window * 1000)))
    return {"pyrate-limiter": lambda: limiter.try_acquire_async("calls")}
