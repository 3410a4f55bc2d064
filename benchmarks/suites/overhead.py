"""The cost of the client without HTTP: slots of the limits, many organizations, imports.

Slots: no call is made, and the figure is CPU time. The limits of each contender are two hundred
calls per hundredth of a second, and the tasks that wait exist before the clock starts.

Organizations: each of ten thousand has one call in flight and ten that wait. Replies come after 1
to 5 s, and each admits the next call. A task wakes every five milliseconds: the CPU time between
two beats says how long the loop was held. The time of Python's own collector is subtracted.

Imports: each runs in another interpreter, in turns, compiled into a folder of this run first.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiolimiter import AsyncLimiter

from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.timing import Times, apart, in_turns, memory
from zoho_async import Credentials, Limits, Session
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.http.client import Client
from zoho_async.limits import Lane, MemoryLedger, Scheduler, Slot, scheduler

# -- slots -----------------------------------------------------------------------------------------

_COLUMNS = ["who", "CPU us", "low", "high"]
_BUSY = 200  # calls that a limiter lets go in `_WINDOW`
_WINDOW = 0.01

#: Waits for one admission and ends it.
Once: TypeAlias = Callable[[], Awaitable[object]]


def free(run: Run) -> Table:
    """Admit and settle one call while no other waits."""
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
    table = _table("slot", "A slot of the limits: admit and settle, no call waits", figures)
    other, ours = (
        next(each for each in figures if name in each.name) for name in ("aio", "interactive")
    )
    ratio = statistics.median(one / two for one, two in zip(ours.cpu, other.cpu, strict=True))
    table.reach = [
        Reach("CPU of a slot", ours.median * 1e6, 5.0, " us"),
        Reach("a slot, to aiolimiter in the same round", ratio, 4.5, "x"),
    ]
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
    counts = (1_000, 10_000) if run.quick else (1_000, 10_000, 100_000)
    for count in counts:
        contenders: dict[str, Once] = {"tasks alone, no limiter": _nothing}
        if count <= 10_000:  # their cost grows with the count: ten times this takes minutes
            contenders["aiolimiter"] = AsyncLimiter(_BUSY, _WINDOW).acquire
            contenders |= _pyrate(_BUSY, _WINDOW)
        contenders["zoho_async, interactive"] = once_of(limiter_of(_BUSY, _BUSY), "interactive")
        contenders["zoho_async, bulk"] = once_of(limiter_of(_BUSY, _BUSY // 10), "bulk")
        figures = await in_turns(
            [(name, waiting_of(once, count)) for name, once in contenders.items()],
            rounds=1 if count > 10_000 else run.either(3, 1),
        )
        for each in figures:
            found[each.name, count] = each
            low, high = min(each.cpu) * 1e6, max(each.cpu) * 1e6
            rest = (each.median - figures[0].median) * 1e6
            table.add(each.name, count, each.median * 1e6, low, high, rest)
    table.series = {
        name: [
            [count, found[name, count].median * 1e6] for count in counts if (name, count) in found
        ]
        for name in dict.fromkeys(name for name, _ in found)
    }

    def own(count: int) -> float:
        tasks = found["tasks alone, no limiter", count].median
        return found["zoho_async, interactive", count].median - tasks

    growth = own(counts[-1]) / own(1_000)
    table.reach = [
        Reach("CPU of a slot, 10,000 waiting, less the task", own(10_000) * 1e6, 15.0, " us"),
        Reach(f"the same with {counts[-1]:,} waiting, to 1,000", growth, 1.25, "x"),
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


def waiting_of(once: Once, count: int) -> Callable[[], Awaitable[int]]:
    async def work() -> int:
        await asyncio.gather(*(once() for _ in range(count)))
        return count

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


# -- many organizations ----------------------------------------------------------------------------

_BEAT = 0.005
_LATENCY = (1.0, 5.0)  # some 3,000 replies a second, which leaves the loop time to breathe


def tenants(run: Run) -> Table:
    """Memory, cost of an admission, the loop's longest hold."""
    organizations, each = run.either(10_000, 1_000), run.either(10, 3)
    found: dict[str, float] = apart("benchmarks.suites.overhead", "measured", organizations, each)
    table = Table(
        key="tenants",
        title=f"{organizations:,} organizations, {each * organizations:,} calls waiting",
        columns=["what", "found"],
        rows=[[name, value] for name, value in found.items()],
    )
    table.reach = [
        Reach(
            "memory of an idle organization", found["bytes an idle organization"], 2048, " bytes"
        ),
        Reach("longest hold of the loop", found["longest hold, ms"], 20.0, " ms"),
    ]
    return table


def measured(organizations: int, each: int) -> dict[str, float]:
    """The figures, in a process that does nothing else."""
    return asyncio.run(_measured(organizations, each))


