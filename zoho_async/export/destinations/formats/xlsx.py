"""Excel workbooks: a sheet per list, written by XlsxWriter in bounded memory.

Model
-----
The first row of a sheet has the names of the columns; it is frozen and has filters. With
``flatten`` each list of objects is a sheet, ``invoices__line_items``, as in databases. Without it,
such lists are JSON text in a cell. XlsxWriter writes each row to a temporary file and keeps one in
memory.

Values
------
- A text, an id too, is a text cell. No cell is a formula or a link, whatever the text is.
- A number is a number, computed by Excel as a double of 15 digits. If it has more, its row has the
  exact number in ``_exact``: ``{"total": "12345678901234567.89"}``. A number that is too large for
  Excel is only there.
- A date is a date from March 1900 on, and text before. (Excel has a February 29 in 1900.) A time is
  in UTC, because Excel has no time zones.
- A text of more than 32,767 characters does not fit in a cell. The cell has its beginning, and the
  sheet ``_long_texts`` has all of it in parts, with the sheet, the row, the id and the column.
- A control character is ``_x0001_`` in the file, which Excel shows as that character.

Limits
------
A sheet has 1,048,576 rows. A longer list continues in the sheet ``invoices (2)``. The name of a
sheet has at most 31 characters, and a longer one is cut: ``recurring_invoices__line_i (2)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from zoho_async.export.columns.observed import ShapeGrew, until_steady
from zoho_async.export.columns.schema import EXACT, Column, ColumnKind
from zoho_async.export.columns.tables import FlatTable
from zoho_async.export.destinations.base import Rounded
from zoho_async.export.destinations.directory import CHILD
from zoho_async.export.destinations.formats.excel_text import (
    DIGITS,
    LONGEST_TEXT,
    NUMBERS,
    first_units,
    significant_digits,
    utc_time,
    utf16_length,
)
from zoho_async.export.destinations.formats.tables import SpoolTables, spool_tables
from zoho_async.export.destinations.single_file import CompleteList
from zoho_async.export.errors import DestinationError, library

#: Excel's limits on a sheet, and on its name.
MOST_ROWS: Final = 1_048_576
_MOST_COLUMNS: Final = 16_384
_LONGEST_NAME: Final = 31
_LARGEST_NUMBER: Final = 9.99e307
_NOT_IN_NAMES: Final = re.compile(r"[\[\]:*?/\\\x00-\x1f]|^'|'$")


LONG_TEXTS: Final = "_long_texts"
_CONTINUED: Final = f"... (whole text in {LONG_TEXTS})"
_LONG_TEXT_COLUMNS: Final = ("sheet", "row", "id", "column", "part", "text")

_DAY_ZERO: Final = date(1899, 12, 30)
_TIME_ZERO: Final = datetime(1899, 12, 30)
_FIRST_DAY: Final = "1900-03-01"
_DAY: Final = 86_400
#: The time that every workbook says it was made, so that equal rows give equal files.
_MADE: Final = datetime(2000, 1, 1)

#: A value for XlsxWriter. Days and moments are numbers.
Cell: TypeAlias = str | float | bool | None

_WIDTHS: Final[dict[ColumnKind, int]] = {
    "date": 11,
    "time": 19,
    "text": 20,
    "decimal": 12,
    "exchange_rate": 12,
}
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Xlsx:
    """``.xlsx``. Raises `MissingExtra` if ``xlsxwriter`` is not installed."""

    most_lists: int | None = None

    def __init__(self, *, flatten: bool = False) -> None:
        self._library: Final[Any] = library("xlsxwriter", "xlsx", "writing .xlsx")
        self._flatten: Final = flatten
        self.name: Final = "xlsx --flatten" if flatten else "xlsx"

    def write(self, lists: Sequence[CompleteList], target: Path) -> Rounded:
        """Write a workbook of ``lists``. Temporary files are next to ``target``.

        Return how many numbers have more digits than their cells hold.
        """
        try:
            return self._write(lists, target)
        except ShapeGrew:  # learn all lists first, or each one repeats those before it
            for one in lists:
                until_steady(partial(self._learn, one))
            return self._write(lists, target)

    def _write(self, lists: Sequence[CompleteList], target: Path) -> Rounded:
        options = {"constant_memory": True, "tmpdir": str(target.parent)}
        book = self._library.Workbook(str(target), options)
        book.use_zip64()
        book.set_properties({"created": _MADE})
        sheets = _Sheets(book)
        try:
            rounded = {one.table.name: self._write_list(one, sheets) for one in lists}
            sheets.finish()
            book.close()
            return rounded
        except self._library.exceptions.FileCreateError as problem:
            raise problem.args[0] from None
        finally:
            for sheet in book.worksheets():  # open still if the workbook was not completed
                sheet.row_data_fh.close()

    def _source(self, one: CompleteList) -> SpoolTables:
        name = one.table.name.removeprefix("books.")
        return spool_tables(name, one.table, flatten=self._flatten)

    def _learn(self, one: CompleteList) -> None:
        for _ in self._source(one).read(one.rows):
            pass

    def _write_list(self, one: CompleteList, sheets: _Sheets) -> Mapping[str, int]:
        source = self._source(one)
        writers = [_TableWriter(sheets, table) for table in source.tables]
        for portion in source.read(one.rows):
            for writer, columns in zip(writers, portion, strict=True):
                writer.add(columns)
        return sum((writer.rounded for writer in writers), Counter[str]())


class _Sheets:
    """The sheets of a workbook, and its formats."""

    def __init__(self, book: Any) -> None:
        self._class: Final = _plain_worksheet()
        self._book: Final = book
        self._names: Final = {"history", LONG_TEXTS}  # Excel keeps the first for itself
        self._header: Final = book.add_format({"bold": True})
        self._long_texts: Any = None
        self._long_text_row = 0
        self.formats: Final[dict[ColumnKind, Any]] = {
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        }

    def add(self, wanted: str) -> Any:
        """Add a sheet that is called ``wanted``, or much like it."""
        name = sheet_name(wanted, self._names)
        self._names.add(name.casefold())
        return self._book.add_worksheet(name, self._class)

    def begin(self, sheet: Any, names: Sequence[str], widths: Sequence[int]) -> None:
        """Write the header of ``sheet``."""
        for place, (name, width) in enumerate(zip(names, widths, strict=True)):
            sheet.write_string(0, place, first_units(name, LONGEST_TEXT), self._header)
            sheet.set_column(place, place, max(width, min(len(name) + 4, 40)))
        sheet.freeze_panes(1, 0)
        sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MOST_ROWS}"})

    def keep_long_text(self, sheet: str, row: int, key: str, column: str, text: str) -> str:
        """Write a long text to its own sheet and return what its cell shows."""
        if self._long_texts is None:
            self._long_texts = self._book.add_worksheet(LONG_TEXTS, self._class)
            self.begin(self._long_texts, _LONG_TEXT_COLUMNS, (20, 8, 20, 20, 6, 80))
        start = 0
        part = 0
        while start < len(text):
            piece = first_units(text[start : start + LONGEST_TEXT], LONGEST_TEXT)
            start, part = start + len(piece), part + 1
            self._long_text_row += 1
            if self._long_text_row >= MOST_ROWS:
                raise DestinationError(LONG_TEXTS, "the workbook has too many long texts", _ADVICE)
            cells: tuple[Cell, ...] = (sheet, row + 1, key[:200], column, part, piece)
            for place, cell in enumerate(cells):
                _put(self._long_texts, self._long_text_row, place, cell, None)
        return first_units(text, LONGEST_TEXT - len(_CONTINUED)) + _CONTINUED

    def finish(self) -> None:
        """Complete the workbook. One without lists has an empty sheet."""
        if self._long_texts is not None:
            last = len(_LONG_TEXT_COLUMNS) - 1
            self._long_texts.autofilter(0, 0, self._long_text_row, last)


def _plain_worksheet() -> Any:
    """A class of sheets whose texts are never markup.

    XlsxWriter takes a text such as ``<r>...</r>`` for the markup of a rich text.
    """
    base: Any = library("xlsxwriter.worksheet", "xlsx", "writing .xlsx").Worksheet

    def write_plain(self: Any, text: str, attributes: Any) -> None:
        self._xml_inline_string(text, True, attributes)

    return type("PlainWorksheet", (base,), {"_xml_rich_inline_string": write_plain})


_ADVICE: Final = "leave out lists, or export to a directory or a database"


class _TableWriter:
    """Writes one table to its sheet, and to further ones if it is long."""

    def __init__(self, sheets: _Sheets, table: FlatTable) -> None:
        self._sheets: Final = sheets
        self._table: Final = table
        self._columns: Final = (*table.columns, Column(EXACT, "json", ()))
        if len(self._columns) > _MOST_COLUMNS:
            cause = (
                f"{table.name} has {len(self._columns):,} columns, and a sheet {_MOST_COLUMNS:,}"
            )
            raise DestinationError(table.name, cause, _ADVICE)
        keys = [n for n, column in enumerate(table.columns) if column.name in table.key[:1]]
        self._key: Final = keys[0] if keys else None
        #: Numbers with more digits than a cell holds, by column (``line_items.rate``).
        self.rounded: Final[Counter[str]] = Counter()
        self._row = 0
        self._sheet = self._begin()
        self._set_filters()

    def _begin(self) -> Any:
        sheet = self._sheets.add(self._table.name)
        names = [column.name for column in self._columns]
        widths = [_WIDTHS.get(column.kind, 9) for column in self._columns]
        self._sheets.begin(sheet, names, widths)
        return sheet

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Write rows, which come as columns."""
        exact: dict[int, dict[str, str]] = {}
        cells = [
            _cells(column, values, exact)
            for column, values in zip(self._table.columns, columns, strict=True)
        ]
        size = len(cells[0])
        self.rounded.update(self._field(name) for names in exact.values() for name in names)
        cells.append(
            [_ENCODER.encode(exact[n]).decode() if n in exact else None for n in range(size)]
        )
        formats = [self._sheets.formats.get(column.kind) for column in self._columns]
        for row in zip(*cells, strict=True):
            if self._row + 1 >= MOST_ROWS:
                self._set_filters()
                self._sheet, self._row = self._begin(), 0
            self._row += 1
            for place, (cell, form) in enumerate(zip(row, formats, strict=True)):
                if cell is not None:
                    self._put(row, place, cell, form)
        self._set_filters()

    def _field(self, column: str) -> str:
        _, _, child = self._table.name.partition(CHILD)
        return ".".join([*child.split(CHILD), column] if child else [column])

    def _set_filters(self) -> None:
        self._sheet.autofilter(0, 0, self._row, len(self._columns) - 1)

    def _put(self, row: Sequence[Cell], place: int, cell: Cell, form: Any) -> None:
        if isinstance(cell, str) and utf16_length(cell) > LONGEST_TEXT:
            key = "" if self._key is None else str(row[self._key] or "")
            cell = self._sheets.keep_long_text(
                self._sheet.get_name(), self._row, key, self._columns[place].name, cell
            )
        _put(self._sheet, self._row, place, cell, form)


