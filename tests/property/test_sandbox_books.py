"""Double entry holds in every state that the sandbox's API can reach.

The machines call the API without HTTP: documents of both sides in two currencies, payments,
credits, refunds, retainers, write-offs, voids, removals, expenses, journals and bank transactions.
After each step the books are compared with the documents' own figures, and the reports with the
books. The sample data has no documents here, so nothing is posted to opening balances.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.support.examples import examples
from tests.support.sandbox_api import Api
from tests.support.sandbox_machine import CENTS, NOTHING, PICKED, exact, picked, prove
from tests.support.settlement_machines import Bills, Books
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.records.accounts import STANDARD
from zoho_async.sandbox.reports.entries import cents
from zoho_async.sandbox.reports.ledger import UNPOSTED, books_of
from zoho_async.sandbox.reports.ledger import Books as LedgerBooks

#: Rates with awkward fractions, so that conversions need rounding.
RATE = st.sampled_from([Decimal(1), Decimal("0.0087"), Decimal("1.3333"), Decimal("83.017")])
LATER = st.sampled_from(["2024-01-01", "2024-02-29", "2024-12-31", "2025-07-01"])
FAMILIES = ("invoices", "bills", "creditnotes", "vendorcredits")
EVERY_DAY = {"filter_by": "TransactionDate.CustomDate", "from_date": "2000-01-01"}
UNTIL = {"to_date": "2999-12-31"}


#: A cent for each account of a document.
MOST_ROUNDING = Decimal("0.08")
#: No sample documents: every posting is one of the machine's calls.
NO_SAMPLES: dict[str, int] = dict.fromkeys(
    (
        *("bills", "credit_notes", "vendor_credits", "retainer_invoices", "customer_payments"),
        *("vendor_payments", "expenses", "journals", "bank_transactions", "sales_receipts"),
    ),
    0,
)


def check_open_amounts(books: LedgerBooks) -> None:
    """What is posted to each document's claim is the balance that the document shows."""
    found: dict[Any, Decimal] = {}
    for posting in books.postings:
        for entry in posting.entries:
            if entry.claim is not None:
                found[entry.claim] = found.get(entry.claim, NOTHING) + entry.amount
    for word in FAMILIES:
        sign = 1 if word in ("invoices", "vendorcredits") else -1
        for record_id, state in books.documents(word):
            rate = exact(state, "exchange_rate") or Decimal(1)
            posted = state["status"] not in UNPOSTED
            expected = sign * cents(exact(state, "balance") * rate) if posted else NOTHING
            assert found.get((word, record_id), NOTHING) == expected, (word, state["status"])
    for word, sign in (("customerpayments", -1), ("vendorpayments", 1)):
        for record_id, state in books.documents(word):
            rate = exact(state, "exchange_rate") or Decimal(1)
            unused = "unused_amount" if "unused_amount" in state else "amount"  # seeded: unused
            expected = sign * cents(exact(state, unused) * rate)
            assert found.get((word, record_id), NOTHING) == expected


