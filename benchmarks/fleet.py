"""``python -m benchmarks.fleet``: the load of a fleet on the Redis that it shares.

It simulates ten thousand organizations on a hundred workers. Sessions, Zoho and the network are
left out: a call is a wait of ``--latency``. The clock is held, so an hour takes as long as its
Redis commands. The ledger and the Redis are real, and the counters of Redis are the figures. Time
does not pass during a command, so Redis gets the fleet's commands in the same order, at the speed
of one simulating process.

The rounds have different loads:

- *night*: each list of each organization is a task that makes one call (an incremental export with
  few changes).
- *long*: each worker reads one long list as fast as the limits of its organization allow.
- *minute*: a thousand organizations on ten workers make 90 calls a minute each, at even intervals.

Each worker has one ledger for all its tasks, as in `export_fleet`.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, cast

import msgspec
from redis import Redis

from benchmarks.report import about
from tests.support.redis_server import RedisServer, redis_8
from zoho_async.clock import LoopClock
from zoho_async.limits import Limits, RedisLedger, Scheduler
from zoho_async.limits.redis.connection import RedisConnection

ACCOUNT: Final = "zohoapis.com/@fleet"
_START: Final = 1_000_000.0


class _Selector(selectors.DefaultSelector):
    """Waits for sockets during commands, and otherwise advances the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = _START
        self.under_way = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.under_way or timeout is None:
            return super().select(None)
        self.moved += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _Selector) -> None:
        super().__init__(selector)
        self._hand: Final = selector

    def time(self) -> float:
        return self._hand.moved


class Round(msgspec.Struct, kw_only=True):
    """What one round asked of Redis. ``lasted`` is simulated, ``busy`` is Redis' CPU time."""

    name: str
    organizations: int
    workers: int
    calls: int
    lasted: float
    scripts: int
    commands: int
    connections: int
    sent: int
    busy: float
    memory: int

    def lines(self) -> Iterator[str]:
        """The figures, for people."""
        yield f"{self.name}: {self.organizations:,} organizations on {self.workers} workers"
        yield f"  calls of Zoho          {self.calls:>12,}   in {self.lasted:,.0f} s simulated"
        yield f"  calls a second         {self.calls / self.lasted:>12,.0f}"
        yield f"  scripts a call         {self.scripts / self.calls:>12.2f}"
        yield f"  commands a second      {self.commands / self.lasted:>12,.0f}"
        yield f"  connections a second   {self.connections / self.lasted:>12,.1f}"
        yield f"  traffic, both ways     {self.sent / self.lasted / 1e6:>12.2f} MB a second"
        yield f"  CPU of Redis a call    {self.busy / self.calls * 1e6:>12,.0f} microseconds"
        yield f"  Redis' core in use     {self.busy / self.lasted:>12.1%}"
        yield f"  memory                 {self.memory / 1e6:>12.1f} MB"


class _Fleet:
    """Runs calls against ledgers at ``url``, in held time."""

    def __init__(self, url: str, latency: float) -> None:
        self.calls = 0
        self.scripts = 0
        self._url: Final = url
        self.latency: Final = latency

    def ledger(self) -> RedisLedger:
        ledger = RedisLedger(self._url)
        loop = asyncio.get_running_loop()
        ledger._time = loop.time
        return ledger

    def limiter(self, ledger: RedisLedger, organization: int) -> Scheduler:
        return Scheduler(
            f"zohoapis.com/{organization}",
            account=ACCOUNT,
            limits=Limits(),
            ledger=ledger,
            clock=LoopClock(),
            observer=None,
        )

    async def read(self, limiter: Scheduler, calls: int) -> None:
        """Make ``calls`` calls, one after the other."""
        for _ in range(calls):
            slot = await limiter.admit("bulk", max_wait=None)
            slot.sent()
            await asyncio.sleep(self.latency)
            await slot.replied()
            self.calls += 1

    async def end(self, ledger: RedisLedger) -> None:
        self.scripts += ledger._worker().connection.scripts_run
        await ledger.close()


async def night(fleet: _Fleet, organizations: int, workers: int, lists: int, threads: int) -> None:
    """Every list of every organization: one task, one call."""
    tasks = iter([one for _ in range(lists) for one in range(organizations)])

    async def thread(ledger: RedisLedger) -> None:
        for one in tasks:
            await fleet.read(fleet.limiter(ledger, one), 1)

    async def worker() -> None:
        ledger = fleet.ledger()
        await asyncio.gather(*(thread(ledger) for _ in range(threads)))
        await fleet.end(ledger)

    await asyncio.gather(*(worker() for _ in range(workers)))


