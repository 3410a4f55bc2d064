"""``zoho-async report``: prints a report, or the names of all reports."""

from __future__ import annotations

import asyncio
import datetime as dt
import difflib
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
    form_for,
    print_csv,
    print_table,
)
from zoho_async.cli.report_table import print_tree
from zoho_async.cli.safe import print
from zoho_async.errors import ConfigurationError
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

_SUGGESTED: Final = 3
_SURE: Final = {"H": "high", "M": "medium", "L": "low", "": "high"}


class ReportCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``report``. ``columns`` and ``query`` apply to reports with rows."""

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


def all_reports() -> dict[str, ReportOperation[Any]]:
    """Every report by the name that the command takes: ``profit-and-loss``.

    A report that only Inventory has needs no ``inventory.`` either.
    """
    from zoho_async.books.reports import REPORTS as BOOKS
    from zoho_async.inventory.reports import REPORTS as INVENTORY

    books = {_dashed(name): operation for name, operation in BOOKS.items()}
    inventory = {_dashed(name): operation for name, operation in INVENTORY.items()}
    return books | {
        name if name not in books else f"inventory.{name}": operation
        for name, operation in inventory.items()
    }


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def report_named(name: str) -> ReportOperation[Any]:
    """The report called ``name``. Raises `ConfigurationError` with similar names."""
    known = all_reports()
    wanted = _dashed(name.strip().lower()).removeprefix("books.")
    for each in (wanted, wanted.removeprefix("inventory.")):
        if each in known and (each == wanted or known[each].product.name == "inventory"):
            return known[each]
    near = difflib.get_close_matches(wanted, known, n=_SUGGESTED)
    words = [each for each in known if wanted and wanted in each][:_SUGGESTED]
    similar = list(dict.fromkeys([*near, *words]))
    advice = f"did you mean {', '.join(similar)}?" if similar else "run `zoho-async report`"
    raise ConfigurationError(f"no report is called {name!r}; {advice}")


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
    try:
        for options in split_options(operation, wanted.options, wanted.by):
            report_request(operation, options, wanted.query)
    except ValueError as wrong:
        raise ConfigurationError(_in_options(str(wrong))) from None
    if wanted.by is not None and not operation.tree:
        raise ConfigurationError(f"{wanted.name} has rows, not sections: leave out --by")
    if wanted.columns and operation.tree:
        raise ConfigurationError(f"{wanted.name} has sections, not rows: leave out --columns")
    asyncio.run(interruptible(_show(wanted, operation, connection, environ)))
    return outcome.DONE


def _in_options(sentence: str) -> str:
    """A sentence about arguments with the names of the options."""
    names = {"from_date": "--from", "to_date": "--to", "periods": "--by", "extra_query": "--filter"}
    return re.sub("|".join(names), lambda found: names[found[0]], sentence)


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
        read: list[dict[str, Any]] = [untyped(row) async for row in rows]
    if not read:
        print("no rows", file=sys.stderr)
        return
    check_columns(read, wanted.columns)
    if form == "csv":
        print_csv(read, wanted.columns)
        return
    width = shutil.get_terminal_size().columns
    print_table(read, wanted.columns or columns_of(read, operation.row_id, width))
    sys.stdout.flush()
