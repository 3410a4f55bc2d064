"""Rows a second and peak memory of each destination, beside the engine's own floor.

Each measurement is a process of its own, which tells its CPU time, its wall time and the largest
memory it held. *Ours* brings rows as Zoho sends them into the destination. The *floor* puts the
same values into the same form by the engine alone: prepared beforehand, in portions of the same
size, the time of preparing not counted. So a ratio (of CPU time, since the disk and other programs
disturb the clock) says what our reading of rows costs on top.

*Landed* is the whole way of an export after its pages have come: in pages of 200, with the state,
the records' digests and the final form. It is measured with `--rows` and with 10,000 of them,
because its memory must not grow with the rows; ``--landed`` measures nothing else.

``python -m benchmarks.destinations [--rows N] [NAME ...]`` prints a table; the functions of
`DESTINATIONS` are for whoever measures more.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.description import load
from zoho_async.export.batches import Reader
from zoho_async.export.columns import shape_of
from zoho_async.export.destination import Place, Table
from zoho_async.export.flat import Layout
from zoho_async.export.formats import Csv, Format, Gzip, Parquet, Zstandard
from zoho_async.export.formats.spool import portions
from zoho_async.export.places import open_destination

PLACE: Final = Place("10234695", "www.zohoapis.com")
TABLE: Final = Table(
    name="books.invoices",
    row_id="invoice_id",
    fields=load("books").named("books.invoices.list").reply,
)


_PAGE: Final = 200


class Measured(msgspec.Struct, frozen=True):
    """One run: seconds of the clock and of CPU, and the process's largest memory, in MB."""

    seconds: float
    cpu: float
    memory: float


Work = Callable[[Path, Path], Iterator[None]]
"""Does the work of a destination on (spool, folder); what comes before its first yield is
preparation, what comes after it is measured."""


def _files(form: Callable[[], Format]) -> Work:
    def work(spool: Path, folder: Path) -> Iterator[None]:
        made = form()
        yield
        made.write(spool, folder / ("invoices" + made.suffix), TABLE)

    return work


def _database(to: str) -> Work:
    def work(spool: Path, folder: Path) -> Iterator[None]:
        destination = open_destination(to.format(folder=folder))
        yield
        with closing(destination):
            engine = destination.open(PLACE)
            sink = destination.sink(TABLE, "")
            sink.resume(0)
            for rows in portions(spool):
                with engine.transaction():
                    sink.write(rows)

    return work


def _prepared(spool: Path) -> tuple[Layout, list[list[list[Any]]]]:
    """The layout, and for each portion the columns of each table."""
    shape = shape_of(TABLE.fields)
    reader, layout = Reader(shape), Layout("books_invoices", TABLE.row_id, shape)
    found: list[list[list[Any]]] = []
    for rows in portions(spool):
        batch = reader.read(rows)
        found.append([list(each) for each in layout.split(batch, layout.ids(batch, rows))])
    return layout, found


def _gzip_floor(spool: Path, folder: Path) -> Iterator[None]:
    yield
    with spool.open("rb") as source, gzip.open(folder / "floor.gz", "wb", 6) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _zstd_floor(spool: Path, folder: Path) -> Iterator[None]:
    import zstandard

    yield
    with spool.open("rb") as source, (folder / "floor.zst").open("wb") as target:
        zstandard.ZstdCompressor(3).copy_stream(source, target)


