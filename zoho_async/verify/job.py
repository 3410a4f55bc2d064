"""Verify a mirror: read the reports, compare, read what disagrees, read the reports again.

The order is part of the theory (`zoho_async.verify.compare`): a check agrees with the report as it
was before or after, and a record that disagrees is read from Zoho in between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import anyio.to_thread
import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.errors import CheckpointRefused
from zoho_async.reports import Period, PeriodLength
from zoho_async.reports.periods import split_period
from zoho_async.session import Session
from zoho_async.verify import accounts, balances, lists
from zoho_async.verify.accounts import why_not
from zoho_async.verify.mirror import Mirror, MirrorTable, read_mirror
from zoho_async.verify.read import Reader
from zoho_async.verify.results import BEGINNING, Comparison, ReportSource, TableSource, Verification
from zoho_async.verify.tables import ACCOUNTS, FIELDS, ITEMS, PARTIES, TRANSACTIONS

_DAY: Final = dt.timedelta(days=1)
_ROWS_PER_CALL: Final = 200


class VerifyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a verification. ``calls`` are made in any case, unless a report has many pages.

    ``lines`` has a sentence for each part of it.
    """

    calls: int
    lines: tuple[str, ...]


async def verify(
    zoho: Session,
    mirror: str | PathLike[str] | Destination,
    *,
    from_date: dt.date | None = None,
    to_date: dt.date | None = None,
    by: PeriodLength = "year",
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> Verification:
    """Compare a mirror with Zoho's reports.

    Args:
        zoho: The session that sends the calls.
        mirror: The destination of an export, or what ``zoho-async export --to`` takes.
        from_date: First day whose account transactions are compared. Default: all days.
        to_date: Last day, before today. Default: the last day of the previous month.
        by: Length of the periods in which account transactions are compared.
        now: Returns the current time with its UTC offset.

    Raises:
        ConfigurationError: ``to_date`` is not before today or is before ``from_date``.
        CheckpointRefused: The mirror holds no export of this organization, or cannot be read back.
        ZohoError: What calls raise, but for reports and lists that Zoho refuses or fails to answer
            (HTTP 5xx): they are not compared.
    """
    found = await _read(zoho, mirror)
    reader = Reader(zoho)
    row = await reader.organization()
    time = now()
    periods = closed_periods(_lines(found), from_date, to_date, by, _today(time, row))
    base = row.get("currency_code", "")
    checks: list[Comparison] = list(lists.row_checks(found))
    reports: list[ReportSource] = []
    skipped: list[str] = []
    for step in (
        partial(accounts.verify_accounts, reader, found, periods, base),
        *(partial(balances.verify_balances, reader, found, party, base) for party in PARTIES),
        partial(lists.verify_stock, reader, found),
        partial(lists.verify_counts, reader, found),
    ):
        result = await step()
        checks += result.checks
        reports += result.reports
        skipped += result.skipped
    checks += balances.apart(found)
    return Verification(
        mirror=found.name,
        organization=found.organization,
        organization_name=row.get("name", ""),
        base_currency=base,
        time=time,
        tables=tuple(_source(table) for table in found.tables.values()),
        reports=tuple(reports),
        checks=tuple(checks),
        not_compared=(*skipped, *NEVER_COMPARED),
        calls=reader.calls,
    )


#: What no verification compares.
NEVER_COMPARED: Final = (
    "Profit and loss from documents: it needs rules of Zoho that are not public.",
    "Aging in the base currency: the rates of revaluations are not in the documents.",
)


async def plan_verification(
    zoho: Session,
    mirror: str | PathLike[str] | Destination,
    *,
    from_date: dt.date | None = None,
    to_date: dt.date | None = None,
    by: PeriodLength = "year",
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> VerifyPlan:
    """The price of `zoho_async.verify.verify` in calls, with its arguments. Makes no calls."""
    found = await _read(zoho, mirror)
    periods = closed_periods(_lines(found), from_date, to_date, by, now().date())
    lines: list[str] = []
    calls = 1
    lines.append("organization: 1 call")
    if not why_not(found, TRANSACTIONS) and not why_not(found, ACCOUNTS):
        calls += 2 * len(periods)
        lines.append(f"trial balance: {len(periods)} periods x 2 = {2 * len(periods)} calls")
    else:
        number = len(found.tables[ACCOUNTS].rows) if ACCOUNTS in found.tables else 0
        known = f" for {number:,} accounts" if number else ""
        lines.append(
            "trial balance: not compared; the export of chart_of_accounts.transactions takes at "
            f"least one call per account and one per {_ROWS_PER_CALL} of its lines{known}"
        )
    for party in PARTIES:
        if not why_not(found, party.resource):
            parties = {row[party.contact] for row in found.tables[party.resource].rows}
            pages = max(1, -(-len(parties) // _ROWS_PER_CALL))
            calls += 2 * pages
            lines.append(f"{party.title}: up to {2 * pages} calls")
    if not why_not(found, ITEMS):
        pages = max(1, -(-len(found.tables[ITEMS].rows) // _ROWS_PER_CALL))
        calls += 2 * pages
        lines.append(f"inventory summary: up to {2 * pages} calls")
    counted = sum(len(found.tables[name].views) for name in lists.counted(found))
    calls += counted
    lines.append(f"totals of lists: {counted} calls")
    lines.append(
        "only for numbers that do not agree: the lines of the account, the documents of the "
        "contact, or the rows of the list, and one call per record that differs"
    )
    return VerifyPlan(calls=calls, lines=tuple(lines))


def closed_periods(
    days: Sequence[str],
    first: dt.date | None,
    last: dt.date | None,
    by: PeriodLength,
    today: dt.date,
) -> list[Period]:
    """The closed periods in which account transactions are compared.

    ``days`` are those of the mirror's lines. Without ``first``, the first period begins before all
    books, so that lines that the mirror lacks at its beginning are noticed. Raises
    `ConfigurationError`.
    """
    last = last or today.replace(day=1) - _DAY
    if last >= today:
        raise ConfigurationError(f"to must be before today, {today}, got {last}")
    begin = first or min((day for day in map(_day, days) if day is not None), default=last)
    begin = min(begin, last) if first is None else begin
    if last < begin:
        raise ConfigurationError(f"from must not be after to, {last}, got {begin}")
    periods = split_period(begin, last, by)
    if first is None:
        periods[0] = Period(BEGINNING, periods[0].last)
    return periods


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        return None


def _today(time: dt.datetime, row: Mapping[str, str]) -> dt.date:
    try:
        return time.astimezone(ZoneInfo(row.get("time_zone") or "UTC")).date()
    except (KeyError, ValueError, OSError):  # a zone that this computer does not know
        return time.astimezone(dt.UTC).date()


def _lines(mirror: Mirror) -> list[str]:
    if why_not(mirror, TRANSACTIONS):
        return []
    return [row["transaction_date"] for row in mirror.tables[TRANSACTIONS].rows]


async def _read(zoho: Session, mirror: str | PathLike[str] | Destination) -> Mirror:
    destination = open_destination(mirror) if isinstance(mirror, str | PathLike) else mirror
    found = await anyio.to_thread.run_sync(read_mirror, destination, FIELDS)
    held = Origin(found.organization, found.host)
    asked = Origin(str(zoho.organization), urlsplit(zoho.api_url).hostname or zoho.api_url)
    if held != asked:
        raise CheckpointRefused(f"{found.name} holds an export of {held}, and this is {asked}")
    return found


def _source(table: MirrorTable) -> TableSource:
    return TableSource(
        resource=table.resource,
        rows=len(table.rows),
        digest=table.digest,
        fields=table.fields,
        read_at=dt.datetime.fromtimestamp(table.read_at, dt.UTC),
    )
