"""What a database must be able to do to hold an export, beyond keeping its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from zoho_async.export.columns.schema import ColumnKind
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Database


class Engine(Database, Protocol):
    """One open database, held by one run. Values come by column, as `exact` makes them."""

    @property
    def name(self) -> str:
        """The place, for people."""
        ...

    @property
    def types(self) -> Mapping[ColumnKind, str]:
        """The type of a column by what it holds, as `columns` calls it."""
        ...

    def translate_errors(self) -> AbstractContextManager[None]:
        """Tells what the engine refuses within as `DestinationError`."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """The columns of ``table`` and their types; none where there is no such table."""
        ...

    def is_view(self, name: str) -> bool:
        """Whether ``name`` is a view, into which rows cannot be written."""
        ...

    def create(self, table: FlatTable) -> None:
        """Make ``table``, so that rows are found by its key."""
        ...

    def holds_any(self, table: FlatTable, ids: Sequence[str]) -> bool:
        """Whether one of ``ids`` is in ``table``; True also where that takes long to tell."""
        ...

    def append(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Add rows whose keys are not in ``table``."""
        ...

    def merge(self, table: FlatTable, values: Sequence[Sequence[Any]]) -> None:
        """Add rows, each in the place of the one with its key."""
        ...

    def delete(self, table: FlatTable, ids: Sequence[str]) -> None:
        """Take out the rows of ``table`` whose first key column is one of ``ids``."""
        ...


def quoted(name: str) -> str:
    """``name`` as an identifier of SQL. Raises `ValueError` for what no database holds."""
    if not name or "\0" in name or name.encode("utf-8", "ignore").decode() != name:
        raise ValueError(f"{name!r} cannot be the name of a table or column")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as a text of SQL, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def listed(names: Sequence[str]) -> str:
    """Names, quoted, between commas."""
    return ", ".join(map(quoted, names))


def definitions(table: FlatTable, types: Mapping[ColumnKind, str]) -> str:
    """The columns of ``table`` with their types, as CREATE TABLE wants them."""
    return ", ".join(f"{quoted(column.name)} {types[column.kind]}" for column in table.columns)


def replacing(key: Sequence[str], columns: Sequence[str]) -> str:
    """What follows an INSERT that takes the place of rows with the same key."""
    names = [quoted(name) for name in columns if name not in key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names)
    return f"ON CONFLICT ({listed(key)}) DO " + (f"UPDATE SET {sets}" if sets else "NOTHING")
