"""Quantities taken of an order match its children; subscription dates match the status."""

from __future__ import annotations

import time
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.support.examples import examples
from tests.support.sandbox_api import Api
from zoho_async.sandbox.data.dates import day
from zoho_async.sandbox.replies import ApiRefusal

_SETTINGS: Final = settings(
    max_examples=examples(30),
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TODAY: Final = date.fromisoformat(day(int(time.time())))
NUMBER: Final = st.integers(0, 5)


class SalesOrders(RuleBasedStateMachine):
    """An order of two lines, and what is invoiced of it."""

    product = "books"
    orders, order, order_id, made = "salesorders", "sales_orders", "salesorder_id", "salesorder"
    children, child, child_line = "invoices", "invoice", "salesorder_item_id"
    part, whole, taken = "partially_invoiced", "invoiced", "quantity_invoiced"

    def __init__(self) -> None:
        super().__init__()
        self.api = Api(self.product)
        party = self.api.store.collection(f"{self.product}.contacts").id(0)
        self.parties = {"customer_id": party, "vendor_id": party, "date": "2026-01-01"}
        items = [self._item(name) for name in ("bolt", "nut")]
        lines = [
            {"item_id": item, "name": "x", "rate": 10, "quantity": quantity}
            for item, quantity in zip(items, (3, 5), strict=True)
        ]
        body = {**self.parties, "line_items": lines}
        made = self.api.call("POST", f"/{self.orders}", body)[self.made]
        self.id: str = made[self.order_id]
        self.lines: list[dict[str, Any]] = made["line_items"]
        self.count = 0
        #: The quantity of either line in each child; void children have none.
        self.held: dict[str, list[Decimal]] = {}

    def _item(self, name: str) -> str:
        found: str = self.api.call("POST", "/items", {"name": name, "rate": 1})["item"]["item_id"]
        return found

    @rule(line=st.booleans(), quantity=st.integers(1, 4), named=st.booleans())
    def take(self, line: bool, quantity: int, named: bool) -> None:
        ordered = self.lines[line]
        self.count += 1
        one = {"item_id": ordered["item_id"], "rate": 10, "quantity": quantity}
        if named:
            one[self.child_line] = ordered["line_item_id"]
        body = {**self.parties, "line_items": [one], "bill_number": f"B-{self.count}"}
        path = f"/{self.children}"
        made = self.api.call("POST", path, body, **{self.order_id: self.id})[self.child]
        held = [Decimal(0), Decimal(0)]
        held[line] = Decimal(quantity)
        self.held[made[f"{self.child}_id"]] = held

    @rule()
    def take_the_rest(self) -> None:
        if self.product != "books" or self.children != "invoices":
            return
        left = [max(w - t, Decimal(0)) for w, t in zip((3, 5), self.sums(), strict=True)]
        try:
            made = self.api.call("POST", "/invoices/fromsalesorder", {}, salesorder_id=self.id)
        except ApiRefusal:
            assert not any(left)
        else:
            assert any(left)
            self.held[made["invoice"]["invoice_id"]] = left

    @rule(number=NUMBER)
    def void(self, number: int) -> None:
        for child in list(self.held)[number:]:
            self.api.call("POST", f"/{self.children}/{child}/status/void")
            self.held[child] = [Decimal(0), Decimal(0)]
            return

    @rule(number=NUMBER)
    def remove(self, number: int) -> None:
        for child in list(self.held)[number:]:
            self.api.call("DELETE", f"/{self.children}/{child}")
            del self.held[child]
            return

    def sums(self) -> list[Decimal]:
        return [sum((held[n] for held in self.held.values()), Decimal(0)) for n in (0, 1)]

    @invariant()
    def the_order_counts_its_children(self) -> None:
        orders = self.api.store.collection(f"{self.product}.{self.order}")
        index = orders.find(self.id)
        assert index is not None
        state = orders.state(index)
        sums = self.sums()
        assert [Decimal(str(li.get(self.taken) or 0)) for li in state["line_items"]] == sums
        whole = all(t >= w for w, t in zip((3, 5), sums, strict=True))
        if not any(sums):
            assert state["status"] not in (self.whole, self.part)
        elif self.product == "books":
            assert state["status"] == (self.whole if whole else self.part)
        if any(sums):
            with pytest.raises(ApiRefusal):
                self.api.call("DELETE", f"/{self.orders}/{self.id}")


class PurchaseOrders(SalesOrders):
    """The quantities billed of a purchase order."""

    orders, order, order_id = "purchaseorders", "purchase_orders", "purchaseorder_id"
    made, child_line = "purchaseorder", "purchaseorder_item_id"
    children, child = "bills", "bill"
    part, whole, taken = "partially_billed", "billed", "quantity_billed"


class InventoryOrders(SalesOrders):
    """A product whose description names no statuses of orders."""

    product, made = "inventory", "salesorder"


class Subscriptions(RuleBasedStateMachine):
    """One subscription of a plan under arbitrary operations."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Api("billing")
        products = self.api.store.collection("billing.products")
        plan = {"plan_code": "gold", "name": "Gold", "recurring_price": 10, "interval": 1}
        plan |= {"interval_unit": "months", "product_id": products.id(0)}
        self.api.call("POST", "/plans", plan)
        customer = self.api.store.collection("billing.customers").id(0)
        body: dict[str, Any] = {"customer_id": customer, "card_id": "1", "account_id": "1"}
        body |= {"plan": {"plan_code": "gold"}}
        made = self.api.call("POST", "/subscriptions", body)["subscription"]
        self.path = f"/subscriptions/{made['subscription_id']}"
        self.status, self.billed, self.price = "live", made["next_billing_at"], Decimal(10)

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.call("GET", self.path)["subscription"]
        return found

    @rule(at_end=st.booleans())
    def cancel(self, at_end: bool) -> None:
        self.api.call("POST", f"{self.path}/cancel", {}, cancel_at_end=str(at_end).lower())
        self.status = "non_renewing" if at_end else "cancelled"

    @rule()
    def reactivate(self) -> None:
        try:
            self.api.call("POST", f"{self.path}/reactivate")
        except ApiRefusal:
            assert self.status != "non_renewing"
        else:
            assert self.status == "non_renewing"
            self.status = "live"

    @rule(days=st.integers(-10, 400))
    def postpone(self, days: int) -> None:
        if self.status != "live":
            return
        wanted = str(TODAY + timedelta(days=days))
        try:
            self.api.call("POST", f"{self.path}/postpone", {"renewal_at": wanted})
        except ApiRefusal:
            assert wanted <= self.billed
        else:
            assert wanted > self.billed
            self.billed = wanted

    @rule(price=st.integers(1, 99), later=st.booleans())
    def change(self, price: int, later: bool) -> None:
        plan = {"plan_code": "gold", "price": price}
        self.api.call("PUT", self.path, {"plan": plan, "end_of_term": later})
        if not later:
            self.price = Decimal(price)

    @invariant()
    def dates_follow_the_state(self) -> None:
        now = self.read()
        assert now["status"] == self.status
        assert now["next_billing_at"] == (self.billed if self.status == "live" else "")
        assert now["current_term_ends_at"] == self.billed
        assert now["amount"] == self.price == now["plan"]["total"]


@pytest.mark.parametrize("orders", [SalesOrders, PurchaseOrders, InventoryOrders])
def test_an_order_counts_the_quantities_of_its_children(orders: type[SalesOrders]) -> None:
    run_state_machine_as_test(orders, settings=_SETTINGS)


def test_the_next_billing_date_matches_the_subscription_status() -> None:
    run_state_machine_as_test(Subscriptions, settings=_SETTINGS)
