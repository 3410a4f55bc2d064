"""Print a report with sections: an indented table, CSV or JSON.

In a table the periods are columns. If they do not fit into the terminal, the table is repeated with
the next periods. A section's total follows its lines, with its own label, as in Zoho's web
application.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich.cells import cell_len, set_cell_size

from zoho_async.cli.output import Form, writer
from zoho_async.cli.safe import safe
from zoho_async.reports import Amounts, Period, ReportTree, Section
from zoho_async.reports.tree import ReportLine
from zoho_async.wire import encode

_SIDES: Final = ("total", "debit", "credit")
_INDENT: Final = "  "
_GAP: Final = 2
#: The fewest characters of a line's name in a table.
_MIN_NAME: Final = 24


class _Row(msgspec.Struct, frozen=True):
    """A printed line: its depth, its name, and the amounts of each period, or none at all."""

    depth: int
    name: str
    amounts: tuple[Amounts, ...] = ()


def print_tree(report: ReportTree, title: str, form: Form) -> None:
    """Print ``report`` in a form; ``jsonl`` has one line per section and account."""
    write = writer()
    match form:
        case "table":
            encoding = sys.stdout.encoding
            text = table_text(report, title, shutil.get_terminal_size().columns)
            sys.stdout.write(safe(text, lines=True, encoding=encoding))
        case "csv":
            write(csv_text(report).encode())
        case "json":
            write(msgspec.json.format(encode(_plain_report(report)), indent=2) + b"\n")
        case "jsonl":
            for line in report.lines():
                write(encode(_plain_line(report, line)) + b"\n")
    sys.stdout.flush()


# -- table --------------------------------------------------------------------------------------


def table_text(report: ReportTree, title: str, width: int) -> str:
    """The table of a report for a terminal of ``width`` characters."""
    sides = _sides(report)
    rows = list(_rows(report.sections, 0))
    heads = [_head(period, side, sides) for period in report.periods for side in sides]
    if len(report.periods) == 1:
        title, heads = f"{title} {report.periods[0]}".strip(), list(sides)
    columns = [
        [_amount(row, number, side) for row in rows]
        for number in range(len(report.periods))
        for side in sides
    ]
    widths = [
        max(map(cell_len, [head, *column])) for head, column in zip(heads, columns, strict=True)
    ]
    names = [safe(f"{_INDENT * row.depth}{row.name}") for row in rows]
    longest = max([cell_len(name) for name in names], default=0)
    parts = _parts(widths, len(sides), width, longest)
    room = min([longest, *(_room(widths, part, width) for part in parts)])
    blocks = [_block(names, heads, columns, widths, part, room) for part in parts]
    return "\n".join([title, "", *_between(blocks)]) + "\n"


def _sides(report: ReportTree) -> tuple[str, ...]:
    """The amounts that any line has: the total, or debit and credit."""
    used = {
        side
        for line in report.lines()
        for amounts in line.section.amounts
        for side in _SIDES
        if getattr(amounts, side) is not None
    }
    return tuple(side for side in _SIDES if side in used) or ("total",)


def _rows(sections: Iterable[Section], depth: int) -> Iterator[_Row]:
    for section in sections:
        if not section.sections:
            yield _Row(depth, section.name or "Total", section.amounts)
            continue
        amounts = section.amounts if any(section.amounts) else ()
        inner = depth
        # A section without a label of its total is a result of the lines before it, such as Gross
        # Profit, or the whole report.
        if section.name and (section.total_label or not amounts):
            yield _Row(depth, section.name)
            inner += 1
        yield from _rows(section.sections, inner)
        if amounts:
            yield _Row(depth, section.total_label or section.name or "Total", amounts)


def _head(period: Period, side: str, sides: Sequence[str]) -> str:
    return f"{period} {side}".strip() if len(sides) > 1 else str(period) or side


def _amount(row: _Row, number: int, side: str) -> str:
    value: Decimal | None = getattr(row.amounts[number], side) if row.amounts else None
    if value is None:
        return ""
    exponent = value.as_tuple().exponent
    return f"{value:,f}" if isinstance(exponent, int) and exponent < -2 else f"{value:,.2f}"


def _parts(widths: Sequence[int], sides: int, width: int, longest: int) -> list[range]:
    """The columns of each block. The amounts of a period stay together."""
    room = width - min(longest, _MIN_NAME)
    parts: list[range] = []
    start = used = 0
    for at in range(0, len(widths), sides):
        needed = sum(_GAP + each for each in widths[at : at + sides])
        if used and used + needed > room:
            parts.append(range(start, at))
            start, used = at, 0
        used += needed
    return [*parts, range(start, len(widths))]


def _room(widths: Sequence[int], part: range, width: int) -> int:
    """The characters that are left for names."""
    return max(_MIN_NAME, width - sum(_GAP + widths[at] for at in part))


def _block(
    names: Sequence[str],
    heads: Sequence[str],
    columns: Sequence[Sequence[str]],
    widths: Sequence[int],
    part: range,
    room: int,
) -> list[str]:
    lines = [("", [heads[at] for at in part])]
    lines += [(name, [columns[at][n] for at in part]) for n, name in enumerate(names)]
    return [
        "".join(
            [
                _fitted(name, room),
                *(_right(text, widths[at]) for text, at in zip(texts, part, strict=True)),
            ]
        ).rstrip()
        for name, texts in lines
    ]


def _fitted(name: str, room: int) -> str:
    if cell_len(name) > room:
        return set_cell_size(name, room - 1).rstrip() + "…"
    return set_cell_size(name, room)


def _right(text: str, width: int) -> str:
    return " " * (_GAP + width - cell_len(text)) + text


def _between(blocks: Sequence[list[str]]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += ["", *block] if lines else block
    return lines


# -- files --------------------------------------------------------------------------------------


def csv_text(report: ReportTree) -> str:
    """One row per section and account, one column per amount of a period."""
    sides = _sides(report)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    heads = [_head(period, side, sides) for period in report.periods for side in sides]
    rows.writerow(["level", "path", "name", "account_id", "account_code", *heads])
    for line in report.lines():
        section = line.section
        amounts = [getattr(each, side) for each in section.amounts for side in sides]
        rows.writerow(
            [
                len(line.path),
                " / ".join(line.path),
                section.name,
                section.account_id,
                section.account_code,
                *("" if each is None else f"{each:f}" for each in amounts),
            ]
        )
    return text.getvalue()


def _plain_report(report: ReportTree) -> dict[str, Any]:
    return {
        "report": report.name,
        "periods": [_plain_period(each) for each in report.periods],
        "unconfirmed": list(report.unconfirmed),
        "sections": [_plain_section(each) for each in report.sections],
    }


def _plain_period(period: Period) -> dict[str, Any]:
    return {"from": period.first, "to": period.last}


def _plain_section(section: Section) -> dict[str, Any]:
    plain = _plain_names(section) | {"amounts": list(map(_plain_amounts, section.amounts))}
    if section.sections:
        plain["sections"] = [_plain_section(each) for each in section.sections]
    return plain


def _plain_line(report: ReportTree, line: ReportLine) -> dict[str, Any]:
    amounts = [
        _plain_period(period) | _plain_amounts(each)
        for period, each in zip(report.periods, line.section.amounts, strict=True)
    ]
    return {"path": list(line.path), **_plain_names(line.section), "amounts": amounts}


def _plain_names(section: Section) -> dict[str, Any]:
    names = ("name", "total_label", "account_id", "account_code", "account_type")
    return {name: getattr(section, name) for name in names if getattr(section, name)}


def _plain_amounts(amounts: Amounts) -> dict[str, Any]:
    return {side: each for side in _SIDES if (each := getattr(amounts, side)) is not None}
