"""Run tests in one process: once to see which lines each runs, then in a fork for each mutant.

pytest collects once. Each fork selects a mutant, runs the tests that concern it until one fails,
and ends. A survivor costs the time of its tests, and no start of an interpreter.

``python -m tests.mutation.session ORDER`` runs in the copy that `tests.mutation` makes.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, TypedDict

import coverage
import pytest

#: A mutant that allocates without end fails instead of taking the machine's memory.
MEMORY: Final = 8 << 30
#: CPU time of a test, in seconds. Tests that take longer are left out.
LONGEST: Final = 1
#: Exit codes of a fork.
SURVIVED, KILLED, TIMEOUT = 0, 1, 2


class Order(TypedDict):
    """What a session does.

    Attributes:
        tests: the files to collect.
        lines_of: the modules whose lines are recorded per test. Empty in a run of mutants.
        known: the tests whose lines are not recorded again.
        mutants: for each key the ids of its tests, in the order in which they run.
        seconds: CPU time of each test when its lines were recorded.
        answer: the file that the result is written to.
    """

    tests: list[str]
    lines_of: list[str]
    known: list[str]
    mutants: dict[str, list[str]]
    seconds: dict[str, float]
    answer: str


class Ran(TypedDict):
    """One test: its time, and the lines that it ran, by module."""

    seconds: float
    passed: bool
    lines: dict[str, list[int]]


class Verdict(TypedDict):
    """What became of a mutant: killed, timeout or survived, and by which test."""

    state: str
    test: str


class Session:
    """A pytest plugin that replaces the loop over tests."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.failures = 0
        self.timed_out = False
        self.unreliable: set[str] = set()
        self.reliable: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """Make hypothesis try the same few examples in each fork, and not shrink a failure."""
        from hypothesis import Phase, settings  # pytest wants to import its plugins first

        settings.register_profile(
            "mutation",
            settings.default,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            max_examples=15,
        )
        settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures += 1
            self.timed_out = "Timeout" in str(report.longrepr)[-300:]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self) -> Generator[None, object, object]:
        """While lines are recorded, end a test that takes too long for each mutant."""
        if not self.order["lines_of"]:
            return (yield)
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if self.order["lines_of"]:
            result: object = self.record(session)
        else:
            result = self.run(session)
        Path(self.order["answer"]).write_text(json.dumps(result), "utf-8")
        return True

    def record(self, session: pytest.Session) -> dict[str, Ran]:
        """Run all tests and record the lines that each runs."""
        modules = self.order["lines_of"]
        measured = coverage.Coverage(data_file=None, config_file=False, include=modules)
        result: dict[str, Ran] = {}
        signal.signal(signal.SIGPROF, give_up)
        measured.start()
        try:
            known = set(self.order["known"])
            for item, following in pairs(
                [each for each in session.items if each.nodeid not in known]
            ):
                measured.switch_context(item.nodeid)
                before = self.failures
                began = time.process_time()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                took = time.process_time() - began
                result[item.nodeid] = Ran(seconds=took, passed=self.failures == before, lines={})
        finally:
            measured.stop()
        data = measured.get_data()
        for path in data.measured_files():
            module = Path(path).relative_to(Path.cwd()).as_posix()
            for line, contexts in data.contexts_by_lineno(path).items():
                for nodeid in contexts:
                    if nodeid in result:
                        result[nodeid]["lines"].setdefault(module, []).append(line)
        return result

    def run(self, session: pytest.Session) -> dict[str, Verdict]:
        """Try each mutant in a fork."""
        items = {item.nodeid: item for item in session.items}
        result: dict[str, Verdict] = {}
        for count, (key, wanted) in enumerate(self.order["mutants"].items(), 1):
            chosen = [items[nodeid] for nodeid in wanted if nodeid in items]
            result[key] = self.judge(key, chosen)
            print(
                count,
                result[key]["state"],
                key,
                result[key]["test"],
                file=sys.__stderr__,
                flush=True,
            )
            Path(self.order["answer"]).write_text(json.dumps(result), "utf-8")
        return result

    def judge(self, key: str, chosen: list[pytest.Item]) -> Verdict:
        """Run tests until one fails with the mutant, and passes without it."""
        while True:
            chosen = [item for item in chosen if item.nodeid not in self.unreliable]
            code, test = self.fork(key, chosen)
            if code == SURVIVED:
                return Verdict(state="survived", test="")
            if self.passes(test, chosen):
                return Verdict(state="timeout" if code == TIMEOUT else "killed", test=test)
            self.unreliable.add(test)

    def passes(self, nodeid: str, chosen: Sequence[pytest.Item]) -> bool:
        """Whether a test passes in a fork without a mutant."""
        if nodeid and nodeid not in self.reliable:
            alone = [item for item in chosen if item.nodeid == nodeid]
            if self.fork("", alone)[0] != SURVIVED:
                return False
            self.reliable.add(nodeid)
        return True

    def fork(self, key: str, chosen: Sequence[pytest.Item]) -> tuple[int, str]:
        """Run tests with a mutant in a child, and return its exit code and the test that failed."""
        with tempfile.TemporaryFile() as started:
            child = os.fork()
            if child == 0:
                code = KILLED  # an error of the machinery below is one of the mutant, too
                try:
                    code = self.in_child(key, chosen, started.fileno())
                finally:
                    os._exit(code)
            known = sum(self.order["seconds"].get(item.nodeid, 1.0) for item in chosen)
            try:
                code = wait(child, 30 + 20 * known)
            finally:
                stop(child)
            started.seek(0)
            ran = started.read().decode().split("\n")
        return code, ran[-2] if len(ran) > 1 else ""

    def in_child(self, key: str, chosen: Sequence[pytest.Item], started: int) -> int:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        seconds = self.order["seconds"]
        known = sum(seconds.get(item.nodeid, 1.0) for item in chosen)
        resource.setrlimit(resource.RLIMIT_CPU, (int(3 + 2 * known), resource.RLIM_INFINITY))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        from mutmut.mutation.trampoline import set_mutant_under_test

        set_mutant_under_test(key)
        before = self.failures
        for item, following in pairs(chosen):
            os.write(started, f"{item.nodeid}\n".encode())
            limit = 20 + 20 * seconds.get(item.nodeid, 1.0)
            item.add_marker(pytest.mark.timeout(limit))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failures > before:
                return TIMEOUT if self.timed_out else KILLED
        return SURVIVED


def give_up(*_: object) -> None:
    pytest.fail("the test takes too long to be run for each mutant")


def pairs(items: Sequence[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    """Return each item with the next one, which tells pytest what fixtures to keep."""
    return list(zip(items, [*items[1:], None], strict=True)) if items else []


def wait(child: int, seconds: float) -> int:
    """Wait for a child, and return its exit code."""
    watched = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([watched], [], [], seconds)
    finally:
        os.close(watched)
    if not ended:
        return TIMEOUT
    status = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert status is not None
    if status.si_code != os.CLD_EXITED:
        return TIMEOUT if status.si_status == signal.SIGXCPU else KILLED  # or a crash
    return status.si_status if status.si_status in {SURVIVED, TIMEOUT} else KILLED


def stop(child: int) -> None:
    """End what a child left in its process group, and the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main(order_file: str) -> int:
    order: Order = json.loads(Path(order_file).read_text("utf-8"))
    arguments = [
        *order["tests"], "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "60",
        "-o", "addopts=--import-mode=importlib -p no:schemathesis", "-m", "not long and not large",
    ]  # fmt: skip
    return int(pytest.main(arguments, plugins=[Session(order)]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
