"""Values from the description's examples, for replies and for requests.

A reply keeps its examples as they are, including wrong types, because decoding must handle them. A
request is first repaired to match its schema, as a caller would write it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tests.conformance.official import Document, Json, Schema
from tests.conformance.patches import Patches

_DEEPEST: Final = 12
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?")
MIDNIGHT: Final = re.compile(r"\d{4}-\d\d-\d\dT00:00:00(\.000)?Z")
ID: Final = "460000000099017"
IS_AMOUNT: Final = re.compile(r"(amount|balance|discount|percentage|price|quantity|rate|total)$")
_IS_TRUTH: Final = re.compile(r"(allow|can|has|is|should)_")
_IS_ID: Final = re.compile(r"(^|_)ids?$", re.IGNORECASE)


def is_id(name: str) -> bool:
    return bool(_IS_ID.search(name))


def kind_of(schema: Schema) -> str:
    """The JSON type of a schema, or "" if it has none."""
    kind = schema.get("type", "")
    if schema.get("properties"):
        return "object"
    if "items" in schema and kind != "object":
        return "array"
    return str(kind)


def is_blank(value: Json) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def reply(document: Document, schema: Schema, name: str = "", depth: int = 0) -> Json:
    """A reply made of its examples."""
    whole = document.follow(schema)
    kind = kind_of(whole)
    if whole.get("properties") and depth < _DEEPEST:
        return {
            key: reply(document, each, str(key), depth + 1)
            for key, each in whole["properties"].items()
        }
    if "example" in whole:
        return plain(whole["example"])
    if kind == "array" and depth < _DEEPEST and _says_more(document.follow(whole.get("items"))):
        return [reply(document, whole["items"], name, depth + 1)]
    return stand_in(whole, name)


class Requests:
    """Makes bodies of requests; examples of the wrong type are repaired."""

    def __init__(self, document: Document, patches: Patches) -> None:
        self._document: Final = document
        self._patches: Final = patches

    def body(self, schema: Schema, name: str = "", depth: int = 0) -> Json:
        whole = self._document.follow(schema)
        kind = kind_of(whole)
        if whole.get("properties"):
            return {
                str(key): self.body(each, str(key), depth + 1)
                for key, each in whole["properties"].items()
                if depth < _DEEPEST and _is_sent(self._document.follow(each))
            }
        if kind == "array":
            return self._list(whole, name, depth)
        return (
            self.repaired(plain(whole["example"]), whole, name)
            if "example" in whole
            else (self._none(whole, name))
        )

    def parameter(self, example: Any) -> Json:
        """A parameter's example, as text."""
        value = plain(example)
        return self._day(value) if isinstance(value, str) else value

    def _list(self, whole: Schema, name: str, depth: int) -> Json:
        items = self._document.follow(whole.get("items"))
        example = plain(whole.get("example"))
        if isinstance(example, list):
            return [self.repaired(each, items, name) for each in example]
        if not is_blank(example) and kind_of(items) == "object":
            self._patches.use("example: of another type")
        elif not is_blank(example):
            self._patches.use("example: one for a list")
            return [self.repaired(example, items, name)]
        return [self.body(items, name, depth + 1)]

    def _none(self, whole: Schema, name: str) -> Json:
        self._patches.use("example: none")
        return stand_in(whole, name)

    def _day(self, text: str) -> str:
        """A date that Zoho's tools turned into a time."""
        if not MIDNIGHT.fullmatch(text):
            return text
        self._patches.use("example: day as a moment")
        return text[:10]

    def repaired(self, value: Json, schema: Schema, name: str) -> Json:
        """``value`` in the type of its schema."""
        kind = kind_of(schema)
        if kind == "string" and value is not None:
            if isinstance(value, str):
                return self._day(value)
            if not isinstance(value, (dict, list)):
                self._patches.use("example: of another type")
                return text_of(value)
        if kind in ("", "object", "array") or _is(value, kind):
            return value
        if is_blank(value):
            self._patches.use("example: blank")
            return stand_in(schema, name)
        self._patches.use("example: of another type")
        if is_id(name):
            return text_of(value)
        if kind in ("integer", "number") and isinstance(value, str):
            number = number_in(value)
            if number is not None:
                return int(number) if number == number.to_integral_value() else number
        if kind == "integer" and isinstance(value, Decimal):
            return value
        if kind == "boolean" and str(value).strip(" ;").lower() in ("true", "false"):
            return str(value).strip(" ;").lower() == "true"
        return stand_in(schema, name)


def stand_in(schema: Schema, name: str) -> Json:
    """A value for a schema without an example."""
    if schema.get("enum"):
        return plain(schema["enum"][0])
    kind = kind_of(schema)
    if schema.get("format") == "date" or name == "date" or name.endswith("_date"):
        return "2026-01-31"
    if kind == "string" and (schema.get("format") == "date-time" or name.endswith("_time")):
        return "2026-01-31T10:20:30+0530"
    if is_id(name) and kind not in ("array", "object"):
        return ID
    if kind == "string" and IS_AMOUNT.search(name):
        return "7.25"
    if kind == "string" and _IS_TRUTH.match(name):
        return "true"
    values: Mapping[str, Any] = {"integer": 7, "number": Decimal("7.25"), "boolean": True}
    empty: Mapping[str, Any] = {"object": {}, "array": []}
    text = stand_in_text(name)[: schema.get("maxLength")]
    return values.get(kind, empty.get(kind, text))


def stand_in_text(name: str) -> str:
    """A text for a schema without an example."""
    return f"any {name}".strip()


def _says_more(items: Schema) -> bool:
    """Whether a schema describes more of a list's elements than their type."""
    return bool(items.keys() & {"properties", "example", "enum", "items"})


def number_in(text: str) -> Decimal | None:
    """The number in ``text``, with or without a percent sign."""
    try:
        return Decimal(text.strip().removesuffix("%").replace(",", ""))
    except InvalidOperation:
        return None


def text_of(value: Json) -> str:
    """A plain value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def plain(value: Any) -> Json:
    """A YAML value in the types of JSON."""
    if isinstance(value, Mapping):
        return {text_of(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def _is_sent(schema: Schema) -> bool:
    return not schema.get("readOnly") and schema.get("format") != "binary"


def _is(value: Json, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int):
        return kind in ("integer", "number")
    if isinstance(value, Decimal):
        return kind == "number"
    return isinstance(value, str) and kind == "string"
