"""The operations of a database that holds exported rows, and helpers for SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import Column, ColumnKind
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Database


class Engine(Database, Protocol):
    """One open database, locked by one run. Values come by column (`columns.decode`)."""

    @property
    def name(self) -> str:
        """The name to show to people."""
        ...

    @property
    def types(self) -> Mapping[ColumnKind, str]:
        """The SQL type of each kind of column, spelled as in the result of `columns`."""
        ...

    def translate_errors(self) -> AbstractContextManager[None]:
        """Raise errors of the engine as `DestinationError` or `ExportRunning`."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """The columns of ``table`` and their types; empty if the table does not exist."""
        ...

    def is_view(self, name: str) -> bool:
        """Whether ``name`` is a view, which cannot take rows."""
        ...

    @property
    def numbers(self) -> NumberStorage:
        """How this database stores numbers."""
        ...

    def define(self, column: Column) -> str:
        """The definition of ``column`` for CREATE TABLE and ADD COLUMN."""
        ...

    def create(self, table: FlatTable) -> None:
        """Create ``table`` with its key."""
        ...

    def convert_to_text(self, table: str, column: Column) -> None:
        """Change the type of ``column`` of ``table`` to text, and convert its values."""
        ...

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        """Whether one of ``ids`` may be in ``table``. May return True to save a slow query."""
        ...

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Add rows whose keys are not in ``table``."""
        ...

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Add rows; each replaces the row with the same key."""
        ...

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        """Delete the rows of ``table`` whose first key column is in ``ids``."""
        ...

    def close(self) -> None:
        """Close the database and release its lock. Idempotent."""
        ...


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier. Raises `ValueError` if no database can store it."""
    if not name or "\0" in name or name.encode("utf-8", "ignore").decode() != name:
        raise ValueError(f"{name!r} cannot be the name of a table or column")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as an SQL string, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def quote_all(names: Sequence[str]) -> str:
    """The quoted names, separated by commas."""
    return ", ".join(map(quote, names))


def definitions(table: FlatTable, types: Mapping[ColumnKind, str]) -> str:
    """The column definitions of ``table`` for CREATE TABLE."""
    return ", ".join(f"{quote(column.name)} {types[column.kind]}" for column in table.columns)


def on_conflict(key: Sequence[str], columns: Sequence[str]) -> str:
    """The ON CONFLICT clause that replaces rows with the same key."""
    names = [quote(name) for name in columns if name not in key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names)
    return f"ON CONFLICT ({quote_all(key)}) DO " + (f"UPDATE SET {sets}" if sets else "NOTHING")