class Booked:
    """The laws of double entry, for any machine that writes documents of Books."""

    api: Any
    number: int
    parties: list[str]
    rates: Mapping[str, Decimal]

    def report(self, name: str, **params: str) -> dict[str, Any]:
        query = EVERY_DAY | UNTIL | params
        whole: dict[str, Any] = self.api.call("GET", f"/reports/{name}", None, **query)
        return whole

    # -- further documents ----------------------------------------------------------------------

    def account(self, number: int) -> str:
        accounts = self.api.store.at(schemas("books").by_path["chartofaccounts",], ())
        return str(accounts.id(number % 25))

    def tried_post(self, path: str, body: dict[str, Any]) -> Any:
        return self.tried(f"POST{path}", "POST", path, body)  # type: ignore[attr-defined] # a mixin

    @rule(account=PICKED, amount=CENTS, rate=RATE, inclusive=st.booleans(), day=LATER)
    def spend(
        self, account: int, amount: Decimal, rate: Decimal, inclusive: bool, day: str
    ) -> None:
        body = {"account_id": self.account(14 + account), "amount": amount, "date": day}
        body |= {"paid_through_account_id": self.account(3), "exchange_rate": rate}
        self.tried_post("/expenses", body | {"is_inclusive_tax": inclusive})

    @rule(
        first=PICKED,
        second=PICKED,
        amount=CENTS,
        off=st.integers(0, 3),
        day=LATER,
        rate=RATE,
        status=st.sampled_from(["published", "published", "draft"]),
    )
    def write_journal(
        self,
        first: int,
        second: int,
        amount: Decimal,
        off: int,
        day: str,
        rate: Decimal,
        status: str,
    ) -> None:
        """A journal of three lines; sometimes its sides differ, which is refused."""
        rows: list[dict[str, Any]] = [
            {"account_id": self.account(3 + first), "amount": amount, "debit_or_credit": "debit"},
            {"account_id": self.account(3 + second), "amount": 1, "debit_or_credit": "debit"},
            {"account_id": self.account(21), "amount": amount + 1, "debit_or_credit": "credit"},
        ]
        if not off:
            rows[0]["amount"] = amount + 1
        body = {"journal_date": day, "line_items": rows, "exchange_rate": rate, "status": status}
        self.tried_post("/journals", body)

    @rule(first=PICKED, second=PICKED, amount=CENTS, day=LATER)
    def move_money(self, first: int, second: int, amount: Decimal, day: str) -> None:
        body = {"transaction_type": "transfer_fund", "amount": amount, "date": day}
        body |= {"from_account_id": self.account(2 + first), "to_account_id": self.account(second)}
        self.tried_post("/banktransactions", body)

    @rule(amount=CENTS, other=CENTS)
    def open_the_books(self, amount: Decimal, other: Decimal) -> None:
        rows = [
            {"account_id": self.account(3), "amount": amount, "debit_or_credit": "debit"},
            {"account_id": self.account(21), "amount": other, "debit_or_credit": "credit"},
        ]
        body = {"date": "2023-12-31", "accounts": rows}
        self.tried_post("/settings/openingbalances", body)

    def sums_are_kept(self) -> None:
        """Not checked again here: retainers settle invoices, too."""

    # -- laws -----------------------------------------------------------------------------------

    @invariant()
    def debits_equal_credits(self) -> None:
        books = books_of(self.api.store)
        rounding = books.chart.role("rounding")
        for posting in (*books.postings, *books.basis(cash=True)):
            assert sum((each.amount for each in posting.entries), NOTHING) == 0
            assert all(each.amount == cents(each.amount) for each in posting.entries)
            if posting.kind not in ("expense", "journal", "bank_transaction"):
                off = (each.amount for each in posting.entries if each.account == rounding)
                assert abs(sum(off, NOTHING)) <= MOST_ROUNDING

    @invariant()
    def open_amounts_are_the_balances_of_documents(self) -> None:
        check_open_amounts(books_of(self.api.store))

    @invariant()
    def drafts_and_void_documents_post_nothing(self) -> None:
        books = books_of(self.api.store)
        idle = {
            (word, record_id)
            for word in FAMILIES
            for record_id, state in books.documents(word)
            if state["status"] in UNPOSTED
        }
        assert not idle & {each.opens for each in books.postings}
        assert not idle & {e.claim for each in books.postings for e in each.entries}

    @invariant()
    def only_opening_balances_need_an_offset(self) -> None:
        books = books_of(self.api.store)
        offset = books.chart.role("opening")
        for posting in books.postings:
            if posting.kind not in ("opening_balance", "journal", "bank_transaction"):
                assert offset not in {each.account for each in posting.entries}
            assert posting.kind != "opening_balance" or posting.id == ""

    @rule()
    def read_reports(self) -> None:
        self.reports_agree()

    def teardown(self) -> None:
        self.reports_agree()

    def reports_agree(self) -> None:
        for cash in ("false", "true"):
            self.statements_agree(cash)
        self.ageing_agrees()

    def statements_agree(self, cash: str) -> None:
        trial = self.report("trialbalance", cash_based=cash)["trialbalance"][0]
        assert exact(trial, "net_debit_total") == exact(trial, "net_credit_total")
        nets: dict[str, Decimal] = {}
        for group in trial["account_transactions"]:
            for row in group["account_transactions"]:
                net = exact(row, "net_debit_total") - exact(row, "net_credit_total")
                nets[group["account_type"]] = nets.get(group["account_type"], NOTHING) + net
        profit = -nets.get("income", NOTHING) - nets.get("expense", NOTHING)
        gross, operating, net_profit = self.report("profitandloss", cash_based=cash)[
            "profit_and_loss"
        ]
        assert exact(net_profit, "total") == profit
        for section, before in ((gross, None), (operating, gross), (net_profit, operating)):
            added, taken = self.added(section)
            start = exact(before, "total") if before is not None else NOTHING
            assert exact(section, "total") == start + added - taken
        assets, claims = self.report("balancesheet", cash_based=cash)["balance_sheet"]
        assert exact(assets, "total") == exact(claims, "total")
        assert exact(assets, "total") == nets.get("asset", NOTHING)
        for node in (assets, claims, gross, operating, net_profit):
            self.totals_are_sums(node, top=node in (gross, operating, net_profit))
        flow = self.report("cashflow", cash_based=cash)["cash_flow"]
        assert exact(flow[0], "total") + exact(flow[1], "total") == exact(flow[2], "total")
        ledger = self.report("generalledger", cash_based=cash)["generalledger"]
        assert sum((exact(each, "debit_total") for each in ledger), NOTHING) == sum(
            (exact(each, "credit_total") for each in ledger), NOTHING
        )

    def added(self, section: dict[str, Any]) -> tuple[Decimal, Decimal]:
        """What the groups of a section add and take."""
        incomes = ("Operating Income", "Non Operating Income")
        groups = section["account_transactions"]
        added = (exact(each, "total") for each in groups if each["name"] in incomes)
        taken = (exact(each, "total") for each in groups if each["name"] not in incomes)
        return sum(added, NOTHING), sum(taken, NOTHING)

    def totals_are_sums(self, node: dict[str, Any], *, top: bool) -> None:
        children = node.get("account_transactions", [])
        if children and not top:
            assert exact(node, "total") == sum((exact(e, "total") for e in children), NOTHING)
        for child in children:
            self.totals_are_sums(child, top=False)

    def ageing_agrees(self) -> None:
        books = books_of(self.api.store)
        sides = (("ar", "invoice", "invoices", "Invoice"), ("ap", "bills", "bills", "Bill"))
        for name, key, word, field in sides:
            days = {"filter_by": f"{field}DueDate.CustomDate", "per_page": "500"}
            whole = self.report(f"{name}agingsummary", **days)[key]
            details = self.report(f"{name}agingdetails", **days)
            rows = details["invoiceaging" if name == "ar" else "billaging"][0]["group_list"]
            expected = {
                record_id: cents(exact(state, "balance") * (exact(state, "exchange_rate") or 1))
                for record_id, state in books.documents(word)
                if state["status"] not in UNPOSTED and exact(state, "balance")
            }
            assert {row["id"]: exact(row, "balance") for row in rows} == expected
            total = sum(expected.values(), NOTHING)
            assert exact(whole, "total") == total
            assert sum((exact(each, "amount") for each in whole["intervals"]), NOTHING) == total
            parties = whole["group_list"][0]["group_list"]
            assert sum((exact(each, "total") for each in parties), NOTHING) == total


