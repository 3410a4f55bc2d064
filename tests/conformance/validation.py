"""Validate a request against its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from tests.conformance.official import Document, Json, Parameter, Schema
from tests.conformance.patches import Patches
from tests.conformance.samples import is_id, kind_of

_TEXTS: Final = {
    "integer": re.compile(r"-?\d+"),
    "number": re.compile(r"-?\d+(\.\d+)?"),
    "boolean": re.compile(r"true|false"),
}


class Validator:
    """Validates one request and yields its faults."""

    def __init__(self, document: Document, patches: Patches) -> None:
        self._document: Final = document
        self._patches: Final = patches

    def body(self, schema: Schema, value: Json, path: str = "body") -> Iterator[str]:
        whole = self._document.follow(schema)
        kind = kind_of(whole)
        if kind == "object":
            yield from self._object(whole, value, path)
        elif kind == "array":
            yield from self._array(whole, value, path)
        elif kind:
            yield from self._scalar(whole, kind, value, path)

    def _object(self, whole: Schema, value: Json, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{path} is {value!r}, and described as an object"
            return
        properties: dict[str, Any] = whole.get("properties") or {}
        for name in whole.get("required") or ():
            if name in properties and name not in value:
                if self._document.follow(properties[name]).get("readOnly"):
                    continue
                yield f"{path}.{name} is required and not sent"
        for name, each in value.items():
            if name not in properties:
                if properties:
                    yield f"{path}.{name} is sent and not described"
                continue
            yield from self.body(properties[name], each, f"{path}.{name}")

    def _array(self, whole: Schema, value: Json, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path} is {value!r}, and described as a list"
            return
        for each in value:
            yield from self.body(whole.get("items") or {}, each, f"{path}[]")

    def _scalar(self, whole: Schema, kind: str, value: Json, path: str) -> Iterator[str]:
        found = json_kind(value)
        if found != kind and not (kind == "number" and found == "integer"):
            patch = _patch(kind, found, path)
            if patch is None:
                yield f"{path} is {value!r}, and described as {kind}"
                return
            self._patches.use(patch)
        if isinstance(value, str):
            yield from self._text(whole, value, path)

    def query(self, parameter: Parameter, text: str) -> Iterator[str]:
        """A query parameter, which is sent as text."""
        kind = kind_of(parameter.schema)
        pattern = _TEXTS.get(kind)
        path = f"query {parameter.name}"
        if pattern is not None and not pattern.fullmatch(text):
            if not is_id(parameter.name):
                yield f"{path} is {text!r}, and described as {kind}"
                return
            self._patches.use("id is no number")
        yield from self._text(parameter.schema, text, path)

    def _text(self, schema: Schema, text: str, path: str) -> Iterator[str]:
        longest = schema.get("maxLength")
        if longest is not None and len(text) > longest:
            yield f"{path} is longer than {longest}"
        allowed = [str(each) for each in schema.get("enum") or ()]
        if not allowed or text in allowed:
            return
        if f"<code>{text}</code>" in str(schema.get("description", "")):
            self._patches.use("allowed in prose")
        else:
            yield f"{path} is {text!r}, which is none of {allowed}"


def _patch(kind: str, found: str, path: str) -> str | None:
    if is_id(path.removesuffix("[]")) and found in ("string", "integer"):
        return "id is no number"
    return {
        ("string", "integer"): "number described as text",
        ("string", "number"): "number described as text",
        ("string", "boolean"): "truth described as text",
        ("integer", "string"): "text described as number",
        ("number", "string"): "text described as number",
        ("integer", "number"): "example: of another type",
    }.get((kind, found))


def json_kind(value: Json) -> str:
    """The JSON Schema type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"
