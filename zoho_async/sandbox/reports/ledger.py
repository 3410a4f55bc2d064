"""The general ledger of one organization, derived from its documents.

Model
-----
`books_of` is a function of the records: it has no state that could disagree with them. Each
document is posted by its state and by the applications and refunds that the rules keep.

- An invoice and a vendor credit debit their claim, a bill and a credit note credit theirs.
- A payment opens a claim of unearned revenue (of prepaid expenses, if sent). An application moves
  an amount from one claim to another. The difference of their rates is exchange gain or loss.
- A retainer has no claim until it is paid.
- Drafts, documents that wait for approval or were rejected, and void documents post nothing.

Invariant
---------
Each posting sums to zero, and the open amount of each claim is the balance that its document shows.

Seeded documents
----------------
Sample invoices and bills are paid without a payment. What their figures say beyond the
applications that the sandbox recorded is posted to the account for opening balances.

Assumed
-------
- An application has the later date of its two documents, a written-off amount its document's date.
- A bank transaction debits ``to_account_id`` and credits ``from_account_id``; a missing one is the
  account for other expenses or income.

Not kept: cost of goods sold, stock values, depreciation, revaluation of currencies, withheld and
compound taxes, and opening balances of contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.reports.chart import Chart
from zoho_async.sandbox.reports.entries import (
    NOTHING,
    BookEntry,
    Claim,
    Posting,
    balanced,
    cents,
    on_cash_basis,
)
from zoho_async.sandbox.reports.parts import (
    PURCHASES,
    SALES,
    Part,
    document_total,
    parts_of,
    taxed_part,
)
from zoho_async.sandbox.rules.amounts import exact, work_out
from zoho_async.sandbox.rules.settlement import Application, ApplicationLedger, End

#: Statuses of documents that post nothing.
UNPOSTED: Final = frozenset(
    {"draft", "void", "pending_approval", "approved", "rejected", "declined"}
)
_POSTINGS_AT_ONCE: Final = 50
_NOT_BOOKED: Final = frozenset({"uncategorized", "excluded", "matched", "imported"})
#: Documents that open a claim: their kind, the claim's account, and the sign of the claim.
_OPENING: Final = {
    "invoices": ("invoice", "receivable", 1),
    "creditnotes": ("creditnote", "receivable", -1),
    "bills": ("bill", "payable", -1),
    "vendorcredits": ("vendor_credit", "payable", 1),
}
#: Payments: their kind, the account of what is not applied, the sign, and the accounts of cash.
_PAYING: Final = {
    "customerpayments": ("customer_payment", "unearned", -1, "account_id", "undeposited"),
    "vendorpayments": ("vendor_payment", "prepaid", 1, "paid_through_account_id", "petty_cash"),
}
_PAYMENT_KINDS: Final = frozenset(kind for kind, *_ in _PAYING.values())
_SOURCES: Final = frozenset({"creditnotes", "vendorcredits", *_PAYING})
#: The families whose party is a customer.
SALES_SIDE: Final = frozenset({"invoices", "creditnotes", "customerpayments", "retainerinvoices"})


class Books:
    """The postings of an organization, oldest first, and the claims of its documents."""

    def __init__(self, store: Store, product: str) -> None:
        self.chart: Final = Chart(store, product)
        self.claims: Final[dict[End, Claim]] = {}
        self.states: Final[dict[End, dict[str, Any]]] = {}
        self._store: Final = store
        self._product: Final = product
        self._applications: Final = ApplicationLedger(store, product)
        self._known: Final[dict[End, Decimal]] = {}
        self.postings: Sequence[Posting] = ()
        self._cash: Sequence[Posting] | None = None

    def build(self) -> Iterator[None]:
        """Derive the postings. Yields now and then, so that a caller can do something else.

        A payment and its applications of the same day become one posting.
        """
        made: list[Posting] = []
        payments: dict[tuple[str, str, str], list[Posting]] = {}
        for number, posting in enumerate(self._post()):
            if posting.kind in _PAYMENT_KINDS:
                key = posting.kind, posting.id, posting.date
                payments.setdefault(key, []).append(posting)
            else:
                made.append(posting)
            if number % _POSTINGS_AT_ONCE == 0:
                yield
        for number, (first, *others) in enumerate(payments.values()):
            entries = [each for one in (first, *others) for each in one.entries]
            one = balanced(entries, "") if others else first.entries
            made.append(msgspec.structs.replace(first, entries=one))
            if number % _POSTINGS_AT_ONCE == 0:
                yield
        self.postings = sorted(made, key=lambda p: p.date)

    def basis(self, *, cash: bool) -> Sequence[Posting]:
        """The postings on the accrual or the cash basis."""
        if not cash:
            return self.postings
        if self._cash is None:
            restated = on_cash_basis(self.postings, self.chart.role("rounding"))
            self._cash = [each for each in restated if each.entries]
        return self._cash

    # -- documents ------------------------------------------------------------------------------

    def documents(self, word: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The ids and states of the records of a family."""
        schema = schemas(self._product).by_path.get((word,))
        collection = self._store.at(schema, ()) if schema is not None else None
        if collection is not None:
            for index in collection.indexes():
                yield collection.id(index), collection.booked(index)

    def _post(self) -> Iterator[Posting]:
        for word in _OPENING:
            for record_id, state in self.documents(word):
                if state.get("status") not in UNPOSTED:
                    yield from self._open((word, record_id), state)
        for record_id, state in self.documents("retainerinvoices"):
            if state.get("status") not in UNPOSTED:
                end, rate = ("retainerinvoices", record_id), rate_of(state)
                account, date = self.chart.role("unearned"), date_of(state)
                self.claims[end] = Claim(end, account, rate, -1, date)
                self.states[end] = state
        for word in _PAYING:
            for record_id, state in self.documents(word):
                if state.get("status") not in UNPOSTED:
                    yield self._pay((word, record_id), state)
        retainers = [end for end in self.claims if end[0] == "retainerinvoices"]
        for end in [end for end in self.claims if end[0] in _SOURCES]:
            yield from self._apply(end)
        for end in retainers:
            yield from self._settle_figures(end, self.states[end])
            yield from self._apply(end)
        for end, state in self.states.items():
            if end[0] != "retainerinvoices":
                yield from self._settle_figures(end, state)
        yield from self._others()

    def _open(self, end: End, state: dict[str, Any]) -> Iterator[Posting]:
        """Post an invoice, a bill or a credit."""
        kind, role, sign = _OPENING[end[0]]
        rate, date = rate_of(state), date_of(state)
        claim = Claim(end, self.chart.role(role), rate, sign, date)
        self.claims[end], self.states[end] = claim, state
        usual = SALES if end[0] in SALES_SIDE else PURCHASES
        parts = parts_of(state, self.chart, usual)
        entries = [claim.add(document_total(state)), *_converted(parts, rate, -sign)]
        yield self._posting(kind, end, state, date, entries, "rounding", opens=end)

    def _pay(self, end: End, state: dict[str, Any]) -> Posting:
        """Post the money of a payment. All of it is unapplied at first."""
        kind, role, sign, field, cash = _PAYING[end[0]]
        rate, date, amount = rate_of(state), date_of(state), exact(state.get("amount"))
        claim = Claim(end, self.chart.role(role), rate, sign, date)
        self.claims[end], self.states[end] = claim, state
        charges = cents(exact(state.get("bank_charges")) * rate)
        opened = claim.add(amount)
        entries = [
            opened,
            BookEntry(self.chart.money(state.get(field), cash), -opened.amount - charges),
            BookEntry(self.chart.role("bank_charges"), charges),
        ]
        return self._posting(kind, end, state, date, entries, "rounding")

    # -- settlements ----------------------------------------------------------------------------

    def _apply(self, source: End) -> Iterator[Posting]:
        """Post the applications and the refunds of a credit, a payment or a retainer."""
        claim = self.claims[source]
        for row in self._applications.rows(source):
            if row.source == source and row.target in self.claims:
                yield self._application(row, claim, self.claims[row.target])
        for record_id, refund in self._refunds(source):
            amount = exact(refund.get("amount"))
            taken = claim.take(amount)
            self._count(source, amount)
            named = [refund.get(f"{each}account_id") for each in ("from_", "", "to_")]
            account = self.chart.money(next(filter(None, named), ""), "petty_cash")
            rate = exact(refund.get("exchange_rate")) or claim.rate
            sign = 1 if taken.amount > 0 else -1
            money = BookEntry(account, -sign * cents(amount * rate))
            yield self._posting(
                f"{source[0]}_refund",
                (source[0], record_id),
                self.states[source] | refund,
                date_of(refund) or claim.date,
                [taken, money],
                "exchange",
            )

    def _application(self, row: Application, source: Claim, target: Claim) -> Posting:
        taken = source.take(row.amount)
        paid = target.add if row.target[0] == "retainerinvoices" else target.take
        entries = [taken, paid(row.amount)]
        self._count(row.source, row.amount)
        self._count(row.target, row.amount)
        kind = _PAYING.get(row.source[0], ("credit_applied",))[0]
        state, date = self.states[row.source], max(source.date, target.date)
        return self._posting(kind, row.source, state, date, entries, "exchange")

    def _count(self, end: End, amount: Decimal) -> None:
        self._known[end] = self._known.get(end, NOTHING) + amount

    def _refunds(self, source: End) -> Iterator[tuple[str, dict[str, Any]]]:
        """The refunds of a source that callers made; seeded ones moved no money."""
        state = self.states[source]
        if not exact(state.get("amount_refunded")) and not exact(
            state.get("total_refunded_amount")
        ):
            return
        schema = schemas(self._product).by_path.get((source[0], "{}", "refunds"))
        if schema is None:
            return
        rows = self._store.at(schema, (source[1],))
        first = rows.world.size(rows.resource.name, rows.resource.default_rows)
        for index in rows.indexes():
            if index >= first:
                yield rows.id(index), rows.state(index)

    def _settle_figures(self, end: End, state: dict[str, Any]) -> Iterator[Posting]:
        """Post what was written off, and what only the figures of a seeded document say."""
        claim = self.claims[end]
        written_off = exact(state.get("write_off_amount"))
        rest = _settled(end, state) - self._known.get(end, NOTHING)
        if end[0] == "retainerinvoices":
            entries, written_off = [claim.add(rest)], NOTHING
        else:
            entries = [claim.take(rest)]
        if rest:
            yield self._posting("opening_balance", end, state, claim.date, entries, "opening")
        if written_off:
            entries = [claim.take(written_off)]
            yield self._posting(
                "writeoff", end, state, claim.date, entries, "bad_debt", recognizes=False
            )

    # -- documents without claims ---------------------------------------------------------------

    def _others(self) -> Iterator[Posting]:
        for record_id, state in self.documents("salesreceipts"):
            if state.get("status") not in UNPOSTED:
                work_out(state)
                parts = parts_of(state, self.chart, SALES)
                entries = _converted(parts, rate_of(state), -1)
                end = "salesreceipts", record_id
                money = self.chart.money(state.get("deposit_to_account_id"), "undeposited")
                yield self._cash_posting("sales_receipt", end, state, entries, money)
        for record_id, state in self.documents("expenses"):
            entries = _converted(self._expense_parts(state), rate_of(state), 1)
            money = self.chart.money(state.get("paid_through_account_id"), "petty_cash")
            end = "expenses", record_id
            yield self._cash_posting("expense", end, state, entries, money)
        for record_id, state in self.documents("journals"):
            if state.get("status") not in UNPOSTED:
                yield self._journal(("journals", record_id), state)
        for record_id, state in self.documents("banktransactions"):
            if state.get("status") not in _NOT_BOOKED:
                yield self._bank_transaction(("banktransactions", record_id), state)
        opening = self._store.thing(self._product, "/settings/openingbalances")
        if opening:
            entries = _sides(opening.get("accounts"), self.chart, "opening", NOTHING)
            end = "openingbalances", ""
            yield self._posting(
                "opening_balance", end, opening, date_of(opening), entries, "opening"
            )

    def _expense_parts(self, state: Mapping[str, Any]) -> list[Part]:
        rows: Any = state.get("line_items")
        lines = [row for row in rows if is_object(row)] if is_list(rows) else []
        lines = lines or [dict(state)]
        made: list[Part] = []
        for line in lines:
            percentage = self._percentage(line.get("tax_id") or state.get("tax_id"))
            inclusive = state.get("is_inclusive_tax") is True
            cost, tax = taxed_part(exact(line.get("amount")), percentage, inclusive=inclusive)
            account = self.chart.line(line.get("account_id"), "other_expenses")
            made += [(account, cost), (self.chart.role("tax"), tax)]
        return made

    def _percentage(self, tax_id: Any) -> Decimal:
        for schema in schemas(self._product).for_name("tax_id") if tax_id else ():
            taxes = self._store.at(schema, ())
            index = taxes.find(str(tax_id))
            if index is not None:
                return exact(taxes.state(index).get("tax_percentage"))
        return NOTHING

    def _journal(self, end: End, state: dict[str, Any]) -> Posting:
        entries = _sides(state.get("line_items"), self.chart, "other_expenses", rate_of(state))
        return self._posting("journal", end, state, date_of(state), entries, "rounding")

    def _bank_transaction(self, end: End, state: dict[str, Any]) -> Posting:
        amount = cents(exact(state.get("amount")) * rate_of(state))
        charges = cents(exact(state.get("bank_charges")) * rate_of(state))
        entries = [
            BookEntry(self.chart.any(state.get("to_account_id"), "other_expenses"), amount),
            BookEntry(self.chart.role("bank_charges"), charges),
            BookEntry(
                self.chart.any(state.get("from_account_id"), "general_income"), -amount - charges
            ),
        ]
        return self._posting("bank_transaction", end, state, date_of(state), entries, "rounding")

    def _cash_posting(
        self, kind: str, end: End, state: dict[str, Any], parts: list[BookEntry], money: str
    ) -> Posting:
        paid = BookEntry(money, -sum((each.amount for each in parts), NOTHING))
        return self._posting(kind, end, state, date_of(state), [*parts, paid], "rounding")

    def _posting(
        self,
        kind: str,
        end: End,
        state: Mapping[str, Any],
        date: str,
        entries: Sequence[BookEntry],
        difference: str,
        *,
        opens: End | None = None,
        recognizes: bool = True,
    ) -> Posting:
        """Make a posting whose difference goes to the account with a role."""
        return Posting(
            date=date,
            kind=kind,
            id=end[1],
            entries=balanced(entries, self.chart.role(difference)),
            number=number_of(state),
            reference=str(state.get("reference_number") or ""),
            party=str(state.get("customer_id") or state.get("vendor_id") or ""),
            party_name=str(state.get("customer_name") or state.get("vendor_name") or ""),
            currency=str(state.get("currency_code") or self._store.world.currency_code),
            opens=opens,
            recognizes=recognizes,
        )


