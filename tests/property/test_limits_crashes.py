"""The promise of the limits for usage in a file, if any process is killed at any time.

Processes share one file. Each step admits, sends, answers, gives up, kills a process, or restarts
the machine. Then the test checks the arrivals at the server in true time. The processes read other
clocks: their monotonic clock restarts with the machine.
"""

from __future__ import annotations

import asyncio
import tempfile
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.examples import examples
from tests.support.held_clock import HeldClock
from tests.support.redis_server import RedisServer
from zoho_async.limits import Lane, Limits, MemoryLedger, Quota, RedisLedger, Refusal, Snapshot
from zoho_async.limits.redis.connection import RedisConnection
from zoho_async.limits.sqlite import SqliteFile
from zoho_async.limits.usage import Denial, Ending

T = TypeVar("T")

WINDOW = 10.0
LIMITS = Limits(limit=4, burst=4, window=WINDOW, linger=3.0, in_flight=4)
KEY, ACCOUNT = "api/1", "api/@me"
EPOCH = 1_790_000_000.0


class Process:
    """One process: its calls that are not sent yet, and its sent calls with their arrivals."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unsent: list[int] = []
        self.sent: list[tuple[int, float, float]] = []


class Machine:
    """A machine with three processes. ``true`` is the server's time."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder, "limits.db")
        self.true = 1000.0
        self.started_at = 0.0
        self.boot = 0
        self.born = 0
        self.arrivals: list[float] = []
        self.processes: list[Process] = []
        self.files: dict[str, SqliteFile] = {}
        for _ in range(3):
            self.start_process()

    def start_process(self) -> None:
        self.born += 1
        process = Process(f"process {self.born}")
        self.processes.append(process)
        self.files[process.name] = SqliteFile(
            self.path, boot=f"boot {self.boot}", owner=process.name, alive=self.files.__contains__
        )

    def stop_process(self, process: Process) -> None:
        self.processes.remove(process)
        self.files.pop(process.name).close()

    @property
    def clocks(self) -> tuple[float, float]:
        return self.true - self.started_at, self.true + EPOCH

    def take(self, process: Process) -> int | Denial:
        file = self.files[process.name]
        return file.take(KEY, ACCOUNT, "interactive", LIMITS, *self.clocks)

    def settle(self, process: Process, place: int, ending: Ending) -> None:
        self.files[process.name].settle(KEY, ACCOUNT, place, ending, LIMITS, *self.clocks)

    # -- steps --------------------------------------------------------------------------------

    def admit(self, process: Process, calls: float) -> None:
        for _ in range(int(calls) + 1):
            answer = self.take(process)
            if isinstance(answer, Denial):
                break
            process.unsent.append(answer)
        living = sum(len(one.unsent) + len(one.sent) for one in self.processes)
        assert living <= LIMITS.in_flight

    def send(self, process: Process, delay: float) -> None:
        while process.unsent:
            place = process.unsent.pop(0)
            self.arrivals.append(self.true + delay)
            process.sent.append((place, self.true, self.true + delay))

    def admit_and_send(self, process: Process, delay: float) -> None:
        self.admit(process, LIMITS.limit)
        self.send(process, delay)

    def answer(self, process: Process, back: float) -> None:
        for place, sent, arrives in process.sent:
            self.true = max(self.true, arrives)
            self.settle(process, place, Ending("replied", self.true - sent))
        process.sent.clear()

    def give_up(self, _: Process, waited: float) -> None:
        self.true += waited / 10
        for process in self.processes:
            for place, sent, _arrives in process.sent:
                self.settle(process, place, Ending("lost", self.true - sent))
            process.sent.clear()

    def never_send(self, process: Process, _: float) -> None:
        if process.unsent:
            self.settle(process, process.unsent.pop(0), Ending("unsent"))

    def kill(self, process: Process, _: float) -> None:
        self.stop_process(process)
        self.start_process()

    def start_anew(self, _process: Process, uptime: float) -> None:
        for process in list(self.processes):
            self.stop_process(process)
        self.started_at = self.true - 10 * uptime
        self.boot += 1
        for _ in range(3):
            self.start_process()

    def wait(self, _: Process, fraction: float) -> None:
        self.true += fraction / LIMITS.linger * (WINDOW * 1.001 + LIMITS.linger)

    def wait_a_minute(self, _: Process, fraction: float) -> None:
        self.true += WINDOW * 1.001 + (fraction if fraction < 0.1 else 0.0)


