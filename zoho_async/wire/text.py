"""The text of a reply: what is blank in it, what is broken, and what it says without types.

Zoho writes ``""`` where a value is missing, whatever its type. In JSON text the bytes ``:""``
cannot stand inside a string (a quote in there is escaped, and after the quote that ends a string
comes no other quote), so blanks become ``null`` before anything is decoded, by cutting and joining
the text: a third of the price of decoding, and no field has to know of blanks.

Text that is not quite JSON is mended where the damage is inside a string: bytes that are no UTF-8,
and halves of surrogate pairs, which servers leave when they cut a text between two UTF-16 units.
One such character must not cost a page of two hundred rows. What is cut short, or no JSON at all,
is `Unreadable`.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn, TypeGuard

import msgspec

from zoho_async._msgspec import decoder_of


class Unreadable(ValueError):
    """The body is no JSON object, or not all of one. The message says which, never the body."""


class AnotherRecord(Unreadable):
    """The reply holds another record than the one asked for: it may answer another call."""


#: What a decoder of msgspec can raise at text that is broken, or holds numbers beyond its means.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError)

_UNTYPED: Final = decoder_of(Any, float_hook=Decimal)
#: How much is cut up at a time. The pieces of a whole page would take memory from the system and
#: give it back for each page, half of the page faults there are; these fit where the last were.
#: No blank holds a comma, so text may be parted after any.
_STRETCH: Final = 1 << 15

_SPACED_BLANK: Final = re.compile(rb':[ \t\r\n]*" *"')
#: Compiled where it is needed, which is hardly ever, and takes a millisecond.
_ESCAPE: Final = (
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def without_blanks(body: bytes) -> bytes:
    """``body`` with ``null`` for every ``""`` that stands as the value of a key."""
    parts: list[bytes] = []
    start = 0
    while start < len(body):
        end = body.find(b",", start + _STRETCH) + 1 or len(body)
        # From the right: a search for a rare first byte skips more than one for a common last.
        parts.append(b":null".join(body[start:end].rsplit(b':""')))
        start = end
    text = b"".join(parts)
    if text.rfind(b':" "') >= 0:
        text = text.replace(b':" "', b":null")
    colon = body.find(b":")
    if body[colon + 1 : colon + 2].isspace():  # printed with spaces, then everywhere
        text = _SPACED_BLANK.sub(b":null", text)
    return text


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a plain value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a plain value is a JSON array."""
    return isinstance(value, list)


def is_blank(value: object) -> bool:
    """Whether Zoho means "nothing" by ``value``."""
    return value is None or (isinstance(value, str) and not value.strip(" "))


def repaired(body: bytes) -> bytes:
    """``body`` with a replacement character for everything in its strings that is no character."""
    text = body.decode("utf-8", "replace")
    return re.sub(_ESCAPE, lambda e: r"\ufffd" if e[1] else e[0], text).encode()


def untyped(body: bytes | msgspec.Raw) -> Any:
    """``body`` as plain values: numbers are ``int`` or `Decimal`. Raises `Unreadable`."""
    try:
        return _UNTYPED.decode(body)
    except UNDECODABLE:
        return _read_loosely(bytes(body))


def untyped_object(body: bytes) -> dict[str, Any]:
    """``body`` as plain values. Raises `Unreadable` if it is anything but an object."""
    value = untyped(body)
    if not is_object(value):
        raise Unreadable("the body is JSON, but no object")
    return value


def _read_loosely(body: bytes) -> Any:
    """`untyped` for text with damaged strings, or numbers that only Python can hold."""
    start = body.lstrip()
    if not start:
        raise Unreadable("the body is empty")
    if start.startswith(b"<"):
        raise Unreadable("the body is HTML or XML, not JSON")
    try:
        return json.loads(
            repaired(body), parse_float=_number, parse_int=_integer, parse_constant=_refuse
        )
    except RecursionError:
        raise Unreadable("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated"):
            raise Unreadable("the JSON is cut short") from None
        raise Unreadable("the body is not JSON") from None
    except ValueError:
        raise Unreadable("the body is not JSON") from None


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond every number: its text is all there is
        return text


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:  # more digits than Python turns into an int
        return Decimal(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