def rate_of(state: Mapping[str, Any]) -> Decimal:
    """The exchange rate of a document; one without a rate is in the base currency."""
    rate = exact(state.get("exchange_rate"))
    return rate if rate > 0 else Decimal(1)


def date_of(state: Mapping[str, Any]) -> str:
    """The date of a document, else the day of its creation."""
    for name in ("date", "journal_date", "created_time"):
        if state.get(name):
            return str(state[name])[:10]
    return ""


def number_of(state: Mapping[str, Any]) -> str:
    """The number that a document shows."""
    names = ("invoice", "creditnote", "bill", "vendor_credit", "payment", "receipt", "entry")
    found = (state.get(f"{name}_number") for name in names)
    return str(next(filter(None, found), ""))


def _settled(end: End, state: Mapping[str, Any]) -> Decimal:
    """What a document's figures say was settled, without what was written off."""
    if end[0] in _PAYING:
        unused = exact(state.get("unused_amount", state.get("amount")))
        return exact(state.get("amount")) - unused
    if end[0] == "retainerinvoices":
        return exact(state.get("payment_made"))
    left = exact(state.get("balance")) + exact(state.get("write_off_amount"))
    return document_total(state) - left


def _converted(parts: Sequence[Part], rate: Decimal, sign: int) -> list[BookEntry]:
    return [BookEntry(account, sign * cents(amount * rate)) for account, amount in parts]


