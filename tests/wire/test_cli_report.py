"""`report`: tables of sections, CSV and JSON; wrong usage before any call."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, serving
from tests.support.wall_clock import noon_of
from zoho_async.cli.report_table import table_text
from zoho_async.errors import ConfigurationError
from zoho_async.export.report_catalog import all_reports, report_named
from zoho_async.reports import ReportNode, ReportTree
from zoho_async.reports.periods import split_period
from zoho_async.reports.tree import NodeAmounts, joined_sections
from zoho_async.sandbox import Sandbox

#: The sample data begins three years before this month.
TODAY = noon_of("2026-01-20")
DATES = ("--from", "2023-01-01", "--to", "2023-03-31")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serving(
        Sandbox(sizes={"contacts": 20, "invoices": 300, "items": 10}, wall_clock=TODAY)
    ) as made:
        yield made


def test_a_table_has_a_column_per_month(command: Command, sandbox: Sandbox) -> None:
    before = sandbox.calls
    code, out, err = command(
        "report", "profit-and-loss", *DATES, "--by", "month", "--output", "table"
    )
    assert (code, err) == (0, "")
    title, blank, head, *lines = out.splitlines()
    assert (title, blank, head.split()) == (
        "Profit and loss",
        "",
        ["2023-01", "2023-02", "2023-03"],
    )
    assert lines[0] == "Operating Income"
    assert lines[1].startswith("  ")  # accounts are indented
    assert max(map(len, out.splitlines())) <= 80
    assert len({len(line) for line in lines if line.startswith(("Total", "Gross", "Net"))}) == 1
    assert sandbox.calls == before + 3


def test_csv_has_a_row_per_line_and_a_column_per_period(command: Command) -> None:
    code, out, _ = command("report", "profit_and_loss", *DATES, "--by", "month", "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert list(rows[0])[-3:] == ["2023-01", "2023-02", "2023-03"]
    sales = next(
        row for row in rows if row["path"].startswith("Gross Profit / Operating Income / ")
    )
    assert sales["level"] == "3"
    assert sales["account_id"].isdecimal()
    assert Decimal(sales["2023-01"]) > 0


def test_json_has_the_sections_and_their_exact_amounts(command: Command) -> None:
    code, out, _ = command("report", "trial-balance", *DATES, "--output", "json")
    told: dict[str, Any] = json.loads(out, parse_float=Decimal)
    assert code == 0
    assert told["report"] == "books.reports.trial_balance"
    assert told["periods"] == [{"from": "2023-01-01", "to": "2023-03-31"}]
    (root,) = told["sections"]
    assert root["amounts"][0]["debit"] == root["amounts"][0]["credit"]
    code, out, _ = command("report", "trial-balance", *DATES)  # a pipe: a line each
    lines = [json.loads(line) for line in out.splitlines()]
    assert {"path", "amounts"} <= lines[1].keys()


def test_a_report_with_rows_prints_them_as_lists_do(command: Command) -> None:
    arguments = ("report", "sales-by-customer", *DATES)
    code, out, _ = command(*arguments, "--output", "json")
    rows = json.loads(out)
    assert code == 0
    assert rows
    _, out, _ = command(*arguments, "--output", "csv", "--columns", "customer_name")
    assert len(out.splitlines()) == len(rows) + 1
    _, out, _ = command(*arguments, "--output", "table")
    assert "customer_name" in out


def test_an_ageing_report_has_a_column_per_interval(command: Command) -> None:
    arguments = ("report", "ar-aging-summary", "--to", "2023-03-31")
    _, out, _ = command(*arguments, "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    ages = ("current", "days_1-15", "days_16-30", "days_31-45", "days_above_45")
    assert rows
    for row in rows:
        assert sum(Decimal(row[age]) for age in ages) == Decimal(row["total"])
    _, out, _ = command(*arguments, "--output", "table")
    head = out.splitlines()[0].split()
    assert head[:7] == ["name", "total", "current", "1-15", "16-30", "31-45", "above_45"]


def test_a_report_an_export_and_a_merge_share_a_directory(
    command: Command, sandbox: Sandbox, tmp_path: Path
) -> None:
    to = str(tmp_path / "backup")
    report = ("report", "profit-and-loss", *DATES, "--by", "month", "--table", to)
    code, out, err = command(*report)
    assert (code, err) == (0, "")
    first, last = out.splitlines()
    assert first == f"  {to}/books/reports.profit_and_loss.jsonl"
    assert re.fullmatch(r"done: 3 periods read; \d+ rows written, 3 calls", last)
    code, out, _ = command(*report, "--output", "json")
    done = json.loads(out)
    assert (code, done["periods"], done["closed"], done["calls"]) == (0, 3, 3, 0)
    assert command("export", "contacts", "--to", to)[0] == 0
    before = sandbox.calls
    code, out, _ = command(*report, "--full", "--closed-after", "0", "--output", "json")
    assert (code, json.loads(out)["read"], sandbox.calls) == (0, 3, before + 3)
    assert command("merge", to)[0] == 0
    files = {path.name for path in (tmp_path / "backup" / "books").iterdir()}
    assert files == {"contacts.jsonl", "reports.profit_and_loss.jsonl"}
    assert command("export", "contacts", "--to", to)[0] == 0
    assert command(*report)[0] == 0
    lines = (tmp_path / "backup/books/reports.profit_and_loss.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["period_from"] for row in rows} == {"2023-01-01", "2023-02-01", "2023-03-01"}


def test_without_a_name_the_reports_are_listed(command: Command) -> None:
    code, out, _ = command("report")
    assert code == 0
    assert out.split() == list(all_reports())
    assert {"profit-and-loss", "warehouse", "inventory.sales-by-item"} <= set(out.split())
    _, out, _ = command("report", "--output", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["confidence"] for row in rows} == {"high", "medium", "low"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["profit-and-los"], "did you mean profit-and-loss?"),
        (["ageing"], "run `zoho-async report`"),
        (["aging"], "ar-aging-summary"),
        (["profit-and-loss", "--from", "2026-01-01"], "needs --from and --to together"),
        (["profit-and-loss", "--from", "1.1.2026"], "--from takes a date such as 2026-01-31"),
        (["profit-and-loss", "--to", "2026-01-31", "--period", "today"], "dates or a period"),
        (["profit-and-loss", "--by", "month"], "--by needs --from and --to"),
        (["balance-sheet", *DATES], "as of one day: give --to alone"),
        (["sales-by-customer", *DATES, "--by", "month"], "leave out --by"),
        (["profit-and-loss", *DATES, "--columns", "name"], "leave out --columns"),
        (["profit-and-loss", *DATES, "--filter", "to_date=2026-01-31"], "leave it out of --filter"),
        (["profit-and-loss", *DATES, "--by", "week"], "week"),
        (["profit-and-loss", *DATES, "--full"], "--full needs --table"),
        (["profit-and-loss", *DATES, "--closed-after", "9"], "--closed-after needs --table"),
        (["profit-and-loss", "--table", "t"], "give --from and --to"),
        (["profit-and-loss", "--period", "today", "--table", "t"], "--table needs dates"),
        (["balance-sheet", *DATES, "--table", "t"], "as of one day: give --to alone"),
        (["time-to-pay", "--to", "2026-01-31", "--table", "t"], "takes no dates"),
        (["profit-and-loss", *DATES, "--table", "t", "--output", "csv"], "table or json"),
        (["profit-and-loss", *DATES, "--table", "t", "--columns", "name"], "--columns"),
        (["profit-and-loss", *DATES, "--table", "t", "--closed-after", "-1"], "must be a number"),
        (["profit-and-loss", *DATES, "--table", "t", "--allow-unconfirmed"], "confirms"),
        (["profit-and-loss", *DATES, "--table", "mysql://a"], "mysql"),
    ],
)
def test_wrong_usage_is_one_sentence_before_any_call(
    command: Command, sandbox: Sandbox, arguments: list[str], said: str
) -> None:
    before = sandbox.calls
    code, out, err = command("report", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert sandbox.calls == before


def test_a_reply_for_another_period_prints_no_numbers(command: Command) -> None:
    code, out, err = command("report", "profit-and-loss", *DATES, "--filter", "filter_by=")
    assert code == 2
    assert "name=value" in err
    code, out, err = command(
        *("report", "profit-and-loss", *DATES, "--filter", "filter_by=TransactionDate.ThisYear")
    )
    assert (code, out) == (1, "")
    assert "its numbers are not returned" in err


def test_names_of_both_products_are_found() -> None:
    assert report_named("books.sales_by_item").name == "books.reports.sales_by_item"
    assert report_named("inventory.sales-by-item").name == "inventory.reports.sales_by_item"
    assert report_named("inventory.warehouse").name == "inventory.reports.warehouse"
    with pytest.raises(ConfigurationError):
        report_named("books.warehouse-x")
    with pytest.raises(ConfigurationError):
        report_named("inventory.profit-and-loss")


# -- the table itself ---------------------------------------------------------------------------


def report(*months: list[ReportNode]) -> ReportTree:
    periods = split_period(date(2026, 1, 1), date(2026, len(months), 28), "month")
    return ReportTree(
        name="books.reports.x",
        periods=tuple(periods),
        sections=joined_sections(months),
        pages=(),
    )


def account(name: str, total: str | None) -> ReportNode:
    return ReportNode(name=name, total=None if total is None else Decimal(total), account_id=name)


def test_amounts_are_aligned_and_an_absent_one_stays_empty() -> None:
    income = ReportNode(
        name="Income",
        total=Decimal(1234567),
        total_label="Total Income",
        account_transactions=[account("Sales", "1234567.005"), account("Interest", None)],
    )
    assert table_text(report([income]), "Profit and loss", 80) == (
        "Profit and loss 2026-01-01..2026-01-28\n"
        "\n"
        "                      total\n"
        "Income\n"
        "  Sales       1,234,567.005\n"
        "  Interest\n"
        "Total Income   1,234,567.00\n"
    )


def test_periods_that_do_not_fit_follow_in_another_table() -> None:
    months = [[account("A name that is longer than most of them", "1000000")] for _ in range(6)]
    text = table_text(report(*months), "Cash flow", 60)
    assert max(map(len, text.splitlines())) <= 60
    heads = [line.split() for line in text.splitlines() if "2026-0" in line]
    assert [len(each) for each in heads] == [2, 2, 1, 1]  # the last one is not a whole month
    assert text.count("A name that is longer than most…") == 4


def test_debit_and_credit_of_a_period_stay_together() -> None:
    sides = NodeAmounts(net_debit_total=Decimal(5), net_credit_total=Decimal(7))
    text = table_text(report(*[[ReportNode(values=[sides])]] * 2), "Trial balance", 50)
    assert "2026-01 debit  2026-01 credit" in text
    assert "Total" in text
