"""The structure of described types, as far as coercion needs it, and percentages.

Zoho writes a percentage with a percent sign. A discount is an amount (``190.00``) or a percentage
(``"12.5%"``) in the same field, and only the sign tells which. So they have different types, and a
percentage cannot be added to an amount. If the name of a field says that it is a percentage
(``tax_percentage``), the value is a plain `Decimal`, sent with or without the sign.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

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


_KINDS: Final[dict[Any, str]] = {
    str: "text",
    Decimal: "decimal",
    int: "integer",
    bool: "boolean",
    date: "date",
    datetime: "time",
    dict: "object",
    Percentage: "percentage",
}


class Shape(msgspec.Struct, frozen=True):
    """A described type: a struct, a list of some shape, or a plain value.

    ``type`` is the annotation. ``plain`` lists the classes of a union.
    """

    type: Any
    plain: tuple[Any, ...] = ()
    struct: type[Any] | None = None
    element: Shape | None = None

    @property
    def kind(self) -> str:
        """The name of the type, as in `zoho_async.description.Kind`."""
        if self.struct is not None:
            return "object"
        if self.element is not None:
            return "list"
        return " or ".join(_KINDS.get(get_origin(each) or each, "value") for each in self.plain)


class FieldShape(msgspec.Struct, frozen=True):
    """One field of a struct: its name in Python and what it holds.

    ``required`` is true for a field without a default.
    """

    attribute: str
    shape: Shape
    required: bool = False


def has_fields(annotation: object) -> bool:
    """Whether a type is a struct or a dataclass. A `Percentage` is a plain value."""
    if not isinstance(annotation, type) or annotation is Percentage:
        return False
    cls: type[object] = annotation
    return issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls)


def shape_of(annotation: Any) -> Shape:
    """The shape of a type, ignoring ``None`` and `msgspec.UNSET`."""
    members = tuple(_members(annotation))
    if len(members) == 1:
        member = members[0]
        if has_fields(member):
            return Shape(annotation, struct=member)
        if get_origin(member) in (list, tuple, Sequence) and get_args(member):
            return Shape(annotation, element=shape_of(get_args(member)[0]))
    return Shape(annotation, plain=members)


@functools.cache
def fields_of(struct: type[Any]) -> dict[str, FieldShape]:
    """The fields of a struct or a dataclass, by the names that Zoho gives them."""
    if not issubclass(struct, msgspec.Struct):
        types_of_fields = get_type_hints(struct, include_extras=True)
        return {
            field.name: FieldShape(
                field.name,
                shape_of(types_of_fields[field.name]),
                field.default is field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(struct)
            if field.init
        }
    return {
        field.encode_name: FieldShape(field.name, shape_of(field.type), field.required)
        for field in msgspec.structs.fields(struct)
    }


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for each in get_args(annotation) for member in _members(each)]
    return [] if annotation in (types.NoneType, msgspec.UnsetType) else [annotation]
