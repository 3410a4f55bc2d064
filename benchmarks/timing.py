"""Timing: contenders in processes that take turns, and functions in another interpreter.

``python -m benchmarks.timing SPEC`` is one contender. It reads one command per line and answers
each with a line of JSON: ``check`` compares its rows with the floor's, ``run N`` does the work N
times and returns CPU and wall seconds of one, ``end`` returns the peak memory. Between commands it
is idle.

`race` runs such workers in turns. `apart` runs one function in a fresh interpreter. `in_turns`
times work within this process. `differences` compares rows.

Memory. By default, glibc returns freed memory at the end of the heap to the system. Whether the
buffers of a page are at the end depends on what was allocated after them, so by chance a process
has no page faults, or 210 to 270 for each page, which cost 0.6 ms. The floor is in either state. So
workers keep their memory (`_KEEP_MEMORY`), and all are in the faster state.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar

import msgspec

from benchmarks.contenders import AT_ONCE, CONTENDERS, Contender, Spec
from benchmarks.contenders.shapes import SHAPES
from zoho_async.wire.shape import fields_of

# -- the worker ------------------------------------------------------------------------------------


class Timed(msgspec.Struct):
    """Seconds of one repetition."""

    cpu: float
    wall: float


class Ended(msgspec.Struct):
    """Megabytes: when everything was imported and open, and the most there ever was."""

    before: float
    peak: float


def main() -> None:
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    if spec.uvloop:
        import uvloop

        uvloop.run(_serve(spec))
    else:
        asyncio.run(_serve(spec))


async def _serve(spec: Spec) -> None:
    contender = CONTENDERS[spec.name].load()(spec)
    await contender.open()
    before = memory("VmRSS")
    with tempfile.TemporaryFile() as file:
        work, each = _work(contender, file)
        for line in sys.stdin:
            command, _, number = line.strip().partition(" ")
            if command == "check":
                _answer(await _check(contender, file))
            elif command == "run":
                _answer(await _run(work, int(number), each))
            else:
                break
    await contender.close()
    _answer(Ended(before, memory("VmHWM")))


def _work(contender: Contender, file: BinaryIO) -> tuple[Callable[[], Awaitable[object]], int]:
    """What is repeated, and how many calls it is."""

    async def lines() -> None:
        file.seek(0)
        await contender.lines(file)

    match contender.spec.task:
        case "page":
            return contender.page, 1
        case "few" | "blank" as task:
            return functools.partial(contender.into, SHAPES[task]), 1
        case "lines":
            return lines, 1
        case "calls":
            return contender.calls, AT_ONCE


async def _run(work: Callable[[], Awaitable[object]], times: int, each: int) -> Timed:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        await work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Timed(cpu / times / each, wall / times / each)


async def _check(contender: Contender, file: BinaryIO) -> list[str]:
    """What differs from the floor's values; raises where it is not the same work."""
    from benchmarks.contenders.floor import DECODER, Floor

    floor = Floor(msgspec.structs.replace(contender.spec, kind="plain"))
    await floor.open()
    try:
        if contender.spec.task == "calls":
            replies: Any = await contender.calls()
            assert len(replies) == AT_ONCE
            assert all(len(reply["contacts"]) == 1 for reply in replies)
            return []
        if contender.spec.task == "page":
            rows = await contender.page()
            if contender.spec.kind == "drifted":
                assert len(rows) == 200
                assert rows[0].balance is None
                return []
            return differences(await floor.page(), rows)
        if contender.spec.task in SHAPES:
            shape = SHAPES[contender.spec.task]
            expected = [
                msgspec.convert(row, shape, from_attributes=True) for row in await floor.page()
            ]
            assert await contender.into(shape) == expected
            return []
        file.seek(0)
        await contender.lines(file)
        file.truncate()
        file.seek(0)
        text = file.read().rstrip(b"\n").replace(b'": ""', b'":null').replace(b':""', b":null")
        written = b'{"invoices":[' + text.replace(b"\n", b",") + b"]}"
        return differences(await floor.page(), DECODER.decode(written).invoices)
    finally:
        await floor.close()


