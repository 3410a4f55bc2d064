"""The server's side of a proof: compare the request with the expected one and answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from tests.conformance import samples
from tests.conformance.case import JSON, ORGANIZATION, Case
from tests.conformance.corrections import corrected
from tests.conformance.given import Given
from tests.conformance.official import Json
from tests.conformance.server import Answer, Received
from tests.conformance.validation import Validator
from zoho_async.operation import ListOperation
from zoho_async.wire import encode

_ENVELOPE: Final = frozenset({"code", "message", "page_context"})
_FORM: Final = "application/x-www-form-urlencoded"
FILE: Final = b"%PDF-1.4 the content of a document"


class Judgement:
    """Judges one request and answers it. ``reply`` is the answer as JSON."""

    def __init__(self, case: Case, given: Given) -> None:
        self._case: Final = case
        self._given: Final = given
        self._described: Final = case.described
        self._operation: Final = case.function.operation
        self._patches: Final = case.patches
        self._problems: Final = case.problems
        self.reply: Json = None

    def __call__(self, received: Received) -> Answer:
        """Answer ``received`` and add the faults of the request to the problems."""
        self._problems.extend(self._target(received))
        self._problems.extend(self._headers(received))
        if self._given.files:
            self._problems.extend(self._form(received))
        elif self._given.body is not msgspec.UNSET:
            self._problems.extend(self._body(received.headers.get("Content-Type", ""), received))
        elif received.body:
            self._problems.append(f"a body is sent: {received.body[:80]!r}")
        if self._case.accept != JSON:
            return self._document()
        if JSON not in self._described.answers:
            self._problems.append("the answer is described as a document, and read as JSON")
        self.reply = self._example_reply()
        return Answer(self._described.status, JSON, encode(self.reply))

    # -- the request ------------------------------------------------------------------------------

    def _target(self, received: Received) -> Iterator[str]:
        if received.method != self._described.method:
            yield f"{received.method} is sent"
        product = self._operation.product
        expected = product.base_path + self._given.path
        if unquote(received.path) != expected:
            yield f"the path is {received.path}, not {expected}"
        query, given = dict(received.query), dict(self._given.query)
        if len(query) != len(received.query):
            yield f"a parameter is sent twice: {received.query}"
        if product.organization_query and not self._operation.per_user:
            given[product.organization_query] = ORGANIZATION
        for name in sorted(query.keys() | given.keys()):
            if query.get(name) != given.get(name):
                yield f"query {name} is {query.get(name)!r}, not {given.get(name)!r}"

    def _headers(self, received: Received) -> Iterator[str]:
        product = self._operation.product
        expected = dict(self._given.headers)
        if product.organization_header and not self._operation.per_user:
            expected[product.organization_header] = ORGANIZATION
        for name, value in expected.items():
            if received.headers.get(name) != value:
                yield f"header {name} is {received.headers.get(name)!r}, not {value!r}"
        known = {name.lower() for name in expected}
        for name in received.headers:
            if name.lower().startswith("x-") and name.lower() not in known:
                yield f"header {name} is sent and in no description"
        if not received.headers.get("Authorization", "").startswith("Zoho-oauthtoken "):
            yield "no token is sent"

    def _form(self, received: Received) -> Iterator[str]:
        if received.files.keys() != self._given.files:
            yield f"files {sorted(received.files)}, not {sorted(self._given.files)}"
        fields = dict(received.fields)
        text = fields.pop("JSONString", None)
        if text is not None:
            self._patches.use("JSON in a form with a file")
            yield from self._body(JSON, msgspec.structs.replace(received, body=text.encode()))
        elif self._given.body is not msgspec.UNSET:
            yield "the body with the file is not sent"
        for name in sorted(fields.keys() | self._given.fields.keys()):
            if fields.get(name) != self._given.fields.get(name):
                was, given = fields.get(name), self._given.fields.get(name)
                yield f"form field {name} is {was!r}, not {given!r}"

    def _body(self, content_type: str, received: Received) -> Iterator[str]:
        text = received.body
        if self._case.correction.form:
            self._patches.use("correction: form")
            pairs = parse_qsl(text.decode())
            if content_type != _FORM or [name for name, _ in pairs] != [self._case.correction.form]:
                yield f"the body is sent as {content_type!r}, and not in the form that is corrected"
                return
            text = pairs[0][1].encode()
        elif content_type.partition(";")[0] != JSON:
            yield f"the body is sent as {content_type!r}"
        sent = json.loads(text, parse_float=Decimal)
        yield from _differences(sent, self._given.body, "body")
        if self._described.body is not None:
            validator = Validator(self._described.document, self._patches)
            for problem in validator.body(self._described.body, sent):
                if self._is_corrected(problem):
                    self._patches.use("correction: type")
                else:
                    yield problem

    def _is_corrected(self, problem: str) -> bool:
        """Whether the corrections change the type of a body field."""
        field = re.match(r"body\.(\w+)", problem)
        inputs = [getattr(each, "__name__", "") for each in self._case.function.types.values()]
        return field is not None and any(corrected(name, field[1]) for name in inputs)

    # -- the answer -------------------------------------------------------------------------------

    def _document(self) -> Answer:
        described, accept = self._described, self._case.accept
        kinds = [kind for kind in described.answers if kind != JSON]
        if JSON in described.answers and not kinds:
            if self._case.correction.answer:
                self._patches.use("correction: answer")
            elif self._case.has_forms:
                self._patches.use("a function for each form")
            elif self._case.properties(described.answers[JSON]).keys() <= {"code", "message"}:
                self._patches.use("document as code and message")
            else:
                self._problems.append("a document is asked for, and JSON described")
        kind = accept if "*" not in accept else (kinds or ["application/pdf"])[0]
        return Answer(200, kind.partition(",")[0].strip(), FILE)

    def _example_reply(self) -> Json:
        reply = self._described.reply_example
        if reply is msgspec.UNSET:
            schema = self._described.answers.get(JSON, {})
            reply = samples.reply(self._described.document, schema)
        if isinstance(reply, list) and reply:
            self._patches.use("example: of another type")
            reply = reply[0]
        if not isinstance(reply, dict):
            self._patches.use("example: none")
            reply = {"message": "success"}
        reply = dict(reply)
        if "code" in reply:
            reply["code"] = 0
        context = reply.get("page_context", {})
        if not isinstance(context, dict):
            self._patches.use("page_context in another shape")
            reply["page_context"] = context[0] if isinstance(context, list) and context else {}
        self._shape(reply)
        self._name(reply)
        return reply

    def _name(self, reply: dict[str, Json]) -> None:
        """Copy the ids of the request into the example record."""
        key, path = self._operation.key, self._operation.path
        record = reply.get(key) if key else reply
        asked = self._given.path.rpartition("/")[2]
        if not path.endswith("}") or not isinstance(record, dict):
            return
        name = path.rpartition("{")[2][:-1].replace("_", "")
        for field, value in record.items():
            if field.replace("_", "") == name and str(value) != asked:
                self._patches.use("example: of another record")
                reply.update({key: {**record, field: asked}} if key else {field: asked})

    def _shape(self, reply: dict[str, Json]) -> None:
        """Give the value under the operation's key the structure that Zoho really sends."""
        key = self._operation.key
        if not key:
            return
        if key not in reply and not self._rename(key, reply):
            self._problems.append(f"{key!r} is not in the reply, which has {', '.join(reply)}")
            return
        value = reply[key]
        if self._case.is_list and isinstance(value, dict):
            self._patches.use("rows as one object")
            reply[key] = [value]
        elif self._answers_a_record() and isinstance(value, list) and len(value) == 1:
            self._patches.use("a record as a list")
            reply[key] = value[0]

    def _rename(self, key: str, reply: dict[str, Json]) -> bool:
        """Move the value to its corrected place. Returns whether there is a correction."""
        rest = {name: reply.pop(name) for name in reply.keys() - _ENVELOPE}
        if key in self._case.correction.keys or (rest and self._case.correction.answer):
            self._patches.use("correction: answer")
        elif self._case.correction.answer:
            self._patches.use("correction: answer")
            rest = {key: [{}] if self._case.is_list else {}}
        elif key in self._case.others and not rest:
            self._patches.use("declared in another file")
            rest = {key: [{}] if self._case.is_list else {}}
        elif self._described.is_page and not rest:
            self._patches.use("the page is cut off")
        elif self._described.is_repeated:
            self._patches.use("described twice on the page")
        else:
            reply.update(rest)
            return False
        only = next(iter(rest.values())) if len(rest) == 1 else None
        reply[key] = only if isinstance(only, (dict, list)) else rest
        return True

    def _answers_a_record(self) -> bool:
        if isinstance(self._operation, ListOperation):
            return False
        result: object = self._operation.result
        return isinstance(result, type) and issubclass(result, msgspec.Struct)


def _differences(sent: Json, expected: Json, path: str) -> Iterator[str]:
    if isinstance(sent, dict) and isinstance(expected, dict):
        for name in sorted(sent.keys() | expected.keys()):
            place = f"{path}.{name}"
            if name not in sent:
                yield f"{place} is not sent, though {short(expected[name])} was given"
            elif name not in expected:
                yield f"{place} is sent, though it was not given"
            else:
                yield from _differences(sent[name], expected[name], place)
    elif isinstance(sent, list) and isinstance(expected, list) and len(sent) == len(expected):
        for one, other in zip(sent, expected, strict=True):
            yield from _differences(one, other, f"{path}[]")
    elif sent != expected or isinstance(sent, bool) != isinstance(expected, bool):
        yield f"{path} is sent as {short(sent)}, not {short(expected)}"


def short(value: Json) -> str:
    """Shorten a value for a message."""
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."
