"""What is written to Zoho: structs in which only what was set is sent.

Every field is optional and `msgspec.UNSET` at first, because Zoho keeps what a request does not
name and clears what it names with null. Amounts are `Decimal` or ``int``: a float is refused when
the input is made, where the mistake is, and not when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import msgspec

from zoho_async.decoders import describe
from zoho_async.wire.encode import FLOAT_REFUSED
from zoho_async.wire.fit import fits
from zoho_async.wire.percentage import Percentage
from zoho_async.wire.record import Record
from zoho_async.wire.shape import Shape, fields_of
from zoho_async.wire.text import is_array, is_blank, is_object


class Input(msgspec.Struct, kw_only=True):
    """Fields for Zoho to write. What is `msgspec.UNSET` is not sent; ``None`` is sent as null."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _refuse_floats(getattr(self, name), f"{type(self).__name__}.{name}")

    @classmethod
    def of(cls, record: msgspec.Struct, **changes: Any) -> Self:
        """What of ``record`` may be sent back, with ``changes`` made to it.

        Copied is every field of this input that the record holds, whether described or in its
        ``extra``; nested objects and lists become inputs as well, with their ids, because a PUT
        replaces the lines of a document by those it is sent. What the record holds no value for
        stays unset. Raises `TypeError` for a change that this input has no field for.
        """
        unknown = changes.keys() - set(cls.__struct_fields__)
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"{cls.__name__} has no field {names}")
        extra = record.extra if isinstance(record, Record) else {}
        describe(cls)
        return cls(**(_copied(cls, record, extra) | changes))


def _copied(target: type[Input], part: msgspec.Struct, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``target`` that ``part`` holds, or what is beyond its fields, by attribute."""
    copied: dict[str, Any] = {}
    held = fields_of(type(part))
    for name, field in fields_of(target).items():
        beyond = extra.get(name)
        value = getattr(part, held[name].attribute) if name in held else None
        if value is None:
            if not is_blank(beyond) and fits(beyond, field.shape.type):
                copied[field.attribute] = msgspec.convert(beyond, field.shape.type)
        else:
            copied[field.attribute] = _as_input(value, field.shape, beyond)
    return copied


def _as_input(value: Any, shape: Shape, beyond: Any) -> Any:
    """A record's value as ``shape`` takes it: parts become inputs, lists are copied."""
    if is_array(value):
        rests = beyond if is_array(beyond) else [None] * len(value)
        element = shape.element or shape
        return [_as_input(v, element, rest) for v, rest in zip(value, rests, strict=True)]
    if not isinstance(value, msgspec.Struct) or isinstance(value, Percentage):
        return value
    rest = beyond if is_object(beyond) else {}
    if shape.struct is not None and issubclass(shape.struct, Input):
        return shape.struct(**_copied(shape.struct, value, rest))
    return {
        name: _as_input(held, field.shape, None)
        for name, field in fields_of(type(value)).items()
        if (held := getattr(value, field.attribute)) is not None
    }


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{where} {FLOAT_REFUSED}")
    if isinstance(value, Mapping):
        for each in cast(Mapping[str, Any], value).values():
            _refuse_floats(each, where)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in cast(Iterable[Any], value):
            _refuse_floats(each, where)
