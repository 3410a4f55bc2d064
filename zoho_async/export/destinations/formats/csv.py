"""CSV by RFC 4180: CRLF, quotes where needed, a header, UTF-8 without a byte order mark.

Lists are JSON text in one column, and blanks are empty. Values are unchanged: a text that begins
with ``=`` stays as it is, and a spreadsheet may read it as a formula. Import the columns as text.

The module ``csv`` checks every character of every field, which costs more than everything else.
This module searches each column as one text, and checks single fields only if the column needs
quotes. The output is byte for byte that of ``csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress, islice
from pathlib import Path
from typing import Any, Final

from zoho_async.export.columns.batch import reader_of
from zoho_async.export.columns.observed import until_steady
from zoho_async.export.columns.schema import DELETED, EXTRA, ColumnKind, shape_of
from zoho_async.export.columns.tables import digest
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import portions, rename_durably
from zoho_async.export.destinations.merge import ROWS, newest_sources, unmergeable_column

_WORDS: Final = {True: "true", False: "false", None: ""}


class Csv:
    """``.csv``."""

    name: str = "csv"
    suffix: str = ".csv"

    def write(self, rows: Path, target: Path, table: Table) -> None:
        """Write ``rows`` to ``target``."""
        until_steady(lambda: self._write(rows, target, table))

    def _write(self, rows: Path, target: Path, table: Table) -> None:
        reader = reader_of(shape_of(table.fields, table.row_id, lists=False), table.observer)
        shape = reader.shape
        kinds: list[ColumnKind] = [*(column.kind for column in shape.columns), "json"]
        with target.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([*(column.name for column in shape.columns), EXTRA])
            for _, batch in reader.read_all(portions(rows)):
                columns = map(fields, kinds, [*batch.values, batch.extra])
                file.write("\r\n".join([*map(",".join, zip(*columns, strict=True)), ""]))

    def merge(self, full: Path, parts: Sequence[Path], scratch: Path, table: Table) -> int:
        """Merge ``parts`` into ``full`` and return its number of rows (`NewestSources`)."""
        sources = [full, *parts]
        with _fields_of_any_length(), newest_sources(scratch) as last:
            names = list(dict.fromkeys(name for path in sources for name in _header(path)))
            for number, path in enumerate(parts, 1):
                for rows in _portions(path, names):
                    gone = names.index(DELETED)
                    last.add(number, _ids(rows, names, table), [bool(row[gone]) for row in rows])
            made = full.with_name(full.name + ".tmp")
            count = 0
            with made.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                for number, path in enumerate(sources):
                    for rows in _portions(path, names):
                        kept = list(compress(rows, last.select(number, _ids(rows, names, table))))
                        writer.writerows(kept)
                        count += len(kept)
        rename_durably(made, full)
        return count


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


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file, strict=True))


def _portions(path: Path, names: list[str]) -> Iterator[list[list[str]]]:
    """The rows of a file in batches, with fields in the order of ``names``."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, strict=True)
        own = next(reader)
        if DELETED not in own:
            raise unmergeable_column(path, DELETED)
        places = [own.index(name) if name in own else None for name in names]
        while rows := list(islice(reader, ROWS)):
            if own != names:
                rows = [["" if place is None else row[place] for place in places] for row in rows]
            yield rows


def _ids(rows: list[list[str]], names: list[str], table: Table) -> list[str]:
    if table.row_id not in names:
        raise unmergeable_column(Path(table.name), table.row_id)
    place = names.index(table.row_id)
    return [row[place] or digest("\0".join(row).encode()) for row in rows]


@contextmanager
def _fields_of_any_length() -> Generator[None]:
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
