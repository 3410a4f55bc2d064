"""Rows into each destination, beside the same rows written without us.

Two measurements. A whole export, from the socket to the durable file, of a million rows: a
destination is one line of `DESTINATIONS`, what `Export` is told and what writes the same without
us, given the rows of one page at a time, durable after each. And what the reading of rows costs on
top of an engine, for the formats and databases that `benchmarks.destinations` lists, where it is
there: rows from a spool, a process for each.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec

from benchmarks.apart import apart
from benchmarks.contenders.ours import session
from benchmarks.pages import PER_PAGE, organization
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.worker import memory
from zoho_async.export import Export

#: Takes the rows of a page; called with none when all are there.
Write: TypeAlias = Callable[[list[bytes]], None]


class Destination(msgspec.Struct, frozen=True):
    """``to`` is what `Export` is told for a folder; ``floor`` writes there without us."""

    to: Callable[[Path], str]
    floor: Callable[[Path], Write]


def _json_lines(folder: Path) -> Write:
    file = os.open(folder / "projects.jsonl", os.O_CREAT | os.O_WRONLY)

    def write(rows: list[bytes]) -> None:
        if rows:
            os.write(file, b"".join([row + b"\n" for row in rows]))
            os.fsync(file)
        else:
            os.close(file)

    return write


DESTINATIONS: Final = {
    "JSON Lines": Destination(lambda folder: str(folder), _json_lines),
}


def destinations(run: Run) -> Table:
    """Rows a second and peak memory into each destination, and into its floor."""
    rows = run.either(1_000_000, 20_000)
    table = Table(
        key="destinations",
        title="Rows into each destination, and the same rows without us",
        columns=[
            *("destination", "rows", "rows a second", "CPU us a row"),
            *("wall x", "CPU x", "peak MB"),
        ],
    )
    for name in DESTINATIONS:
        floor, ours = (
            apart("benchmarks.suites.destinations", who, run.server.url, name, rows)
            for who in ("written_without_us", "exported")
        )
        for who, (cpu, wall, peak) in ((f"{name}, without us", floor), (name, ours)):
            ratios = wall / floor[1], cpu / floor[0]
            table.add(who, rows, rows / wall, cpu / rows * 1e6, *ratios, peak)
        table.reach.append(Reach(f"{name}: wall time to its floor", ours[1] / floor[1], 1.3, "x"))
        table.reach.append(Reach(f"{name}: CPU to its floor", ours[0] / floor[0], 1.3, "x"))
    table.notes.append("JSON Lines: rows of 0.5 kB, durable after every page on both sides")
    if importlib.util.find_spec("benchmarks.destinations") is not None:
        _engines(table, run.either(100_000, 5_000))
    return table


def _engines(table: Table, rows: int) -> None:
    """Formats and databases, from a spool of invoices."""
    engines: Any = importlib.import_module("benchmarks.destinations")
    with tempfile.TemporaryDirectory() as folder:
        spool = engines.spool_of(rows, Path(folder))
        for name in engines.DESTINATIONS:
            if name == "postgresql" and "BENCHMARK_POSTGRESQL" not in os.environ:
                table.notes.append("postgresql: BENCHMARK_POSTGRESQL names no server")
                continue
            try:
                ours, floor = (engines.measure(name, spool, floor=each) for each in (False, True))
            except subprocess.CalledProcessError:
                table.notes.append(f"{name}: not here (its library or its server is missing)")
                continue
            for who, each in ((f"{name}, without us", floor), (name, ours)):
                ratios = each.seconds / floor.seconds, each.cpu / floor.cpu
                speed, cost = rows / each.seconds, each.cpu / rows * 1e6
                table.add(who, rows, speed, cost, *ratios, each.memory)
            table.reach.append(Reach(f"{name}: CPU to its floor", ours.cpu / floor.cpu, 1.3, "x"))
    table.notes.append("the others: rows of 2.4 kB from a spool, the time of preparing not counted")


def exported(url: str, destination: str, rows: int) -> tuple[float, float, float]:
    """CPU and wall seconds and peak megabytes of an export."""
    return asyncio.run(_exported(url, destination, rows))


async def _exported(url: str, destination: str, rows: int) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        to = DESTINATIONS[destination].to(Path(folder))
        async with session(url, organization("typed", rows)) as zoho:
            cpu, wall = time.process_time(), time.perf_counter()
            async with Export(zoho, ["projects"], to=to) as job:
                summary = await job.wait()
            assert summary.rows == rows, f"{summary.rows} rows of {rows}"
            return time.process_time() - cpu, time.perf_counter() - wall, memory("VmHWM")


def written_without_us(url: str, destination: str, rows: int) -> tuple[float, float, float]:
    """The same for the floor: pages one after the other, each written when it is there."""
    return asyncio.run(_written(url, destination, rows))


class _Reply(msgspec.Struct):
    projects: list[msgspec.Raw]


async def _written(url: str, destination: str, rows: int) -> tuple[float, float, float]:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Reply)
    with tempfile.TemporaryDirectory() as folder:
        write = DESTINATIONS[destination].floor(Path(folder))
        list_url = f"{url}/books/v3/projects?organization_id={organization('typed', rows)}"
        cpu, wall = time.process_time(), time.perf_counter()
        async with aiohttp.ClientSession() as http:
            for number in range(1, -(-rows // PER_PAGE) + 1):
                async with http.get(f"{list_url}&page={number}") as reply:
                    body = await reply.read()
                write([bytes(row) for row in decoder.decode(body).projects])
        write([])
        return time.process_time() - cpu, time.perf_counter() - wall, memory("VmHWM")
