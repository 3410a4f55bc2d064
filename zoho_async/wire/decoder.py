"""Decode replies to their described types.

The fast path decodes the whole reply in one typed call, after blanks were removed. If that fails,
the reply is decoded as plain values and coerced (`zoho_async.wire.coerce`). A matching reply pays
nothing for this.

A reply without the key of its list is an empty list only if it lists nothing else and either has a
``page_context`` that announces no more pages, or the list has no pages. Otherwise it is
`Unreadable`.

If the envelope has another key than described, `zoho_async.wire.identity` decides whether its value
is the record. Any value not found at its described place is counted as drift.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.events import Observer
from zoho_async.operation import ListOperation, Operation, T
from zoho_async.wire.coerce import Coercer, coerce_value
from zoho_async.wire.drift import Drift
from zoho_async.wire.identity import (
    acts_on_record,
    creates,
    is_other_record,
    other_key,
    other_rows,
)
from zoho_async.wire.page import Page, ids_of, page_with, times_of_records
from zoho_async.wire.raw import with_flat_envelope
from zoho_async.wire.record import CONTEXT, Done, PageContext, attach_source
from zoho_async.wire.reply_source import ENVELOPE, ReplyPath, ReplySource
from zoho_async.wire.shape import fields_of, shape_of
from zoho_async.wire.text import (
    UNDECODABLE,
    AnotherRecord,
    Unreadable,
    is_array,
    is_blank,
    is_object,
    untyped_object,
    without_blanks,
)

S = TypeVar("S", bound=msgspec.Struct)


class Decoder:
    """Decodes the replies of one account, and learns which fields drift.

    If a value does not match its described type, ``strict`` raises `DecodeError`. Otherwise the
    field is ``None``, the original is in the record's ``extra``, and ``drift`` counts it.
    """

    def __init__(self, *, strict: bool = False, observer: Observer | None = None) -> None:
        self.strict: Final = strict
        self._drift = Drift(strict=strict, observer=observer)
        self._coercers: dict[type[msgspec.Struct], Coercer[Any]] = {}

    @property
    def drift(self) -> Mapping[tuple[str, str], int]:
        """The number of rows whose field became ``None``, by (record name, field path)."""
        return self._drift

    def value(self, operation: Operation[T], body: bytes, ids: Sequence[str | int] = ()) -> T:
        """Decode the reply ``body`` of ``operation``, whose path was filled with ``ids``.

        Raises `Unreadable` if the reply to a read or a create has no value. Any other write without
        a value in its reply was still done: the result is a record without fields, with the whole
        reply in ``extra``, and ``drift`` counts it. Raises `AnotherRecord` if the record has
        another id than the one at the end of the path.
        """
        result: Any = operation.result
        path: ReplyPath = (operation.key,) if operation.key else ()
        try:
            value = _value_decoder(result, operation.key).decode(without_blanks(body))
            if operation.key:
                value = value.value
        except UNDECODABLE:
            value, path = self._value_with_drift(result, operation.key, body)
        if value is None or value is msgspec.UNSET or (not operation.key and _is_empty(value)):
            value, path = self._value_under_other_key(operation, body, ids, value)
        if operation.record_id and ids and is_other_record(operation, value, ids):
            raise AnotherRecord("the reply holds another record than the one asked for")
        attach_source(value, ReplySource(body), path)
        return cast(T, value)

    def page(self, operation: ListOperation[T], body: bytes) -> Page[T]:
        """Decode the page of ``operation``'s list in ``body``. Raises `Unreadable`."""
        operation, body = with_flat_envelope(operation, body)
        row: Any = operation.row
        key = operation.key
        try:
            page = _page_decoder(row, key).decode(without_blanks(body))
            rows, context = page.rows, page.context
        except UNDECODABLE:
            rows, context = self._page_with_drift(operation, body)
        if rows is msgspec.UNSET:
            key, rows = self._rows_under_other_key(operation, body)
        if rows is msgspec.UNSET and context is None and operation.paged:
            raise Unreadable(f"the reply has neither {key!r} nor {CONTEXT!r}")
        if not is_array(rows) and context is not None and context.has_more_page:
            raise Unreadable(f"the reply has no {key!r} but announces more pages")
        sent = ReplySource(body)
        found: list[T] = rows or []
        attach_source(found, sent, (key,))
        attach_source(context, sent, (CONTEXT,))
        known = ENVELOPE | ({key} if context is None else {key, CONTEXT})
        ids = ids_of(row, operation.row_id, found)
        return page_with(
            found,
            ids,
            context,
            lambda: times_of_records(row, found),
            lambda: sent.without(known),
        )

    # -- replies that do not match ---------------------------------------------------------------

    def _value_with_drift(self, result: Any, key: str, body: bytes) -> tuple[Any, ReplyPath]:
        """The value and its path. A record may be sent as an array of one element."""
        reply = untyped_object(without_blanks(body))
        if not key:
            return self._coerce(reply, result), ()
        value: Any = reply.get(key, msgspec.UNSET)
        if value is msgspec.UNSET:
            return value, (key,)
        alone = is_array(value) and len(value) == 1 and is_object(value[0])
        if alone and shape_of(result).struct is not None:
            return self._coerce(value[0], result), (key, 0)
        return None if is_blank(value) else self._coerce(value, result), (key,)

    def _page_with_drift(self, operation: ListOperation[T], body: bytes) -> tuple[Any, Any]:
        reply = untyped_object(without_blanks(body))
        rows, context = reply.get(operation.key, msgspec.UNSET), reply.get(CONTEXT)
        if is_array(rows):
            rows = [self._coerce(row, operation.row) for row in rows]
        elif is_blank(rows):
            rows = None
        elif rows is not msgspec.UNSET:
            raise Unreadable(f"{operation.key!r} is not a list in this reply")
        return rows, self._coerce(context, PageContext) if is_object(context) else None

    def _coerce(self, value: Any, annotation: Any) -> Any:
        shape = shape_of(annotation)
        if shape.struct is not None:
            return self._coerce_struct(value, shape.struct)
        if shape.element is not None and is_array(value):
            return [self._coerce(each, shape.element.type) for each in value]
        with self._drift.row(shape.kind) as report:
            return coerce_value(value, annotation, report)

    def _coerce_struct(self, value: Any, struct: type[S]) -> S:
        coercer: Coercer[S] | None = self._coercers.get(struct)
        if coercer is None:
            coercer = self._coercers[struct] = Coercer(struct)
        with self._drift.row(struct.__name__) as report:
            return coercer.coerce(value, report)

    def _rows_under_other_key(self, operation: ListOperation[T], body: bytes) -> tuple[str, Any]:
        """The rows under an undescribed key, with the key."""
        reply = untyped_object(without_blanks(body))
        key = other_rows(operation, reply)
        if key is None:
            return operation.key, msgspec.UNSET
        with self._drift.row(operation.row.__name__) as report:
            report("", f"rows under {operation.key!r}", f"array under {key!r}")
        return key, [self._coerce(row, operation.row) for row in reply[key]]

    def _value_under_other_key(
        self, operation: Operation[Any], body: bytes, ids: Sequence[str | int], value: Any
    ) -> tuple[Any, ReplyPath]:
        """The record under an undescribed key, or the meaning of a reply without a value."""
        shape = shape_of(operation.result)
        reply = untyped_object(without_blanks(body))
        if shape.struct is not None and not operation.key:
            described = reply.keys() & fields_of(shape.struct).keys() - ENVELOPE
            if shape.struct is Done or any(is_blank(reply[name]) for name in described):
                return value, ()  # the reply says that there is no value
        if shape.struct is not None and value is not None:
            key = other_key(operation, reply, ids)
            if key is not None:
                where = f"under {operation.key!r}" if operation.key else "at the top"
                with self._drift.row(shape.struct.__name__) as report:
                    report("", f"an object {where}", f"object under {key!r}")
                return self._coerce(reply[key], operation.result), (key,)
        if shape.struct is None or self._needs_value(operation, reply):
            raise Unreadable(f"the reply has no {operation.key or operation.record_id!r}")
        with self._drift.row(shape.struct.__name__) as report:
            report("", "object", "null")
        return shape.struct(), ()

    @staticmethod
    def _needs_value(operation: Operation[Any], reply: Mapping[str, Any]) -> bool:
        """Whether the caller cannot do without the value of a reply."""
        if creates(operation):
            return True
        if operation.method == "GET":
            return bool(operation.key or operation.record_id)
        return acts_on_record(operation) and not reply.keys() <= ENVELOPE


@functools.cache
def _value_decoder(result: Any, key: str) -> msgspec.json.Decoder[Any]:
    if not key:
        return _decoder(result)
    value = msgspec.field(name=key, default=msgspec.UNSET)
    return _decoder(msgspec.defstruct("Reply", [("value", _or_none(result), value)]))


@functools.cache
def _page_decoder(row: Any, key: str) -> msgspec.json.Decoder[Any]:
    rows = msgspec.field(name=key, default=msgspec.UNSET)
    context = msgspec.field(name=CONTEXT, default=None)
    return _decoder(
        msgspec.defstruct(
            "ListReply",
            [("rows", _or_none(list[row]), rows), ("context", PageContext | None, context)],
        )
    )


def _is_empty(value: Any) -> bool:
    """Whether a record that is a whole reply has no values."""
    if not isinstance(value, msgspec.Struct):
        return False
    return all(getattr(value, name) in (None, "") for name in value.__struct_fields__)


def _or_none(annotation: Any) -> Any:
    return annotation | None | msgspec.UnsetType


def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return decoder_of(annotation, float_hook=Decimal)
