"""The model of a product: its functions and structs, with the corrections applied."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast, get_args

from zoho_async.codegen import naming, words
from zoho_async.codegen.answers import own_id
from zoho_async.codegen.functions import Function
from zoho_async.codegen.order import follow_lists, follow_recorded
from zoho_async.codegen.overrides import FieldFix, Overrides
from zoho_async.codegen.reading import SpecReader
from zoho_async.codegen.reports import shape_reports
from zoho_async.codegen.spec import Source
from zoho_async.codegen.structs import SHARED, Family, Member, StructShape
from zoho_async.description import Kind

_Request: TypeAlias = tuple[str, ...]


@dataclass
class ResourceModel:
    """One module. ``name`` is the module's name and ``main`` the struct of its records.

    ``source`` is the file that it is made from, and ``guests`` are further files in the same
    module. ``also`` are other words for its record. ``errors`` are error codes with a specific
    meaning here.
    """

    name: str
    source: str
    main: str
    noun: str
    functions: list[Function]
    also: tuple[str, ...] = ()
    errors: dict[int, str] = dataclasses.field(default_factory=dict[int, str])
    guests: list[str] = dataclasses.field(default_factory=list[str])


@dataclass
class Model:
    """A product.

    ``merged`` maps dropped operations to the one with the same request. ``corrections`` describes
    the changes that the overrides made to structs.
    """

    product: str
    resources: list[ResourceModel]
    replies: Family
    inputs: Family
    merged: dict[str, str]
    corrections: list[str]

    def shapes(self, home: str) -> list[StructShape]:
        """The structs of a types module, ordered so that inner structs come first."""
        return [*self.replies.in_order(home), *self.inputs.in_order(home)]

    def held(self, names: Iterable[str]) -> set[str]:
        """Some structs, and those that their fields hold."""
        shapes = {**self.replies.shapes, **self.inputs.shapes}
        found: set[str] = set()
        waiting = [name for name in names if name in shapes]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                members = shapes[name].members.values()
                waiting += [member.struct for member in members if member.struct]
        return found

    def functions(self) -> list[Function]:
        return [function for resource in self.resources for function in resource.functions]


class ModelError(Exception):
    """The description and the overrides do not fit each other."""


def build(product: str, sources: Sequence[Source], overrides: Overrides) -> Model:
    """Build a product from its distilled files. Raises `ModelError` if it cannot be written."""
    replies = Family(product, overrides, "reply")
    inputs = Family(product, overrides, "body")
    for fix in overrides.fields:
        if fix.concerns(product):
            _announce(fix, replies)
    resources = _resources(
        [SpecReader(source, overrides, replies, inputs) for source in sources if source.calls]
    )
    for fix in overrides.fields:
        if fix.concerns(product):
            _correct(fix, replies, inputs, overrides, inherited=not fix.names(product))
    merged = _merge(resources)
    _prune(resources, replies, inputs)
    _split_creates(resources, inputs)
    _name_rows(resources, replies)
    _name_records(resources, replies)
    _order(product, resources, replies, overrides)
    _compare_lists(resources, replies, overrides)
    _tell_errors(product, resources, overrides)
    _find_details(resources)
    functions = [function for resource in resources for function in resource.functions]
    shape_reports(functions, replies)
    _prune(resources, replies, inputs)
    shorten((replies, inputs), functions, overrides)
    corrections = [
        f"{fix.of}: {len(fix.add)} fields added, {len(fix.kinds)} given another type"
        for fix in overrides.fields
        if fix.concerns(product)
    ]
    model = Model(product, resources, replies, inputs, merged, corrections)
    _check_names(model)
    return model


def same_request(method: str, path: str) -> tuple[str, str]:
    """The identity of a request: its method and its path without the names of ids."""
    return method, re.sub(r"{[^}]*}", "{}", path)


def _resources(readers: Sequence[SpecReader]) -> list[ResourceModel]:
    """The modules of a product. Guests are read after their hosts and join their modules."""
    found: dict[str, ResourceModel] = {}
    for reader in sorted(readers, key=lambda reader: reader.is_guest):
        host = found.get(reader.subject.resource)
        if host is not None:
            host.functions += reader.functions()
            host.guests.append(reader.subject.source.resource)
            continue
        found[reader.subject.resource] = ResourceModel(
            name=reader.subject.resource,
            source=reader.subject.source.resource,
            main=reader.subject.main,
            noun=reader.subject.noun,
            functions=reader.functions(),
            also=reader.subject.also,
        )
    return [found[name] for name in sorted(found)]


def _tell_errors(product: str, resources: Sequence[ResourceModel], overrides: Overrides) -> None:
    for fix in overrides.errors:
        for resource in resources:
            if any(fnmatch.fnmatchcase(f"{product}.{resource.name}", each) for each in fix.of):
                overrides.use(f"errors: {' '.join(fix.of)}")
                resource.errors |= {int(code): said for code, said in fix.codes.items()}


def _find_details(resources: Sequence[ResourceModel]) -> None:
    """Replace the call that reads a list's records in full by its function's name."""
    for resource in resources:
        known = {function.call.id: function for function in resource.functions}
        for function in resource.functions:
            reader = known.get(function.details)
            function.details = reader.full_name if reader else ""
            function.batch = reader.batch if reader else function.batch


def _name_rows(resources: Sequence[ResourceModel], replies: Family) -> None:
    """Set the id field of each struct, after all fields are known."""
    for shape in replies.shapes.values():
        if shape.called and not shape.row_id:
            shape.row_id = own_id(shape, shape.called)
    for resource in resources:
        for function in resource.functions:
            if function.own_row_id is not None:
                function.row_id = function.own_row_id
            elif function.answer == "list":
                function.row_id = replies.shapes[function.result].row_id


def _name_records(resources: Sequence[ResourceModel], replies: Family) -> None:
    """Set the id field of each function's result, and the other names of a new record."""
    for resource in resources:
        for function in resource.functions:
            shape = replies.shapes.get(function.result)
            if shape is None or function.answer not in {"record", "values"}:
                continue
            noun = function.key or naming.noun_of(function.name) or function.noun
            nouns: tuple[str, ...] = (words.singular(words.snake(noun)),)
            if shape.name == resource.main:
                nouns = shape.called[: 1 + len(resource.also)]
            function.record_id = shape.row_id or own_id(shape, nouns)
            if function.record_id and function.call.method == "POST":
                key = function.key.replace("_", "")
                function.nouns = tuple(each for each in nouns if each.replace("_", "") != key)


