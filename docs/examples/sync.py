"""Keep a DuckDB file current with Zoho Books and print two reports from it.

    pip install 'zoho-async[duckdb]'
    python sync.py books.duckdb

The first run reads everything. Later runs read what changed, so run it as often as you like.
The file holds the current state in ordinary tables. Lists do not report deleted records;
``--detect-deletions`` finds them, for example once a week.
"""

import argparse
import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from zoho_async import Session
from zoho_async.export import Export, ExportOptions, Summary
from zoho_async.export.destinations import DuckDb
from zoho_async.limits import SqliteLedger

REPORTS = {
    "Revenue by month": """
        SELECT strftime(date, '%Y-%m') AS month,
               count(*) AS invoices,
               sum(total * coalesce(exchange_rate, 1))::DECIMAL(18, 2) AS revenue
        FROM books_invoices
        WHERE _deleted_time IS NULL AND status NOT IN ('draft', 'void')
        GROUP BY month ORDER BY month
    """,
    "Overdue by customer": """
        SELECT customer_name AS customer,
               count(*) AS invoices,
               min(due_date) AS oldest,
               sum(balance * coalesce(exchange_rate, 1))::DECIMAL(18, 2) AS due
        FROM books_invoices
        WHERE _deleted_time IS NULL AND status = 'overdue'
        GROUP BY customer_id, customer_name ORDER BY due DESC, customer LIMIT 10
    """,
}


async def sync(file: Path, *, detect_deletions: bool = False) -> Summary:
    """Bring ``file`` up to date. Raises what the export raises; run it again to continue."""
    options = ExportOptions(detect_deletions=detect_deletions)
    ledger = SqliteLedger(file.with_suffix(".limits"))  # a restart forgets no call of the minute
    try:
        async with (
            Session.from_env(ledger=ledger) as zoho,
            Export(zoho, ["invoices", "contacts"], to=DuckDb(file), options=options) as job,
        ):
            return await job.wait()
    finally:
        await ledger.close()


def report(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each report, below the names of its columns."""
    with duckdb.connect(str(file), read_only=True) as books:
        found = {}
        for title, sql in REPORTS.items():
            answer = books.execute(sql)
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a DuckDB file in step with Zoho Books.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--detect-deletions", action="store_true", help="find deleted records too")
    options = parser.parse_args()
    summary = asyncio.run(sync(options.file, detect_deletions=options.detect_deletions))
    for one in summary.resources:
        print(f"{one.resource}: {one.new} new, {one.changed} changed, {one.deleted} deleted")
    print(f"{summary.calls} calls")
    for title, rows in report(options.file).items():
        print(f"\n{title}\n\n{as_text(rows)}")


if __name__ == "__main__":
    main()
