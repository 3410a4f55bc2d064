"""Whether ours, the engine's and what is made by hand hold the same."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.destinations import FLAT, LAYOUT, Who, bring
from zoho_async.export.destinations.engine import listed

_WHO: Final[tuple[Who, ...]] = ("ours", "engines", "by_hand")


def same(name: str, spool: str) -> int:
    """How many rows are in the destination called ``name``; all three are brought there.

    Raises `AssertionError` where one holds something else than the others.
    """
    held = {who: _held_after(who, name, Path(spool)) for who in _WHO}
    for who, tables in held.items():
        assert tables == held["ours"], f"{name}: {who} hold something else"
    return len(held["ours"][0])


def _held_after(who: Who, name: str, spool: Path) -> list[list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        bring(who, name, spool, Path(folder))
        return _held(name, Path(folder))


def _held(name: str, folder: Path) -> list[list[Any]]:
    """The rows of each table; of CSV the lines."""
    if name == "CSV":
        return [(folder / "invoices.csv").read_bytes().split(b"\r\n")]
    if name.startswith("Parquet"):
        import pyarrow.parquet as pq

        tables = FLAT.tables if name.endswith("flattened") else FLAT.tables[:1]
        return [pq.read_table(folder / f"{each.name}.parquet").to_pylist() for each in tables]
    with closing(_connected(name, folder)) as connection:
        return [
            connection.execute(
                f"SELECT {listed([column.name for column in table.columns])} FROM {table.name}"
                f" ORDER BY {listed(table.key)}"
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
