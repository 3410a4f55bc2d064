"""Write ``<resource>.py``: one function per operation, which binds its arguments and calls.

Shared behavior belongs in the session, the pager or the wire. Generated functions only hold names,
types and docstrings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from zoho_async.codegen import docstrings, words
from zoho_async.codegen.docstrings import Summaries
from zoho_async.codegen.facts import Facts
from zoho_async.codegen.functions import Function, Parameter
from zoho_async.codegen.lines import (
    alias,
    called,
    docstring,
    imported,
    in_order,
    literal,
    mapping,
    quoted,
)
from zoho_async.codegen.model import Model, ResourceModel
from zoho_async.codegen.overrides import Twin
from zoho_async.codegen.write_reports import report_constant, report_function, reports_table
from zoho_async.codegen.write_resources import resource_class, resource_lines
from zoho_async.description import Kind

_ARGUMENTS: Final[dict[Kind, str]] = {
    "id": "str | int",
    "text": "str",
    "decimal": "Decimal | int",
    "integer": "int",
    "boolean": "bool",
    "date": "dt.date",
    "time": "dt.datetime",
    "object": "str",
    "list": "Sequence[str]",
    "any": "str",
}
_NONE: Final[list[str]] = []
#: What the functions of reports import.
_REPORTS: Final = {
    *("Basis", "NamedPeriod", "PeriodLength", "ReportNode", "ReportOperation", "ReportOptions"),
    *("ReportRow", "ReportTree", "ShowRows", "report_rows", "report_tree", "report_value"),
}


@dataclass
class _Module:
    model: Model
    resource: ResourceModel
    summaries: Summaries
    facts: Facts
    used: set[str] = field(default_factory=set[str])
    aliases: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])

    def function(self, function: Function) -> list[str]:
        constant = f"_{function.name.upper()}"
        if function.report is not None:
            row = self._result(function)
            return report_function(function, row, self._own_keywords, self.facts, self.used)
        if function.answer == "list":
            return self._list(function, constant)
        if function.answer == "file":
            return self._file(function, function.name, constant, function.fixed)
        return self._call(function, constant)

    def twin(self, function: Function, twin: Twin) -> list[str]:
        fixed = {**function.fixed, **twin.fixed}
        return self._file(function, twin.name, f"_{twin.name.upper()}", fixed)

    def _docstring(
        self, function: Function, name: str, parts: list[str], extra: list[Parameter]
    ) -> list[str]:
        """The docstring of a function whose signature has ``parts``."""
        full_name = f"{function.product}.{function.resource}.{name}"
        summary = self.summaries.of(full_name, function.noun)
        text = docstrings.of_function(function, summary, is_twin=name != function.name)
        texts = docstrings.of_arguments(function, self.facts, extra)
        if function.body:
            texts[self._body_name(function)] = docstrings.of_body(function)
        names = [part.partition(":")[0] for part in parts if part != "*"]
        return docstring(text, "    ", [(each, texts[each]) for each in names])

    def constant(self, function: Function, name: str, accept: str) -> list[str]:
        """The `Operation` of a function, or of its twin ``name``."""
        if function.report is not None:
            return report_constant(function, self._result(function), self.used)
        product = self.model.product.upper()
        self.used.add(product)
        is_file = name != function.name or function.answer == "file"
        facts: list[tuple[str, str]] = [
            ("name", quoted(f"{self.model.product}.{self.resource.name}.{name}")),
            ("product", product),
        ]
        if function.answer == "list":
            return self._list_constant(function, facts)
        self.used.add("Operation")
        result = "bytes" if is_file else self._result(function)
        facts += [
            ("method", quoted(function.call.method)),
            ("path", quoted(_plain(function.path))),
            ("result", result),
            ("scope", quoted(function.scope)),
        ]
        if function.key and not is_file:
            facts.append(("key", quoted(function.key)))
        if function.record_id and not is_file:
            facts.append(("record_id", quoted(function.record_id)))
        if function.nouns and not is_file:
            facts.append(("nouns", _words(function.nouns)))
        if accept != "application/json":
            facts.append(("accept", quoted(accept)))
        if function.upsert:
            facts.append(("repeatable", "True"))
        if function.per_user:
            facts.append(("per_user", "True"))
        if function.limited:
            self.used.add("Batch")
            batches = ", ".join(_batch(each) for each in function.limited)
            comma = "," if len(function.limited) == 1 else ""
            facts.append(("batches", f"({batches}{comma})"))
        arguments = [(f"{key}={value}", _NONE) for key, value in (*facts, *self._codes())]
        arguments += _body_facts(function)
        return called(f"_{name.upper()} = Operation", arguments, "")

    def _codes(self) -> list[tuple[str, str]]:
        return [("codes", "_CODES")] if self.resource.errors else []

    def _list_constant(self, function: Function, facts: list[tuple[str, str]]) -> list[str]:
        self.used.add("ListOperation")
        facts += [
            ("path", quoted(_plain(function.path))),
            ("row", self._result(function)),
            ("key", quoted(function.key)),
            ("row_id", quoted(function.row_id)),
            ("scope", quoted(function.scope)),
        ]
        if function.order:
            facts.append(("order", quoted(function.order)))
        if not function.paged:
            facts.append(("paged", "False"))
        if function.max_per_page != 200:
            facts.append(("max_per_page", str(function.max_per_page)))
        if function.totals:
            facts.append(("totals", "True"))
        if function.per_user:
            facts.append(("per_user", "True"))
        required = [quoted(each.name) for each in function.query if each.required]
        if required:
            comma = "," if len(required) == 1 else ""
            facts.append(("required", f"({', '.join(required)}{comma})"))
        for each in function.limited:
            if function.names_rows(each):
                self.used.add("Batch")
                facts.append(("batch", _batch(each)))
        arguments = [(f"{key}={value}", _NONE) for key, value in (*facts, *self._codes())]
        return called(f"_{function.name.upper()} = ListOperation", arguments, "")

    def _result(self, function: Function) -> str:
        name = function.result or "Done"
        ours = name in {"Done", "ReportNode", "ReportRow"}
        self.used.add(name if ours else f"struct:{name}")
        return name

    # -- functions ----------------------------------------------------------------------------

    def _list(self, function: Function, constant: str) -> list[str]:
        self.used.add("Pager")
        row = self._result(function)
        extra = self._paging(function)
        parts = self._parts(function, function.name, extra, function.fixed)
        pairs = self._pairs(function, function.fixed, extra)
        arguments = self._arguments(function, constant, pairs)
        return [
            *_head(f"def {function.name}", parts, f"Pager[{row}]"),
            *self._docstring(function, function.name, parts, extra),
            *called("return Pager", [("zoho", _NONE), *arguments], "    "),
        ]

    def _file(
        self, function: Function, name: str, constant: str, fixed: dict[str, str]
    ) -> list[str]:
        result = "Downloads" if function.batches else "Download"
        self.used.add(result)
        parts = self._parts(function, name, [], fixed)
        arguments = self._arguments(function, constant, self._pairs(function, fixed, []))
        for each in function.batches:
            arguments.insert(1, (f"split={quoted(each.name)}", _NONE))
        return [
            *_head(f"def {name}", parts, result),
            *self._docstring(function, name, parts, []),
            *called(f"return zoho.{result.lower()}", arguments, "    "),
        ]

    def _call(self, function: Function, constant: str) -> list[str]:
        parts = self._parts(function, function.name, [], function.fixed)
        pairs = self._pairs(function, function.fixed, [])
        arguments = self._arguments(function, constant, pairs)
        if function.body:
            arguments.append((f"body={self._body_name(function)}", _NONE))
        if _has_extra_body(function):
            arguments.append(_extra_body(function))
        if function.upsert:
            headers = [
                ("X-Unique-Identifier-Key", "key"),
                ("X-Unique-Identifier-Value", "value"),
                ("X-Upsert", "True"),
            ]
            flat, many = mapping(headers)
            arguments.append((f"headers={flat}", [f"headers={many[0]}", *many[1:]]))
        for name, given in (("fields", function.fields), ("files", function.uploads)):
            if given:
                flat, many = mapping([(each.name, each.argument) for each in given])
                arguments.append((f"{name}={flat}", [f"{name}={many[0]}", *many[1:]]))
        return [
            *_head(f"async def {function.name}", parts, self._result(function)),
            *self._docstring(function, function.name, parts, []),
            *called("return await zoho.call", arguments, "    "),
        ]

    def _arguments(
        self, function: Function, constant: str, pairs: list[tuple[str, str]]
    ) -> list[tuple[str, list[str]]]:
        arguments = [(constant, _NONE)]
        if function.ids:
            ids = ", ".join(each.argument for each in function.ids)
            comma = "," if len(function.ids) == 1 else ""
            arguments.append((f"ids=({ids}{comma})", _NONE))
        if pairs:
            flat, many = mapping(pairs, "extra_query")
            arguments.append((f"query={flat}", [f"query={many[0]}", *many[1:]]))
        else:
            arguments.append(("query=extra_query", _NONE))
        return arguments

    def _parts(
        self, function: Function, name: str, extra: list[Parameter], fixed: dict[str, str]
    ) -> list[str]:
        """The parts of a function's signature."""
        self.used.add("Session")
        first = ["zoho: Session"]
        first += [f"{each.argument}: {self._plain_type(each)}" for each in function.ids]
        for each in function.batches:
            self.used.add("Sequence")
            first.append(f"{each.argument}: Sequence[str | int]")
        if function.body and function.answer != "file":
            first.append(f"{self._body_name(function)}: {self._body_type(function)}")
        named: list[str] = []
        if function.upsert:
            named += ["key: str", "value: str"]
        if function.answer != "file" and name == function.name:
            named += [self._upload(each) for each in function.uploads]
        for each in (*function.query, *function.fields, *extra):
            if each.name not in fixed:
                named += self._keywords(function, each)
        self.used.add("Mapping")
        named.append("extra_query: Mapping[str, object] | None = None")
        if _has_extra_body(function):
            named.append("extra_body: Mapping[str, object] | None = None")
        needed = [each for each in named if "=" not in each]
        optional = [each for each in named if "=" in each]
        return [*first, "*", *needed, *optional]

    def _upload(self, parameter: Parameter) -> str:
        self.used.add("Upload")
        many = "Upload" if parameter.required else "Upload | None = None"
        return f"{parameter.argument}: {many}"

    def _keywords(self, function: Function, parameter: Parameter) -> list[str]:
        type_ = self._type(function, parameter)
        suffix = "" if parameter.required else " | None = None"
        lines = [f"{parameter.argument}: {type_}{suffix}"]
        lines += [f"{words.identifier(each)}: {type_} | None = None" for each in parameter.variants]
        return lines

    def _own_keywords(self, function: Function) -> list[str]:
        return [part for each in function.query for part in self._keywords(function, each)]

    def _plain_type(self, parameter: Parameter) -> str:
        return "str | int" if parameter.kind == "id" else "str"

    def _type(self, function: Function, parameter: Parameter) -> str:
        if parameter.allowed and parameter.kind == "text":
            self.used.add("Literal")
            short = literal(parameter.allowed)
            if len(short) <= 60:
                return short
            name = words.camel(f"{function.name}_{words.snake(parameter.name)}")
            self.used.add("TypeAlias")
            return self.aliases.setdefault(parameter.allowed, name)
        if parameter.kind == "list" and parameter.element == "id":
            self.used.add("Sequence")
            return "Sequence[str | int]"
        text = _ARGUMENTS[parameter.kind]
        for word in ("Decimal", "dt.", "Sequence"):
            if word in text:
                self.used.add(word)
        return text

    def _pairs(
        self, function: Function, fixed: dict[str, str], extra: list[Parameter]
    ) -> list[tuple[str, str]]:
        pairs = [(each.name, each.argument) for each in function.batches]
        for each in (*function.query, *extra):
            if each.name not in fixed:
                pairs.append((each.name, each.argument))
                pairs += [(variant, words.identifier(variant)) for variant in each.variants]
        return [*pairs, *((name, quoted(value)) for name, value in fixed.items())]

    def _paging(self, function: Function) -> list[Parameter]:
        if not function.paged:
            return []
        return [Parameter(name, name, "integer") for name in ("page", "per_page")]

    def _body_name(self, function: Function) -> str:
        if function.body == "raw":
            return "body"
        noun = words.snake(re.sub("(Input|Create)$", "", function.body))
        main = f"{self.resource.noun}_"
        short = noun.removeprefix(main) or noun
        others = (*function.ids, *function.batches, *function.query, *function.fields)
        taken = {each.argument for each in others}
        name = words.identifier(f"{short}s" if function.body_many else short)
        return f"{name}_input" if name in taken else name

    def _body_type(self, function: Function) -> str:
        if function.body == "raw":
            self.used |= {"Mapping", "Any"}
            return "Mapping[str, Any]"
        self.used.add(f"struct:{function.body}")
        if function.body_many:
            self.used.add("Sequence")
            return f"Sequence[{function.body}]"
        return function.body


