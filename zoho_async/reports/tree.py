"""Reports with sections: profit and loss, balance sheet, cash flow, equity, trial balance.

`ReportNode` is a section or an account as Zoho sends it. `ReportTree` is the report: nested
`Section`s with the amounts of one or several periods.

Periods are joined by position: the same account, or the section with the same name under the same
parent, is one `Section`. An account that a period's reply leaves out has no amounts there (None).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import msgspec

from zoho_async.reports.periods import Period
from zoho_async.wire.page import Page
from zoho_async.wire.record import Part, Record

A = TypeVar("A")


class NodeAmounts(Part, frozen=True, kw_only=True):
    """The amounts of a node in one column, for the reports that nest them."""

    total: Decimal | None = None
    net_debit_total: Decimal | None = None
    net_credit_total: Decimal | None = None
    net_debit_total_sub_account: Decimal | None = None
    net_credit_total_sub_account: Decimal | None = None


class ReportNode(Record, frozen=True, kw_only=True):
    """A section or an account, with Zoho's field names.

    Which fields are sent depends on the report. An amount that Zoho did not send stays None.
    """

    name: str | None = None
    """Name in the organization's language."""
    node_name: str | None = None
    """Name, in the movement of equity."""
    account_id: str | None = None
    account_code: str | None = None
    account_type: str | None = None
    """Type of the accounts in a section of the trial balance."""
    total: Decimal | None = None
    total_label: str | None = None
    """Label of the total, such as Total Operating Income."""
    total_sub_account: Decimal | None = None
    """Total with the accounts below."""
    net_debit_total: Decimal | None = None
    net_credit_total: Decimal | None = None
    net_debit_total_sub_account: Decimal | None = None
    net_credit_total_sub_account: Decimal | None = None
    values: list[NodeAmounts] | None = None
    depth: int | None = None
    has_total: bool | None = None
    is_child_present: bool | None = None
    is_collapsed_view: bool | None = None
    account_transactions: list[ReportNode] | None = None
    """The sections or accounts below."""


class Amounts(msgspec.Struct, frozen=True):
    """The amounts of a section in one period. None for those that Zoho did not send."""

    total: Decimal | None = None
    debit: Decimal | None = None
    credit: Decimal | None = None

    def __bool__(self) -> bool:
        return any(each is not None for each in (self.total, self.debit, self.credit))


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section or an account of a report.

    ``amounts`` has one entry per period of the report. ``total_label`` is the label of the total,
    "" if it is the name. ``account_id`` is "" for a section.
    """

    name: str
    amounts: tuple[Amounts, ...]
    total_label: str = ""
    account_id: str = ""
    account_code: str = ""
    account_type: str = ""
    sections: tuple[Section, ...] = ()

    @property
    def total(self) -> Decimal | None:
        """The total, None if Zoho sent none. Raises `ValueError` if there are several periods."""
        return self._only.total

    @property
    def debit(self) -> Decimal | None:
        """The debit side, None if it is empty. Raises `ValueError` if there are several periods."""
        return self._only.debit

    @property
    def credit(self) -> Decimal | None:
        """The credit side, None if it is empty. Raises as ``debit`` does."""
        return self._only.credit

    @property
    def totals(self) -> tuple[Decimal | None, ...]:
        """The total of each period."""
        return tuple(each.total for each in self.amounts)

    @property
    def _only(self) -> Amounts:
        if len(self.amounts) != 1:
            raise ValueError(f"{self.name!r} has {len(self.amounts)} periods; read amounts instead")
        return self.amounts[0]


class ReportLine(msgspec.Struct, frozen=True):
    """A section of a report with its ``path``: the names from the top of the report down to it."""

    path: tuple[str, ...]
    section: Section


class ReportTree(msgspec.Struct, frozen=True, kw_only=True):
    """A report with nested sections.

        report = await zoho.books.reports.profit_and_loss(from_date=first, to_date=last)
        for line in report.lines():
            print("  " * len(line.path), line.section.name, line.section.total)

    Attributes:
        name: The report's operation, such as ``books.reports.profit_and_loss``.
        periods: The periods of the amounts, one if the caller did not ask for several.
        sections: The top sections, in Zoho's order.
        pages: The replies, one per period.
        unconfirmed: The parameters that a reply did not confirm. Empty unless the caller passed
            ``allow_unconfirmed``.
    """

    name: str
    periods: tuple[Period, ...]
    sections: tuple[Section, ...]
    pages: tuple[Page[ReportNode], ...]
    unconfirmed: tuple[str, ...] = ()

    def lines(self) -> Iterator[ReportLine]:
        """Every section and account in Zoho's order, a section before what it contains."""
        return _lines(self.sections, ())

    def accounts(self) -> Iterator[ReportLine]:
        """The lines that contain no others: accounts, and results such as the net income."""
        return (line for line in self.lines() if not line.section.sections)


def _lines(sections: Iterable[Section], above: tuple[str, ...]) -> Iterator[ReportLine]:
    for section in sections:
        path = (*above, section.name) if section.name else above
        yield ReportLine(path, section)
        yield from _lines(section.sections, path)


def joined_sections(columns: Sequence[Sequence[ReportNode]]) -> tuple[Section, ...]:
    """The sections of several periods as one, ``columns`` being the nodes of each period."""
    keyed = [_by_key(nodes) for nodes in columns]
    return tuple(
        _section([column.get(key) for column in keyed]) for key in merged([*map(list, keyed)])
    )


#: What identifies a node among those with the same parent.
_Key: TypeAlias = tuple[str, str, int]


def _by_key(nodes: Iterable[ReportNode]) -> dict[_Key, ReportNode]:
    found: dict[_Key, ReportNode] = {}
    for node in nodes:
        account = node.account_id or ""
        name = "" if account else _name(node)
        number = 0
        while (account, name, number) in found:
            number += 1
        found[account, name, number] = node
    return found


def merged(columns: Sequence[Sequence[A]]) -> list[A]:
    """The keys of all columns once. A key that a column adds follows the key before it there."""
    order: list[A] = []
    for column in columns:
        if column == order:
            continue
        at = 0
        for key in column:
            if key in order:
                at = max(at, order.index(key) + 1)
            else:
                order.insert(at, key)
                at += 1
    return order


def _name(node: ReportNode) -> str:
    return node.name or node.node_name or ""


def _section(nodes: Sequence[ReportNode | None]) -> Section:
    there = [node for node in nodes if node is not None]
    first = there[0]
    below = [(node.account_transactions or []) if node is not None else [] for node in nodes]
    return Section(
        name=_name(first),
        amounts=tuple(Amounts() if node is None else _amounts(node) for node in nodes),
        total_label=next((node.total_label for node in there if node.total_label), ""),
        account_id=first.account_id or "",
        account_code=first.account_code or "",
        account_type=first.account_type or "",
        sections=joined_sections(below),
    )


def _amounts(node: ReportNode) -> Amounts:
    nested = node.values[0] if node.values else NodeAmounts()

    def first(*values: Decimal | None) -> Any:
        return next((value for value in values if value is not None), None)

    return Amounts(
        total=first(node.total, nested.total),
        debit=first(node.net_debit_total, nested.net_debit_total),
        credit=first(node.net_credit_total, nested.net_credit_total),
    )
