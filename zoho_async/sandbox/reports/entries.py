"""Double entry: postings, and claims that are settled in parts.

Model
-----
A *posting* has entries in the base currency; a debit is positive, a credit negative. A *claim* is
what a document leaves open: an unpaid invoice, an unused credit note, a payment that is not
applied. It has an account, a currency rate, and the amount that is in it.

Invariant
---------
The entries of each posting sum to zero. The entries that name a claim sum to its open amount times
its rate, rounded to cents. So a claim that is settled leaves no cent in its account, however many
parts settled it.

Why it holds
------------
`Claim.add` and `Claim.take` return the change of the rounded open amount. Whatever the two sides of
a posting differ by goes to an account for differences: exchange gain or loss if a claim was
settled at another rate, else rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import msgspec

from zoho_async.sandbox.rules.settlement import End

NOTHING: Final = Decimal(0)
_CENT: Final = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Round half up to cents."""
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)


class BookEntry(msgspec.Struct, frozen=True):
    """One line of a posting. ``amount`` is a debit, or a credit if negative.

    ``claim`` is the document whose open amount the entry changes, if any, and ``foreign`` that
    change in the document's own currency.
    """

    account: str
    amount: Decimal
    claim: End | None = None
    foreign: Decimal = NOTHING


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """What one document does to the books on one day.

    ``opens`` says whether this is the entry of the document itself, which opens its claim.
    """

    date: str
    kind: str
    id: str
    entries: tuple[BookEntry, ...]
    number: str = ""
    reference: str = ""
    party: str = ""
    party_name: str = ""
    currency: str = ""
    opens: End | None = None
    recognizes: bool = True


class Claim:
    """The open amount of a document, in its own currency.

    ``sign`` is 1 if the open amount is a debit (an invoice), -1 if it is a credit (a bill).
    """

    def __init__(self, end: End, account: str, rate: Decimal, sign: int, date: str) -> None:
        self.end: Final = end
        self.account: Final = account
        self.rate: Final = rate
        self.date: Final = date
        self.open = NOTHING
        self._sign: Final = sign

    def add(self, amount: Decimal) -> BookEntry:
        """The entry that raises the open amount."""
        before = cents(self.open * self.rate)
        self.open += amount
        change = cents(self.open * self.rate) - before
        return BookEntry(self.account, self._sign * change, self.end, self._sign * amount)

    def take(self, amount: Decimal) -> BookEntry:
        """The entry that settles a part of the open amount."""
        return self.add(-amount)


def balanced(entries: Iterable[BookEntry], difference: str) -> tuple[BookEntry, ...]:
    """Sum entries by account and claim, and post what is left over to an account."""
    sums: dict[tuple[str, End | None], tuple[Decimal, Decimal]] = {}
    left = NOTHING
    for entry in entries:
        amount, foreign = sums.get((entry.account, entry.claim), (NOTHING, NOTHING))
        sums[entry.account, entry.claim] = amount + entry.amount, foreign + entry.foreign
        left += entry.amount
    if left:
        amount, foreign = sums.get((difference, None), (NOTHING, NOTHING))
        sums[difference, None] = amount - left, foreign
    return tuple(
        BookEntry(account, amount, claim, foreign)
        for (account, claim), (amount, foreign) in sums.items()
        if amount or foreign
    )


def on_cash_basis(postings: Sequence[Posting], rounding: str) -> Iterator[Posting]:
    """Restate postings so that income and expense count when they are paid.

    The entry of an invoice, a bill or a credit is left out. Each entry that settles its claim
    becomes the same part of the accounts of its lines. What was written off is never income.
    """
    own = {each.opens: each for each in postings if each.opens is not None}
    shares: dict[End, _Shares] = {}
    for posting in sorted(postings, key=lambda each: each.date):
        if posting.opens is not None or not posting.recognizes:
            continue
        entries: list[BookEntry] = []
        for entry in posting.entries:
            origin = own.get(entry.claim) if entry.claim is not None else None
            if origin is None or entry.claim is None:
                entries.append(entry)
                continue
            if entry.claim not in shares:
                shares[entry.claim] = _Shares(origin, entry.claim)
            entries += shares[entry.claim].settle(entry.amount)
        yield msgspec.structs.replace(posting, entries=balanced(entries, rounding))


class _Shares:
    """The accounts of a document's lines, recognized in proportion to what settles its claim."""

    def __init__(self, origin: Posting, end: End) -> None:
        self._lines: Final = [each for each in origin.entries if each.claim != end]
        self._whole: Final = sum(
            (each.amount for each in origin.entries if each.claim == end), NOTHING
        )
        self._settled = NOTHING

    def settle(self, amount: Decimal) -> list[BookEntry]:
        if not self._whole:
            return []
        before, self._settled = self._settled, self._settled - amount
        return [
            BookEntry(line.account, self._part(line, self._settled) - self._part(line, before))
            for line in self._lines
        ]

    def _part(self, line: BookEntry, settled: Decimal) -> Decimal:
        return cents(line.amount * settled / self._whole)


def totals(entries: Iterable[BookEntry]) -> Mapping[str, tuple[Decimal, Decimal]]:
    """Debits and credits by account, both positive."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in entries:
        debit, credit = found.get(entry.account, (NOTHING, NOTHING))
        if entry.amount > 0:
            debit += entry.amount
        else:
            credit -= entry.amount
        found[entry.account] = debit, credit
    return found
