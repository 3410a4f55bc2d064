"""One contender in a process of its own: ``python -m benchmarks.worker SPEC``.

It reads commands, a line each, and answers each with a line of JSON: ``check`` (is it the same
work?), ``run N`` (do it N times: CPU and wall seconds of one), ``end`` (the most memory there was).
While it waits for a command it does nothing.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from benchmarks.contenders import AT_ONCE, CONTENDERS, Contender, Spec


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
    from benchmarks.compare import differences
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


if __name__ == "__main__":
    main()
