"""The bytes of a reply, from which undescribed values are read on demand.

Most callers use only the fields of a record. So a reply is kept as bytes that its rows share. A
row's bytes are located at the first use of ``extra``, for a quarter of the cost of decoding.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.wire.shape import Shape, fields_of
from zoho_async.wire.text import UNDECODABLE, is_array, is_blank, is_object, repaired, untyped

#: The location of a value: the whole reply, a key of its envelope, or a row under a key.
ReplyPath: TypeAlias = tuple[()] | tuple[str] | tuple[str, int]

#: The keys of every envelope, which belong to no record.
ENVELOPE: Final = frozenset({"code", "message"})

_KEYS: Final = decoder_of(dict[str, msgspec.Raw])
_ROWS: Final = decoder_of(list[msgspec.Raw])
_NOTHING: Final = object()


class ReplySource:
    """The bytes of one reply."""

    __slots__ = ("_body", "_keys", "_rows")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._keys: dict[str, msgspec.Raw] | None = None
        self._rows: dict[str, list[msgspec.Raw]] = {}

    def at(self, path: ReplyPath) -> Any:
        """The plain value at ``path``. The whole reply is returned without code and message."""
        if not path:
            return self.without(ENVELOPE)
        if len(path) == 1:
            return untyped(self._split()[path[0]])
        key, number = path
        if key not in self._rows:
            self._rows[key] = _ROWS.decode(self._split()[key])
        return untyped(self._rows[key][number])

    def without(self, keys: frozenset[str]) -> dict[str, Any]:
        """The reply as plain values, without some of its keys."""
        return {key: untyped(raw) for key, raw in self._split().items() if key not in keys}

    def _split(self) -> dict[str, msgspec.Raw]:
        if self._keys is None:
            try:
                self._keys = _KEYS.decode(self._body)
            except UNDECODABLE:
                self._keys = _KEYS.decode(repaired(self._body))
        return self._keys


def undescribed(record: msgspec.Struct, sent: dict[str, Any]) -> dict[str, Any]:
    """The values in ``sent`` that no field of ``record`` shows."""
    fields = fields_of(type(record))
    extra: dict[str, Any] = {}
    for name, value in sent.items():
        field = fields.get(name)
        if field is None:
            extra[name] = value
            continue
        rest = _undescribed_in(getattr(record, field.attribute), value, field.shape)
        if rest is not _NOTHING:
            extra[name] = rest
    return extra


def _undescribed_in(shown: Any, sent: Any, shape: Shape) -> Any:
    if shown is None or shown == "":  # a blank, or an original that did not fit
        return _NOTHING if is_blank(sent) else sent
    if shape.struct is not None and isinstance(shown, msgspec.Struct):
        if not is_object(sent):  # an empty part took its place in a list
            return _NOTHING if is_blank(sent) else sent
        return undescribed(shown, sent) or _NOTHING
    if shape.element is not None and is_array(sent):
        rests = [
            _undescribed_in(one, original, shape.element)
            for one, original in zip(shown, sent, strict=True)
        ]
        if any(rest is not _NOTHING for rest in rests):
            return [{} if rest is _NOTHING else rest for rest in rests]
    return _NOTHING