def _head(keyword: str, parts: list[str], result: str) -> list[str]:
    return called(keyword, [(part, _NONE) for part in parts], "", f") -> {result}:")


def _has_extra_body(function: Function) -> bool:
    """Whether a function sends a JSON object, so that a caller can add keys."""
    return bool(function.body) and not function.body_many and function.answer != "file"


def _extra_body(function: Function) -> tuple[str, list[str]]:
    if not function.sends:
        return "extra_body=extra_body", _NONE
    pairs = [(name, str(value)) for name, value in function.sends.items()]
    flat, many = mapping(pairs, "extra_body")
    return f"extra_body={flat}", [f"extra_body={many[0]}", *many[1:]]


def _body_facts(function: Function) -> list[tuple[str, list[str]]]:
    """The facts of an `Operation` about the body, apart from its type."""
    facts: list[tuple[str, list[str]]] = []
    if function.form:
        facts.append((f"form={quoted(function.form)}", _NONE))
    if function.file_types and function.uploads:
        types = [quoted(each) for each in function.file_types]
        many = ["file_types=(", *(f"    {each}," for each in types), ")"]
        facts.append((f"file_types=({', '.join(types)})", many))
    if function.file_size and function.uploads:
        facts.append((f"file_size={function.file_size:_}", _NONE))
    return facts


