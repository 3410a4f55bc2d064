"""Compare the rows of lists with the record index, their counts with Zoho's, and the stock."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from zoho_async.export.catalog import children, row_facts, single_reads
from zoho_async.reports import Period
from zoho_async.verify.accounts import MOST_READ, StepResult, why_not
from zoho_async.verify.compare import Age, Changed, age_of, amount, judged, row_check
from zoho_async.verify.mirror import Mirror
from zoho_async.verify.read import Reader, ReportRefused
from zoho_async.verify.results import Comparison, ReportSource
from zoho_async.verify.tables import ITEMS


def row_checks(mirror: Mirror) -> Iterator[Comparison]:
    """Compare the ids of each table with those that the export wrote. No calls."""
    for table in mirror.tables.values():
        if table.readable:
            yield row_check(
                table.resource,
                len(table.rows),
                unknown=table.unknown,
                missing=table.missing,
                repeated=table.repeated,
            )


def counted(mirror: Mirror) -> list[str]:
    """The lists whose rows are counted."""
    return [
        table.resource
        for table in mirror.tables.values()
        if not table.unusable and table.resource not in children()
    ]


async def verify_counts(reader: Reader, mirror: Mirror) -> StepResult:
    """Compare the number of rows of each list with Zoho's total.

    One call per list, more if they disagree: then the list is read, and ids are compared.
    """
    checks: list[Comparison] = []
    skipped: list[str] = []
    for resource in counted(mirror):
        table, facts = mirror.tables[resource], row_facts()[resource]
        try:
            total = await reader.total(facts, table.views)
            if total is None:
                skipped.append(f"Number of {resource}: Zoho does not count it.")
                continue
            check = Comparison(
                subject="counts",
                name=resource,
                unit="records",
                mirror=Decimal(len(table.rows)),
                zoho=Decimal(total),
                verdict="agrees",
            )
            if total != len(table.rows):
                check = await _confirm_count(reader, mirror, check)
        except ReportRefused as refusal:
            skipped.append(f"Number of {resource}: {refusal}.")
            continue
        checks.append(check)
    return StepResult(checks=tuple(checks), skipped=tuple(skipped))


async def _confirm_count(reader: Reader, mirror: Mirror, check: Comparison) -> Comparison:
    table, facts = mirror.tables[check.name], row_facts()[check.name]
    theirs = await reader.ids(facts, table.views)
    mine = {row[facts.row_id] for row in table.rows}
    ages: dict[str, Age] = {}
    changed: list[Changed] = []
    for identity in sorted(theirs.keys() - mine):
        modified = theirs[identity].modified
        if table.hides:
            ages[identity] = "unknown"
        elif modified is None and len(ages) < MOST_READ and check.name in single_reads():
            ages[identity] = await reader.age(check.name, identity, table.read_at)
        else:
            ages[identity] = age_of(modified, table.read_at)
        changed.append(_record(identity, "nothing", "a record"))
    for identity in sorted(mine - theirs.keys()):
        ages[identity] = "gone"
        written = identity not in table.unknown
        changed.append(_record(identity, "a record", "nothing", written=written))
    return judged(check, changed, ages, "the mirror has the records that Zoho lists")


def _record(identity: str, mirror: str, zoho: str, *, written: bool = True) -> Changed:
    return Changed(id=identity, kind="", record=identity, mirror=mirror, zoho=zoho, written=written)


async def verify_stock(reader: Reader, mirror: Mirror) -> StepResult:
    """Compare the stock on hand of each item with the inventory summary.

    One call per page of the report, before and after. A sale moves the stock and not the item's
    ``last_modified_time``, so stock that disagrees is not comparable.
    """
    title = "Stock on hand with the inventory summary"
    if why := why_not(mirror, ITEMS):
        return StepResult(skipped=(f"{title}: {why}.",))
    try:
        before = await reader.stock()
        after = await reader.stock()
    except ReportRefused as refusal:
        return StepResult(skipped=(f"{title}: {refusal}.",))
    if not before and not after:
        return StepResult(skipped=(f"{title}: the report has no items.",))
    checks: list[Comparison] = []
    for row in mirror.tables[ITEMS].rows:
        identity, mine = row["item_id"], amount(row["stock_on_hand"])
        if identity not in after or not row["stock_on_hand"]:
            continue
        check = Comparison(
            subject="stock",
            name=row["name"] or identity,
            unit="units",
            mirror=mine,
            zoho=after[identity],
            verdict="agrees",
        )
        if mine not in (before.get(identity), after[identity]):
            check = judged(
                check,
                (),
                {},
                "stock moves without changing the item: export with --full and verify",
            )
        checks.append(check)
    report = ReportSource(
        title="Inventory summary",
        name="books.reports.inventory_summary",
        period=Period(None, None),
        moved=before != after,
    )
    return StepResult(checks=tuple(checks), reports=(report,))
