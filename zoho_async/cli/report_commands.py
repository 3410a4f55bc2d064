"""``zoho-async report`` and ``zoho-async verify``, and their options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Group, Parameter, Token

from zoho_async.cli import options
from zoho_async.cli.connect import ConnectionOptions
from zoho_async.cli.options import offer, option
from zoho_async.errors import ConfigurationError
from zoho_async.export.options import FormatName

_TABLE: Final = Group("Table", sort_key=2)


def _day(_: object, tokens: Sequence[Token]) -> date:
    token = tokens[-1]
    try:
        return date.fromisoformat(token.value)
    except ValueError:
        raise ConfigurationError(
            f"{token.keyword} takes a date such as 2026-01-31, got {token.value!r}"
        ) from None


def _day_option(name: str, text: str) -> Parameter:
    return Parameter(name=name, help=text, converter=_day, show_default=False)


def _report_names() -> Iterable[str]:
    from zoho_async.export.report_catalog import all_reports

    return all_reports()


ReportName: TypeAlias = Annotated[
    str | None, option("A report, such as `profit-and-loss`."), offer(_report_names)
]
ReportFrom: TypeAlias = Annotated[date | None, _day_option("--from", "First day, `2026-01-01`.")]
ReportTo: TypeAlias = Annotated[
    date | None, _day_option("--to", "Last day, or the day of a balance sheet.")
]
ReportPeriod: TypeAlias = Annotated[
    Literal[
        "today",
        "this-week",
        "this-month",
        "this-quarter",
        "this-year",
        "previous-day",
        "previous-week",
        "previous-month",
        "previous-quarter",
        "previous-year",
    ]
    | None,
    option("A period instead of dates, in the organization's time zone: `previous-month`."),
]
ReportBy: TypeAlias = Annotated[
    Literal["month", "quarter", "year"] | None,
    option(
        "One column (with `--table` one period) per `month`, `quarter` or `year`. Makes one API "
        "call for each."
    ),
]
ReportBasis: TypeAlias = Annotated[
    Literal["accrual", "cash"] | None, option("`accrual` or `cash`. Default: the organization's.")
]
ReportFilters: TypeAlias = Annotated[
    tuple[str, ...], option("`NAME=VALUE` for the query string, by Zoho's names. Repeatable.")
]
AllowUnconfirmed: TypeAlias = Annotated[
    bool, option("Show a report whose reply does not repeat its period.")
]
ReportTable: TypeAlias = Annotated[
    str | None,
    option(
        "Write one row per line and period to a table, in any place that `export --to` takes: "
        "`books.duckdb`, `profit.csv`, a directory. Run again to update it.",
        _TABLE,
    ),
]
ClosedAfter: TypeAlias = Annotated[
    int | None,
    option(
        "Days after the end of a period. If it was read later than that, it is not read again. "
        "Default: 31.",
        _TABLE,
    ),
]
FullTable: TypeAlias = Annotated[
    bool, option("Read closed periods again, and let fewer days of a period replace more.", _TABLE)
]
TableFormat: TypeAlias = Annotated[
    FormatName | None, option("File format. A directory keeps its format.", _TABLE)
]

REPORT_EPILOGUE: Final = """
**Examples**

- by month: `zoho-async report profit-and-loss --from 2026-01-01 --to 2026-03-31 --by month`
- as of a day: `zoho-async report balance-sheet --to 2026-03-31`
- for a spreadsheet: `zoho-async report sales-by-customer --period this-year --output csv`
- as a table: `zoho-async report profit-and-loss --from 2026-01-01 --to 2026-12-31 --by month
  --basis accrual --table books.duckdb`
- the names of all reports: `zoho-async report`
"""

Mirror: TypeAlias = Annotated[
    str,
    Parameter(
        help="Destination of the export: a directory, `FILE.sqlite`, `FILE.duckdb` or a URL."
    ),
]
VerifyFrom: TypeAlias = Annotated[
    date | None,
    _day_option("--from", "First day of the account transactions to compare. Default: all."),
]
VerifyTo: TypeAlias = Annotated[
    date | None, _day_option("--to", "Last day, before today. Default: the end of last month.")
]
VerifyBy: TypeAlias = Annotated[
    Literal["month", "quarter", "year"],
    option("Length of the periods in which accounts are compared. Default: year."),
]
CertificateFile: TypeAlias = Annotated[
    Path | None, option("Write the result to this file: `FILE.md` to read, or `FILE.json`.")
]
VerifyPlanOnly: TypeAlias = Annotated[bool, option("Print the number of API calls. Makes none.")]

VERIFY_EPILOGUE: Final = """
**Examples**

- with a certificate: `zoho-async verify books.sqlite --certificate books-2026-10.md`
- one year by month: `zoho-async verify backup --from 2026-01-01 --to 2026-10-31 --by month`
- its price: `zoho-async verify books.sqlite --plan-only`

**Exit codes**: 0 everything that could be compared agrees; 5 a record differs; 6 nothing could be
compared with Zoho; others as for `export`.
"""


def report(
    name: ReportName = None,
    *,
    from_: ReportFrom = None,
    to: ReportTo = None,
    period: ReportPeriod = None,
    by: ReportBy = None,
    basis: ReportBasis = None,
    filter: ReportFilters = (),
    columns: options.Columns = (),
    output: options.Output = None,
    allow_unconfirmed: AllowUnconfirmed = False,
    table: ReportTable = None,
    closed_after: ClosedAfter = None,
    full: FullTable = False,
    format: TableFormat = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show a report: profit and loss, balance sheet, aging. Without a name, list the reports."""
    from zoho_async.cli.report import ReportCommand, list_reports, show_report

    if name is None:
        return list_reports(json=output in ("json", "jsonl"))
    return show_report(
        ReportCommand(
            name=name,
            first=from_,
            last=to,
            period=period,
            by=by,
            basis=basis,
            query=options.read_pairs(filter, "--filter"),
            columns=columns,
            form=output,
            allow_unconfirmed=allow_unconfirmed,
            table=table,
            closed_after=closed_after,
            full=full,
            format=format,
        ),
        connection,
        environ=os.environ,
    )


def verify(
    mirror: Mirror,
    *,
    from_: VerifyFrom = None,
    to: VerifyTo = None,
    by: VerifyBy = "year",
    certificate: CertificateFile = None,
    json: options.AsJson = False,
    plan_only: VerifyPlanOnly = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Compare an export with Zoho's own reports, to the cent.

    Account transactions are compared with the trial balance, open invoices and bills with the
    aging, the stock with the inventory summary, and the number of records with Zoho's totals.
    """
    from zoho_async.cli.verify import VerifyCommand, verify_mirror
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    command = VerifyCommand(
        mirror=mirror,
        first=from_,
        last=to,
        by=by,
        certificate=certificate,
        json=json,
        plan_only=plan_only,
    )
    return verify_mirror(command, connection, environ=os.environ)
