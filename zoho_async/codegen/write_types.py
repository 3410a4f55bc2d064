"""Write ``types/<resource>.py``: the structs of a resource."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.facts import Facts
from zoho_async.codegen.lines import WIDTH, alias, docstring, imported, literal, quoted
from zoho_async.codegen.model import Model, ResourceModel
from zoho_async.codegen.observed import REPORTS
from zoho_async.codegen.structs import SHARED, Member, StructShape
from zoho_async.description import Kind

_REPLY: Final[dict[Kind, str]] = {
    "id": "str",
    "text": "str",
    "decimal": "Decimal",
    "integer": "int",
    "boolean": "bool",
    "date": "dt.date",
    "time": "Moment",
    "object": "dict[str, Any]",
    "list": "list[Any]",
    "any": "Any",
}
#: The maximum length of a struct's phrase in its one-line docstring.
_LONGEST: Final = 66
_INPUT: Final[dict[Kind, str]] = {
    **_REPLY,
    "id": "str | int",
    "decimal": "Decimal | int",
    "time": "dt.datetime",
    "object": "Mapping[str, Any]",
    "list": "Sequence[Any]",
}


class _Module:
    """A module of structs while it is built: aliases, classes and used names."""

    def __init__(self, model: Model, home: str, facts: Facts) -> None:
        self.model = model
        self.facts = facts
        self.home = home
        self.aliases: dict[tuple[str, ...], str] = {}
        self.used: set[str] = set()
        self.defined: set[str] = set()

    def struct(self, shape: StructShape) -> list[str]:
        """The class of a struct, after the base class of its fields if that is not written yet."""
        self.used.add(shape.base)
        self.defined.add(shape.name)
        if not shape.fields:
            options = "kw_only=True" if shape.base == "Input" else "frozen=True, kw_only=True"
            return self._class(shape, f"{shape.name}({shape.base}, {options})", shape.members)
        lines: list[str] = []
        if shape.fields not in self.defined:
            self.defined.add(shape.fields)
            others = {name for name in shape.members if name not in shape.required}
            base = dataclasses.replace(shape, name=shape.fields)
            lines = [*self._class(base, f"{shape.fields}(Input, kw_only=True)", others), "", ""]
        head = f"{shape.name}({shape.fields}, kw_only=True)"
        return [*lines, *self._class(shape, head, shape.required)]

    def _class(self, shape: StructShape, head: str, names: Collection[str]) -> list[str]:
        """A class with the fields ``names`` of a struct."""
        lines = [f"class {head}:", *docstring(self._about(shape), "    ")]
        body: list[str] = []
        noun = self._noun(shape)
        for member in shape.members.values():
            if member.name in names:
                body += self._field(shape, member)
                about = self.facts.of_field(member, noun)
                if shape.home == REPORTS:  # reports name no currency
                    about = about.replace(", in the document's currency", "")
                body += docstring(about, "    ")
        return [*lines, "", *body] if body else lines

    def _about(self, shape: StructShape) -> str:
        """One line about a struct: its record, or the field that holds it."""
        is_input = shape.base == "Input"
        if shape.home == REPORTS and shape.base == "Record":
            title = words.phrase(words.snake(shape.name.removeprefix("Report")))
            return f"A row of the report '{title}'. Amounts are in the base currency."
        if shape.name == shape.fields:
            siblings = f"`{shape.stem}Create` and `{shape.stem}Input`"
            return f"The fields that {siblings} share."
        holders = self._holders(shape)
        if holders and not shape.row_id:
            field = min(member.name for member in holders)
            is_item = any(member.kind == "list" for member in holders)
            thing = f"An item of ``{field}``" if is_item else f"The ``{field}`` object"
            owner = words.phrase(words.snake(self._owner(shape)))
            whole = f"{thing} of {_one(owner)}" if owner else thing
            thing = whole if len(whole) <= _LONGEST else thing
            return f"{thing}, to send." if is_input else f"{thing}."
        noun = _one(words.phrase(words.snake(shape.stem)))
        if shape.name.endswith("Create") and shape.required:
            return f"The fields of {noun} to create."
        if is_input:
            return f"The fields of {noun} that can be sent."
        id_field = f"; ``{shape.row_id}`` is its id" if shape.row_id else ""
        return f"{noun[:1].upper()}{noun[1:]}{id_field}."

    def _family(self, shape: StructShape) -> dict[str, StructShape]:
        return (self.model.inputs if shape.base == "Input" else self.model.replies).shapes

    def _holders(self, shape: StructShape) -> list[Member]:
        """The fields that hold a struct."""
        others = self._family(shape).values()
        return [each for other in others for each in other.members.values()
                if each.struct == shape.name]  # fmt: skip

    def _owner(self, shape: StructShape) -> str:
        """The struct that another one is named after: ``Invoice`` for ``InvoiceLineItem``."""
        name = shape.stem
        others = [
            each.stem
            for each in self._family(shape).values()
            if each.home == shape.home and each.name != shape.name
        ]
        fits = [each for each in others if re.match(rf"{each}[A-Z]", name)]
        return max(fits, key=len, default="")

    def _noun(self, shape: StructShape) -> str:
        """What a struct is, without the struct that it is named after: ``line_item``."""
        return words.snake(shape.stem.removeprefix(self._owner(shape)))

    def _field(self, shape: StructShape, member: Member) -> list[str]:
        name = words.attribute(member.name)
        is_input = shape.base == "Input"
        type_ = self._input(shape, member) if is_input else self._reply(member)
        if not is_input and member.name == shape.row_id:
            declared, value = "str", '""'
        elif member.name in shape.required and shape.name.endswith("Create"):
            declared, value = type_, ""
        elif is_input:
            declared = "Any | UnsetType" if type_ == "Any" else f"{type_} | UnsetType | None"
            value = "UNSET"
            self.used |= {"UNSET", "UnsetType"}
        else:
            declared, value = ("Any", "None") if type_ == "Any" else (f"{type_} | None", "None")
        if name != member.name:
            self.used.add("msgspec")
            default = f"default={value}, " if value else ""
            value = f"msgspec.field({default}name={quoted(member.name)})"
        return _laid_out(name, declared, value)

    def _reply(self, member: Member) -> str:
        if member.struct:
            inner = self._struct(member.struct)
            return f"list[{inner}]" if member.kind == "list" else inner
        if member.kind == "list" and member.element is not None and member.element != "any":
            return f"list[{self._take(_REPLY[member.element])}]"
        return self._take(_REPLY[member.kind] + _share(member))

    def _input(self, shape: StructShape, member: Member) -> str:
        if member.struct:
            inner = self._struct(member.struct)
            return f"Sequence[{inner}]" if self._is_list(member) else inner
        if member.kind == "list" and member.element is not None and member.element != "any":
            self.used.add("Sequence")
            inner = self._values(shape, member) or self._take(_INPUT[member.element])
            return f"Sequence[{inner}]"
        return self._values(shape, member) or self._take(_INPUT[member.kind] + _share(member))

    def _is_list(self, member: Member) -> bool:
        if member.kind == "list":
            self.used.add("Sequence")
        return member.kind == "list"

    def _values(self, shape: StructShape, member: Member) -> str:
        """The type of a field whose allowed values are described."""
        if not member.allowed or (member.element or member.kind) != "text":
            return ""
        self.used.add("Literal")
        short = literal(member.allowed)
        if len(short) <= 48:
            return short
        name = words.camel(f"{shape.stem}_{member.name}")
        known = self.aliases.setdefault(member.allowed, name)
        self.used.add("TypeAlias")
        return known

    def _struct(self, name: str) -> str:
        self.used.add(f"struct:{name}")
        shapes = {**self.model.replies.shapes, **self.model.inputs.shapes}
        later = shapes[name].home == self.home and name not in self.defined
        return f'"{name}"' if later else name

    def _take(self, text: str) -> str:
        for word in ("Decimal", "Percentage", "dt.", "Moment", "Any", "Mapping", "Sequence"):
            if word in text:
                self.used.add(word)
        return text


def types_module(model: Model, home: str, resource: ResourceModel | None, facts: Facts) -> str:
    """The source of ``types/<home>.py``."""
    module = _Module(model, home, facts)
    structs = [module.struct(shape) for shape in model.shapes(home)]
    origin = f"spec/{model.product}/{resource.source}.json" if resource else f"spec/{model.product}"
    title = model.product.capitalize()
    if resource is None:
        about = f"Objects that many records of Zoho {title} hold."
    else:
        records = words.phrase(resource.name)
        about = f"Records and inputs of {records} in Zoho {title}."
    lines = [
        f"# Generated by zoho_async.codegen from {origin}: do not edit.",
        *docstring(about),
        "",
        *_imports(module, model, home),
    ]
    for values, name in module.aliases.items():
        lines += ["", *alias(name, values)] if lines[-1] != "]" else alias(name, values)
    for struct in structs:
        lines += ["", "", *struct]
    return "\n".join(lines).rstrip("\n") + "\n"


def _one(noun: str) -> str:
    """A noun with its article, unless it is plural."""
    last = noun.rpartition(" ")[2]
    is_many = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return noun if is_many else words.article(noun)


def _share(member: Member) -> str:
    return " | Percentage" if member.may_be_share else ""


def _laid_out(name: str, declared: str, value: str) -> list[str]:
    """A field in the formatter's layout, broken if it does not fit a line."""
    if not value:
        return [f"    {name}: {declared}"]
    if len(f"    {name}: {declared} = {value}") <= WIDTH:
        return [f"    {name}: {declared} = {value}"]
    if len(f"    {name}: {declared} = (") <= WIDTH:
        return [f"    {name}: {declared} = (", f"        {value}", "    )"]
    inner = [f"        {declared}"]
    if len(inner[0]) > WIDTH:
        first, *others = declared.split(" | ")
        inner = [f"        {first}", *(f"        | {other}" for other in others)]
    return [f"    {name}: (", *inner, f"    ) = {value}"]


def _imports(module: _Module, model: Model, home: str) -> list[str]:
    used = module.used
    plain = ["import datetime as dt"] if "dt." in used else []
    standard = [
        *imported("collections.abc", used & {"Mapping", "Sequence"}),
        *imported("decimal", used & {"Decimal"}),
        *imported("typing", used & {"Any", "Literal", "TypeAlias"}),
    ]
    third = ["import msgspec"] if "msgspec" in used else []
    third += imported("msgspec", used & {"UNSET", "UnsetType"})
    shapes = {**model.replies.shapes, **model.inputs.shapes}
    held = {mark.removeprefix("struct:") for mark in used if mark.startswith("struct:")}
    shared = {name for name in held if shapes[name].home == SHARED != home}
    ours = [
        *imported(f"zoho_async.{model.product}.types.shared", shared),
        *imported("zoho_async.wire", used & {"Input", "Moment", "Part", "Percentage", "Record"}),
    ]
    groups = [group for group in (plain + standard, third, ours) if group]
    return [line for group in groups for line in (*group, "")][:-1]
