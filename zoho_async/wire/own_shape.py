"""Decode rows into a user's own struct or dataclass.

Model
-----
The shape names the fields that are read; all others are skipped. Zoho writes ``""`` for a missing
value of any type. The type of the field decides what that means:

- A field whose type takes ``""``, such as text, has ``""``.
- Any other field has ``None`` if its type takes ``None``. Otherwise the value counts as missing, so
  the field has its default.

A row is decoded in up to three steps, and the first that succeeds gives the result:

1. The bytes are decoded as they are.
2. ``""`` is replaced by ``null`` after the names of the fields that take no ``""``.
3. The row is decoded to plain values, which are coerced without loss, as in `coerce`.

Invariant
---------
The result does not depend on the step that gives it, and not on the other rows.

Why it holds
------------
A step succeeds only if each field takes its value, and the steps change no value that a field
takes. The bytes of a quote, a name, a quote, a colon and ``""`` cannot occur inside a JSON string.
Step 2 is left out if a name in it also names a field that takes ``""``, or if the shape has fields
of free form, whose content must not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar, get_origin
from uuid import UUID

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.errors import ShapeError
from zoho_async.operation import ListOperation
from zoho_async.wire.coerce import MISFIT, coerce_plain, json_kind, matches
from zoho_async.wire.page import Page
from zoho_async.wire.raw import raw_page
from zoho_async.wire.shape import FieldShape, Percentage, Shape, fields_of, has_fields, shape_of
from zoho_async.wire.text import UNDECODABLE, is_array, is_blank, is_object, untyped

S = TypeVar("S")

#: Types without inner names. Values of any other type have free form.
_LEAVES: Final = (
    bool,
    bytes,
    date,
    datetime,
    Decimal,
    Enum,
    float,
    int,
    Percentage,
    str,
    time,
    timedelta,
    UUID,
)


class OwnShape(Generic[S]):
    """Decodes the rows of ``operation`` to ``shape``, a `msgspec.Struct` or a dataclass.

    Raises `TypeError` for any other class, and for fields that JSON cannot fill.
    """

    def __init__(self, shape: type[S], operation: ListOperation[Any]) -> None:
        if not has_fields(shape):
            raise TypeError(f"into() takes a msgspec.Struct or a dataclass, got {shape!r}")
        self._shape: Final = shape
        self._operation: Final = operation
        self._decoder: Final = decoder_of(shape, float_hook=Decimal)
        self._blanks: Final = _blanks_of(shape)

    def page(self, body: bytes) -> Page[S]:
        """Decode a page. The ids are those of Zoho's rows. Raises `ShapeError`, `Unreadable`."""
        page: Page[Any] = raw_page(self._operation, body)
        return msgspec.structs.replace(page, rows=[self.row(row) for row in page.rows])

    def row(self, row: bytes) -> S:
        """Decode one row. Raises `ShapeError`."""
        try:
            return self._decoder.decode(row)
        except UNDECODABLE:
            pass
        text = row
        for name in self._blanks:  # faster than one regular expression for all
            text = text.replace(name + b':""', name + b":null")
        try:
            return self._decoder.decode(text)
        except UNDECODABLE:
            return self._from_plain_values(untyped(row))

    def _from_plain_values(self, value: Any) -> S:
        name = self._shape.__name__
        fitted = _fit(value, shape_of(self._shape), name)
        try:
            return msgspec.convert(fitted, self._shape)
        except msgspec.ValidationError as error:  # __post_init__ refused it
            raise ShapeError(name, f"{name} refused a row: {error}") from None


def _fit(value: Any, shape: Shape, path: str) -> Any:
    """``value`` as plain values that convert to ``shape``. Raises `ShapeError`."""
    if shape.struct is not None and is_object(value):
        return {
            name: fitted
            for name, field in fields_of(shape.struct).items()
            for fitted in _fitted(value, name, field, f"{path}.{name}")
        }
    if shape.element is not None and is_array(value):
        return [_fit(one, shape.element, f"{path}[]") for one in value]
    if matches(value, shape.type):
        return value
    if is_blank(value) and matches(None, shape.type):
        return None
    coerced = MISFIT if shape.struct or shape.element else coerce_plain(value, shape)
    if coerced is MISFIT:
        raise ShapeError(path, f"{path} should be {shape.kind}, but Zoho sent {_found(value)}")
    return coerced


def _fitted(row: dict[str, Any], name: str, field: FieldShape, path: str) -> Iterator[Any]:
    """The value of a field, or nothing if it has its default."""
    value, shape = row.get(name), field.shape
    sent = name in row and not (is_blank(value) and not _takes_blank(value, shape))
    if sent:
        yield _fit(value, shape, path)
    elif field.required:
        found = _found(value) if name in row else "no such field"
        problem = f"{path} should be {shape.kind}, but Zoho sent {found}"
        raise ShapeError(path, f"{problem}. Give the field a default, or let it take None.")


def _takes_blank(value: Any, shape: Shape) -> bool:
    return matches(value, shape.type) or matches(None, shape.type)


def _found(value: object) -> str:
    return "a blank" if isinstance(value, str) and is_blank(value) else f"a JSON {json_kind(value)}"


# -- blanks -------------------------------------------------------------------------------------


def _blanks_of(shape: type[Any]) -> list[bytes]:
    """The names, in quotes, of the fields that take ``None`` but no ``""``."""
    nullable: set[str] = set()
    others: set[str] = set()
    free = False
    for name, field in _all_fields(shape, {shape}):
        inner = _innermost(field)
        free = free or not (inner.struct or all(map(_is_leaf, inner.plain)))
        is_nullable = matches(None, field.type) and not matches("", field.type)
        (nullable if is_nullable else others).add(name)
    return [] if free else [msgspec.json.encode(name) for name in sorted(nullable - others)]


def _all_fields(cls: Any, seen: set[Any]) -> Iterator[tuple[str, Shape]]:
    """The fields of a class and of the classes inside it, by Zoho's names."""
    for name, field in fields_of(cls).items():
        yield name, field.shape
        inner = _innermost(field.shape).struct
        if inner is not None and inner not in seen:
            seen.add(inner)
            yield from _all_fields(inner, seen)


def _innermost(shape: Shape) -> Shape:
    while shape.element is not None:
        shape = shape.element
    return shape


def _is_leaf(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    return isinstance(annotation, type) and issubclass(annotation, _LEAVES)
