"""From the bytes of a reply to the values that its description promises.

The fast way is one typed decoding of the whole reply, blanks taken out beforehand. Only when that
fails is the reply read as plain values and made to fit (see `zoho_async.wire.coerce`); a reply that
fits costs nothing for the care taken of others.

A list without its key is an empty list only where something else vouches for the reply: its
``page_context`` (unless that says that more pages follow), or that the list comes all at once, and
if the reply lists nothing else. Otherwise it is no answer, and `Unreadable`.

Where the envelope has another key than the described one, `zoho_async.wire.identity` decides
whether what is under it is the record; whatever was not found where it is described is drift.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.events import Observer
from zoho_async.operation import ListOperation, Operation, T
from zoho_async.wire.coerce import Fitter, fit_value
from zoho_async.wire.drift import Drift
from zoho_async.wire.identity import (
    creates,
    is_another,
    of_its_record,
    other_key,
    other_rows,
)
from zoho_async.wire.record import CONTEXT, Done, PageContext, remember
from zoho_async.wire.sent import ENVELOPE, Place, Sent
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


class PageBody(Generic[T]):
    """One page of a list: its ``rows`` and where it stands, if Zoho said so."""

    __slots__ = ("_known", "_sent", "context", "rows")

    def __init__(
        self, rows: list[T], context: PageContext | None, sent: Sent, known: frozenset[str]
    ) -> None:
        self.rows: Final = rows
        self.context: Final = context
        self._sent = sent
        self._known = known

    @property
    def extra(self) -> dict[str, Any]:
        """What else the envelope held."""
        return self._sent.without(self._known)


class Decoder:
    """Reads the replies of one account and remembers which fields drift.

    With ``strict`` a value that does not fit its described type raises `DecodeError`; without, it
    is ``None``, its original is in the record's ``extra``, and ``drift`` counts it.
    """

    def __init__(self, *, strict: bool = False, observer: Observer | None = None) -> None:
        self.strict: Final = strict
        self._drift = Drift(strict=strict, observer=observer)
        self._fitters: dict[type[msgspec.Struct], Fitter[Any]] = {}

    @property
    def drift(self) -> Mapping[tuple[str, str], int]:
        """Rows in which a field came to nothing, by (record name, field path)."""
        return self._drift

    def value(self, operation: Operation[T], body: bytes, ids: Sequence[str | int] = ()) -> T:
        """The value that ``operation``, whose path was filled with ``ids``, answered with ``body``.

        `Unreadable` is raised for an answer that does not hold what a read, or the creation of a
        record, needs: nothing else would tell what was read or made. Any other write whose reply
        holds no value has still been done: its record has no fields then, the whole reply is in
        ``extra``, and ``drift`` counts it. Raises `AnotherRecord` for a record with another id
        than the one that ends the path.
        """
        result: Any = operation.result
        place: Place = (operation.key,) if operation.key else ()
        try:
            value = _value_decoder(result, operation.key).decode(without_blanks(body))
            if operation.key:
                value = value.value
        except UNDECODABLE:
            value, place = self._loose_value(result, operation.key, body)
        if value is None or value is msgspec.UNSET or (not operation.key and _is_bare(value)):
            value, place = self._elsewhere(operation, body, ids, value)
        if operation.record_id and ids and is_another(operation, value, ids):
            raise AnotherRecord("the reply holds another record than the one asked for")
        remember(value, Sent(body), place)
        return cast(T, value)

    def page(self, operation: ListOperation[T], body: bytes) -> PageBody[T]:
        """The page of ``operation``'s list in ``body``. Raises `Unreadable`."""
        row: Any = operation.row
        key = operation.key
        try:
            page = _page_decoder(row, key).decode(without_blanks(body))
            rows, context = page.rows, page.context
        except UNDECODABLE:
            rows, context = self._loose_page(operation, body)
        if rows is msgspec.UNSET:
            key, rows = self._rows_elsewhere(operation, body)
        if rows is msgspec.UNSET and context is None and operation.paged:
            raise Unreadable(f"the reply holds neither {key!r} nor {CONTEXT!r}")
        if not is_array(rows) and context is not None and context.has_more_page:
            raise Unreadable(f"the reply holds no {key!r} and says that more follow")
        sent = Sent(body)
        found: list[T] = rows or []
        remember(found, sent, (key,))
        remember(context, sent, (CONTEXT,))
        known = ENVELOPE | ({key} if context is None else {key, CONTEXT})
        return PageBody(found, context, sent, known)

    # -- what does not fit -----------------------------------------------------------------------

    def _loose_value(self, result: Any, key: str, body: bytes) -> tuple[Any, Place]:
        """The value and where it stands: one record may come as an array of one."""
        reply = untyped_object(without_blanks(body))
        if not key:
            return self._fit(reply, result), ()
        value: Any = reply.get(key, msgspec.UNSET)
        if value is msgspec.UNSET:
            return value, (key,)
        alone = is_array(value) and len(value) == 1 and is_object(value[0])
        if alone and shape_of(result).struct is not None:
            return self._fit(value[0], result), (key, 0)
        return None if is_blank(value) else self._fit(value, result), (key,)

    def _loose_page(self, operation: ListOperation[T], body: bytes) -> tuple[Any, Any]:
        reply = untyped_object(without_blanks(body))
        rows, context = reply.get(operation.key, msgspec.UNSET), reply.get(CONTEXT)
        if is_array(rows):
            rows = [self._fit(row, operation.row) for row in rows]
        elif is_blank(rows):
            rows = None
        elif rows is not msgspec.UNSET:
            raise Unreadable(f"{operation.key!r} is no list in this reply")
        return rows, self._fit(context, PageContext) if is_object(context) else None

    def _fit(self, value: Any, annotation: Any) -> Any:
        shape = shape_of(annotation)
        if shape.struct is not None:
            return self._fit_struct(value, shape.struct)
        if shape.element is not None and is_array(value):
            return [self._fit(each, shape.element.type) for each in value]
        with self._drift.row(shape.kind) as lost:
            return fit_value(value, annotation, lost)

    def _fit_struct(self, value: Any, struct: type[S]) -> S:
        fitter: Fitter[S] | None = self._fitters.get(struct)
        if fitter is None:
            fitter = self._fitters[struct] = Fitter(struct)
        with self._drift.row(struct.__name__) as lost:
            return fitter.fit(value, lost)

    def _rows_elsewhere(self, operation: ListOperation[T], body: bytes) -> tuple[str, Any]:
        """The rows under an undescribed key, and that key."""
        reply = untyped_object(without_blanks(body))
        key = other_rows(operation, reply)
        if key is None:
            return operation.key, msgspec.UNSET
        with self._drift.row(operation.row.__name__) as lost:
            lost("", f"rows under {operation.key!r}", f"array under {key!r}")
        return key, [self._fit(row, operation.row) for row in reply[key]]

    def _elsewhere(
        self, operation: Operation[Any], body: bytes, ids: Sequence[str | int], value: Any
    ) -> tuple[Any, Place]:
        """The record under an undescribed key; else what an answer without a value means."""
        shape = shape_of(operation.result)
        reply = untyped_object(without_blanks(body))
        if shape.struct is not None and not operation.key:
            described = reply.keys() & fields_of(shape.struct).keys() - ENVELOPE
            if shape.struct is Done or any(is_blank(reply[name]) for name in described):
                return value, ()  # it says that there is nothing
        if shape.struct is not None and value is not None:
            key = other_key(operation, reply, ids)
            if key is not None:
                where = f"under {operation.key!r}" if operation.key else "at the top"
                with self._drift.row(shape.struct.__name__) as lost:
                    lost("", f"an object {where}", f"object under {key!r}")
                return self._fit(reply[key], operation.result), (key,)
        if shape.struct is None or self._needs_value(operation, reply):
            raise Unreadable(f"the reply holds no {operation.key or operation.record_id!r}")
        with self._drift.row(shape.struct.__name__) as lost:
            lost("", "object", "null")
        return shape.struct(), ()

    @staticmethod
    def _needs_value(operation: Operation[Any], reply: Mapping[str, Any]) -> bool:
        """Whether an answer without its value leaves open what was read, made or changed."""
        if creates(operation):
            return True
        if operation.method == "GET":
            return bool(operation.key or operation.record_id)
        return of_its_record(operation) and not reply.keys() <= ENVELOPE


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


def _is_bare(value: Any) -> bool:
    """Whether a record that is a whole reply holds nothing."""
    if not isinstance(value, msgspec.Struct):
        return False
    return all(getattr(value, name) in (None, "") for name in value.__struct_fields__)


def _or_none(annotation: Any) -> Any:
    return annotation | None | msgspec.UnsetType


def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return decoder_of(annotation, float_hook=Decimal)
