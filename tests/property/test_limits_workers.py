"""The promises of all ledgers, for any history of the workers that share them.

Workers ask, send, get replies, give up, die and are stopped, on a clock that the test sets.
Requests arrive at any time. The test checks the arrivals in true time: any window of a minute, the
day, the blocks, the calls in flight, and the pace of bulk calls.
"""

from __future__ import annotations

import asyncio
import tempfile
from abc import abstractmethod
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.held_clock import HeldClock
from tests.support.redis_server import RedisServer
from zoho_async.limits import (
    Lane,
    Limits,
    MemoryLedger,
    Quota,
    RedisLedger,
    Refusal,
    Snapshot,
    SqliteLedger,
)
from zoho_async.limits.recovery import LAPSE
from zoho_async.limits.sqlite import SqliteFile
from zoho_async.limits.usage import Denial, Ending

T = TypeVar("T")

WINDOW = 10.0
DAY = 86_400.0
LIMITS = Limits(limit=5, burst=3, window=WINDOW, linger=3.0, in_flight=4, day=18, reserve=2)
ACCOUNT = "api/@me"
KEYS = ("api/1", "api/2")
EPOCH = 1_790_000_000.0
STANDS_STILL = LAPSE * LIMITS.linger


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waited")


# -- workers --------------------------------------------------------------------------------------


class Worker:
    """One worker: its calls, and how it asks its ledger."""

    def __init__(self) -> None:
        self.unsent: list[Admitted] = []
        self.sent: list[Sent] = []

    @property
    def calls(self) -> list[Admitted | Sent]:
        return [*self.unsent, *self.sent]

    @abstractmethod
    def take(self, key: str, lane: Lane) -> int | Denial: ...

    @abstractmethod
    def settle(self, key: str, place: int, ending: Ending) -> float: ...

    @abstractmethod
    def snapshot(self, key: str) -> Snapshot: ...

    @abstractmethod
    def lease(self) -> float: ...

    def lose_an_answer(self, key: str) -> None:
        """Take a place without this worker getting the answer."""

    def cancel(self, key: str, lane: Lane, steps: int) -> None:
        """Ask, and give up after some turns of the event loop."""

    def write_endings(self) -> None:
        """Write the endings that wait for the next admission."""

    def die(self) -> None:
        """Kill the worker in any state."""

    def stand_still(self) -> None:
        """Stop the worker until others take it for dead."""

    def go_on(self) -> None:
        """Continue a stopped worker."""

    def close(self) -> None: ...


class Admitted(msgspec.Struct):
    """An admitted call. ``known``: no other worker can have taken its worker for dead."""

    key: str
    place: int
    asked: float
    known: bool = True


class Sent(msgspec.Struct):
    key: str
    place: int
    sent: float
    arrives: float
    known: bool


class InMemory(Worker):
    def __init__(self, ledger: MemoryLedger, clock: HeldClock) -> None:
        super().__init__()
        self.ledger = ledger
        self.clock = clock

    def take(self, key: str, lane: Lane) -> int | Denial:
        return finish(self.ledger.take(key, ACCOUNT, lane, LIMITS, self.clock))

    def settle(self, key: str, place: int, ending: Ending) -> float:
        return finish(self.ledger.settle(key, ACCOUNT, place, ending, LIMITS, self.clock))

    def snapshot(self, key: str) -> Snapshot:
        return finish(self.ledger.snapshot(key, ACCOUNT, LIMITS, self.clock))

    def lease(self) -> float:
        return self.ledger.lease(LIMITS)


class InFile(Worker):
    """A worker on a file. ``alive`` is what others find: True, False, or None if unknown."""

    born = 0

    def __init__(self, path: Path, clock: HeldClock, alive: dict[str, bool | None]) -> None:
        super().__init__()
        InFile.born += 1
        self.name = f"process {InFile.born}"
        self.clock = clock
        self.alive = alive
        alive[self.name] = True
        self.file = SqliteFile(path, boot="one", owner=self.name, alive=alive.__getitem__)
        self.ledger = SqliteLedger(path)

    def take(self, key: str, lane: Lane) -> int | Denial:
        return self.file.take(key, ACCOUNT, lane, LIMITS, self.clock.now, self.clock.time())

    def settle(self, key: str, place: int, ending: Ending) -> float:
        now, wall = self.clock.now, self.clock.time()
        return self.file.settle(key, ACCOUNT, place, ending, LIMITS, now, wall)

    def snapshot(self, key: str) -> Snapshot:
        return self.file.snapshot(key, ACCOUNT, LIMITS, self.clock.now, self.clock.time())

    def lease(self) -> float:
        return self.ledger.lease(LIMITS)

    def die(self) -> None:
        self.alive[self.name] = False
        self.close()

    def stand_still(self) -> None:
        self.alive[self.name] = None

    def go_on(self) -> None:
        self.alive[self.name] = True

    def close(self) -> None:
        self.file.close()