async def long(fleet: _Fleet, workers: int, calls: int) -> None:
    """Each worker reads a long list of another organization, four pages at a time."""

    async def worker(one: int) -> None:
        ledger = fleet.ledger()
        limiter = fleet.limiter(ledger, one)
        await asyncio.gather(*(fleet.read(limiter, calls // 4) for _ in range(4)))
        await fleet.end(ledger)

    await asyncio.gather(*(worker(one) for one in range(workers)))


async def minute(fleet: _Fleet, organizations: int, workers: int, seconds: float) -> None:
    """Each organization makes 90 calls a minute, one after the other."""
    apart = 60.0 / 90
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds

    async def calls(limiter: Scheduler, first: float) -> None:
        await asyncio.sleep(first)
        while loop.time() < ends:
            began = loop.time()
            slot = await limiter.admit(max_wait=None)
            slot.sent()
            await asyncio.sleep(fleet.latency)
            await slot.replied()
            fleet.calls += 1
            await asyncio.sleep(max(0.0, began + apart - loop.time()))

    ledgers = [fleet.ledger() for _ in range(workers)]
    await asyncio.gather(
        *(
            calls(fleet.limiter(ledgers[one % workers], one), apart * one / organizations)
            for one in range(organizations)
        )
    )
    for ledger in ledgers:
        await fleet.end(ledger)


def run(
    server: RedisServer,
    latency: float,
    name: str,
    organizations: int,
    workers: int,
    work: Callable[[_Fleet], Coroutine[Any, Any, None]],
) -> Round:
    """One round on a Redis that is empty before."""
    counters = cast(Any, Redis).from_url(server.url)  # partly untyped
    server.flush()
    before = counters.info()
    fleet = _Fleet(server.url, latency)
    selector = _Selector()
    ask = RedisConnection.ask

    async def counted(self: RedisConnection, *given: Any) -> Any:
        selector.under_way += 1
        try:
            return await ask(self, *given)
        finally:
            selector.under_way -= 1

    replaced = cast(Any, RedisConnection)
    replaced.ask = counted  # for the length of this round
    try:
        with asyncio.Runner(loop_factory=lambda: _Loop(selector)) as runner:
            runner.run(work(fleet))
    finally:
        replaced.ask = ask
    after = counters.info()
    counters.close()

    def more(*names: str) -> Any:
        return sum(after[one] - before[one] for one in names)

    return Round(
        name=name,
        organizations=organizations,
        workers=workers,
        calls=fleet.calls,
        lasted=selector.moved - _START,
        scripts=fleet.scripts,
        commands=more("total_commands_processed"),
        connections=more("total_connections_received"),
        sent=more("total_net_input_bytes", "total_net_output_bytes"),
        busy=more("used_cpu_user", "used_cpu_sys"),
        memory=more("used_memory"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--organizations", type=int, default=10_000)
    add("--workers", type=int, default=100)
    add("--lists", type=int, default=1, help="lists of each organization")
    add("--threads", type=int, default=4, help="tasks that a worker does at a time")
    add("--calls", type=int, default=120, help="calls for each long list")
    add("--latency", type=float, default=0.3, help="seconds that Zoho takes to answer")
    add("--seconds", type=float, default=20.0, help="simulated seconds of the round minute")
    add("--only", choices=("night", "long", "minute"), help="run this round only")
    options = parser.parse_args(arguments)
    loads: dict[str, tuple[int, int, Callable[[_Fleet], Coroutine[Any, Any, None]]]] = {
        "night": (
            options.organizations,
            options.workers,
            lambda fleet: night(
                fleet, options.organizations, options.workers, options.lists, options.threads
            ),
        ),
        "long": (
            options.workers,
            options.workers,
            lambda fleet: long(fleet, options.workers, options.calls),
        ),
        "minute": (1_000, 10, lambda fleet: minute(fleet, 1_000, 10, options.seconds)),
    }
    with RedisServer(redis_8()) as server:
        rounds = [
            run(server, options.latency, name, organizations, workers, work)
            for name, (organizations, workers, work) in loads.items()
            if options.only in (None, name)
        ]
    print(about())
    for one in rounds:
        print("\n".join(one.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
