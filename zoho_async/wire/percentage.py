"""Percentages, which Zoho writes with a percent sign.

A discount is an amount (``190.00``) or a percentage (``"12.5%"``) in the same field, and only the
sign tells which. So they have different types, and a percentage cannot be added to an amount. If
the name of a field says that it is a percentage (``tax_percentage``), the value is a plain
`Decimal`, sent with or without the sign.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec


class Percentage(msgspec.Struct, frozen=True):
    """A percentage. ``Percentage(Decimal("12.5"))`` is sent as ``"12.5%"``."""

    value: Decimal | int

    def __post_init__(self) -> None:
        if isinstance(self.value, float):
            raise TypeError("a percentage takes a Decimal or an int, because a float is not exact")

    @classmethod
    def read(cls, text: str) -> Percentage:
        """Parse a text such as ``"12.5%"``. Raises `ValueError` if it is not a percentage."""
        number = text.strip()
        try:
            value = Decimal(number.removesuffix("%").rstrip())
        except InvalidOperation:
            value = Decimal("NaN")
        if not number.endswith("%") or not value.is_finite():
            raise ValueError(f"{text!r} is not a percentage: write it as 12.5%")
        return cls(value)

    def __str__(self) -> str:
        return f"{format(self.value, 'f') if isinstance(self.value, Decimal) else self.value}%"


def without_sign(name: str, value: object) -> object:
    """``value`` without its percent sign if ``name`` says that it is a percentage."""
    if isinstance(value, str) and value.rstrip().endswith("%") and "percent" in name:
        return value.rstrip().removesuffix("%").rstrip()
    return value