def functions_module(
    model: Model, resource: ResourceModel, summaries: Summaries, facts: Facts
) -> str:
    """The source of ``<resource>.py``."""
    module = _Module(model, resource, summaries, facts)
    functions: list[str] = []
    names: list[str] = []
    for function in resource.functions:
        functions += ["", "", *module.constant(function, function.name, function.accept)]
        functions += ["", "", *module.function(function)]
        names.append(function.name)
        for twin in function.twins:
            functions += ["", "", *module.constant(function, twin.name, twin.accept)]
            functions += ["", "", *module.twin(function, twin)]
            names.append(twin.name)
    reports = [each for each in resource.functions if each.report is not None]
    if reports:
        functions += ["", "", *reports_table(reports, module.used)]
    own = {shape.name for shape in model.shapes(resource.name)}
    used = {mark.removeprefix("struct:") for mark in module.used if mark.startswith("struct:")}
    shared = {name for name in model.held(own | used) if name not in own}
    lines = [
        f"# Generated by zoho_async.codegen from spec/{model.product}/{resource.source}.json: "
        "do not edit.",
        *docstring(docstrings.of_module(model.product, resource)),
        "",
        *_imports(module, own, shared),
        "",
        *_exported(
            [
                *(["REPORTS"] if reports else []),
                *names,
                *own,
                *shared,
                *module.aliases.values(),
                resource_class(resource.name),
            ]
        ),
    ]
    for values, name in module.aliases.items():
        lines += ["", *alias(name, values)]
    if resource.errors:
        codes = [f"    {code}: {quoted(said)}," for code, said in sorted(resource.errors.items())]
        lines += ["", "_CODES = {", *codes, "}"]
    functions += ["", "", *resource_lines(model.product, resource, names)]
    return "\n".join([*lines, *functions]) + "\n"


