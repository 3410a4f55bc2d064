"""Read a spool as the tables of a file format: one table, or one more per list of objects.

Without ``flatten``, a resource is one table, and lists of objects are JSON text in a column. With
it, each list of objects is a table with the keys ``_row_id`` and ``_position``, as in databases
(`zoho_async.export.columns.tables`). A resource without ids gets a number as ``_row_id``, from 1.

The child files of ``invoices.csv`` are called ``invoices__line_items.csv``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec.structs import replace

from zoho_async.export.columns.batch import reader_of
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import EXACT, EXTRA, Column, shape_of
from zoho_async.export.columns.tables import FlatTable, Layout
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import CHILD, portions


class SpoolTables(Protocol):
    """A resource as ``tables``, the main one first."""

    @property
    def tables(self) -> tuple[FlatTable, ...]:
        """The tables and their columns."""
        ...

    @property
    def roundings(self) -> Mapping[str, int]:
        """The number of rounded values that were read, by field."""
        ...

    def read(self, rows: Path) -> Iterator[list[list[Sequence[Any]]]]:
        """Read the spool ``rows``, a portion at a time: the columns of each table.

        Raises `ShapeGrew` if rows show new fields. Then begin again with new tables.
        """
        ...


def spool_tables(
    name: str,
    table: Table,
    *,
    flatten: bool = False,
    texts: bool = False,
    numbers: NumberStorage = "digits",
) -> SpoolTables:
    """Return the tables of the resource ``table``. ``name`` is that of the main one.

    If ``texts`` is true, lists of texts stay lists; otherwise they are JSON text. ``numbers`` is
    how the format stores numbers.
    """
    if flatten:
        return _Flat(name, table, texts=texts, numbers=numbers)
    return _Whole(name, table, numbers)


class _Whole:
    """A resource as one table."""

    def __init__(self, name: str, table: Table, numbers: NumberStorage) -> None:
        self.roundings: Final[Counter[str]] = Counter()
        shape = shape_of(table.fields, table.row_id, lists=False)
        self._reader: Final = reader_of(shape, table.observer, numbers)
        shape = self._reader.shape
        self.tables: Final = (
            FlatTable(name, (table.row_id,), (*shape.columns, Column(EXTRA, "json", ()))),
        )

    def read(self, rows: Path) -> Iterator[list[list[Sequence[Any]]]]:
        for _, batch in self._reader.read_all(portions(rows)):
            self.roundings.update(batch.rounded)
            yield [[*batch.values, batch.extra]]


class _Flat:
    """A resource and its lists of objects as separate tables."""

    def __init__(self, name: str, table: Table, *, texts: bool, numbers: NumberStorage) -> None:
        self.roundings: Final[Counter[str]] = Counter()
        shape = shape_of(table.fields, table.row_id, texts=texts)
        self._reader: Final = reader_of(shape, table.observer, numbers)
        self._layout: Final = Layout(name, table.row_id, self._reader.shape)
        #: The indexes of each table's columns. A column of digits needs no ``_exact``.
        self._columns: Final = [
            [n for n, one in enumerate(each.columns) if numbers != "digits" or one.name != EXACT]
            for each in self._layout.tables
        ]
        self.tables: Final = tuple(
            replace(each, columns=tuple(each.columns[n] for n in chosen))
            for each, chosen in zip(self._layout.tables, self._columns, strict=True)
        )

    def read(self, rows: Path) -> Iterator[list[list[Sequence[Any]]]]:
        number = 0
        for lines, batch in self._reader.read_all(portions(rows)):
            self.roundings.update(batch.rounded)
            if self._layout.id_column is None:
                ids: Sequence[str] = [str(number + n) for n in range(1, batch.size + 1)]
                number += batch.size
            else:
                ids = self._layout.ids(batch, lines)
            tables = zip(self._layout.split(batch, ids), self._columns, strict=True)
            yield [[columns[n] for n in chosen] for columns, chosen in tables]


def stem(path: Path) -> str:
    """``invoices`` for ``invoices.jsonl.part``."""
    return path.name.partition(".")[0]


def child_names(sources: Sequence[Path], suffix: str) -> list[str]:
    """The names of the child files of ``sources``, without the stem: ``__line_items.csv``."""
    return sorted(
        {
            child.name.removeprefix(stem(path))
            for path in sources
            for child in path.parent.glob(f"{stem(path)}{CHILD}*{suffix}")
        }
    )