steps = st.tuples(
    st.sampled_from(
        [Machine.admit_and_send] * 4
        + [Machine.wait] * 2
        + [Machine.wait_a_minute] * 2
        + [
            Machine.admit,
            Machine.send,
            Machine.answer,
            Machine.give_up,
            Machine.give_up,
            Machine.never_send,
        ]
        + [Machine.kill, Machine.start_anew]
    ),
    st.integers(0, 2),
    st.one_of(st.just(0.0), st.just(LIMITS.linger), st.floats(0, LIMITS.linger)),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.lists(steps, min_size=5, max_size=40))
@example(
    [
        (Machine.admit_and_send, 0, LIMITS.linger),  # they arrive as late as possible
        (Machine.give_up, 0, 0.0),
        (Machine.wait_a_minute, 0, 1.0),
        (Machine.admit_and_send, 0, 0.0),
    ]
)
@example(
    [
        (Machine.admit, 0, 4.0),
        (Machine.wait, 0, LIMITS.linger),
        (Machine.send, 0, LIMITS.linger),  # sent long after the admission, then killed
        (Machine.kill, 0, 0.0),
        (Machine.wait, 0, 0.0),
        (Machine.admit_and_send, 1, 0.0),
        (Machine.wait_a_minute, 0, 1.0),
        (Machine.admit_and_send, 1, 0.0),
    ]
)
@pytest.mark.long
def test_no_window_exceeds_the_limit_if_processes_are_killed(
    story: list[tuple[Callable[[Machine, Process, float], None], int, float]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        try:
            for step, which, amount in story:
                step(machine, machine.processes[which], amount)
            # Dead processes do not hold their places forever.
            for process in list(machine.processes):
                machine.kill(process, 0.0)
            machine.take(machine.processes[0])
            machine.kill(machine.processes[0], 0.0)
            machine.take(machine.processes[1])
            machine.kill(machine.processes[1], 0.0)
            machine.take(machine.processes[2])
            machine.true += 2 * (WINDOW + LIMITS.linger)
            assert not isinstance(machine.take(machine.processes[0]), Denial)
        finally:
            for file in machine.files.values():
                file.close()
    ordered = sorted(machine.arrivals)
    for at, start in enumerate(ordered):
        assert bisect_left(ordered, start + WINDOW) - at <= LIMITS.limit


class EveryLedgerDecidesAlike(RuleBasedStateMachine):
    """Memory, file and Redis give the same answers for the same history.

    Redis reckons in its own time, so its durations are the same but for rounding; every duration
    here is a multiple of 1/64, so that no decision hangs on that.
    """

    url: ClassVar[str]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = SqliteFile(
            Path(self.folder.name, "limits.db"), boot="one", owner="me", alive=lambda _: True
        )
        self.memory = MemoryLedger()
        self.redis = RedisLedger(self.url, lease=3600.0)
        self.clock = HeldClock(ahead=EPOCH)
        self.redis._time = self.clock.time
        self.limits = Limits(limit=4, burst=2, window=WINDOW, linger=3.0, in_flight=3, day=60)
        self.open: list[tuple[str, int, int]] = []
        self.run(cast(Any, self.connection().client).flushall())
        self.run(self.redis.initialize())

    def teardown(self) -> None:
        self.file.close()
        self.folder.cleanup()
        self.connection().open_places.clear()
        self.run(self.redis.close())

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def connection(self) -> RedisConnection:
        async def connection() -> RedisConnection:
            return self.redis._worker().connection

        found = self.run(connection())
        found.cache.clear()  # so that it reads the server's time
        return found

    async def write_pending(self) -> None:
        await self.redis._worker().write_pending()

    @rule(key=st.sampled_from(["api/1", "api/2", ACCOUNT]), bulk=st.booleans())
    def take(self, key: str, bulk: bool) -> None:
        lane: Lane = "bulk" if bulk else "interactive"
        now, wall = self.clock.now, self.clock.time()
        in_file = self.file.take(key, ACCOUNT, lane, self.limits, now, wall)
        in_memory = finish(self.memory.take(key, ACCOUNT, lane, self.limits, self.clock))
        self.connection()
        on_redis = self.run(self.redis.take(key, ACCOUNT, lane, self.limits, self.clock))
        assert in_file == in_memory
        assert figures(on_redis) == pytest.approx(figures(in_memory), abs=1e-4)
        if isinstance(in_file, int) and isinstance(on_redis, int):
            self.open.append((key, in_file, on_redis))

    @precondition(lambda self: bool(self.open))
    @rule(
        which=st.integers(0, 5),
        how=st.sampled_from(["replied", "replied", "replied", "lost", "unsent"]),
        code=st.sampled_from([None, None, None, None, None, 43, 44, 45, 1070, 7]),
        retry_after=st.one_of(st.none(), st.integers(1, 100)),
        quota=st.one_of(
            st.none(),
            st.builds(Quota, st.just(90), st.integers(0, 90), st.sampled_from([None, 5.0, 500.0])),
        ),
        after=st.integers(0, 320).map(lambda ticks: ticks / 64),
    )
    def settle(
        self,
        which: int,
        how: str,
        code: int | None,
        retry_after: float | None,
        quota: Quota | None,
        after: float,
    ) -> None:
        key, place, redis_place = self.open.pop(which % len(self.open))
        self.clock.now += after
        if how == "replied":
            refusal = None if code is None else Refusal(code, retry_after)
            ending = Ending("replied", after, quota, refusal)
        else:
            ending = Ending("lost", after) if how == "lost" else Ending("unsent")
        now, wall = self.clock.now, self.clock.time()
        in_file = self.file.settle(key, ACCOUNT, place, ending, self.limits, now, wall)
        in_memory = finish(self.memory.settle(key, ACCOUNT, place, ending, self.limits, self.clock))
        self.connection()
        on_redis = self.run(
            self.redis.settle(key, ACCOUNT, redis_place, ending, self.limits, self.clock)
        )
        # A place whose ending is written later may be held a little longer.
        self.run(self.write_pending())
        assert in_file == in_memory == pytest.approx(on_redis, abs=1e-4)

    @rule(passed=st.sampled_from([0.125, 1.0, 10.0, 150.0, 4000.0]))
    def wait(self, passed: float) -> None:
        self.clock.now += passed

    @invariant()
    def the_views_agree(self) -> None:
        for key in ("api/1", "api/2", ACCOUNT):
            now, wall = self.clock.now, self.clock.time()
            in_file = self.file.snapshot(key, ACCOUNT, self.limits, now, wall)
            in_memory = finish(self.memory.snapshot(key, ACCOUNT, self.limits, self.clock))
            on_redis = self.run(self.redis.snapshot(key, ACCOUNT, self.limits, self.clock))
            assert in_file == in_memory
            assert on_redis.products == in_memory.products
            assert figures(on_redis) == pytest.approx(figures(in_memory), abs=1e-4)
            assert in_file.blocked_for >= 0
            assert 1 <= in_file.cap <= self.limits.in_flight


def figures(answer: int | Denial | Snapshot) -> dict[str, object]:
    """Return the numbers of an answer, without those that a scheduler adds."""
    if isinstance(answer, int):
        return {}  # numbers of places differ in Redis
    fields = msgspec.structs.asdict(answer)
    for name in ("waiting", "products"):
        fields.pop(name, None)
    return {
        name: value.timestamp() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waited")


@pytest.mark.timeout(300)
def test_every_ledger_decides_alike() -> None:
    with RedisServer() as server:
        EveryLedgerDecidesAlike.url = server.url
        EveryLedgerDecidesAlike.loop = loop = asyncio.new_event_loop()
        try:
            run_state_machine_as_test(
                EveryLedgerDecidesAlike,
                settings=settings(
                    max_examples=examples(30),
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            loop.close()
