"""Each report against the sandbox, which ignores dates without a filter as Zoho does."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.command import serving
from tests.support.wall_clock import noon_of
from zoho_async import Credentials, Session
from zoho_async.books.reports import REPORTS as BOOKS
from zoho_async.errors import ReportMismatch
from zoho_async.inventory.reports import REPORTS as INVENTORY
from zoho_async.limits import MemoryLedger
from zoho_async.reports import (
    ReportNode,
    ReportOperation,
    ReportOptions,
    ReportTree,
    report_rows,
    report_tree,
)
from zoho_async.sandbox import Sandbox
from zoho_async.wire import Page

#: The sample data begins three years before this month.
TODAY = noon_of("2026-01-20")
FIRST, LAST = dt.date(2023, 1, 1), dt.date(2023, 6, 30)
SIZES = {"contacts": 20, "invoices": 300, "bills": 100, "items": 10}
#: The reports whose replies are known.
KNOWN = [
    operation
    for reports in (BOOKS, INVENTORY)
    for operation in reports.values()
    if operation.key != "rows"
]
#: Those whose replies do not confirm a period, because they have no date filter.
WITHOUT_PERIOD = {"books.reports.activity_logs", "books.reports.project_summary"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all tests, because reports only read."""
    made = Sandbox(sizes=SIZES, wall_clock=TODAY, per_minute=10**6, per_day=10**6)
    made.tokens.per_window = 10**6
    with serving(made):
        yield made


@pytest.fixture
async def zoho(sandbox: Sandbox) -> AsyncIterator[Session]:
    async with Session(
        Credentials.from_env(sandbox.environment()),
        organization=sandbox.organization,
        api_url=sandbox.url,
        accounts_url=sandbox.accounts_url,
        ledger=MemoryLedger(),
        strict=True,
    ) as session:
        yield session


def options(operation: ReportOperation[Any]) -> ReportOptions:
    if operation.name in WITHOUT_PERIOD:
        return ReportOptions()
    return {
        "range": ReportOptions(from_date=FIRST, to_date=LAST),
        "day": ReportOptions(to_date=LAST),
        "none": ReportOptions(),
    }[operation.dates]


@pytest.mark.parametrize("operation", KNOWN, ids=lambda each: each.name)
async def test_a_report_decodes_the_reply_of_the_sandbox(
    zoho: Session, operation: ReportOperation[Any]
) -> None:
    """With ``strict``, so that a value of another type than described raises."""
    report = await page(zoho, operation, {})
    if isinstance(report, ReportTree):
        assert [line.section.name for line in report.accounts()]
    else:
        assert isinstance(report, Page)


@pytest.mark.parametrize(
    "operation", [each for each in KNOWN if each.date_filter], ids=lambda each: each.name
)
async def test_dates_without_their_filter_are_noticed(
    zoho: Session, operation: ReportOperation[Any]
) -> None:
    """The same dates without ``filter_by`` give another period, and no numbers."""
    with pytest.raises(ReportMismatch):
        await page(zoho, operation, {"filter_by": ""})


async def page(zoho: Session, operation: ReportOperation[Any], query: dict[str, object]) -> object:
    """A report, as the function of its kind reads it."""
    if operation.tree:
        return await report_tree(zoho, operation, options(operation), query)
    return await report_rows(zoho, operation, options(operation), query)


async def test_months_add_up_to_the_whole(zoho: Session) -> None:
    whole = await zoho.books.reports.profit_and_loss(from_date=FIRST, to_date=LAST)
    months = await zoho.books.reports.profit_and_loss(
        from_date=FIRST, to_date=LAST, periods="month"
    )
    assert len(months.periods) == 6
    totals = {line.path: line.section.total for line in whole.lines()}
    for line in months.lines():
        assert sum(each or 0 for each in line.section.totals) == totals[line.path]
    assert any(totals.values())


async def test_debits_equal_credits(zoho: Session) -> None:
    report = await zoho.books.reports.trial_balance(from_date=dt.date(1970, 1, 1), to_date=LAST)
    lines = list(report.accounts())
    debit = sum((line.section.debit or Decimal(0) for line in lines), Decimal(0))
    credit = sum((line.section.credit or Decimal(0) for line in lines), Decimal(0))
    assert debit == credit > 0


def test_trees_have_nodes() -> None:
    assert all((each.row is ReportNode) == each.tree for each in KNOWN)
