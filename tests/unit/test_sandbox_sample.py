"""The sample firm: three years of consistent documents up to the day before today.

Each promise is checked on days that break careless calendars: leap days, the ends of years and
months, weekends, and nights on which the clocks of São Paulo once changed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.wall_clock import noon_of
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.dates import calendar_of
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.reports.ledger import Books, books_of
from zoho_async.sandbox.rules.settlement import ApplicationLedger

DAYS = [
    *(date(2024, 2, 29), date(2025, 12, 31), date(2026, 1, 1)),
    *(date(2018, 11, 4), date(2026, 11, 30)),
]
SIZES = {"contacts": 80, "items": 40, "invoices": 900, "projects": 12}
CENT = Decimal("0.01")


@pytest.fixture(scope="module", params=DAYS, ids=str)
def store(request: pytest.FixtureRequest) -> Store:
    return Store(SampleData(1, "10234695", SIZES, today=request.param))


def records(store: Store, name: str) -> list[dict[str, Any]]:
    """Each record as a caller sees it: the list form, and what only the full form has."""
    collection = store.collection(name)
    return [collection.detail(index) | collection.row(index) for index in collection.indexes()]


def amount(record: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(record[name]))


def base(record: Mapping[str, Any], name: str) -> Decimal:
    rate = Decimal(str(record.get("exchange_rate", 1)))
    return (amount(record, name) * rate).quantize(CENT, ROUND_HALF_UP)


def moment(record: Mapping[str, Any], name: str) -> datetime:
    return datetime.strptime(record[name], "%Y-%m-%dT%H:%M:%S%z")


@pytest.mark.parametrize(
    "name", ["contacts", "items", "invoices", "projects", "customer_payments", "credit_notes"]
)
def test_records_ascend_and_end_before_today(store: Store, name: str) -> None:
    today = store.world.today
    midnight = datetime.fromisoformat(f"{today}T00:00:00-03:00")
    rows = records(store, name)
    created = [moment(row, "created_time") for row in rows]
    assert created == sorted(created)
    for row, when in zip(rows, created, strict=True):
        assert when <= moment(row, "last_modified_time") < midnight
        if "date" in row:
            assert row["date"] == str(when.date())
    first = date(today.year - 3, today.month, 1)
    if name in ("invoices", "customer_payments"):
        months = {row["date"][:7] for row in rows}
        assert len(months) >= 36  # each month of the three years
        assert first <= date.fromisoformat(min(row["date"] for row in rows))


def test_a_status_is_what_the_payments_and_the_due_date_say(store: Store) -> None:
    today = str(store.world.today)
    paid: dict[str, Decimal] = {}
    last: dict[str, str] = {}
    for payment in records(store, "customer_payments"):
        for row in payment["invoices"]:
            assert amount(row, "amount_applied") == amount(payment, "amount") > 0
            assert amount(payment, "unused_amount") == 0
            paid[row["invoice_id"]] = paid.get(row["invoice_id"], Decimal(0)) + amount(
                payment, "amount"
            )
            last[row["invoice_id"]] = payment["created_time"]
    credited: dict[str, Decimal] = defaultdict(Decimal)
    for note in records(store, "credit_notes"):
        assert amount(note, "balance") == amount(note, "total") - sum(
            (amount(row, "amount_applied") for row in note["invoices"]), Decimal(0)
        )
        for row in note["invoices"]:
            credited[row["invoice_id"]] += amount(row, "amount_applied")
    seen = Counter[str]()
    for invoice in records(store, "invoices"):
        seen[invoice["status"]] += 1
        got = paid.pop(invoice["invoice_id"], Decimal(0))
        credit = credited.pop(invoice["invoice_id"], Decimal(0))
        assert (got, credit) == (
            amount(invoice, "payment_made"),
            amount(invoice, "credits_applied"),
        )
        open_amount = amount(invoice, "total") - got - credit
        if invoice["status"] in ("draft", "void"):
            assert got == credit == 0
            assert amount(invoice, "balance") == (
                0 if invoice["status"] == "void" else amount(invoice, "total")
            )
            continue
        assert amount(invoice, "balance") == open_amount >= 0
        late = "overdue" if invoice["due_date"] < today else "sent"
        part = "partially_paid" if got + credit else late
        assert invoice["status"] == ("paid" if not open_amount else part)
        if got:
            assert invoice["last_modified_time"] == last[invoice["invoice_id"]]
    assert sum(paid.values()) == sum(credited.values()) == 0
    assert set(seen) == {"draft", "void", "sent", "overdue", "partially_paid", "paid"}
    assert seen["paid"] > sum(seen.values()) / 2


def test_every_interval_of_age_and_several_currencies_have_receivables(store: Store) -> None:
    ages, currencies = set[int](), set[str]()
    for invoice in records(store, "invoices"):
        currencies.add(invoice["currency_code"])
        if invoice["status"] in ("sent", "overdue", "partially_paid"):
            days = (store.world.today - date.fromisoformat(invoice["due_date"])).days
            ages.add(0 if days <= 0 else 1 + min(days - 1, 45) // 15)
    assert ages == {0, 1, 2, 3, 4}
    assert {"USD", "EUR", "GBP"} <= currencies


def test_documents_name_what_existed_when_they_were_made(store: Store) -> None:
    contacts = {row["contact_id"]: row for row in records(store, "contacts")}
    items = {row["item_id"]: row["created_time"] for row in records(store, "items")}
    open_amounts: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in records(store, "invoices"):
        customer = contacts[invoice["customer_id"]]
        assert customer["contact_type"] == "customer"
        assert customer["currency_code"] == invoice["currency_code"]
        assert customer["created_time"] <= invoice["created_time"]
        for line in invoice["line_items"]:
            assert items[line["item_id"]] <= invoice["created_time"]
        if invoice["status"] not in ("draft", "void"):
            open_amounts[invoice["customer_id"]] += amount(invoice, "balance")
    for contact_id, contact in contacts.items():
        assert amount(contact, "outstanding_receivable_amount") == open_amounts[contact_id]


def test_the_books_of_the_sample_data_balance(store: Store) -> None:
    books = books_of(store)
    assert len(books.postings) > 1700
    balances: dict[Any, Decimal] = {}
    offset = books.chart.role("opening")
    for posting in (*books.postings, *books.basis(cash=True)):
        assert sum((each.amount for each in posting.entries), Decimal(0)) == 0
        if posting.kind in ("invoice", "customer_payment", "creditnote"):
            assert offset not in {each.account for each in posting.entries}
    for posting in books.postings:
        for entry in posting.entries:
            if entry.claim is not None:
                balances[entry.claim] = balances.get(entry.claim, Decimal(0)) + entry.amount
    for invoice in records(store, "invoices"):
        posted = balances.get(("invoices", invoice["invoice_id"]), Decimal(0))
        counts = invoice["status"] not in ("draft", "void")
        assert posted == (base(invoice, "balance") if counts else 0)


def test_no_sample_record_has_a_field_that_only_later_ones_have(store: Store) -> None:
    """Lists are filtered by these fields without building the record."""
    collection = store.collection("invoices")
    names = collection.resource.not_seeded
    assert names == {"type"}
    for index in collection.indexes()[::9]:
        assert not names & {name for name, value in collection.state(index).items() if value}
    index = collection.add({"type": "debit_note"})
    assert not collection.lacks(index, "type")
    assert collection.lacks(0, "type")


def test_the_ledger_reads_the_same_of_a_brief_and_of_a_whole_record(store: Store) -> None:
    for word in ("invoices", "customer_payments", "credit_notes"):
        collection = store.collection(word)
        for index in collection.indexes()[::7]:
            check_brief(collection.booked(index), collection.state(index))


def check_brief(brief: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    for name, value in brief.items():
        if name == "line_items":
            for one, other in zip(value, whole[name], strict=True):
                check_brief(one, other)
        elif name == "exchange_rate" or isinstance(value, Decimal):
            assert value == Decimal(str(whole.get(name, 1)))
        elif name != "discount_type":
            assert value == whole[name]


def test_a_payment_of_the_sample_data_can_be_deleted_like_any_other() -> None:
    store = Store(SampleData(1, "10234695", SIZES, today=date(2026, 11, 28)))
    ledger = ApplicationLedger(store, "books")
    payment = store.collection("customer_payments").id(5)
    [row] = ledger.rows(("customerpayments", payment))
    assert row in ledger.rows(row.target)
    before = ledger.state(row.target)
    ledger.undo_all(("customerpayments", payment))
    after = ledger.state(row.target)
    assert Decimal(str(after["balance"])) == amount(before, "balance") + row.amount
    assert ledger.rows(("customerpayments", payment)) == []
    assert row not in ledger.rows(row.target)


def test_the_ledger_gives_way_while_it_is_built() -> None:
    store = Store(SampleData(1, "10234695", SIZES, today=date(2026, 11, 28)))
    books = Books(store, "books")
    assert sum(1 for _ in books.build()) > 30


def test_a_calendar_covers_three_years_and_grows() -> None:
    for number in range(0, 1500, 11):
        today = date(2023, 1, 1) + timedelta(days=number)
        calendar = calendar_of(today)
        moments = [calendar.moment(step / 500) for step in range(501)]
        assert moments == sorted(moments)
        assert moments[-1] < calendar.end
        assert calendar.first == date(today.year - 3, today.month, 1)
        assert moments[250] > (moments[0] + calendar.end) / 2  # more than half is later


def test_a_file_keeps_the_day_of_its_sample_data(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.sqlite"

    def rows(day: str, **more: Any) -> list[bytes]:
        box = Sandbox(sizes=SIZES, wall_clock=noon_of(day), **more)
        invoices: Collection = box.store().collection("invoices")
        found = [invoices.encoded_row(index) for index in (0, 450, 899)]
        box._keep.close()
        return found

    first = rows("2026-11-28", file=file)
    assert rows("2026-12-05", file=file) == first == rows("2026-11-28") != rows("2026-12-05")
