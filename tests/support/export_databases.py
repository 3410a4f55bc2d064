"""Databases to export into, and what is in them, read by their own clients."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations import DuckDb, PostgreSql, Sqlite
from zoho_async.export.destinations.base import Origin, Table
from zoho_async.export.destinations.engine import Engine

PLACE = Origin("10234695", "www.zohoapis.com")
Rows = list[dict[str, Any]]


class Target:
    """One database: ``make`` a destination of it as often as wanted, and `ask` it."""

    def __init__(
        self, kind: str, make: Callable[[], Any], ask: Callable[[str], Rows], to: str
    ) -> None:
        self.kind = kind
        self.make = make
        self.ask = ask
        self.to = to

    def tables(self, layout: Layout) -> list[Rows]:
        """What is in the tables of ``layout``, in its order."""
        return [self.ask(f'SELECT * FROM "{table.name}"') for table in layout.tables]


def sqlite_target(folder: Path) -> Target:
    path = folder / "books.sqlite"

    def ask(sql: str) -> Rows:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    return Target("sqlite", lambda: Sqlite(path), ask, f"sqlite:{path}")


def duckdb_target(folder: Path) -> Target:
    path = folder / "books.duckdb"

    def ask(sql: str) -> Rows:
        with closing(duckdb.connect(str(path))) as connection:
            found: Rows = connection.sql(sql).to_arrow_table().to_pylist()
            return found

    return Target("duckdb", lambda: DuckDb(path), ask, f"duckdb:{path}")


def postgresql_target(address: str) -> Target:
    def ask(sql: str) -> Rows:
        rows = psycopg.rows.dict_row
        with psycopg.connect(address, autocommit=True, row_factory=rows) as connection:
            return connection.execute(sql.encode()).fetchall()

    return Target("postgresql", lambda: PostgreSql(address), ask, address)


def write(engine: Engine, sink: Any, rows: list[bytes], page: int = 200) -> None:
    """Land ``rows`` page by page, each in a transaction of its own."""
    for start in range(0, len(rows), page):
        with engine.transaction():
            sink.write(rows[start : start + page])


def load(target: Target, table: Table, *pages: list[bytes], part: str = "") -> None:
    """A run that lands ``pages``."""
    destination = target.make()
    with closing(destination):
        engine = destination.open(PLACE)
        sink = destination.sink(table, part)
        assert sink.resume(0)
        for rows in pages:
            write(engine, sink, rows)
        sink.settle()
        sink.close()


def by_id(rows: Rows, name: str = "invoice_id") -> Mapping[str, dict[str, Any]]:
    """``rows`` by their ids, of which each stands once."""
    found = {row[name]: row for row in rows}
    assert len(found) == len(rows)
    return found