def _order(
    product: str, resources: Sequence[ResourceModel], replies: Family, overrides: Overrides
) -> None:
    follow_lists((each for resource in resources for each in resource.functions), replies)
    for fix in overrides.fields:
        _, home, name = fix.of.split(".")
        shape = replies.shapes.get(name) if fix.order and fix.concerns(product) else None
        if shape is not None and shape.home == home and follow_recorded(fix, shape):
            overrides.use(f"fields: {fix.of}.order")


def _split_creates(resources: Sequence[ResourceModel], inputs: Family) -> None:
    """Give each create a struct in which the required fields are required.

    A struct that other functions take as well stays for them, as a sibling: type checkers would
    accept a subclass with required fields wherever its base is.
    """
    takers: dict[str, list[Function]] = {}
    for resource in resources:
        for function in resource.functions:
            takers.setdefault(function.body, []).append(function)
    held = {member.struct for shape in inputs.shapes.values() for member in shape.members.values()}
    shapes = inputs.shapes
    inputs.shapes = {}
    for name, shape in shapes.items():
        functions = takers.get(name, [])
        creates = [each for each in functions if each.creates]
        required = tuple(
            field
            for field in (creates[0].required if creates else ())
            if field in shape.members and all(field in each.required for each in creates)
        )
        if not required:
            inputs.shapes[name] = shape
            continue
        create = dataclasses.replace(shape, name=f"{shape.stem}Create", required=required)
        inputs.shapes[create.name] = create
        if len(creates) < len(functions) or name in held:
            create.fields = shape.fields = f"{shape.stem}Fields"
            shape.required = required
            inputs.shapes[name] = shape
        for each in creates:
            each.body = create.name


