"""CSV by RFC 4180: CRLF, quotes where needed, a header, UTF-8 without a byte order mark.

Lists are JSON text in one column, and blanks are empty. With ``flatten`` each list of objects is a
separate file, ``invoices__line_items.csv`` (`zoho_async.export.destinations.formats.tables`). Child
files get their names before their parent does, so if the parent exists, its children do.

Values are unchanged: a text that begins with ``=`` stays as it is, and a spreadsheet may read it as
a formula. ``excel`` writes a byte order mark and changes values so that Excel shows them as they
are (`zoho_async.export.destinations.formats.excel_text`).

The module ``csv`` checks every character of every field, which costs more than everything else.
This module searches each column as one text, and checks single fields only if the column needs
quotes. The output is byte for byte that of ``csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import compress, islice
from pathlib import Path
from typing import Any, Final, TextIO

from zoho_async.export.columns.observed import until_steady
from zoho_async.export.columns.schema import DELETED, ROW, ColumnKind
from zoho_async.export.columns.tables import FlatTable, digest
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.formats.excel_text import excel_column, excel_text
from zoho_async.export.destinations.formats.tables import child_names, spool_tables, stem
from zoho_async.export.destinations.merge import (
    ROWS,
    NewestSources,
    newest_sources,
    unmergeable_column,
)
from zoho_async.files import sync_and_move

_WORDS: Final = {True: "true", False: "false", None: ""}


class Csv:
    """``.csv``."""

    suffix: str = ".csv"

    def __init__(self, *, flatten: bool = False, excel: bool = False) -> None:
        self.name: Final = "csv" + " --flatten" * flatten + " --excel" * excel
        self._flatten: Final = flatten
        self._excel: Final = excel
        self._encoding: Final = "utf-8-sig" if excel else "utf-8"

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Write ``rows`` to ``target``, and with ``flatten`` child tables next to it."""
        until_steady(lambda: self._write(rows, target, table))

    def _write(self, rows: Path, target: Path, table: Table) -> None:
        source = spool_tables(stem(rows), table, flatten=self._flatten)
        children = [target.with_name(f"{each.name}{self.suffix}.tmp") for each in source.tables[1:]]
        with ExitStack() as stack:
            files: list[TextIO] = []
            for path, each in zip((target, *children), source.tables, strict=True):
                path.unlink(missing_ok=True)  # it may be a symbolic link
                file = stack.enter_context(path.open("w", encoding=self._encoding, newline=""))
                csv.writer(file).writerow(self._header(each))
                files.append(file)
            for portion in source.read(rows):
                for opened, each, columns in zip(files, source.tables, portion, strict=True):
                    opened.write(self._lines(each, columns))
        for path in children:
            sync_and_move(path, path.with_suffix(""))

    def _header(self, table: FlatTable) -> list[str]:
        names = [column.name for column in table.columns]
        return [excel_text(name) for name in names] if self._excel else names

    def _lines(self, table: FlatTable, columns: Sequence[Sequence[Any]]) -> str:
        texts: list[list[str]] = []
        for column, cells in zip(table.columns, columns, strict=True):
            if self._excel:
                texts.append(fields("text", excel_column(column.kind, cells)))
            else:
                texts.append(fields(column.kind, cells))
        return "\r\n".join([*map(",".join, zip(*texts, strict=True)), ""])

    def merge(self, full: Path, parts: Sequence[Path], scratch: Path, table: Table) -> int:
        """Merge ``parts`` into ``full`` and return its number of rows (`NewestSources`).

        Child tables are merged first, each file separately. Changes stay until all are merged.
        """
        sources = [full, *parts]
        with _fields_of_any_length(), newest_sources(scratch) as last:
            for number, path in enumerate(parts, 1):
                names = self._names([path])
                if DELETED not in names:
                    raise unmergeable_column(path, DELETED)
                gone = names.index(DELETED)
                for rows in self._portions(path, names):
                    ids = _ids(rows, names, table.row_id, path)
                    last.add(number, ids, [bool(row[gone]) for row in rows])
            for child in child_names(sources, self.suffix) if self._flatten else ():
                own = [path.with_name(stem(path) + child) for path in sources]
                self._merge_one(own, ROW, last)
            return self._merge_one(sources, table.row_id, last)

    def _merge_one(self, sources: Sequence[Path], key: str, last: NewestSources) -> int:
        """Merge files of one table into the first and return its number of rows."""
        there = [(number, path) for number, path in enumerate(sources) if path.exists()]
        names = self._names([path for _, path in there])
        made = sources[0].with_name(sources[0].name + ".tmp")
        made.unlink(missing_ok=True)
        count = 0
        with made.open("w", encoding=self._encoding, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for number, path in there:
                for rows in self._portions(path, names):
                    ids = _ids(rows, names, key, path)
                    kept = list(compress(rows, last.select(number, ids)))
                    writer.writerows(kept)
                    count += len(kept)
        sync_and_move(made, sources[0])
        return count

    def _names(self, paths: Sequence[Path]) -> list[str]:
        """All columns of the files. A column that a file lacks is empty in its rows."""
        names: dict[str, None] = {}
        for path in paths:
            with path.open(encoding=self._encoding, newline="") as file:
                names |= dict.fromkeys(next(csv.reader(file, strict=True)))
        return list(names)

    def _portions(self, path: Path, names: list[str]) -> Iterator[list[list[str]]]:
        """The rows of a file in batches, with fields in the order of ``names``."""
        with path.open(encoding=self._encoding, newline="") as file:
            reader = csv.reader(file, strict=True)
            own = next(reader)
            places = [own.index(name) if name in own else None for name in names]
            while rows := list(islice(reader, ROWS)):
                if own != names:
                    rows = [["" if at is None else row[at] for at in places] for row in rows]
                yield rows


def fields(kind: ColumnKind, cells: Sequence[Any]) -> list[str]:
    """The cells of a column as CSV fields."""
    if kind == "boolean":
        return [_WORDS[cell] for cell in cells]
    if kind == "integer":
        return ["" if cell is None else str(cell) for cell in cells]
    texts = [cell or "" for cell in cells]
    if kind in ("text", "json") and _needs_quotes("".join(texts)):
        return [_quote(text) if _needs_quotes(text) else text for text in texts]
    return texts


def _needs_quotes(text: str) -> bool:
    return '"' in text or "," in text or "\n" in text or "\r" in text


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _ids(rows: list[list[str]], names: list[str], key: str, path: Path) -> list[str]:
    if key not in names:
        raise unmergeable_column(path, key)
    place = names.index(key)
    return [row[place] or digest("\0".join(row).encode()) for row in rows]


@contextmanager
def _fields_of_any_length() -> Generator[None]:
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
