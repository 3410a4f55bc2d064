"""The tutorial's queries answer the same in each database, and as the sandbox's own reports."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from tests.support.doc_examples import DOCS, blocks
from tests.support.plain_client import PlainClient, raw
from tests.support.wall_clock import noon_of
from zoho_async import Session
from zoho_async.export import Export
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

PAGE = DOCS / "tutorials" / "answers.md"
#: Statuses of documents that do not count.
UNPOSTED = {"draft", "void", "pending_approval", "approved", "rejected"}
TODAY = "2026-03-01"
SIZES = {"contacts": 60, "items": 20, "invoices": 500, "sales_receipts": 0, "bank_transactions": 0}


def queries(today: str) -> list[str]:
    return [block.replace("current_date", f"DATE('{today}')") for block in blocks(PAGE, "sql")]


async def report(client: PlainClient, name: str, **asked: str) -> Any:
    answer = await client.get(f"/reports/{name}", **asked)
    assert answer.status == 200, answer.body
    return json.loads(answer.body, parse_float=Decimal)


def exact(rows: list[tuple[str, Any]]) -> dict[str, Decimal]:
    """The rows as amounts; SQLite computes in doubles, whose shortest text is the amount."""
    return {name: Decimal(str(value)).quantize(Decimal("0.01")) for name, value in rows}


async def test_the_queries_agree_with_each_other_and_with_the_reports(tmp_path: Path) -> None:
    box = Sandbox(sizes=SIZES, wall_clock=noon_of(TODAY), per_minute=10_000)
    async with raw(box) as client:
        async with Session.from_env(box.environment(), ledger=MemoryLedger()) as zoho:
            for name in ("books.duckdb", "books.sqlite", "books.xlsx"):
                async with Export(zoho, ["invoices", "credit_notes"], to=tmp_path / name) as job:
                    await job.wait()
        ageing = await report(
            client, "aragingsummary", filter_by="InvoiceDueDate.CustomDate", to_date=TODAY
        )
        year = {"from_date": f"{TODAY[:4]}-01-01", "to_date": TODAY}
        profit = await report(
            client, "profitandloss", filter_by="TransactionDate.CustomDate", **year
        )
    months, ages, *others = queries(TODAY)
    with duckdb.connect(str(tmp_path / "books.duckdb"), read_only=True) as books:
        revenue, due = (exact(books.execute(each).fetchall()) for each in (months, ages))
    with closing(sqlite3.connect(tmp_path / "books.sqlite")) as database:
        assert [exact(database.execute(each).fetchall()) for each in others] == [revenue, due]
    assert in_the_workbook(tmp_path / "books.xlsx") == (revenue, due)
    assert len(revenue) >= 36
    income = profit["profit_and_loss"][0]["account_transactions"][0]
    assert sum(revenue[month] for month in revenue if month >= TODAY[:4]) == income["total"]
    assert list(due.values()) == [each["amount"] for each in ageing["invoice"]["intervals"]]


def in_the_workbook(file: Path) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Revenue by month and receivables by age, computed as the tutorial says, in doubles."""
    book = openpyxl.load_workbook(file, read_only=True)
    revenue: dict[str, float] = {}
    due = dict.fromkeys(("current", "1-15", "16-30", "31-45", "over 45"), 0.0)
    for sheet, sign in (("invoices", 1), ("credit_notes", -1)):
        head, *rows = book[sheet].iter_rows(values_only=True)
        for values in rows:
            row = dict(zip(head, values, strict=True))
            if row["status"] in UNPOSTED:
                continue
            amount, left = (rounded(row, name) for name in ("total", "balance"))
            month = f"{row['date']:%Y-%m}"
            revenue[month] = revenue.get(month, 0.0) + sign * amount
            if sheet == "invoices":
                days = max(0, (datetime.fromisoformat(TODAY) - row["due_date"]).days)
                due[list(due)[min(-(-days // 15), 4)]] += left
    book.close()
    return exact(sorted(revenue.items())), exact(list(due.items()))


def rounded(row: dict[Any, Any], name: str) -> float:
    """``=ROUND(name * exchange_rate, 2)``."""
    product = Decimal(str(row[name])) * Decimal(str(row.get("exchange_rate", 1)))
    return float(product.quantize(Decimal("0.01"), ROUND_HALF_UP))


@pytest.mark.parametrize("heading", ["DuckDB", "SQLite", "A spreadsheet"])
def test_an_answer_takes_three_commands(heading: str) -> None:
    section = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    [text] = [each for each in section if each.startswith(heading)]
    [console] = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    assert len(console.splitlines()) == 3
    assert all(line.startswith("$ ") for line in console.splitlines())