def memory(what: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of this process, in megabytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _answer(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


# -- workers in turns ------------------------------------------------------------------------------

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


#: Settings of glibc: take buffers of less than 32 MB from the heap, and return nothing.
_KEEP_MEMORY: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


class _Worker:
    """The other end of a worker's pipes."""

    def __init__(self, spec: Spec) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.timing", msgspec.json.encode(spec).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | _KEEP_MEMORY,
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


# -- the same rows ---------------------------------------------------------------------------------


def differences(truth: Sequence[msgspec.Struct], rows: Sequence[Any]) -> list[str]:
    """What ``rows`` give instead of the types of ``truth``, as ``got for wanted``, sorted.

    Raises `AssertionError` for another number of rows and for values that are not the same.
    """
    assert len(truth) == len(rows) > 0, f"{len(rows)} rows instead of {len(truth)}"
    found: set[str] = set()
    for one, other in zip(truth, rows, strict=True):
        _struct(one, other, found)
    return sorted(found)


def _struct(one: msgspec.Struct, other: Any, found: set[str]) -> None:
    for name, field in fields_of(type(one)).items():
        wanted = getattr(one, field.attribute)
        got = _of(other, name, field.attribute)
        _value(wanted, got, f"{type(one).__name__}.{name}", found)


def _of(row: Any, name: str, attribute: str) -> Any:
    if isinstance(row, dict):
        return row.get(name)
    return getattr(row, attribute if isinstance(row, msgspec.Struct) else name)


def _value(wanted: Any, got: Any, where: str, found: set[str]) -> None:
    if isinstance(wanted, msgspec.Struct):
        _struct(wanted, got, found)
    elif isinstance(wanted, list):
        assert len(wanted) == len(got), where
        for one, other in zip(wanted, got, strict=True):
            _value(one, other, f"{where}[]", found)
    elif type(wanted) is not type(got) or wanted != got:
        assert _same(wanted, got), f"{where} is {got!r} instead of {wanted!r}"
        if wanted != "":  # only a missing field of our structs' own is that
            found.add(f"{_name(got)} for {_name(wanted)}")


def _same(wanted: Any, got: Any) -> bool:
    match wanted:
        case None | "":
            return got == "" or got is None
        case Decimal():
            return isinstance(got, float | int) and Decimal(str(got)) == wanted
        case datetime():
            return isinstance(got, str) and datetime.fromisoformat(got) == wanted
        case date():
            return isinstance(got, str) and date.fromisoformat(got) == wanted
        case _:
            return False


def _name(value: Any) -> str:
    return '""' if value == "" else "None" if value is None else type(value).__name__


# -- functions in another interpreter --------------------------------------------------------------

_CHILD = (
    "import sys, msgspec, importlib;"
    "m, f, a = msgspec.json.decode(sys.argv[1]);"
    "sys.stdout.buffer.write(msgspec.json.encode(getattr(importlib.import_module(m), f)(*a)))"
)


def apart(module: str, function: str, *arguments: Any) -> Any:
    """What ``module.function(*arguments)`` returns there, as plain values of JSON."""
    asked = msgspec.json.encode([module, function, arguments]).decode()
    done = subprocess.run([sys.executable, "-c", _CHILD, asked], stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout)


# -- work in turns, within this process ------------------------------------------------------------

#: Does its work once; returns how many repetitions of the measured thing that was.
Work: TypeAlias = Callable[[], Awaitable[int]]


class Times:
    """CPU seconds of one repetition, a round each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cpu: list[float] = []

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    def ratio(self, other: Times) -> float:
        """Median of the ratios within a round."""
        return statistics.median(a / b for a, b in zip(self.cpu, other.cpu, strict=True))


async def in_turns(work: Sequence[tuple[str, Work]], *, rounds: int) -> list[Times]:
    """Time each ``rounds`` times, in turns A B C A B C, after one round that does not count."""
    times = [Times(name) for name, _ in work]
    for number in range(rounds + 1):
        for taken, (_, do) in zip(times, work, strict=True):
            gc.collect()
            began = time.process_time()
            repetitions = await do()
            spent = (time.process_time() - began) / repetitions
            if number:
                taken.cpu.append(spent)
    return times


if __name__ == "__main__":
    main()