def do_nothing() -> None: ...


def ignore(key: str) -> None: ...


class OnRedis(Worker):
    """A worker on a real server. The test sets its time, and ends its lease."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, clock: HeldClock) -> None:
        super().__init__()
        self.loop = loop
        self.clock = clock
        self.ledger = RedisLedger(url, lease=1e9)
        self.ledger._time = clock.time

        async def worker() -> Any:
            return self.ledger._worker()

        found = self.run(worker())
        self.connection = found.connection
        # What comes at any time by the system's clock: the test decides instead.
        found.start_renewal = do_nothing
        self.connection.subscriber.keep = ignore
        found._lease = STANDS_STILL  # by the test's clock
        self.ledger._lease = STANDS_STILL  # type: ignore[misc]

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def take(self, key: str, lane: Lane) -> int | Denial:
        return self.run(self.ledger.take(key, ACCOUNT, lane, LIMITS, self.clock))

    def settle(self, key: str, place: int, ending: Ending) -> float:
        return self.run(self.ledger.settle(key, ACCOUNT, place, ending, LIMITS, self.clock))

    def snapshot(self, key: str) -> Snapshot:
        return self.run(self.ledger.snapshot(key, ACCOUNT, LIMITS, self.clock))

    def lease(self) -> float:
        return self.ledger.lease(LIMITS)

    def lose_an_answer(self, key: str) -> None:
        answer = self.take(key, "interactive")
        if not isinstance(answer, Denial):
            self.connection.open_places[key].discard(answer)
            self.connection.cache.clear()  # as after a broken connection

    def cancel(self, key: str, lane: Lane, steps: int) -> None:
        async def ask_and_give_up() -> None:
            asking = asyncio.ensure_future(self.ledger.take(key, ACCOUNT, lane, LIMITS, self.clock))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            answer = (await asyncio.gather(asking, return_exceptions=True))[0]
            while tasks := self.connection.tasks:
                await asyncio.wait(tuple(tasks))
            if isinstance(answer, int):
                await self.ledger.settle(key, ACCOUNT, answer, Ending("unsent"), LIMITS, self.clock)

        self.run(ask_and_give_up())

    def die(self) -> None:
        self.stand_still()
        self.close()

    def stand_still(self) -> None:
        self.run(self.connection.client.zrem("zoho_async:1:workers", self.connection.name))

    def write_endings(self) -> None:
        async def write() -> None:
            await self.ledger._worker().write_pending()

        self.run(write())

    def close(self) -> None:
        self.connection.open_places.clear()
        self.connection.pending.clear()
        self.run(self.ledger.close())


# -- steps -----------------------------------------------------------------------------------------


class Workers(RuleBasedStateMachine):
    """Two workers of one ledger, and a server that checks them."""

    folder: tempfile.TemporaryDirectory[str]
    crashes: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = HeldClock(ahead=EPOCH)
        self.begin()
        self.workers = [self.worker(), self.worker()]
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.bulk: dict[str, list[float]] = defaultdict(list)
        self.blocked: dict[str, float] = defaultdict(float)
        self.spent: dict[str, float] = defaultdict(float)

    def begin(self) -> None: ...

    @abstractmethod
    def worker(self) -> Worker: ...

    def teardown(self) -> None:
        try:
            self.nothing_is_stuck()
        finally:
            for worker in self.workers:
                worker.close()

    def nothing_is_stuck(self) -> None:
        """In the end all places are free again, after any deaths and refusals."""
        self.never_send(0)
        self.give_up(0, 0.0)
        if self.crashes:
            self.kill(1)
        else:
            self.never_send(1)
            self.give_up(1, 0.0)
        self.workers[0].write_endings()
        for key in KEYS:
            self.workers[0].take(key, "interactive")  # finds dead workers
        self.never_send(0)
        self.clock.now += 3 * DAY
        for key in KEYS:
            answer = self.workers[1].take(key, "interactive")
            assert isinstance(answer, int)
            self.workers[1].settle(key, answer, Ending("unsent"))
            seen = self.workers[1].snapshot(key)
            assert seen.minute_used <= 1
            assert seen.in_flight <= 1

    # -- asking -----------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), key=st.sampled_from(KEYS), calls=st.integers(1, 6))
    def ask(self, which: int, key: str, calls: int) -> None:
        for _ in range(calls):
            self.admit(self.workers[which], key, "interactive")

    @rule(which=st.integers(0, 1), key=st.sampled_from(KEYS), calls=st.integers(1, 6))
    def ask_for_bulk(self, which: int, key: str, calls: int) -> None:
        for _ in range(calls):
            if self.admit(self.workers[which], key, "bulk"):
                self.bulk[key].append(self.clock.now)

    @rule(which=st.integers(0, 1), key=st.sampled_from(KEYS), delay=st.floats(0, 3))
    def call(self, which: int, key: str, delay: float) -> None:
        self.ask(which, key, LIMITS.limit)
        self.send(which, delay)

    def admit(self, worker: Worker, key: str, lane: Lane) -> bool:
        answer = worker.take(key, lane)
        if isinstance(answer, Denial):
            return False
        worker.unsent.append(Admitted(key, answer, self.clock.now))
        assert self.clock.now >= self.blocked[key] - 1e-6
        assert self.clock.now >= self.spent[key] - 1e-6
        living = sum(one.key == key and one.known for each in self.workers for one in each.calls)
        assert living <= LIMITS.in_flight
        return True

    @rule(which=st.integers(0, 1), key=st.sampled_from(KEYS), steps=st.integers(0, 12))
    def cancel(self, which: int, key: str, steps: int) -> None:
        before = self.workers[which].snapshot(key)
        self.workers[which].cancel(key, "interactive", steps)
        after = self.workers[which].snapshot(key)
        assert (after.minute_used, after.in_flight, after.day_used) == (
            before.minute_used,
            before.in_flight,
            before.day_used,
        )

    @rule(which=st.integers(0, 1))
    def write_endings(self, which: int) -> None:
        self.workers[which].write_endings()

    @rule(which=st.integers(0, 1), key=st.sampled_from(KEYS))
    def lose_an_answer(self, which: int, key: str) -> None:
        self.workers[which].lose_an_answer(key)

    @rule(
        which=st.integers(0, 1),
        key=st.sampled_from(KEYS),
        delay=st.sampled_from([0.0, 3.0]),
        end=st.sampled_from(["answered", "given up", "dead"]),
    )
    def two_full_minutes(self, which: int, key: str, delay: float, end: str) -> None:
        """Make two calls, the second as soon as the first ended by its worker's clock."""
        self.clock.now += 2 * WINDOW
        self.call(which, key, delay)
        if end == "answered":
            while self.workers[which].sent:
                self.answer(which, 0, 0.0, None, 1)
        elif end == "given up" or not self.crashes:
            self.give_up(which, 0.0)
        else:
            self.kill(which)
        self.call(1 - which, key, 0.0)
        self.clock.now += WINDOW * 1.001
        self.call(1 - which, key, 0.0)

    # -- sending and how it ends ------------------------------------------------------------------

    @rule(which=st.integers(0, 1), delay=st.one_of(st.just(0.0), st.just(3.0), st.floats(0, 3)))
    def send(self, which: int, delay: float) -> None:
        worker = self.workers[which]
        for one in worker.unsent:
            if self.clock.now > one.asked + worker.lease():
                worker.settle(one.key, one.place, Ending("unsent"))
                continue
            arrives = self.clock.now + delay
            self.arrivals[one.key].append(arrives)
            worker.sent.append(Sent(one.key, one.place, self.clock.now, arrives, one.known))
        worker.unsent.clear()

    @precondition(lambda self: any(worker.sent for worker in self.workers))
    @rule(
        which=st.integers(0, 1),
        at=st.integers(0, 5),
        back=st.floats(0, 2),
        code=st.sampled_from([None] * 8 + [43, 43, 44, 45, 1070, 7]),
        retry_after=st.integers(1, 100),
    )
    def answer(
        self, which: int, at: int, back: float, code: int | None, retry_after: float
    ) -> None:
        worker = self.workers[which]
        if not worker.sent:
            return
        one = worker.sent.pop(at % len(worker.sent))
        self.clock.now = max(self.clock.now, one.arrives) + back
        now = self.clock.now
        refusal, quota = None, None
        if code is not None:
            refusal = Refusal(code, retry_after)
        if code == 45 and one.sent >= self.spent[one.key]:
            self.spent[one.key] = max(self.spent[one.key], now + retry_after)
            quota = Quota(LIMITS.day, 0, retry_after)
        if code in (43, 44, 7):
            for key in KEYS if code == 43 else (one.key,):
                self.blocked[key] = max(self.blocked[key], now + retry_after)
        worker.settle(one.key, one.place, Ending("replied", now - one.sent, quota, refusal))

    @rule(which=st.integers(0, 1), waited=st.floats(0, 1))
    def give_up(self, which: int, waited: float) -> None:
        self.clock.now += waited
        for one in self.workers[which].sent:
            self.workers[which].settle(
                one.key, one.place, Ending("lost", self.clock.now - one.sent)
            )
        self.workers[which].sent.clear()

    @rule(which=st.integers(0, 1))
    def never_send(self, which: int) -> None:
        for one in self.workers[which].unsent:
            self.workers[which].settle(one.key, one.place, Ending("unsent"))
        self.workers[which].unsent.clear()

    # -- dying and stopping -----------------------------------------------------------------------

    @precondition(lambda self: self.crashes)
    @rule(which=st.integers(0, 1))
    def kill(self, which: int) -> None:
        self.workers[which].die()
        self.workers[which] = self.worker()

    @precondition(lambda self: self.crashes)
    @rule(which=st.integers(0, 1), longer=st.floats(0.1, 20), key=st.sampled_from(KEYS))
    def stand_still_and_go_on(self, which: int, longer: float, key: str) -> None:
        """Stop a worker long enough to be taken for dead, then let it continue."""
        worker, other = self.workers[which], self.workers[1 - which]
        self.clock.now += STANDS_STILL + longer
        worker.stand_still()
        for one in worker.calls:
            one.known = False
        for _ in range(LIMITS.in_flight):
            self.admit(other, key, "interactive")
        worker.go_on()

    @rule(passed=st.sampled_from([0.1, 1.0, WINDOW, WINDOW * 1.001, 60.0, 3600.0]))
    def wait(self, passed: float) -> None:
        self.clock.now += passed

    # -- invariants -------------------------------------------------------------------------------

    @invariant()
    def no_window_sees_more_than_the_limit(self) -> None:
        for arrivals in self.arrivals.values():
            ordered = sorted(arrivals)
            for at, start in enumerate(ordered):
                assert bisect_left(ordered, start + WINDOW) - at <= LIMITS.limit

    @invariant()
    def no_day_sees_more_than_its_calls(self) -> None:
        assert LIMITS.day is not None
        for key, arrivals in self.arrivals.items():
            if self.spent[key]:
                continue  # a reset begins a new count
            ordered = sorted(arrivals)
            for at, start in enumerate(ordered):
                assert bisect_left(ordered, start + DAY) - at <= LIMITS.day

    @invariant()
    def all_workers_bulk_calls_together_keep_the_pace(self) -> None:
        """Half of the limit in a window may go at once. The others are spread evenly."""
        most = LIMITS.limit - LIMITS.burst
        for moments in self.bulk.values():
            for at, start in enumerate(moments):
                assert bisect_left(moments, start + WINDOW) - at <= most
                at_once = max(LIMITS.burst, min(LIMITS.limit // 2, most))
                for more, moment in enumerate(moments[at:]):
                    assert more + 1 <= at_once + LIMITS.rate * (moment - start) + 1e-3


class WorkersInMemory(Workers):
    crashes = False

    def begin(self) -> None:
        self.ledger = MemoryLedger()

    def worker(self) -> Worker:
        return InMemory(self.ledger, self.clock)


class WorkersInAFile(Workers):
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.alive: dict[str, bool | None] = {}

    def worker(self) -> Worker:
        return InFile(Path(self.folder.name, "limits.db"), self.clock, self.alive)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class WorkersOnRedis(Workers):
    url: ClassVar[str]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def begin(self) -> None:
        first = OnRedis(self.url, self.loop, self.clock)
        first.run(first.connection.client.flushall())
        first.run(first.ledger.initialize())
        first.close()

    def worker(self) -> Worker:
        return OnRedis(self.url, self.loop, self.clock)


EXAMPLES = {"memory": 80, "file": 40, "redis": 40}


def try_all(machine: type[RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def with_redis(machines: Callable[[str, asyncio.AbstractEventLoop], None]) -> None:
    with RedisServer() as server:
        loop = asyncio.new_event_loop()
        try:
            machines(server.url, loop)
        finally:
            loop.close()


def test_every_promise_holds_in_memory() -> None:
    try_all(WorkersInMemory, EXAMPLES["memory"])


def test_every_promise_holds_in_a_file_if_workers_die_or_stop() -> None:
    try_all(WorkersInAFile, EXAMPLES["file"])


def test_every_promise_holds_on_redis_if_workers_die_or_stop() -> None:
    def run(url: str, loop: asyncio.AbstractEventLoop) -> None:
        WorkersOnRedis.url, WorkersOnRedis.loop = url, loop
        try_all(WorkersOnRedis, EXAMPLES["redis"])

    with_redis(run)
