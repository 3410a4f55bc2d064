"""Statements: trees and lists of accounts with what was posted to them.

A statement contains exactly the postings of its days. The balance sheet is as of a day: the result
of the current year is the line "Current Year Earnings", earlier results are in retained earnings.

Assumed: which types of accounts are in which group of the cash flow statement; the balance of an
account in the general ledger is the movement of the period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.replies import pointed
from zoho_async.sandbox.reports.chart import GROUPS, BookAccount
from zoho_async.sandbox.reports.entries import NOTHING, BookEntry, Posting, totals
from zoho_async.sandbox.reports.ledger import Books
from zoho_async.sandbox.reports.query import ReportQuestion
from zoho_async.sandbox.rules.amounts import money

_ROOTS: Final = ("Assets", "Liabilities", "Equities", "Income", "Expense")
_ROOT_TYPES: Final = {
    "Assets": "asset",
    "Liabilities": "liability",
    "Equities": "equity",
    "Income": "income",
    "Expense": "expense",
}
_RESULT: Final = frozenset({"Income", "Expense"})
_INVESTING: Final = frozenset({"fixed_asset", "other_asset"})
_FINANCING: Final = frozenset({"long_term_liability", "equity"})


class Movement(msgspec.Struct, frozen=True):
    """What was posted to an account: both sides positive."""

    account: BookAccount
    debit: Decimal
    credit: Decimal

    @property
    def net(self) -> Decimal:
        """The net debit, negative if it is a credit."""
        return self.debit - self.credit


def shown(amount: Decimal) -> Decimal:
    """An amount as reports send it."""
    return pointed(money(amount))


def postings_between(books: Books, asked: ReportQuestion, first: str, last: str) -> list[Posting]:
    """The postings of the days, on the basis that was asked for."""
    return [each for each in books.basis(cash=asked.cash) if first <= each.date <= last]


def movements(books: Books, asked: ReportQuestion, first: str, last: str) -> list[Movement]:
    """The accounts with postings on these days, in order of name; all accounts if asked for."""
    entries = (e for each in postings_between(books, asked, first, last) for e in each.entries)
    sums = totals(entries)
    known = {account_id: books.chart.account(account_id) for account_id in sums}
    if asked.all_rows:
        known |= {account.id: account for account in books.chart.all()}
    wanted = (
        Movement(account, *sums.get(account.id, (NOTHING, NOTHING)))
        for account in known.values()
        if asked.accounts is None or account.id in asked.accounts
    )
    return sorted(wanted, key=lambda each: (each.account.name, each.account.id))


def day_before(day: str) -> str:
    """The day before a day; "" if there is no first day."""
    return str(date.fromisoformat(day) - timedelta(days=1)) if day > "0001-01-01" else ""


# -- nodes --------------------------------------------------------------------------------------


def _node(name: str, total: Decimal, children: list[Any], *, label: bool = True) -> dict[str, Any]:
    node: dict[str, Any] = {"name": name, "total": shown(total)}
    node |= {"previous_values": [], "previous_total": []}
    if label:
        node["total_label"] = f"Total {name}"
    return node | {"account_transactions": children}


def _leaf(name: str, total: Decimal, account: BookAccount | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "account_id": account.id if account is not None else "",
        "account_code": account.code if account is not None else "",
        "total": shown(total),
        "total_sub_account": shown(total),
        "depth": 0,
        "is_child_present": False,
        "is_collapsed_view": False,
        "previous_values": [],
        "previous_total": [],
        "previous_total_sub_account": [],
    }


def _leaves(
    moved: Iterable[Movement], asked: ReportQuestion, sign: int
) -> tuple[Decimal, list[Any]]:
    rows = [each for each in moved if asked.all_rows or each.net]
    total = sum((sign * each.net for each in rows), NOTHING)
    return total, [_leaf(each.account.name, sign * each.net, each.account) for each in rows]


# -- profit and loss, balance sheet -------------------------------------------------------------


def profit_and_loss(books: Books, asked: ReportQuestion) -> list[Any]:
    """Gross, operating and net profit, each with the groups that it adds."""
    moved = movements(books, asked, asked.first, asked.last)

    def group(kind: str, sign: int) -> tuple[Decimal, Any]:
        of_type = (each for each in moved if each.account.type == kind)
        total, leaves = _leaves(of_type, asked, sign)
        return total, _node(GROUPS[kind][1], total, leaves)

    income, sold = group("income", -1), group("cost_of_goods_sold", 1)
    costs = group("expense", 1)
    other, losses = group("other_income", -1), group("other_expense", 1)
    gross = income[0] - sold[0]
    operating = gross - costs[0]
    net = operating + other[0] - losses[0]
    return [
        _node("Gross Profit", gross, [income[1], sold[1]], label=False),
        _node("Operating Profit", operating, [costs[1]], label=False),
        _node("Net Profit/Loss", net, [other[1], losses[1]], label=False),
    ]


def result(moved: Iterable[Movement]) -> Decimal:
    """The profit in movements, negative for a loss."""
    return -sum((each.net for each in moved if each.account.root in _RESULT), NOTHING)


def balance_sheet(books: Books, asked: ReportQuestion) -> list[Any]:
    """Assets; liabilities and equities, with the result of the year."""
    whole = msgspec.structs.replace(asked, accounts=None)
    moved = movements(books, whole, "", asked.last)
    year = result(movements(books, whole, f"{asked.last[:4]}-01-01", asked.last))
    earlier = result(moved) - year
    retained = books.chart.role("retained")
    if earlier:
        moved = list(_carried(moved, books.chart.account(retained), earlier))
    assets = _tree(moved, asked, "Assets", 1)
    debts, equity = _tree(moved, asked, "Liabilities", -1), _tree(moved, asked, "Equities", -1)
    equity_total, equity_rows = equity
    equity_rows = [*equity_rows, _leaf("Current Year Earnings", year)]
    total = debts[0] + equity_total + year
    sides = [
        _node("Liabilities", *debts),
        _node("Equities", equity_total + year, equity_rows),
    ]
    return [_node("Assets", *assets), _node("Liabilities & Equities", total, sides)]


def _carried(
    moved: Iterable[Movement], retained: BookAccount, earlier: Decimal
) -> Iterator[Movement]:
    """Add the results of earlier years to retained earnings."""
    before = NOTHING
    for each in moved:
        if each.account.id == retained.id:
            before = each.net
        else:
            yield each
    net = before - earlier
    yield Movement(retained, max(net, NOTHING), max(-net, NOTHING))


def _tree(
    moved: Sequence[Movement], asked: ReportQuestion, root: str, sign: int
) -> tuple[Decimal, list[Any]]:
    """The groups below a root, or its accounts if they are in no group."""
    total, rows = NOTHING, list[Any]()
    for group in dict.fromkeys(path[1:2] for path in GROUPS.values() if path[0] == root):
        inside = [e for e in moved if e.account.root == root and _group(e)[1:2] == group]
        amount, children = _group_rows(inside, asked, sign)
        if children:
            rows += [_node(group[0], amount, children)] if group else children
        total += amount
    return total, rows


def _group_rows(
    moved: list[Movement], asked: ReportQuestion, sign: int
) -> tuple[Decimal, list[Any]]:
    names = [name for name in dict.fromkeys(_group(each)[2:3] for each in moved) if name]
    total, rows = _leaves((each for each in moved if not _group(each)[2:3]), asked, sign)
    for name in names:
        amount, leaves = _leaves((e for e in moved if _group(e)[2:3] == name), asked, sign)
        if leaves:
            rows.append(_node(name[0], amount, leaves))
        total += amount
    return total, rows


def _group(moved: Movement) -> tuple[str, ...]:
    return GROUPS[moved.account.type]


# -- cash flow, movement of equity --------------------------------------------------------------


def cash_flow(books: Books, asked: ReportQuestion) -> list[Any]:
    """Cash at the start, what changed it, and cash at the end."""
    whole = msgspec.structs.replace(asked, accounts=None)
    moved = movements(books, whole, asked.first, asked.last)
    before = movements(books, whole, "", day_before(asked.first))
    at_start = sum((each.net for each in before if each.account.is_cash), NOTHING)
    other = [
        each for each in moved if not each.account.is_cash and each.account.root not in _RESULT
    ]
    earned = result(moved)
    operating, rows = _leaves(
        (each for each in other if each.account.type not in _INVESTING | _FINANCING), asked, -1
    )
    invested = _leaves((each for each in other if each.account.type in _INVESTING), asked, -1)
    financed = _leaves((each for each in other if each.account.type in _FINANCING), asked, -1)
    change = earned + operating + invested[0] + financed[0]
    activities = [
        ("Operating", earned + operating, [_total("Net Income", earned), *rows]),
        ("Investing", *invested),
        ("Financing", *financed),
    ]
    groups = [
        _node(f"{name} Activities", amount, inside)
        | {"total_label": f"Net cash provided by {name} Activities"}
        for name, amount, inside in activities
    ]
    return [
        _total("Beginning Cash Balance", at_start),
        _node("Net Change in cash", change, groups, label=False),
        _total("Ending Cash Balance", at_start + change),
    ]


def _total(name: str, amount: Decimal) -> dict[str, Any]:
    return {"name": name, "total": shown(amount)}


def movement_of_equity(books: Books, asked: ReportQuestion) -> dict[str, Any]:
    """Equity at the start, the result, and what owners put in or took out."""
    whole = msgspec.structs.replace(asked, accounts=None)
    moved = movements(books, whole, asked.first, asked.last)
    until = movements(books, whole, "", asked.last)

    def equity(of: Iterable[Movement]) -> Decimal:
        return -sum((each.net for each in of if each.account.root == "Equities"), NOTHING)

    earned, changed = result(moved), equity(moved)
    closing = result(until) + equity(until)
    rows = [
        ("Opening Equity", closing - earned - changed),
        ("Net Profit/Loss", earned),
        ("Owners' Contributions and Drawings", changed),
    ]
    return _equity_node("Movement of Equity", closing, has_total=True) | {
        "account_transactions": [
            _equity_node(name, amount, has_total=False) | {"account_transactions": []}
            for name, amount in rows
        ]
    }


def _equity_node(name: str, amount: Decimal, *, has_total: bool) -> dict[str, Any]:
    return {"node_name": name, "has_total": has_total, "values": [{"total": shown(amount)}]}


# -- trial balance, general ledger --------------------------------------------------------------


def trial_balance(books: Books, asked: ReportQuestion) -> list[Any]:
    """One root with the five types, whose accounts have a net debit or a net credit."""
    moved = movements(books, asked, asked.first, asked.last)
    groups: list[Any] = []
    for root in _ROOTS:
        of_root = (each for each in moved if each.account.root == root)
        rows = [each for each in of_root if each.net or asked.all_rows]
        if rows:
            groups.append(
                {
                    "name": root,
                    "account_type": _ROOT_TYPES[root],
                    "account_type_col_span": 1,
                    "account_transactions": [_trial_row(each) for each in rows],
                }
            )
    debits = sum((each.net for each in moved if each.net > 0), NOTHING)
    credits = -sum((each.net for each in moved if each.net < 0), NOTHING)
    sides = _sides(shown(debits), shown(credits))
    root_node = {"name": "", "is_collapsed_view": False, "account_type_col_span_list": [1]}
    more = {"values": [sides], "previous_values": [], "account_transactions": groups}
    return [root_node | more | sides]


def _trial_row(moved: Movement) -> dict[str, Any]:
    debit = shown(moved.net) if moved.net > 0 else ""
    credit = shown(-moved.net) if moved.net < 0 else ""
    sides = _sides(debit, credit)
    return {
        "name": moved.account.name,
        "account_id": moved.account.id,
        "account_code": moved.account.code,
        "depth": 0,
        "is_child_present": False,
        "is_collapsed_view": False,
        **sides,
        "values": [sides],
        "previous_values": [],
    }


def _sides(debit: Decimal | str, credit: Decimal | str) -> dict[str, Any]:
    return {
        "net_debit_total": debit,
        "net_credit_total": credit,
        "net_debit_total_sub_account": debit,
        "net_credit_total_sub_account": credit,
    }


def general_ledger(books: Books, asked: ReportQuestion) -> list[Any]:
    """The totals of each account."""
    rows: list[Any] = []
    for each in movements(books, asked, asked.first, asked.last):
        if not (each.debit or each.credit or asked.all_rows):
            continue
        amounts = {
            "debit_total": shown(each.debit),
            "credit_total": shown(each.credit),
            "balance": shown(abs(each.net)),
        }
        rows.append(
            {
                "name": each.account.name,
                "account_id": each.account.id,
                "account_code": each.account.code,
                **amounts,
                "is_debit": each.net >= 0,
                "previous_values": [],
                "values": [amounts],
            }
        )
    return rows


# -- entries ------------------------------------------------------------------------------------


def account_transactions(books: Books, asked: ReportQuestion) -> list[Any]:
    """Every entry of the days, oldest first."""
    return [
        _entry_row(books, posting, entry)
        for posting in postings_between(books, asked, asked.first, asked.last)
        for entry in posting.entries
        if asked.accounts is None or entry.account in asked.accounts
    ]


def _entry_row(books: Books, posting: Posting, entry: BookEntry) -> dict[str, Any]:
    account = books.chart.account(entry.account)
    others = [each for each in posting.entries if (each.amount > 0) != (entry.amount > 0)]
    offset = books.chart.account(others[0].account) if len(others) == 1 else None
    title = posting.kind.replace("_", " ").title()
    return {
        "date": posting.date,
        "account_name": account.name,
        "account_id": account.id,
        "account": {
            "account_group": account.root,
            "account_type": account.type.replace("_", " ").title(),
        },
        "transaction_details": posting.party_name,
        "transaction_id": posting.id,
        "reference_transaction_id": "",
        "offset_account_id": offset.id if offset is not None else "",
        "offset_account_type": offset.type if offset is not None else "",
        "transaction_type": title,
        "reference_number": posting.reference,
        "entity_number": posting.number,
        "debit": shown(entry.amount) if entry.amount > 0 else "",
        "credit": shown(-entry.amount) if entry.amount < 0 else "",
        "net_amount": f"{abs(entry.amount):.2f}",
        "contact_id": posting.party,
        "project_ids": "",
        "currency_code": posting.currency,
        "reporting_tag": "",
        "branch": {"location_name": "Head Office"},
    }


def journal(books: Books, asked: ReportQuestion) -> list[Any]:
    """Every posting of the days with its entries."""
    return [
        {
            "date": f"{date.fromisoformat(posting.date):%d %b %Y}",
            "transaction_type": posting.kind.replace("_", " ").title(),
            "transaction_id": posting.id,
            "entity_number": posting.number,
            "account_transactions": [_journal_row(books, entry) for entry in posting.entries],
        }
        for posting in postings_between(books, asked, asked.first, asked.last)
        if posting.entries
    ]


def _journal_row(books: Books, entry: BookEntry) -> dict[str, Any]:
    account = books.chart.account(entry.account)
    return {
        "account_id": account.id,
        "account_code": account.code,
        "name": account.name,
        "debit_amount": shown(entry.amount) if entry.amount > 0 else "",
        "credit_amount": shown(-entry.amount) if entry.amount < 0 else "",
    }


#: The reports of this module by the path of their API.
STATEMENTS: Final[Mapping[str, Callable[[Books, ReportQuestion], Any]]] = {
    "profitandloss": profit_and_loss,
    "balancesheet": balance_sheet,
    "cashflow": cash_flow,
    "movementofequity": movement_of_equity,
    "trialbalance": trial_balance,
    "generalledger": general_ledger,
    "accounttransaction": account_transactions,
    "journal": journal,
}
