"""The lines of a document as amounts by account, in the document's own currency.

    total = lines without tax - discount + tax + shipping + adjustment

A line goes to the account that it names, else to the account of its item, else to the usual one. An
amount of the total that no line explains goes to the usual account, so the parts always sum to the
total. Tax inside the rates is divided over the taxed lines.

Assumed: which account is the usual one, and that sales and purchases share one account for tax.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.reports.chart import Chart
from zoho_async.sandbox.reports.entries import NOTHING, cents
from zoho_async.sandbox.rules.amounts import exact, line_total, lines_of

#: An account and an amount of a document; a sale's income and a bill's costs are positive.
Part = tuple[str, Decimal]


class Usual(msgspec.Struct, frozen=True):
    """The accounts of one side: the roles that a document's parts have if it names no account."""

    line: str
    item_account: str
    discount: str
    shipping: str
    adjustment: str


SALES: Final = Usual("sales", "account_id", "discount", "shipping", "other_charges")
PURCHASES: Final = Usual(
    "goods", "purchase_account_id", "purchase_discount", "other_expenses", "other_expenses"
)


def document_total(state: Mapping[str, Any]) -> Decimal:
    """The total of a document."""
    return exact(state.get("total", state.get("sub_total")))


def tax_of(state: Mapping[str, Any]) -> Decimal:
    """The tax in a document's total."""
    return exact(state.get("tax_total"))


def parts_of(state: Mapping[str, Any], chart: Chart, usual: Usual) -> list[Part]:
    """The parts of a document with lines, which sum to its total."""
    _, lines = lines_of(state)
    by_line = state.get("discount_type") == "item_level"
    amounts = [line_total(line, by_line=by_line) for line in lines]
    tax = tax_of(state)
    if state.get("is_inclusive_tax") is True:
        amounts = _without_tax(lines, amounts, tax)
    made = [
        (_account(line, chart, usual), amount) for line, amount in zip(lines, amounts, strict=True)
    ]
    off = NOTHING if by_line else exact(state.get("discount_amount"))
    made += [
        (chart.role(usual.discount), -off),
        (chart.role("tax"), tax),
        (chart.role(usual.shipping), exact(state.get("shipping_charge"))),
        (chart.role(usual.adjustment), exact(state.get("adjustment"))),
    ]
    rest = document_total(state) - sum((amount for _, amount in made), NOTHING)
    return [*made, (chart.role(usual.line), rest)]


def _without_tax(
    lines: list[dict[str, Any]], amounts: list[Decimal], tax: Decimal
) -> list[Decimal]:
    """Take the tax out of the lines whose rates include it, in proportion, to the cent."""
    weights = [
        amount * rate / (100 + rate)
        for line, amount in zip(lines, amounts, strict=True)
        for rate in [max(exact(str(line.get("tax_percentage", "")).rstrip("% ")), NOTHING)]
    ]
    whole, done, given = sum(weights, NOTHING), NOTHING, NOTHING
    left: list[Decimal] = []
    for amount, weight in zip(amounts, weights, strict=True):
        done += weight
        share = cents(tax * done / whole) - given if whole else NOTHING
        given += share
        left.append(amount - share)
    return left


def _account(line: Mapping[str, Any], chart: Chart, usual: Usual) -> str:
    named = line.get("account_id") or chart.of_item(line.get("item_id"), usual.item_account)
    return chart.line(named, usual.line)


def taxed_part(amount: Decimal, percentage: Decimal, *, inclusive: bool) -> tuple[Decimal, Decimal]:
    """An amount without its tax, and the tax."""
    if inclusive:
        tax = cents(amount * percentage / (100 + percentage))
        return amount - tax, tax
    return amount, cents(amount * percentage / 100)
