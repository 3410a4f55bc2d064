"""The tables of one resource in a database.

A row that comes replaces all that was known of its id: its columns, its children, and that it was
deleted. Nothing else is touched, so writing the same rows twice is the same as once. Rows of a
resource without ids are appended, marked with the part that brought them; a part that begins anew
replaces its own rows, and a full one (``""``) all.

A first read brings ids that the table does not hold. Then nothing needs replacing, and the rows
are appended at the engine's full speed.

The tables grow with the description: a column that is new is added. A column whose type is no
longer the same is refused, because old and new values in one column would not mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from zoho_async.export.columns.batch import ColumnReader
from zoho_async.export.columns.schema import DELETED, shape_of, short_name
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations.base import Recorded, Table
from zoho_async.export.destinations.directory import line
from zoho_async.export.destinations.engine import Engine, quoted
from zoho_async.export.destinations.held import held, missing, remove_orphans
from zoho_async.export.errors import DestinationError


class DatabaseSink:
    """Where the rows of one resource's part go. Get one from a destination."""

    def __init__(self, engine: Engine, table: Table, part: str) -> None:
        shape = shape_of(table.fields, table.row_id)
        self.name: Final = f"{table.name.replace('.', '_')} in {engine.name}"
        self._engine: Final = engine
        self._reader: Final = ColumnReader(shape)
        self._layout: Final = Layout(short_name(table.name.replace(".", "_")), table.row_id, shape)
        self._part: Final = part
        self._resource: Final = table.name
        self._count = 0

    @property
    def _root(self) -> FlatTable:
        return self._layout.tables[0]

    @property
    def _identified(self) -> bool:
        return self._layout.id_column is not None

    def resume(self, mark: int) -> bool:
        """Make the tables ready. Raises `DestinationError` where they cannot be made so."""
        with self._engine.refusals(), self._engine.transaction():
            for table in self._layout.tables:
                self._prepare(table)
            if not self._identified:
                self._begin_part()
        return True

    def write(self, rows: Sequence[bytes]) -> int:
        if not rows:
            return 0
        with self._engine.refusals():
            lines = b"".join(map(line, rows))
            batch = self._reader.read(lines)
            if not self._identified:
                first, self._count = self._count + 1, self._count + len(rows)
                ids = [f"{self._part}/{number}" for number in range(first, self._count + 1)]
                self._append(self._layout.split(batch, ids))
                return 0
            ids = self._layout.ids(batch, lines)
            last = {one: place for place, one in enumerate(ids)}
            if len(last) < len(ids):  # the last of several rows with one id counts
                return self.write([rows[place] for place in sorted(last.values())])
            values = self._layout.split(batch, ids)
            if self._engine.holds_any(self._root, ids):
                self._replace(ids, values)
            else:
                self._append(values)
        return 0

    def bury(self, ids: Sequence[str], when: str) -> int:
        """Mark rows as deleted, kept as they were last; an id that was never here gets a row.

        ``when`` is a moment with its offset, in ISO form.
        """
        with self._engine.refusals():
            moment = datetime.fromisoformat(when).isoformat()
            names = [column.name for column in self._root.columns]
            key, deleted = names.index(self._root.key[0]), names.index(DELETED)
            stone = FlatTable(
                self._root.name,
                self._root.key,
                (self._root.columns[key], self._root.columns[deleted]),
            )
            unique = list(dict.fromkeys(ids))
            if unique:
                self._engine.merge(stone, [unique, [moment] * len(unique)])
        return 0

    def keep_as(self, part: str) -> None:
        """A table holds what it held, and what was met since, by id."""

    def settle(self) -> None:
        """Nothing: what was committed is in its final form."""

    def close(self) -> None:
        """Nothing: the destination holds the connection."""

    def held(self) -> dict[str, int]:
        with self._engine.refusals():
            return held(self._engine, self._layout)

    def missing(self, recorded: Recorded) -> str:
        with self._engine.refusals():
            found = missing(self._engine, self._layout, self._resource, recorded)
            if found:
                with self._engine.transaction():
                    remove_orphans(self._engine, self._layout)
            return found

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

    def _prepare(self, table: FlatTable) -> None:
        held = self._engine.columns(table.name)
        if not held:
            self._engine.create(table)
            return
        types = self._engine.types
        for column in table.columns:
            wanted = types[column.kind]
            if column.name not in held:
                self._engine.execute(
                    f"ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(column.name)} {wanted}"
                )
            elif held[column.name] != wanted:
                raise DestinationError(
                    self._engine.name,
                    f"its column {column.name} of table {table.name} is {held[column.name]}, and "
                    f"this version of zoho-async writes {wanted}",
                    "rename the table, so that it is made and filled anew with --restart",
                )

    def _begin_part(self) -> None:
        """Take out what this part brought before; rows of a resource without ids begin with it."""
        self._count = 0
        for table in self._layout.tables:
            self._engine.execute(
                f"DELETE FROM {quoted(table.name)} WHERE {quoted(table.key[0])} LIKE ?",
                [f"{self._part}/%" if self._part else "%"],
            )
