"""Totals of estimates and orders match lines; statuses match verbs and conversions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.support.examples import examples
from tests.support.sandbox_machine import CENTS, NOTHING, PICKED, Machine, exact, picked, prove

_VERBS = {
    "sent": ("status/sent", "sent"),
    "accept": ("status/accepted", "accepted"),
    "decline": ("status/declined", "declined"),
    "submit": ("submit", "pending_approval"),
    "approve": ("approve", "approved"),
}
LINE = st.tuples(CENTS, st.integers(1, 4), st.sampled_from((0, 0, 10, Decimal("12.5"))))
LINES = st.lists(LINE, min_size=1, max_size=3)


class Estimates(Machine):
    """Estimates of Books with their invoices and retainers."""

    product = "books"
    verbs: tuple[str, ...] = ("sent", "accept", "decline", "submit", "approve")
    expected: ClassVar[tuple[str, ...]] = (
        *("sent", "accept", "decline", "submit", "approve", "change", "convert", "convert many"),
        *("void invoice", "remove invoice", "remove"),
    )
    forbidden: ClassVar[tuple[str, ...]] = ("accept", "to draft", "remove", "retainer percentage")

    def __init__(self) -> None:
        super().__init__()
        self.item = self.api.call("POST", "/items", {"name": "x", "rate": 1})["item"]["item_id"]
        self.ids: list[str] = []
        #: The own status of each, whether it has expired, and its retainers.
        self.stands: dict[str, str] = {}
        self.late: dict[str, bool] = {}
        self.percentages: dict[str, int] = {}
        self.retained: dict[str, Decimal] = {}
        #: The estimates of live invoices, and of void ones.
        self.invoices: dict[str, str] = {}
        self.void: set[str] = set()

    @initialize(lines=LINES)
    def begin(self, lines: list[Any]) -> None:
        for late in (False, True, False):
            self.make(lines, late, 0, 30)
        self.verb(1, "sent")
        self.verb(1, "accept")
        for verb in ("accept", "decline", "accept"):
            self.verb(2, verb)

    # -- actions --------------------------------------------------------------------------------

    @rule(lines=LINES, late=st.booleans(), off=st.integers(0, 20), percentage=st.integers(0, 100))
    def make(self, lines: list[Any], late: bool, off: int, percentage: int) -> None:
        body = {"customer_id": self.parties[0], "date": "2024-01-01"} | self.lines(lines, off)
        body |= {"expiry_date": "2024-02-01" if late else "2999-01-01", "status": "invoiced"}
        body |= {"total": 1}  # the sandbox sets both
        if percentage:
            body |= {"accept_retainer": True, "retainer_percentage": percentage}
        made = self.api.call("POST", "/estimates", body)["estimate"]
        one: str = made["estimate_id"]
        self.ids.append(one)
        self.stands[one], self.late[one], self.percentages[one] = "draft", late, percentage
        self.agrees_with(self.state("estimates", one), lines, off)

    @rule(number=PICKED, lines=LINES, off=st.integers(0, 20))
    def change(self, number: int, lines: list[Any], off: int) -> None:
        one = picked(self.ids, number)
        body = self.lines(lines, off) | {"status": "accepted"}  # only verbs set this
        if self.tried("change", "PUT", f"/estimates/{one}", body) is not None:
            self.agrees_with(self.state("estimates", one), lines, off)

    def lines(self, lines: list[Any], off: int) -> dict[str, Any]:
        rows = [
            {
                "item_id": self.item,
                "name": "x",
                "rate": rate,
                "quantity": quantity,
                "tax_percentage": tax,
            }
            for rate, quantity, tax in lines
        ]
        return {"line_items": rows, "discount": f"{off}%", "discount_type": "entity_level"}

    def agrees_with(self, state: dict[str, Any], lines: list[Any], off: int) -> None:
        """The total is the sum of the lines, within a cent per rounding."""
        whole = sum((rate * quantity for rate, quantity, _ in lines), NOTHING)
        taxed = sum((rate * quantity * (100 + tax) for rate, quantity, tax in lines), NOTHING)
        assert exact(state, "sub_total") == whole
        wanted = taxed * (100 - off) / 10_000
        assert abs(exact(state, "total") - wanted) <= Decimal("0.02")
        assert exact(state, "total") == (
            whole - exact(state, "discount_amount") + exact(state, "tax_total")
        )

    @rule(number=PICKED, verb=st.sampled_from(tuple(_VERBS)))
    def verb(self, number: int, verb: str) -> None:
        if verb not in self.verbs or not self.ids:
            return
        one = picked(self.ids, number)
        words, stands = _VERBS[verb]
        expired = self.expected_status(one) == "expired"
        total = exact(self.state("estimates", one), "total")
        if self.tried(verb, "POST", f"/estimates/{one}/{words}") is None:
            assert (verb, expired) == ("accept", True)
            return
        assert not (verb == "accept" and expired)
        self.stands[one] = stands
        if verb == "accept" and self.percentages[one]:
            self.retained.setdefault(one, total * self.percentages[one] / 100)

    @rule(number=PICKED)
    def to_draft(self, number: int) -> None:
        one = picked(self.ids, number)
        drafted = bool(self.ids) and self.expected_status(one) == "draft"
        granted = self.tried("to draft", "PUT", f"/estimates/{one}", {"status": "draft"})
        assert (granted is not None) == drafted

    @rule(number=PICKED, percentage=st.sampled_from((-1, 0, 101)))
    def ask_for_another_retainer(self, number: int, percentage: int) -> None:
        body = {"retainer_percentage": percentage}
        path = f"/estimates/{picked(self.ids, number)}"
        assert self.tried("retainer percentage", "PUT", path, body) is None

    @rule(number=PICKED, in_body=st.booleans())
    def convert(self, number: int, in_body: bool) -> None:
        one = picked(self.ids, number)
        line = {"item_id": self.item, "name": "x", "rate": 5, "quantity": 1, "price": 5}
        body: dict[str, Any] = {"customer_id": self.parties[0], "date": "2024-01-01"}
        body |= {"due_date": "2999-01-01", "line_items": [line], "invoice_items": [line]}
        body |= {"invoiced_estimate_id": one} if in_body else {}
        params = {} if in_body else {"estimate_id": one}
        made = self.tried("convert", "POST", "/invoices", body, **params)
        if made is not None:
            self.invoices[made["invoice"]["invoice_id"]] = one

    @precondition(lambda self: self.product == "books")
    @rule(first=PICKED, second=PICKED)
    def convert_many(self, first: int, second: int) -> None:
        asked = list(dict.fromkeys((picked(self.ids, first), picked(self.ids, second))))
        before = {each["invoice_id"] for each in self.states("invoices")}
        self.tried("convert many", "POST", "/invoices/fromestimates", estimate_ids=",".join(asked))
        made = [each for each in self.states("invoices") if each["invoice_id"] not in before]
        open_ones = [one for one in asked if one in self.ids and not self.is_invoiced(one)]
        assert [each["estimate_id"] for each in made] == open_ones
        for invoice in made:
            estimate = self.state("estimates", invoice["estimate_id"])
            assert exact(invoice, "total") == exact(estimate, "total") == exact(invoice, "balance")
            self.invoices[invoice["invoice_id"]] = invoice["estimate_id"]

    @rule(number=PICKED, void=st.booleans())
    def end_invoice(self, number: int, void: bool) -> None:
        one = picked(list(self.invoices), number)
        if void:
            if self.tried("void invoice", "POST", f"/invoices/{one}/status/void") is not None:
                self.void.add(one)
        elif self.tried("remove invoice", "DELETE", f"/invoices/{one}") is not None:
            del self.invoices[one]

    @rule(number=PICKED)
    def remove(self, number: int) -> None:
        one = picked(self.ids, number)
        taken = self.is_invoiced(one)
        if self.tried("remove", "DELETE", f"/estimates/{one}") is None:
            assert taken or not self.ids
            return
        assert not taken
        self.ids.remove(one)
        self.invoices = {i: of for i, of in self.invoices.items() if of != one}

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def the_status_is_that_of_the_verbs_and_the_invoices(self) -> None:
        for one in self.ids:
            state = self.state("estimates", one)
            assert state["status"] == self.expected_status(one)
            lines = sum((exact(line, "item_total") for line in state["line_items"]), NOTHING)
            assert exact(state, "sub_total") == lines
            assert bool(state["accepted_date"]) >= (self.stands[one] == "accepted")
            assert bool(state["declined_date"]) >= (self.stands[one] == "declined")

    @invariant()
    def an_acceptance_makes_its_retainer_once(self) -> None:
        if self.product == "billing":
            return
        made = sorted(exact(each, "total") for each in self.states("retainerinvoices"))
        wanted = sorted(self.retained.values())
        assert len(made) == len(wanted)
        assert all(abs(m - w) <= Decimal("0.005") for m, w in zip(made, wanted, strict=True))

    def is_invoiced(self, one: str) -> bool:
        return any(of == one and i not in self.void for i, of in self.invoices.items())

    def expected_status(self, one: str) -> str:
        if self.is_invoiced(one):
            return "invoiced"
        stands = self.stands[one]
        return "expired" if stands == "sent" and self.late[one] else stands


class InvoiceEstimates(Estimates):
    """Estimates of Invoice, without approval and bulk conversion."""

    product = "invoice"
    verbs = ("sent", "accept", "decline")
    expected: ClassVar[tuple[str, ...]] = (
        "sent",
        "accept",
        "decline",
        "change",
        "convert",
        "void invoice",
        "remove",
    )


class Quotes(InvoiceEstimates):
    """Estimates of Billing, which have no retainers."""

    product = "billing"
    forbidden: ClassVar[tuple[str, ...]] = ("accept", "to draft", "remove")

    def ask_for_another_retainer(self, number: int, percentage: int) -> None:
        """Billing has no such field."""


class Orders(Machine):
    """Three orders of two lines, their verbs and conversions."""

    product = "books"
    word, key, order_id = "salesorders", "salesorder", "salesorder_id"
    children, child, child_line = "invoices", "invoice", "salesorder_item_id"
    verbs: dict[str, str] = {
        "status/open": "open",
        "status/void": "void",
        "submit": "pending_approval",
        "approve": "approved",
    }
    closed: tuple[str, ...] = ("void",)
    whole, part, taken = "invoiced", "partially_invoiced", "quantity_invoiced"
    tells = True
    expected: ClassVar[tuple[str, ...]] = ("verb", "take", "void child", "remove child", "change")
    forbidden: ClassVar[tuple[str, ...]] = ("take", "remove")

    def __init__(self) -> None:
        super().__init__()
        body = {"name": "x", "rate": 1}
        self.item = self.api.call("POST", "/items", body)["item"]["item_id"]
        self.ids: list[str] = []
        self.stands: dict[str, str] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        #: The quantity of each line in each child; void children have none.
        self.held: dict[str, tuple[str, list[int]]] = {}

    @initialize()
    def begin(self) -> None:
        for _ in range(3):
            body = self.body([2, 3]) | {f"{self.word[:-1]}_number": self.numbered("order")}
            made = self.api.call("POST", f"/{self.word}", body)[self.key]
            one: str = made[self.order_id]
            self.ids.append(one)
            self.stands[one] = self.state(self.word, one)["status"]
            self.lines[one] = self.state(self.word, one)["line_items"]
            assert self.stands[one] == "draft"
        words = next(words for words, stands in self.verbs.items() if stands in self.closed)
        self.verb(2, list(self.verbs).index(words))
        self.take(2, False, 1, True)
        self.take(1, True, 2, False)

    def body(self, quantities: list[int], ids: list[str] | None = None) -> dict[str, Any]:
        line = {"item_id": self.item, "name": "x", "rate": 10, "purchase_rate": 10}
        rows: list[dict[str, Any]] = [{**line, "quantity": each} for each in quantities]
        for row, number in zip(rows, ids or [], strict=False):
            row["line_item_id"] = number
        party = self.parties[0]
        both = {"customer_id": party, "vendor_id": party}
        return {**both, "date": "2026-01-01", "due_date": "2999-01-01", "line_items": rows}

    @rule(number=PICKED, verb=PICKED)
    def verb(self, number: int, verb: int) -> None:
        one = picked(self.ids, number)
        words = list(self.verbs)[verb % len(self.verbs)]
        if self.tried("verb", "POST", f"/{self.word}/{one}/{words}") is not None:
            self.stands[one] = self.verbs[words]

    @rule(number=PICKED, line=st.booleans(), quantity=st.integers(1, 3), named=st.booleans())
    def take(self, number: int, line: bool, quantity: int, named: bool) -> None:
        """A child takes a quantity of an order that the body names, or only its lines."""
        one = picked(self.ids, number)
        body = self.body([quantity]) | {"bill_number": self.numbered("bill")}
        row = self.lines[one][line]
        body["line_items"][0][self.child_line] = row["line_item_id"]
        params = {self.order_id: one} if named else {}
        made = self.tried("take", "POST", f"/{self.children}", body, **params)
        assert (made is None) == (self.stands[one] in self.closed)
        if made is not None:
            held = [0, 0]
            held[line] = quantity
            self.held[made[self.child][f"{self.child}_id"]] = (one, held)

    @rule(number=PICKED, first=st.integers(1, 6), second=st.integers(1, 6))
    def change(self, number: int, first: int, second: int) -> None:
        one = picked(self.ids, number)
        ids = [str(line["line_item_id"]) for line in self.lines[one]]
        body = self.body([first, second], ids)
        if self.tried("change", "PUT", f"/{self.word}/{one}", body) is not None:
            for line, quantity in zip(self.lines[one], (first, second), strict=True):
                line["quantity"] = quantity

    @rule(number=PICKED, void=st.booleans())
    def end_child(self, number: int, void: bool) -> None:
        one = picked(list(self.held), number)
        if void:
            path = f"/{self.children}/{one}/status/void"
            if self.tried("void child", "POST", path) is not None:
                self.held[one] = (self.held[one][0], [0, 0])
        elif self.tried("remove child", "DELETE", f"/{self.children}/{one}") is not None:
            del self.held[one]

    @rule(number=PICKED)
    def remove_what_was_taken(self, number: int) -> None:
        one = picked(self.ids, number)
        if any(self.sums(one)):
            assert self.tried("remove", "DELETE", f"/{self.word}/{one}") is None

    @invariant()
    def an_order_shows_what_was_taken_and_else_where_it_stands(self) -> None:
        for one in self.ids:
            state, sums = self.state(self.word, one), self.sums(one)
            assert [exact(line, self.taken) for line in state["line_items"]] == sums
            assert state["status"] == self.expected_status(one, sums)

    def sums(self, one: str) -> list[int]:
        return [sum(held[n] for of, held in self.held.values() if of == one) for n in (0, 1)]

    def expected_status(self, one: str, sums: list[int]) -> str:
        stands = self.stands[one]
        if not self.tells or not any(sums) or stands in (*self.closed, self.whole):
            return stands
        ordered = [exact(line, "quantity") for line in self.lines[one]]
        return self.whole if all(t >= w for t, w in zip(sums, ordered, strict=True)) else self.part


class PurchaseOrders(Orders):
    """Bills of purchase orders, which a verb can also mark as billed."""

    word, key, order_id = "purchaseorders", "purchaseorder", "purchaseorder_id"
    children, child, child_line = "bills", "bill", "purchaseorder_item_id"
    verbs = {
        "status/open": "open",
        "status/billed": "billed",
        "status/cancelled": "cancelled",
        "reject": "rejected",
    }
    closed = ("cancelled",)
    whole, part, taken = "billed", "partially_billed", "quantity_billed"


class InventoryOrders(Orders):
    """A product whose description names no statuses of orders."""

    product, key, tells = "inventory", "salesorder", False
    verbs = {
        "status/confirmed": "confirmed",
        "status/void": "void",
        "approve/final": "approved",
        "reject": "rejected",
    }


class InventoryPurchaseOrders(PurchaseOrders):
    """The purchase orders of that product."""

    product, key, tells = "inventory", "purchaseorder", False
    verbs = {
        "status/issued": "issued",
        "status/cancelled": "cancelled",
        "submit": "pending_approval",
    }


ESTIMATES = (Estimates, InvoiceEstimates, Quotes)
ORDERS = (Orders, PurchaseOrders, InventoryOrders, InventoryPurchaseOrders)


@pytest.mark.parametrize("machine", ESTIMATES[:1])  # the others with the long ones
def test_an_estimate_shows_its_last_verb_until_it_is_invoiced(machine: type[Machine]) -> None:
    prove(machine, examples(40))


@pytest.mark.parametrize("machine", ORDERS[:1])
def test_an_order_shows_conversions_or_its_own_status(machine: type[Machine]) -> None:
    prove(machine, examples(40))


@pytest.mark.long
@pytest.mark.timeout(300)  # under a minute alone; other programs share the machine
@pytest.mark.parametrize("machine", [*ESTIMATES, *ORDERS])
def test_order_statuses_are_right_after_long_histories(
    machine: type[Machine],
) -> None:
    prove(machine, 120, 40)
