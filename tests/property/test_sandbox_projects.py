"""Time and expenses are billed once at the project's rates, and released with the invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.support.examples import examples
from tests.support.sandbox_machine import CENTS, NOTHING, PICKED, Machine, exact, picked, prove

_TYPES: Final = (
    *("fixed_cost_for_project", "based_on_project_hours"),
    *("based_on_task_hours", "based_on_staff_hours"),
)
_RATE: Final = Decimal(60)
_TASK_RATES: Final = (Decimal("33.33"), NOTHING)


class Entry:
    """A time entry in minutes, and the live invoice that bills it."""

    def __init__(self, project: int, task: int, minutes: int, billable: bool) -> None:
        self.project, self.task, self.minutes, self.billable = project, task, minutes, billable
        self.invoice = ""


class Projects(Machine):
    """A project of each billing type, in Books."""

    product = "books"
    lines, void = "line_items", "status/void"
    expected: ClassVar[tuple[str, ...]] = (
        *("log", "spend", "bill projects", "bill entry", "bill expense", "void invoice"),
        *("remove invoice", "remove expense", "change invoice"),
    )
    forbidden: ClassVar[tuple[str, ...]] = (
        *("bill entry", "bill expense", "remove expense", "give expense", "unbill expense"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.projects: list[str] = []
        self.tasks: list[list[str]] = []
        self.entries: dict[str, Entry] = {}
        #: The project, amount, billable flag and live invoice of each expense.
        self.expenses: dict[str, tuple[int, Decimal, bool, str]] = {}
        #: The amounts of the fixed-cost project that live invoices bill.
        self.fixed: dict[str, Decimal] = {}
        self.invoices: list[str] = []
        item = {"name": "x", "rate": 1}
        self.item = self.api.call("POST", "/items", item)["item"]["item_id"]
        self.account, self.user = self.some("account_id"), self.some("user_id")

    def some(self, name: str) -> str:
        """An id that a field of that name can hold."""
        known = self.api.schemas.for_name(name)
        return self.api.store.at(known[0], ()).id(0) if known else "1"

    @initialize()
    def begin(self) -> None:
        for number, kind in enumerate(_TYPES):
            body = {"project_name": f"of {kind}", "customer_id": self.parties[0], "rate": _RATE}
            body |= {"billing_type": kind, "user_id": self.user}
            made = self.api.call("POST", "/projects", body)["project"]["project_id"]
            self.projects.append(made)
            self.tasks.append(
                [
                    self.api.call("POST", f"/projects/{made}/tasks", {"task_name": "t", "rate": r})[
                        "task"
                    ]["task_id"]
                    for r in _TASK_RATES
                ]
            )
            for task in (0, 1):
                self.log(number, task, 50 + number, True)
        self.spend(2, Decimal(7), True)
        self.bill_expense(0)
        self.spend(2, Decimal(3), False)
        for what in (0, 1, 2):
            self.touch_expense(0, what)
        self.touch_expense(1, 2)

    # -- actions --------------------------------------------------------------------------------

    @rule(
        project=st.integers(0, 3),
        task=st.integers(0, 1),
        minutes=st.integers(0, 600),
        billable=st.booleans(),
    )
    def log(self, project: int, task: int, minutes: int, billable: bool) -> None:
        body = {"project_id": self.projects[project], "task_id": self.tasks[project][task]}
        body |= {"user_id": self.user, "log_date": "2026-01-01", "billed_status": "invoiced"}
        body |= {"log_time": f"{minutes // 60:02}:{minutes % 60:02}"}
        made = self.tried("log", "POST", "/projects/timeentries", body | {"is_billable": billable})
        assert made is not None
        one = made["time_entry"]["time_entry_id"]
        self.entries[one] = Entry(project, task, minutes, billable)

    @rule(project=st.integers(0, 3), amount=CENTS, billable=st.booleans())
    def spend(self, project: int, amount: Decimal, billable: bool) -> None:
        body = {"account_id": self.account, "date": "2026-01-01", "amount": amount}
        body |= {"is_billable": billable, "customer_id": self.parties[0]}
        body |= {"project_id": self.projects[project], "paid_through_account_id": self.account}
        made = self.tried("spend", "POST", "/expenses", body)
        assert made is not None
        self.expenses[made["expense"]["expense_id"]] = (project, amount, billable, "")

    @precondition(lambda self: self.product == "books")
    @rule(first=st.integers(0, 3), second=st.integers(0, 3))
    def bill_projects(self, first: int, second: int) -> None:
        asked = list(dict.fromkeys((first, second)))
        wanted = {number: self.unbilled(number) for number in asked}
        before = {each["invoice_id"] for each in self.states("invoices")}
        ids = ",".join(self.projects[number] for number in asked)
        self.tried("bill projects", "POST", "/invoices/fromprojects", project_ids=ids)
        made = [each for each in self.states("invoices") if each["invoice_id"] not in before]
        assert len(made) == sum(amount > 0 for amount in wanted.values())
        for invoice in made:
            (project,) = {line["project_id"] for line in invoice["line_items"]}
            number = self.projects.index(project)
            assert exact(invoice, "total") == wanted[number] == exact(invoice, "balance")
            assert invoice["customer_id"] == self.parties[0]
            self.bill_all(number, invoice["invoice_id"])

    def bill_all(self, number: int, invoice: str) -> None:
        self.invoices.append(invoice)
        if _TYPES[number].startswith("fixed"):
            self.fixed[invoice] = _RATE - sum(self.fixed.values(), NOTHING)
        else:
            for entry in self.open_entries(number):
                entry.invoice = invoice
        for one, (of, amount, billable, billed) in self.expenses.items():
            if of == number and billable and not billed:
                self.expenses[one] = (of, amount, billable, invoice)

    @rule(number=PICKED)
    def bill_entry(self, number: int) -> None:
        one = picked(list(self.entries), number)
        made = self.billed("bill entry", {"time_entry_ids": [one]})
        assert (made is None) == bool(self.entries[one].invoice)
        if made is not None:
            self.entries[one].invoice = made

    @rule(number=PICKED)
    def bill_expense(self, number: int) -> None:
        if not self.expenses:
            return
        one = picked(list(self.expenses), number)
        made = self.billed("bill expense", {"expense_id": one})
        assert (made is None) == bool(self.expenses[one][3])
        if made is not None:
            self.expenses[one] = (*self.expenses[one][:3], made)

    def billed(self, what: str, line: dict[str, Any]) -> str | None:
        line = {"item_id": self.item, "name": "x", "rate": 5, "price": 5, "quantity": 1} | line
        body = {"customer_id": self.parties[0], "date": "2026-01-01", "due_date": "2999-01-01"}
        made = self.tried(what, "POST", "/invoices", body | {self.lines: [line]})
        if made is None:
            return None
        self.invoices.append(made["invoice"]["invoice_id"])
        return self.invoices[-1]

    @rule(number=PICKED)
    def take_all_lines_out(self, number: int) -> None:
        """An invoice releases the entries that it no longer names."""
        one = picked(self.invoices, number)
        body = {self.lines: [{"item_id": self.item, "name": "x", "rate": 1, "quantity": 1}]}
        if self.tried("change invoice", "PUT", f"/invoices/{one}", body) is not None:
            self.give_back(one)

    @rule(number=PICKED, void=st.booleans())
    def end_invoice(self, number: int, void: bool) -> None:
        one = picked(self.invoices, number)
        if void:
            if self.tried("void invoice", "POST", f"/invoices/{one}/{self.void}") is not None:
                self.give_back(one)
        elif self.tried("remove invoice", "DELETE", f"/invoices/{one}") is not None:
            self.give_back(one)
            self.invoices.remove(one)

    def give_back(self, invoice: str) -> None:
        for entry in self.entries.values():
            entry.invoice = "" if entry.invoice == invoice else entry.invoice
        for one, (of, amount, billable, billed) in self.expenses.items():
            if billed == invoice:
                self.expenses[one] = (of, amount, billable, "")
        self.fixed.pop(invoice, None)

    @rule(number=PICKED, what=st.integers(0, 2))
    def touch_expense(self, number: int, what: int) -> None:
        if not self.expenses:
            return
        one = picked(list(self.expenses), number)
        of, amount, billable, billed = self.expenses[one]
        path = f"/expenses/{one}"
        if what == 0:
            here = self.state("expenses", one)["customer_id"] == self.parties[0]
            body = {"customer_id": self.parties[here]}
            done = self.tried("give expense", "PUT", path, body)
        elif what == 1:
            done = self.tried("unbill expense", "PUT", path, {"is_billable": False})
            self.expenses[one] = (of, amount, billable and done is None, billed)
        else:
            done = self.tried("remove expense", "DELETE", path)
            if done is not None:
                del self.expenses[one]
        assert (done is None) == bool(billed)

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def what_is_billed_says_by_which_invoice(self) -> None:
        entries = self.api.store.at(self.api.schemas.by_path["projects", "timeentries"], ())
        for one, entry in self.entries.items():
            index = entries.find(one)
            assert index is not None
            state = entries.state(index)
            assert state["billed_status"] == ("invoiced" if entry.invoice else "unbilled")
            assert state["invoice_id"] == entry.invoice
            assert state["customer_id"] == self.parties[0]
        for one, (_, _, billable, billed) in self.expenses.items():
            state = self.state("expenses", one)
            unbilled = "unbilled" if billable else "non-billable"
            assert state["status"] == ("invoiced" if billed else unbilled)
            assert state["invoice_id"] == billed

    @invariant()
    def nothing_is_billed_twice(self) -> None:
        named: list[str] = []
        fixed = NOTHING
        for one in self.invoices:
            state = self.state("invoices", one)
            if state["status"] == "void":
                continue
            for line in state[self.lines]:
                named += line.get("time_entry_ids") or []
                named += [line["expense_id"]] if line.get("expense_id") else []
                if line.get("project_id") == self.projects[0] and not line.get("expense_id"):
                    fixed += exact(line, "item_total")
        assert len(named) == len(set(named))
        assert fixed <= _RATE

    # -- figures --------------------------------------------------------------------------------

    def open_entries(self, number: int) -> list[Entry]:
        """The entries that an invoice of the whole project bills."""
        found = [
            entry
            for entry in self.entries.values()
            if entry.project == number and entry.billable and not entry.invoice
        ]
        if _TYPES[number] != "based_on_task_hours":
            return found if sum(entry.minutes for entry in found) else []
        worked = {t for t in (0, 1) if sum(e.minutes for e in found if e.task == t)}
        return [entry for entry in found if entry.task in worked]

    def unbilled(self, number: int) -> Decimal:
        """The unbilled amounts of a project: each line of the invoice in cents."""
        spent = sum(
            (
                amount
                for of, amount, billable, billed in self.expenses.values()
                if of == number and billable and not billed
            ),
            NOTHING,
        )
        if _TYPES[number].startswith("fixed"):
            return spent + _RATE - sum(self.fixed.values(), NOTHING)
        entries = self.open_entries(number)
        by_task = _TYPES[number] == "based_on_task_hours"
        total = spent
        for task in (0, 1) if by_task else (None,):
            minutes = sum(e.minutes for e in entries if task is None or e.task == task)
            rate = _RATE if task is None else _TASK_RATES[task] or _RATE
            total += (rate * minutes / 60 + Decimal("0.000001")).quantize(Decimal("0.01"))
        return total


class InvoiceProjects(Projects):
    """Projects of Invoice, which has no operation that bills a project."""

    product = "invoice"
    expected: ClassVar[tuple[str, ...]] = tuple(
        what for what in Projects.expected if what != "bill projects"
    )


class BillingProjects(InvoiceProjects):
    """Projects of Billing, whose invoices name their lines differently."""

    product = "billing"
    lines, void = "invoice_items", "void"


def test_time_and_expenses_are_billed_once() -> None:
    prove(Projects, examples(40))


@pytest.mark.long
@pytest.mark.timeout(300)  # under a minute alone; other programs share the machine
@pytest.mark.parametrize("machine", [Projects, InvoiceProjects, BillingProjects])
def test_time_and_expenses_are_billed_once_after_long_histories(machine: type[Machine]) -> None:
    prove(machine, 120, 40)