class BookedSales(Booked, Books):
    """Invoices, credit notes and customer payments, with taxes, discounts and foreign rates."""

    expected: ClassVar[tuple[str, ...]] = (
        *Books.expected,
        *("POST/expenses", "POST/journals", "POST/banktransactions"),
        *("POST/settings/openingbalances", "POST/invoices/foreign", "POST/retainerinvoices"),
        *("POST/retainerinvoices/invoices", "POST/creditnotes", "POST/customerpayments"),
    )
    forbidden: ClassVar[tuple[str, ...]] = ("POST/journals",)

    def __init__(self) -> None:
        super().__init__()
        self.api = Api("books", NO_SAMPLES)

    @rule(
        rate=RATE,
        price=CENTS,
        tax=st.sampled_from(["0", "7", "19"]),
        discount=st.sampled_from([0, "10%", Decimal("0.33")]),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
        extra=st.sampled_from([Decimal(0), Decimal("-0.01"), Decimal("2.35")]),
        day=LATER,
    )
    def sell_abroad(
        self,
        rate: Decimal,
        price: Decimal,
        tax: str,
        discount: Any,
        flags: tuple[bool, bool, bool],
        extra: Decimal,
        day: str,
    ) -> None:
        inclusive, before_tax, by_line = flags
        kind = "item_level" if by_line else "entity_level"
        line = {"name": "x", "rate": price, "quantity": 3, "tax_percentage": tax}
        lines = [line | {"discount": "5%"}, {"name": "y", "rate": "10.01", "quantity": 1}]
        body = {"customer_id": self.parties[0], "exchange_rate": rate, "line_items": lines}
        body |= {"invoice_number": self.numbered("abroad"), "date": day, "adjustment": extra}
        body |= {"discount": discount, "discount_type": kind, "shipping_charge": 1}
        body |= {"is_inclusive_tax": inclusive, "is_discount_before_tax": before_tax}
        made = self.tried("POST/invoices/foreign", "POST", "/invoices", body)
        assert made is not None
        self.debt_ids.append(made["invoice"]["invoice_id"])
        self.api.call("POST", f"/invoices/{self.debt_ids[-1]}/status/sent")

    @rule(rate=RATE, price=CENTS)
    def credit_abroad(self, rate: Decimal, price: Decimal) -> None:
        line = {"name": "x", "rate": price, "quantity": 2, "tax_percentage": "7"}
        body = {"customer_id": self.parties[0], "exchange_rate": rate, "line_items": [line]}
        body |= {"creditnote_number": self.numbered("credit"), "date": "2024-03-31"}
        made = self.tried_post("/creditnotes", body)
        self.credit_ids.append(made["creditnote"]["creditnote_id"])

    @rule(rate=RATE, debt=PICKED, part=st.integers(1, 100), more=CENTS, day=LATER)
    def pay_abroad(self, rate: Decimal, debt: int, part: int, more: Decimal, day: str) -> None:
        target = picked(self.debt_ids, debt)
        share = self.share(target, part)
        body = self.paying(0, share + more, target, share)
        body |= {"exchange_rate": rate, "date": day, "bank_charges": Decimal("0.35")}
        made = self.tried_post("/customerpayments", body)
        if made is not None:
            self.payment_ids.append(made["payment"]["payment_id"])

    @rule(price=CENTS, rate=RATE, debt=PICKED)
    def use_retainer(self, price: Decimal, rate: Decimal, debt: int) -> None:
        """A retainer is sent, paid, and drawn for an invoice."""
        line = {"description": "x", "rate": price, "quantity": 1}
        body: dict[str, Any] = {"customer_id": self.parties[0], "line_items": [line]}
        made = self.tried_post("/retainerinvoices", body | {"exchange_rate": rate})
        if made is None:
            return
        one = made["retainerinvoice"]["retainerinvoice_id"]
        self.api.call("POST", f"/retainerinvoices/{one}/status/sent")
        paid = {"customer_id": self.parties[0], "payment_mode": "cash", "amount": price}
        paid |= {"date": "2024-04-01", "retainerinvoice_id": one}
        self.tried_post("/customerpayments", paid)
        target = picked(self.debt_ids, debt)
        rows = [{"invoice_id": target, "amount_applied": min(price, self.share(target, 60))}]
        self.asked("POST", f"/retainerinvoices/{one}/invoices", {"invoices": rows})


