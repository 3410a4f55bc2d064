"""A DuckDB file as a destination. Rows are loaded through Arrow, column by column.

The tables have no unique index. DuckDB keeps a whole index in memory, and checks it against rows
that the same transaction has already deleted. Ids are unique all the same: an id that may exist
goes through a merge, and DuckDB's file lock keeps other writers out.

The largest id in the table tells whether an id may exist, because numeric ids grow with time. A
first read brings only larger ids, which are appended. Ids that are not numbers are always merged.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from zoho_async.export.columns.arrow import Arrow
from zoho_async.export.columns.numbers import PRECISION, SCALES, NumberStorage
from zoho_async.export.columns.schema import Column, ColumnKind
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Query, Value
from zoho_async.export.destinations.database import OpenDatabase
from zoho_async.export.destinations.engine import definitions, literal, quote, quote_all
from zoho_async.export.errors import FOREIGN_FILE, DestinationError, ExportRunning, library

_BATCH: Final = "_zoho_batch"  # the view of the rows being loaded
#: Block size in bytes of a new file, a quarter of the default. An existing file keeps its size.
_BLOCK: Final = 64 << 10
#: DuckDB fills its cache up to the limit, so the limit is low: this much, plus four blocks per
#: column of the widest table (values and NULLs, in the transaction and in the table), which an
#: insertion holds at once. One thread is enough, because rows come from one.
_CACHE: Final = 32 << 20
_SETTINGS: Final = {
    "memory_limit": f"{_CACHE}B",
    "default_block_size": str(_BLOCK),
    "checkpoint_threshold": "8MB",
    "threads": 1,
}
#: Rows in a row group. Each insertion and each checkpoint rewrites the last group. With the default
#: of 122,880 rows as wide as invoices the group does not fit into the cache, and a row costs three
#: times as much when the group is nearly full.
_GROUP: Final = 8192
#: The name of the attached file. `_GROUP` can be set only for an attached file.
_FILE: Final = "zoho_file"
_HAS_EXPORT: Final = (
    f"SELECT 1 FROM duckdb_tables() WHERE database_name = '{_FILE}' AND table_name = '_zoho_place'"
)
_PRIMARY_KEY: Final = re.compile(r", PRIMARY KEY \([^)]*\)")

_TYPES: Final[dict[ColumnKind, str]] = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "texts": "VARCHAR",
    "decimal": f"DECIMAL({PRECISION},{SCALES['decimal']})",
    "exchange_rate": f"DECIMAL({PRECISION},{SCALES['exchange_rate']})",
    "date": "DATE",
    "time": "TIMESTAMP WITH TIME ZONE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
}

#: Exact text of a column's values, if a cast does not give it.
_AS_TEXT: Final[dict[ColumnKind, str]] = {
    "decimal": "rtrim(rtrim(CAST({} AS VARCHAR), '0'), '.')",
    "time": "strftime({} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')",
}

#: The files that this process has open. DuckDB would let one process open a file twice.
_open_files: Final[dict[Path, DuckDbEngine]] = {}
_open_files_lock: Final = threading.Lock()


class DuckDb:
    """A DuckDB file, created if missing. Raises `MissingExtra` without its libraries."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.name: Final = str(self.path)
        self._duckdb: Final = library("duckdb", "duckdb", "writing to DuckDB")
        self._pyarrow: Final = library("pyarrow", "duckdb", "writing to DuckDB")

    def open(self) -> OpenDatabase:
        """Open and lock the file. Raises `ExportRunning` or `DestinationError`."""
        return OpenDatabase(DuckDbEngine(self.path, self._duckdb, Arrow(self._pyarrow)))

    @contextmanager
    def read_only(self) -> Generator[Query | None]:
        if not self.path.exists():
            yield None
            return
        connection: Any = self._duckdb.connect()
        try:
            connection.execute(f"ATTACH {literal(str(self.path))} AS {_FILE} (READ_ONLY)")
            connection.execute(f"USE {_FILE}")
            there = connection.execute(_HAS_EXPORT).fetchone()
            yield (lambda sql: connection.execute(sql).fetchall()) if there else None
        except self._duckdb.Error as problem:
            if "lock on file" in str(problem):
                raise ExportRunning(self.path) from None
            raise DestinationError(self.path, str(problem).split("\n")[0]) from problem
        finally:
            connection.close()


