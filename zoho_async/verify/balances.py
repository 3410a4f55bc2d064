"""Compare the open balances of invoices and bills with today's aging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, cast

from zoho_async.reports import Period
from zoho_async.verify.accounts import StepResult, why_not
from zoho_async.verify.compare import (
    UNPOSTED,
    ZERO,
    Age,
    Aged,
    OpenDocument,
    Reread,
    age_of,
    amount,
    changed_documents,
    is_other_currency,
    judged,
    open_balances,
)
from zoho_async.verify.mirror import Mirror
from zoho_async.verify.read import Reader, ReportRefused
from zoho_async.verify.results import Comparison, ReportSource, Subject
from zoho_async.verify.tables import APART, AgedList, document_of

_WHY: Final = (
    "the mirror has the documents that Zoho lists, and their balances do not add up to Zoho's aging"
)


async def verify_balances(reader: Reader, mirror: Mirror, party: AgedList, base: str) -> StepResult:
    """Compare each contact's open documents with the aging, in the contact's currency.

    ``base`` is the base currency. One call per page of the report, before and after, and more for
    contacts that disagree.
    """
    title = f"Open balances of {party.resource.partition('.')[2]} with the aging"
    if why := why_not(mirror, party.resource):
        return StepResult(skipped=(f"{title}: {why}.",))
    table = mirror.tables[party.resource]
    documents = [document_of(party, row) for row in table.rows]
    mine = open_balances(documents)
    own: dict[str, list[OpenDocument]] = defaultdict(list)
    for one in documents:
        own[one.party].append(one)
    try:
        before = await reader.aging(party)
        confirmed: dict[str, Reread] = {}
        for contact in sorted({*mine, *before}):
            amounts, aged = mine.get(contact, {}), before.get(contact)
            if not _agrees(amounts, aged) or _is_doubtful(amounts, aged, base):
                confirmed[contact] = await _confirm(
                    reader, party, contact, own[contact], table.read_at
                )
        after = await reader.aging(party)
    except ReportRefused as refusal:
        return StepResult(skipped=(f"{title}: {refusal}.",))
    names = {one.party: one.party_name for one in documents}
    checks: list[Comparison] = []
    for contact in sorted({*mine, *before, *after}):
        amounts, aged = mine.get(contact, {}), after.get(contact)
        check = Comparison(
            subject=cast(Subject, party.subject),
            name=names.get(contact) or (aged.name if aged else "") or contact,
            unit=", ".join(sorted(amounts)) or "contact's currency",
            mirror=sum(amounts.values(), ZERO),
            zoho=aged.foreign if aged else ZERO,
            verdict="agrees",
        )
        found = confirmed.get(contact)
        agreeing = any(_agrees(amounts, one.get(contact)) for one in (before, after))
        if found is not None:
            agreeing = agreeing and not (found.changed and _is_doubtful(amounts, aged, base))
            why = "it has balances in several currencies" if len(amounts) > 1 else _WHY
            check = judged(check, found.changed, found.ages, why, agreeing=agreeing)
        elif not agreeing:
            check = judged(check, (), {}, "the aging changed meanwhile")
        checks.append(check)
    report = ReportSource(
        title=party.title,
        name=f"books.reports.{'ar' if party.subject == 'receivables' else 'ap'}_aging_summary",
        period=Period(None, None),
        moved=before != after,
    )
    return StepResult(checks=tuple(checks), reports=(report,))


def _agrees(amounts: dict[str, Decimal], aged: Aged | None) -> bool:
    """Whether a contact's open balances are in one currency and add up to the report."""
    if aged is None:
        return not any(amounts.values())
    return len(amounts) <= 1 and sum(amounts.values(), ZERO) == aged.foreign


def _is_doubtful(amounts: dict[str, Decimal], aged: Aged | None, base: str) -> bool:
    """Whether the report's two amounts contradict the currency of the mirror's balances."""
    if aged is None or len(amounts) != 1 or not base:
        return False
    return is_other_currency(next(iter(amounts)), aged, base)


async def _confirm(
    reader: Reader, party: AgedList, contact: str, mine: Sequence[OpenDocument], read_at: float
) -> Reread:
    """Read the documents of a contact. One that its list does not show is read by its id."""
    listed = await reader.documents(party, contact)
    theirs: dict[str, OpenDocument | None] = {}
    ages: dict[str, Age] = {}
    for identity, (one, changed_at) in listed.items():
        theirs[identity], ages[identity] = one, age_of(changed_at, read_at)
    for one in mine:
        if one.id not in theirs:
            found = await reader.document(party, one.id)
            theirs[one.id] = found[0] if found else None
            ages[one.id] = age_of(found[1], read_at) if found else "gone"
    return Reread(changed_documents(mine, theirs), ages)


def apart(mirror: Mirror) -> list[Comparison]:
    """Credits, retainers and unapplied payments: the mirror's sums, which no report shows alone."""
    checks: list[Comparison] = []
    for resource, (field, title) in APART.items():
        table = mirror.tables.get(resource)
        if table is None or table.unusable or field in table.absent:
            continue
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for row in table.rows:
            if row["status"] not in UNPOSTED:
                sums[row["currency_code"]] += amount(row[field])
        checks += [
            Comparison(
                subject="apart",
                name=title,
                unit=currency or "no currency",
                mirror=total,
                verdict="not comparable",
                reason="no report of Zoho shows them alone",
            )
            for currency, total in sorted(sums.items())
            if total
        ]
    return checks
