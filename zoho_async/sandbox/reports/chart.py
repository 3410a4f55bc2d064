"""Accounts of the ledger: which one a document names, its name, type and place in statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.records import accounts

#: The root and the groups of each account type in the balance sheet, outermost first.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "cash": ("Assets", "Current Assets", "Cash"),
    "bank": ("Assets", "Current Assets", "Bank"),
    "accounts_receivable": ("Assets", "Current Assets", "Accounts Receivable"),
    "other_current_asset": ("Assets", "Current Assets", "Other Current Assets"),
    "fixed_asset": ("Assets", "Fixed Assets"),
    "other_asset": ("Assets", "Other Assets"),
    "accounts_payable": ("Liabilities", "Current Liabilities"),
    "other_current_liability": ("Liabilities", "Current Liabilities"),
    "credit_card": ("Liabilities", "Current Liabilities"),
    "long_term_liability": ("Liabilities", "Long Term Liabilities"),
    "equity": ("Equities",),
    "income": ("Income", "Operating Income"),
    "other_income": ("Income", "Non Operating Income"),
    "cost_of_goods_sold": ("Expense", "Cost of Goods Sold"),
    "expense": ("Expense", "Operating Expense"),
    "other_expense": ("Expense", "Non Operating Expense"),
}
_CONTROL: Final = frozenset({"accounts_receivable", "accounts_payable"})
_UNKNOWN_TYPE: Final = "expense"


class BookAccount(msgspec.Struct, frozen=True):
    """An account. ``root`` is its group of the trial balance, such as ``Assets``."""

    id: str
    name: str
    code: str
    type: str

    @property
    def root(self) -> str:
        return GROUPS[self.type][0]

    @property
    def is_cash(self) -> bool:
        return self.type in ("cash", "bank")


class Chart:
    """The accounts of one organization."""

    def __init__(self, store: Store, product: str) -> None:
        known = schemas("books")
        self._own: Final = store.at(known.by_path[accounts.PATH], ())
        self._banks: Final = store.at(known.by_path["bankaccounts",], ())
        self._items: Final = store.at(schemas(product).by_path["items",], ())
        self._known: Final[dict[str, BookAccount]] = {}
        self._of_items: Final[dict[tuple[str, str], str]] = {}
        form, world = self._own.resource, self._own.world
        self._roles: Final = {
            role: (form.id_of(world, number), name, kind)
            for number, (role, name, kind) in enumerate(accounts.STANDARD)
        }
        self._standard: Final = {each[0]: each for each in self._roles.values()}

    def role(self, role: str) -> str:
        """The id of the account with a role, which exists even if its record was deleted."""
        return self._roles[role][0]

    def line(self, named: Any, role: str) -> str:
        """The account of a line: the named one of the chart, else the one with the role.

        A line is not posted to the accounts for receivables and payables.
        """
        account = self._find(named)
        usable = account is not None and account.type not in _CONTROL
        return account.id if account is not None and usable else self.role(role)

    def of_item(self, item_id: Any, field: str) -> str:
        """The id of the account in a field of an item, or "" if it names no account."""
        key = str(item_id or ""), field
        found = self._of_items.get(key)
        if found is None:
            record = _record(self._items, key[0]) or {}
            found = self._of_items[key] = str(record.get(field) or "")
        return found

    def money(self, named: Any, role: str) -> str:
        """The account of a payment: a named account of the chart or of a bank, else the role's."""
        account = self._find(named) or self._find_bank(named)
        usable = account is not None and account.type not in _CONTROL
        return account.id if account is not None and usable else self.role(role)

    def any(self, named: Any, role: str) -> str:
        """The account that a journal names, whatever its type."""
        account = self._find(named) or self._find_bank(named)
        return account.id if account is not None else self.role(role)

    def account(self, account_id: str) -> BookAccount:
        """The facts of an account to which something was posted."""
        found = self._find(account_id) or self._find_bank(account_id)
        return found or BookAccount(account_id, "", "", _UNKNOWN_TYPE)

    def all(self) -> list[BookAccount]:
        """The accounts of the chart, in order of their ids."""
        own = (self._own.id(index) for index in self._own.indexes())
        return [self.account(each) for each in dict.fromkeys((*self._standard, *own))]

    def _find(self, named: Any) -> BookAccount | None:
        account_id = str(named or "")
        found = self._known.get(account_id)
        if found is None and account_id:
            found = self._read(account_id)
            if found is not None:
                self._known[account_id] = found
        return found

    def _read(self, account_id: str) -> BookAccount | None:
        record, standard = _record(self._own, account_id), self._standard.get(account_id)
        if record is None:
            return BookAccount(account_id, standard[1], "", standard[2]) if standard else None
        name, code = str(record.get("account_name", "")), str(record.get("account_code", ""))
        kind = standard[2] if standard else str(record.get("account_type", ""))
        return BookAccount(account_id, name, code, kind if kind in GROUPS else _UNKNOWN_TYPE)

    def _find_bank(self, named: Any) -> BookAccount | None:
        record = _record(self._banks, str(named or ""))
        if record is None:
            return None
        name, code = str(record.get("account_name", "")), str(record.get("account_code", ""))
        kind = "credit_card" if record.get("account_type") == "credit_card" else "bank"
        return BookAccount(str(named), name or "Bank", code, kind)


def _record(collection: Collection, record_id: str) -> Mapping[str, Any] | None:
    index = collection.find(record_id) if record_id else None
    return None if index is None else collection.state(index)
