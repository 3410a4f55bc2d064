"""Reports that list documents, and sums of documents by customer, item, account and tax.

Amounts are in the base currency. Drafts and void documents do not count as sales or purchases; the
reports of details list them with their status. Reports whose rows the sandbox has no rules for
(stock, timesheets, projects, VAT boxes) are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.reports.entries import NOTHING, cents
from zoho_async.sandbox.reports.ledger import (
    UNPOSTED,
    Books,
    date_of,
    number_of,
    rate_of,
)
from zoho_async.sandbox.reports.parts import document_total, tax_of
from zoho_async.sandbox.reports.query import ReportQuestion
from zoho_async.sandbox.reports.statements import shown
from zoho_async.sandbox.rules.amounts import exact, line_total, lines_of

ListReport = Callable[[Books, ReportQuestion], Any]
_SALES: Final = (("invoices", 1), ("creditnotes", -1), ("salesreceipts", 1))
_PURCHASES: Final = (("bills", 1), ("vendorcredits", -1))
_TEXTS: Final = (
    *("status", "date", "due_date", "reference_number", "customer_name", "vendor_name"),
    *("recurrence_name", "recurrence_frequency", "start_date", "next_invoice_date"),
    *("payment_number", "payment_mode", "description", "invoice_number", "account_name"),
    *("refund_mode", "transaction_type", "paid_through_account_name", "bill_numbers"),
)


def _between(
    books: Books, asked: ReportQuestion, word: str, *, posted: bool = True
) -> Iterator[dict[str, Any]]:
    """The documents of a family whose date is in the period."""
    for _, state in books.documents(word):
        if asked.first <= date_of(state) <= asked.last and not (
            posted and state.get("status") in UNPOSTED
        ):
            yield state


def _base(state: Mapping[str, Any], amount: Decimal) -> Decimal:
    return cents(amount * rate_of(state))


# -- sums ---------------------------------------------------------------------------------------


def _sales_by(field: str) -> ListReport:
    """Sales of invoices less credit notes, by the record in a field."""

    def report(books: Books, asked: ReportQuestion) -> list[Any]:
        rows: dict[str, dict[str, Any]] = {}
        for word, sign in _SALES:
            for state in _between(books, asked, word):
                key = str(state.get(f"{field}_id") or "")
                name = str(state.get(f"{field}_name") or "")
                row = rows.setdefault(
                    key,
                    {
                        f"{field}_id": key,
                        f"{field}_name": name,
                        "count": 0,
                        "sales": NOTHING,
                        "sales_with_tax": NOTHING,
                    },
                )
                whole = document_total(state)
                row["count"] += 1
                row["sales"] += sign * _base(state, whole - tax_of(state))
                row["sales_with_tax"] += sign * _base(state, whole)
        return [_shown(rows[key]) for key in sorted(rows)]

    return report


def _sales_summary(books: Books, asked: ReportQuestion) -> list[Any]:
    rows: dict[str, dict[str, Any]] = {}
    for word, sign in _SALES:
        for state in _between(books, asked, word):
            day = date_of(state)
            empty = {"date": day, "sales": NOTHING, "tax": NOTHING, "sales_with_tax": NOTHING}
            row, tax = rows.setdefault(day, empty), tax_of(state)
            row["sales"] += sign * _base(state, document_total(state) - tax)
            row["tax"] += sign * _base(state, tax)
            row["sales_with_tax"] += sign * _base(state, document_total(state))
    return [_shown(rows[key]) for key in sorted(rows)]


def _by_item(
    books: Books, asked: ReportQuestion, documents: tuple[tuple[str, int], ...], quantity: str
) -> list[Any]:
    rows: dict[str, dict[str, Any]] = {}
    for word, sign in documents:
        for state in _between(books, asked, word):
            by_line = state.get("discount_type") == "item_level"
            for line in lines_of(state)[1]:
                key = str(line.get("item_id") or "")
                name = str(line.get("name") or "")
                empty = {"item_id": key, "item_name": name, quantity: NOTHING, "amount": NOTHING}
                row = rows.setdefault(key, empty)
                row[quantity] += sign * exact(line.get("quantity", 1))
                row["amount"] += sign * _base(state, line_total(line, by_line=by_line))
    for row in rows.values():
        row["average_price"] = row["amount"] / row[quantity] if row[quantity] else NOTHING
        row["item"] = {"sku": ""}
    return [_shown(rows[key]) for key in sorted(rows)]


def _sales_by_item(books: Books, asked: ReportQuestion) -> list[Any]:
    more = {"unit": "", "is_combo_product": False}
    return [row | more for row in _by_item(books, asked, _SALES, "quantity_sold")]


def _purchases_by_item(books: Books, asked: ReportQuestion) -> list[Any]:
    return _by_item(books, asked, _PURCHASES, "quantity_purchased")


def _taxes(books: Books, asked: ReportQuestion) -> list[Any]:
    """Taxes of sales, by tax."""
    rows: dict[str, dict[str, Any]] = {}
    for word, sign in _SALES:
        for state in _between(books, asked, word):
            for line in lines_of(state)[1]:
                percentage = exact(str(line.get("tax_percentage", "")).rstrip("% "))
                if percentage > 0:
                    key = str(line.get("tax_id") or line.get("tax_name") or percentage)
                    empty = {
                        "tax_id": str(line.get("tax_id") or ""),
                        "tax_name": str(line.get("tax_name") or ""),
                        "tax_percentage": percentage,
                    }
                    row = rows.setdefault(key, empty | dict.fromkeys(_TAXED, NOTHING))
                    amount = exact(line.get("item_total"))
                    row["transaction_amount"] += sign * _base(state, amount)
                    row["tax_amount"] += sign * _base(state, amount * percentage / 100)
    return [_shown(rows[key]) for key in sorted(rows)]


_TAXED: Final = ("transaction_amount", "tax_amount")


def _expenses_by(field: str, name: str) -> ListReport:
    """Expenses by the record or the text in a field."""

    def report(books: Books, asked: ReportQuestion) -> list[Any]:
        rows: dict[str, dict[str, Any]] = {}
        for state in _between(books, asked, "expenses"):
            key = str(state.get(field) or "")
            row = rows.setdefault(key, {name: str(state.get(name) or ""), "amount": NOTHING})
            if field == "account_id":
                account = books.chart.account(books.chart.line(key, "other_expenses"))
                row |= {"account_id": account.id, "account_name": account.name}
            row["amount"] += _base(state, exact(state.get("amount")))
        for row in rows.values() if field == "account_id" else ():
            row["amount_with_tax"] = row["amount"]
        return [_shown(rows[key]) for key in sorted(rows)]

    return report


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: shown(value) if isinstance(value, Decimal) else value for name, value in row.items()
    }


# -- documents ----------------------------------------------------------------------------------


def _details(word: str, fields: str) -> ListReport:
    """The documents of the period with these fields; amounts begin with ``bcy_``."""

    def report(books: Books, asked: ReportQuestion) -> list[Any]:
        found = _between(books, asked, word, posted=False)
        return [{name: _detail(state, name) for name in fields.split()} for state in found]

    return report


def _detail(state: Mapping[str, Any], name: str) -> Any:
    if name.startswith("bcy_"):
        return shown(_base(state, exact(state.get(name[4:]))))
    if "amount" in name:
        return shown(exact(state.get(name)))
    if name.endswith("_number") and name not in _TEXTS:
        return str(state.get(name) or number_of(state))
    return str(state.get(name) or "")


def _refunds(books: Books, asked: ReportQuestion) -> list[Any]:
    return [
        {
            "date": posting.date,
            "reference_number": posting.reference,
            "customer_name": posting.party_name,
            "refund_mode": "",
            "description": "",
            "bcy_amount": shown(-sum((e.amount for e in posting.entries if e.amount < 0), NOTHING)),
        }
        for posting in books.postings
        if asked.first <= posting.date <= asked.last
        and posting.kind in ("creditnotes_refund", "customerpayments_refund")
    ]


def _nothing(books: Books, asked: ReportQuestion) -> list[Any]:
    return []


_BY_DATE: Final = "status date"
_MONEY: Final = "bcy_total bcy_balance"
_SOLD: Final = "customer_name"
_PAID: Final = "date reference_number payment_mode description"
_AMOUNTS: Final = "amount unused_amount bcy_amount bcy_unused_amount"
#: The reports of this module by the path of their API.
LISTS: Final[Mapping[str, ListReport]] = {
    "salesbycustomer": _sales_by("customer"),
    "salesbysalesperson": _sales_by("salesperson"),
    "salesbyitem": _sales_by_item,
    "salessummary": _sales_summary,
    "purchasesbyitem": _purchases_by_item,
    "taxsummary": _taxes,
    "expensesbycategory": _expenses_by("account_id", "account_name"),
    "expensesbyemployee": _expenses_by("created_by_name", "user_name"),
    "expensesbyproject": _expenses_by("project_name", "project_name"),
    "expensedetails": _details("expenses", f"{_BY_DATE} account_name {_SOLD} amount"),
    "invoicedetails": _details(
        "invoices", f"{_BY_DATE} due_date invoice_number reference_number {_SOLD} {_MONEY}"
    ),
    "estimatedetails": _details("estimates", f"{_BY_DATE} estimate_number {_SOLD} bcy_total"),
    "salesorderdetails": _details("salesorders", f"{_BY_DATE} salesorder_number {_SOLD} bcy_total"),
    "deliverychallandetails": _details(
        "deliverychallans", f"{_BY_DATE} deliverychallan_number {_SOLD} bcy_total"
    ),
    "creditnotedetails": _details("creditnotes", f"{_BY_DATE} creditnote_number {_SOLD} {_MONEY}"),
    "billdetails": _details("bills", f"{_BY_DATE} due_date bill_number vendor_name {_MONEY}"),
    "vendorcreditdetails": _details(
        "vendorcredits", f"{_BY_DATE} vendor_credit_number vendor_name {_MONEY}"
    ),
    "purchaseorderdetails": _details(
        "purchaseorders", f"{_BY_DATE} purchaseorder_number vendor_name bcy_total"
    ),
    "recurringinvoicedetails": _details(
        "recurringinvoices",
        f"{_SOLD} recurrence_name recurrence_frequency start_date next_invoice_date status"
        " bcy_total",
    ),
    "customerpayments": _details(
        "customerpayments", f"payment_number {_PAID} {_SOLD} invoice_number account_name {_AMOUNTS}"
    ),
    "vendorpayments": _details(
        "vendorpayments", f"{_PAID} vendor_name paid_through_account_name {_AMOUNTS}"
    ),
    "refundhistory": _refunds,
    "projectsummary": _nothing,
    "timesheetdetails": _nothing,
    "inventorysummary": _nothing,
    "inventoryvaluation": _nothing,
}
