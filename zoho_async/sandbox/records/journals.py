"""Manual journals: their debits and credits are equal, in the sample data too."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from zoho_async.sandbox.data.schemas import Shape
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.accounts import STANDARD
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal

PATH: Final[Shape] = ("journals",)
#: No code is documented for this refusal.
_UNEQUAL: Final = 1000
_DEBIT: Final = next(n for n, (role, *_) in enumerate(STANDARD) if role == "other_expenses")
_CREDIT: Final = next(n for n, (role, *_) in enumerate(STANDARD) if role == "petty_cash")


def check_balance(state: Mapping[str, Any]) -> None:
    """Refuse a journal whose debits and credits differ. Raises `ApiRefusal`."""
    rows: Any = state.get("line_items")
    sums = {"debit": Decimal(0), "credit": Decimal(0)}
    for row in [each for each in rows if is_object(each)] if is_list(rows) else []:
        side = "credit" if row.get("debit_or_credit") == "credit" else "debit"
        sums[side] += Decimal(str(row.get("amount") or 0))
    if sums["debit"] != sums["credit"]:
        raise ApiRefusal(400, _UNEQUAL, "The total of debits must equal the total of credits.")


class Journals(Described):
    """The manual journals of one organization."""

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        made = super().detail(world, index, row)
        total = made["total"]
        sides = (("debit", _DEBIT), ("credit", _CREDIT))
        made["line_items"] = [
            {
                **line,
                "account_id": world.id("books.chart_of_accounts", account),
                "account_name": STANDARD[account][1],
                "debit_or_credit": side,
                "amount": total,
                "bcy_amount": total,
            }
            for line in made["line_items"][:1]
            for side, account in sides
        ]
        return made | {"bcy_total": total, "line_item_total": total}
