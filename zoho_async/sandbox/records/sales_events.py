"""Customer payments and credit notes of Books: the events of the sample sales.

Their number follows from the sales and is at least 25. Records beyond the sales' events are not for
an invoice: payments that were not used, and credit notes of any status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.data.dates import day, stamp
from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.items import item_name
from zoho_async.sandbox.records.resource import Record

PAYMENTS: Final = "books.customer_payments"
CREDIT_NOTES: Final = "books.credit_notes"
_LEAST: Final = 25
_MODES: Final = ("Bank Transfer", "Bank Transfer", "Check", "Credit Card", "Cash")


class SalesEvents(Described):
    """Records that are events of the sample sales, at ``moments``, and then further ones."""

    def __init__(
        self,
        schema: CollectionSchema,
        schemas: CollectionSchemas,
        parents: Sequence[tuple[str, str]],
        moments: Sequence[int],
    ) -> None:
        super().__init__(schema, schemas, parents)
        self.default_rows = max(_LEAST, len(moments))
        self._last: Final = moments[-1] if moments else 0

    def _created(self, world: SampleData, index: int) -> int:
        """The creation time of a further record, which is later than the sales' events."""
        return max(self._last, super()._created(world, index))


class CustomerPayments(SalesEvents):
    """The payments of customers. Each of the sample data pays one invoice."""

    def row(self, world: SampleData, index: int) -> Record:
        return _with_facts(super().row(world, index), _payment(world, index))

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        return _with_facts(super().detail(world, index, row), _payment(world, index))

    def booked(self, world: SampleData, index: int) -> Record | None:
        return _booked_payment(world, index)


class CreditNotes(SalesEvents):
    """The credit notes of customers. Each of the sample data is for one invoice."""

    def row(self, world: SampleData, index: int) -> Record:
        return _with_facts(super().row(world, index), _credit_note(world, index))

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        made = super().detail(world, index, row)
        facts = _credit_note(world, index)
        lines: list[Record] = made["line_items"] if facts else []
        for line in lines:
            line |= {name: each for name, each in facts["line"].items() if name in line}
        return _with_facts(made, facts)


def _with_facts(made: Record, facts: Mapping[str, Any]) -> Record:
    """Set what the sale says. Records in another currency also have its rate."""
    rate = (
        {"exchange_rate": facts["exchange_rate"]} if facts.get("exchange_rate", 1.0) != 1.0 else {}
    )
    return made | {name: value for name, value in facts.items() if name in made} | rate


def _booked_payment(world: SampleData, index: int) -> Record | None:
    """What the ledger and the reports read of a payment."""
    sales = world.sales
    if index >= len(sales.receipts):
        return None
    receipt = sales.receipts[index]
    party, date = sales.sale(receipt.sale).party, day(receipt.moment)
    return {
        "payment_number": str(index + 1),
        "invoice_number": f"INV-{receipt.sale + 1:06d}",
        "date": date,
        "payment_mode": _MODES[world.draw(PAYMENTS, index)[6] % len(_MODES)],
        "amount": Decimal(receipt.amount).scaleb(-2),
        "unused_amount": Decimal(0),
        "customer_id": party.id,
        "customer_name": party.name,
        "currency_code": world.currency(party.currency)[1],
        "exchange_rate": Decimal(str(sales.rate(party.currency, date))),
        "account_id": "",
    }


def _payment(world: SampleData, index: int) -> Record:
    booked = _booked_payment(world, index)
    if booked is None:
        return {}
    receipt = world.sales.receipts[index]
    sale, amount = world.sales.sale(receipt.sale), receipt.amount / 100
    rate, number = float(booked["exchange_rate"]), booked["invoice_number"]
    currency_id, _, symbol = world.currency(sale.party.currency)
    return booked | {
        "invoice_numbers": number,
        "payment_mode_formatted": booked["payment_mode"],
        "amount": amount,
        "bcy_amount": round(amount * rate, 2),
        "unused_amount": 0.0,
        "bcy_unused_amount": 0.0,
        "currency_id": currency_id,
        "currency_symbol": symbol,
        "exchange_rate": rate,
        "created_time": stamp(receipt.moment),
        "last_modified_time": stamp(receipt.moment),
        "invoices": [
            {
                "invoice_id": world.id("books.invoices", receipt.sale),
                "invoice_number": number,
                "invoice_payment_id": "",
                "date": day(sale.moment),
                "amount": amount,
                "amount_applied": amount,
                "invoice_amount": sale.total / 100,
                "balance_amount": sale.balance / 100,
            }
        ],
    }


