"""Compare tables of a mirror with Zoho's reports: values in, verdicts out.

Model
-----
Three things are compared: the mirror M, the report R, and, only if M and R disagree, the list L
that the mirror is a copy of, as Zoho has it now. R is read before and after the rest.

- If M adds up to R before or after, the check agrees.
- Otherwise L is read and compared with M record by record. A record of L that changed after the
  export read it is set apart. If any other record differs, the check differs and names it.
- If no other record differs, the mirror is a copy of what Zoho has, and the check is not
  comparable: records changed, or Zoho's report and list do not add up in the way that we assume.

Invariant
---------
A true export never differs.

Why it holds
------------
"Differs" needs a record that Zoho shows with other values than the mirror, or not at all, although
it has not changed since the export read it; or a row that no export wrote. Neither is possible in a
true export. What we assume of a report (its sign, its rounding, which documents it counts) decides
only whether L is read, never the verdict.

Unknown
-------
- Whether account transactions are in the base currency for every type of transaction. Where they
  are not, the sum disagrees, L agrees, and the check is not comparable.
- Costs that Zoho calculates again without changing the document: accounts of the types in
  `RECALCULATED` never differ by what Zoho shows, nor do the expenses of a transaction with stock.
- Whether a payment in a foreign currency counts as changed if the rate of its invoice does. So such
  payments are set apart if a document in a foreign currency changed (`with_doubtful_rates`).
- Records that Zoho changes without moving their ``last_modified_time``. The documents of the
  ledger are not known to be among them. The stock of an item is, so stock never differs by itself.
- Whether the lines of an account were read while it changed. Its list has no ids, so a line that
  moved between two pages can be in the mirror twice or not at all. Such a mirror differs, and a
  new export mends it.
- Differences that cancel each other in an account and a period.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.reports import Period
from zoho_async.verify.results import Comparison, Difference, number

ZERO: Final = Decimal(0)

#: What is known of a record of Zoho: ``changed`` after the export read it, ``unchanged`` since
#: then, ``gone`` from Zoho, or ``unknown``, because Zoho does not say when it changed.
Age: TypeAlias = Literal["changed", "unchanged", "gone", "unknown"]
_SET_APART: Final[Mapping[Age, str]] = {
    "changed": "changed since the export",
    "gone": "deleted in Zoho since the export",
    "unknown": "it is not known when it changed",
}


def amount(text: str) -> Decimal:
    """A number of the mirror; 0 for a blank and for any other text."""
    try:
        value = Decimal(text or "0")
    except InvalidOperation:
        return ZERO
    return value if value.is_finite() else ZERO


STOCK: Final = "stock"
#: Types of accounts whose lines Zoho changes without changing the document, as it does with costs
#: after a bill with an earlier date.
RECALCULATED: Final = frozenset({STOCK, "cost_of_goods_sold"})
#: Types of other accounts in which an item's costs can be.
COSTS: Final = frozenset({"expense", "other_expense"})
#: Types of transactions whose amounts in the base currency depend on no other document.
_OWN_RATE: Final = frozenset({"invoice", "bill", "bills", "expense", "journal"})


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an account. ``amount`` is the debit, a credit is negative."""

    account: str
    transaction: str
    kind: str
    number: str
    date: str
    amount: Decimal
    currency: str

    def __str__(self) -> str:
        side = "debit" if self.amount >= 0 else "credit"
        currency = f", document in {self.currency}" if self.currency else ""
        return f"{side} {number(abs(self.amount))} on {self.date}{currency}"


def line_of(row: Mapping[str, str]) -> Line:
    """The line in a row of ``chart_of_accounts.transactions``."""
    return Line(
        account=row.get("account_id", ""),
        transaction=row.get("transaction_id", ""),
        kind=row.get("transaction_type", ""),
        number=row.get("entry_number", ""),
        date=row.get("transaction_date", ""),
        amount=amount(row.get("debit_amount", "")) - amount(row.get("credit_amount", "")),
        currency=row.get("currency_code", ""),
    )


