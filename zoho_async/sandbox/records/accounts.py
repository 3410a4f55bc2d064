"""The chart of accounts: the accounts that every organization has, then sample accounts.

The ledger posts to the first accounts by their role (see `reports.chart`). They exist in an
organization that starts empty, too. Their names are Zoho's; their order and ids are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.data.schemas import Shape
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record

PATH: Final[Shape] = ("chartofaccounts",)
#: Role, name and type of the accounts that the ledger posts to. Their order decides their ids.
STANDARD: Final = (
    ("receivable", "Accounts Receivable", "accounts_receivable"),
    ("payable", "Accounts Payable", "accounts_payable"),
    ("undeposited", "Undeposited Funds", "cash"),
    ("petty_cash", "Petty Cash", "cash"),
    ("sales", "Sales", "income"),
    ("general_income", "General Income", "income"),
    ("shipping", "Shipping Charge", "income"),
    ("other_charges", "Other Charges", "income"),
    ("discount", "Discount", "income"),
    ("interest", "Interest Income", "other_income"),
    ("tax", "Tax Payable", "other_current_liability"),
    ("unearned", "Unearned Revenue", "other_current_liability"),
    ("prepaid", "Prepaid Expenses", "other_current_asset"),
    ("stock", "Inventory Asset", "other_current_asset"),
    ("goods", "Cost of Goods Sold", "cost_of_goods_sold"),
    ("purchase_discount", "Purchase Discounts", "expense"),
    ("bad_debt", "Bad Debt", "expense"),
    ("bank_charges", "Bank Fees and Charges", "expense"),
    ("other_expenses", "Other Expenses", "expense"),
    ("exchange", "Exchange Gain or Loss", "other_expense"),
    ("rounding", "Rounding Off", "other_expense"),
    ("owner", "Owner's Equity", "equity"),
    ("drawings", "Drawings", "equity"),
    ("retained", "Retained Earnings", "equity"),
    ("opening", "Opening Balance Offset", "equity"),
)


class ChartOfAccounts(Described):
    """The accounts of one organization."""

    def row(self, world: SampleData, index: int) -> Record:
        return _with_facts(index, super().row(world, index))

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        return _with_facts(index, super().detail(world, index, row))


def _with_facts(index: int, made: Record) -> Record:
    if index >= len(STANDARD):
        return made
    _, name, kind = STANDARD[index]
    known: Mapping[str, Any] = {
        "account_name": name,
        "account_type": kind,
        "account_code": "",
        "parent_account_id": "",
        "is_user_created": False,
        "is_system_account": True,
        "is_active": True,
    }
    return made | {field: value for field, value in known.items() if field in made}