def _csv_floor(spool: Path, folder: Path) -> Iterator[None]:
    import csv

    shape = shape_of(TABLE.fields, lists=False)
    reader = Reader(shape)
    read = [reader.read(rows) for rows in portions(spool)]
    prepared = [list(zip(*each.values, each.extra, strict=True)) for each in read]
    yield
    with (folder / "floor.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for rows in prepared:
            writer.writerows(rows)


def _parquet_floor(spool: Path, folder: Path) -> Iterator[None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zoho_async.export.arrow import Arrow

    shape, arrow = shape_of(TABLE.fields, texts=True), Arrow(pa)
    reader = Reader(shape)
    tables = [arrow.nested(shape, reader.read(rows)) for rows in portions(spool)]
    yield
    schema = arrow.nested_schema(shape)
    with pq.ParquetWriter(folder / "floor.parquet", schema, compression="zstd") as writer:
        for start in range(0, len(tables), 16):
            writer.write_table(pa.concat_tables(tables[start : start + 16]))


def _sqlite_floor(spool: Path, folder: Path) -> Iterator[None]:
    import sqlite3

    layout, found = _prepared(spool)
    prepared = [[list(zip(*table, strict=True)) for table in portion] for portion in found]
    with closing(sqlite3.connect(folder / "floor.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        inserts = []
        for table in layout.tables:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            key = ", ".join(f'"{name}"' for name in table.key)
            connection.execute(f"CREATE TABLE {table.name} ({names}, PRIMARY KEY ({key}))")
            marks = ", ".join("?" * len(table.columns))
            inserts.append(f"INSERT INTO {table.name} VALUES ({marks})")
        yield
        for portion in prepared:
            connection.execute("BEGIN")
            for insert, rows in zip(inserts, portion, strict=True):
                connection.executemany(insert, rows)
            connection.execute("COMMIT")


def _duckdb_floor(spool: Path, folder: Path) -> Iterator[None]:
    import duckdb
    import pyarrow as pa

    from zoho_async.export.arrow import Arrow

    layout, found = _prepared(spool)
    arrow = Arrow(pa)
    prepared = [
        [
            arrow.flat(table.columns, each)
            for table, each in zip(layout.tables, portion, strict=True)
        ]
        for portion in found
    ]
    with closing(duckdb.connect(str(folder / "floor.duckdb"))) as connection:
        for table, first in zip(layout.tables, prepared[0], strict=True):
            connection.register("first", first)
            connection.execute(f"CREATE TABLE {table.name} AS SELECT * FROM first LIMIT 0")
        yield
        for portion in prepared:
            connection.execute("BEGIN")
            for table, rows in zip(layout.tables, portion, strict=True):
                connection.register("rows", rows)
                connection.execute(f"INSERT INTO {table.name} SELECT * FROM rows")
            connection.execute("COMMIT")


def _postgresql_floor(spool: Path, folder: Path) -> Iterator[None]:
    import psycopg

    from zoho_async.export.databases import postgresql
    from zoho_async.export.databases.engine import definitions

    layout, found = _prepared(spool)
    prepared = []
    for portion in found:
        texts = []
        for table, columns in zip(layout.tables, portion, strict=True):
            copied = [
                postgresql._copied(column.kind, cells)
                for column, cells in zip(table.columns, columns, strict=True)
            ]
            lines = "\n".join(map("\t".join, zip(*copied, strict=True)))
            texts.append(f"{lines}\n".encode() if lines else b"")
        prepared.append(texts)
    with psycopg.connect(os.environ["BENCHMARK_POSTGRESQL"]) as connection:
        for table in layout.tables:
            key = ", ".join(f'"{name}"' for name in table.key)
            defined = definitions(table, postgresql._TYPES)
            connection.execute(
                f"DROP TABLE IF EXISTS floor_{table.name};"
                f"CREATE TABLE floor_{table.name} ({defined}, PRIMARY KEY ({key}))".encode()
            )
        connection.commit()
        yield
        for copied_texts in prepared:
            for table, text in zip(layout.tables, copied_texts, strict=True):
                statement = f"COPY floor_{table.name} FROM STDIN".encode()
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(text)
            connection.commit()


def _landed(name: str, spool: Path, folder: Path) -> Iterator[None]:
    from zoho_async.export.catalog import list_operation
    from zoho_async.export.landing import Asked, Landing, Sheet
    from zoho_async.export.state import State
    from zoho_async.wire import row_id

    facts = load("books").named("books.invoices.list")
    operation = list_operation(facts)
    to, form, flatten = _PLACES[name]
    to = to.format(folder=folder, postgresql=os.environ.get("BENCHMARK_POSTGRESQL"))
    destination = open_destination(to, form, flatten)
    yield
    with closing(destination), spool.open("rb") as lines:
        state = State.open(destination.open(PLACE), PLACE, name=destination.name)
        state.enter("benchmark", "20261123T020000Z")
        landing = Landing(state, destination, facts, "all", Asked(fresh=True))
        landing.open()
        number = 0
        while rows := [line.rstrip(b"\n") for line in itertools.islice(lines, _PAGE)]:
            number += 1
            sheet = Sheet(number=number, rows=rows, ids=[row_id(operation, row) for row in rows])
            with state.database.transaction():
                landing.land([sheet])
        landing.complete("2026-11-23T02:00:00+0000")
        landing.close()


def _postgresql(spool: Path, folder: Path) -> Iterator[None]:
    yield from _database(os.environ["BENCHMARK_POSTGRESQL"])(spool, folder)


#: Where each export lands: what ``to``, ``format`` and ``flatten`` are.
_PLACES: Final[dict[str, tuple[str, str | None, bool]]] = {
    "jsonl": ("{folder}", "jsonl", False),
    "jsonl.gz": ("{folder}", "jsonl.gz", False),
    "jsonl.zst": ("{folder}", "jsonl.zst", False),
    "csv": ("{folder}", "csv", False),
    "parquet": ("{folder}", "parquet", False),
    "flat parquet": ("{folder}", "parquet", True),
    "sqlite": ("sqlite:{folder}/ours.sqlite", None, False),
    "duckdb": ("duckdb:{folder}/ours.duckdb", None, False),
    "postgresql": ("{postgresql}", None, False),
}

#: Each destination: ours, and its floor. PostgreSQL's address is in BENCHMARK_POSTGRESQL.
DESTINATIONS: Final[dict[str, tuple[Work, Work]]] = {
    "jsonl.gz": (_files(Gzip), _gzip_floor),
    "jsonl.zst": (_files(Zstandard), _zstd_floor),
    "csv": (_files(Csv), _csv_floor),
    "parquet": (_files(Parquet), _parquet_floor),
    "sqlite": (_database("sqlite:{folder}/ours.sqlite"), _sqlite_floor),
    "duckdb": (_database("duckdb:{folder}/ours.duckdb"), _duckdb_floor),
    "postgresql": (_postgresql, _postgresql_floor),
}


def spool_of(rows: int, folder: Path) -> Path:
    """A spool of the sandbox's invoices."""
    from zoho_async.sandbox.store import Store
    from zoho_async.sandbox.world import World

    invoices = Store(World(7, "10234695", {"books.invoices": rows})).collection("books.invoices")
    path = folder / "invoices.jsonl.part"
    with path.open("wb") as file:
        for number in range(rows):
            file.write(invoices.encoded_row(number) + b"\n")
    return path


def measure(name: str, spool: Path, *, floor: bool = False, landed: bool = False) -> Measured:
    """Run the destination called ``name``, its floor or a landing, in a process of its own."""
    which = "landed" if landed else "floor" if floor else "ours"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.destinations", "--one", name,
             which, str(spool), folder],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    return msgspec.json.decode(done.stdout, type=Measured)


def _one(name: str, which: str, spool: str, folder: str) -> None:
    if which == "landed":
        work = _landed(name, Path(spool), Path(folder))
    else:
        work = DESTINATIONS[name][which == "floor"](Path(spool), Path(folder))
    next(work)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in work:
        pass
    took = Measured(
        seconds=time.perf_counter() - began,
        cpu=time.process_time() - cpu,
        memory=_largest_memory(),
    )
    sys.stdout.write(msgspec.json.encode(took).decode())


def _largest_memory() -> float:
    """In MB. What getrusage tells would include the process that started this one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell the largest memory of a process")


def _print_landed(names: Sequence[str], count: int) -> None:
    print(f"{'':14} {'rows/s':>9} {'MB':>6} {'at 10000':>10} {'more':>6}")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, part) for part in ("few", "all")]
        for path in paths:
            path.mkdir()
        few, spool = (
            spool_of(rows, path) for rows, path in zip((10_000, count), paths, strict=True)
        )
        for name in names:
            if name == "postgresql" and "BENCHMARK_POSTGRESQL" not in os.environ:
                continue
            small, large = (measure(name, each, landed=True) for each in (few, spool))
            print(
                f"{name:14} {count / large.seconds:9.0f} {large.memory:6.0f} {small.memory:10.0f}"
                f" {large.memory - small.memory:6.0f}",
                flush=True,
            )


def main() -> None:
    """Measure the destinations and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.destinations", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(DESTINATIONS))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--landed", action="store_true", help="the memory of whole landings only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _one(*given.one)
        return
    if given.landed:
        _print_landed(given.names or list(_PLACES), given.rows)
        return
    names = given.names or [
        name for name in DESTINATIONS
        if name != "postgresql" or "BENCHMARK_POSTGRESQL" in os.environ
    ]  # fmt: skip
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in ("few", "all"):
            Path(folder, part).mkdir()
        few = spool_of(10_000, Path(folder, "few"))
        spool = spool_of(given.rows, Path(folder, "all"))
        print(f"{given.rows} rows, {spool.stat().st_size / 1e6:.0f} MB")
        print(f"{'':12} {'rows/s':>9} {'CPU s':>7} {'floor':>7} {'ratio':>6} {'MB':>6} {'10k':>6}")
        for name in names:
            ours, floor = measure(name, spool), measure(name, spool, floor=True)
            small = measure(name, few)
            figures[name] = {
                "rows_per_second": given.rows / ours.seconds,
                "seconds": ours.seconds,
                "cpu": ours.cpu,
                "floor_seconds": floor.seconds,
                "floor_cpu": floor.cpu,
                "ratio": ours.cpu / floor.cpu,
                "memory": ours.memory,
                "memory_of_10000": small.memory,
            }
            print(
                f"{name:12} {given.rows / ours.seconds:9.0f} {ours.cpu:7.1f} {floor.cpu:7.1f}"
                f" {ours.cpu / floor.cpu:6.2f} {ours.memory:6.0f} {small.memory:6.0f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
