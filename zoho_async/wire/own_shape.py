"""Decode rows into a user's own struct or dataclass.

Model
-----
The shape names the fields that are read; all others are skipped. Zoho writes ``""`` for a missing
value of any type. The type of the field decides what that means:

- A field whose type takes ``""``, such as text, has ``""``.
- Any other field has ``None`` if its type takes ``None``. Otherwise the value counts as missing, so
  the field has its default.

A page is decoded in up to three steps, and the first that succeeds gives the result:

1. All rows are decoded in one call, from the bytes as they are.
2. ``""`` is replaced by ``null`` after the names of the fields that take no ``""``, and all rows
   are decoded again.
3. Each row is decoded alone: as in step 1, as in step 2, and at last to plain values, which are
   coerced without loss, as in `coerce`.

A field of text for the row's id gives the ids. Without one, a second call decodes only the ids and
times of all rows, from the bytes as they are.

Invariant
---------
The result does not depend on the step that gives it, and not on the other rows.

Why it holds
------------
A step succeeds only if each field takes its value, and the steps change no value that a field
takes. The bytes of a quote, a name, a quote, a colon and ``""`` cannot occur inside a JSON string.
Step 2 is left out if a name in it also names a field that takes ``""``, or if the shape has fields
of free form, whose content must not change. The page context is read from the bytes as they are.
"""

from __future__ import annotations

import functools
import operator
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
from zoho_async.wire.page import Page, RowTimes, as_id, moment, page_with
from zoho_async.wire.raw import (
    context_of,
    facts_of_rows,
    raw_page,
    rows_decoder,
    with_flat_envelope,
)
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
        self._id: Final = _id_attribute(shape, operation.row_id)

    def page(self, body: bytes) -> Page[S]:
        """Decode a page. The ids are those of Zoho's rows. Raises `ShapeError`, `Unreadable`."""
        operation, body = with_flat_envelope(self._operation, body)
        at_once = self._at_once(operation, body)
        if at_once is not None:
            return at_once
        page: Page[Any] = raw_page(operation, body)
        return msgspec.structs.replace(page, rows=[self.row(row) for row in page.rows])

    def _at_once(self, operation: ListOperation[Any], body: bytes) -> Page[S] | None:
        """Decode all rows in one call, or return None if one of them must be decoded alone."""
        shape: Any = self._shape
        decoder = rows_decoder(shape, operation.key)
        text = body
        try:
            reply = decoder.decode(text)
        except UNDECODABLE:
            text = self._with_nulls(body)
            try:
                reply = decoder.decode(text)
            except UNDECODABLE:
                return None
        if not is_array(reply.rows):
            return None
        rows: list[S] = reply.rows
        facts = functools.partial(facts_of_rows, operation.key, operation.row_id, body)
        if self._id and (text is body or not self._has_blank_name(bytes(reply.context))):
            ids = list(map(as_id, map(operator.attrgetter(self._id), rows)))
            return page_with(rows, ids, context_of(reply.context), lambda: _times(facts().rows))
        try:
            head = facts()
        except UNDECODABLE:
            return None
        found = head.rows  # not the reply, which keeps the body in memory
        ids = [as_id(row.id) if operation.row_id else "" for row in found]
        return page_with(rows, ids, context_of(head.context), lambda: _times(found))

    def _has_blank_name(self, text: bytes) -> bool:
        """Whether step 2 may have changed ``text``."""
        return any(name in text for name in self._blanks)

    def _with_nulls(self, text: bytes) -> bytes:
        for name in self._blanks:  # faster than one regular expression for all
            text = text.replace(name + b':""', name + b":null")
        return text

    def row(self, row: bytes) -> S:
        """Decode one row. Raises `ShapeError`."""
        try:
            return self._decoder.decode(row)
        except UNDECODABLE:
            pass
        try:
            return self._decoder.decode(self._with_nulls(row))
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


# -- ids and times ------------------------------------------------------------------------------


def _id_attribute(shape: Any, row_id: str) -> str:
    """The attribute of ``shape`` that has the row's id as Zoho sent it, "" without one."""
    field = fields_of(shape).get(row_id)
    if field is None or not issubclass(shape, msgspec.Struct):  # others may compute attributes
        return ""
    is_changed = hasattr(shape, "__post_init__")
    is_text = field.shape.plain == (str,) and not is_changed
    return field.attribute if is_text and field.shape.type in (str, str | None) else ""


def _times(rows: list[Any]) -> list[RowTimes]:
    return [RowTimes(moment(row.created_time), moment(row.last_modified_time)) for row in rows]


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
