"""Ten thousand organizations in one process, with a hundred thousand calls waiting.

Each organization has one call on its way and ten that wait; replies come after 1 to 5 s, and each
lets the next call go. A heart beats every five milliseconds meanwhile: how much the loop
worked between two beats says how long it was held (in CPU time: other programs hold nothing here).
Python's own collector is told apart from us.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time

from benchmarks.apart import apart
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.worker import memory
from zoho_async import Credentials, Limits, Session
from zoho_async.http.client import Client
from zoho_async.limits import MemoryLedger, Slot

_BEAT = 0.005
_LATENCY = (1.0, 5.0)  # some 3,000 replies a second, which leaves the loop time to breathe


def tenants(run: Run) -> Table:
    """Memory, cost of an admission, the loop's longest hold."""
    organizations, each = run.either(10_000, 1_000), run.either(10, 3)
    found: dict[str, float] = apart("benchmarks.suites.tenants", "measured", organizations, each)
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
        account = zoho._client
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
        beats = asyncio.create_task(_heart())
        calls = asyncio.gather(*(_chain(account, one, each) for one in ids))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # once for the chains to begin, once for their calls
        assert await _waiting(account, ids[-1]) == each
        waiting = memory("VmRSS")
        collector = _Collector()
        holds = [0.0, 0.0]
        beats.cancel()
        beats = asyncio.create_task(_heart(holds, collector))
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


async def _waiting(account: Client, organization: str) -> int:
    return sum((await account.scheduler(organization).snapshot()).waiting.values())


class _Collector:
    """How long Python's collector has run so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began

    def close(self) -> None:
        gc.callbacks.remove(self._told)


async def _heart(holds: list[float] | None = None, collector: _Collector | None = None) -> None:
    """Note in ``holds`` the longest time between beats, without and with the collector's share."""
    while True:
        before, collected = time.thread_time(), 0.0 if collector is None else collector.seconds
        await asyncio.sleep(_BEAT)
        if holds is not None and collector is not None:
            late = time.thread_time() - before
            holds[0] = max(holds[0], late - (collector.seconds - collected))
            holds[1] = max(holds[1], late)
