"""The cost of destinations, against the engine alone and against a program by hand.

JSON Lines are a whole export, from the socket to the durable file, compared with the same pages
read and written without this package. The other destinations start from a spool of invoices: ours,
the engine alone, and by hand (`benchmarks.destinations`). The last two use fewer rows, because the
cost of a row does not depend on their number and preparing the engine's values takes longer than
the engine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from benchmarks.contenders.ours import session
from benchmarks.destinations import ALONE, COLUMNS, COMPRESSED, Who, engines
from benchmarks.report import Reach, Table
from benchmarks.server import PER_PAGE, organization
from benchmarks.suites import Run
from benchmarks.timing import apart, memory
from zoho_async.export import Export

#: CPU seconds, wall seconds and peak megabytes of one process.
_Took = tuple[float, float, float]

_FEW: Final = 1_000  # rows that are compared before anything is timed
_ENGINE: Final = 200_000
_BY_HAND: Final = 50_000


def destinations(run: Run) -> Table:
    """Rows per second and peak memory of each destination, of its engine and by hand."""
    rows = run.either(1_000_000, 5_000)
    table = Table(
        key="destinations",
        title="Rows into each destination, against its engine alone and a program by hand",
        columns=[
            *("destination", "rows", "rows a second", "peak MB"),
            *("CPU us a row", "engine alone", "by hand", "x engine", "x by hand", "wall x engine"),
        ],
    )
    floor, ours = (
        apart("benchmarks.suites.destinations", who, run.server.url, rows)
        for who in ("written_without_us", "exported")
    )
    _add(table, "JSON Lines", rows, ours, floor, None)
    table.notes.append("JSON Lines: a whole export of rows of 0.5 kB, durable after every page")
    with tempfile.TemporaryDirectory() as folder, _postgresql(table) as postgresql:
        hands, engine_rows = min(rows, _BY_HAND), min(rows, _ENGINE)
        few, some, many, all_rows = (
            _spool(count, Path(folder)) for count in (_FEW, hands, engine_rows, rows)
        )
        for name in (*COMPRESSED, *COLUMNS):
            if name == "PostgreSQL" and not postgresql:
                continue
            try:
                if name in COLUMNS:
                    apart("benchmarks.destinations", "same", name, few)
                    by_hand = _took("by_hand", name, some)[0] / hands
                cpu, wall, peak = _took("engines", name, many)
                engine = (cpu * rows / engine_rows, wall * rows / engine_rows, peak)
                ours = _took("ours", name, all_rows)
            except subprocess.CalledProcessError:
                table.notes.append(f"{name}: failed, or its library is missing (see above)")
                continue
            _add(table, name, rows, ours, engine, by_hand if name in COLUMNS else None)
            if name in engines.READERS:
                apart("benchmarks.destinations.engines", "same_columns", name, few)
                cpu = _took("by_duckdb", name, some)[0] / hands
                table.notes.append(
                    f"{name} by DuckDB's own JSON reader, without _extra and lists:"
                    f" {cpu * 1e6:.3g} us a row"
                )
        for name in ALONE:
            cpu, wall, peak = _took("ours", name, some)
            each = (cpu / hands * 1e6, None, None, None, None, None)
            table.add(name, hands, hands / wall, peak, *each)
    table.notes.append("the others: rows of 2.4 kB from a spool; the engine's values were prepared")
    table.notes.append(f"the engine alone: {engine_rows:,} rows; by hand: {hands:,}")
    table.notes.append("what the three bring was compared before, value by value")
    return table


def _add(
    table: Table, name: str, rows: int, ours: _Took, engine: _Took, by_hand: float | None
) -> None:
    cpu, wall, peak = ours
    mine, alone = cpu / rows, engine[0] / rows
    beside = by_hand and mine / by_hand
    spent = (mine * 1e6, alone * 1e6, by_hand and by_hand * 1e6)
    ratios = (mine / alone, beside, wall / engine[1])
    table.add(name, rows, rows / wall, peak, *spent, *ratios)
    table.reach.append(Reach(f"{name}: CPU to the engine alone", mine / alone, 1.3, "x"))
    if beside is not None:
        table.reach.append(Reach(f"{name}: CPU to the same by hand", beside, 1.0, "x"))


def _took(who: Who, name: str, spool: str) -> _Took:
    cpu, wall, peak = apart("benchmarks.destinations", "took", who, name, spool)
    return cpu, wall, peak


def _spool(rows: int, folder: Path) -> str:
    inside = folder / str(rows)
    inside.mkdir(exist_ok=True)
    made: str = apart("benchmarks.destinations", "spool_of", rows, str(inside))
    return made


@contextmanager
def _postgresql(table: Table) -> Generator[bool]:
    """Whether there is a server: that of BENCHMARK_POSTGRESQL, which is emptied, or one of ours."""
    if "BENCHMARK_POSTGRESQL" in os.environ:
        yield True
        return
    import pytest

    from tests.support.postgresql_server import PostgresqlServer

    try:
        server = PostgresqlServer()
    except pytest.skip.Exception as reason:
        table.notes.append(f"PostgreSQL: {reason}")
        yield False
        return
    with server:
        os.environ["BENCHMARK_POSTGRESQL"] = server.create("benchmark")
        try:
            yield True
        finally:
            del os.environ["BENCHMARK_POSTGRESQL"]
    table.notes.append("PostgreSQL: on this machine, without fsync; its own CPU is not counted")


def exported(url: str, rows: int) -> _Took:
    """CPU and wall seconds and peak megabytes of an export into JSON Lines."""
    return asyncio.run(_exported(url, rows))


async def _exported(url: str, rows: int) -> _Took:
    with tempfile.TemporaryDirectory() as folder:
        async with session(url, organization("typed", rows)) as zoho:
            cpu, wall = time.process_time(), time.perf_counter()
            async with Export(zoho, ["projects"], to=folder) as job:
                summary = await job.wait()
            assert summary.rows == rows, f"{summary.rows} rows of {rows}"
            return time.process_time() - cpu, time.perf_counter() - wall, memory("VmHWM")


def written_without_us(url: str, rows: int) -> _Took:
    """The same for the floor: pages one after the other, each written when it is there."""
    return asyncio.run(_written(url, rows))


class _Reply(msgspec.Struct):
    projects: list[msgspec.Raw]


async def _written(url: str, rows: int) -> _Took:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Reply)
    list_url = f"{url}/books/v3/projects?organization_id={organization('typed', rows)}"
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        file = os.open(Path(folder, "projects.jsonl"), os.O_CREAT | os.O_WRONLY)
        async with aiohttp.ClientSession() as http:
            for number in range(1, -(-rows // PER_PAGE) + 1):
                async with http.get(f"{list_url}&page={number}") as reply:
                    body = await reply.read()
                os.write(
                    file, b"".join([bytes(row) + b"\n" for row in decoder.decode(body).projects])
                )
                os.fsync(file)
        os.close(file)
        return time.process_time() - cpu, time.perf_counter() - wall, memory("VmHWM")
