"""The table of reports in the documentation."""

from __future__ import annotations

from pathlib import Path

from zoho_async.books.reports import REPORTS as BOOKS
from zoho_async.inventory.reports import REPORTS as INVENTORY

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "reports.md"
CONFIDENCE = {"H": "high", "M": "medium", "L": "low"}
TAKES = {"range": "dates", "day": "a day", "none": "no dates"}


def test_the_table_lists_every_report_with_its_confidence() -> None:
    rows = [
        f"| `{each.name.replace('.reports.', '.')}` | {each.title} | {TAKES[each.dates]} "
        f"| {CONFIDENCE[each.confidence]} | {each.unknown} |"
        for each in (*BOOKS.values(), *INVENTORY.values())
    ]
    _, _, table = PAGE.read_text("utf-8").partition("| report |")
    assert table.splitlines()[2:] == rows
