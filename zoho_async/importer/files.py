"""Read the rows of a file: CSV, XLSX, JSON Lines or Parquet.

A row is named by its number: that of the spreadsheet's row for CSV and XLSX (the header is row 1),
else its place in the file from 1 on. Values are data: no formula is calculated and no text is
taken for a name of a file. Numbers are exact: JSON's become `Decimal`, those of a spreadsheet the
shortest number with the same double.

All rows are kept in memory.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.wire.encode import encode
from zoho_async.wire.text import Unreadable, is_array, is_object, untyped

#: Columns of an errors file. They are no data.
ERROR_COLUMNS: Final = ("import_row", "import_column", "import_problem")
#: Text that a spreadsheet would take for a formula. An errors file has a quote in front of it.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_DELIMITERS: Final = (",", ";", "\t")
#: A first line for Excel, which names the delimiter.
_DELIMITER_LINE: Final = re.compile("sep=([,;\t|])", re.IGNORECASE)


class SourceRow(msgspec.Struct, frozen=True):
    """A row with its number. ``problem`` says why it could not be read, "" if it could."""

    number: int
    cells: Mapping[str, Any]
    problem: str = ""


class ImportSource(msgspec.Struct, frozen=True):
    """The rows of a file or a program, with the digest of the whole."""

    name: str
    digest: str
    columns: tuple[str, ...]
    rows: tuple[SourceRow, ...]


def read_file(path: str | os.PathLike[str], sheet: str | None = None) -> ImportSource:
    """Read the rows of ``path``, whose ending says its format. Blocks.

    ``sheet`` names the sheet of a workbook that has several. Raises `ConfigurationError`.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"cannot read {file}: {problem.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    ending = file.suffix.lower()
    if sheet is not None and ending != ".xlsx":
        raise ConfigurationError("--sheet is for .xlsx files only")
    if ending in (".csv", ".tsv"):
        columns, rows = _csv(file, content)
    elif ending in (".jsonl", ".ndjson"):
        columns, rows = _json_lines(content)
    elif ending == ".xlsx":
        columns, rows = _xlsx(file, content, sheet)
        digest = hashlib.sha256(f"{digest} {sheet or ''}".encode()).hexdigest()
    elif ending == ".parquet":
        columns, rows = _parquet(file, content)
    else:
        raise ConfigurationError(
            f"the ending of {file.name} must be .csv, .tsv, .xlsx, .jsonl or .parquet"
        )
    if any(name in columns for name in ERROR_COLUMNS):
        columns = [name for name in columns if name not in ERROR_COLUMNS]
        rows = [_without_errors(row) for row in rows]
    return ImportSource(file.name, digest, tuple(columns), tuple(rows))


def source_of(rows: Iterable[Mapping[str, Any]], name: str = "rows") -> ImportSource:
    """Return the rows of a program. Rows count from 1. Raises `TypeError` for floats."""
    found = [SourceRow(number, dict(row)) for number, row in enumerate(rows, 1)]
    digest = hashlib.sha256(encode([row.cells for row in found])).hexdigest()
    return ImportSource(name, digest, tuple(_names(row.cells for row in found)), tuple(found))


def quoted(cell: str) -> str:
    """Return ``cell`` for a CSV file that may be opened in a spreadsheet: no text is a formula."""
    if cell.startswith(_FORMULA_STARTS) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _without_errors(row: SourceRow) -> SourceRow:
    """A row of an errors file: its own cells, as they were before `quoted`."""
    cells = {
        name: value[1:]
        if isinstance(value, str) and value[:1] == "'" and value[1:].startswith(_FORMULA_STARTS)
        else value
        for name, value in row.cells.items()
        if name not in ERROR_COLUMNS
    }
    return msgspec.structs.replace(row, cells=cells)