def _sides(rows: Any, chart: Chart, role: str, rate: Decimal) -> list[BookEntry]:
    """Entries of lines that say whether they are a debit or a credit. A line may have a rate."""
    made: list[BookEntry] = []
    for row in [each for each in rows if is_object(each)] if is_list(rows) else []:
        own = rate or exact(row.get("exchange_rate")) or Decimal(1)
        amount = cents(exact(row.get("amount")) * own)
        sign = -1 if row.get("debit_or_credit") == "credit" else 1
        made.append(BookEntry(chart.any(row.get("account_id"), role), sign * amount))
    return made


_BOOKS: Final[WeakKeyDictionary[Store, dict[str, tuple[int, Books]]]] = WeakKeyDictionary()


def books_of(store: Store, product: str = "books") -> Books:
    """The books of an organization in a product, as its records are now.

    They are derived once per state of the records.
    """
    books = _known(store, product)
    if books is None:
        books = Books(store, product)
        for _ in books.build():
            pass
        _BOOKS.setdefault(store, {})[product] = store.version, books
    return books


async def prepare_books(store: Store, product: str) -> None:
    """Derive the books, unless they are known, and let other requests go on meanwhile.

    If a record is written before the books are done, the next call of `books_of` derives them.
    """
    if _known(store, product) is not None:
        return
    version, books = store.version, Books(store, product)
    for _ in books.build():
        await asyncio.sleep(0)
        if store.version != version:
            return
    _BOOKS.setdefault(store, {})[product] = version, books


def _known(store: Store, product: str) -> Books | None:
    version, books = _BOOKS.get(store, {}).get(product, (-1, None))
    return books if version == store.version else None