def _imports(module: _Module, own: set[str], shared: set[str]) -> list[str]:
    used = module.used
    product = module.model.product
    home = module.resource.name
    plain = ["import datetime as dt"] if "dt." in used else []
    standard = [
        *imported("collections.abc", used & {"Mapping", "Sequence"}),
        *imported("decimal", used & {"Decimal"}),
        *imported("typing", used & {"Any", "Final", "Literal", "TypeAlias"}),
    ]
    constants = used & {"Batch", product.upper(), "ListOperation", "Operation"}
    ours = [
        (f"zoho_async.{product}.types.{home}", own),
        (f"zoho_async.{product}.types.shared", shared),
        ("zoho_async.http.download", used & {"Download", "Downloads"}),
        ("zoho_async.operation", constants),
        ("zoho_async.paging", used & {"Pager"}),
        ("zoho_async.reports", used & _REPORTS),
        ("zoho_async.resource", {"Resource", "bound"}),
        ("zoho_async.session", used & {"Session"}),
        ("zoho_async.http.upload", used & {"Upload"}),
        ("zoho_async.wire", used & {"Done"}),
    ]
    lines = [
        line
        for name, names in sorted(ours, key=lambda each: each[0])
        for line in imported(name, names)
    ]
    return [*plain, *standard, "", *lines]


def _exported(names: list[str]) -> list[str]:
    return ["__all__ = [", *(f"    {quoted(name)}," for name in in_order(names)), "]"]


def _batch(parameter: Parameter) -> str:
    return f"Batch({quoted(parameter.name)}, {parameter.most})"


def _plain(path: str) -> str:
    """A path with plain id names: ``{:contact_id}`` becomes ``{contact_id}``."""
    return path.replace("{:", "{")


def _words(each: tuple[str, ...]) -> str:
    """A tuple of texts as Python source."""
    return f"({', '.join(map(quoted, each))}{',' if len(each) == 1 else ''})"
