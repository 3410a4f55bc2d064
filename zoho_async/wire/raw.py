"""Pages of raw rows: the bytes that Zoho sent, neither decoded nor encoded again."""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.operation import ListOperation, T
from zoho_async.wire.coerce import Coercer
from zoho_async.wire.identity import other_rows
from zoho_async.wire.page import Page, RowMoments, as_id, page_with, times_of
from zoho_async.wire.record import CONTEXT, PageContext, attach_source
from zoho_async.wire.reply_source import ReplySource
from zoho_async.wire.text import (
    UNDECODABLE,
    Unreadable,
    is_blank,
    is_object,
    repaired,
    untyped,
    untyped_object,
)

_ABSENT: Final = msgspec.Raw()
_ROWS: Final = decoder_of(list[msgspec.Raw])
_OBJECT: Final = decoder_of(dict[str, msgspec.Raw])


def raw_page(operation: ListOperation[Any], body: bytes) -> Page[bytes]:
    """Read the page in ``body`` and decode only the envelope. Raises `Unreadable`."""
    operation, body = with_flat_envelope(operation, body)
    try:
        reply = rows_decoder(msgspec.Raw, operation.key).decode(body)
        rows: list[msgspec.Raw] | msgspec.UnsetType | None = reply.rows
    except UNDECODABLE:
        reply = _read_loosely(operation.key, body)
        rows = _rows(reply.rows, operation.key)
    context = context_of(reply.context)
    if rows is msgspec.UNSET:
        key = other_rows(operation, untyped_object(body))
        if key is not None:
            rows = _rows(_read_loosely(key, body).rows, key)
    if rows is msgspec.UNSET and context is None and operation.paged:
        raise Unreadable(f"the reply has neither {operation.key!r} nor {CONTEXT!r}")
    if not isinstance(rows, list) and context is not None and context.has_more_page:
        raise Unreadable(f"the reply has no {operation.key!r} but announces more pages")
    found = [bytes(row) for row in rows or []]
    ids = _row_ids(operation, found)
    return page_with(found, ids, context, lambda: [times_of(row) for row in found])


def with_flat_envelope(operation: ListOperation[T], body: bytes) -> tuple[ListOperation[T], bytes]:
    """Move the rows of a nested key (``data.payment_terms``) to the top of the reply.

    A reply without the outer object is not changed: its rows may be at the top already. Raises
    `Unreadable`.
    """
    outer, _, inner = operation.key.rpartition(".")
    if not outer:
        return operation, body
    operation = msgspec.structs.replace(operation, key=inner)
    try:
        reply = _OBJECT.decode(body)
    except UNDECODABLE:
        untyped_object(body)  # raises unless the text can be repaired
        body = repaired(body)
        reply = _OBJECT.decode(body)
    if outer not in reply or not is_object(untyped(reply[outer])):
        return operation, body
    within = _OBJECT.decode(reply.pop(outer))
    return operation, msgspec.json.encode({**reply, **within})


def raw_context(body: bytes) -> PageContext:
    """The page context in ``body``, empty without one. Raises `Unreadable`."""
    return Coercer(PageContext).coerce(untyped_object(body).get(CONTEXT), _ignore_drift)


def row_id(operation: ListOperation[Any], row: bytes | memoryview | msgspec.Raw) -> str:
    """The id in the bytes of a row, or "" if it has none."""
    if not operation.row_id:
        return ""
    # Nearly every row begins with its id. Decoding the rest would double the cost of a raw row.
    first = _begins_with(operation.row_id).match(row)
    if first is not None:
        return first[1].decode()
    try:
        found = _row_with(operation.row_id).decode(row).id
    except UNDECODABLE:  # of another type, or with a damaged character
        try:
            loose = untyped(bytes(row))
        except Unreadable:
            return ""
        found = loose.get(operation.row_id) if is_object(loose) else None
    return as_id(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _row_ids(operation: ListOperation[Any], rows: list[bytes]) -> list[str]:
    if not operation.row_id:
        return [""] * len(rows)
    matches = map(_begins_with(operation.row_id).match, rows)
    return [
        row_id(operation, row) if first is None else first[1].decode()
        for row, first in zip(rows, matches, strict=True)
    ]


def _read_loosely(key: str, body: bytes) -> Any:
    """Decode the envelope with its rows as one value, and repair damaged text if needed."""
    try:
        return _envelope(key).decode(body)
    except UNDECODABLE:
        untyped_object(body)  # raises unless the text can be repaired
        return _envelope(key).decode(repaired(body))


def _rows(raw: msgspec.Raw, key: str) -> list[msgspec.Raw] | msgspec.UnsetType | None:
    """The rows, or None if they are blank."""
    if raw is _ABSENT:
        return msgspec.UNSET
    try:
        return _ROWS.decode(raw)
    except msgspec.ValidationError:
        if is_blank(untyped(raw)):
            return None
        raise Unreadable(f"{key!r} is not a list in this reply") from None


def context_of(raw: msgspec.Raw) -> PageContext | None:
    """The page context in the ``context`` that a decoder of this module returned, None without."""
    if raw is _ABSENT:
        return None
    sent = untyped(raw)
    if not is_object(sent):
        return None
    context = Coercer(PageContext).coerce(sent, _ignore_drift)
    # Its own bytes only, because the whole reply would stay in memory as long as the page.
    own = b'{"%b":%b}' % (CONTEXT.encode(), bytes(raw))
    attach_source(context, ReplySource(own), (CONTEXT,))
    return context


def _ignore_drift(field: str, expected: str, found: str) -> None:
    """Ignore drift in a page context. It is counted when the page is decoded as records."""


@functools.lru_cache(128)  # not for ever, because a program may make classes at any time
def rows_decoder(row: Any, key: str) -> msgspec.json.Decoder[Any]:
    """A decoder of a reply with ``rows`` of type ``row`` under ``key``, and its ``context``."""
    return _reply(key, list[row] | None | msgspec.UnsetType, msgspec.UNSET)


def facts_of_rows(key: str, row_id: str, body: bytes) -> Any:
    """Decode only ids and times: a reply with ``rows`` and ``context``. Raises `UNDECODABLE`."""
    return rows_decoder(_row_facts(row_id), key).decode(body)


@functools.cache
def _row_facts(row_id: str) -> type[msgspec.Struct]:
    name = msgspec.field(name=row_id or None, default=None)
    return msgspec.defstruct("RowFacts", [("id", str | int | None, name)], bases=(RowMoments,))


@functools.cache
def _envelope(key: str) -> msgspec.json.Decoder[Any]:
    return _reply(key, msgspec.Raw, _ABSENT)


def _reply(key: str, kind: Any, absent: Any) -> msgspec.json.Decoder[Any]:
    rows = msgspec.field(name=key, default=absent)
    context = msgspec.field(name=CONTEXT, default=_ABSENT)
    return decoder_of(
        msgspec.defstruct("RawReply", [("rows", kind, rows), ("context", msgspec.Raw, context)]),
        float_hook=Decimal,
    )


@functools.cache
def _begins_with(row_id: str) -> re.Pattern[bytes]:
    return re.compile(rb'\{"%b":"([0-9]+)",' % re.escape(row_id).encode())


@functools.cache
def _row_with(row_id: str) -> msgspec.json.Decoder[Any]:
    name = msgspec.field(name=row_id, default=None)
    return decoder_of(msgspec.defstruct("RowId", [("id", str | int | None, name)]))
