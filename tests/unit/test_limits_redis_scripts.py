"""How many scripts a call costs, by the counters of a real Redis server."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from tests.support.redis_server import RedisServer
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Limits, RedisLedger, Scheduler

#: The rate of Zoho's minute: 90 calls in 60 s are 15 in 10 s.
LIMITS = Limits(limit=15, burst=15, window=10.0, linger=1.0)
KEY, ACCOUNT = "api/1", "api/@me"
REPLY = 0.05


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


class Scripts:
    """The scripts that the server ran since `begin`."""

    def __init__(self, server: RedisServer) -> None:
        server.flush()
        self._server = cast(Any, redis.Redis).from_url(server.url)
        self._before = 0

    def _total(self) -> int:
        found = self._server.info("commandstats")
        return sum(found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in _COMMANDS)

    def begin(self) -> None:
        self._before = self._total()

    @property
    def count(self) -> int:
        return self._total() - self._before


_COMMANDS = ("eval", "evalsha", "fcall")


def limiter_on(ledger: RedisLedger, limits: Limits = LIMITS) -> Scheduler:
    """Return a scheduler that no other worker of this process uses."""
    return Scheduler(
        KEY, account=ACCOUNT, limits=limits, ledger=ledger, clock=SYSTEM_CLOCK, observer=None
    )


async def call(limiter: Scheduler) -> None:
    slot = await limiter.admit(max_wait=None)
    slot.sent()
    await asyncio.sleep(REPLY)
    await slot.replied()


async def test_a_worker_alone_needs_one_script_a_call(server: RedisServer) -> None:
    scripts, ledger = Scripts(server), RedisLedger(server.url)
    limiter = limiter_on(ledger, Limits())
    await call(limiter)
    scripts.begin()
    for _ in range(40):
        await call(limiter)
    await ledger.close()  # writes the last reply
    assert scripts.count <= 1.1 * 40


async def test_no_script_runs_between_a_reply_and_its_caller(server: RedisServer) -> None:
    scripts, ledger = Scripts(server), RedisLedger(server.url)
    slots = [await limiter_on(ledger).admit() for _ in range(5)]
    scripts.begin()
    for slot in slots:
        slot.sent()
        task = asyncio.ensure_future(slot.replied())
        await asyncio.sleep(0)
        assert task.done()  # it waited for nothing
    assert scripts.count == 0
    await ledger.close()


class Fleet:
    """Ten workers of one organization. ``pause``: seconds between two calls of a worker."""

    def __init__(self, server: RedisServer, limits: Limits, pause: float) -> None:
        self.ledgers = [RedisLedger(server.url) for _ in range(10)]
        self._limits, self._pause = limits, pause
        self._ended = asyncio.Semaphore(0)

    async def __aenter__(self) -> Fleet:
        limiters = [limiter_on(each, self._limits) for each in self.ledgers]
        self._callers = [asyncio.ensure_future(self._keep_calling(each)) for each in limiters]
        return self

    async def __aexit__(self, *error: object) -> None:
        for each in self._callers:
            each.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        for ledger in self.ledgers:
            await ledger.close()

    async def calls(self, number: int) -> None:
        """Wait until so many more calls ended."""
        for _ in range(number):
            await self._ended.acquire()

    async def _keep_calling(self, limiter: Scheduler) -> None:
        dice = random.Random(id(limiter))
        while True:
            await asyncio.sleep(dice.uniform(0.0, 2 * self._pause))
            await call(limiter)
            self._ended.release()


async def test_ten_workers_that_call_at_any_time_need_two_scripts_a_call(
    server: RedisServer,
) -> None:
    scripts = Scripts(server)
    async with Fleet(server, Limits(limit=1000, burst=1000), pause=2.0) as fleet:
        await fleet.calls(15)  # each worker reads the usage once
        scripts.begin()
        await fleet.calls(30)
        assert scripts.count <= 2.2 * 30


@pytest.mark.long
async def test_ten_workers_that_wait_for_each_place_need_two_scripts_a_call(
    server: RedisServer,
) -> None:
    """All want the place that gets free, at the rate of Zoho's minute.

    On a busy machine more of them ask in vain, so the best of eight rounds counts.
    """
    scripts = Scripts(server)
    async with Fleet(server, LIMITS, pause=0.0) as fleet:
        await fleet.calls(LIMITS.limit)
        most, counts = 2.2 * 2 * LIMITS.limit, list[int]()
        while len(counts) < 8 and min(counts, default=math.inf) > most:
            scripts.begin()
            await fleet.calls(2 * LIMITS.limit)
            counts.append(scripts.count)
        assert min(counts) <= most