def movements(lines: Iterable[Line], periods: Sequence[Period]) -> list[dict[str, Decimal]]:
    """The sum of the lines of each account in each period, a credit negative.

    ``periods`` follow each other without a gap.
    """
    sums: list[dict[str, Decimal]] = [defaultdict(Decimal) for _ in periods]
    ends = [period.last.isoformat() if period.last else "9999" for period in periods]
    for line in lines:
        at = bisect_left(ends, line.date[:10])
        if at < len(periods) and is_within(line.date, periods[at]):
            sums[at][line.account] += line.amount
    return [dict(one) for one in sums]


def is_within(day: str, period: Period) -> bool:
    """Whether ``day`` is in a period. No day is before the period's end."""
    first = period.first.isoformat() if period.first else ""
    last = period.last.isoformat() if period.last else "9999"
    return first <= day[:10] <= last


def agrees(mirror: Decimal, before: Decimal, after: Decimal) -> bool:
    """Whether the mirror has the amount of the report, as read before or after."""
    return mirror in (before, after)


def mixed_currencies(lines: Iterable[Line]) -> set[str]:
    """The transactions whose lines are in several currencies."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if line.transaction:
            found[line.transaction].add(line.currency)
    return {transaction for transaction, currencies in found.items() if len(currencies) > 1}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is not the same in the mirror and in Zoho. ``mine`` and ``zoho`` are texts.

    ``currency`` is the transaction's. ``written`` is False if the mirror's row was not written by
    an export.
    """

    id: str
    kind: str
    record: str
    mirror: str
    zoho: str
    currency: str = ""
    written: bool = True


class Reread(msgspec.Struct, frozen=True):
    """The records that differ from what Zoho shows now, and what is known of each by its id."""

    changed: Sequence[Changed]
    ages: Mapping[str, Age]


def changed_lines(mirror: Sequence[Line], zoho: Sequence[Line], period: Period) -> list[Changed]:
    """The transactions that differ in one account and have a line in the period."""
    mine, theirs = _by_transaction(mirror), _by_transaction(zoho)
    found: list[Changed] = []
    for transaction in sorted({*mine, *theirs}):
        own, other = mine.get(transaction, []), theirs.get(transaction, [])
        if Counter(map(_content, own)) == Counter(map(_content, other)):
            continue
        if any(is_within(line.date, period) for line in (*own, *other)):
            first = (other or own)[0]
            name = f"{first.kind.replace('_', ' ')} {first.number}".strip()
            found.append(
                Changed(
                    id=transaction,
                    kind=first.kind,
                    record=name or "line",
                    mirror=_texts(own),
                    zoho=_texts(other),
                    currency=first.currency,
                )
            )
    return found


def with_doubtful_rates(changed: Iterable[Changed], ages: Mapping[str, Age], base: str) -> set[str]:
    """The transactions whose gain or loss may have changed with the rate of another document.

    These are payments and credits in a foreign currency, if a document in a foreign currency is
    not the same any more. ``base`` is the base currency.
    """
    foreign = [one for one in changed if one.currency != base]
    if all(ages.get(one.id) in ("unchanged", None) for one in foreign):
        return set()
    return {one.id for one in foreign if one.kind not in _OWN_RATE}


def _content(line: Line) -> tuple[str, Decimal, str]:
    return line.date[:10], line.amount, line.currency


def _by_transaction(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line.transaction].append(line)
    return dict(found)


def _texts(lines: Sequence[Line]) -> str:
    return "; ".join(sorted(map(str, lines))) or "nothing"


# -- documents with a balance -------------------------------------------------------------------


class OpenDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice or a bill."""

    id: str
    number: str
    party: str
    party_name: str
    currency: str
    status: str
    date: str
    total: Decimal
    balance: Decimal

    def __str__(self) -> str:
        return (
            f"balance {number(self.balance)} of {number(self.total)} {self.currency}, "
            f"{self.date}, {self.status}"
        )


#: Statuses of documents that no aging counts.
UNPOSTED: Final = frozenset(
    {"draft", "void", "pending_approval", "approved", "rejected", "declined"}
)


def open_balances(documents: Iterable[OpenDocument]) -> dict[str, dict[str, Decimal]]:
    """The open balance of each customer or vendor by currency."""
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for one in documents:
        if one.balance and one.status not in UNPOSTED:
            sums[one.party][one.currency] += one.balance
    return {party: dict(own) for party, own in sums.items()}


class Aged(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an aging report: in the base currency, and in the contact's own."""

    name: str
    base: Decimal
    foreign: Decimal


