"""Contenders in their processes, taking turns, and the figures that come of it."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from benchmarks.contenders import Spec
from benchmarks.worker import Ended, Timed

T = TypeVar("T")


class Figure(msgspec.Struct, kw_only=True):
    """One contender's rounds: CPU and wall in seconds of one repetition, memory in megabytes."""

    name: str
    cpu: list[float] = []
    wall: list[float] = []
    weaker: list[str] = []
    memory: float = 0.0
    over: float = 0.0
    absent: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    @property
    def best(self) -> float:
        return min(self.cpu)

    def ratio(self, floor: Figure) -> float:
        """The median, over the rounds, of this one's CPU time to the floor's in the same round."""
        return statistics.median(a / b for a, b in zip(self.cpu, floor.cpu, strict=True))


class _Worker:
    """The other end of a worker's pipes."""

    def __init__(self, spec: Spec) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", msgspec.json.encode(spec).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str, kind: type[T]) -> T:
        """Send a command, wait for its answer. Raises `WorkerFailed`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            errors = self._process.stderr.read().strip().splitlines()
            raise WorkerFailed(errors[-1] if errors else "it ended without a word")
        return msgspec.json.decode(line, type=kind)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class WorkerFailed(Exception):
    """A worker ended; the last line of what it said."""


def race(specs: Sequence[Spec], *, rounds: int, times: int) -> list[Figure]:
    """Have each do its work ``rounds`` times ``times``, in turns; the figures in the same order.

    One whose library is missing has ``absent`` set to the reason. Raises `AssertionError` where a
    contender's rows are not the first one's.
    """
    figures = [Figure(name=spec.name) for spec in specs]
    workers = [_Worker(spec) for spec in specs]
    try:
        present = []
        for figure, worker in zip(figures, workers, strict=True):
            try:
                figure.weaker = worker.ask("check", list[str])
                worker.ask("run 3", Timed)  # warm
                present.append((figure, worker))
            except WorkerFailed as failed:
                if "AssertionError" in str(failed):
                    raise AssertionError(f"{figure.name} does other work: {failed}") from None
                figure.absent = str(failed)
        for _ in range(rounds):
            for figure, worker in present:
                timed = worker.ask(f"run {times}", Timed)
                figure.cpu.append(timed.cpu)
                figure.wall.append(timed.wall)
        for figure, worker in present:
            ended = worker.ask("end", Ended)
            figure.memory, figure.over = ended.peak, ended.peak - ended.before
    finally:
        for worker in workers:
            worker.close()
    return figures