def _credit_note(world: SampleData, index: int) -> Record:
    sales = world.sales
    if index >= len(sales.credits):
        return {}
    sale = sales.sale(sales.credits[index])
    credit = sale.credit
    assert credit is not None  # `credits` names such sales only
    total, applied = credit.total / 100, credit.applied / 100
    currency_id, code, symbol = world.currency(sale.party.currency)
    item = sale.lines[0][0]
    line = {
        "item_id": world.id("books.items", item) if item is not None else "",
        "name": item_name(world, item) if item is not None else "Work",
        "account_id": "",
        "quantity": 1.0,
        "rate": total,
        "bcy_rate": total,
        "item_total": total,
        "line_item_category": "",
        "project_id": "",
        "tax_id": "",
    }
    listed = {
        "invoice_id": world.id("books.invoices", sale.index),
        "invoice_number": f"INV-{sale.index + 1:06d}",
        "date": day(credit.moment),
        "amount": applied,
        "amount_applied": applied,
        "invoice_amount": sale.total / 100,
        "balance_amount": sale.balance / 100,
    }
    return {
        "date": day(credit.moment),
        "status": "closed" if applied == total else "open",
        "reference_number": f"INV-{sale.index + 1:06d}",
        "total": total,
        "sub_total": total,
        "balance": round(total - applied, 2),
        "total_credits_used": applied,
        "customer_id": sale.party.id,
        "customer_name": sale.party.name,
        "currency_id": currency_id,
        "currency_code": code,
        "currency_symbol": symbol,
        "created_time": stamp(credit.moment),
        "last_modified_time": stamp(credit.moment),
        "invoices": [listed] if applied else [],
        "line": line,
    }


# -- what settled what --------------------------------------------------------------------------


def seeded_applications(
    world: SampleData, word: str, index: int
) -> list[tuple[str, str, str, str, Decimal]]:
    """The sample applications of a document: kind and id of the source and of the target, amount.

    ``word`` is the family of the document, ``index`` its row number.
    """
    sales = world.sales
    found: list[tuple[str, str, str, str, Decimal]] = []
    if word == "invoices":
        numbers = sales.receipts_of.get(index, [])
        found = [_paid(world, number) for number in numbers if number < world.size(PAYMENTS, 10**9)]
        note = sales.credit_of.get(index)
        if note is not None and note < world.size(CREDIT_NOTES, 10**9):
            found.append(_credited(world, note))
    elif word == "customerpayments" and index < len(sales.receipts):
        found = [_paid(world, index)]
    elif word == "creditnotes" and index < len(sales.credits):
        found = [_credited(world, index)]
    return [each for each in found if each[-1]]


def _paid(world: SampleData, number: int) -> tuple[str, str, str, str, Decimal]:
    receipt = world.sales.receipts[number]
    target = world.id("books.invoices", receipt.sale)
    source = world.id(PAYMENTS, number)
    return "customerpayments", source, "invoices", target, Decimal(receipt.amount) / 100


def _credited(world: SampleData, number: int) -> tuple[str, str, str, str, Decimal]:
    index = world.sales.credits[number]
    credit = world.sales.sale(index).credit
    applied = Decimal(credit.applied) / 100 if credit is not None else Decimal(0)
    target = world.id("books.invoices", index)
    return "creditnotes", world.id(CREDIT_NOTES, number), "invoices", target, applied
