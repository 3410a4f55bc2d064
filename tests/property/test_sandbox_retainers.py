"""Retainers are paid in full, drawn at most once, and balance with their invoices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.support.examples import examples
from tests.support.sandbox_machine import (
    CENTS,
    NOTHING,
    PICKED,
    SHARE,
    Machine,
    exact,
    picked,
    prove,
)


class Retainers(Machine):
    """Retainers of two customers, their payments, and the invoices onto which they are drawn."""

    product = "books"
    expected: ClassVar[tuple[str, ...]] = (
        *("pay retainer", "draw", "draw back", "pay invoice", "void invoice", "void retainer"),
        *("remove payment", "remove retainer", "remove invoice", "change retainer", "refund"),
        "change payment",
    )
    forbidden: ClassVar[tuple[str, ...]] = (
        *("pay retainer", "draw", "remove retainer", "remove payment", "change retainer"),
        *("void retainer", "refund", "change payment"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.retainers: list[str] = []
        self.invoices: list[str] = []
        #: The retainer ("" if none) and the refunded amount of each payment.
        self.payments: dict[str, str] = {}
        self.refunded: dict[str, Decimal] = {}
        self.drawn: list[tuple[str, str, Decimal]] = []

    @initialize(first=CENTS, second=CENTS)
    def begin(self, first: Decimal, second: Decimal) -> None:
        for number, rate in enumerate((first, second, first)):
            self.make_retainer(number, rate)
            self.make_invoice(number, rate + 1)
        self.pay_retainer(0, 0, NOTHING)
        self.pay_retainer(1, 0, NOTHING)
        self.pay_invoice(0, 0, 50, second)
        self.draw(0, 1, 60)

    # -- actions --------------------------------------------------------------------------------

    @rule(party=PICKED, rate=CENTS)
    def make_retainer(self, party: int, rate: Decimal) -> None:
        body: dict[str, Any] = {"customer_id": self.parties[party == 7], "date": "2026-01-01"}
        body |= {"line_items": [{"description": "ahead", "rate": rate}]}
        made = self.api.call("POST", "/retainerinvoices", body)["retainerinvoice"]
        self.retainers.append(made["retainerinvoice_id"])
        self.api.call("POST", f"/retainerinvoices/{made['retainerinvoice_id']}/status/sent")

    @rule(party=PICKED, rate=CENTS)
    def make_invoice(self, party: int, rate: Decimal) -> None:
        line = {"name": "x", "rate": rate, "quantity": 1}
        body = {"customer_id": self.parties[party == 7], "line_items": [line]}
        body |= {"date": "2026-01-01", "due_date": "2999-01-01"}
        made = self.api.call("POST", "/invoices", body)["invoice"]
        self.invoices.append(made["invoice_id"])
        self.api.call("POST", f"/invoices/{made['invoice_id']}/status/sent")

    @rule(retainer=PICKED, party=PICKED, off=st.sampled_from((0, 0, 0, Decimal("0.01"))))
    def pay_retainer(self, retainer: int, party: int, off: Decimal) -> None:
        one = picked(self.retainers, retainer)
        total = exact(self.state("retainerinvoices", one), "total") if self.retainers else off
        body = self.paying(party, total - off) | {"retainerinvoice_id": one}
        made = self.tried("pay retainer", "POST", "/customerpayments", body)
        if made is not None:
            assert off == 0
            self.payments[made["payment"]["payment_id"]] = one

    @rule(invoice=PICKED, party=PICKED, part=SHARE, more=CENTS)
    def pay_invoice(self, invoice: int, party: int, part: int, more: Decimal) -> None:
        one = picked(self.invoices, invoice)
        part_of_it = self.part(self.left_to_pay(one), part)
        rows = [{"invoice_id": one, "amount_applied": part_of_it}]
        body = self.paying(party, part_of_it + more) | {"invoices": rows}
        made = self.tried("pay invoice", "POST", "/customerpayments", body)
        if made is not None:
            self.payments[made["payment"]["payment_id"]] = ""

    def paying(self, party: int, amount: Decimal) -> dict[str, Any]:
        body = {"customer_id": self.parties[party == 7], "payment_mode": "cash"}
        return {**body, "amount": amount, "date": "2026-01-02"}

    @rule(retainer=PICKED, invoice=PICKED, part=SHARE)
    def draw(self, retainer: int, invoice: int, part: int) -> None:
        one, target = picked(self.retainers, retainer), picked(self.invoices, invoice)
        state = self.state("retainerinvoices", one) if self.retainers else {}
        left = exact(state, "payment_made") - self.drawn_of(one)
        amount = self.part(min(left, self.left_to_pay(target)), part)
        body = {"invoice_payments": [{"invoice_id": target, "amount_applied": amount}]}
        if self.tried("draw", "POST", f"/retainerinvoices/{one}/invoices", body) is not None:
            self.drawn.append((one, target, amount))

    @rule(number=PICKED)
    def draw_back(self, number: int) -> None:
        for retainer, invoice, _ in self.drawn[number % (len(self.drawn) or 1) :]:
            path = f"/retainerinvoices/{retainer}/invoices/{invoice}"
            if self.tried("draw back", "DELETE", path) is not None:
                last = [row for row in self.drawn if row[:2] == (retainer, invoice)][-1]
                self.drawn.remove(last)
            return

    @rule(payment=PICKED, what=PICKED, amount=CENTS)
    def change_payment(self, payment: int, what: int, amount: Decimal) -> None:
        one = picked(list(self.payments), payment)
        body: dict[str, Any] = {"amount": amount} if what < 4 else {"description": "noted"}
        if what == 7:
            body = {"customer_id": self.parties[1]}
        before = self.state("customerpayments", one) if self.payments else {}
        done = self.tried("change payment", "PUT", f"/customerpayments/{one}", body)
        if done is not None and self.payments.get(one):
            after = self.state("customerpayments", one)
            assert after["amount"] == before["amount"]
            assert after["customer_id"] == before["customer_id"]

    @rule(payment=PICKED, part=SHARE)
    def refund(self, payment: int, part: int) -> None:
        one = picked(list(self.payments), payment)
        unused = exact(self.state("customerpayments", one), "unused_amount") if self.payments else 0
        known = self.api.schemas.for_name("account_id")
        account = self.api.store.at(known[0], ()).id(0) if known else "1"
        amount = self.part(Decimal(unused), part)
        body = {"date": "2026-01-03", "from_account_id": account, "amount": amount}
        if self.tried("refund", "POST", f"/customerpayments/{one}/refunds", body) is not None:
            self.refunded[one] = self.refunded.get(one, NOTHING) + amount

    @rule(payment=PICKED)
    def remove_payment(self, payment: int) -> None:
        one = picked(list(self.payments), payment)
        if self.tried("remove payment", "DELETE", f"/customerpayments/{one}") is not None:
            assert one not in self.refunded
            del self.payments[one]

    @rule(retainer=PICKED, rate=CENTS)
    def change_retainer(self, retainer: int, rate: Decimal) -> None:
        body = {"line_items": [{"description": "ahead", "rate": rate}]}
        one = picked(self.retainers, retainer)
        self.tried("change retainer", "PUT", f"/retainerinvoices/{one}", body)

    @rule(retainer=PICKED)
    def remove_retainer(self, retainer: int) -> None:
        one = picked(self.retainers, retainer)
        if self.tried("remove retainer", "DELETE", f"/retainerinvoices/{one}") is not None:
            self.retainers.remove(one)

    @rule(retainer=PICKED)
    def void_retainer(self, retainer: int) -> None:
        one = picked(self.retainers, retainer)
        if self.tried("void retainer", "POST", f"/retainerinvoices/{one}/status/void") is not None:
            self.payments = {p: "" if of == one else of for p, of in self.payments.items()}

    @rule(invoice=PICKED, void=PICKED)
    def end_invoice(self, invoice: int, void: int) -> None:
        one = picked(self.invoices, invoice)
        if void < 3:
            if self.tried("void invoice", "POST", f"/invoices/{one}/status/void") is not None:
                self.drawn = [row for row in self.drawn if row[1] != one]
        elif self.tried("remove invoice", "DELETE", f"/invoices/{one}") is not None:
            self.invoices.remove(one)

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def a_retainer_is_paid_in_full_or_not_and_drawn_no_further(self) -> None:
        for one in self.retainers:
            state = self.state("retainerinvoices", one)
            total, made = exact(state, "total"), exact(state, "payment_made")
            paid = one in self.payments.values()
            assert made == (total if paid else 0)
            assert exact(state, "payment_drawn") == self.drawn_of(one) <= made
            void = state["status"] == "void"
            assert exact(state, "balance") == (0 if void else total - made)
            assert (state["status"] == "paid") == paid

    @invariant()
    def what_came_in_is_what_is_held_applied_and_given_back(self) -> None:
        payments = [self.state("customerpayments", one) for one in self.payments]
        came_in = sum((exact(each, "amount") for each in payments), NOTHING)
        unused = sum((exact(each, "unused_amount") for each in payments), NOTHING)
        assert all(exact(each, "unused_amount") >= 0 for each in payments)
        retainers = [self.state("retainerinvoices", one) for one in self.retainers]
        held = sum(
            (exact(r, "payment_made") - exact(r, "payment_drawn") for r in retainers), NOTHING
        )
        back = sum((self.refunded.get(one, NOTHING) for one in self.payments), NOTHING)
        invoices = [self.state("invoices", one) for one in self.invoices]
        settled = sum((exact(each, "payment_made") for each in invoices), NOTHING)
        assert came_in == unused + held + back + settled
        for each in invoices:
            left = exact(each, "total") - exact(each, "payment_made")
            assert exact(each, "balance") == (0 if each["status"] == "void" else left) >= 0
            assert (each["status"] == "paid") == (left == 0)

    @invariant()
    def nobody_pays_for_another(self) -> None:
        for one, retainer in self.payments.items():
            if retainer:
                payer = self.state("customerpayments", one)["customer_id"]
                assert payer == self.state("retainerinvoices", retainer)["customer_id"]
        for retainer, invoice, _ in self.drawn:
            drawer = self.state("retainerinvoices", retainer)["customer_id"]
            assert drawer == self.state("invoices", invoice)["customer_id"]

    # -- figures --------------------------------------------------------------------------------

    def drawn_of(self, retainer: str) -> Decimal:
        return sum((amount for of, _, amount in self.drawn if of == retainer), NOTHING)

    def left_to_pay(self, invoice: str) -> Decimal:
        return exact(self.state("invoices", invoice), "balance") if self.invoices else NOTHING

    def part(self, of: Decimal, percent: int) -> Decimal:
        return (of * percent / 100).quantize(Decimal("0.01")) or Decimal("0.01")


class InvoiceRetainers(Retainers):
    """A product without an operation that draws; Inventory has none that pays, either."""

    product = "invoice"
    expected: ClassVar[tuple[str, ...]] = tuple(
        what for what in Retainers.expected if not what.startswith("draw")
    )
    forbidden: ClassVar[tuple[str, ...]] = tuple(
        what for what in Retainers.forbidden if what != "void retainer"
    )


SIDES = (Retainers, InvoiceRetainers)


def test_a_retainer_is_paid_in_full_and_drawn_once() -> None:
    prove(Retainers, examples(50))


@pytest.mark.long
@pytest.mark.timeout(300)  # under a minute alone; other programs share the machine
@pytest.mark.parametrize("side", SIDES)
def test_a_retainer_is_paid_in_full_and_drawn_once_after_long_histories(
    side: type[Retainers],
) -> None:
    prove(side, 120, 40)
