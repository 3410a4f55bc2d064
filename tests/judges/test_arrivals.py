"""Limits while processes die, disks are full and Redis forgets: judged from outside.

Workers are processes that call without pause; the judge of arrivals is another process. Each test
does one harm and then asks two things: the worst window held at most the limit, and calls go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pytest

from tests.judges.arrivals import ArrivalJudge, Verdict
from tests.judges.redis_server import ForgetfulRedis, Line
from tests.judges.worker import Order

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

ORGANIZATION = "10234695"
WINDOW = 3.0
LINGER = 1.0
LIMIT = 8
LATENCY = 0.15
LEASE = 1.0
#: The longest wait after a ledger forgot or lost a worker, in seconds.
PATIENCE = 60.0


class Workers:
    """The workers of one test, and the judge that they call."""

    def __init__(self, judge: ArrivalJudge, stack: ExitStack) -> None:
        self.judge = judge
        self._stack = stack

    def start(
        self,
        ledger: str,
        *,
        share: float | None = None,
        forks: float = 0.0,
        idle: bool = False,
    ) -> Worker:
        order = Order(
            environment=self.judge.environment(ORGANIZATION),
            limits={
                "limit": LIMIT,
                "burst": LIMIT,
                "window": WINDOW,
                "linger": LINGER,
                "in_flight": LIMIT,
            },
            ledger=ledger,
            share=share,
            forks=forks,
            callers=LIMIT,
            idle=idle,
            lease=LEASE,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.judges.worker", msgspec.json.encode(order).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        worker = Worker(process)
        self._stack.callback(worker.end)
        worker.wait_until_ready()
        return worker

    @property
    def verdict(self) -> Verdict:
        return self.judge.report(ORGANIZATION, window=WINDOW)

    def wait_for(self, calls: int, *, patience: float = PATIENCE) -> None:
        """Wait until so many more calls have arrived."""
        wanted = self.verdict.calls + calls
        ends = time.monotonic() + patience
        while self.verdict.calls < wanted:
            missing = wanted - self.verdict.calls
            assert time.monotonic() < ends, f"{missing} of {calls} calls did not come"
            time.sleep(0.1)

    def run(self, windows: float) -> None:
        """Let the workers work for so many windows."""
        time.sleep(windows * WINDOW)

    def judge_now(self) -> None:
        verdict = self.verdict
        print(f"{verdict.calls} calls, worst window {verdict.worst} of {LIMIT}")
        assert verdict.worst <= LIMIT


class Worker:
    """A worker process and the group of its forks."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait_until_ready(self) -> None:
        """Wait until it is about to call."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def tell(self, command: str) -> None:
        stdin: IO[bytes] | None = self._process.stdin
        assert stdin is not None
        stdin.write(f"{command}\n".encode())
        stdin.flush()

    def end(self) -> None:
        """End it and its forks, and print its output."""
        self.signal(signal.SIGKILL)
        said, _ = self._process.communicate()
        lines = said.decode().splitlines()
        for line in dict.fromkeys(lines):
            print(f"worker {self._process.pid}: {line} ({lines.count(line)})")


@contextmanager
def workers() -> Iterator[Workers]:
    with ArrivalJudge(latency=LATENCY) as judge, ExitStack() as stack:
        yield Workers(judge, stack)


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "limits.db")
        return
    with ForgetfulRedis() as server:
        yield server.url


# -- processes ------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_does_no_harm(ledger: str) -> None:
    with workers() as fleet:
        new = fleet.start(ledger, idle=True)
        victim, _ = fleet.start(ledger), fleet.start(ledger)
        fleet.wait_for(LIMIT)
        victim.signal(signal.SIGKILL)
        new.tell("go")
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_a_worker_that_is_stopped_for_longer_than_the_window_does_no_harm(ledger: str) -> None:
    with workers() as fleet:
        stopped, _ = fleet.start(ledger), fleet.start(ledger)
        fleet.wait_for(LIMIT)
        for _ in range(2):
            stopped.signal(signal.SIGSTOP)
            fleet.run(2)
            stopped.signal(signal.SIGCONT)
            fleet.run(0.5)
        fleet.wait_for(LIMIT)
        fleet.judge_now()


def test_a_worker_that_forks_with_an_open_ledger_does_no_harm(ledger: str) -> None:
    with workers() as fleet:
        fleet.start(ledger, forks=1.0)
        fleet.start(ledger, forks=1.0)
        fleet.wait_for(LIMIT)
        fleet.run(3)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


# -- the file -------------------------------------------------------------------------------------


def test_a_ledger_file_that_is_deleted_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "limits.db"
    with workers() as fleet:
        new = fleet.start(str(file), idle=True)
        fleet.start(str(file))
        fleet.start(str(file))
        fleet.wait_for(LIMIT)
        for one in tmp_path.glob("limits.db*"):
            one.unlink(missing_ok=True)  # SQLite itself may delete its log in between
        new.tell("go")
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_a_disk_that_is_full_for_a_moment_does_no_harm(tmp_path: Path) -> None:
    file = str(tmp_path / "limits.db")
    with workers() as fleet:
        both = fleet.start(file), fleet.start(file)
        fleet.wait_for(LIMIT)
        for _ in range(3):
            for worker in both:
                worker.tell("full")
            fleet.run(0.5)
            for worker in both:
                worker.tell("free")
            fleet.run(0.5)
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


# -- Redis ----------------------------------------------------------------------------------------


def test_a_redis_that_starts_again_empty_does_no_harm() -> None:
    with ForgetfulRedis() as server, workers() as fleet:
        new = fleet.start(server.url, idle=True)
        fleet.start(server.url)
        fleet.start(server.url)
        fleet.wait_for(LIMIT)
        server.restart()
        new.tell("go")
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_a_redis_that_is_restored_from_an_older_dump_does_no_harm() -> None:
    with ForgetfulRedis() as server, workers() as fleet:
        new, worker = fleet.start(server.url, idle=True), fleet.start(server.url)
        fleet.wait_for(LIMIT)
        worker.tell("idle")
        fleet.run(1.5)
        older = server.save()
        worker.tell("go")
        fleet.wait_for(LIMIT)
        server.restart(older)
        new.tell("go")
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_a_redis_that_is_flushed_with_an_idle_worker_does_no_harm() -> None:
    with ForgetfulRedis() as server, workers() as fleet:
        new, worker = fleet.start(server.url, idle=True), fleet.start(server.url)
        fleet.wait_for(LIMIT)
        worker.tell("idle")
        time.sleep(2 * LATENCY)
        server.flush()
        new.tell("go")
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_a_worker_that_is_cut_off_with_a_share_does_no_harm() -> None:
    with ForgetfulRedis() as server, Line(server.port) as line, workers() as fleet:
        fleet.start(server.url, share=0.5)
        fleet.start(line.url, share=0.5)
        fleet.wait_for(LIMIT)
        for _ in range(2):
            line.cut()
            fleet.run(2.5)
            line.heal()
            fleet.run(1)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()


def test_an_outage_that_all_workers_share_does_no_harm() -> None:
    """Each sends its share meanwhile. The first one back does not take the rest."""
    with (
        ForgetfulRedis() as server,
        Line(server.port) as first,
        Line(server.port) as second,
        workers() as fleet,
    ):
        fleet.start(first.url, share=0.5)
        fleet.start(second.url, share=0.5)
        fleet.wait_for(LIMIT)
        first.cut()
        second.cut()
        fleet.run(2.5)
        first.heal()
        fleet.run(0.3)
        second.heal()
        fleet.run(2)
        fleet.wait_for(2 * LIMIT)
        fleet.judge_now()