class BookedPurchases(Booked, Bills):
    """Bills, vendor credits and vendor payments."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Api("books", NO_SAMPLES)

    @rule(rate=RATE, price=CENTS, account=PICKED, inclusive=st.booleans(), day=LATER)
    def buy_abroad(
        self, rate: Decimal, price: Decimal, account: int, inclusive: bool, day: str
    ) -> None:
        line = {"name": "x", "rate": price, "quantity": 3, "tax_percentage": "19"}
        lines = [line | {"account_id": self.account(account)}]
        body = {"vendor_id": self.parties[0], "exchange_rate": rate, "line_items": lines}
        body |= {"bill_number": self.numbered("abroad"), "date": day, "due_date": day}
        made = self.tried_post("/bills", body | {"is_inclusive_tax": inclusive})
        self.debt_ids.append(made["bill"]["bill_id"])
        self.api.call("POST", f"/bills/{self.debt_ids[-1]}/status/open")

    @rule(rate=RATE, debt=PICKED, part=st.integers(1, 100), more=CENTS, day=LATER)
    def pay_abroad(self, rate: Decimal, debt: int, part: int, more: Decimal, day: str) -> None:
        target = picked(self.debt_ids, debt)
        share = self.share(target, part)
        body = self.paying(0, share + more, target, share)
        made = self.tried_post("/vendorpayments", body | {"exchange_rate": rate, "date": day})
        if made is not None:
            self.payment_ids.append(made["vendorpayment"]["payment_id"])


@pytest.mark.parametrize("side", [BookedSales, BookedPurchases])
def test_double_entry_holds_in_every_state(side: type[Books]) -> None:
    prove(side, examples(10), 20)


def test_the_books_of_the_sample_data_balance() -> None:
    api = Api("books", {"invoices": 300})
    books = books_of(api.store)
    assert len(books.postings) > 300
    for posting in (*books.postings, *books.basis(cash=True)):
        assert sum((each.amount for each in posting.entries), NOTHING) == 0
    check_open_amounts(books)


def test_every_organization_has_the_accounts_of_the_ledger() -> None:
    for seeded in (True, False):
        store = Store(SampleData(1, "10234695", {"chart_of_accounts": 0}, seeded=seeded))
        accounts = store.collection("books.chart_of_accounts")
        names = [accounts.row(index)["account_name"] for index in accounts.indexes()]
        assert names == [name for _, name, _ in STANDARD]


def test_a_deleted_account_of_the_ledger_keeps_its_name() -> None:
    api = Api("books", NO_SAMPLES)
    sales = books_of(api.store).chart.role("sales")
    api.call("DELETE", f"/chartofaccounts/{sales}")
    assert books_of(api.store).chart.account(sales).name == "Sales"
