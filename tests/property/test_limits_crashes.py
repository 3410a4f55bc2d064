"""The same promise for usage that is kept in a file: whoever is killed, and whenever.

Processes share one file. Each step admits, sends, answers, gives up, kills a process, or starts the
machine anew; then the arrivals that the server saw are judged in true time. The clocks that the
processes read are not true time: the monotonic one starts anew with the machine.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zoho_async.limits import Lane, Limits, MemoryLedger, Quota, Refusal
from zoho_async.limits.sqlite import SqliteFile
from zoho_async.limits.state import Denial, Ending

T = TypeVar("T")

WINDOW = 10.0
LIMITS = Limits(limit=4, burst=4, window=WINDOW, linger=3.0, in_flight=3)
KEY, ACCOUNT = "api/1", "api/@me"
EPOCH = 1_790_000_000.0


class Process:
    """One process: what it was admitted and has not sent, and what it sent, with its arrival."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unsent: list[int] = []
        self.sent: list[tuple[int, float, float]] = []


class CrashingProcesses(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "limits.db")
        self.true = 1000.0
        self.started_at = 0.0
        self.boot = 0
        self.born = 0
        self.arrivals: list[float] = []
        self.processes: list[Process] = []
        self.files: dict[str, SqliteFile] = {}
        for _ in range(3):
            self.start_process()

    def teardown(self) -> None:
        for file in self.files.values():
            file.close()
        self.folder.cleanup()

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

    @rule(which=st.integers(0, 2))
    def admit(self, which: int) -> None:
        process = self.processes[which]
        answer = self.take(process)
        if not isinstance(answer, Denial):
            process.unsent.append(answer)
            living = sum(len(one.unsent) + len(one.sent) for one in self.processes)
            assert living <= LIMITS.in_flight

    @rule(which=st.integers(0, 2), delay=st.one_of(st.just(0.0), st.floats(0, LIMITS.linger)))
    def send(self, which: int, delay: float) -> None:
        process = self.processes[which]
        if process.unsent:
            place = process.unsent.pop(0)
            self.arrivals.append(self.true + delay)
            process.sent.append((place, self.true, self.true + delay))

    @rule(which=st.integers(0, 2), back=st.floats(0, 20))
    def answer(self, which: int, back: float) -> None:
        process = self.processes[which]
        if process.sent:
            place, sent, arrives = process.sent.pop(0)
            self.true = max(self.true, arrives + back)
            self.settle(process, place, Ending("replied", self.true - sent))

    @rule(which=st.integers(0, 2))
    def give_up(self, which: int) -> None:
        process = self.processes[which]
        if process.sent:
            place, sent, _ = process.sent.pop(0)
            self.settle(process, place, Ending("lost", self.true - sent))

    @rule(which=st.integers(0, 2))
    def never_send(self, which: int) -> None:
        process = self.processes[which]
        if process.unsent:
            self.settle(process, process.unsent.pop(0), Ending("unsent"))

    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        self.stop_process(self.processes[which])
        self.start_process()

    @rule(off=st.sampled_from([0.0, 1.0, 5.0, 4000.0]), uptime=st.sampled_from([0.0, 3.0, 1e5]))
    def start_the_machine_anew(self, off: float, uptime: float) -> None:
        for process in list(self.processes):
            self.stop_process(process)
        self.true += off
        self.started_at = self.true - uptime
        self.boot += 1
        for _ in range(3):
            self.start_process()

    @rule(passed=st.one_of(st.floats(0, 2), st.floats(0, 25)))
    def wait(self, passed: float) -> None:
        self.true += passed

    @invariant()
    def no_window_sees_more_than_the_limit(self) -> None:
        ordered = sorted(self.arrivals)
        for at, start in enumerate(ordered):
            assert bisect_left(ordered, start + WINDOW) - at <= LIMITS.limit

    @precondition(lambda self: not any(one.sent or one.unsent for one in self.processes))
    @rule()
    def whoever_waits_long_enough_is_admitted(self) -> None:
        for _ in range(2):  # the first finds those that were killed
            answer = self.take(self.processes[0])
            if not isinstance(answer, Denial):
                self.settle(self.processes[0], answer, Ending("unsent"))
            self.true += 11 * LIMITS.linger + 2 * WINDOW
        answer = self.take(self.processes[0])
        assert not isinstance(answer, Denial)
        self.settle(self.processes[0], answer, Ending("unsent"))


TestCrashingProcesses = CrashingProcesses.TestCase
TestCrashingProcesses.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class HeldClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + EPOCH


class EveryLedgerDecidesAlike(RuleBasedStateMachine):
    """Memory and file, told the same story, give the same answers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = SqliteFile(
            Path(self.folder.name, "limits.db"), boot="one", owner="me", alive=lambda _: True
        )
        self.memory = MemoryLedger()
        self.clock = HeldClock()
        self.limits = Limits(limit=4, burst=2, window=WINDOW, linger=3.0, in_flight=3, day=60)
        self.open: list[tuple[str, int]] = []

    def teardown(self) -> None:
        self.file.close()
        self.folder.cleanup()

    @rule(key=st.sampled_from(["api/1", "api/2", ACCOUNT]), bulk=st.booleans())
    def take(self, key: str, bulk: bool) -> None:
        lane: Lane = "bulk" if bulk else "interactive"
        now, wall = self.clock.now, self.clock.time()
        in_file = self.file.take(key, ACCOUNT, lane, self.limits, now, wall)
        in_memory = finish(self.memory.take(key, ACCOUNT, lane, self.limits, self.clock))
        assert in_file == in_memory
        if not isinstance(in_file, Denial):
            self.open.append((key, in_file))

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
        after=st.floats(0, 5),
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
        key, place = self.open.pop(which % len(self.open))
        self.clock.now += after
        if how == "replied":
            refusal = None if code is None else Refusal(code, retry_after)
            ending = Ending("replied", after, quota, refusal)
        else:
            ending = Ending("lost", after) if how == "lost" else Ending("unsent")
        now, wall = self.clock.now, self.clock.time()
        in_file = self.file.settle(key, ACCOUNT, place, ending, self.limits, now, wall)
        in_memory = finish(self.memory.settle(key, ACCOUNT, place, ending, self.limits, self.clock))
        assert in_file == in_memory

    @rule(passed=st.sampled_from([0.1, 1.0, 10.0, 150.0, 4000.0]))
    def wait(self, passed: float) -> None:
        self.clock.now += passed

    @invariant()
    def the_views_agree(self) -> None:
        for key in ("api/1", "api/2", ACCOUNT):
            now, wall = self.clock.now, self.clock.time()
            in_file = self.file.look(key, ACCOUNT, self.limits, now, wall)
            in_memory = finish(self.memory.look(key, ACCOUNT, self.limits, self.clock))
            assert in_file == in_memory
            assert in_file.blocked_for >= 0
            assert 1 <= in_file.cap <= self.limits.in_flight


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run what never waits to its end, without a loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waited")


TestEveryLedgerDecidesAlike = EveryLedgerDecidesAlike.TestCase
TestEveryLedgerDecidesAlike.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
