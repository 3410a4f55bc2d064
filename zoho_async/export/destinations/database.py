"""The tables of one resource in a database.

A row replaces everything stored under its id: its columns, its children and its deletion mark.
Writing the same rows twice therefore equals writing them once. Rows of a resource without ids are
appended with the name of their part. A part that restarts replaces its own rows; a full part
(``""``) replaces all.

A first read brings only new ids, so its rows are appended without a merge.

New columns of the description and observed fields (`zoho_async.export.columns.observed`) are added
to the tables, in the transaction that writes the first rows with them. A column whose observed
values became text is converted to text in the same way. A column whose described type changed is
refused, because old and new values would mix in one column. With ``--restart``,
the tables are dropped, and the list fills new ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from zoho_async.export.columns.batch import RowBatch, reader_of
from zoho_async.export.columns.observed import ShapeGrew
from zoho_async.export.columns.schema import DELETED, Column, shape_of, short_name
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations.base import RecordedContents, Rounded, Table
from zoho_async.export.destinations.contents import find_missing, remove_orphans, table_sizes
from zoho_async.export.destinations.directory import line
from zoho_async.export.destinations.engine import Engine, quote
from zoho_async.export.errors import DestinationError


class OpenDatabase:
    """A database as an open destination. ``database`` holds both the rows and the checkpoint."""

    def __init__(self, database: Engine) -> None:
        self.name: Final = database.name
        self.database: Final = database

    def sink(self, table: Table, part: str) -> DatabaseSink:
        return DatabaseSink(self.database, table, part)

    def finish(self) -> Rounded:
        return {}  # each page is final

    def close(self) -> None:
        self.database.close()


class DatabaseSink:
    """Writes one part of a resource to tables."""

    def __init__(self, engine: Engine, table: Table, part: str) -> None:
        self.name: Final = f"{table.name.replace('.', '_')} in {engine.name}"
        self._engine: Final = engine
        self._table: Final = table
        self._described: Final = shape_of(table.fields, table.row_id)
        self._part: Final = part
        self._count = 0
        self._rounded: Final[Counter[str]] = Counter()
        self._use_observed()

    def _use_observed(self) -> None:
        """Read rows with all columns that are observed as of now."""
        table = self._table
        self._reader = reader_of(self._described, table.observer, self._engine.numbers)
        name = short_name(table.name.replace(".", "_"))
        self._layout = Layout(name, table.row_id, self._reader.shape)

    @property
    def _root(self) -> FlatTable:
        return self._layout.tables[0]

    @property
    def _has_ids(self) -> bool:
        return self._layout.id_column is not None

    def resume(self, mark: int) -> bool:
        """Create or extend the tables. Raises `DestinationError` if that fails."""
        with self._engine.translate_errors(), self._engine.transaction():
            for table in self._layout.tables:
                self._create_or_extend(table)
            if not self._has_ids:
                self._begin_part()
        return True

    def write(self, rows: Sequence[bytes]) -> int:
        if not rows:
            return 0
        with self._engine.translate_errors():
            lines = b"".join(map(line, rows))
            batch = self._read(lines)
            if not self._has_ids:
                self._rounded.update(batch.rounded)
                first, self._count = self._count + 1, self._count + len(rows)
                ids = [f"{self._part}/{number}" for number in range(first, self._count + 1)]
                self._append(self._layout.split(batch, ids))
                return 0
            ids = self._layout.ids(batch, lines)
            last = {one: place for place, one in enumerate(ids)}
            if len(last) < len(ids):  # of several rows with one id, keep the last
                return self.write([rows[place] for place in sorted(last.values())])
            self._rounded.update(batch.rounded)
            values = self._layout.split(batch, ids)
            if self._engine.holds_any(self._root, ids):
                self._replace(ids, values)
            else:
                self._append(values)
        return 0

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        """Mark rows as deleted and keep their values. An unknown id gets a new row.

        ``when`` is an ISO time with its offset.
        """
        with self._engine.translate_errors():
            moment = datetime.fromisoformat(when).isoformat()
            names = [column.name for column in self._root.columns]
            key, deleted = names.index(self._root.key[0]), names.index(DELETED)
            tombstone = FlatTable(
                self._root.name,
                self._root.key,
                (self._root.columns[key], self._root.columns[deleted]),
            )
            unique = list(dict.fromkeys(ids))
            if unique:
                self._engine.merge(tombstone, [unique, [moment] * len(unique)])
        return 0

    def keep_as_part(self, part: str) -> None:
        """Do nothing: rows were upserted by id, so the table already holds both parts."""

    def discard(self) -> None:
        with self._engine.translate_errors(), self._engine.transaction():
            for table in self._layout.tables:
                self._engine.execute(f"DROP TABLE IF EXISTS {quote(table.name)}")

    def settle(self) -> None:
        """Do nothing: committed rows are in their final form."""

    def take_rounded(self) -> Mapping[str, int]:
        rounded = dict(self._rounded)
        self._rounded.clear()
        return rounded

    def close(self) -> None:
        """Do nothing: the destination owns the connection."""

    def sizes(self) -> dict[str, int]:
        with self._engine.translate_errors():
            return table_sizes(self._engine, self._layout)

    def find_missing(self, recorded: RecordedContents) -> str:
        with self._engine.translate_errors():
            if recorded.rebuild:
                with self._engine.transaction():
                    self._drop_other_types()
            found = find_missing(self._engine, self._layout, self._table.name, recorded)
            if found:
                with self._engine.transaction():
                    remove_orphans(self._engine, self._layout)
            return found

    def _read(self, lines: bytes) -> RowBatch:
        """Read rows, after adding the columns for fields that they show for the first time."""
        while True:
            try:
                return self._reader.read(lines)
            except ShapeGrew:
                before = self._root
                self._use_observed()
                self._widen(before)
                self._create_or_extend(self._root)

    def _widen(self, before: FlatTable) -> None:
        """Convert the columns of the main table that became text."""
        kinds = {column.name: column.kind for column in self._root.columns}
        for column in before.columns:
            if kinds[column.name] != column.kind:
                self._convert_to_text(column)

    def _convert_to_text(self, column: Column) -> None:
        try:
            self._engine.convert_to_text(self._root.name, column)
        except DestinationError as problem:
            cause = str(problem.__cause__ or problem).splitlines()[0]
            raise DestinationError(
                self._engine.name,
                f"column {column.name} of table {self._root.name} must become text: {cause}",
                "if a view or an index uses the column, drop it, run the same command again, "
                "and create it again",
            ) from problem

    def _replace(self, ids: Sequence[str], values: Sequence[Sequence[Sequence[Any]]]) -> None:
        root, *children = self._layout.tables
        self._engine.merge(root, values[0])
        for table, columns in zip(children, values[1:], strict=True):
            self._engine.delete(table, ids)
            if columns[0]:
                self._engine.append(table, columns)

    def _append(self, values: Sequence[Sequence[Sequence[Any]]]) -> None:
        for table, columns in zip(self._layout.tables, values, strict=True):
            if columns[0]:
                self._engine.append(table, columns)

    def _create_or_extend(self, table: FlatTable) -> None:
        held = self._engine.columns(table.name)
        if not held:
            self._engine.create(table)
            return
        for column in self._other_types(table):
            raise DestinationError(
                self._engine.name,
                f"column {column.name} of table {table.name} is {held[column.name]}, but "
                f"this version of zoho-async writes {self._engine.types[column.kind]}",
                "run with --restart, which drops the table, creates it and fills it again",
            )
        for column in table.columns:
            if column.name not in held:
                self._engine.execute(
                    f"ALTER TABLE {quote(table.name)} ADD COLUMN {self._engine.define(column)}"
                )

    def _other_types(self, table: FlatTable) -> list[Column]:
        """The columns that have other types in the database."""
        held, types = self._engine.columns(table.name), self._engine.types
        return [
            column
            for column in table.columns
            if held.get(column.name, types[column.kind]) != types[column.kind]
        ]

    def _drop_other_types(self) -> None:
        """Drop the tables of the resource if a column has another type."""
        tables = self._layout.tables
        if any(map(self._other_types, tables)):
            for table in tables:
                self._engine.execute(f"DROP TABLE IF EXISTS {quote(table.name)}")

    def _begin_part(self) -> None:
        """Delete the rows that an earlier attempt at this part wrote."""
        self._count = 0
        for table in self._layout.tables:
            self._engine.execute(
                f"DELETE FROM {quote(table.name)} WHERE {quote(table.key[0])} LIKE ?",
                [f"{self._part}/%" if self._part else "%"],
            )
