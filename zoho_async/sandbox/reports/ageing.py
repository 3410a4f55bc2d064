"""Receivables and payables by age, and the balances of customers and vendors.

A document's open amount on a day is what its postings until that day leave of its claim. Ages count
from the due date, or from the document's date if the filter names that.

Assumed: the four intervals and their names, except "current" and "days_1-15"; credits are not in
these reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.reports.entries import NOTHING
from zoho_async.sandbox.reports.ledger import SALES_SIDE, Books, date_of, number_of
from zoho_async.sandbox.reports.query import PagedValue, ReportQuestion
from zoho_async.sandbox.reports.statements import shown
from zoho_async.sandbox.rules.amounts import exact
from zoho_async.sandbox.rules.settlement import End

#: Interval, its name, and the first day of age in it.
_INTERVALS: Final = (
    ("current", "Current", 0),
    ("days_1-15", "1 - 15 Days", 1),
    ("days_16-30", "16 - 30 Days", 16),
    ("days_31-45", "31 - 45 Days", 31),
    ("days_above_45", "> 45 Days", 46),
)


class OpenItem(msgspec.Struct, frozen=True):
    """A document with an open amount, in the base currency and in its own."""

    id: str
    state: Mapping[str, Any]
    age: int
    balance: Decimal
    foreign: Decimal
    total: Decimal

    @property
    def interval(self) -> str:
        return [name for name, _, first in _INTERVALS if self.age >= first or not first][-1]


def open_amounts(books: Books, last: str) -> Mapping[End, tuple[Decimal, Decimal]]:
    """The open amount of each claim at the end of a day, as a debit.

    The first is in the base currency, the second in the document's own.
    """
    found: dict[End, tuple[Decimal, Decimal]] = {}
    for posting in books.postings:
        if posting.date > last:
            break
        for entry in posting.entries:
            if entry.claim is not None:
                amount, foreign = found.get(entry.claim, (NOTHING, NOTHING))
                found[entry.claim] = amount + entry.amount, foreign + entry.foreign
    return found


def open_items(books: Books, asked: ReportQuestion, word: str) -> list[OpenItem]:
    """The invoices or bills that are open at the end of the period, oldest first."""
    sign = 1 if word == "invoices" else -1
    by_date = asked.applied.partition(".")[0] in ("InvoiceDate", "BillDate")
    items: list[OpenItem] = []
    for end, (amount, foreign) in open_amounts(books, asked.last).items():
        if end[0] == word and (amount or foreign):
            state = books.states[end]
            items.append(
                OpenItem(
                    id=end[1],
                    state=state,
                    age=_age(state, asked.last, by_date=by_date),
                    balance=sign * amount,
                    foreign=sign * foreign,
                    total=exact(state.get("total")) * books.claims[end].rate,
                )
            )
    return sorted(items, key=lambda each: (date_of(each.state), each.id))


def _age(state: Mapping[str, Any], last: str, *, by_date: bool) -> int:
    start = "" if by_date else str(state.get("due_date") or "")
    begun = date.fromisoformat(start or date_of(state))
    return max((date.fromisoformat(last) - begun).days, 0)


# -- ageing -------------------------------------------------------------------------------------


def _summary(word: str, party: str, entity: str) -> Callable[[Books, ReportQuestion], Any]:
    def summary(books: Books, asked: ReportQuestion) -> PagedValue:
        items = open_items(books, asked, word)
        by_party: dict[str, list[OpenItem]] = {}
        for item in items:
            by_party.setdefault(str(item.state.get(f"{party}_id") or ""), []).append(item)
        rows = [
            {
                "id": party_id,
                "name": str(own[0].state.get(f"{party}_name") or ""),
                "entity": entity,
                "account_name": "",
                "fcy_total": shown(sum((each.foreign for each in own), NOTHING)),
                **_amounts(own),
            }
            for party_id, own in by_party.items()
        ]
        rows.sort(key=lambda each: (str(each["name"]), str(each["id"])))
        group = {"name": "none", **_amounts(items), "group_list": list(asked.page_of(rows))}
        return PagedValue({**_amounts(items), "group_list": [group]}, len(rows))

    return summary


def _amounts(items: list[OpenItem]) -> dict[str, Any]:
    overdue = sum((each.balance for each in items if each.age), NOTHING)
    total = sum((each.balance for each in items), NOTHING)
    return {
        "total": shown(total),
        "overdue": shown(overdue),
        "sent": shown(total - overdue),
        "intervals": [
            {
                "interval": name,
                "interval_formatted": formatted,
                "amount": shown(
                    sum((each.balance for each in items if each.interval == name), NOTHING)
                ),
            }
            for name, formatted, _ in _INTERVALS
        ],
    }


def _details(word: str, party: str) -> Callable[[Books, ReportQuestion], Any]:
    def details(books: Books, asked: ReportQuestion) -> PagedValue:
        items = open_items(books, asked, word)
        rows = [_detail(item, word, party) for item in items]
        amount = sum((each.balance for each in items), NOTHING)
        inside = list(asked.page_of(rows))
        return PagedValue([{"amount": shown(amount), "group_list": inside}], len(rows))

    return details


def _detail(item: OpenItem, word: str, party: str) -> dict[str, Any]:
    state = item.state
    return {
        "id": item.id,
        "entity": word.removesuffix("s"),
        "transaction_number": number_of(state),
        "date": date_of(state),
        "due_date": str(state.get("due_date") or ""),
        "age": item.age,
        "amount": shown(item.total),
        "balance": shown(item.balance),
        "status": str(state.get("status") or ""),
        f"{party}_id": str(state.get(f"{party}_id") or ""),
        f"{party}_name": str(state.get(f"{party}_name") or ""),
        "salesperson_id": str(state.get("salesperson_id") or ""),
        "salesperson_name": str(state.get("salesperson_name") or ""),
    }


# -- balances -----------------------------------------------------------------------------------


def _balances(side: str) -> Callable[[Books, ReportQuestion], Any]:
    sales = side == "customer"
    debts = "invoices" if sales else "bills"
    owed = "invoice_balance" if sales else "bill_balance"
    unused = "available_credits" if sales else "excess_payment"
    sign = 1 if sales else -1

    def balances(books: Books, asked: ReportQuestion) -> list[Any]:
        sums: dict[str, dict[str, Any]] = {}
        for end, (amount, foreign) in open_amounts(books, asked.last).items():
            state = books.states[end]
            if (end[0] in SALES_SIDE) == sales:
                empty = {"name": state.get(f"{side}_name") or "", "foreign": NOTHING}
                empty |= {"debts": NOTHING, "credits": NOTHING}
                known = sums.setdefault(str(state.get(f"{side}_id") or ""), empty)
                known["debts" if end[0] == debts else "credits"] += sign * amount
                known["foreign"] += sign * foreign
        return [
            {
                f"{side}_id": party,
                f"{side}_name": known["name"],
                owed: shown(known["debts"]),
                unused: shown(-known["credits"]),
                "fcy_balance": shown(known["foreign"]),
                "bcy_balance": shown(known["debts"] + known["credits"]),
                **({"credit_limit": ""} if sales else {}),
            }
            for party, known in sorted(sums.items())
        ]

    return balances


def _balance_summary(side: str) -> Callable[[Books, ReportQuestion], Any]:
    sales = side == "customer"
    billed = "invoiced_amount" if sales else "billed_amount"
    paid = "amount_received" if sales else "amount_paid"
    sign = 1 if sales else -1

    def summary(books: Books, asked: ReportQuestion) -> list[Any]:
        sums: dict[str, dict[str, Any]] = {}
        for posting in books.postings:
            claimed = [each for each in posting.entries if each.claim is not None]
            sold = any(each.claim is not None and each.claim[0] in SALES_SIDE for each in claimed)
            if posting.date > asked.last or not claimed or sold != sales:
                continue
            amount = sign * sum((each.amount for each in claimed), NOTHING)
            empty = {"name": posting.party_name, "billed": NOTHING, "paid": NOTHING}
            known = sums.setdefault(posting.party, empty | {"closing": NOTHING})
            known["closing"] += amount
            if posting.date >= asked.first:
                bills = posting.kind in ("invoice", "bill")
                known["billed" if bills else "paid"] += amount if bills else -amount
        return [
            {
                f"{side}_id": party,
                f"{side}_name": known["name"],
                billed: shown(known["billed"]),
                paid: shown(known["paid"]),
                "closing_balance": shown(known["closing"]),
            }
            for party, known in sorted(sums.items())
        ]

    return summary


#: The reports of this module by the path of their API.
AGEING: Final[Mapping[str, Callable[[Books, ReportQuestion], Any]]] = {
    "aragingsummary": _summary("invoices", "customer", "customer"),
    "aragingdetails": _details("invoices", "customer"),
    "apagingsummary": _summary("bills", "vendor", "vendor"),
    "apagingdetails": _details("bills", "vendor"),
    "customerbalances": _balances("customer"),
    "vendorbalances": _balances("vendor"),
    "customerbalancesummary": _balance_summary("customer"),
    "vendorbalancesummary": _balance_summary("vendor"),
}
