"""Exact amounts of documents, derived from their lines.

    item_total = quantity x rate - discount of the line
    sub_total  = sum of item_total
    total      = sub_total - discount of the document + tax + shipping + adjustment

- A discount is an amount or a percentage ("5%"). The discount of a document applies unless
  ``discount_type`` is ``item_level``. If it applies before tax, it reduces each line's taxable
  amount in proportion.
- Rates that include tax add none.
- Taxes are summed by name and percentage, then rounded half up to cents.

Unknown, and left out: tax on shipping, withheld taxes, compound taxes, and how Zoho rounds. A
total may differ by a cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.replies import pointed

_CENT: Final = Decimal("0.01")
_NOTHING: Final = Decimal(0)
_NO_MONEY: Final = frozenset({"header", "subtotal"})
LINES: Final = ("line_items", "creditnote_items", "invoice_items", "unbilled_charge_items")


def exact(value: Any) -> Decimal:
    """Convert to an exact decimal without a binary float. Other values than numbers count as 0."""
    if value is None or isinstance(value, bool | list | dict):
        return _NOTHING
    try:
        number = value if type(value) is Decimal else Decimal(str(value))
    except InvalidOperation:
        return _NOTHING
    return number if number.is_finite() else _NOTHING


def money(value: Decimal) -> Decimal:
    """Round to cents, in the shortest form that Zoho sends: ``46.0``, ``46.5``, ``46.25``."""
    cents = value.quantize(_CENT, rounding=ROUND_HALF_UP)
    text = f"{cents:f}"
    return Decimal(text.removesuffix("0"))


def part(discount: Any, of: Decimal) -> Decimal:
    """The amount that a discount (an amount or a percentage) takes off."""
    text = str(discount).strip()
    if text.endswith("%"):
        return of * exact(text[:-1].strip()) / 100
    return exact(discount)


def lines_of(state: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The field with a document's lines, and the lines; "" if it has none."""
    name = ""
    for each in LINES:
        rows: Any = state.get(each)
        if is_list(rows):
            name = name or each
            lines = [line for line in rows if is_object(line)]
            if lines:
                return each, lines
    return name, []


def line_total(line: Mapping[str, Any], *, by_line: bool) -> Decimal:
    """The total of a line. Its percentage discount counts only if ``by_line``."""
    if line.get("line_item_category") in _NO_MONEY:
        return _NOTHING
    quantity = line.get("quantity")
    rate = line.get("rate", line.get("price"))
    gross = (Decimal(1) if quantity in (None, "") else exact(quantity)) * exact(rate)
    off = exact(line.get("discount_amount"))
    if not off and by_line:
        off = part(line.get("discount"), gross)
    return exact(money(gross - off))


def work_out(state: dict[str, Any]) -> None:
    """Set the totals of a document with lines. A document without lines keeps its totals."""
    name, lines = lines_of(state)
    if not name:
        return
    by_line = state.get("discount_type") == "item_level"
    totals = [line_total(line, by_line=by_line) for line in lines]
    state[name] = [
        {**line, "item_total": money(total)} for line, total in zip(lines, totals, strict=True)
    ]
    sub_total = sum(totals, _NOTHING)
    before_tax = state.get("is_discount_before_tax") not in (False, "false")
    inclusive = state.get("is_inclusive_tax") is True
    off = _NOTHING if by_line else exact(money(part(state.get("discount"), sub_total)))
    left = sub_total - off if before_tax else sub_total
    taxes = _taxes(lines, totals, left / sub_total if sub_total else Decimal(1), inclusive)
    tax_total = sum((each["tax_amount"] for each in taxes), _NOTHING)
    added = _NOTHING if inclusive else tax_total
    if not before_tax and not by_line:
        off = exact(money(part(state.get("discount"), sub_total + added)))
    extra = exact(state.get("shipping_charge")) + exact(state.get("adjustment"))
    state["sub_total"] = money(sub_total)
    state["tax_total"] = money(tax_total)
    if "taxes" in state:
        state["taxes"] = taxes
    if "discount_amount" in state or off:
        state["discount_amount"] = money(off)
    state["total"] = money(sub_total - off + added + extra)


def _taxes(
    lines: list[dict[str, Any]], totals: list[Decimal], share: Decimal, inclusive: bool
) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str, Decimal], Decimal] = {}
    for line, total in zip(lines, totals, strict=True):
        percentage = exact(str(line.get("tax_percentage", "")).rstrip("% "))
        if percentage > 0:
            key = (str(line.get("tax_id", "")), str(line.get("tax_name", "")), percentage)
            sums[key] = sums.get(key, _NOTHING) + total * share
    return [
        {
            "tax_id": tax_id,
            "tax_name": tax_name,
            "tax_amount": money(base * rate / (100 + rate if inclusive else 100)),
        }
        for (tax_id, tax_name, rate), base in sums.items()
    ]


def plain(value: Any) -> Decimal:
    """An amount with a decimal point, as Zoho sends amounts."""
    return pointed(exact(value))
