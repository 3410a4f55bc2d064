"""The envelope of every JSON reply: a code, a message and the value."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.wire.text import UNDECODABLE, Unreadable, untyped_object

__all__ = ["Envelope", "Unreadable", "read_envelope"]


class Envelope(msgspec.Struct, frozen=True):
    """The result of a call in Zoho's words.

    ``code`` is 0 for success. It is ``None`` if the reply has no numeric code, as at the token
    endpoint. ``sent_code`` is the code as sent, or ``None``. ``error_info`` and ``error`` are the
    values that Zoho sent under these names.
    """

    code: int | None
    message: str
    error_info: Any = None
    sent_code: Any = None
    error: Any = None


class _Head(msgspec.Struct):
    code: int | str | None = None
    message: str = ""
    error_info: Any = None
    error: Any = None


#: A code as text. Zoho's codes have at most six digits.
_NUMBER: Final = re.compile(r"([+-]?[0-9]{1,18})(?:\.0+)?")
_HEAD: Final = decoder_of(_Head, float_hook=Decimal)


def read_envelope(body: bytes) -> Envelope:
    """Read the envelope of ``body`` and check all its text. Raises `Unreadable`."""
    try:
        head = _HEAD.decode(body)
    except UNDECODABLE:
        return _of_anything(untyped_object(body))
    return Envelope(_code(head.code), head.message, head.error_info, head.code, head.error)


def _of_anything(reply: dict[str, Any]) -> Envelope:
    message = reply.get("message")
    return Envelope(
        _code(reply.get("code")),
        message if isinstance(message, str) else "",
        reply.get("error_info"),
        reply.get("code"),
        reply.get("error"),
    )


def _code(sent: object) -> int | None:
    if isinstance(sent, bool):
        return None
    if isinstance(sent, int):
        return sent
    if isinstance(sent, Decimal) and sent.is_finite() and abs(sent) < 10**18:
        return int(sent) if sent == sent.to_integral_value() else None
    if isinstance(sent, str) and (number := _NUMBER.fullmatch(sent.strip())):
        return int(number[1])
    return None
