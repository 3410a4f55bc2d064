"""Real Redis servers that lose data, and a real network that breaks, in real time.

A socket plays Zoho and records the arrivals. The minute takes three seconds here.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.redis_server import RedisServer
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Limits, RedisLedger, scheduler
from zoho_async.limits.redis.epoch import offline_wait, startup_wait

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

LIMITS = Limits(limit=20, burst=20, window=3.0, linger=0.5, in_flight=20)
LEASE = 2.0
SETTLED = startup_wait(LIMITS, LEASE)
QUIET = offline_wait(LIMITS, LEASE)


class Arrivals:
    """A server that answers each line and records when it came."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.moments: list[float] = []
        self.open = 0

    @property
    def worst(self) -> int:
        """Return the most arrivals in any window."""
        window = LIMITS.window
        return max(
            bisect_left(self.moments, start + window) - at for at, start in enumerate(self.moments)
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await reader.readline()
            self.moments.append(time.monotonic())
            await asyncio.sleep(0.02)
            writer.write(b"ok\n")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.open -= 1


class Proxy:
    """A proxy between one worker and Redis that can cut the connection."""

    def __init__(self, path: Path, redis: str) -> None:
        self.url: Final = f"unix://{path}"
        self.cut = False
        self._redis: Final = redis.removeprefix("unix://")
        self._writers: Final[set[asyncio.StreamWriter]] = set()

    def break_off(self) -> None:
        self.cut = True
        for writer in tuple(self._writers):
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        back, on = await asyncio.open_unix_connection(self._redis)
        self._writers.update((writer, on))
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, on), self._pass(back, writer))
        self._writers.difference_update((writer, on))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def until(happened: Callable[[], bool]) -> None:
    """Wait for other tasks and servers."""
    patience = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < patience
        await asyncio.sleep(0.1)


class World:
    """One Redis, workers with separate ledgers, and a server that counts."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder: Final = folder
        self.server: Final = server
        self.arrivals: Final = Arrivals(folder / "zoho.sock")
        self.group = asyncio.TaskGroup()
        self.ledgers: list[RedisLedger] = []
        self.callers: list[asyncio.Task[None]] = []

    def worker(self, share: float | None = None, url: str | None = None) -> RedisLedger:
        ledger = RedisLedger(url or self.server.url, share=share, lease=LEASE, max_offline=60.0)
        self.ledgers.append(ledger)
        return ledger

    async def call(self, ledger: RedisLedger) -> None:
        limiter = scheduler(
            "api/1",
            account="api/@me",
            limits=LIMITS,
            ledger=ledger,
            clock=SYSTEM_CLOCK,
            observer=None,
        )
        slot = await limiter.admit(max_wait=None)
        if slot.stale:
            await slot.unsent()
            return
        slot.sent()
        reader, writer = await asyncio.open_unix_connection(str(self.arrivals.path))
        try:
            writer.write(b"call\n")
            await reader.readline()
        finally:
            writer.close()
        await slot.replied()

    async def go_on(self, calls: int) -> None:
        """Wait until this many more calls have arrived."""
        before = len(self.arrivals.moments)
        await until(lambda: len(self.arrivals.moments) >= before + calls)

    def keep_calling(self, ledger: RedisLedger, tasks: int = 5) -> None:
        async def caller() -> None:
            while True:
                await self.call(ledger)

        self.callers += [self.group.create_task(caller()) for _ in range(tasks)]


@asynccontextmanager
async def world(*, known: bool = True) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(forgetful=True) as server:
        made = World(Path(folder), server)
        if known:
            server.initialize()
        judge = await asyncio.start_unix_server(made.arrivals.serve, made.arrivals.path)
        async with judge, made.group:
            yield made
            for caller in made.callers:
                caller.cancel()
            await asyncio.gather(*made.callers, return_exceptions=True)
            for ledger in made.ledgers:
                await ledger.close()
            await until(lambda: not made.arrivals.open)


@pytest.mark.parametrize("how", ["empty", "older", "flushed"])
async def test_data_loss_during_calls_lets_no_window_exceed_the_limit(
    how: str,
) -> None:
    async with world() as made:
        first, second = made.worker(), made.worker()
        made.keep_calling(first)
        made.keep_calling(second)
        await asyncio.sleep(1.0)
        if how == "older":
            made.server.save()
            await asyncio.sleep(LIMITS.window)
        if how == "flushed":
            made.server.flush()
        else:
            made.server.stop()
            await asyncio.sleep(0.3)
            made.server.start()
        made.keep_calling(made.worker())  # a new worker
        await asyncio.sleep(SETTLED)
        await made.go_on(2 * LIMITS.limit)
        assert made.arrivals.worst <= LIMITS.limit


async def test_a_flush_with_an_idle_worker_and_a_new_one_lets_no_window_exceed_the_limit() -> None:
    async with world() as made:
        idle = made.worker()
        await asyncio.gather(*(made.call(idle) for _ in range(LIMITS.limit)))
        made.server.flush()
        made.keep_calling(made.worker())
        await made.go_on(2 * LIMITS.limit)
        assert made.arrivals.worst == LIMITS.limit


async def test_an_offline_worker_with_a_share_and_the_others_keep_the_limit() -> None:
    async with world() as made:
        proxy = Proxy(made.folder / "proxy.sock", made.server.url)
        way = await asyncio.start_unix_server(proxy.serve, made.folder / "proxy.sock")
        async with way:
            alone, other = made.worker(0.5, proxy.url), made.worker(0.5)
            made.keep_calling(alone)
            made.keep_calling(other)
            await asyncio.sleep(1.5)
            proxy.break_off()
            await asyncio.sleep(QUIET + 1)
            await made.go_on(2 * LIMITS.limit)
            connection = alone._worker().connection
            assert connection.unreachable_since is not None
            assert any(connection.offline.senders())  # it sent offline
            proxy.cut = False
            await until(lambda: connection.unreachable_since is None)
            await made.go_on(2 * LIMITS.limit)
            assert made.arrivals.worst <= LIMITS.limit
            for caller in made.callers:
                caller.cancel()
            await asyncio.gather(*made.callers, return_exceptions=True)
            await alone.close()


@pytest.mark.parametrize("how", ["empty", "same"])
async def test_an_outage_of_all_workers_with_shares_keeps_the_limit(how: str) -> None:
    async with world() as made:
        proxy = Proxy(made.folder / "proxy.sock", made.server.url)
        way = await asyncio.start_unix_server(proxy.serve, made.folder / "proxy.sock")
        async with way:
            first, late = made.worker(0.5), made.worker(0.5, proxy.url)
            made.keep_calling(first)
            made.keep_calling(late)
            await asyncio.sleep(1.0)
            if how == "same":
                made.server.save()
            made.server.stop()
            proxy.break_off()
            await asyncio.sleep(QUIET / 2)
            await made.go_on(2 * LIMITS.limit)
            made.server.start()
            await asyncio.sleep(2.0)
            proxy.cut = False  # the first worker is back already
            await asyncio.sleep(SETTLED)
            await made.go_on(2 * LIMITS.limit)
            assert made.arrivals.worst <= LIMITS.limit
            for caller in made.callers:
                caller.cancel()
            await asyncio.gather(*made.callers, return_exceptions=True)
            await late.close()
