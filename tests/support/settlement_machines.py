"""Machines that write the debts, credits and payments of two parties, and check their sums."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.support.sandbox_machine import (
    CENTS,
    NOTHING,
    PICKED,
    SHARE,
    Machine,
    exact,
    picked,
)


class Books(Machine):
    """One side of the books: debts, credits and payments of two parties."""

    product = "books"
    party_field = "customer_id"
    debts, debt, debt_id = "invoices", "invoice", "invoice_id"
    credits, credit, credit_id = "creditnotes", "creditnote", "creditnote_id"
    payments, payment = "customerpayments", "payment"
    credited, opened = "credits_applied", "sent"
    expected: ClassVar[tuple[str, ...]] = (
        *("POST/customerpayments", "PUT/customerpayments", "DELETE/customerpayments"),
        *("POST/invoices/credits", "POST/creditnotes/invoices", "DELETE/creditnotes/invoices"),
        *("DELETE/invoices/payments", "POST/creditnotes/refunds", "PUT/invoices"),
        *("DELETE/invoices", "DELETE/creditnotes"),
        *("POST/invoices/status/void", "POST/invoices/writeoff"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.debt_ids: list[str] = []
        self.credit_ids: list[str] = []
        self.payment_ids: list[str] = []
        self.refunded: dict[str, Decimal] = {}
        self.refunds: list[tuple[str, str, str, Decimal]] = []

    def asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        words = [part for part in path.split("/") if part.isalpha()]
        return self.tried("/".join([method, *words]), method, path, body)

    def get(self, word: str, key: str, record_id: str) -> dict[str, Any]:
        whole = self.api.call("GET", f"/{word}/{record_id}", None, accept="json")
        record: dict[str, Any] = whole[key] if key else whole
        return record

    def lines(self, rate: Decimal, quantity: int) -> dict[str, Any]:
        line = {"name": "x", "rate": rate, "quantity": quantity}
        return {"line_items": [{**line, "item_id": ""}, {"name": "y", "rate": 1, "quantity": 1}]}

    def share(self, debt: str, percent: int, most: Decimal | None = None) -> Decimal:
        """A part of a debt's balance, sometimes more than the balance or the source."""
        balance = exact(self.state(self.debts, debt), "balance") if self.debt_ids else NOTHING
        base = balance if most is None or percent > 100 else min(balance, most)
        return (base * percent / 100).quantize(Decimal("0.01")) or Decimal("0.01")

    @initialize(first=CENTS, second=CENTS)
    def begin(self, first: Decimal, second: Decimal) -> None:
        for number, rate in enumerate((first, second, first)):
            self.make_debt(number, rate, 1, late=number == 1)
            self.make_credit(number, rate + 1)
            self.pay(number, rate + 9, number, 50)

    # -- actions --------------------------------------------------------------------------------

    @rule(party=PICKED, rate=CENTS, quantity=st.integers(1, 3), late=st.booleans())
    def make_debt(self, party: int, rate: Decimal, quantity: int, late: bool) -> None:
        owner = self.parties[party == 7]
        body: dict[str, Any] = {self.party_field: owner, **self.lines(rate, quantity)}
        body |= {f"{self.debt}_number": self.numbered(self.debt), "date": "2024-01-01"}
        body |= {"due_date": "2024-02-01" if late else "2999-01-01", "status": "paid"}
        body |= {"balance": 0, "payment_made": 5}  # derived figures are ignored
        body["line_items"][0]["item_id"] = ""
        made = self.api.call("POST", f"/{self.debts}", body)[self.debt]
        assert Decimal(made["total"]) == rate * quantity + 1 == Decimal(made["balance"])
        self.debt_ids.append(made[self.debt_id])
        opening = "sent" if self.debts == "invoices" else "open"
        self.api.call("POST", f"/{self.debts}/{made[self.debt_id]}/status/{opening}")

    @rule(party=PICKED, rate=CENTS)
    def make_credit(self, party: int, rate: Decimal) -> None:
        body: dict[str, Any] = {self.party_field: self.parties[party == 7], "date": "2024-01-01"}
        number = self.numbered(self.credit)
        body |= {"creditnote_number": number, "vendor_credit_number": number}
        made = self.api.call("POST", f"/{self.credits}", body | self.lines(rate, 1))[self.credit]
        self.credit_ids.append(made[self.credit_id])

    @rule(party=PICKED, amount=CENTS, debt=PICKED, part=SHARE)
    def pay(self, party: int, amount: Decimal, debt: int, part: int) -> None:
        target = picked(self.debt_ids, debt)
        body = self.paying(party, amount, target, self.share(target, part, amount))
        made = self.asked("POST", f"/{self.payments}", body)
        if made is not None:
            self.payment_ids.append(made[self.payment]["payment_id"])

    def paying(self, party: int, amount: Decimal, target: str, part: Decimal) -> dict[str, Any]:
        body: dict[str, Any] = {self.party_field: self.parties[party == 7]}
        body |= {"payment_mode": "cash"}
        body |= {"amount": amount, "date": "2024-01-02"}
        body[self.debts] = [{self.debt_id: target, "amount_applied": part}]
        return body

    @rule(payment=PICKED, amount=CENTS, debt=PICKED, part=SHARE)
    def change_payment(self, payment: int, amount: Decimal, debt: int, part: int) -> None:
        target = picked(self.debt_ids, debt)
        rows = [{self.debt_id: target, "amount_applied": self.share(target, part, amount)}]
        body = {"amount": amount, self.debts: rows}
        self.asked("PUT", f"/{self.payments}/{picked(self.payment_ids, payment)}", body)

    @rule(source=PICKED, debt=PICKED, amount=SHARE, paying=st.booleans())
    def apply(self, source: int, debt: int, amount: int, paying: bool) -> None:
        target = picked(self.debt_ids, debt)
        if paying:
            one = picked(self.payment_ids, source)
            most = (
                exact(self.state(self.payments, one), "unused_amount") if self.payment_ids else None
            )
            part = self.share(target, amount, most)
            rows = [{"payment_id": one, "amount_applied": part}]
            body = {"invoice_payments": rows, "bill_payments": rows}
        else:
            one = picked(self.credit_ids, source)
            most = exact(self.state(self.credits, one), "balance") if self.credit_ids else None
            part = self.share(target, amount, most)
            rows = [{self.credit_id: one, "amount_applied": part}]
            body = {"apply_creditnotes": rows, "apply_vendor_credits": rows}
        self.asked("POST", f"/{self.debts}/{target}/credits", body)

    @rule(source=PICKED, debt=PICKED, amount=SHARE)
    def apply_credit(self, source: int, debt: int, amount: int) -> None:
        target, one = picked(self.debt_ids, debt), picked(self.credit_ids, source)
        most = exact(self.state(self.credits, one), "balance") if self.credit_ids else None
        rows = [{self.debt_id: target, "amount_applied": self.share(target, amount, most)}]
        path = f"/{self.credits}/{one}/{self.debts}"
        self.asked("POST", path, {self.debts: rows})

    @rule(source=PICKED)
    def unapply_credit(self, source: int) -> None:
        lists = {"creditnotes": "invoices_credited", "vendorcredits": "bills_credited"}
        row_id = {"creditnotes": "creditnote_invoice_id", "vendorcredits": "vendor_credit_bill_id"}
        for one in self.credit_ids[source % 3 :]:
            path = f"/{self.credits}/{one}/{self.debts}"
            for row in self.api.rows(path, lists[self.credits])[:1]:
                self.asked("DELETE", f"{path}/{row[row_id[self.credits]]}")
                return

    @rule(debt=PICKED)
    def unapply_payment(self, debt: int) -> None:
        if not self.debt_ids:
            return
        path = f"/{self.debts}/{picked(self.debt_ids, debt)}/payments"
        for row in self.api.rows(path, "payments")[:1]:
            self.asked("DELETE", f"{path}/{row[f'{self.debt}_payment_id']}")

    @rule(source=PICKED, part=SHARE, paying=st.booleans())
    def refund(self, source: int, part: int, paying: bool) -> None:
        ids, word = (self.payment_ids, self.payments) if paying else (self.credit_ids, self.credits)
        if not ids:
            return
        one = picked(ids, source)
        left = exact(self.state(word, one), "unused_amount" if paying else "balance")
        amount = (left * part / 100).quantize(Decimal("0.01"))
        known = self.api.schemas.for_name("account_id")
        account = self.api.store.at(known[0], ()).id(0) if known else "1"
        body = {"date": "2024-01-03", "refund_mode": "cash", "amount": amount}
        body |= dict.fromkeys(("from_account_id", "account_id", "to_account_id"), account)
        made = self.asked("POST", f"/{word}/{one}/refunds", body)
        if made is not None:
            self.refunded[one] = self.refunded.get(one, NOTHING) + amount

    @rule(debt=PICKED, verb=st.sampled_from(("status/void", "status/draft", "status/sent")))
    def void(self, debt: int, verb: str) -> None:
        one = picked(self.debt_ids, debt)
        if self.debts == "bills":
            verb = verb.replace("sent", "open").replace("draft", "open")
        self.asked("POST", f"/{self.debts}/{one}/{verb}")

    @rule(debt=PICKED, back=st.booleans())
    def write_off(self, debt: int, back: bool) -> None:
        if self.debts == "invoices":
            verb = "writeoff/cancel" if back else "writeoff"
            self.asked("POST", f"/invoices/{picked(self.debt_ids, debt)}/{verb}")

    @rule(debt=PICKED, rate=CENTS)
    def change_debt(self, debt: int, rate: Decimal) -> None:
        one = picked(self.debt_ids, debt)
        self.asked("PUT", f"/{self.debts}/{one}", self.lines(rate, 2))

    @rule(number=PICKED, word=st.sampled_from(("debts", "credits", "payments")))
    def remove(self, number: int, word: str) -> None:
        words = {"debts": self.debts, "credits": self.credits, "payments": self.payments}
        ids = getattr(self, f"{word[:-1]}_ids")
        for one in ids[number % 4 :]:
            if self.asked("DELETE", f"/{words[word]}/{one}") is not None:
                ids.remove(one)
                return

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def sums_are_kept(self) -> None:
        debts = [self.state(self.debts, each) for each in self.debt_ids]
        credits = [self.state(self.credits, each) for each in self.credit_ids]
        payments = [self.state(self.payments, each) for each in self.payment_ids]
        for party in self.parties:
            own = [each for each in debts if each[self.party_field] == party]
            live = [each for each in own if each["status"] != "void"]
            totals = sum((exact(each, "total") for each in live), NOTHING)
            off = sum((exact(each, "write_off_amount") for each in own), NOTHING)
            used = sum(
                (exact(e, "total_credits_used") for e in credits if e[self.party_field] == party),
                NOTHING,
            )
            applied = sum(
                (self.applied(e) for e in payments if e[self.party_field] == party), NOTHING
            )
            balances = sum((exact(each, "balance") for each in own), NOTHING)
            assert totals - used - applied - off == balances
        for each in debts:
            self.agrees(each)
        for each in credits:
            one = each[self.credit_id]
            left = exact(each, "total") - exact(each, "total_credits_used")
            assert exact(each, "balance") == left - self.refunded.get(one, NOTHING) >= 0
            assert (each["status"] == "closed") == (exact(each, "balance") == 0)
        for each in payments:
            back = self.refunded.get(each["payment_id"], NOTHING)
            assert exact(each, "amount_refunded") == back
            unused = exact(each, "amount") - self.applied(each) - back
            assert exact(each, "unused_amount") == unused >= 0

    def applied(self, payment: dict[str, Any]) -> Decimal:
        return sum((exact(row, "amount_applied") for row in payment[self.debts]), NOTHING)

    def agrees(self, debt: dict[str, Any]) -> None:
        names = ("payment_made", self.credited, "write_off_amount")
        parts = [exact(debt, name) for name in names]
        settled, balance = sum(parts, NOTHING), exact(debt, "balance")
        assert min(*parts, balance) >= 0
        match debt["status"]:
            case "void":
                assert settled == 0 == balance
            case "paid":
                assert balance == 0 < settled
            case "partially_paid":
                assert balance > 0 < settled
            case status:
                assert settled == 0
                assert balance == exact(debt, "total") > 0
                assert status == "draft" or (
                    (status == "overdue") == (debt["due_date"] == "2024-02-01")
                )


class Bills(Books):
    """The payable side: bills, vendor credits and vendor payments."""

    party_field = "vendor_id"
    debts, debt, debt_id = "bills", "bill", "bill_id"
    credits, credit, credit_id = "vendorcredits", "vendor_credit", "vendor_credit_id"
    payments, payment = "vendorpayments", "vendorpayment"
    credited = "vendor_credits_applied"
    expected = (
        *("POST/vendorpayments", "PUT/vendorpayments", "DELETE/vendorpayments"),
        *("POST/bills/credits", "POST/vendorcredits/bills", "DELETE/vendorcredits/bills"),
        *("DELETE/bills/payments", "POST/vendorcredits/refunds", "POST/vendorpayments/refunds"),
        *("PUT/bills", "DELETE/bills", "DELETE/vendorcredits", "POST/bills/status/void"),
    )
