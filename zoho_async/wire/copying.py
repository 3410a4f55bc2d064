"""Copy the values of a record into the fields of an input.

Model
    A record's field has the type that Zoho returns, an input's field the type that Zoho accepts.
    The two descriptions differ, and real values differ from both: ``item_order`` is a number in
    replies and text in the input. So each value is coerced to the type of the input's field, by
    the rules of decoding.

Invariant
    Each value of a record for which the input has a field is copied, or is blank, or is listed as
    `Uncopied`. No value is dropped silently, because a PUT deletes lines that it does not contain.

Why it holds
    `Copier` iterates over the fields of the input. Each value passes through one function, which
    returns a copy, `NOTHING` for a blank, or records a failure with its path.

Unknown
    Whether Zoho accepts a text that its description does not list as allowed. It came from Zoho,
    so it is sent back unchanged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, get_origin

import msgspec

from zoho_async.wire.coerce import MISFIT, coerce_plain, json_kind
from zoho_async.wire.encode import amount, moment
from zoho_async.wire.shape import Percentage, Shape, fields_of, without_sign
from zoho_async.wire.text import is_array, is_blank, is_object

#: The result for a blank, which is not copied.
NOTHING: Final = object()
_MAPPINGS: Final = (dict, Mapping)


class Uncopied(msgspec.Struct, frozen=True):
    """A field that cannot be copied: its path, the kind the input takes, the kind it has."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path} (takes {self.expected}, is {self.found})"


class Copier:
    """Copies records into inputs. ``failed`` lists fields that could not be copied, by path."""

    def __init__(self, skip: Collection[str]) -> None:
        self._skip: Final = skip
        self._failed: Final[dict[str, Uncopied]] = {}

    @property
    def failed(self) -> tuple[Uncopied, ...]:
        return tuple(self._failed.values())

    def fields(
        self, target: type[msgspec.Struct], part: object, extra: Mapping[str, Any], path: str = ""
    ) -> dict[str, Any]:
        """The fields of ``target`` that ``part`` has, by attribute.

        ``part`` is a struct with its undescribed fields in ``extra``, or an object of plain values.
        """
        held = fields_of(type(part)) if isinstance(part, msgspec.Struct) else {}
        copied: dict[str, Any] = {}
        for name, field in fields_of(target).items():
            where = f"{path}{name}"
            rest = extra.get(name)
            value = getattr(part, held[name].attribute) if name in held else None
            if value is None or value is msgspec.UNSET or value == "":
                value, rest = rest, None
            if isinstance(value, str) and Decimal in field.shape.plain:
                value = without_sign(name, value)
            copy = self._copy(value, field.shape, rest, where)
            if copy is not NOTHING:
                copied[field.attribute] = copy
        return copied

    def _copy(self, value: Any, shape: Shape, extra: Any, path: str) -> Any:
        if path in self._skip or is_blank(value):
            return NOTHING
        if is_array(value):
            return self._list(value, shape, extra, path)
        is_part = isinstance(value, msgspec.Struct) and not isinstance(value, Percentage)
        if is_part or is_object(value):
            return self._object(value, shape, extra, path)
        copy = _plain(value, shape)
        return self._fail(path, shape, value) if copy is MISFIT else copy

    def _list(self, values: list[Any], shape: Shape, extra: Any, path: str) -> Any:
        if shape.element is None and not _takes(shape, list):
            return self._fail(path, shape, values) if values else NOTHING
        rests = extra if is_array(extra) else [None] * len(values)
        element = shape.element or _ANYTHING
        copies = [
            self._copy(value, element, rest, f"{path}[]")
            for value, rest in zip(values, rests, strict=True)
        ]
        kept = [copy for copy in copies if copy is not NOTHING]
        return kept if kept or not values else NOTHING

    def _object(self, value: Any, shape: Shape, extra: Any, path: str) -> Any:
        rest = value if is_object(value) else extra if is_object(extra) else {}
        if shape.struct is not None:
            copied = self.fields(shape.struct, value, rest, f"{path}.")
            return shape.struct(**copied) if copied else NOTHING
        if not any(_takes(shape, each) for each in _MAPPINGS):
            return self._fail(path, shape, value) if value != {} else NOTHING
        whole = value if is_object(value) else {**rest, **_untyped(value)}
        return whole or NOTHING

    def _fail(self, path: str, shape: Shape, value: Any) -> Any:
        found = json_kind(value)
        if isinstance(value, msgspec.Struct):
            found = "object"
        elif isinstance(value, dt.date):
            found = "time" if isinstance(value, dt.datetime) else "date"
        self._failed.setdefault(path, Uncopied(path, shape.kind, found))
        return NOTHING


_ANYTHING: Final = Shape(Any, plain=(Any,))


def _takes(shape: Shape, kind: Any) -> bool:
    """Whether ``shape`` accepts any value of type ``kind``."""
    return any(each is Any or each is kind or get_origin(each) is kind for each in shape.plain)


def _untyped(value: Any) -> Any:
    """A struct as plain values without its empty fields; plain values are unchanged."""
    if is_array(value):
        return [_untyped(each) for each in value]
    if not isinstance(value, msgspec.Struct) or isinstance(value, Percentage):
        return value
    return {
        name: _untyped(held)
        for name, field in fields_of(type(value)).items()
        if (held := getattr(value, field.attribute)) not in (None, "")
    }


def _plain(value: Any, shape: Shape) -> Any:
    """Convert a plain value to one of the classes of ``shape``, or return `MISFIT`."""
    classes, text = shape.plain, _text(value)
    if Any in classes:
        return value
    if any(each is str or get_origin(each) is Literal for each in classes):
        return text
    if any(isinstance(each, type) and _is(value, each) for each in classes):
        return value
    for form in (value, text):
        copy = coerce_plain(form, shape)
        if copy is not MISFIT:
            return copy if isinstance(copy, Percentage) else msgspec.convert(copy, shape.type)
    return MISFIT


def _is(value: Any, kind: type) -> bool:
    """Whether a value is an instance; a bool does not count as int, nor a datetime as date."""
    if isinstance(value, (bool, dt.datetime)):
        return type(value) is kind
    return isinstance(value, kind)


def _text(value: Any) -> str:
    """A plain value as text in Zoho's format."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return amount(value)
        case dt.datetime():
            return moment(value)
        case dt.date():
            return value.isoformat()
        case _:
            return str(value)
