"""``zoho-async report``: prints a report, writes it to a table, or prints the names of reports."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.list import print_rows
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import (
    Form,
    check_columns,
    columns_of,
    count,
    form_for,
    print_csv,
    print_table,
)
from zoho_async.cli.report_table import print_tree
from zoho_async.cli.safe import print
from zoho_async.errors import ConfigurationError
from zoho_async.export.options import FormatName
from zoho_async.export.report_catalog import all_reports, report_named
from zoho_async.export.reports import CLOSED_AFTER, ReportTable, export_report, table_periods
from zoho_async.reports import (
    Basis,
    NamedPeriod,
    PeriodLength,
    ReportOperation,
    ReportOptions,
    report_rows,
    report_tree,
)
from zoho_async.reports.reading import split_options
from zoho_async.reports.request import report_request
from zoho_async.session import Session
from zoho_async.wire.text import untyped

_SURE: Final = {"H": "high", "M": "medium", "L": "low", "": "high"}


class ReportCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``report``. ``columns`` apply to reports with rows.

    ``table`` is the destination of a table; ``closed_after``, ``full`` and ``format`` are those of
    `zoho_async.export.export_report`.
    """

    name: str
    first: dt.date | None = None
    last: dt.date | None = None
    period: str | None = None
    by: PeriodLength | None = None
    basis: Basis | None = None
    query: Mapping[str, str] = {}
    columns: tuple[str, ...] = ()
    form: Form | None = None
    allow_unconfirmed: bool = False
    table: str | None = None
    closed_after: int | None = None
    full: bool = False
    format: FormatName | None = None

    @property
    def options(self) -> ReportOptions:
        named: Any = "".join(map(str.capitalize, (self.period or "").split("-")))
        period: NamedPeriod | None = named or None
        return ReportOptions(
            from_date=self.first,
            to_date=self.last,
            period=period,
            basis=self.basis,
            allow_unconfirmed=self.allow_unconfirmed,
        )


def list_reports(*, json: bool) -> int:
    """Print every report with its confidence, or its name alone in a pipe."""
    found = all_reports()
    if json:
        for name, one in found.items():
            row = {
                "report": name,
                "title": one.title,
                "product": one.product.name,
                "confidence": _SURE[one.confidence],
                "unknown": one.unknown,
            }
            print(msgspec.json.encode(row).decode())
    elif not sys.stdout.isatty():
        print("\n".join(found))
    else:
        width = max(map(len, found))
        for name, one in found.items():
            print(f"{name:<{width}}  {_SURE[one.confidence]:<6}  {one.title}")
    return outcome.DONE


def show_report(
    wanted: ReportCommand, connection: ConnectionOptions, *, environ: Mapping[str, str]
) -> int:
    """Print a report. Raises what calls raise, and `Interrupted`.

    Raises `ConfigurationError` before any call for an unknown name and for wrong dates.
    """
    operation = report_named(wanted.name)
    if wanted.table is not None:
        return _write_table(wanted, wanted.table, operation, connection, environ)
    _refuse_table_options(wanted)
    try:
        for options in split_options(operation, wanted.options, wanted.by):
            report_request(operation, options, wanted.query)
    except ValueError as wrong:
        raise ConfigurationError(_in_options(str(wrong))) from None
    if wanted.by is not None and not operation.tree:
        raise ConfigurationError(
            f"{wanted.name} has rows, not sections: leave out --by, or write it with --table"
        )
    if wanted.columns and operation.tree:
        raise ConfigurationError(f"{wanted.name} has sections, not rows: leave out --columns")
    asyncio.run(interruptible(_show(wanted, operation, connection, environ)))
    return outcome.DONE


def _in_options(sentence: str) -> str:
    """A sentence about arguments with the names of the options."""
    names = {
        "from_date": "--from",
        "to_date": "--to",
        "periods": "--by",
        "extra_query": "--filter",
        "allow_unconfirmed": "--allow-unconfirmed",
        "closed-after": "--closed-after",
    }
    return re.sub("|".join(names), lambda found: names[found[0]], sentence)


# -- tables -------------------------------------------------------------------------------------


