"""What commands print of Zoho's data: for people in a terminal, for programs in a pipe."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zoho_async.cli.safe import safe
from zoho_async.wire import encode

Form: TypeAlias = Literal["table", "json", "jsonl"]

#: What people look for first, in this order; the rest follows as Zoho wrote it.
_WANTED: Final = (
    *("name", "number", "date", "status", "total", "balance", "amount", "rate"),
    *("customer_name", "vendor_name", "due_date", "currency_code", "email"),
)
#: The most characters that a column takes, and those between two.
_WIDEST: Final = 24
_GAP: Final = 2
#: As many columns there are at least, cut to fit.
_FEWEST: Final = 3


def form_for(form: Form | None) -> Form:
    """The form that was asked for; else a table in a terminal and JSON Lines in a pipe."""
    return form or ("table" if sys.stdout.isatty() else "jsonl")


def as_text(value: object) -> str:
    """``value`` as JSON, numbers exact: indented in a terminal, on one line in a pipe."""
    encoded = encode(value)
    return (msgspec.json.format(encoded, indent=2) if sys.stdout.isatty() else encoded).decode()


def columns_of(rows: Sequence[dict[str, Any]], row_id: str, width: int) -> list[str]:
    """The fields that say most about ``rows``: the id, and what has a value worth a column.

    ``width`` is that of the terminal, in characters; no more fields are chosen than fit.
    """
    fields = dict.fromkeys(name for row in rows for name in row)
    told = [name for name in fields if name != row_id and any(_tells(row, name) for row in rows)]
    stem = row_id.removesuffix("id")
    told.sort(key=lambda name: _place(name, stem))
    ordered = [row_id, *told] if row_id else told
    ends = itertools.accumulate(_GAP + _breadth(rows, name) for name in ordered)
    fitting = sum(end - _GAP <= width for end in ends)
    return ordered[: max(_FEWEST, fitting)]


def _breadth(rows: Sequence[dict[str, Any]], name: str) -> int:
    """The characters that a column takes."""
    return min(_WIDEST, max(len(safe(name)), *(len(safe(_cell(row.get(name)))) for row in rows)))


def _tells(row: dict[str, Any], name: str) -> bool:
    if name.endswith(("_id", "_formatted", "_unformatted")):
        return False
    value = row.get(name)
    return value not in ("", None) and not isinstance(value, dict | list | bool)


def _place(name: str, stem: str) -> int:
    """Where a field stands among the wanted; the record's own number and name come first."""
    if name in (f"{stem}number", f"{stem}name"):
        return -1
    return _WANTED.index(name) if name in _WANTED else len(_WANTED)


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
            max_width=_WIDEST,
            min_width=_breadth(rows, name) if name == columns[0] else None,  # an id is of use whole
        )
    for row in rows:
        table.add_row(*(text_of(_cell(row.get(name))) for name in columns))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode(value).decode()
    return " ".join(text.splitlines())
