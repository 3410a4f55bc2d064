"""Coerce values that do not match their described types, without losing the originals.

Model
-----
msgspec decodes a whole page at once and stops at the first value of the wrong type. The page is
then decoded again as plain values, and each row is coerced:

1. The fields known to drift (`DriftingFields`) are coerced. A value is converted if nothing gets
   lost: "15" to 15, an integer id to text, "10%" to a `Percentage` or, in a percentage field, to a
   number. Any other value is removed, so its field is ``None``, and is reported as a misfit. The
   original stays in the bytes of the row.
2. The row is converted. If this fails, all its fields are tried one by one, those that do not
   match become known to drift, and step 1 runs again.

Cost
----
The search runs once per drifting field, not once per row, and the description bounds the number of
fields. If the row still does not convert, the record is built from the fields that match.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from zoho_async._msgspec import describe
from zoho_async.wire.shape import Percentage, Shape, fields_of, shape_of, without_sign
from zoho_async.wire.text import is_array, is_blank, is_object

S = TypeVar("S", bound=msgspec.Struct)

#: Called for each value that became ``None`` with its path in the record, the described kind and
#: the kind that was sent. Never with the value.
ReportMisfit: TypeAlias = Callable[[str, str, str], None]

#: The result for a value that cannot be converted to the wanted type.
MISFIT: Final = object()
_TRUTH: Final = {"true": True, "false": False}
_LONGEST_INTEGER: Final = 40  # digits


class DriftingFields:
    """The fields of a struct, and of its inner structs, that are known to drift."""

    __slots__ = ("fields", "inside")

    def __init__(self) -> None:
        self.fields: dict[str, Shape] = {}
        self.inside: dict[str, DriftingFields] = {}


class Coercer(Generic[S]):
    """Builds records of one type from plain values, and learns which fields drift."""

    def __init__(self, struct: type[S]) -> None:
        describe(struct)
        self._struct = struct
        self._drifting = DriftingFields()

    def coerce(self, row: Any, report: ReportMisfit) -> S:
        """Build the record of ``row``, which is modified. Raises only errors of ``report``."""
        if not is_object(row):
            if not is_blank(row):
                report("", "object", json_kind(row))
            return self._struct()
        _coerce_fields(row, self._drifting, "", report)
        try:
            return msgspec.convert(row, self._struct)
        except msgspec.ValidationError:
            _learn(row, self._struct, self._drifting)
        _coerce_fields(row, self._drifting, "", report)
        try:
            return msgspec.convert(row, self._struct)
        except msgspec.ValidationError:
            return self._salvage(row, report)

    def _salvage(self, row: dict[str, Any], report: ReportMisfit) -> S:
        for name, field in fields_of(self._struct).items():
            if name in row and not matches(row[name], field.shape.type):
                report(name, field.shape.kind, json_kind(row.pop(name)))
        return msgspec.convert(row, self._struct)


def matches(value: Any, annotation: Any) -> bool:
    """Whether a plain value converts to ``annotation`` without coercion."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def coerce_value(value: Any, annotation: Any, report: ReportMisfit) -> Any:
    """Coerce ``value`` to an ``annotation`` that is not a struct, or to ``None``."""
    coerced = _coerce(value, shape_of(annotation), "", report)
    return None if coerced is MISFIT else msgspec.convert(coerced, annotation)


def json_kind(value: object) -> str:
    """The JSON type of a plain value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | Decimal():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _learn(row: dict[str, Any], struct: type[msgspec.Struct], drifting: DriftingFields) -> None:
    """Add the fields of ``row`` that do not match to ``drifting``."""
    for name, field in fields_of(struct).items():
        if name not in row or matches(row[name], field.shape.type):
            continue
        shape, value = _innermost(field.shape), row[name]
        if shape.struct is None or not _has_structure(value, field.shape):
            drifting.fields[name] = field.shape
        if shape.struct is not None:
            for part in _objects(value):
                _learn(part, shape.struct, drifting.inside.setdefault(name, DriftingFields()))


def _coerce_fields(
    row: dict[str, Any], drifting: DriftingFields, path: str, report: ReportMisfit
) -> None:
    for name, shape in drifting.fields.items():
        if name in row:
            value = without_sign(name, row[name]) if Decimal in shape.plain else row[name]
            coerced = MISFIT if is_blank(value) else _coerce(value, shape, f"{path}{name}", report)
            if coerced is MISFIT:
                del row[name]
            else:
                row[name] = coerced
    for name, inside in drifting.inside.items():
        value = row.get(name)
        within = f"{path}{name}[]." if is_array(value) else f"{path}{name}."
        for part in _objects(value):
            _coerce_fields(part, inside, within, report)


def _coerce(value: Any, shape: Shape, path: str, report: ReportMisfit) -> Any:
    """``value`` coerced to ``shape`` without loss, or `MISFIT`."""
    if shape.struct is not None and is_object(value):
        return value  # its fields are coerced separately
    if shape.element is not None and is_array(value):
        return _coerce_elements(value, shape.element, path, report)
    if shape.struct is None and shape.element is None:
        coerced = coerce_plain(value, shape)
        if coerced is not MISFIT:
            return coerced
    if shape.struct is None or not is_blank(value):
        report(path, shape.kind, json_kind(value))
    return MISFIT


def _coerce_elements(values: list[Any], shape: Shape, path: str, report: ReportMisfit) -> Any:
    coerced = [_coerce(value, shape, f"{path}[]", report) for value in values]
    if shape.struct is not None:  # an empty object keeps the positions of the others
        return [{} if value is MISFIT else value for value in coerced]
    return MISFIT if MISFIT in coerced else coerced


def coerce_plain(value: Any, shape: Shape) -> Any:
    """Convert a plain value to one of the classes of ``shape``, or return `MISFIT`."""
    for wanted in shape.plain:
        if wanted is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if wanted is bool and isinstance(value, str) and value.lower() in _TRUTH:
            return _TRUTH[value.lower()]
        if wanted is int and isinstance(value, (str, Decimal)):
            whole = _whole(value)
            if whole is not None:
                return whole
        if wanted is Percentage and isinstance(value, str) and value.endswith("%"):
            with suppress(ValueError):
                return Percentage.read(value)
    return value if matches(value, shape.type) else MISFIT


def _whole(value: str | Decimal) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        plain = digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_INTEGER
        return int(value) if plain else None
    if value.adjusted() < _LONGEST_INTEGER and value == value.to_integral_value():
        return int(value)
    return None


def _innermost(shape: Shape) -> Shape:
    while shape.element is not None:
        shape = shape.element
    return shape


def _has_structure(value: Any, shape: Shape) -> bool:
    """Whether ``value`` is an object, or a list of objects, as ``shape`` requires."""
    if shape.element is not None:
        element = shape.element
        return is_array(value) and all(_has_structure(each, element) for each in value)
    return is_object(value)


def _objects(value: Any) -> list[dict[str, Any]]:
    """``value`` if it is an object, or the objects in a list, as a list."""
    if is_object(value):
        return [value]
    if is_array(value):
        return [part for each in value for part in _objects(each)]
    return []
