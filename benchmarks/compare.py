"""Whether two contenders' rows say the same, and what they say in weaker words.

`differences` walks through the floor's records and finds each value in the other's row. The same
value of another type ("12.50" or 12.5 for Decimal("12.50"), text for a date, "" for nothing) is
named; any other value raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from zoho_async.wire.shape import fields_of


def differences(truth: Sequence[msgspec.Struct], rows: Sequence[Any]) -> list[str]:
    """What ``rows`` give instead of the types of ``truth``, as ``got for wanted``, sorted.

    Raises `AssertionError` for another number of rows and for values that are not the same.
    """
    assert len(truth) == len(rows) > 0, f"{len(rows)} rows instead of {len(truth)}"
    found: set[str] = set()
    for one, other in zip(truth, rows, strict=True):
        _struct(one, other, found)
    return sorted(found)


def _struct(one: msgspec.Struct, other: Any, found: set[str]) -> None:
    for name, field in fields_of(type(one)).items():
        wanted = getattr(one, field.attribute)
        got = _of(other, name, field.attribute)
        _value(wanted, got, f"{type(one).__name__}.{name}", found)


def _of(row: Any, name: str, attribute: str) -> Any:
    if isinstance(row, dict):
        return row.get(name)
    return getattr(row, attribute if isinstance(row, msgspec.Struct) else name)


def _value(wanted: Any, got: Any, where: str, found: set[str]) -> None:
    if isinstance(wanted, msgspec.Struct):
        _struct(wanted, got, found)
    elif isinstance(wanted, list):
        assert len(wanted) == len(got), where
        for one, other in zip(wanted, got, strict=True):
            _value(one, other, f"{where}[]", found)
    elif type(wanted) is not type(got) or wanted != got:
        assert _same(wanted, got), f"{where} is {got!r} instead of {wanted!r}"
        if wanted != "":  # only a missing field of our structs' own is that
            found.add(f"{_name(got)} for {_name(wanted)}")


def _same(wanted: Any, got: Any) -> bool:
    match wanted:
        case None | "":
            return got == "" or got is None
        case Decimal():
            return isinstance(got, float | int) and Decimal(str(got)) == wanted
        case datetime():
            return isinstance(got, str) and datetime.fromisoformat(got) == wanted
        case date():
            return isinstance(got, str) and date.fromisoformat(got) == wanted
        case _:
            return False


def _name(value: Any) -> str:
    return '""' if value == "" else "None" if value is None else type(value).__name__