def _refuse_table_options(wanted: ReportCommand) -> None:
    given = {
        "--closed-after": wanted.closed_after is not None,
        "--full": wanted.full,
        "--format": wanted.format is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise ConfigurationError(f"{option} needs --table: give both or neither")


def _write_table(
    wanted: ReportCommand,
    table: str,
    operation: ReportOperation[Any],
    connection: ConnectionOptions,
    environ: Mapping[str, str],
) -> int:
    """Write a report to a table. Raises as `show_report` does, and what exports raise."""
    if wanted.period is not None:
        raise ConfigurationError("--table needs dates: give --from and --to instead of --period")
    if wanted.columns:
        raise ConfigurationError("a table has all columns: leave out --columns")
    if wanted.form not in (None, "table", "json"):
        raise ConfigurationError("--table prints its result: --output can be table or json")
    try:
        table_periods(operation, wanted.options, wanted.query, wanted.by)
    except ConfigurationError as wrong:
        raise ConfigurationError(_in_options(str(wrong))) from None
    done = asyncio.run(interruptible(_export(wanted, table, connection, environ)))
    if wanted.form == "json":
        print(msgspec.json.encode(done).decode())
    else:
        print("\n".join(_table_lines(done)))
    return outcome.DONE


async def _export(
    wanted: ReportCommand, table: str, connection: ConnectionOptions, environ: Mapping[str, str]
) -> ReportTable:
    assert wanted.last is not None, "checked before"
    async with connected(connection, environ, lambda event: None) as zoho:
        return await export_report(
            zoho,
            wanted.name,
            to=table,
            from_date=wanted.first,
            to_date=wanted.last,
            by=wanted.by,
            basis=wanted.basis,
            extra_query=dict(wanted.query),
            closed_after=CLOSED_AFTER if wanted.closed_after is None else wanted.closed_after,
            full=wanted.full,
            format=wanted.format,
        )


def _table_lines(done: ReportTable) -> list[str]:
    read = f"{count(done.read, 'period')} read"
    closed = f", {count(done.closed)} closed and not read again" if done.closed else ""
    changed = f", {count(done.changed)} of them changed" if done.changed else ""
    deleted = f", {count(done.deleted)} marked deleted" if done.deleted else ""
    written = f"{count(done.rows, 'row')} written{changed}{deleted}, {count(done.calls, 'call')}"
    lines = [f"  {done.file}", f"done: {read}{closed}; {written}"]
    if done.rounded:
        lines.append(
            f"{count(done.rounded, 'number')} with more digits than the columns hold; "
            "_exact has all digits"
        )
    return lines


# -- in the terminal ----------------------------------------------------------------------------


async def _show(
    wanted: ReportCommand,
    operation: ReportOperation[Any],
    connection: ConnectionOptions,
    environ: Mapping[str, str],
) -> None:
    form = form_for(wanted.form)
    async with connected(connection, environ, lambda event: None) as zoho:
        if operation.tree:
            report = await report_tree(
                zoho, operation, wanted.options, wanted.query, periods=wanted.by
            )
            print_tree(report, operation.title, form)
        else:
            await _show_rows(zoho, wanted, operation, form)


async def _show_rows(
    zoho: Session, wanted: ReportCommand, operation: ReportOperation[Any], form: Form
) -> None:
    rows = report_rows(zoho, operation, wanted.options, wanted.query).raw()
    async with aclosing(rows):
        if form in ("json", "jsonl"):
            await print_rows(rows, form)
            return
        read = [_with_intervals(untyped(row)) async for row in rows]
    if not read:
        print("no rows", file=sys.stderr)
        return
    check_columns(read, wanted.columns)
    if form == "csv":
        print_csv(read, wanted.columns)
        return
    if not wanted.columns:
        read = [_intervals_first(row) for row in read]
    width = shutil.get_terminal_size().columns
    print_table(read, wanted.columns or columns_of(read, operation.row_id, width))
    sys.stdout.flush()


def _with_intervals(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with a field per interval of age, ``days_1-15``, in place of their list."""
    listed: Any = row.get("intervals")
    try:
        of_age = {str(one["interval"]): one["amount"] for one in listed}
    except (KeyError, TypeError):  # no intervals, or another shape
        return row
    return {**{name: row[name] for name in row if name != "intervals"}, **of_age}


def _intervals_first(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` for a table that shows its first fields: the intervals, under short names."""
    of_age = {
        name.removeprefix("days_"): value
        for name, value in row.items()
        if name == "current" or name.startswith("days_")
    }
    return {**of_age, **row} if len(of_age) > 1 else row
