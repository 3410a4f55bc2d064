"""Compare account transactions with the movement of the trial balance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import anyio.to_thread
import msgspec

from zoho_async.export.catalog import KEY
from zoho_async.reports import Period
from zoho_async.verify.compare import (
    COSTS,
    RECALCULATED,
    STOCK,
    ZERO,
    Age,
    Changed,
    Line,
    Reread,
    agrees,
    changed_lines,
    judged,
    line_of,
    mixed_currencies,
    movements,
    with_doubtful_rates,
)
from zoho_async.verify.mirror import Mirror, MirrorTable
from zoho_async.verify.read import KINDS, Reader, ReportRefused
from zoho_async.verify.results import Comparison, ReportSource
from zoho_async.verify.tables import ACCOUNTS, TRANSACTIONS

#: How many records that disagree are read in one verification, so that its price has a bound.
MOST_READ: Final = 200


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one subject; ``skipped`` says what was not compared and why."""

    checks: tuple[Comparison, ...] = ()
    reports: tuple[ReportSource, ...] = ()
    skipped: tuple[str, ...] = ()


Amounts = dict[str, tuple[str, Decimal]]


async def verify_accounts(
    reader: Reader, mirror: Mirror, periods: Sequence[Period], base: str
) -> StepResult:
    """Compare each account in each period, in the base currency ``base``.

    Two calls per period, more for what disagrees.
    """
    why = why_not(mirror, ACCOUNTS) or why_not(mirror, TRANSACTIONS)
    if why:
        return StepResult(skipped=(f"Account transactions with the trial balance: {why}.",))
    table = mirror.tables[TRANSACTIONS]
    chart = {row["account_id"]: row for row in mirror.tables[ACCOUNTS].rows}
    lines, sums, mixed = await anyio.to_thread.run_sync(_added_up, table, periods)
    try:
        before = [await reader.trial_balance(period) for period in periods]
        pending = _disagreeing(periods, sums, before, mixed)
        pending = {account: own for account, own in pending.items() if account in chart}
        confirmed = await _confirm(reader, table, chart, lines, pending, base)
        after = [await reader.trial_balance(period) for period in periods]
    except ReportRefused as refusal:
        return StepResult(skipped=(f"Account transactions with the trial balance: {refusal}.",))
    checks: list[Comparison] = []
    for period, own, first, last in zip(periods, sums, before, after, strict=True):
        for account in sorted({*own, *first, *last}):
            mine = own.get(account, ZERO)
            name, was = first.get(account) or ("", ZERO)
            later, now = last.get(account) or ("", ZERO)
            check = Comparison(
                subject="accounts",
                name=name or later or chart.get(account, {}).get("account_name", account),
                unit=base or "base currency",
                period=period,
                mirror=mine,
                zoho=now,
                verdict="agrees",
            )
            found = confirmed.get((account, period))
            agreeing = agrees(mine, was, now)
            if found is not None:
                check = judged(check, found.changed, found.ages, _WHY, agreeing=agreeing)
            elif not agreeing:
                why = "the trial balance changed meanwhile" if account in chart else _NOT_READ
                check = judged(check, (), {}, why)
            checks.append(check)
    reports = tuple(
        ReportSource(
            title="Trial balance",
            name="books.reports.trial_balance",
            period=period,
            basis="accrual",
            moved=first != last,
        )
        for period, first, last in zip(periods, before, after, strict=True)
    )
    return StepResult(checks=tuple(checks), reports=reports)


_NOT_READ: Final = "the account is not in the mirror, so the export did not read its lines"
_WHY: Final = (
    "the mirror has the lines that Zoho lists for the account, and their sum is not the movement "
    "in Zoho's trial balance"
)


def why_not(mirror: Mirror, resource: str) -> str:
    """Why a table of the mirror cannot be compared, "" if it can."""
    name, table = resource.partition(".")[2], mirror.tables.get(resource)
    if table is None:
        return f"{name} is not in the mirror"
    if table.absent:
        return f"{name} has no column {', '.join(table.absent)} in the mirror"
    return f"{name}: {table.unusable}" if table.unusable else ""


def _added_up(
    table: MirrorTable, periods: Sequence[Period]
) -> tuple[list[Line], list[dict[str, Decimal]], set[str]]:
    """The lines, their sums in each period, and the accounts with lines of doubtful currency."""
    lines = [line_of(row) for row in table.rows]
    mixed = mixed_currencies(lines)
    doubtful = {line.account for line in lines if line.transaction in mixed}
    return lines, movements(lines, periods), doubtful


def _disagreeing(
    periods: Sequence[Period],
    sums: Sequence[Mapping[str, Decimal]],
    reports: Sequence[Amounts],
    doubtful: set[str],
) -> dict[str, list[Period]]:
    """The accounts to read again, with the periods: those of another sum or doubtful currency."""
    found: dict[str, list[Period]] = defaultdict(list)
    for period, own, report in zip(periods, sums, reports, strict=True):
        for account in sorted({*own, *report}):
            other = report.get(account, ("", ZERO))[1]
            if own.get(account, ZERO) != other or (account in doubtful and account in own):
                found[account].append(period)
    return found


async def _confirm(
    reader: Reader,
    table: MirrorTable,
    chart: Mapping[str, Mapping[str, str]],
    lines: Sequence[Line],
    pending: Mapping[str, Sequence[Period]],
    base: str,
) -> dict[tuple[str, Period], Reread]:
    """Read the accounts that disagree, and ask when their differing transactions changed."""
    own: dict[str, list[Line]] = defaultdict(list)
    types = {account: row.get("account_type", "") for account, row in chart.items()}
    with_stock: set[str] = set()
    for line in lines:
        own[line.account].append(line)
        if types.get(line.account) == STOCK:
            with_stock.add(line.transaction)
    foreign = set(table.unknown)
    unwritten = {row["transaction_id"] for row in table.rows if row[KEY] in foreign}
    ages: dict[str, Age] = {}
    found: dict[tuple[str, Period], list[Changed]] = {}
    recalculated: dict[str, set[str]] = defaultdict(set)
    for account, periods in pending.items():
        theirs = await reader.lines(account)
        for period in periods:
            changed = [
                msgspec.structs.replace(one, written=one.id not in unwritten)
                for one in changed_lines(own[account], theirs, period)
            ]
            found[account, period] = changed
            ids = _recalculated(changed, types.get(account, ""), with_stock)
            recalculated[account] |= ids
            for one in changed:
                if one.id not in ages and one.id not in ids and len(ages) < MOST_READ:
                    resource = f"books.{KINDS.get(one.kind, '')}"
                    ages[one.id] = await reader.age(resource, one.id, table.read_at)
    every = [one for changed in found.values() for one in changed]
    doubtful = with_doubtful_rates(every, ages, base)
    return {
        (account, period): Reread(
            changed,
            {
                one: age
                for one, age in ages.items()
                if one not in recalculated[account] and (one not in doubtful or age != "unchanged")
            },
        )
        for (account, period), changed in found.items()
    }


def _recalculated(changed: Sequence[Changed], type: str, with_stock: set[str]) -> set[str]:
    """The transactions whose lines in an account of a ``type`` Zoho may calculate again."""
    ids = {one.id for one in changed}
    if type in COSTS:
        return ids & with_stock
    return ids if type in RECALCULATED else set()
