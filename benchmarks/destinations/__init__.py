"""Write rows into each destination: by this package, by the engine alone, and by hand.

All three start from the same spool, the sandbox's invoices as JSON Lines of 2.4 kB, and end with
the same values in the same form. These are compared before timing.

*Ours* is the format of a directory or the sink of a database, with the spool that an export gives
it. The *engine* alone gets prepared values, one portion at a time, and preparing them is not timed:
this cost cannot be avoided. *By hand* is a careful program without this package: msgspec decodes
each row, with numbers as `Decimal`; the description converts the values; fields that it does not
describe stay JSON; the engine gets them the way that its manual recommends. So ours against the
engine is the cost of our reading, and ours against by hand is what it saves.

Each measurement is a process (`took`). CPU time is that of this process: it excludes the PostgreSQL
server, whose cost is the same for all three.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from benchmarks.timing import memory
from zoho_async.description import load
from zoho_async.export.columns.schema import shape_of
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations.base import Origin, Table
from zoho_async.export.destinations.engine import quote_all

PLACE: Final = Origin("10234695", "www.zohoapis.com")
TABLE: Final = Table(
    name="books.invoices",
    row_id="invoice_id",
    fields=load("books").named("books.invoices.list").reply,
)
#: For databases, for CSV, and for Parquet.
SHAPE: Final = shape_of(TABLE.fields, TABLE.row_id)
CSV: Final = shape_of(TABLE.fields, TABLE.row_id, lists=False)
NESTED: Final = shape_of(TABLE.fields, TABLE.row_id, texts=True)
LAYOUT: Final = Layout("books_invoices", TABLE.row_id, SHAPE)
FLAT: Final = Layout("invoices", TABLE.row_id, NESTED)

#: The names of the destinations. ``COMPRESSED`` files have no values, so there is no version by
#: hand. ``ALONE`` are measured without a comparison. PostgreSQL's address is in the variable
#: BENCHMARK_POSTGRESQL.
COMPRESSED: Final = ("gzip", "zstd")
ALONE: Final = ("CSV, flattened", "CSV for Excel", "XLSX")
COLUMNS: Final = ("CSV", "Parquet", "Parquet, flattened", "SQLite", "DuckDB", "PostgreSQL")

Who: TypeAlias = Literal["ours", "engines", "by_hand", "by_duckdb"]
_MODULES: Final = {"by_duckdb": "engines"}


class Clock:
    """Seconds of CPU and of the wall spent within ``with clock:``."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __enter__(self) -> None:
        self.cpu -= time.process_time()
        self.wall -= time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time()
        self.wall += time.perf_counter()


#: Writes the rows of a spool into a folder and times the part that counts.
Work: TypeAlias = Callable[[Path, Path, Clock], None]


def bring(who: Who, name: str, spool: Path, folder: Path) -> Clock:
    """Write ``spool`` into the destination ``name``."""
    module = importlib.import_module(f"benchmarks.destinations.{_MODULES.get(who, who)}")
    works: dict[str, Work] = module.READERS if who == "by_duckdb" else module.WORKS
    if name == "PostgreSQL":
        _empty_server()
    clock = Clock()
    works[name](spool, folder, clock)
    return clock


def _empty_server() -> None:
    import psycopg

    with psycopg.connect(os.environ["BENCHMARK_POSTGRESQL"]) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def took(who: Who, name: str, spool: str) -> tuple[float, float, float]:
    """CPU and wall seconds and peak megabytes; call it in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        clock = bring(who, name, Path(spool), Path(folder))
        return clock.cpu, clock.wall, memory("VmHWM")


def spool_of(rows: int, folder: str) -> str:
    """The path of a new spool of the sandbox's invoices in ``folder``."""
    from zoho_async.sandbox.data.seed import SampleData
    from zoho_async.sandbox.data.store import Store

    invoices = Store(SampleData(7, "10234695", {"books.invoices": rows})).collection(
        "books.invoices"
    )
    path = Path(folder, "invoices.jsonl.part")
    with path.open("wb") as file:
        for number in range(rows):
            file.write(invoices.encoded_row(number) + b"\n")
    return str(path)


# -- the same values -------------------------------------------------------------------------------

_WHO: Final[tuple[Who, ...]] = ("ours", "engines", "by_hand")


def same(name: str, spool: str) -> int:
    """Write the destination ``name`` in all three ways and return its number of rows.

    Raises `AssertionError` if their contents differ.
    """
    held = {who: _held_after(who, name, Path(spool)) for who in _WHO}
    for who, tables in held.items():
        assert tables == held["ours"], f"{name}: {who} has other contents"
    return len(held["ours"][0])


def _held_after(who: Who, name: str, spool: Path) -> list[list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        bring(who, name, spool, Path(folder))
        return _held(name, Path(folder))


def _held(name: str, folder: Path) -> list[list[Any]]:
    """The rows of each table, or the lines of CSV."""
    if name == "CSV":
        return [(folder / "invoices.csv").read_bytes().split(b"\r\n")]
    if name.startswith("Parquet"):
        import pyarrow.parquet as pq

        tables = FLAT.tables if name.endswith("flattened") else FLAT.tables[:1]
        return [pq.read_table(folder / f"{each.name}.parquet").to_pylist() for each in tables]
    with closing(_connected(name, folder)) as connection:
        return [
            connection.execute(
                f"SELECT {quote_all([column.name for column in table.columns])} FROM {table.name}"
                f" ORDER BY {quote_all(table.key)}"
            ).fetchall()
            for table in LAYOUT.tables
        ]


def _connected(name: str, folder: Path) -> Any:
    if name == "SQLite":
        return sqlite3.connect(folder / "invoices.sqlite")
    if name == "DuckDB":
        import duckdb

        return duckdb.connect(str(folder / "invoices.duckdb"))
    import psycopg

    return psycopg.connect(os.environ["BENCHMARK_POSTGRESQL"])
