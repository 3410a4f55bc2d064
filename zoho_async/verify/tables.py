"""The tables of a mirror that are compared, and their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from zoho_async.verify.compare import OpenDocument, amount

ACCOUNTS: Final = "books.chart_of_accounts"
TRANSACTIONS: Final = "books.chart_of_accounts.transactions"
ITEMS: Final = "books.items"


class AgedList(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of customers or of vendors, and the report that ages them."""

    subject: str
    resource: str
    id: str
    number: str
    contact: str
    contact_name: str
    title: str

    @property
    def fields(self) -> tuple[str, ...]:
        own = (self.id, self.number, self.contact, self.contact_name)
        return (*own, "currency_code", "status", "date", "total", "balance")


PARTIES: Final = (
    AgedList(
        subject="receivables",
        resource="books.invoices",
        id="invoice_id",
        number="invoice_number",
        contact="customer_id",
        contact_name="customer_name",
        title="AR aging summary",
    ),
    AgedList(
        subject="payables",
        resource="books.bills",
        id="bill_id",
        number="bill_number",
        contact="vendor_id",
        contact_name="vendor_name",
        title="AP aging summary",
    ),
)

#: What lowers a contact's debt and is in no aging of invoices or bills: the list, the field with
#: the open amount, and what it is called.
APART: Final = {
    "books.credit_notes": ("balance", "open credit notes"),
    "books.vendor_credits": ("balance", "open vendor credits"),
    "books.retainer_invoices": ("balance", "open retainer invoices"),
    "books.customer_payments": ("unused_amount", "unapplied customer payments"),
    "books.vendor_payments": ("balance", "unapplied vendor payments"),
}

#: Fields of these lists that some of them lack.
APART_KEYS: Final = ("currency_code", "status")

#: The fields of each table that are read back.
FIELDS: Final[Mapping[str, Sequence[str]]] = {
    ACCOUNTS: ("account_id", "account_name", "account_type"),
    TRANSACTIONS: (
        *("account_id", "transaction_id", "transaction_type", "entry_number"),
        *("transaction_date", "debit_amount", "credit_amount", "currency_code"),
    ),
    ITEMS: ("item_id", "name", "stock_on_hand"),
    **{party.resource: party.fields for party in PARTIES},
    **{name: (field, *APART_KEYS) for name, (field, _) in APART.items()},
}


#: The fields that are numbers, in whatever form a table holds them.
NUMBERS: Final = frozenset(
    {
        *("total", "balance", "debit_amount", "credit_amount", "stock_on_hand"),
        *(field for field, _ in APART.values()),
    }
)


def document_of(party: AgedList, row: Mapping[str, str]) -> OpenDocument:
    """The invoice or bill in a row of its list."""
    return OpenDocument(
        id=row.get(party.id, ""),
        number=row.get(party.number, ""),
        party=row.get(party.contact, ""),
        party_name=row.get(party.contact_name, ""),
        currency=row.get("currency_code", ""),
        status=row.get("status", ""),
        date=row.get("date", ""),
        total=amount(row.get("total", "")),
        balance=amount(row.get("balance", "")),
    )
