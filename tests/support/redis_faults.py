"""Workers that share one Redis which the test breaks, as a state machine with a held clock.

The judge counts arrivals in any window and knows nothing else.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, cast

import msgspec
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.support.held_clock import HeldClock
from zoho_async.errors import LedgerError
from zoho_async.limits import Limits, RedisLedger
from zoho_async.limits.redis.connection import Unreachable
from zoho_async.limits.redis.worker import RedisWorker
from zoho_async.limits.usage import Denial, Ending

T = TypeVar("T")
Way: TypeAlias = Literal["open", "cut", "deaf", "lossy"]
LIMITS = Limits(limit=10, burst=10, window=10.0, linger=3.0, in_flight=10)
LEASE = 2.0
ALONE = 40.0
KEY, ACCOUNT = "api/1", "api/@me"
WHICH = st.integers(0, 2)


def keep_no_time(key: str) -> None:
    """Do not listen to ``key``."""


class Client:
    """A Redis client over a network that the test breaks.

    If the way is ``deaf``, all replies are lost. If it is ``lossy``, only replies to scripts are.
    """

    def __init__(self, url: str) -> None:
        self.ordinary = cast(Any, redis.Redis).from_url(url)
        self.way: Way = "open"
        #: Commands until the connection is cut; negative for never.
        self.left = -1

    async def execute_command(self, *command: object) -> Any:
        await asyncio.sleep(0)
        self.left -= 1 if self.left > 0 else 0
        if self.way == "cut" or self.left == 0:
            raise redis.ConnectionError
        answer = self.ordinary.execute_command(*command)
        if self.way == "deaf" or (self.way == "lossy" and command[0] in ("EVALSHA", "EVAL")):
            raise redis.TimeoutError
        return answer

    async def aclose(self) -> None:
        self.ordinary.close()


class Sent(msgspec.Struct):
    place: int
    sent: float
    arrives: float


class Worker:
    """One worker with its ledger and its calls."""

    def __init__(
        self, url: str, share: float | None, loop: asyncio.AbstractEventLoop, world: Faults
    ) -> None:
        self.loop, self.clock = loop, world.clock
        self.share = share
        self.ledger = RedisLedger(url, share=share, lease=LEASE, max_offline=ALONE)
        self.ledger._time = lambda: world.clock.now + world.offset + 1_790_000_000
        self.client = Client(url)
        self.unsent: list[tuple[int, float]] = []
        self.sent: list[Sent] = []

        async def worker() -> RedisWorker:
            return self.ledger._worker(self.clock)

        self.worker = self.run(worker())
        cast(Any, self.worker).start_renewal = lambda: None  # the test calls it
        self.connection = self.worker.connection
        cast(Any, self.connection.subscriber).keep = keep_no_time
        cast(Any, self.connection).client = self.client

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def take(self) -> int | Denial:
        return self.run(self.ledger.take(KEY, ACCOUNT, "interactive", LIMITS, self.clock))

    def settle(self, place: int, ending: Ending) -> None:
        self.run(self.ledger.settle(KEY, ACCOUNT, place, ending, LIMITS, self.clock))

    def beat(self) -> None:
        with suppress(Unreachable, LedgerError):
            self.run(self.worker.heartbeat())


class Faults(RuleBasedStateMachine):
    """Three workers, one Redis, and a judge of arrivals."""

    url: ClassVar[str]
    loop: ClassVar[asyncio.AbstractEventLoop]
    shares: ClassVar[tuple[float | None, ...]] = (None, None, None)

    def __init__(self) -> None:
        super().__init__()
        self.clock = HeldClock()
        self.offset = 0.0
        self.arrivals: list[float] = []
        self.server = cast(Any, redis.Redis).from_url(self.url)
        self.server.flushall()
        self.kept: dict[bytes, bytes] = {}
        self.workers = [Worker(self.url, share, self.loop, self) for share in self.shares]

    def teardown(self) -> None:
        for which in range(3):
            self.heal(which)
            self.never_send(which)
            self.give_up(which)
        for _ in range(100):
            self.clock.now += 1.0
            self.all_beat()
        for worker in self.workers:
            answer = worker.take()  # calls are possible again
            assert isinstance(answer, int)
            worker.settle(answer, Ending("unsent"))
        for worker in self.workers:
            worker.connection.open_places.clear()
            worker.run(worker.ledger.close())
        self.server.close()

    # -- workers ----------------------------------------------------------------------------------

    @rule(which=WHICH, calls=st.sampled_from([1, 2, 10]))
    def ask(self, which: int, calls: int) -> None:
        worker = self.workers[which]
        for _ in range(calls):
            asked = self.clock.now
            answer = worker.take()
            if isinstance(answer, Denial):
                return
            worker.unsent.append((answer, asked))

    @rule(which=WHICH, delay=st.sampled_from([0.0, 0.0, 1.0, LIMITS.linger]))
    def send(self, which: int, delay: float) -> None:
        worker = self.workers[which]
        while worker.unsent:
            place, asked = worker.unsent.pop()
            if self.clock.now > asked + worker.ledger.lease(LIMITS):
                worker.settle(place, Ending("unsent"))
                continue
            self.arrivals.append(self.clock.now + delay)
            worker.sent.append(Sent(place, self.clock.now, self.clock.now + delay))

    @rule(which=WHICH, delay=st.sampled_from([0.0, LIMITS.linger]), answered=st.booleans())
    def call(self, which: int, delay: float, answered: bool) -> None:
        """Use all that is left of the limit at once."""
        self.ask(which, LIMITS.limit)
        self.send(which, delay)
        if answered and not delay:
            self.answer(which)

    @rule(which=WHICH)
    def answer(self, which: int) -> None:
        worker = self.workers[which]
        while worker.sent:
            one = worker.sent.pop(0)
            self.clock.now = max(self.clock.now, one.arrives)
            worker.settle(one.place, Ending("replied", self.clock.now - one.sent))

    @rule(which=WHICH)
    def give_up(self, which: int) -> None:
        worker = self.workers[which]
        while worker.sent:
            one = worker.sent.pop(0)
            worker.settle(one.place, Ending("lost", self.clock.now - one.sent))

    @rule(which=WHICH)
    def never_send(self, which: int) -> None:
        worker = self.workers[which]
        while worker.unsent:
            worker.settle(worker.unsent.pop()[0], Ending("unsent"))

    @rule(which=WHICH)
    def kill(self, which: int) -> None:
        self.workers[which].client.ordinary.close()
        self.workers[which] = Worker(self.url, self.shares[which], self.loop, self)

    @rule(which=WHICH)
    def beat(self, which: int) -> None:
        self.workers[which].beat()

    @rule()
    def all_beat(self) -> None:
        for worker in self.workers:
            worker.beat()

    # -- time -------------------------------------------------------------------------------------

    @rule(passed=st.sampled_from([0.1, 1.0, LEASE, 5.0, 10.01, 15.02, 20.0]))
    def stand_still(self, passed: float) -> None:
        self.clock.now += passed

    @rule(seconds=st.sampled_from([3, 8, 16, 22]), calls=st.booleans())
    def go_on(self, seconds: int, calls: bool) -> None:
        """Pass time second by second while all workers run."""
        for _ in range(seconds):
            self.clock.now += 1.0
            self.all_beat()
            if calls:
                for which in range(3):
                    self.call(which, 0.0, answered=True)

    # -- the network and the server ---------------------------------------------------------------

    @rule(which=WHICH, way=st.sampled_from(["cut", "cut", "deaf", "lossy"]))
    def break_the_way(self, which: int, way: Way) -> None:
        self.workers[which].client.way = way

    @rule(which=WHICH, commands=st.integers(1, 6))
    def break_the_way_soon(self, which: int, commands: int) -> None:
        self.workers[which].client.left = commands

    @rule()
    def break_every_way(self) -> None:
        for which in range(3):
            self.break_the_way(which, "cut")

    @rule(which=WHICH)
    def heal(self, which: int) -> None:
        self.workers[which].client.way = "open"
        self.workers[which].client.left = -1

    @rule()
    def flush(self) -> None:
        self.server.flushall()

    @rule(key=st.sampled_from([KEY, ACCOUNT]))
    def lose_a_key(self, key: str) -> None:
        self.server.delete(f"zoho_async:1:usage:{key}")

    @rule()
    def save(self) -> None:
        self.kept = {key: self.server.dump(key) for key in self.server.keys("*")}

    @precondition(lambda self: bool(self.kept))
    @rule(offset=st.sampled_from([0.0, 0.0, -30.0, 30.0]))
    def restore(self, offset: float) -> None:
        """Restore a snapshot, as a restart from an older file or a lagging replica does."""
        self.server.flushall()
        self.offset += offset
        for key, dump in self.kept.items():
            self.server.restore(key, 0, dump)
        self.server.hset("zoho_async:1:epoch", "run_id", "of another process")

    # -- invariants -------------------------------------------------------------------------------

    @invariant()
    def no_window_sees_more_than_the_limit(self) -> None:
        ordered = sorted(self.arrivals)
        for at, start in enumerate(ordered):
            assert bisect_left(ordered, start + LIMITS.window) - at <= LIMITS.limit


class SharesAtFaults(Faults):
    """The same with offline shares: workers continue without Redis."""

    shares = (0.5, 0.3, 0.2)