def _put(sheet: Any, row: int, place: int, cell: Cell, form: Any) -> None:
    """Write a cell. The method says its type, so that no text is taken for something else."""
    if isinstance(cell, str):
        sheet.write_string(row, place, cell)
    elif isinstance(cell, bool):
        sheet.write_boolean(row, place, cell)
    elif cell is not None:
        sheet.write_number(row, place, cell, form)


def _cells(column: Column, values: Sequence[Any], exact: dict[int, dict[str, str]]) -> list[Cell]:
    """The cells of a column. ``exact`` gets the numbers that a cell does not hold, by row."""
    if column.kind in NUMBERS:
        for place, value in enumerate(values):
            if value is not None and significant_digits(str(value)) > DIGITS:
                exact.setdefault(place, {})[column.name] = str(value)
        return [None if value is None else _number(value) for value in values]
    if column.kind == "date":
        return [None if value is None else _day(value) for value in values]
    if column.kind == "time":
        return [None if value is None else _moment(value) for value in values]
    return list(values)


def _number(value: str | int) -> Cell:
    number = float(value)
    return number if abs(number) < _LARGEST_NUMBER else None


def _day(text: str) -> Cell:
    return float((date.fromisoformat(text) - _DAY_ZERO).days) if text >= _FIRST_DAY else text


def _moment(text: str) -> Cell:
    moment = utc_time(text).replace(tzinfo=None)
    if moment.isoformat() < _FIRST_DAY:
        return text
    return (moment - _TIME_ZERO).total_seconds() / _DAY


def sheet_name(wanted: str, taken: set[str]) -> str:
    """A valid name of a sheet like ``wanted``. ``taken`` are names in use, case-folded."""
    clean = _NOT_IN_NAMES.sub("_", wanted)
    number, end = 1, ""
    while True:
        start = first_units(clean, _LONGEST_NAME - len(end))
        name = start + end
        if name.casefold() not in taken:
            return name
        number += 1
        end = f" ({number})"