async def _measured(organizations: int, each: int) -> dict[str, float]:
    limits = Limits(in_flight=1)
    credentials = Credentials("client", "secret", "refresh")
    async with Session(credentials, limits=limits, ledger=MemoryLedger()) as zoho:
        account = zoho._core.client
        ids = [str(10_000_000 + number) for number in range(organizations)]
        gc.collect()
        empty = memory("VmRSS")
        for organization in ids:
            slot = await account.scheduler(organization).admit()
            slot.sent()
            await slot.replied()
        gc.collect()
        idle = memory("VmRSS")
        first = []
        for organization in ids:
            slot = await account.scheduler(organization).admit()
            slot.sent()
            first.append(slot)
        known = memory("VmRSS")
        beats = asyncio.create_task(heart())
        calls = asyncio.gather(*(_chain(account, one, each) for one in ids))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # once for the chains to begin, once for their calls
        assert await _waiting_calls(account, ids[-1]) == each
        waiting = memory("VmRSS")
        collector = Collector()
        holds = [0.0, 0.0]
        beats.cancel()
        beats = asyncio.create_task(heart(holds, collector))
        began, cpu = time.perf_counter(), time.process_time()
        chance = random.Random(1)
        loop = asyncio.get_running_loop()
        replies: set[asyncio.Task[None]] = set()
        for number, slot in enumerate(first):
            delay = chance.uniform(*_LATENCY)
            loop.call_later(delay, _reply, slot, replies)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await calls
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
        beats.cancel()
        collector.close()
    admissions = organizations * each
    return {
        "bytes an idle organization": (idle - empty) * (1 << 20) / organizations,
        "bytes a waiting call, its task included": (waiting - known) * (1 << 20) / admissions,
        "CPU us an admission, call and timer included": cpu / admissions * 1e6,
        "admissions a second": admissions / seconds,
        "longest hold, ms": holds[0] * 1e3,
        "longest hold with Python's collector, ms": holds[1] * 1e3,
        "peak MB": memory("VmHWM"),
    }


def _reply(slot: Slot, replies: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(slot.replied())
    replies.add(task)
    task.add_done_callback(replies.discard)


async def _chain(account: Client, organization: str, each: int) -> None:
    """Calls of one organization, all waiting at once."""
    chance = random.Random(organization)

    async def call() -> None:
        slot = await account.scheduler(organization).admit("interactive", max_wait=None)
        slot.sent()
        await asyncio.sleep(chance.uniform(*_LATENCY))
        await slot.replied()

    await asyncio.gather(*(call() for _ in range(each)))


async def _waiting_calls(account: Client, organization: str) -> int:
    return sum((await account.scheduler(organization).snapshot()).waiting.values())


class Collector:
    """How long Python's collector has run so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._notice)

    def _notice(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began

    def close(self) -> None:
        gc.callbacks.remove(self._notice)


async def heart(holds: list[float] | None = None, collector: Collector | None = None) -> None:
    """Note in ``holds`` the longest time between beats, without and with the collector's share."""
    while True:
        before, collected = time.thread_time(), 0.0 if collector is None else collector.seconds
        await asyncio.sleep(_BEAT)
        if holds is not None and collector is not None:
            late = time.thread_time() - before
            holds[0] = max(holds[0], late - (collector.seconds - collected))
            holds[1] = max(holds[1], late)


# -- imports ---------------------------------------------------------------------------------------

_TIMED = """
import sys, time
cpu, wall = time.process_time(), time.perf_counter()
{work}
print(time.process_time() - cpu, time.perf_counter() - wall, len(sys.modules))
"""
_FLOOR = "import aiohttp, msgspec"
_FIRST = "from zoho_async import Session"
_CALL = """
import asyncio
from zoho_async import Credentials, Session
from zoho_async.books import contacts

async def main():
    credentials = Credentials("1000.CLIENT", "secret", "1000.refresh")
    async with Session(credentials, organization=1, api_url="{url}", accounts_url="{url}") as zoho:
        await contacts.list(zoho)

asyncio.run(main())
"""
_BOOKS = """
import importlib, pkgutil
import zoho_async.books as books
for each in pkgutil.iter_modules(books.__path__, "zoho_async.books."):
    importlib.import_module(each.name)
"""
_NOTHING = "pass"


def imports(run: Run) -> Table:
    """CPU and wall milliseconds of imports, and of everything up to the first reply."""
    works = {
        "aiohttp and msgspec (the floor)": _FLOOR,
        "zoho_async": "import zoho_async",
        "zoho_async with Session": _FIRST,
        "zoho_async.books.invoices": "from zoho_async.books import invoices",
        "all of zoho_async.books": _BOOKS,
        "import, connect, first call answered": _CALL.replace("{url}", run.server.url),
        "httpx": "import httpx",
        "requests": "import requests",
        "zohopy": "import zohopy.products.books",
        "pyzohoapi": "import pyzohoapi",
    }
    figures: dict[str, list[tuple[float, float, int]]] = {name: [] for name in works}
    with tempfile.TemporaryDirectory() as compiled:
        for number in range(run.either(9, 3) + 1):
            for name, work in works.items():
                found = _import_once(work, compiled)
                if number and found is not None:  # the first is for the compiled files
                    figures[name].append(found)
    table = Table(
        key="imports",
        title="Imports, each in a new interpreter",
        columns=["what", "CPU ms", "low", "high", "wall ms", "modules"],
    )
    for name, each in figures.items():
        if not each:
            table.add(f"{name} (absent)", *(None,) * 5)
            continue
        cpu = [one[0] * 1e3 for one in each]
        wall = statistics.median(one[1] for one in each) * 1e3
        table.add(name, statistics.median(cpu), min(cpu), max(cpu), wall, each[0][2])

    def over(name: str) -> float:
        floor = figures["aiohttp and msgspec (the floor)"]
        return statistics.median(a[0] - b[0] for a, b in zip(figures[name], floor, strict=True))

    table.reach = [
        Reach("zoho_async over the floor", over("zoho_async with Session") * 1e3, 15.0, " ms"),
        Reach(
            "one resource over zoho_async's floor",
            over("zoho_async.books.invoices") * 1e3,
            40.0,
            " ms",
        ),
        Reach("all of Books", over("all of zoho_async.books") * 1e3, 1000.0, " ms"),
    ]
    table.notes.append("compiled beforehand: what is measured is loading")
    return table


def _import_once(work: str, compiled: str) -> tuple[float, float, int] | None:
    code = _TIMED.replace("{work}", work)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    if done.returncode:
        return None
    cpu, wall, modules = done.stdout.split()
    return float(cpu), float(wall), int(modules)
