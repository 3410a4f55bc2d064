"""Databases to export into. Their own clients read what is in them.

A test module takes the fixtures by name: ``target = export_databases.target``, with ``postgresql``.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.support.postgresql_server import PostgresqlServer
from zoho_async.export import Destination, Export, ExportOptions
from zoho_async.export.columns.tables import Layout
from zoho_async.export.destinations import DuckDb, PostgreSql, Sqlite
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.engine import Engine
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

Rows = list[dict[str, Any]]

NAMES = ("books.contacts", "books.invoices")
IDS = {"books.contacts": "contact_id", "books.invoices": "invoice_id"}
SIZES = {"books.contacts": 40, "books.invoices": 220}


class Target:
    """One database: ``make`` opens it as a destination, `ask` queries it."""

    def __init__(
        self, kind: str, make: Callable[[], Any], ask: Callable[[str], Rows], to: str
    ) -> None:
        self.kind = kind
        self.make = make
        self.ask = ask
        self.to = to

    def tables(self, layout: Layout) -> list[Rows]:
        """The rows of each table of ``layout``, in its order."""
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


_numbers = itertools.count()


def make_target(request: pytest.FixtureRequest, folder: Path) -> Target:
    """A new database of the kind ``request.param``."""
    if request.param == "sqlite":
        return sqlite_target(folder)
    if request.param == "duckdb":
        return duckdb_target(folder)
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return postgresql_target(server.create(f"export_{next(_numbers)}"))


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return make_target(request, tmp_path)


def write(engine: Engine, sink: Any, rows: list[bytes], page: int = 200) -> None:
    """Write ``rows`` page by page, one transaction per page."""
    for start in range(0, len(rows), page):
        with engine.transaction():
            sink.write(rows[start : start + page])


def load(target: Target, table: Table, *pages: list[bytes], part: str = "") -> None:
    """One run that writes ``pages``."""
    with closing(target.make().open()) as place:
        engine = place.database
        sink = place.sink(table, part)
        assert sink.resume(0)
        for rows in pages:
            write(engine, sink, rows)
        sink.settle()
        sink.close()


def by_id(rows: Rows, name: str = "invoice_id") -> Mapping[str, dict[str, Any]]:
    """``rows`` by id. Each id must occur once."""
    found = {row[name]: row for row in rows}
    assert len(found) == len(rows)
    return found


@asynccontextmanager
async def session(zoho: Sandbox) -> AsyncGenerator[Session]:
    limits = Limits(window=zoho.limits.minute, linger=zoho.limits.minute / 2)
    async with Session.from_env(zoho.environment(), limits=limits, ledger=MemoryLedger()) as one:
        yield one


def sandbox(**rules: object) -> Sandbox:
    return Sandbox(**({"sizes": SIZES, "minute": 1.0} | rules))  # type: ignore[arg-type]  # passed on


async def export(zoho: Session, to: str | Destination, **asked: Any) -> int:
    async with Export(zoho, NAMES, to=to, options=ExportOptions(**asked)) as job:
        return (await job.wait()).rows


def table(target: Target, name: str) -> Rows:
    return target.ask(f'SELECT * FROM "{name.replace(".", "_")}"')


def assert_current(target: Target, zoho: Sandbox) -> None:
    """Rows that are not marked deleted equal those of the server, to the cent."""
    for name in NAMES:
        said = [json.loads(row, parse_float=Decimal) for row in zoho.truth(name)]
        held = [row for row in table(target, name) if row["_deleted_time"] is None]
        assert {one[IDS[name]] for one in said} == {row[IDS[name]] for row in held}
        assert len(said) == len(held)
    totals = {one["invoice_id"]: Decimal(str(one["total"])) for one in said}
    assert {row["invoice_id"]: Decimal(str(row["total"])) for row in held} == totals
    references = {one["invoice_id"]: one["reference_number"] or None for one in said}
    assert {row["invoice_id"]: row["reference_number"] for row in held} == references