class DuckDbEngine:
    """An open DuckDB file."""

    types: Mapping[ColumnKind, str] = _TYPES
    numbers: NumberStorage = "decimal"

    def __init__(self, path: Path, duckdb: Any, arrow: Arrow) -> None:
        self.name: Final = str(path)
        self._path: Final = path
        self._duckdb: Final = duckdb
        self._arrow: Final = arrow
        self._largest: Final[dict[str, int]] = {}
        self._widest = 0
        self._whole: Final = path.resolve()
        with _open_files_lock:
            if self._whole in _open_files:
                raise ExportRunning(path)
            _open_files[self._whole] = self
        try:
            with self.translate_errors():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection: Final[Any] = self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> Any:
        settings = {**_SETTINGS, "temp_directory": f"{self._path}.tmp"}
        connection = self._duckdb.connect(config=settings)
        try:
            file = literal(str(self._path))
            connection.execute(f"ATTACH {file} AS {_FILE} (ROW_GROUP_SIZE {_GROUP})")
            connection.execute(f"USE {_FILE}")
            connection.execute("SET enable_progress_bar = false")  # it would disturb the output
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def translate_errors(self) -> Generator[None]:
        try:
            yield
        except (OSError, self._duckdb.Error) as problem:
            if "lock on file" in str(problem):
                raise ExportRunning(self._path) from None
            cause = str(problem).splitlines()[0].removesuffix("!")
            advice = FOREIGN_FILE if "not a valid DuckDB database" in cause else ""
            raise DestinationError(self._path, cause, advice) from problem

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            plain = _PRIMARY_KEY.sub("", sql)
            rows: list[tuple[Any, ...]] = self._connection.execute(plain, list(values)).fetchall()
            return rows

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            names = quote_all(columns)
            self._run_with_batch(
                self._batch(columns, rows),
                f"INSERT INTO {quote(table)} ({names}) SELECT {names} FROM {_BATCH}",
            )

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        if rows:
            self._merge(table, key, columns, self._batch(columns, rows))

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self.translate_errors():
            self._connection.execute("BEGIN TRANSACTION")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(self._duckdb.Error):  # a commit that failed has ended it
                    self._connection.execute("ROLLBACK")
                raise

    def columns(self, table: str) -> dict[str, str]:
        rows = self.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
            " AND database_name = current_database() AND schema_name = current_schema()",
            [table],
        )
        return dict(rows)

    def is_view(self, name: str) -> bool:
        rows = self.execute(
            "SELECT 1 FROM duckdb_views() WHERE lower(view_name) = lower(?)"
            " AND database_name = current_database() AND schema_name = current_schema()",
            [name],
        )
        return bool(rows)

    def define(self, column: Column) -> str:
        return f"{quote(column.name)} {_TYPES[column.kind]}"

    def create(self, table: FlatTable) -> None:
        self.execute(f"CREATE TABLE {quote(table.name)} ({definitions(table, _TYPES)})")

    def convert_to_text(self, table: str, column: Column) -> None:
        text = _AS_TEXT.get(column.kind, "CAST({} AS VARCHAR)").format(quote(column.name))
        self.execute(
            f"ALTER TABLE {quote(table)} ALTER {quote(column.name)}"
            f" SET DATA TYPE {_TYPES['text']} USING {text}"
        )

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        if not all(map(_is_number, ids)):
            return True
        if table.name not in self._largest:
            ((largest,),) = self.execute(
                f"SELECT max(TRY_CAST({quote(table.key[0])} AS HUGEINT)) FROM {quote(table.name)}"
            )
            self._largest[table.name] = -1 if largest is None else largest
        return min(map(int, ids)) <= self._largest[table.name]

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._note_largest_id(table, values)
        self._raise_memory_limit(table)
        names = quote_all([column.name for column in table.columns])
        self._run_with_batch(
            self._arrow.flat(table.columns, values),
            f"INSERT INTO {quote(table.name)} ({names}) SELECT {names} FROM {_BATCH}",
        )

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._note_largest_id(table, values)
        self._raise_memory_limit(table)
        names = [column.name for column in table.columns]
        self._merge(table.name, table.key, names, self._arrow.flat(table.columns, values))

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        self._run_with_batch(
            self._arrow.pa.table({"id": list(ids)}),
            f"DELETE FROM {quote(table.name)}"
            f" WHERE {quote(table.key[0])} IN (SELECT id FROM {_BATCH})",
        )

    def close(self) -> None:
        """Close the file. DuckDB writes its log into it."""
        try:
            self._connection.close()
        finally:
            self._release()

    def _release(self) -> None:
        with _open_files_lock:
            if _open_files.get(self._whole) is self:
                del _open_files[self._whole]

    def _note_largest_id(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Update the largest known id. An id that is rolled back later does no harm."""
        if table.name in self._largest:
            key = [column.name for column in table.columns].index(table.key[0])
            numbers = [int(one) for one in values[key] if _is_number(one)]
            self._largest[table.name] = max(self._largest[table.name], *numbers, -1)

    def _raise_memory_limit(self, table: FlatTable) -> None:
        if len(table.columns) > self._widest:
            self._widest = len(table.columns)
            ((block,),) = self.execute(
                "SELECT block_size FROM pragma_database_size()"
                " WHERE database_name = current_database()"
            )
            self.execute(f"SET memory_limit = '{_CACHE + 4 * block * self._widest}B'")

    def _merge(self, table: str, key: Sequence[str], names: Sequence[str], batch: Any) -> None:
        same = " AND ".join(f"here.{quote(name)} = {_BATCH}.{quote(name)}" for name in key)
        rest = _assignments([name for name in names if name not in key], _BATCH)
        inserted = ", ".join(f"{_BATCH}.{quote(name)}" for name in names)
        self._run_with_batch(
            batch,
            f"MERGE INTO {quote(table)} AS here USING {_BATCH} ON {same}"
            + (f" WHEN MATCHED THEN UPDATE SET {rest}" if rest else "")
            + f" WHEN NOT MATCHED THEN INSERT ({quote_all(names)}) VALUES ({inserted})",
        )

    def _batch(self, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> Any:
        values = zip(*rows, strict=True)
        return self._arrow.pa.table(dict(zip(columns, map(list, values), strict=True)))

    def _run_with_batch(self, batch: Any, sql: str) -> None:
        with self.translate_errors():
            self._connection.register(_BATCH, batch)
            try:
                self._connection.execute(sql)
            finally:
                with suppress(self._duckdb.Error):  # keep the error of the statement
                    self._connection.unregister(_BATCH)


def _is_number(identity: str) -> bool:
    return identity.isascii() and identity.isdecimal()


def _assignments(names: Sequence[str], source: str) -> str:
    return ", ".join(f"{quote(name)} = {source}.{quote(name)}" for name in names)
