"""A slow, independent reader of JSON, with which the fuzz targets judge the package.

It follows the grammar of RFC 8259 one byte at a time and shares no code with msgspec or `json`.
Broken characters in strings (invalid UTF-8, halves of surrogate pairs) become U+FFFD, as the
package promises. Numbers are `Decimal`, or their text if the exponent is beyond a `Decimal`.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

#: Deeper documents are not judged: each reader has its own limit.
DEEPEST: Final = 60

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPES: Final = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}


class NotJson(ValueError):
    """The text is not JSON."""


class NotJudged(Exception):
    """The text may be JSON, but its meaning differs among readers: deep, or with repeated keys."""


def read(body: bytes) -> Any:
    """Return the value in ``body``. Raises `NotJson` and `NotJudged`."""
    reader = _Reader(body.decode("utf-8", "replace"))
    value = reader.value(0)
    reader.skip()
    if reader.at != len(reader.text):
        raise NotJson("more than one value")
    if reader.has_repeated_keys:
        raise NotJudged("repeated keys")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.has_repeated_keys = False

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def take(self, wanted: str) -> bool:
        self.skip()
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            raise NotJson(f"no {wanted}")

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise NotJudged("deep")
        if self.take("{"):
            return self.members(depth)
        if self.take("["):
            return self.elements(depth)
        if self.take('"'):
            return self.string()
        for word, meaning in _WORDS.items():
            if self.take(word):
                return meaning
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise NotJson("no value")
        self.at = number.end()
        try:
            return Decimal(number[0])
        except InvalidOperation:
            return number[0]

    def members(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.take("}"):
            return found
        while True:
            self.need('"')
            name = self.string()
            self.need(":")
            self.has_repeated_keys |= name in found
            found[name] = self.value(depth + 1)
            if self.take("}"):
                return found
            self.need(",")

    def elements(self, depth: int) -> list[Any]:
        found: list[Any] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if self.take("]"):
                return found
            self.need(",")

    def string(self) -> str:
        units: list[str] = []
        while True:
            if self.at >= len(self.text):
                raise NotJson("a string without an end")
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return _joined(units)
            if character < " ":
                raise NotJson("a control character in a string")
            units.append(self.escape() if character == "\\" else character)

    def escape(self) -> str:
        character = self.text[self.at : self.at + 1]
        self.at += 1
        if character == "u":
            digits = self.text[self.at : self.at + 4]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise NotJson("a wrong escape")
            self.at += 4
            return chr(int(digits, 16))
        if character not in _ESCAPES:
            raise NotJson("a wrong escape")
        return _ESCAPES[character]


def _joined(units: list[str]) -> str:
    """The text of ``units``: surrogate pairs are characters, single halves are U+FFFD."""
    text: list[str] = []
    for unit in units:
        if text and "\udc00" <= unit <= "\udfff" and "\ud800" <= text[-1] <= "\udbff":
            high, low = ord(text.pop()) - 0xD800, ord(unit) - 0xDC00
            text.append(chr(0x10000 + high * 0x400 + low))
        else:
            text.append(unit)
    return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text)
