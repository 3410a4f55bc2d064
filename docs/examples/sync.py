"""Keep a DuckDB file current with Zoho Books and print three reports from it.

    pip install 'zoho-async[duckdb]'
    python sync.py books.duckdb --sandbox
    python sync.py books.duckdb

The first line tries it on sample data: it exports the sandbox's firm, lets a day's work happen
there, and exports what changed. The second line takes your own account.

The first run reads everything. Later runs read what changed, so run it as often as you like.
The file holds the current state in ordinary tables. Lists do not report deleted records;
``--detect-deletions`` finds them, for example once a week.
"""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from zoho_async import Session
from zoho_async.books.customer_payments import CustomerPaymentCreate, CustomerPaymentInvoiceInput
from zoho_async.export import Export, ExportOptions, Summary
from zoho_async.export.destinations import DuckDb
from zoho_async.limits import MemoryLedger, SqliteLedger
from zoho_async.sandbox import Sandbox

LISTS = ("contacts", "invoices", "credit_notes", "customer_payments")

#: Statuses of documents that do not count yet, or no longer.
UNPOSTED = "('draft', 'void', 'pending_approval', 'approved', 'rejected')"
#: Amounts are converted to the base currency at the rate of each document.
REPORTS = {
    "Revenue by month": """
        WITH sales AS (
            SELECT date, round(total * coalesce(exchange_rate, 1), 2) AS amount
            FROM books_invoices
            WHERE _deleted_time IS NULL AND status NOT IN {unposted}
            UNION ALL
            SELECT date, -total
            FROM books_credit_notes
            WHERE _deleted_time IS NULL AND status NOT IN {unposted}
        )
        SELECT strftime(date, '%Y-%m') AS month,
               count(*) AS documents,
               sum(amount)::DECIMAL(18, 2) AS revenue
        FROM sales GROUP BY month ORDER BY month
    """,
    "Receivables by age": """
        WITH open AS (
            SELECT greatest($today::DATE - due_date, 0) AS age,
                   round(balance * coalesce(exchange_rate, 1), 2) AS amount
            FROM books_invoices
            WHERE _deleted_time IS NULL AND status NOT IN {unposted} AND balance <> 0
        )
        SELECT CASE WHEN age = 0 THEN 'current'
                    WHEN age <= 15 THEN '1-15 days'
                    WHEN age <= 30 THEN '16-30 days'
                    WHEN age <= 45 THEN '31-45 days'
                    ELSE 'over 45 days' END AS overdue_by,
               count(*) AS invoices,
               sum(amount)::DECIMAL(18, 2) AS due
        FROM open GROUP BY overdue_by ORDER BY min(age)
    """,
    "Largest customers": """
        SELECT customer_name AS customer,
               count(*) AS invoices,
               sum(round(total * coalesce(exchange_rate, 1), 2))::DECIMAL(18, 2) AS sales
        FROM books_invoices
        WHERE _deleted_time IS NULL AND status NOT IN {unposted}
        GROUP BY customer_id, customer_name ORDER BY sales DESC, customer LIMIT 10
    """,
}


async def sync(file: Path, *, detect_deletions: bool = False) -> Summary:
    """Bring ``file`` up to date with the account of the environment."""
    ledger = SqliteLedger(file.with_suffix(".limits"))  # a restart forgets no call of the minute
    try:
        async with Session.from_env(ledger=ledger) as zoho:
            return await export(zoho, file, detect_deletions=detect_deletions)
    finally:
        await ledger.close()


async def export(zoho: Session, file: Path, *, detect_deletions: bool = False) -> Summary:
    """Export into ``file``. Raises what the export raises; run it again to continue."""
    options = ExportOptions(detect_deletions=detect_deletions)
    async with Export(zoho, LISTS, to=DuckDb(file), options=options) as job:
        return await job.wait()


async def try_on_sandbox(file: Path) -> list[Summary]:
    """Export the sandbox's firm, let a day's work happen, and export what changed."""
    sizes = {"contacts": 200, "items": 50, "invoices": 800}
    async with (
        Sandbox(sizes=sizes) as sandbox,
        Session.from_env(sandbox.environment(), ledger=MemoryLedger()) as zoho,
    ):
        first = await export(zoho, file)
        await work(zoho)
        return [first, await export(zoho, file, detect_deletions=True)]


async def work(zoho: Session) -> None:
    """A customer pays, a draft is sent and another one is deleted."""
    unpaid = (await zoho.books.invoices.list(status="overdue", per_page=1)).rows[0]
    due = unpaid.balance or Decimal(0)
    payment = CustomerPaymentCreate(
        customer_id=unpaid.customer_id or "",
        payment_mode="banktransfer",
        amount=due,
        date=date.today(),
        invoices=[CustomerPaymentInvoiceInput(invoice_id=unpaid.invoice_id, amount_applied=due)],
    )
    await zoho.books.customer_payments.create(payment)
    sent, deleted = (await zoho.books.invoices.list(status="draft", per_page=2)).rows
    await zoho.books.invoices.mark_as_sent(sent.invoice_id)
    await zoho.books.invoices.delete(deleted.invoice_id)


def report(file: Path, today: date | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each report, below the names of its columns."""
    with duckdb.connect(str(file), read_only=True) as books:
        found = {}
        for title, text in REPORTS.items():
            sql = text.format(unposted=UNPOSTED)
            values = {"today": today or date.today()} if "$today" in sql else {}
            answer = books.execute(sql, values)
            names = tuple(column[0] for column in answer.description or ())
            found[title] = [names, *answer.fetchall()]
        return found


def as_text(rows: Sequence[Sequence[object]]) -> str:
    """Rows as a table of text; numbers stand at the right."""
    cells = [[f"{cell:,}" if _is_number(cell) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [_is_number(cell) for cell in rows[-1]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal)


async def run(options: argparse.Namespace) -> list[Summary]:
    if options.sandbox:
        return await try_on_sandbox(options.file)
    return [await sync(options.file, detect_deletions=options.detect_deletions)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a DuckDB file in step with Zoho Books.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--detect-deletions", action="store_true", help="find deleted records too")
    parser.add_argument("--sandbox", action="store_true", help="use sample data, twice")
    options = parser.parse_args()
    for summary in asyncio.run(run(options)):
        for one in summary.resources:
            print(f"{one.resource}: {one.new} new, {one.changed} changed, {one.deleted} deleted")
        print(f"{summary.calls} calls\n")
    for title, rows in report(options.file).items():
        print(f"{title}\n\n{as_text(rows)}\n")


if __name__ == "__main__":
    main()
