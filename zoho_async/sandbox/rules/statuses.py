"""Balances of documents and the statuses that follow from them.

    balance of a debt    = total - payments - credits - written off;  void: 0
    balance of a credit  = total - used - refunded;                   void: 0
    unused of a payment  = amount - applied - refunded

- A debt is ``partially_paid`` if part of it is settled and ``paid`` if nothing is left. If nothing
  is settled any more it is open again.
- A debt is ``overdue`` after its due date if it was sent and nothing is settled: Zoho gives
  ``partially_paid`` priority.
- A sent estimate is ``expired`` after its last day.
- A credit is ``closed`` once it is used up.
- Seeded documents keep their status until something is applied.
- No status changes between two writes: nothing becomes overdue or expires by itself.

Unknown: the effect of the other statuses (approvals, signatures). They stay.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.rules.amounts import LINES, exact, money, plain, work_out
from zoho_async.sandbox.rules.documents import SETTLING, Kind

_NOTHING: Final = Decimal(0)
_SETTLED: Final = frozenset({"paid", "partially_paid"})


def settle(kind: Kind, state: dict[str, Any], *, seeded: bool, today: str) -> None:
    """Derive a document's amounts and status from its other fields."""
    match kind.role:
        case "debt":
            work_out(state)
            _settle_debt(kind, state, today="" if seeded else today)
        case "credit":
            work_out(state)
            _settle_credit(state)
        case "payment":
            _settle_payment(kind, state)
        case "order":
            work_out(state)
            if kind.word == "estimates" and not seeded:
                _settle_estimate(state, today)


def _settle_debt(kind: Kind, state: dict[str, Any], today: str) -> None:
    settled = sum((exact(state.get(name)) for name in SETTLING), _NOTHING)
    balance = exact(_total(state)) - settled
    void = state.get("status") == "void"
    state["balance"] = money(_NOTHING if void else balance)
    if void or "status" not in state:
        return
    if settled > 0:
        state["status"] = "paid" if balance <= 0 else "partially_paid"
    elif state["status"] in _SETTLED:
        state["status"] = kind.opened
    if today and state["status"] in (kind.opened, "overdue"):
        late = "" < str(state.get("due_date", "")) < today
        state["status"] = "overdue" if late else kind.opened


def _settle_estimate(state: dict[str, Any], today: str) -> None:
    if state.get("status") == "expired":
        state["status"] = "sent"
    if has_expired(state, today):
        state["status"] = "expired"


def has_expired(state: dict[str, Any], today: str) -> bool:
    """Whether a sent estimate is past its last day."""
    late = "" < str(state.get("expiry_date", "")) < today
    return state.get("status") == "expired" or (state.get("status") == "sent" and late)


def _settle_credit(state: dict[str, Any]) -> None:
    used = exact(state.get("total_credits_used")) + exact(state.get("total_refunded_amount"))
    balance = exact(_total(state)) - used
    void = state.get("status") == "void"
    state["balance"] = money(_NOTHING if void else balance)
    if used > 0 and not void:
        state["status"] = "closed" if balance <= 0 else "open"
    elif state.get("status") == "closed":
        state["status"] = "open"


def _settle_payment(kind: Kind, state: dict[str, Any]) -> None:
    refunded = exact(state.get("amount_refunded"))
    unused = exact(state.get("amount")) - applied(kind, state) - refunded
    state["unused_amount"] = money(unused)
    if "balance" in state:
        state["balance"] = money(unused)
    state["amount_refunded"] = plain(refunded)


def applied(kind: Kind, state: dict[str, Any]) -> Decimal:
    """The amount of a payment that is applied to debts."""
    rows: Any = state.get(kind.listed)
    listed = rows if is_list(rows) else []
    named = (exact(each.get("amount_applied")) for each in listed if is_object(each))
    return sum(named, exact(state.get("retainer_amount")))


def _total(state: dict[str, Any]) -> Any:
    return state.get("total", state.get("sub_total"))


def seeded(kind: Kind, record: dict[str, Any]) -> None:
    """Make a seeded document consistent: its total is one line's, its balance fits its status.

    Seeded payments are fully unused.
    """
    if kind.role == "payment":
        whole = record.get("amount", 0.0)
        _put(record, unused_amount=whole, balance=whole, amount_refunded=0.0)
        return
    total = record.get("total", record.get("sub_total", 0.0))
    _put(record, sub_total=total, tax_total=0.0, taxes=[], discount=0.0, discount_amount=0.0)
    _put(record, shipping_charge=0.0, adjustment=0.0)
    for name in LINES:
        lines: Any = record.get(name)
        if is_list(lines) and lines:
            record[name] = [_one_line(lines[0], total)]
    status = record.get("status", "")
    left = total
    if status in ("paid", "closed", "void"):
        left = 0.0
    elif status == "partially_paid":
        left = round(total / 4, 2)
    gone = 0.0 if status == "void" else round(total - left, 2)
    _put(record, balance=left, write_off_amount=0.0, credits_applied=0.0, payment_drawn=0.0)
    _put(record, vendor_credits_applied=0.0, total_refunded_amount=0.0)
    if kind.role == "debt":
        _put(record, payment_made=gone)
    else:
        _put(record, total_credits_used=gone)


def _one_line(line: dict[str, Any], total: float) -> dict[str, Any]:
    one = dict(line)
    _put(one, rate=total, price=total, bcy_rate=total, item_total=total, quantity=1.0)
    _put(one, discount=0.0, discount_amount=0.0, tax_percentage="")
    return one


def _put(record: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        if name in record:
            record[name] = int(value) if type(record[name]) is int else value
