"""Many processes on one organization: no call is refused, and the rate is used.

Each run has its own organization (a sandbox), ledger and workers. All runs go in parallel, because
they mostly wait. They begin one after the other, because they share two processors: one process
takes part in all runs of one worker, eight others in all runs of eight. Every second process has a
wall clock that jumps by twenty minutes each second.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import textwrap
import time
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.support.redis_server import RedisServer
from zoho_async.limits.usage import DRIFT
from zoho_async.sandbox import Sandbox

MINUTE = 30.0
LIMIT = 30
CAP = 4
#: Seconds for processes to start, and then to begin calls.
STARTS = 8.0
LASTS = 2.5 * MINUTE

#: Takes part in runs: as many calls as the limits allow, until it is stopped. Prints when each
#: call was sent and answered: monotonic time is the same in all processes of a machine.
WORKER = textwrap.dedent("""
    import asyncio, json, random, sys, time
    from collections import defaultdict
    from zoho_async import Limits, Session
    from zoho_async.limits import RedisLedger, Slot, SqliteLedger

    lasts, jumps, runs = json.loads(sys.argv[1])
    real = time.time
    if jumps:
        time.time = lambda: real() + 1200 * random.Random(int(real())).choice((-1, 0, 1))
    calls, sending = defaultdict(list), {}
    sent, replied = Slot.sent, Slot.replied

    def note_sent(slot):
        sent(slot)
        sending[slot] = time.monotonic()

    async def note_replied(slot, **figures):
        calls[slot._settler.key].append((sending.pop(slot), time.monotonic()))
        await replied(slot, **figures)

    Slot.sent, Slot.replied = note_sent, note_replied

    async def take_part(begins, where, environ, limits):
        ledger = RedisLedger(where) if where.startswith("unix:") else SqliteLedger(where)
        session = Session.from_env(environ, limits=Limits(**limits), ledger=ledger)
        async with session as zoho:
            bulk = zoho.with_options(lane="bulk", max_wait=None)
            await asyncio.sleep(begins - time.monotonic())

            async def calling():
                while True:
                    await bulk.request("GET", "/contacts")

            callers = [asyncio.create_task(calling()) for _ in range(limits["in_flight"])]
            done, _ = await asyncio.wait(callers, timeout=lasts)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            assert not done
        await ledger.close()

    async def main():
        await asyncio.gather(*(take_part(*run) for run in runs))

    asyncio.run(main())
    for slot, began in sending.items():
        calls[slot._settler.key].append((began, time.monotonic()))
    print(json.dumps(calls))
""")


class Run(msgspec.Struct, kw_only=True):
    """One run on one organization: its workers, its latency, and its result."""

    kept: str
    processes: int
    wire: str
    sandbox: Sandbox
    where: str
    begins: float = 0.0
    in_flight: int = LIMIT
    calls: list[tuple[float, float]] = []

    @property
    def used(self) -> float:
        """The share of the rate: of places held (a call's own time and a minute), or in flight.

        From the first moment when all were, to the last in which a call could begin.
        """
        kept, most = (MINUTE * DRIFT, LIMIT) if self.in_flight == LIMIT else (0.0, self.in_flight)
        self.calls.sort()
        begins, ends = self.calls[most - 1][0], self.begins + LASTS
        held = sum(
            max(0.0, min(replied + kept, ends) - max(sent, begins)) for sent, replied in self.calls
        )
        return held / (most * (ends - begins))

    @property
    def row(self) -> str:
        latency = statistics.median(replied - sent for sent, replied in self.calls)
        return (
            f"{self.kept:7} {self.processes:9} {self.wire:22} {len(self.calls):5} "
            f"{latency:8.3f} {self.sandbox.refused:7} {self.sandbox.most_in_minute:6} "
            f"{self.used:7.2%}"
        )


def runs_on(folder: Path, server: RedisServer) -> list[Run]:
    wires: list[tuple[str, float | tuple[float, float], float | tuple[float, float], int]] = [
        ("5 ms", 0.005, 0.0, LIMIT),
        ("5 ms to 5 s, jitter", (0.005, 4.0), (0.0, 1.0), LIMIT),
        ("5 s", 5.0, 0.0, LIMIT),
        (f"6 s, {CAP} in flight", 6.0, 0.0, CAP),
    ]
    runs: list[Run] = []
    for kept in ("sqlite", "redis"):
        for processes in (1, 8):
            for name, latency, inbound, in_flight in wires:
                sandbox = Sandbox(
                    sizes={"books.contacts": 1},
                    latency=latency,
                    inbound=inbound,
                    minute=MINUTE,
                    per_minute=LIMIT,
                    in_flight=in_flight,
                )
                where = server.url if kept == "redis" else str(folder / f"{len(runs)}.sqlite")
                runs.append(
                    Run(
                        kept=kept,
                        processes=processes,
                        wire=name,
                        sandbox=sandbox,
                        where=where,
                        in_flight=in_flight,
                    )
                )
    return runs


async def worker(runs: list[Run], jumps: bool) -> dict[str, list[list[float]]]:
    """The calls of one process that takes part in ``runs``, by the port of the API."""
    given = [
        (
            run.begins,
            run.where,
            dict(run.sandbox.environment()),
            {
                "limit": LIMIT,
                "burst": LIMIT,
                "window": MINUTE,
                "linger": 3.0,
                "in_flight": run.in_flight,
            },
        )
        for run in runs
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", WORKER, json.dumps((LASTS, jumps, given))),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return {
        key.rpartition("/")[0].rpartition(":")[2]: calls for key, calls in json.loads(out).items()
    }


async def measure(folder: Path) -> list[Run]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer())
        runs = runs_on(folder, server)
        for run in runs:
            await stack.enter_async_context(run.sandbox)
        begins = time.monotonic() + STARTS
        for number, run in enumerate(runs):
            run.begins = begins + number * MINUTE / len(runs)
        alone = [run for run in runs if run.processes == 1]
        shared = [run for run in runs if run.processes == 8]
        fleets = [alone, *[shared] * 8]
        made = await asyncio.gather(
            *(worker(fleet, number % 2 == 1) for number, fleet in enumerate(fleets))
        )
        for run in runs:
            port = str(urlsplit(run.sandbox.url).port)
            run.calls = [(sent, back) for calls in made for sent, back in calls.get(port, [])]
    print("\nledger  processes wire                   calls  latency refused minute    used")
    for run in runs:
        print(run.row)
    return runs


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_processes_share_the_limits_without_refusals_or_waste(
    tmp_path: Path,
) -> None:
    """Limit and burst alike, so the rate is limit / (window + latency), or cap / latency.

    A busy machine takes time from the rate and never adds to it. So a rate that was missed is
    measured again, and the best of each counts; a refused call is never excused.
    """
    best: dict[tuple[str, int, str], float] = {}
    for attempt in ("first", "second", "third"):
        folder = tmp_path / attempt
        folder.mkdir()
        for run in await measure(folder):
            assert run.sandbox.refused == 0
            assert run.sandbox.most_in_minute <= LIMIT
            which = (run.kept, run.processes, run.wire)
            best[which] = max(best.get(which, 0.0), run.used)
        if min(best.values()) >= 0.99:
            return
    assert {which: used for which, used in best.items() if used < 0.99} == {}
