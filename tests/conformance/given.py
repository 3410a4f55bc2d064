"""The arguments of a function and the request that they must make, from the same examples."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tests.conformance import samples
from tests.conformance.arguments import Arguments
from tests.conformance.case import Case
from tests.conformance.functions import Place
from tests.conformance.official import Json, Parameter
from tests.conformance.validation import Validator

_PAGING: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "response_option"})
_BY_SESSION: Final = frozenset(
    {
        "organization_id",
        "X-com-zoho-invoice-organizationid",
        "X-com-zoho-subscriptions-organizationid",
    }
)
_NOWHERE: Final = Place("", "")
_UNDECLARED: Final = Parameter(
    name="", place="query", schema={}, example=None, text="", required=False
)


class Given:
    """The arguments, and the request that they must make."""

    def __init__(self, case: Case) -> None:
        self._case: Final = case
        self._function: Final = case.function
        self._described: Final = case.described
        self._patches: Final = case.patches
        self._problems: Final = case.problems
        self._make: Final = Arguments(case.patches, case.problems, case.described.prose())
        self.arguments: Final[dict[str, Any]] = {}
        self.ids: Final[dict[int, str]] = {}
        self.query: Final[dict[str, str]] = {}
        self.headers: Final[dict[str, str]] = {}
        self.files: Final[set[str]] = set()
        self.fields: Final[dict[str, str]] = {}
        self.body: Json = msgspec.UNSET
        self._fill()

    @property
    def path(self) -> str:
        """The described path with its ids filled in."""
        parts: list[str] = []
        number = 0
        for part in self._described.path.split("/"):
            if part[:1] in ("{", "("):
                part, number = self.ids.get(number, "?"), number + 1
            parts.append(part)
        return "/".join(parts)

    def _fill(self) -> None:
        bodies: dict[str, str] = {}
        for name, place in self._function.places.items():
            if place.where == "path":
                self._give_id(name, int(place.name))
            elif place.where in ("query", "header"):
                self._give_parameter(name, place.where, place.name)
            elif place.where == "file":
                self._give_file(name, place.name)
            elif place.where == "form":
                self._give_field(name, place.name)
            else:
                bodies[name] = place.name
        self._give_bodies(bodies)
        form = self._case.properties(self._described.form).keys()
        for name in form - self.files - self.fields.keys() - self.query.keys():
            self._problems.append(f"{name} of the form is described, and cannot be given")
        for name, value in self._function.fixed.items():
            self._fix(name, value)
        for parameter in self._described.parameters:
            self._must_be_given(parameter)

    def _give_id(self, name: str, number: int) -> None:
        names = [part for part in self._described.path.split("/") if part[:1] in ("{", "(")]
        found = self._described.placed("path").get(names[number].strip("{}"))
        example = None if found is None else samples.plain(found.example)
        if samples.is_blank(example):
            self._patches.use("example: none")
            example = samples.ID if "id" in name else "any"
        argument, sent = self._make.of(self._function.types[name], example, name)
        self.arguments[name], self.ids[number] = argument, samples.text_of(sent)

    def _give_parameter(self, name: str, where: str, wire: str) -> None:
        placed = self._described.placed(where)
        parameter = placed.get(wire) or self._undeclared(wire, placed)
        requests = samples.Requests(self._described.document, self._patches)
        example = requests.parameter(parameter.example)
        annotation = self._function.types[name]
        argument, sent = self._make.of(annotation, example, f"{where} {wire}")
        if sent in ("", []):
            argument, sent = self._make.of(annotation, None, f"{where} {wire}")
        self.arguments[name] = argument
        text = _text(sent)
        (self.query if where == "query" else self.headers)[wire] = text
        if wire in placed:
            validator = Validator(self._described.document, self._patches)
            self._problems.extend(validator.query(parameter, text))

    def _undeclared(self, wire: str, placed: dict[str, Parameter]) -> Parameter:
        """The description of a parameter that the operation does not declare."""
        base = [each for each in placed.values() if wire in each.text]
        if wire in self._case.correction.added:
            self._patches.use("correction: parameter added")
        elif base or wire in self._described.text:
            self._patches.use("variant in prose")
            return next((each for each in base if wire.startswith(each.name)), _UNDECLARED)
        elif wire in _PAGING and (self._case.is_list or "sort_column" in placed):
            self._patches.use("paging not declared")
        elif wire in self._case.others:
            self._patches.use("declared in another file")
        elif self._case.goes_with_a_file(wire):
            self._patches.use("form field in the query")
        elif self._described.is_page:
            self._patches.use("filled in from Books")
        else:
            self._problems.append(f"query {wire} is in no description")
        return _UNDECLARED

    def _give_file(self, name: str, wire: str) -> None:
        self.arguments[name] = self._make.of(self._function.types[name], None, wire)[0]
        self.files.add(wire)
        parameter = self._case.parameter(wire)
        if parameter is not None and parameter.schema.get("format") == "binary":
            self._patches.use("file in the query")
        elif wire in self._case.correction.uploads:
            self._patches.use("correction: parameter added")
        elif wire in self._case.properties(self._described.body):
            self._patches.use("file in the query")
        elif self._described.is_page:
            self._patches.use("filled in from Books")
        elif wire not in self._case.properties(self._described.form):
            self._problems.append(f"file {wire} is in no description")

    def _give_field(self, name: str, wire: str) -> None:
        """Check a field of a multipart form against the description."""
        described = self._case.properties(self._described.form).get(wire)
        if described is None:
            self._problems.append(f"form field {wire} is in no description")
            return
        example = self._described.document.follow(described).get("example")
        argument, sent = self._make.of(self._function.types[name], example, f"form {wire}")
        self.arguments[name], self.fields[wire] = argument, _text(sent)

    # -- bodies -----------------------------------------------------------------------------------

    def _give_bodies(self, bodies: dict[str, str]) -> None:
        if not bodies:
            described = self._case.properties(self._described.body).keys()
            for name in described - self.files - self.query.keys():
                self._problems.append(f"{name} of the body is described, and cannot be given")
            return
        example = self._example()
        for name, wire in bodies.items():
            value = example.pop(wire, None) if wire else example
            where = f"body.{wire}" if wire else "body"
            argument, sent = self._make.of(self._function.types[name], value, where)
            self.arguments[name] = argument
            self.body = {**(self.body or {}), wire: sent} if wire else sent
        if any(bodies.values()) and example:
            self._problems.append(f"no parameters for {', '.join(example)} of the body")

    def _example(self) -> Json:
        described = self._described
        if described.body_example is not msgspec.UNSET:
            return described.body_example
        if described.body is not None:
            return samples.Requests(described.document, self._patches).body(described.body)
        if described.is_page:
            self._patches.use("filled in from Books")
        else:
            self._patches.use("undescribed body")
            if not self._case.correction.body:
                self._problems.append("the body is not described")
        return {}

    # -- fixed parameters and missing ones --------------------------------------------------------

    def _fix(self, name: str, value: str) -> None:
        is_header = name in self._described.placed("header")
        (self.headers if is_header else self.query)[name] = value
        is_form = name == "accept" and self._case.has_forms
        if is_form or self._case.correction.fixed.get(name) == value:
            self._patches.use("a function for each form")
        elif any(each.name == name for each in self._described.parameters):
            self._patches.use("always sent")
        elif self._described.is_page:
            self._patches.use("filled in from Books")
        else:
            self._problems.append(f"{name}={value} is sent and in no description")

    def _must_be_given(self, parameter: Parameter) -> None:
        name, correction = parameter.name, self._case.correction
        if parameter.place == "path" or name in {*self.query, *self.headers, *self.files}:
            return
        if name in _BY_SESSION:
            self._patches.use("organization by the session")
        elif name in correction.dropped or name in correction.fixed:
            self._patches.use("correction: parameter dropped")
        elif self._function.places.get(name, _NOWHERE).where == "path":
            self._patches.use("in the path already")
        elif name == "print" and self._case.has_forms:
            self._patches.use("a function for each form")
        else:
            self._problems.append(f"{parameter.place} {name} is described, and cannot be given")


def _text(sent: Json) -> str:
    if isinstance(sent, list):
        return ",".join(samples.text_of(each) for each in sent)
    return samples.text_of(sent)
