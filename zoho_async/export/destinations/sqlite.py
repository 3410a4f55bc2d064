"""A SQLite file as a destination.

SQLite has no decimal type. A number is an integer or a double, and ``_exact`` has the digits that a
double lacks (`zoho_async.export.columns.numbers`). A constraint keeps text of other writers out of
these columns, because SQLite sorts text after all numbers. Dates are ``YYYY-MM-DD``, times
``YYYY-MM-DDTHH:MM:SS+00:00``. They sort by time, and SQLite's date functions read them. Booleans
are 0 and 1.

The file is opened in exclusive mode: no other program can read or write it during a run. The lock
is the operating system's and ends with the process. A committed transaction is on the disk
(write-ahead log, ``synchronous = FULL``).
"""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from zoho_async.export.checkpoint.file import query_of_file
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import Column, ColumnKind, short_name
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Query, Value
from zoho_async.export.destinations.database import OpenDatabase
from zoho_async.export.destinations.engine import on_conflict, quote, quote_all
from zoho_async.export.errors import FOREIGN_FILE, DestinationError, ExportRunning

_LOOKUP: Final = 500  # ids per query, within the limit on variables of old SQLite versions

_PRAGMAS: Final = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    # We bind no text to a column of numbers. Checking each value would cost half of an insertion.
    "ignore_check_constraints = ON",
)

_TYPES: Final[dict[ColumnKind, str]] = {
    "text": "TEXT",
    "json": "TEXT",
    "texts": "TEXT",
    "decimal": "NUMERIC",
    "exchange_rate": "NUMERIC",
    "date": "TEXT",
    "time": "TEXT",
    "integer": "INTEGER",
    "boolean": "INTEGER",
}


class Sqlite:
    """A SQLite file, created if missing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.name: Final = str(self.path)

    def open(self) -> OpenDatabase:
        """Open and lock the file. Raises `ExportRunning` or `DestinationError`."""
        return OpenDatabase(SqliteEngine(self.path))

    def read_only(self) -> AbstractContextManager[Query | None]:
        return query_of_file(self.path)


class SqliteEngine:
    """An open SQLite file."""

    types: Mapping[ColumnKind, str] = _TYPES
    numbers: NumberStorage = "double"

    def __init__(self, path: Path) -> None:
        self.name: Final = str(path)
        self._path: Final = path
        with self.translate_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection: Final = sqlite3.connect(
                path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,  # worker threads, one at a time
            )
        try:
            with self.translate_errors():
                self._lock()
        except BaseException:
            self._connection.close()
            raise

    def _lock(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN EXCLUSIVE")
        self._connection.execute("COMMIT")

    @contextmanager
    def translate_errors(self) -> Generator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as problem:
            code = getattr(problem, "sqlite_errorcode", 0) or 0
            if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ExportRunning(self._path) from None
            advice = FOREIGN_FILE if code == sqlite3.SQLITE_NOTADB else ""
            raise DestinationError(self._path, str(problem), advice) from problem

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            return self._connection.execute(sql, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        self._many(_insert(table, columns), rows)

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        self._many(f"{_insert(table, columns)} {on_conflict(key, columns)}", rows)

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self.translate_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def columns(self, table: str) -> dict[str, str]:
        return {row[1]: row[2] for row in self.execute(f"PRAGMA table_info({quote(table)})")}

    def is_view(self, name: str) -> bool:
        # SQLite ignores case in table names.
        found = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND lower(name) = lower(?)"
        return bool(self.execute(found, [name]))

    def define(self, column: Column) -> str:
        name, kind = quote(column.name), _TYPES[column.kind]
        if kind == "NUMERIC":
            return f"{name} {kind} CHECK (typeof({name}) IN ('integer', 'real', 'null'))"
        return f"{name} {kind}"

    def create(self, table: FlatTable) -> None:
        child = len(table.key) > 1  # stored in key order, next to its siblings
        columns = ", ".join(map(self.define, table.columns))
        self.execute(
            f"CREATE TABLE {quote(table.name)} ({columns},"
            f" PRIMARY KEY ({quote_all(table.key)})){' WITHOUT ROWID' if child else ''}"
        )

    def convert_to_text(self, table: str, column: Column) -> None:
        # SQLite cannot change the type of a column.
        own, new = quote(column.name), quote(short_name(f"_zoho_text_{column.name}"))
        text = f"CASE WHEN {own} THEN 'true' ELSE 'false' END"
        if column.kind != "boolean":
            self._connection.create_function("_zoho_text", 1, _as_text, deterministic=True)
            text = f"_zoho_text({own})"
        name = quote(table)
        self.execute(f"ALTER TABLE {name} ADD COLUMN {new} {_TYPES['text']}")
        self.execute(f"UPDATE {name} SET {new} = {text} WHERE {own} IS NOT NULL")
        self.execute(f"ALTER TABLE {name} DROP COLUMN {own}")
        self.execute(f"ALTER TABLE {name} RENAME COLUMN {new} TO {own}")

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        for start in range(0, len(ids), _LOOKUP):
            some = ids[start : start + _LOOKUP]
            marks = ",".join("?" * len(some))
            key = quote(table.key[0])
            if self.execute(
                f"SELECT 1 FROM {quote(table.name)} WHERE {key} IN ({marks}) LIMIT 1", some
            ):
                return True
        return False

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._many(_insert(table.name, _names(table)), rows_of(table, values))

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        names = _names(table)
        insert = f"{_insert(table.name, names)} {on_conflict(table.key, names)}"
        self._many(insert, rows_of(table, values))

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        sql = f"DELETE FROM {quote(table.name)} WHERE {quote(table.key[0])} = ?"
        self._many(sql, [(one,) for one in ids])

    def close(self) -> None:
        """Close the file and merge its log into it."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def _many(self, sql: str, rows: Any) -> None:
        with self.translate_errors():
            self._connection.executemany(sql, rows)


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {quote(table)} ({quote_all(columns)}) VALUES ({marks})"


def _names(table: FlatTable) -> list[str]:
    return [column.name for column in table.columns]


def rows_of(table: FlatTable, values: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of ``table`` as SQLite holds them."""
    columns = [
        list(map(_utc, cells)) if column.kind == "time" else cells
        for column, cells in zip(table.columns, values, strict=True)
    ]
    return zip(*columns, strict=True)


def _as_text(value: str | float) -> str:
    """A value of a column as text, with all digits of a number."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


@functools.lru_cache(4096)
def _utc(moment: str | None) -> str | None:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat() if moment else None
