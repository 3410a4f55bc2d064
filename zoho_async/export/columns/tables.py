"""Split a resource into flat tables: its rows, and a child table per list of objects.

The key of a child row is ``_row_id``, the id of the row that contains it, and ``_position``, its
position in the list, from 1. A list inside a list also has the positions of the outer lists,
outermost first: ``_position_1``, ``_position_2``. Join a child of a child by ``_row_id`` and equal
positions. A child table is named after its parent: ``invoices__line_items``.

A row with a blank id gets a digest of its content as id, ``#`` and 32 hexadecimal digits. If the
resource has no ids, the caller supplies ``_row_id``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from zoho_async.export.columns.batch import RowBatch
from zoho_async.export.columns.schema import (
    EXACT,
    EXTRA,
    POSITION,
    ROW,
    Column,
    ColumnKind,
    ColumnShape,
    Nested,
    short_name,
)


class FlatTable(msgspec.Struct, frozen=True):
    """A table: key columns, the columns of its rows, ``_exact`` and ``_extra``."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


class Layout:
    """The flat tables of a resource. The first of ``tables`` is the main table."""

    def __init__(self, name: str, row_id: str, shape: ColumnShape) -> None:
        places = [n for n, column in enumerate(shape.columns) if column.path == (row_id,)]
        #: The index of the column with the row's id; None if rows have no id.
        self.id_column: Final = places[0] if places else None
        key = shape.columns[places[0]].name if places else ROW
        own = () if places else (_column(ROW, "text"),)
        root = FlatTable(name, (key,), (*own, *shape.columns, *_REST))
        self.tables: Final = (root, *_children(name, shape.lists, 1))

    def split(self, batch: RowBatch, ids: Sequence[str]) -> list[list[Sequence[Any]]]:
        """The columns of ``batch`` for each table. ``ids`` are the ids of its rows."""
        if self.id_column is None:
            root: list[Sequence[Any]] = [ids, *batch.values, batch.exact, batch.extra]
        else:
            root = [*batch.values, batch.exact, batch.extra]
            root[self.id_column] = ids
        return [root, *_child_columns(batch, [ids])]

    def ids(self, batch: RowBatch, lines: bytes) -> list[str]:
        """The ids of ``lines``, from which ``batch`` was read. The resource must have ids."""
        assert self.id_column is not None, "rows of this resource have no ids"
        found = batch.values[self.id_column]
        if all(found):
            return found
        rows = lines.split(b"\n")[: batch.size]
        return [one or digest(row) for one, row in zip(found, rows, strict=True)]


def digest(row: bytes) -> str:
    """The replacement id of a row without an id."""
    return "#" + hashlib.blake2b(row, digest_size=16).hexdigest()


def _column(name: str, kind: ColumnKind) -> Column:
    return Column(name, kind, ())


_REST: Final = (_column(EXACT, "json"), _column(EXTRA, "json"))


def _key_names(depth: int) -> tuple[str, ...]:
    return (ROW, *(f"{POSITION}_{level}" for level in range(1, depth)), POSITION)


def _children(parent: str, lists: Sequence[Nested], depth: int) -> Iterator[FlatTable]:
    key = _key_names(depth)
    columns = (_column(ROW, "text"), *(_column(name, "integer") for name in key[1:]))
    for nested in lists:
        name = short_name(f"{parent}__{nested.name}")
        own = (*columns, *nested.shape.columns, *_REST)
        yield FlatTable(name, key, own)
        yield from _children(name, nested.shape.lists, depth + 1)


def _child_columns(batch: RowBatch, keys: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    for elements in batch.lists:
        counts = [count or 0 for count in elements.counts]
        above = [
            [value for value, count in zip(column, counts, strict=True) for _ in range(count)]
            for column in keys
        ]
        places = [place for count in counts for place in range(1, count + 1)]
        inside = elements.batch
        yield [*above, places, *inside.values, inside.exact, inside.extra]
        yield from _child_columns(inside, [*above, places])
