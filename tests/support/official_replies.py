"""Check the sandbox's replies against Zoho's OpenAPI files.

The packed description, which the sandbox uses, is not consulted. A reply is valid if each value has
the described type and is one of the described values, if required fields are present, and if the
envelope has the described keys. Known differences are forgiven by name.

Zoho Invoice has no file. Its resources are those of Books under other paths. A reply of Invoice is
checked against the Books file of the same call (Inventory's for two calls), and against Invoice's
page by `page_replies`. That proves that the reply matches Books as far as both have the field. It
cannot prove that Invoice has every field of Books and no others; without documentation that
remains unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from tests.conformance.case import JSON
from tests.conformance.corrections import Correction, corrected
from tests.conformance.functions import Function
from tests.conformance.official import Described, Json, Schema, files, operations
from tests.conformance.patches import Patches
from tests.conformance.samples import is_id, kind_of
from tests.conformance.validation import json_kind
from tests.support import page_replies
from zoho_async.sandbox.replies import ApiReply

#: Patches by the described kind and the sent kind.
_PATCHES: Final = {
    ("string", "integer"): "number described as text",
    ("string", "number"): "number described as text",
    ("string", "boolean"): "truth described as text",
    ("integer", "string"): "text described as number",
    ("number", "string"): "text described as number",
    ("integer", "number"): "amount described as a count",
    ("object", "array"): "rows as one object",
    ("array", "object"): "a record as a list",
}
#: Envelope keys that need no description.
_BESIDE: Final = {"page_context": "paging not declared", "data": "reply: outcomes"}
#: The products whose files describe the calls of a product, in order of priority.
_FILES_OF: Final = {"invoice": ("books", "inventory")}
#: Example values that the description of the reply refuses.
_ECHOED: Final = {
    "invoice.custom_fields[]": "example: of another type",
    "tag.entities[].entity_name": "example: not of the allowed values",
    "task.custom_fields[].value": "example: of another type",
    "tasks[].custom_fields[].value": "example: of another type",
}
_DECODER: Final = msgspec.json.Decoder[Any](float_hook=Decimal)


@functools.cache
def described(product: str) -> Mapping[tuple[str, str], Sequence[Described]]:
    """The descriptions of each call of a product; several files can describe one."""
    found: dict[tuple[str, str], list[Described]] = {}
    for of, stem in files():
        if of == product:
            for each in operations(of, stem):
                found.setdefault(each.call, []).append(each)
    return found


def describing(function: Function) -> Sequence[Described]:
    """The descriptions of a function's call."""
    product = function.name.partition(".")[0]
    found = (described(each).get(function.key) for each in _FILES_OF.get(product, (product,)))
    return next((each for each in found if each), ())


def problems(function: Function, replies: Sequence[ApiReply], patches: Patches) -> list[str]:
    """The faults of replies to a function, by the description that fits best."""
    files = describing(function)
    judged = [_Judged(function, each, replies) for each in files]
    best = min(judged, key=lambda each: (len(each.found), each.patches.used.total()), default=None)
    if best is None:
        return []
    patches.used.update(best.patches.used)
    return best.found


class _Judged:
    """Checks replies against one description."""

    def __init__(
        self, function: Function, described: Described, replies: Sequence[ApiReply]
    ) -> None:
        self.patches: Final = Patches()
        self._function: Final = function
        self._described: Final = described
        self._document: Final = described.document
        self._correction: Final = Correction(described)
        self.found: Final = [each for reply in replies for each in self._reply(reply)]

    def _reply(self, reply: ApiReply) -> Iterator[str]:
        if reply.status != self._described.status:
            changed = (self._function.method, reply.status) == ("PUT", 200)
            patch = "reply: changed is 200" if changed else None
            patch = "reply: made is 201" if reply.status == 201 else patch
            problem = f"the status is {reply.status}, not {self._described.status}"
            yield from _used(self.patches, patch, problem)
        schema = self._described.answers.get(JSON)
        if schema is None or not reply.content().startswith(b"{"):
            return
        value = _DECODER.decode(reply.content())
        properties = self._document.follow(schema).get("properties") or {}
        for name in properties.keys() - value.keys():
            patch = "page_context with one record" if name == "page_context" else None
            yield from self._forgiven(patch, f"{name} is described and not sent")
        for name in value.keys() - properties.keys() - {"code", "message"}:
            on_page = "reply: as on the page" if page_replies.has(self._function, name) else None
            patch = _BESIDE.get(name, on_page)
            yield from self._forgiven(patch, f"{name} is sent and not described")
        for name in value.keys() & properties.keys():
            yield from self._value(properties[name], value[name], name)

    def _value(self, schema: Schema, value: Json, path: str) -> Iterator[str]:
        whole = self._document.follow(schema)
        kind, found = kind_of(whole), json_kind(value)
        if kind == found == "object":
            yield from self._object(whole, value, path)
        elif kind == found == "array":
            for each in value:
                yield from self._value(whole.get("items") or {}, each, f"{path}[]")
        elif kind and kind != found and not _is_whole(kind, value):
            problem = f"{path} is {value!r:.60}, and described as {kind}"
            yield from _used(self.patches, self._patch(kind, found, value, path), problem)
        elif value != "" and whole.get("enum") and str(value) not in map(str, whole["enum"]):
            patch = "reply: a count of nothing" if value == 0 else _ECHOED.get(path)
            problem = f"{path} is {value!r:.60}, which is none of {whole['enum']}"
            yield from _used(self.patches, patch, problem)

    def _object(self, whole: Schema, value: Mapping[str, Json], path: str) -> Iterator[str]:
        properties = whole.get("properties") or {}
        for name in whole.get("required") or ():
            if name in properties and name not in value:
                yield f"{path}.{name} is required and not sent"
        for name, each in value.items():
            if name in properties:
                yield from self._value(properties[name], each, f"{path}.{name}")
            elif properties:
                self.patches.use("reply: beyond the fields")

    def _forgiven(self, patch: str | None, problem: str) -> Iterator[str]:
        """Report a difference in the envelope, unless a correction or a patch explains it."""
        if patch is None and self._correction.answer:
            patch = "correction: answer"
        yield from _used(self.patches, patch, problem)

    def _patch(self, kind: str, found: str, value: Json, path: str) -> str | None:
        names = [each.removesuffix("[]") for each in path.split(".")]
        name = names[-1]
        if value == "":
            return "reply: blank is nothing"
        if is_id(name) and found in ("string", "integer"):
            return "id is no number"
        if any(corrected(self._function.struct, each) for each in names):
            return "correction: type"
        return _ECHOED.get(path) or _PATCHES.get((kind, found))


def _used(patches: Patches, patch: str | None, problem: str) -> Iterator[str]:
    if patch is None:
        yield problem
    else:
        patches.use(patch)


def _is_whole(kind: str, value: Json) -> bool:
    """Whether a number is an integer in JSON Schema (7.0 is), or any number."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return False
    return kind == "number" or (kind == "integer" and value == int(value))
