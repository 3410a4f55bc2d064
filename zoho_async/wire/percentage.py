"""A share in hundredths, which Zoho writes with its sign.

A discount is an amount (``190.00``) or a share (``"12.5%"``), in the same field: the sign alone
tells which, so the two have two types, and a share can not be added up as if it were money. Where
the name of a field says that it holds a percentage (``tax_percentage``), the sign says nothing more
and the value is a plain `Decimal` with or without it.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec


class Percentage(msgspec.Struct, frozen=True):
    """``value`` hundredths: ``Percentage(Decimal("12.5"))`` is sent as ``"12.5%"``."""

    value: Decimal | int

    def __post_init__(self) -> None:
        if isinstance(self.value, float):
            raise TypeError("a percentage takes a Decimal or an int, since a float is not exact")

    @classmethod
    def read(cls, text: str) -> Percentage:
        """The percentage that a text such as ``"12.5%"`` is. Raises `ValueError` for any other."""
        number = text.strip()
        try:
            value = Decimal(number.removesuffix("%").rstrip())
        except InvalidOperation:
            value = Decimal("NaN")
        if not number.endswith("%") or not value.is_finite():
            raise ValueError(f"{text!r} is no percentage: write it as 12.5%")
        return cls(value)

    def __str__(self) -> str:
        return f"{format(self.value, 'f') if isinstance(self.value, Decimal) else self.value}%"


def without_sign(name: str, value: object) -> object:
    """``value`` without its sign, where ``name`` says that it is a percentage."""
    if isinstance(value, str) and value.rstrip().endswith("%") and "percent" in name:
        return value.rstrip().removesuffix("%").rstrip()
    return value
