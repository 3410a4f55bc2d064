"""The envelope that every JSON reply comes in: a code, a message, and the value beside them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.decoders import decoder_of
from zoho_async.wire.text import UNDECODABLE, Unreadable, untyped_object

__all__ = ["Envelope", "Unreadable", "read_envelope"]


class Envelope(msgspec.Struct, frozen=True):
    """Zoho's verdict on a call.

    ``code`` is 0 for success and ``None`` where the reply holds no number of that name, as those of
    the token endpoint do. ``error_info`` is whatever Zoho sent under that name.
    """

    code: int | None
    message: str
    error_info: Any = None


class _Head(msgspec.Struct):
    code: int | str | None = None
    message: str = ""
    error_info: Any = None


_HEAD: Final = decoder_of(_Head, float_hook=Decimal)


def read_envelope(body: bytes) -> Envelope:
    """The envelope of ``body``, all of whose text is checked on the way. Raises `Unreadable`."""
    try:
        head = _HEAD.decode(body)
    except UNDECODABLE:
        return _of_anything(untyped_object(body))
    return Envelope(_code(head.code), head.message, head.error_info)


def _of_anything(reply: dict[str, Any]) -> Envelope:
    message = reply.get("message")
    return Envelope(
        _code(reply.get("code")),
        message if isinstance(message, str) else "",
        reply.get("error_info"),
    )


def _code(sent: object) -> int | None:
    if isinstance(sent, bool):
        return None
    if isinstance(sent, int):
        return sent
    if isinstance(sent, str) and sent.strip().lstrip("+-").isdecimal():
        return int(sent) if len(sent) < 20 else None
    return None