def _compare_lists(
    resources: Sequence[ResourceModel], replies: Family, overrides: Overrides
) -> None:
    """Mark the fields of a record that only lists describe, or only calls for one record."""
    listed: dict[str, set[str]] = {}
    single: dict[str, set[str]] = {}
    for resource in resources:
        for function in resource.functions:
            names = {node.name for node in function.reply}
            if function.answer == "list":
                listed.setdefault(function.result, set()).update(names)
            elif function.answer == "record" and function.call.method == "GET":
                single.setdefault(function.result, set()).update(names)
    for fix in overrides.fields:
        listed.get(fix.of.rpartition(".")[2], set()).update(fix.order)  # recorded in lists
    for name in listed.keys() & single.keys():
        for member in replies.shapes[name].members.values():
            if member.name in listed[name] - single[name]:
                member.only = "list"
            elif member.name in single[name] - listed[name]:
                member.only = "record"


def _prune(resources: Sequence[ResourceModel], replies: Family, inputs: Family) -> None:
    """Remove structs without a function: those of merged operations."""
    functions = [function for resource in resources for function in resource.functions]
    for family, roots in (
        (replies, {function.result for function in functions}),
        (inputs, {function.body for function in functions}),
    ):
        kept: set[str] = set()
        waiting = [name for name in roots if name in family.shapes]
        while waiting:
            name = waiting.pop()
            if name not in kept:
                kept.add(name)
                members = family.shapes[name].members.values()
                waiting += [member.struct for member in members if member.struct in family.shapes]
        for name in family.shapes.keys() - kept:
            del family.shapes[name]


def _request(function: Function) -> _Request:
    return (*same_request(function.call.method, function.path), *sorted(function.sends))


def _merge(resources: Sequence[ResourceModel]) -> dict[str, str]:
    """Drop an operation that two files describe. The host's stays, the guest's goes.

    A described operation stays rather than an observed one. If only the dropped one describes a
    result, the other one takes it over.
    """
    best: dict[_Request, Function] = {}
    functions = [function for resource in resources for function in resource.functions]
    for function in sorted(functions, key=lambda function: bool(function.call.evidence)):
        best.setdefault(_request(function), function)
    merged: dict[str, str] = {}
    for resource in resources:
        for function in resource.functions:
            kept = best[_request(function)]
            if kept is not function:
                what = f"{function.call.id} of {function.source} ({function.path})"
                merged[what] = kept.full_name
                if kept.answer == "done" and function.answer != "done":
                    _take_answer(kept, function)
        resource.functions = [
            function for function in resource.functions if best[_request(function)] is function
        ]
    return merged


def _announce(fix: FieldFix, replies: Family) -> None:
    """Add a struct that only the overrides describe."""
    _, home, name = fix.of.split(".")
    if fix.new:
        shape = replies.shapes[name] = StructShape(name=name, home=home, base="Part")
        for field, kind in fix.add.items():
            shape.members[field] = member_of(field, kind, replies)


def _take_answer(kept: Function, other: Function) -> None:
    for name in ("answer", "result", "key", "row_id", "own_row_id", "reply", "reply_objects"):
        setattr(kept, name, getattr(other, name))


