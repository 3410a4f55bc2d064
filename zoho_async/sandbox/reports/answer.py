"""Answer ``/reports/<name>``.

The names, keys, filters and shapes are those that live clients use; no description has them. A name
that is not in the table answers 404 with code 5. A report of which only the name is known answers
with no rows under that name.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.reports.activity import activity_rows
from zoho_async.sandbox.reports.ageing import AGEING
from zoho_async.sandbox.reports.ledger import books_of, prepare_books
from zoho_async.sandbox.reports.lists import LISTS
from zoho_async.sandbox.reports.query import (
    Default,
    PagedValue,
    ReportQuestion,
    ReportRules,
    question_of,
)
from zoho_async.sandbox.reports.statements import STATEMENTS

_AR: Final = ("InvoiceDueDate", "InvoiceDate")
_AP: Final = ("BillDueDate", "BillDate")
#: Lists whose rows are inside the first element, and the name of that list.
_INSIDE: Final = {
    "accounttransaction": "account_transactions",
    "invoicedetails": "invoices",
    "estimatedetails": "estimates",
    "salesorderdetails": "salesorders",
    "deliverychallandetails": "deliverychallans",
    "creditnotedetails": "creditnotes",
    "billdetails": "bills",
    "vendorcreditdetails": "vendor_credits",
    "purchaseorderdetails": "purchaseorders",
    "recurringinvoicedetails": "recurring_invoices",
    "purchasesbyitem": "purchase",
    "inventorysummary": "item_details",
    "inventoryvaluation": "item_details",
}


def _rules(
    key: str, *fields: str, default: Default = "ThisMonth", as_of: bool = False, paged: bool = True
) -> ReportRules:
    return ReportRules(key, fields or ("TransactionDate",), default, as_of=as_of, paged=paged)


_tree: Final = functools.partial(_rules, paged=False)
_balance: Final = functools.partial(_rules, default="Today", as_of=True)
_details: Final = _rules
_STOCK: Final = {
    "inventorysummary": ReportRules("inventory", default="Today", as_of=True, most=5000),
    "inventoryvaluation": _balance("inventory_valuation"),
}
_BOOKS: Final[Mapping[str, ReportRules]] = {
    "profitandloss": _tree("profit_and_loss"),
    "balancesheet": _tree("balance_sheet", default="Today", as_of=True),
    "cashflow": _tree("cash_flow"),
    "movementofequity": _tree("movement_of_equity"),
    "trialbalance": _tree("trialbalance", default="Today"),
    "generalledger": _tree("generalledger"),
    "accounttransaction": ReportRules("account_transactions", name="Account Transactions"),
    "journal": ReportRules("journal", name="Journal Report", most=200),
    "taxsummary": ReportRules("tax", name="Tax Summary"),
    "vatsummary": _tree("vat_summary"),
    "salesbycustomer": _rules("sales"),
    "salesbyitem": _rules("sales"),
    "salesbysalesperson": _rules("sales"),
    "salessummary": _rules("sales"),
    "invoicedetails": _details("invoice_details", "InvoiceDate"),
    "estimatedetails": _details("estimate_details", "EstimateDate"),
    "salesorderdetails": _details("salesorder_details", "SalesOrderDate"),
    "deliverychallandetails": _details("delivery_challan_details", "ChallanDate"),
    "creditnotedetails": _details("creditnote_details", "CreditNotesDate"),
    "billdetails": _details("bill_details", "BillDate"),
    "vendorcreditdetails": _details("vendorcredit_details", "VendorCreditDate"),
    "purchaseorderdetails": _details("purchaseorder_details", "PODate"),
    "recurringinvoicedetails": ReportRules("recurring_invoice_details", (), default=""),
    "refundhistory": _details("refund_history", "RefundDate"),
    "customerbalances": _balance("customerbalances"),
    "vendorbalances": _balance("vendorbalances"),
    "customerbalancesummary": _rules("customerbalancesummary"),
    "vendorbalancesummary": _rules("vendorbalancesummary"),
    "aragingsummary": _balance("invoice", *_AR),
    "aragingdetails": _balance("invoiceaging", *_AR),
    "apagingsummary": _balance("bills", *_AP),
    "apagingdetails": _balance("billaging", *_AP),
    "expensesbycategory": _rules("expense", "TransactionDate", "ExpenseDate"),
    "expensesbyemployee": _rules("expenses", "ExpenseDate"),
    "expensesbyproject": _rules("expenses_by_projects", "ExpenseDate"),
    "expensedetails": _rules("expensedetails", "ExpenseDate"),
    "customerpayments": _rules("customerpayments", "PaymentDate"),
    "vendorpayments": _rules("vendorpayments", "PaymentDate"),
    "purchasesbyvendors": _rules("purchasesbyvendors"),
    "purchasesbyitem": _rules("purchases_by_item"),
    "projectsummary": ReportRules("projects", (), default=""),
    "timesheetdetails": _rules("time_entries", "Date"),
    **_STOCK,
    "activitylogs": ReportRules("activity_logs", (), default="", most=200),
    **{
        name: _rules(name)
        for name in (
            *("receivablesummary", "payablesummary", "receivabledetails", "payabledetails"),
            *("timetopay", "businessperformanceratio", "accounttypesummary"),
            "vendorrefundhistory",
        )
    },
}
_INVENTORY: Final[Mapping[str, ReportRules]] = {
    **_STOCK,
    "purchasesbyitem": _rules("purchases_by_item"),
    "salesbyitem": _rules("sales"),
    "warehouse": ReportRules("warehouse_stock_info", most=2000),
}
#: The reports of each product by the last segments of their paths.
REPORTS: Final[Mapping[str, Mapping[str, ReportRules]]] = {
    "books": _BOOKS,
    "inventory": _INVENTORY,
}
_VAT: Final = ("output_boxes", "input_boxes", "net_vat_due_boxes")


def report_of(product: str, parts: tuple[str, ...]) -> ReportRules | None:
    """The rules of the report that a path names, or None."""
    if parts[0] != "reports" or len(parts) != 2:
        return None
    return REPORTS.get(product, {}).get(parts[1])


def scope_of(product: str, parts: tuple[str, ...]) -> str:
    """The scope that a path below ``/reports`` needs; "" for a path of no report."""
    return f"Zoho{product.title()}.reports.READ" if report_of(product, parts) else ""


async def answer_report(call: ApiCall, store: Store) -> ApiReply | None:
    """Answer a call of a report; None if the path names none. Raises `ApiRefusal`."""
    rules = report_of(call.product, call.parts)
    if rules is None or call.method != "GET":
        return None
    name = call.parts[1]
    if call.params.get("accept", "json") != "json":
        raise ApiRefusal(501, 0, "The sandbox has no files of reports.")
    asked = question_of(rules, call.params, store.world.day_now())
    if name in STATEMENTS or name in AGEING or name in LISTS:
        await prepare_books(store, call.product)
    value, count = _value(call.product, name, store, asked)
    return success("success", {rules.key: value, "page_context": asked.context(count)})


def _value(product: str, name: str, store: Store, asked: ReportQuestion) -> tuple[Any, int]:
    """The value under a report's key, and the count of its rows on all pages."""
    made: Any = []
    if name == "activitylogs":
        made = activity_rows(store, asked)
    elif name == "vatsummary":
        made = {box: list[Any]() for box in _VAT}
    else:
        report = STATEMENTS.get(name) or AGEING.get(name) or LISTS.get(name)
        if report is not None:
            made = report(books_of(store, product), asked)
    if isinstance(made, PagedValue):
        return made.value, made.count
    if not is_list(made):
        return made, 1
    rows: list[Any] = made
    page = list(asked.page_of(rows))
    return ([{_INSIDE[name]: page}] if name in _INSIDE else page), len(rows)
