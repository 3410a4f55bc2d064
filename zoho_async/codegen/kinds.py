"""Decide the kind of value that a field really holds.

The described types alone are unreliable: 63 ids are integers, 11 are booleans, money is sometimes
a string and sometimes an integer, dates are strings. The name and the form of the example help.
The first rule that applies decides. The overrides correct its mistakes.

- ``*_id`` is an id; ``*_formatted`` and ``*_number`` are text, whatever the type.
- Dates and times need both a name and an example (or format) of that form.
- Numbers are decimals unless the name is a count. Whole numbers are integers unless the name is an
  amount or a quantity. Text with the name of an amount and the form of a number is a decimal.
- A discount is a decimal that can also be a percentage, with a percent sign.
- ``true`` and ``false`` are booleans, even in quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from zoho_async.codegen.spec import Node
from zoho_async.description import Kind

Place: TypeAlias = Literal["reply", "body", "query"]

_MONEY: Final = frozenset(
    [
        "adjustment",
        "amount",
        "balance",
        "bcy",
        "charge",
        "charges",
        "commission",
        "cost",
        "credits",
        "debit",
        "discount",
        "fcy",
        "fee",
        "hours_rate",
        "limit",
        "made",
        "multiplier",
        "paid",
        "payable",
        "percent",
        "percentage",
        "price",
        "quantity",
        "rate",
        "rates",
        "receivable",
        "refund",
        "roundoff",
        "stock",
        "subtotal",
        "tax",
        "total",
        "value",
        "variance",
        "weight",
    ]
) - {"limit", "tax", "value"}
_COUNTS: Final = frozenset(
    [
        "ahead",
        "count",
        "day",
        "days",
        "decimals",
        "digits",
        "duration",
        "index",
        "install",
        "interval",
        "level",
        "month",
        "months",
        "occurrences",
        "order",
        "page",
        "pages",
        "places",
        "position",
        "precision",
        "priority",
        "size",
        "status",
        "step",
        "terms",
        "type",
        "uses",
        "version",
        "year",
        "years",
    ]
)
#: What is either an amount or a share of one: the sign for percent tells which.
_SHARED: Final = "discount"
_FLAGS: Final = ("is_", "has_", "can_", "allow_", "show_", "ignore_", "should_", "enable_", "send")
_MOMENTS: Final = frozenset({"created_time", "last_modified_time", "updated_time", "modified_time"})

#: When descriptions disagree about a field, the kind that says more wins.
_RANK: Final[tuple[Kind, ...]] = (
    "any", "text", "boolean", "integer", "decimal", "date", "time", "object", "list", "id"
)  # fmt: skip


def kind_of(node: Node, place: Place = "reply") -> Kind:
    """The kind of a described value, which is part of ``place``."""
    name, last = node.name.lower(), node.name.lower().rpartition("_")[2]
    if node.type == "array":
        return "list"
    if node.type == "object" or node.object:
        return "object"
    if place == "query" and name.endswith("_ids"):
        return "list"
    written_out = name.endswith("_description") and node.type == "string"
    if name.endswith("_formatted") or written_out:
        return "text"
    if name == "id" or (name.endswith("_id") and not name.startswith(("is_", "has_"))):
        return "text" if node.looks == "text" else "id"
    if name.endswith(("_number", "_no")) and node.type in {"string", "integer", "number"}:
        return "text"
    return _moment(node, name, last) or _number(node, last) or _flag(node, name) or _other(node)


def takes_percent(node: Node) -> bool:
    """Whether a number can be a percentage, written with a percent sign."""
    return node.name.lower().rpartition("_")[2] == _SHARED


def element_of(node: Node, place: Place = "reply") -> Kind:
    """The kind of a list's elements."""
    if node.name.lower().endswith("_ids") and "mail_" not in node.name.lower():
        return "id"
    if node.items is None or not node.items.type:
        return "any"
    return kind_of(node.items, place)


def agreed(kinds: Iterable[Kind]) -> Kind:
    """The kind of a field that several replies describe."""
    return max(kinds, key=_RANK.index)


def _moment(node: Node, name: str, last: str) -> Kind | None:
    if node.looks == "clock":
        return "text"
    named_date = last in {"date", "on"} or name.startswith("date") or "_date_" in name
    if name in _MOMENTS and node.type in {"string", ""}:
        return "time"
    if (named_date or node.format == "date") and node.type == "string":
        if node.looks in {"date", "", "blank"} and last not in {"on", "format"}:
            return "date"
        if node.looks == "time":
            return "time"
    if node.type in {"string", ""} and (last == "time" or node.format == "date-time"):
        plain = node.format == "date-time" and node.looks in {"", "blank"}
        if node.looks == "time" or plain:
            return "time"
    return None


def _number(node: Node, last: str) -> Kind | None:
    if node.type == "number" or node.format in {"double", "float"}:
        counts = last in _COUNTS and node.looks in {"integer", "", "digits"}
        return "integer" if counts else "decimal"
    if node.type == "integer":
        return "decimal" if last in _MONEY or node.looks == "decimal" else "integer"
    numeric = node.looks in {"decimal", "integer", "percent", "", "blank"}
    if node.looks == "percent" and takes_percent(node):
        return "decimal"
    if node.type == "string" and last in _MONEY and numeric and not node.allowed:
        return "decimal"
    return None


def _flag(node: Node, name: str) -> Kind | None:
    words = set(node.allowed) == {"true", "false"}
    if node.type == "boolean" or node.looks == "boolean" or words:
        return "boolean"
    if node.looks == "truth" and name.startswith(_FLAGS):
        return "boolean"
    return None


def _other(node: Node) -> Kind:
    if node.type == "string":
        return "text"
    return "any"
