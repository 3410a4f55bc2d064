"""Amounts of Billing balance across subscriptions, charges, invoices, payments and refunds."""

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

_PRICE = Decimal(10)
_ADDON = Decimal("2.50")


class Billing(Machine):
    """Two customers with subscriptions, their invoices and payments."""

    product = "billing"
    expected: ClassVar[tuple[str, ...]] = (
        *("subscribe", "charge", "buy", "convert", "pay", "collect", "credit", "refund payment"),
        *("refund credit", "void", "write off", "open again", "add line", "take line out"),
        *("remove invoice", "remove credit", "remove payment", "remove charge", "change payment"),
        "cancel",
    )
    forbidden: ClassVar[tuple[str, ...]] = (
        *("convert", "pay", "collect", "credit", "refund payment", "refund credit"),
        *("remove invoice", "remove credit", "remove payment", "take line out", "change payment"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions: dict[str, str] = {}
        #: The lines of each unbilled charge, and the live invoice made from it.
        self.charges: dict[str, tuple[Decimal, str]] = {}
        #: The current charge of each subscription.
        self.adding: dict[str, str] = {}
        self.invoices: list[str] = []
        self.credits: list[str] = []
        self.payments: list[str] = []
        self.refunded: dict[str, Decimal] = {}

    @initialize(first=CENTS, second=CENTS)
    def begin(self, first: Decimal, second: Decimal) -> None:
        product = self.api.store.collection("billing.products").id(0)
        plan = {"plan_code": "gold", "name": "Gold", "recurring_price": _PRICE, "interval": 1}
        plan |= {"interval_unit": "months", "product_id": product}
        self.api.call("POST", "/plans", plan)
        addons = self.api.store.collection("billing.addons")
        addons.add({"addon_code": "more", "name": "More", "price_brackets": [{"price": _ADDON}]})
        for number in (0, 1):
            self.subscribe(number, bool(number))
            self.make_invoice(number, first + 2, True)
            self.make_credit(number, second)
            self.pay(0, number, 50, first)
            self.charge(number, second, True)
        self.convert(0)
        self.convert(0)
        self.refund(0, 50, True)
        self.credit(0, 0, 50)
        self.refund(0, 104, False)
        for word in ("payments", "creditnotes", "invoices"):
            self.remove(0, word)  # a part of all three was used
        self.change_lines(0, first, 4)
        self.change_lines(1, first, 0)
        self.change_payment(0, 0, 100, Decimal("0.01"))
        self.pay(7, 1, 50, first)
        self.collect(1)
        self.collect(1)
        self.make_invoice(0, second, False)
        self.remove(len(self.invoices) - 1, "invoices")

    # -- subscriptions and their charges --------------------------------------------------------

    @rule(party=PICKED, unbilled=st.booleans())
    def subscribe(self, party: int, unbilled: bool) -> None:
        body: dict[str, Any] = {"customer_id": self.parties[party % 2], "card_id": "1"}
        body |= {"account_id": "1", "plan": {"plan_code": "gold", "quantity": 3}}
        body |= {"add_to_unbilled_charges": unbilled}
        made = self.tried("subscribe", "POST", "/subscriptions", body)
        assert made is not None
        one: str = made["subscription"]["subscription_id"]
        self.subscriptions[one] = self.parties[party % 2]
        assert made["subscription"]["status"] == "live"
        if unbilled:
            self.put_aside(one, 3 * _PRICE)

    @rule(number=PICKED, amount=CENTS, unbilled=st.booleans())
    def charge(self, number: int, amount: Decimal, unbilled: bool) -> None:
        body = {"amount": amount, "description": "x"}
        self.charged("charge", number, body, amount, unbilled)

    @rule(number=PICKED, quantity=st.integers(1, 3), unbilled=st.booleans())
    def buy(self, number: int, quantity: int, unbilled: bool) -> None:
        body = {"addons": [{"addon_code": "more", "quantity": quantity}]}
        self.charged("buy", number, body, _ADDON * quantity, unbilled)

    def charged(
        self, what: str, number: int, body: dict[str, Any], amount: Decimal, unbilled: bool
    ) -> None:
        one = picked(list(self.subscriptions), number)
        verb = {"charge": "charge", "buy": "buyonetimeaddon"}[what]
        body = body | {"add_to_unbilled_charges": unbilled}
        made = self.tried(what, "POST", f"/subscriptions/{one}/{verb}", body)
        assert made is not None
        invoice = made["invoice"]
        assert exact(invoice, "total") == amount
        assert invoice["customer_id"] == self.subscriptions[one]
        if unbilled:
            assert invoice["invoice_id"] == ""
            self.put_aside(one, amount)
        else:
            self.invoices.append(invoice["invoice_id"])

    def put_aside(self, subscription: str, amount: Decimal) -> None:
        """The amount is added to the subscription's current charge, or to a new one."""
        named = self.state("subscriptions", subscription)["unbilled_charge_id"]
        before = self.adding.get(subscription)
        if before is None:
            assert named not in self.charges
        else:
            assert named == before
        self.adding[subscription] = named
        self.charges[named] = (self.charges.get(named, (NOTHING, ""))[0] + amount, "")

    @rule(number=PICKED)
    def convert(self, number: int) -> None:
        one = picked(list(self.charges), number)
        amount, invoice = self.charges.get(one, (NOTHING, "gone"))
        made = self.tried("convert", "POST", f"/unbilledcharges/{one}/createinvoice")
        assert (made is None) == bool(invoice)
        if made is not None:
            assert exact(made["invoice"], "total") == amount == exact(made["invoice"], "balance")
            self.charges[one] = (amount, made["invoice"]["invoice_id"])
            self.invoices.append(made["invoice"]["invoice_id"])
            self.adding = {of: c for of, c in self.adding.items() if c != one}

    @rule(number=PICKED)
    def remove_charge(self, number: int) -> None:
        one = picked(list(self.charges), number)
        if self.tried("remove charge", "DELETE", f"/unbilledcharges/{one}") is not None:
            del self.charges[one]
            self.adding = {of: c for of, c in self.adding.items() if c != one}

    @rule(number=PICKED, at_end=st.booleans())
    def cancel(self, number: int, at_end: bool) -> None:
        one = picked(list(self.subscriptions), number)
        path, param = f"/subscriptions/{one}/cancel", str(at_end).lower()
        made = self.tried("cancel", "POST", path, {}, cancel_at_end=param)
        assert made is not None
        stands = made["subscription"]["status"]
        assert stands == ("non_renewing" if at_end else "cancelled")
        assert made["subscription"]["next_billing_at"] == ""

    # -- invoices, credits and payments ---------------------------------------------------------

    @rule(party=PICKED, rate=CENTS, late=st.booleans())
    def make_invoice(self, party: int, rate: Decimal, late: bool) -> None:
        body = self.document(party, rate) | {"due_date": "2024-02-01" if late else "2999-01-01"}
        made = self.api.call("POST", "/invoices", body)["invoice"]
        self.invoices.append(made["invoice_id"])
        assert exact(made, "total") == rate == exact(made, "balance")
        assert made["status"] == ("overdue" if late else "sent")

    @rule(party=PICKED, rate=CENTS)
    def make_credit(self, party: int, rate: Decimal) -> None:
        body = self.document(party, rate) | {"creditnote_number": self.numbered("credit")}
        made = self.api.call("POST", "/creditnotes", body)["credit_note"]
        self.credits.append(made["creditnote_id"])

    def document(self, party: int, rate: Decimal) -> dict[str, Any]:
        line = {"code": "gold", "name": "x", "price": rate, "rate": rate, "quantity": 1}
        lines = {key: [line] for key in ("line_items", "invoice_items", "creditnote_items")}
        return {"customer_id": self.parties[party == 7], "date": "2024-01-01", **lines}

    @rule(party=PICKED, invoice=PICKED, part=SHARE, more=CENTS)
    def pay(self, party: int, invoice: int, part: int, more: Decimal) -> None:
        one = picked(self.invoices, invoice)
        amount = self.part(self.left(one), part)
        body: dict[str, Any] = {"customer_id": self.parties[party == 7], "payment_mode": "cash"}
        body |= {"date": "2024-01-02", "amount": amount + more}
        rows = {"invoices": [{"invoice_id": one, "amount_applied": amount}]}
        made = self.tried("pay", "POST", "/payments", body | rows)
        if made is not None:
            self.payments.append(made["payment"]["payment_id"])

    @rule(payment=PICKED, invoice=PICKED, part=SHARE, amount=CENTS)
    def change_payment(self, payment: int, invoice: int, part: int, amount: Decimal) -> None:
        one, of = picked(self.payments, payment), picked(self.invoices, invoice)
        applied = min(self.part(self.left(of), part), amount)
        rows = [{"invoice_id": of, "amount_applied": applied}]
        body = {"amount": amount, "invoices": rows}
        self.tried("change payment", "PUT", f"/payments/{one}", body)

    @rule(invoice=PICKED)
    def collect(self, invoice: int) -> None:
        one = picked(self.invoices, invoice)
        left = self.left(one)
        made = self.tried("collect", "POST", f"/invoices/{one}/collect", {"card_id": "1"})
        assert (made is not None) == (left > 0)
        if made is not None:
            assert exact(made["payment"], "amount") == left
            self.payments.append(made["payment"]["payment_id"])

    @rule(credit=PICKED, invoice=PICKED, part=SHARE)
    def credit(self, credit: int, invoice: int, part: int) -> None:
        one, of = picked(self.invoices, invoice), picked(self.credits, credit)
        left = exact(self.state("creditnotes", of), "balance") if self.credits else NOTHING
        amount = self.part(min(self.left(one), left), part)
        body = {"apply_creditnotes": [{"creditnote_id": of, "amount_applied": amount}]}
        self.tried("credit", "POST", f"/invoices/{one}/credits", body)

    @rule(number=PICKED, part=SHARE, paying=st.booleans())
    def refund(self, number: int, part: int, paying: bool) -> None:
        word, ids = ("payments", self.payments) if paying else ("creditnotes", self.credits)
        if not ids:
            return
        one = picked(ids, number)
        left = self.unused(one) if paying else exact(self.state(word, one), "balance")
        amount = self.part(left, part)
        what = "refund payment" if paying else "refund credit"
        body = {"amount": amount, "description": "x"}
        made = self.tried(what, "POST", f"/{word}/{one}/refunds", body)
        assert (made is not None) == (amount <= left)
        if made is not None:
            self.refunded[one] = self.refunded.get(one, NOTHING) + amount

    @rule(invoice=PICKED, verb=st.sampled_from(("void", "write off", "open again", "open")))
    def verb(self, invoice: int, verb: str) -> None:
        one = picked(self.invoices, invoice)
        words = {"void": "void", "write off": "writeoff", "open": "converttoopen"}
        path = f"/invoices/{one}/{words.get(verb, 'cancelwriteoff')}"
        void = bool(self.invoices) and self.state("invoices", one)["status"] == "void"
        if verb == "open" and void:
            return  # whether a void document can be opened is unknown
        if self.tried(verb, "POST", path) is not None and verb == "void":
            self.give_back(one)

    @rule(invoice=PICKED, price=CENTS, out=PICKED)
    def change_lines(self, invoice: int, price: Decimal, out: int) -> None:
        one = picked(self.invoices, invoice)
        before = self.state("invoices", one) if self.invoices else {}
        lines: list[dict[str, Any]] = before.get("invoice_items") or before.get("line_items") or []
        if out < 4 or not lines:
            row = {"code": "use", "name": "Use", "price": price, "quantity": 2}
            path = f"/invoices/{one}/lineitems"
            if self.tried("add line", "POST", path, {"invoice_items": [row]}) is not None:
                after = self.state("invoices", one)
                assert exact(after, "total") == exact(before, "total") + 2 * price
            return
        line = lines[out % len(lines)]
        path = f"/invoices/{one}/lineitems/{line['item_id']}"
        if self.tried("take line out", "DELETE", path) is not None:
            after = self.state("invoices", one)
            assert exact(after, "total") == exact(before, "total") - exact(line, "item_total")

    @rule(number=PICKED, word=st.sampled_from(("invoices", "creditnotes", "payments")))
    def remove(self, number: int, word: str) -> None:
        ids = {"invoices": self.invoices, "creditnotes": self.credits, "payments": self.payments}
        one = picked(ids[word], number)
        what = {"invoices": "invoice", "creditnotes": "credit", "payments": "payment"}[word]
        if self.tried(f"remove {what}", "DELETE", f"/{word}/{one}") is not None:
            assert one not in self.refunded
            ids[word].remove(one)
            self.give_back(one)

    def give_back(self, invoice: str) -> None:
        """A charge can be converted again once its invoice is gone."""
        self.charges = {
            one: (amount, "" if of == invoice else of) for one, (amount, of) in self.charges.items()
        }

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def sums_are_kept(self) -> None:
        invoices = [self.state("invoices", each) for each in self.invoices]
        credits = [self.state("creditnotes", each) for each in self.credits]
        payments = [self.state("payments", each) for each in self.payments]
        for party in self.parties:
            own = [each for each in invoices if each["customer_id"] == party]
            live = [each for each in own if each["status"] != "void"]
            totals = sum((exact(each, "total") for each in live), NOTHING)
            off = sum((exact(each, "write_off_amount") for each in own), NOTHING)
            balances = sum((exact(each, "balance") for each in own), NOTHING)
            used = sum(
                (exact(e, "total_credits_used") for e in credits if e["customer_id"] == party),
                NOTHING,
            )
            applied = sum(
                (self.applied(each) for each in payments if each["customer_id"] == party), NOTHING
            )
            assert totals - used - applied - off == balances
        for each in credits:
            one = each["creditnote_id"]
            left = exact(each, "total") - exact(each, "total_credits_used")
            assert exact(each, "balance") == left - self.refunded.get(one, NOTHING) >= 0
            assert (each["status"] == "closed") == (exact(each, "balance") == 0)
        for each in payments:
            assert exact(each, "amount_refunded") == self.refunded.get(each["payment_id"], NOTHING)
            assert self.unused(each["payment_id"]) == exact(each, "unused_amount") >= 0
        for each in invoices:
            self.agrees(each)

    def agrees(self, invoice: dict[str, Any]) -> None:
        names = ("payment_made", "credits_applied", "write_off_amount")
        settled = sum((exact(invoice, name) for name in names), NOTHING)
        balance = exact(invoice, "balance")
        assert min(settled, balance) >= 0
        match invoice["status"]:
            case "void":
                assert settled == 0 == balance
            case "paid":
                assert balance == 0 < settled
            case "partially_paid":
                assert balance > 0 < settled
            case status:
                assert settled == 0
                assert balance == exact(invoice, "total")
                assert status == ("overdue" if invoice["due_date"] == "2024-02-01" else "sent")

    @invariant()
    def what_was_charged_stands_on_a_charge_or_on_its_invoice(self) -> None:
        for one, (amount, invoice) in self.charges.items():
            state = self.state("unbilledcharges", one)
            assert exact(state, "total") == amount
            assert state["status"] == ("invoiced" if invoice else "open")
        for subscription in self.subscriptions:
            named = self.state("subscriptions", subscription)["unbilled_charge_id"]
            assert named == self.adding.get(subscription, "")

    # -- figures --------------------------------------------------------------------------------

    def left(self, invoice: str) -> Decimal:
        return exact(self.state("invoices", invoice), "balance") if self.invoices else NOTHING

    def unused(self, payment: str) -> Decimal:
        state = self.state("payments", payment)
        back = self.refunded.get(payment, NOTHING)
        return exact(state, "amount") - self.applied(state) - back

    def applied(self, payment: dict[str, Any]) -> Decimal:
        return sum((exact(row, "amount_applied") for row in payment["invoices"]), NOTHING)

    def part(self, of: Decimal, percent: int) -> Decimal:
        return (of * percent / 100).quantize(Decimal("0.01")) or Decimal("0.01")


def test_amounts_of_billing_balance() -> None:
    prove(Billing, examples(50), 30)


@pytest.mark.long
@pytest.mark.timeout(300)  # under a minute alone; other programs share the machine
def test_amounts_of_billing_balance_after_long_histories() -> None:
    prove(Billing, 300, 50)
