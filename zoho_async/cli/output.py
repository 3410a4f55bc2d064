"""Prints Zoho's data: tables in a terminal, JSON in a pipe, CSV. Formats counts and durations."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.cli.safe import safe
from zoho_async.errors import ConfigurationError
from zoho_async.wire import encode

Form: TypeAlias = Literal["table", "csv", "json", "jsonl"]

#: The fields that come first, in this order. Others follow in Zoho's order.
_COMMON: Final = (
    *("name", "number", "date", "status", "total", "balance", "amount", "rate"),
    *("customer_name", "vendor_name", "due_date", "currency_code", "email"),
)
#: The fields that come first in tables of these resources, by the name of the id.
_FIRST: Final = {
    "contact_id": ("contact_name", "email", "outstanding_receivable_amount", "status"),
    "item_id": ("name", "rate", "sku", "status"),
}
#: The most characters of a column, and the space between two columns.
_MAX_WIDTH: Final = 24
_GAP: Final = 2
#: The most fields to name if none is similar.
_SUGGESTED: Final = 8
#: The fewest columns; they are cut to fit.
_MIN_COLUMNS: Final = 3


def form_for(form: Form | None) -> Form:
    """``form``, or by default a table in a terminal and JSON Lines in a pipe."""
    return form or ("table" if sys.stdout.isatty() else "jsonl")


def as_text(value: object) -> str:
    """``value`` as JSON, numbers exact: indented in a terminal, on one line in a pipe."""
    encoded = encode(value)
    return (msgspec.json.format(encoded, indent=2) if sys.stdout.isatty() else encoded).decode()


def columns_of(rows: Sequence[dict[str, Any]], row_id: str, width: int) -> list[str]:
    """The default columns of a table: the id, then the most useful fields that have values.

    ``width`` is that of the terminal in characters. It limits the number of columns.
    """
    fields = dict.fromkeys(name for row in rows for name in row)
    useful = [
        name for name in fields if name != row_id and any(_is_useful(row, name) for row in rows)
    ]
    stem = row_id.removesuffix("id")
    first = _FIRST.get(row_id, ())
    useful.sort(key=lambda name: _rank(name, stem, first))
    ordered = [row_id, *useful] if row_id else useful
    ends = itertools.accumulate(_GAP + _column_width(rows, name) for name in ordered)
    fitting = sum(end - _GAP <= width for end in ends)
    return ordered[: max(_MIN_COLUMNS, fitting)]


def _column_width(rows: Sequence[dict[str, Any]], name: str) -> int:
    """The width of a column in characters."""
    return min(_MAX_WIDTH, max(len(safe(name)), *(len(safe(_cell(row.get(name)))) for row in rows)))


def _is_useful(row: dict[str, Any], name: str) -> bool:
    if name == "id" or name.endswith(("_id", "_formatted", "_unformatted")):
        return False
    value = row.get(name)
    return value not in ("", None) and not isinstance(value, dict | list | bool)


def _rank(name: str, stem: str, first: Sequence[str]) -> int:
    """The rank of a field; the record's own number and name come first."""
    if name in first:
        return first.index(name) - len(first) - 1
    if name in (f"{stem}number", f"{stem}name"):
        return -1
    return _COMMON.index(name) if name in _COMMON else len(_COMMON)


def check_columns(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a column that no row has, with similar names."""
    fields = dict.fromkeys(name for row in rows for name in row)
    for column in columns:
        if column not in fields:
            similar = difflib.get_close_matches(column, fields) or sorted(fields)[:_SUGGESTED]
            raise ConfigurationError(
                f"no row has the column {column!r}; did you mean {', '.join(similar)}?"
            )


def print_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """``rows`` as CSV with a header; nested values are JSON."""
    fields = columns or tuple(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(fields)
    lines.writerows([_cell(row.get(name), join=False) for name in fields] for row in rows)
    write_bytes = writer()
    write_bytes(text.getvalue().encode())
    sys.stdout.flush()


def writer() -> Callable[[bytes], object]:
    """The function that writes bytes to stdout: unchanged to a pipe, made safe for a terminal."""
    if not sys.stdout.isatty():
        return sys.stdout.buffer.write

    def write(piece: bytes) -> None:
        text = piece.decode(errors="surrogateescape")
        sys.stdout.write(safe(text, lines=True, encoding=sys.stdout.encoding))

    return write


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """``rows`` as a table as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()

    def text_of(value: str) -> Text:
        return Text(safe(value, encoding=console.encoding))

    table = Table(box=None, pad_edge=False)
    for name in columns:
        numbers = any(not isinstance(row.get(name, ""), str) for row in rows)
        table.add_column(
            text_of(name),
            justify="right" if numbers else "left",
            overflow="ellipsis",
            no_wrap=True,
            max_width=_MAX_WIDTH,
            min_width=_column_width(rows, name)
            if name == columns[0]
            else None,  # an id is only useful whole
        )
    for row in rows:
        table.add_row(*(text_of(_cell(row.get(name))) for name in columns))
    with console.capture() as text:  # rich would end the process if the reader has gone
        console.print(table)
    sys.stdout.write(text.get())


def _cell(value: object, *, join: bool = True) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode(value).decode()
    return " ".join(text.splitlines()) if join else text


def count(number: int, noun: str = "") -> str:
    """``1,500 rows``, ``1 row``."""
    text = f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text


def size(number: int) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def seconds(number: float) -> str:
    """``8 s``, ``1 min 05 s``, ``2 h 10 min``."""
    whole = math.ceil(number)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
