"""Invoices whose totals are the sum of their lines and whose statuses match their balances."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.data.dates import day, day_formatted, stamp
from zoho_async.sandbox.data.sales import Sale
from zoho_async.sandbox.data.seed import SampleData, amount_formatted
from zoho_async.sandbox.records.items import Items, item_name
from zoho_async.sandbox.records.resource import Record, ResourceRules, settle_custom_fields
from zoho_async.sandbox.rules.amounts import exact, money, plain
from zoho_async.sandbox.rules.documents import KINDS
from zoho_async.sandbox.rules.statuses import settle

_UNPAID: Final = frozenset({"sent", "overdue", "partially_paid", "viewed"})
_ADDRESS: Final = (
    *("address", "street2", "city", "state", "zipcode", "country", "phone", "fax", "attention"),
)


class Invoices(ResourceRules):
    name: str = "books.invoices"
    path: str = "/invoices"
    key: str = "invoices"
    single: str = "invoice"
    id_field: str = "invoice_id"
    report_name: str = "Invoices"
    default_sort: tuple[str, str] = ("created_time", "D")
    searched: tuple[str, ...] = ("invoice_number", "reference_number", "customer_name")
    row_differs: Record = {"documents": ""}
    not_seeded: frozenset[str] = frozenset({"type"})
    added: str = "The invoice has been created."
    saved: str = "Invoice information has been updated."
    deleted: str = "The invoice has been deleted."
    missing: tuple[int, str] = (1002, "Invoice does not exist.")
    verbs: dict[str, tuple[str, str, str]] = {
        "status/sent": ("status", "sent", "Invoice status has been changed to Sent."),
        "status/void": ("status", "void", "Invoice status has been changed to Void."),
        "status/draft": ("status", "draft", "Status of invoice changed from void to draft."),
    }
    blanks: Record = {
        **dict.fromkeys(("customer_id", "customer_name", "company_name", "email"), ""),
        **dict.fromkeys(("reference_number", "notes", "terms", "last_payment_date"), ""),
        "invoice_number": "",
        "status": "draft",
        "line_items": [],
        "discount": 0.0,
        "discount_type": "entity_level",
        "shipping_charge": 0.0,
        "adjustment": 0.0,
        "payment_made": 0.0,
        "credits_applied": 0.0,
        "exchange_rate": 1.0,
        "payment_terms": 0,
        "is_emailed": False,
        "reminders_sent": 0,
    }

    def row(self, world: SampleData, index: int) -> Record:
        draw = world.draw(self.name, index)
        sale = world.sales.sale(index)
        customer_id, customer_name, status = sale.party.id, sale.party.name, sale.status
        currency_id, currency_code, symbol = world.currency(sale.party.currency)
        total, balance = sale.total / 100, sale.balance / 100
        issued, due = day(sale.moment), day(sale.due)
        paid = day(sale.receipts[-1][0]) if sale.receipts else ""
        created, modified = stamp(sale.moment), stamp(sale.modified)
        late = (world.today - date.fromisoformat(due)).days
        number = f"INV-{index + 1:06d}"
        sent = status != "draft"
        return {
            "invoice_id": world.id(self.name, index),
            "ach_payment_initiated": False,
            "zcrm_potential_id": "",
            "zcrm_potential_name": "",
            "customer_id": customer_id,
            "customer_name": customer_name,
            "company_name": f"{customer_name} Ltd" if draw[8] % 5 else "",
            "status": status,
            "status_formatted": status.replace("_", " ").title(),
            "color_code": "",
            "current_sub_status_id": "",
            "current_sub_status": status,
            "invoice_number": number,
            "reference_number": f"PO-{draw[9]:03d}" if draw[10] % 3 == 0 else "",
            "date": issued,
            "date_formatted": day_formatted(issued),
            "due_date": due,
            "due_date_formatted": day_formatted(due),
            "due_days": f"Overdue by {late} days" if status == "overdue" else "",
            "currency_id": currency_id,
            "currency_code": currency_code,
            "currency_symbol": symbol,
            "schedule_time": "",
            "email": f"pay{draw[12]}@example.com" if draw[13] % 2 else "",
            "template_type": "standard",
            "template_id": world.fixed_id(501),
            "no_of_copies": 1,
            "show_no_of_copies": True,
            "is_viewed_by_client": False,
            "has_attachment": False,
            "client_viewed_time": "",
            "invoice_url": "",
            "project_name": "",
            "billing_address": dict.fromkeys(_ADDRESS, ""),
            "shipping_address": dict.fromkeys(_ADDRESS, ""),
            "country": "",
            "phone": "",
            "created_by": "Sam Sandbox",
            "updated_time": "",
            "transaction_type": "renewal" if draw[14] % 9 == 0 else "",
            "total": total,
            "total_formatted": amount_formatted(total, symbol),
            "balance": balance,
            "balance_formatted": amount_formatted(balance, symbol),
            "unprocessed_payment_amount": 0.0,
            "created_time": created,
            "created_time_formatted": day_formatted(created),
            "last_modified_time": modified,
            "last_modified_time_formatted": day_formatted(modified),
            "is_emailed": sent,
            "is_viewed_in_mail": False,
            "mail_first_viewed_time": "",
            "mail_last_viewed_time": "",
            "reminders_sent": draw[15] % 3 if sent else 0,
            "last_reminder_sent_date": "",
            "payment_expected_date": "",
            "last_payment_date": paid,
            **world.custom_fields(draw),
            "documents": "",
            "salesperson_id": "",
            "salesperson_name": "",
            "shipping_charge": 0.0,
            "adjustment": 0.0,
            "write_off_amount": 0.0,
            "exchange_rate": sale.rate,
            "tax_percentage": "",
            "location_id": world.fixed_id(601),
            "location_name": "Head Office",
            "tags": [],
        }

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        list_only = ("company_name", "country", "phone", "documents", "project_name", "due_days")
        shared = {
            name: value
            for name, value in row.items()
            if name not in list_only and not name.startswith(("mail_", "zcrm_"))
        }
        sale = world.sales.sale(index)
        terms = sale.party.terms
        return {
            **shared,
            "is_pre_gst": "",
            "place_of_supply": "",
            "payment_terms": terms,
            "payment_terms_label": f"Net {terms}" if terms else "Due on Receipt",
            "contact_persons": [],
            "contact_persons_associated": [],
            "price_precision": 2,
            "discount": 0.0,
            "discount_amount": 0.0,
            "discount_percent": 0.0,
            "is_discount_before_tax": True,
            "discount_type": "item_level",
            "is_inclusive_tax": False,
            "recurring_invoice_id": "",
            "line_items": _line_items(world, sale),
            "sub_total": row["total"],
            "sub_total_formatted": row["total_formatted"],
            "tax_total": 0.0,
            "taxes": [],
            "tax_amount_withheld": 0.0,
            "payment_made": sale.paid / 100,
            "credits_applied": sale.credited / 100,
            "payment_reminder_enabled": True,
            "allow_partial_payments": False,
            "payment_options": {"payment_gateways": []},
            "adjustment_description": "Adjustment",
            "notes": "",
            "terms": "",
            "template_name": "Standard Template",
            "attachment_name": "",
            "can_send_in_mail": False,
            "can_send_invoice_sms": True,
            "invoice_source": "Client",
            "documents": [],
            "page_width": "8.27in",
            "page_height": "11.69in",
            "created_by_id": world.user_id,
            "last_modified_by_id": world.user_id,
            "estimate_id": "",
            "sales_channel": "direct_sales",
        }

    def booked(self, world: SampleData, index: int) -> Record | None:
        sale = world.sales.sale(index)
        draw = world.draw(self.name, index)
        total = _exact(sale.total)
        return {
            "customer_id": sale.party.id,
            "customer_name": sale.party.name,
            "status": sale.status,
            "invoice_number": f"INV-{index + 1:06d}",
            "reference_number": f"PO-{draw[9]:03d}" if draw[10] % 3 == 0 else "",
            "date": day(sale.moment),
            "due_date": day(sale.due),
            "currency_code": world.currency(sale.party.currency)[1],
            "exchange_rate": Decimal(str(sale.rate)),
            "discount_type": "item_level",
            "total": total,
            "sub_total": total,
            "balance": _exact(sale.balance),
            "payment_made": _exact(sale.paid),
            "credits_applied": _exact(sale.credited),
            "line_items": [
                {
                    "item_id": world.id(Items.name, item) if item is not None else "",
                    "name": item_name(world, item) if item is not None else "Work",
                    "quantity": Decimal(quantity),
                    "rate": _exact(cents),
                    "item_total": _exact(quantity * cents),
                }
                for item, quantity, cents in sale.lines
            ],
        }

    def settle(self, world: SampleData, state: Record) -> None:
        settle_custom_fields(world, state)
        symbol = str(state.get("currency_symbol") or world.currency_symbol)
        lines: list[Any] = state.get("line_items") or []
        taken = {str(line.get("line_item_id")) for line in lines}
        first = int(state["invoice_id"]) + 100
        fresh = (one for number in itertools.count(first) if (one := str(number)) not in taken)
        settled = [
            _settled_line(symbol, line, order, line.get("line_item_id") or next(fresh))
            for order, line in enumerate(lines, 1)
        ]
        state["line_items"] = settled
        state["date"] = state["date"] or state["created_time"][:10]
        days = int(state["payment_terms"] or 0)
        state["payment_terms_label"] = f"Net {days}" if days else "Due on Receipt"
        terms = timedelta(days=days)
        state["due_date"] = state["due_date"] or str(date.fromisoformat(state["date"]) + terms)
        seeded = int(world.index(self.name, state["invoice_id"]) or 0) < world.size(self.name)
        settle(KINDS["invoices"], state, seeded=seeded, today=world.day_now())
        for name in ("sub_total", "total", "balance"):
            figure = exact(state[name])
            state[f"{name}_formatted"] = amount_formatted(figure, symbol)
        for line in state["line_items"]:
            total = line["item_total"]
            line["item_total_formatted"] = amount_formatted(total, symbol)
        for name in ("date", "due_date"):
            state[f"{name}_formatted"] = day_formatted(state[name])
        state["current_sub_status"] = state["status"]
        state["status_formatted"] = str(state["status"]).replace("_", " ").title()

    def fresh(self, world: SampleData, index: int) -> Record:
        """A draft in the base currency, without dates."""
        currency_id, code, symbol = world.currency(0)
        facts = {"currency_id": currency_id, "currency_code": code, "currency_symbol": symbol}
        undated = {"date": "", "due_date": "", "due_days": "", "current_sub_status": "draft"}
        return super().fresh(world, index) | undated | facts

    def matches(self, record: Record, filter_by: str, today: str) -> bool:
        if filter_by == "Date.PaymentExpectedDate":
            return bool(record["payment_expected_date"])
        if filter_by == "Type.DebitNote":
            return bool(record["type"] == "debit_note")
        wanted = filter_by.removeprefix("Status.").lower()
        return wanted == "all" or has_status(
            record, {"partiallypaid": "partially_paid"}.get(wanted, wanted)
        )


def _exact(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def has_status(record: Record, wanted: str) -> bool:
    """``unpaid`` covers every invoice that was sent and is not fully paid."""
    status: str = record["status"]
    return status in _UNPAID if wanted == "unpaid" else status == wanted


def _line_items(world: SampleData, sale: Sale) -> list[Record]:
    symbol = world.currency(sale.party.currency)[2]
    return [
        _line(
            item_id=world.id(Items.name, item) if item is not None else "",
            line_item_id=world.id(Invoices.name, sale.index, 100 + order),
            name=item_name(world, item) if item is not None else "Work",
            order=order,
            quantity=float(quantity),
            rate=cents / 100,
            bcy_rate=round(cents * sale.rate) / 100,
            total=quantity * cents / 100,
            symbol=symbol,
        )
        for order, (item, quantity, cents) in enumerate(sale.lines, 1)
    ]


def _line(
    *,
    item_id: str,
    line_item_id: str,
    name: str,
    order: int,
    quantity: Any,
    rate: Any,
    bcy_rate: Any,
    total: Any,
    symbol: str,
) -> Record:
    return {
        "line_item_id": line_item_id,
        "item_id": item_id,
        "item_type": "sales",
        "product_type": "goods",
        "name": name,
        "item_name": name,
        "description": "",
        "item_order": order,
        "bcy_rate": bcy_rate,
        "rate": rate,
        "rate_formatted": amount_formatted(rate, symbol),
        "quantity": quantity,
        "unit": "",
        "discount": 0.0,
        "discount_amount": 0.0,
        **dict.fromkeys(("tax_id", "tax_name", "tax_type", "tax_percentage"), ""),
        "item_total": total,
        "item_total_formatted": amount_formatted(total, symbol),
        **dict.fromkeys(("project_id", "project_name", "expense_id", "header_id"), ""),
        "time_entry_ids": [],
        "documents": [],
        "tags": [],
        "item_custom_fields": [],
        "line_item_category": "",
    }


def _settled_line(symbol: str, line: Record, order: int, line_item_id: str) -> Record:
    """Complete a line that a caller sent with derived fields; sent values stay."""
    quantity = exact(line.get("quantity", 1))
    rate = exact(line.get("rate", 0))
    made = _line(
        item_id=str(line.get("item_id", "")),
        line_item_id=line_item_id,
        name=str(line.get("name", "")),
        order=order,
        quantity=plain(quantity),
        rate=plain(rate),
        bcy_rate=plain(rate),
        total=money(quantity * rate),
        symbol=symbol,
    )
    kept = ("quantity", "rate", "item_total", "item_order", "item_total_formatted")
    sent = {name: value for name, value in line.items() if value is not None and name not in kept}
    return made | sent