def _correct(
    fix: FieldFix, replies: Family, inputs: Family, overrides: Overrides, *, inherited: bool
) -> None:
    """Apply a correction. An ``inherited`` one can name structs that this product lacks."""
    _, home, name = fix.of.split(".")
    family = inputs if name.endswith("Input") else replies
    shape = family.shapes.get(name)
    if shape is None or shape.home != home:
        return
    lacking = {
        field
        for field, text in (*fix.add.items(), *fix.kinds.items())
        if inherited and not _is_known(text, family)
    }
    for field, text in fix.add.items():
        if field in lacking:
            continue
        if field not in shape.members or fix.new:
            shape.members.setdefault(field, member_of(field, text, family))
            overrides.use(f"fields: {fix.of}.{field}")
    for field in fix.free:
        if shape.members[field].allowed:
            shape.members[field].allowed = ()
            overrides.use(f"fields: {fix.of}.{field}")
    for field, text in fix.kinds.items():
        if field in lacking:
            continue
        known = shape.members.get(field)
        wanted = member_of(field, text, family)
        if known is not None and (known.kind, known.element, known.struct) != (
            wanted.kind,
            wanted.element,
            wanted.struct,
        ):
            known.kind, known.element, known.struct = wanted.kind, wanted.element, wanted.struct
            known.allowed = known.allowed if wanted.kind == "text" else ()
            overrides.use(f"fields: {fix.of}.{field}")


def _is_known(text: str, family: Family) -> bool:
    """Whether a kind in the overrides is valid: a `Kind`, or a struct of ``family``."""
    what = text.removeprefix("list:")
    return what in family.shapes or what in get_args(Kind)


def member_of(name: str, text: str, family: Family) -> Member:
    """A field by its kind in the overrides: ``decimal``, ``list:id``, ``Address``."""
    outer, _, inner = text.partition(":")
    what = inner if outer == "list" and inner else outer
    struct = what if what in family.shapes else ""
    if not struct and what not in get_args(Kind):
        raise ModelError(f"{text!r} of field {name!r} is neither a kind nor a struct")
    kind: Kind = "object" if struct else cast(Kind, what)
    if outer != "list":
        percent = kind == "decimal" and name.rpartition("_")[2] == "discount"
        return Member(name, kind, struct=struct, percent=percent)
    return Member(name, "list", kind if inner else "any", struct=struct)


def _check_names(model: Model) -> None:
    for resource in model.resources:
        seen: dict[str, str] = {}
        for function in resource.functions:
            twins = [twin.name for twin in function.twins]
            for name in (function.name, *twins):
                if name in seen:
                    raise ModelError(
                        f"{model.product}.{resource.name}.{name} names both {seen[name]} "
                        f"and {function.call.id}: give one of them another name in the overrides"
                    )
                seen[name] = function.call.id
    both = model.replies.shapes.keys() & model.inputs.shapes.keys()
    if both:
        raise ModelError(f"structs and inputs share names: {', '.join(sorted(both))}")
    for family in (model.replies, model.inputs):
        for shape in family.shapes.values():
            for member in shape.members.values():
                held = family.shapes.get(member.struct)
                if held is not None and held.home not in {shape.home, SHARED}:
                    raise ModelError(
                        f"{model.product}.{shape.home}: {shape.name}.{member.name} holds "
                        f"{held.name} of {held.home}: make that a [[shared]] struct"
                    )


def shorten(
    families: Sequence[Family], functions: Iterable[Function], overrides: Overrides
) -> None:
    """Shorten the names of structs that nesting made long, by the phrases of the overrides.

    A name stays as it is if another struct has the shorter one. Other corrections use the long
    names.
    """
    taken = {name for family in families for name in family.shapes}
    names: dict[str, str] = {}
    for name in sorted(taken):
        short = overrides.shorter(name)
        if short != name and short not in taken:
            taken.add(short)
            names[name] = short
    for family in families:
        for shape in family.shapes.values():
            shape.fields = overrides.shorter(shape.fields) if shape.name in names else shape.fields
            shape.name = names.get(shape.name, shape.name)
            for member in shape.members.values():
                member.struct = names.get(member.struct, member.struct)
        family.shapes = {shape.name: shape for shape in family.shapes.values()}
    for function in functions:
        function.body = names.get(function.body, function.body)
        function.result = names.get(function.result, function.result)
