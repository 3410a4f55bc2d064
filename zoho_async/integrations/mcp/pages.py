"""Results in parts that fit into a model's context, with a cursor for the next part.

Rows are values of JSON. A part has as many rows as fit; a row that is too large is a text that is
cut. The rest stays in memory under a cursor. A cursor can be used again, so that a repeated request
gets the same part; the oldest ones are forgotten.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.wire.text import is_array, is_object

#: The size of a part in characters of JSON, about 6,000 tokens.
PART: Final = 20_000
_REMEMBERED: Final = 64
_HIDDEN: Final = "(hidden)"
#: Names of fields whose values are secrets.
_SECRET: Final = re.compile(
    r"secret|passw|api_?key|(?:auth|access|refresh|bearer|security)_?token"
    r"|authorization|private_?key|encryption_?key|credential",
    re.IGNORECASE,
)


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to show. ``more`` fetches those after them; None if there are no others.

    ``head`` is shown with each part.
    """

    rows: Sequence[Any]
    head: Mapping[str, Any] = {}
    more: Callable[[], Awaitable[Rows]] | None = None


class _Rest(msgspec.Struct, frozen=True):
    """What follows a part: the rest of a row as text, and the rows after it."""

    rows: Rows
    text: str = ""


class Parts:
    """Cuts results, and remembers what was cut off."""

    def __init__(self, size: int = PART) -> None:
        self._size: Final = size
        self._rests: Final[OrderedDict[str, _Rest]] = OrderedDict()

    def first(self, rows: Rows) -> dict[str, Any]:
        """Return the first part of ``rows``: ``rows``, and a ``cursor`` if there are others."""
        return self._part(_Rest(rows))

    async def next(self, cursor: str) -> dict[str, Any]:
        """Return the part after ``cursor``.

        Raises `ConfigurationError` for an unknown cursor, and what the source of the rows raises.
        """
        if cursor not in self._rests:
            raise ConfigurationError("unknown or forgotten cursor: make the first request again")
        self._rests.move_to_end(cursor)
        rest = self._rests[cursor]
        if not rest.text and not rest.rows.rows and rest.rows.more is not None:
            rest = _Rest(await rest.rows.more())
        return self._part(rest)

    def _part(self, rest: _Rest) -> dict[str, Any]:
        head = dict(rest.rows.head)
        if rest.text:
            return self._text_part(head, rest)
        shown: list[Any] = []
        left = self._size
        for row in rest.rows.rows:
            text = msgspec.json.encode(row).decode()
            if len(text) > left:
                break
            left -= len(text)
            shown.append(row)
        others = msgspec.structs.replace(rest.rows, rows=rest.rows.rows[len(shown) :])
        if not shown and others.rows:
            text = msgspec.json.encode(others.rows[0]).decode()
            following = msgspec.structs.replace(others, rows=others.rows[1:])
            return self._text_part(head, _Rest(following, text))
        return {**head, "rows": shown, **self._cursor(_Rest(others))}

    def _text_part(self, head: dict[str, Any], rest: _Rest) -> dict[str, Any]:
        text, left = rest.text[: self._size], rest.text[self._size :]
        return {**head, "part_of_row": text, **self._cursor(_Rest(rest.rows, left))}

    def _cursor(self, rest: _Rest) -> dict[str, str]:
        if not rest.text and not rest.rows.rows and rest.rows.more is None:
            return {}
        cursor = secrets.token_hex(8)
        self._rests[cursor] = rest
        while len(self._rests) > _REMEMBERED:
            self._rests.popitem(last=False)
        return {"cursor": cursor}


def shown(value: Any, fields: Iterable[str] = (), *, hides: bool = True) -> Any:
    """Return a value of Zoho's as it is shown: exact numbers, and secrets hidden.

    ``fields`` are the only keys of an object that are kept; none means all. A decimal number that a
    double cannot hold is text. ``hides`` False is for what a model wrote itself: a person must see
    all of it before it is sent.
    """
    kept = set(fields)
    if kept and is_object(value):
        value = {name: each for name, each in value.items() if name in kept}
    return _plain(value, hides)


def _plain(value: Any, hides: bool) -> Any:
    if is_object(value):
        return {
            name: _HIDDEN if hides and each and _SECRET.search(str(name)) else _plain(each, hides)
            for name, each in value.items()
        }
    if is_array(value):
        return [_plain(each, hides) for each in value]
    if isinstance(value, Decimal):
        return _number(value)
    return value


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    double = float(value)
    return double if Decimal(repr(double)) == value else str(value)
