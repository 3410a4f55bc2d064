"""Store decimal numbers so that people can compute with them, and keep every digit.

Model
-----
Zoho sends decimal numbers of any length. A column holds what its destination computes with:

- ``double`` (SQLite): an integer if the value is integral and fits into 64 bits, otherwise the
  nearest double.
- ``decimal`` (DuckDB, PostgreSQL, Parquet, dlt): ``DECIMAL(38, 6)``, and ``DECIMAL(38, 9)`` for
  exchange rates. A value with more digits is rounded half away from zero, as ROUND does in SQL and
  in spreadsheets.
- ``digits`` (CSV): all digits.

If the column does not hold the value that was sent, ``_exact`` has its digits: a JSON object of
texts by the name of the column. A double holds a value if the shortest text that reads as the
double, `repr`, is that value. Every value of up to 15 digits is held. A value that is too large for
its column is NULL there. A value that is not a number is no value of this kind, and goes to
``_extra``.

Invariant
---------
The number that was sent is the text in ``_exact`` if there is one, otherwise the column's value.

Scale
-----
Databases give a product the sum of its factors' scales, and the digits that are left of 38 are
before the point. ``quantity * rate * exchange_rate`` has 6 + 6 + 9 = 21 digits after it, so it
holds up to 10^17. With scale 12 for each, as in 0.1.0, two digits are left. Six digits are enough
for money, quantities, rates and percentages as people enter them. An exchange rate may be small
(rupiah to Kuwaiti dinar: 0.0000187) and is multiplied by large amounts, so it has 9.

The width is 38 everywhere, because DuckDB computes with widths up to 18 in 64 bits, and products
overflow there. A scale must never change: files of two scales cannot be merged, and every table
would have to be written again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from math import isinf
from typing import Final, Literal, TypeAlias

#: How a destination stores numbers.
NumberStorage: TypeAlias = Literal["digits", "double", "decimal"]
#: The kinds of columns that hold decimal numbers.
NumberKind: TypeAlias = Literal["decimal", "exchange_rate"]

PRECISION: Final = 38
#: The digits after the point.
SCALES: Final[Mapping[NumberKind, int]] = {"decimal": 6, "exchange_rate": 9}

#: Names of fields with exchange rates: ``exchange_rate``, ``bcy_exchange_rate``.
_EXCHANGE_RATE: Final = re.compile(r"(?:.*_)?(?:exchange|conversion)_rate")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_PLAIN: Final = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_LARGEST: Final = 2**63
_LARGEST_EXPANDED: Final = 40  # do not write 1E+999999 with all its zeros
_ROUNDING: Final = Context(prec=2 * PRECISION, rounding=ROUND_HALF_UP)
_UNITS: Final = {kind: Decimal(1).scaleb(-scale) for kind, scale in SCALES.items()}


def number_kind(name: str) -> NumberKind:
    """Return the kind of column for the decimal field called ``name``."""
    return "exchange_rate" if _EXCHANGE_RATE.fullmatch(name) else "decimal"


def parse(text: str) -> Decimal | None:
    """Return the number that ``text`` writes as JSON does, or None if it is not a number."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text) or Decimal(0)
    except InvalidOperation:  # the exponent is too large for Python
        return None


def stored(
    text: str, number: Decimal, kind: NumberKind, storage: NumberStorage
) -> tuple[str | int | float | None, bool]:
    """Return the cell for ``number``, sent as ``text``, and whether the cell holds the number."""
    if storage == "digits":
        return _digits(text, number)
    if storage == "double":
        return _double(number)
    return _decimal(number, kind)


def _digits(text: str, number: Decimal) -> tuple[str | None, bool]:
    if _PLAIN.fullmatch(text):
        return text, True
    if abs(number.adjusted()) >= _LARGEST_EXPANDED:
        return None, False
    expanded = f"{number:f}"
    return expanded.rstrip("0").rstrip(".") if "." in expanded else expanded, True


def _double(number: Decimal) -> tuple[int | float | None, bool]:
    if number.adjusted() < 19 and number == number.to_integral_value():
        whole = int(number)
        if -_LARGEST <= whole < _LARGEST:
            return whole, True
    nearest = float(number)
    if isinf(nearest):
        return None, False
    return nearest, Decimal(repr(nearest)) == number


def _decimal(number: Decimal, kind: NumberKind) -> tuple[str | None, bool]:
    whole_digits = PRECISION - SCALES[kind]
    if number.adjusted() >= whole_digits:
        return None, False
    rounded = number.quantize(_UNITS[kind], context=_ROUNDING)
    if rounded.adjusted() >= whole_digits:
        return None, False
    return f"{rounded:f}", rounded == number
