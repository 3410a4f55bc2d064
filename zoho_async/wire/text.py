"""The text of a reply: replace blanks, repair damaged strings, decode without types.

Blanks
------
Zoho writes ``""`` for a missing value of any type. The bytes ``:""`` cannot occur inside a JSON
string: a quote inside is escaped, and the quote that ends a string is not followed by another. So
blanks are replaced by ``null`` before decoding, by splitting and joining the text. This costs a
third of the decoding, and no field has to handle blanks.

In broken JSON the bytes can be anywhere, and taking away two quotes could make it valid, with
another meaning. So a line break is written before each ``null``. JSON allows it there, but not in a
string: broken JSON stays broken.

Damage
------
Damage inside strings is repaired: invalid UTF-8, and halves of surrogate pairs, which servers leave
if they cut a text between two UTF-16 units. One such character must not cost a page of two hundred
rows. A reply that is cut short, or is not JSON, is `Unreadable`.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn, TypeGuard

import msgspec

from zoho_async._msgspec import decoder_of


class Unreadable(ValueError):
    """The body is not a complete JSON object. The message gives the reason, never the body."""


class AnotherRecord(Unreadable):
    """The reply has another record than the requested one. It may belong to another call."""


#: The errors of msgspec's decoders for broken text and for numbers that are too large.
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError)

_UNTYPED: Final = decoder_of(Any, float_hook=Decimal)
#: Bytes that are split at a time. Splitting a whole page at once would allocate and free system
#: memory for each page and cause half of all page faults. Text can be split after any comma,
#: because a blank contains none.
_STRETCH: Final = 1 << 15

_NULL: Final = b":\nnull"
_SPACED_BLANK: Final = re.compile(rb':[ \t\r\n]*" *"')
#: Compiled on use, because it is rarely needed and takes a millisecond.
_ESCAPE: Final = (
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def without_blanks(body: bytes) -> bytes:
    """``body`` with ``null`` for each ``""`` that is the value of a key."""
    parts: list[bytes] = []
    start = 0
    while start < len(body):
        end = body.find(b",", start + _STRETCH) + 1 or len(body)
        # Searching from the right is faster, because the first byte of the pattern is rare.
        parts.append(_NULL.join(body[start:end].rsplit(b':""')))
        start = end
    text = b"".join(parts)
    if text.rfind(b':" "') >= 0:
        text = text.replace(b':" "', _NULL)
    colon = body.find(b":")
    if body[colon + 1 : colon + 2].isspace():  # formatted with spaces
        text = _SPACED_BLANK.sub(_NULL, text)
    return text


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a plain value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a plain value is a JSON array."""
    return isinstance(value, list)


def is_blank(value: object) -> bool:
    """Whether ``value`` is blank: ``None``, or a text of nothing but spaces."""
    return value is None or (isinstance(value, str) and not value.strip(" "))


def repaired(body: bytes) -> bytes:
    """``body`` with a replacement character for each invalid character in its strings."""
    text = body.decode("utf-8", "replace")
    return re.sub(_ESCAPE, lambda e: r"\ufffd" if e[1] else e[0], text).encode()


def untyped(body: bytes | msgspec.Raw) -> Any:
    """Decode ``body`` to plain values, with ``int`` and `Decimal`. Raises `Unreadable`."""
    try:
        return _UNTYPED.decode(body)
    except UNDECODABLE:
        return _read_loosely(bytes(body))


def untyped_object(body: bytes) -> dict[str, Any]:
    """Decode ``body`` to an object of plain values. Raises `Unreadable` for anything else."""
    value = untyped(body)
    if not is_object(value):
        raise Unreadable("the body is JSON, but not an object")
    return value


def _read_loosely(body: bytes) -> Any:
    """`untyped` for text with damaged strings, or numbers that only Python supports."""
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
    except InvalidOperation:  # the exponent is too large, so keep the text
        return text


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts to an int
        return Decimal(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