def _is_number(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdecimal()


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all columns, in the order in which they appear."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return list(names)


# -- formats --------------------------------------------------------------------------------------


def _csv(file: Path, content: bytes) -> tuple[list[str], list[SourceRow]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ConfigurationError(
            f"{file.name} is not UTF-8 (byte {problem.start:,}): save it as UTF-8, in Excel as "
            "`CSV UTF-8`"
        ) from None
    head, _, rest = text.partition("\n")
    if (found := _DELIMITER_LINE.fullmatch(head.rstrip("\r"))) is not None:
        text = rest  # Excel reads this line and does not show it, so it is no row
        delimiter = found[1]
    else:
        delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = list(reader)
    except csv.Error as problem:
        raise ConfigurationError(f"{file.name}, line {reader.line_num}: {problem}") from None
    return _table(file, lines)


def _table(file: Path, lines: Sequence[Sequence[Any]]) -> tuple[list[str], list[SourceRow]]:
    """The rows of a table whose first line has the names of the columns."""
    if not lines or not any(str(cell or "").strip() for cell in lines[0]):
        raise ConfigurationError(f"{file.name} has no header: its first row must name the columns")
    names = ["" if cell is None else str(cell).strip() for cell in lines[0]]
    while names and not names[-1]:
        names.pop()
    used = {place for line in lines for place, cell in enumerate(line) if not _is_blank(cell)}
    if not used.issuperset(range(len(names))):  # columns that only keep a distance
        kept = [place for place, name in enumerate(names) if name or place in used]
        more = range(len(names), max(used) + 1)
        lines = [[line[at] for at in (*kept, *more) if at < len(line)] for line in lines]
        names = [names[at] for at in kept]
    for place, name in enumerate(names, 1):
        if not name:
            raise ConfigurationError(f"{file.name}: column {place} has no name in row 1")
        if names.count(name) > 1:
            raise ConfigurationError(f"{file.name}: two columns are called {name!r}")
    rows: list[SourceRow] = []
    for number, line in enumerate(lines[1:], 2):
        cells = list(line)
        if all(_is_blank(cell) for cell in cells):
            continue  # an empty line, as spreadsheets leave at the end
        extra = [cell for cell in cells[len(names) :] if not _is_blank(cell)]
        problem = f"has {len(cells)} cells, but the header has {len(names)}" if extra else ""
        cells += [None] * (len(names) - len(cells))
        rows.append(SourceRow(number, dict(zip(names, cells, strict=False)), problem))
    return names, rows


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _json_lines(content: bytes) -> tuple[list[str], list[SourceRow]]:
    rows: list[SourceRow] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = untyped(line)
        except Unreadable as problem:
            rows.append(SourceRow(number, {}, f"is not JSON: {problem}"))
            continue
        if is_object(value):
            rows.append(SourceRow(number, value))
        else:
            rows.append(SourceRow(number, {}, "is not a JSON object"))
    return _names(row.cells for row in rows), rows


def _xlsx(file: Path, content: bytes, sheet: str | None) -> tuple[list[str], list[SourceRow]]:
    try:
        import openpyxl
    except ImportError:
        raise ConfigurationError(
            "reading .xlsx needs openpyxl: pip install 'zoho-async[xlsx]'"
        ) from None
    try:
        # Once with formulas and once with the values that the spreadsheet last showed.
        books = [
            openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=values)
            for values in (False, True)
        ]
    except Exception as problem:  # openpyxl raises many kinds for a damaged file
        raise ConfigurationError(f"{file.name} is not a workbook: {problem}") from None
    names: list[str] = books[0].sheetnames
    if sheet is None and len(names) > 1:
        raise ConfigurationError(
            f"{file.name} has several sheets: name one with --sheet ({', '.join(names)})"
        )
    if sheet is not None and sheet not in names:
        raise ConfigurationError(f"{file.name} has no sheet {sheet!r}; it has {', '.join(names)}")
    chosen = sheet or names[0]
    lines = [
        [_cell(formula, value) for formula, value in zip(*both, strict=True)]
        for both in zip(books[0][chosen].iter_rows(), books[1][chosen].iter_rows(), strict=True)
    ]
    return _table(file, lines)


class Formula(msgspec.Struct, frozen=True):
    """A cell with a formula whose value the file does not have."""


def _cell(formula: Any, shown: Any) -> Any:
    value = shown.value
    if formula.data_type == "f" and value is None:
        return Formula()
    if isinstance(value, int | float) and "%" in (shown.number_format or ""):
        # The cell shows 19% and holds 0.19, which would be sent as a fifth of a percent.
        return f"{(Decimal(repr(value)) * 100).normalize():f}%"
    return Decimal(repr(value)) if isinstance(value, float) else value


def _parquet(file: Path, content: bytes) -> tuple[list[str], list[SourceRow]]:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "reading .parquet needs pyarrow: pip install 'zoho-async[parquet]'"
        ) from None
    try:
        table: Any = parquet.read_table(arrow.BufferReader(content))
    except Exception as problem:  # pyarrow raises many kinds for a damaged file
        raise ConfigurationError(f"{file.name} is not a Parquet file: {problem}") from None
    names: list[str] = table.column_names
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{file.name}: two columns have the same name")
    return names, list(_arrow_rows(table.to_pylist()))


def _arrow_rows(rows: Iterable[dict[str, Any]]) -> Iterator[SourceRow]:
    for number, row in enumerate(rows, 1):
        yield SourceRow(number, {name: _exact(value) for name, value in row.items()})


def _exact(value: Any) -> Any:
    """``value`` without floats: each becomes the shortest number with the same double."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if is_array(value):
        return [_exact(each) for each in value]
    if is_object(value):
        return {name: _exact(each) for name, each in value.items()}
    return value