def is_other_currency(currency: str, aged: Aged, base: str) -> bool:
    """Whether a row's two amounts contradict that it is in ``currency``. ``base`` is the other."""
    return (currency == base) != (aged.base == aged.foreign) and bool(aged.foreign)


def changed_documents(
    mirror: Sequence[OpenDocument], zoho: Mapping[str, OpenDocument | None]
) -> list[Changed]:
    """The documents that differ. ``zoho`` has None for a document that is gone.

    The status is compared only as far as it decides whether a document counts, because Zoho turns
    ``sent`` into ``overdue`` without changing the document.
    """
    mine = {one.id: one for one in mirror}
    found: list[Changed] = []
    for identity in sorted({*mine, *zoho}):
        own, other = mine.get(identity), zoho.get(identity)
        if own is not None and other is not None and _facts(own) == _facts(other):
            continue
        named = other or own
        assert named is not None
        found.append(
            Changed(
                id=identity,
                kind="",
                record=named.number or identity,
                mirror=str(own) if own is not None else "nothing",
                zoho=str(other) if other is not None else "nothing",
            )
        )
    return found


def _facts(one: OpenDocument) -> tuple[object, ...]:
    return (
        *(one.party, one.currency, one.date[:10], one.total, one.balance),
        one.status in UNPOSTED,
    )


# -- verdicts -----------------------------------------------------------------------------------


def judged(
    check: Comparison,
    changed: Sequence[Changed],
    ages: Mapping[str, Age],
    otherwise: str,
    *,
    agreeing: bool = False,
) -> Comparison:
    """The verdict of a check from the records that differ.

    ``ages`` has what is known of each of them. ``otherwise`` is the reason if none differs, unless
    the numbers are ``agreeing``.
    """
    proven = [one for one in changed if not one.written or ages.get(one.id) == "unchanged"]
    apart = [
        f"{one.record}: {_SET_APART[ages.get(one.id, 'unknown')]}"
        for one in changed
        if one not in proven
    ]
    differences = tuple(
        Difference(id=one.id, record=one.record, mirror=one.mirror, zoho=one.zoho) for one in proven
    )
    if differences:
        reason = f"{len(differences)} of its records differ and have not changed since the export"
        return msgspec.structs.replace(
            check,
            verdict="differs",
            reason=reason,
            differences=differences,
            set_apart=tuple(apart),
        )
    if agreeing:
        return msgspec.structs.replace(check, set_apart=tuple(apart))
    reason = "records changed since the export: export again" if apart else otherwise
    return msgspec.structs.replace(
        check, verdict="not comparable", reason=reason, set_apart=tuple(apart)
    )


def age_of(modified: float | None, read_at: float) -> Age:
    """What a record's last modification says, in seconds since 1970."""
    if modified is None:
        return "unknown"
    return "changed" if modified >= read_at else "unchanged"


def row_check(
    resource: str,
    rows: int,
    *,
    unknown: Sequence[str],
    missing: Sequence[str],
    repeated: Sequence[str],
) -> Comparison:
    """Compare the ids of a table with those that the export wrote."""
    differences = [
        *(_row(one, "a row", "not written by an export") for one in unknown),
        *(_row(one, "nothing", "written by an export") for one in missing),
        *(_row(one, "several rows", "written once") for one in repeated),
    ]
    return Comparison(
        subject="rows",
        name=resource,
        unit="rows",
        verdict="differs" if differences else "agrees",
        mirror=Decimal(rows),
        zoho=Decimal(rows - len(unknown) - len(repeated) + len(missing)),
        reason="the table was changed after the export" if differences else "",
        differences=tuple(differences),
    )


def _row(identity: str, mirror: str, index: str) -> Difference:
    return Difference(id=identity, record=f"row {identity}", mirror=mirror, zoho=index)
