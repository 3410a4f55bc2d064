"""A DuckDB file as a destination. Rows go in through Arrow, a column at a time.

The tables have no unique index: DuckDB keeps all of an index in memory, and checks it against rows
that the same transaction has already taken out. Each id stands once because only `merge` brings an
id that may be there, and nobody else writes: the file is DuckDB's own lock. Whether ids may be
there is told by the largest one (ids are digits that grow with time): a first read brings only
larger ones. Ids that are no digits are always merged.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from zoho_async.export.arrow import Arrow
from zoho_async.export.columns import ColumnKind
from zoho_async.export.databases.engine import definitions, listed, quoted
from zoho_async.export.databases.sink import DatabaseSink
from zoho_async.export.destination import Place, Table, Value
from zoho_async.export.errors import DestinationError, ExportRunning
from zoho_async.export.exact import PRECISION, SCALE
from zoho_async.export.extras import library
from zoho_async.export.flat import FlatTable

_BATCH: Final = "_zoho_batch"  # what the rows on their way in are called
#: At most, for DuckDB's cache of the file, on one thread: rows come from one anyway. With half as
#: much, tables of 400 columns fail.
_MEMORY: Final = "128MB"

_TYPES: Final[dict[ColumnKind, str]] = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "texts": "VARCHAR",
    "decimal": f"DECIMAL({PRECISION},{SCALE})",
    "date": "DATE",
    "time": "TIMESTAMP WITH TIME ZONE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
}

#: DuckDB lets one process open a file twice; these are open in this one.
_held: Final[set[Path]] = set()
_holding: Final = threading.Lock()


class DuckDb:
    """A DuckDB file; made where there is none. Raises `MissingExtra` without its libraries."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self.name: Final = str(self.path)
        self._duckdb: Final = library("duckdb", "duckdb", "writing to DuckDB")
        self._pyarrow: Final = library("pyarrow", "duckdb", "writing to DuckDB")
        self._engine: DuckDbEngine | None = None

    def open(self, place: Place) -> DuckDbEngine:
        """Take the file. Raises `ExportRunning` or `DestinationError`."""
        self._engine = DuckDbEngine(self.path, self._duckdb, Arrow(self._pyarrow))
        return self._engine

    def sink(self, table: Table, part: str) -> DatabaseSink:
        assert self._engine is not None, "the destination is not open"
        return DatabaseSink(self._engine, table, part)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class DuckDbEngine:
    """An open DuckDB file."""

    types: Mapping[ColumnKind, str] = _TYPES

    def __init__(self, path: Path, duckdb: Any, arrow: Arrow) -> None:
        self.name: Final = str(path)
        self._path: Final = path
        self._duckdb: Final = duckdb
        self._arrow: Final = arrow
        self._largest: Final[dict[str, int]] = {}
        self._whole: Final = path.resolve()
        with _holding:
            if self._whole in _held:
                raise ExportRunning(path)
            _held.add(self._whole)
        try:
            with self.refusals():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection: Final[Any] = duckdb.connect(
                    str(path), config={"memory_limit": _MEMORY, "threads": 1}
                )
        except BaseException:
            self._release()
            raise

    @contextmanager
    def refusals(self) -> Generator[None]:
        try:
            yield
        except (OSError, self._duckdb.Error) as problem:
            if "lock on file" in str(problem):
                raise ExportRunning(self._path) from None
            raise DestinationError(self._path, str(problem).splitlines()[0]) from problem

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        with self.refusals():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, list(values)).fetchall()
            return rows

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        self._insert(table, columns, rows, "")

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        rest = _assignments([name for name in columns if name not in key], "excluded")
        conflict = f"ON CONFLICT ({listed(key)}) DO " + (
            f"UPDATE SET {rest}" if rest else "NOTHING"
        )
        self._insert(table, columns, rows, conflict)

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self.refusals():
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

    def create(self, table: FlatTable) -> None:
        self.execute(f"CREATE TABLE {quoted(table.name)} ({definitions(table, _TYPES)})")

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        if not all(map(_is_number, ids)):
            return True
        if table.name not in self._largest:
            ((largest,),) = self.execute(
                f"SELECT max(TRY_CAST({quoted(table.key[0])} AS HUGEINT)) FROM {quoted(table.name)}"
            )
            self._largest[table.name] = -1 if largest is None else largest
        return min(map(int, ids)) <= self._largest[table.name]

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._met(table, values)
        names = listed([column.name for column in table.columns])
        self._with(
            self._arrow.flat(table.columns, values),
            f"INSERT INTO {quoted(table.name)} ({names}) SELECT {names} FROM {_BATCH}",
        )

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        self._met(table, values)
        key = quoted(table.key[0])
        names = [column.name for column in table.columns]
        rest = _assignments([name for name in names if name not in table.key], _BATCH)
        inserted = ", ".join(f"{_BATCH}.{quoted(name)}" for name in names)
        self._with(
            self._arrow.flat(table.columns, values),
            f"MERGE INTO {quoted(table.name)} AS here USING {_BATCH} ON here.{key} = {_BATCH}.{key}"
            f" WHEN MATCHED THEN UPDATE SET {rest}"
            f" WHEN NOT MATCHED THEN INSERT ({listed(names)}) VALUES ({inserted})",
        )

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        self._with(
            self._arrow.pa.table({"id": list(ids)}),
            f"DELETE FROM {quoted(table.name)}"
            f" WHERE {quoted(table.key[0])} IN (SELECT id FROM {_BATCH})",
        )

    def close(self) -> None:
        """Give the file back. DuckDB writes its log into the file."""
        try:
            self._connection.close()
        finally:
            self._release()

    def _release(self) -> None:
        with _holding:
            _held.discard(self._whole)

    def _met(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Remember the largest id, if it is asked for; one that is rolled back does no harm."""
        if table.name in self._largest:
            key = [column.name for column in table.columns].index(table.key[0])
            numbers = [int(one) for one in values[key] if _is_number(one)]
            self._largest[table.name] = max(self._largest[table.name], *numbers, -1)

    def _insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], tail: str
    ) -> None:
        if not rows:
            return
        values = zip(*rows, strict=True)
        names = listed(columns)
        self._with(
            self._arrow.pa.table(dict(zip(columns, map(list, values), strict=True))),
            f"INSERT INTO {quoted(table)} ({names}) SELECT {names} FROM {_BATCH} {tail}",
        )

    def _with(self, batch: Any, sql: str) -> None:
        with self.refusals():
            self._connection.register(_BATCH, batch)
            try:
                self._connection.execute(sql)
            finally:
                with suppress(self._duckdb.Error):  # so as not to hide why the statement failed
                    self._connection.unregister(_BATCH)


def _is_number(identity: str) -> bool:
    return identity.isascii() and identity.isdecimal()


def _assignments(names: Sequence[str], source: str) -> str:
    return ", ".join(f"{quoted(name)} = {source}.{quoted(name)}" for name in names)
