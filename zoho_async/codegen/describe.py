"""Write ``description.json``, the facts that `zoho_async.description` provides at run time."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from zoho_async.codegen.functions import Function, Parameter
from zoho_async.codegen.kinds import Place, kind_of, takes_percent
from zoho_async.codegen.model import Model
from zoho_async.codegen.spec import Node
from zoho_async.codegen.structs import Family, Member, Objects, StructShape
from zoho_async.description import Description, Field, OperationFacts

_UPSERT: Final = (
    Field(name="X-Unique-Identifier-Key", kind="text", required=True),
    Field(name="X-Unique-Identifier-Value", kind="text", required=True),
    Field(name="X-Upsert", kind="boolean"),
)


def describe(model: Model) -> bytes:
    """The packed description of a product."""
    facts = tuple(
        _facts(model, function) for resource in model.resources for function in resource.functions
    )
    errors = {
        f"{model.product}.{resource.name}": resource.errors
        for resource in model.resources
        if resource.errors
    }
    packed = msgspec.json.encode(Description(operations=facts, errors=errors))
    return re.sub(rb'(\{"name":"[a-z]+\.[a-z_]+\.[a-z_]+",)', rb"\n\1", packed) + b"\n"


def _facts(model: Model, function: Function) -> OperationFacts:
    shape = model.replies.shapes.get(function.result)
    query = [*function.batches, *function.uploads, *function.fields, *function.query]
    if function.paged:
        query += [Parameter(name, name, "integer") for name in ("page", "per_page")]
    fixed = [node for node in function.call.query if node.name in function.fixed]
    query += [Parameter(node.name, node.name, "text", allowed=node.allowed) for node in fixed]
    body = model.inputs.shapes.get(function.body)
    return OperationFacts(
        name=function.full_name,
        method=function.call.method,
        path=function.path,
        answer=function.answer,
        scope=function.scope,
        key=function.key,
        status=function.status,
        query=tuple(_parameter(each) for each in query),
        headers=_UPSERT if function.upsert else (),
        body=_fields(function.body_nodes, body, model.inputs, function.objects, "body"),
        reply=_fields(function.reply, shape, model.replies, function.reply_objects, "reply")
        or _known(shape, model.replies),
        row_id=function.row_id,
        order=function.order,
        paged=function.paged,
        totals=function.totals,
        max_per_page=function.max_per_page,
        per_user=function.per_user,
        changes=function.changes,
        per_page=function.per_page,
        details=function.details,
        batch=function.batch,
        ignored=function.ignored,
        alternatives=function.alternatives,
        unconfirmed=function.call.unconfirmed,
        evidence=function.call.evidence,
        confidence=function.call.confidence,
    )


def _known(shape: StructShape | None, family: Family, depth: int = 0) -> tuple[Field, ...]:
    """The fields of a reply that is not described, taken from its struct."""
    if shape is None or depth > 6:
        return ()
    return tuple(
        Field(
            name=member.name,
            kind=member.kind,
            element=None if member.struct else member.element,
            fields=_known(family.shapes.get(member.struct), family, depth + 1),
            percent=member.may_be_share,
        )
        for member in shape.members.values()
    )


def _parameter(parameter: Parameter) -> Field:
    return Field(
        name=parameter.name,
        kind=parameter.kind,
        required=parameter.required,
        allowed=parameter.allowed,
        max_length=parameter.max_length,
        element=parameter.element,
        variants=parameter.variants,
    )


def _fields(
    nodes: tuple[Node, ...],
    shape: StructShape | None,
    family: Family,
    objects: Objects,
    place: Place,
    depth: int = 0,
) -> tuple[Field, ...]:
    """The fields that one call describes, with the kinds of their struct."""
    fields: list[Field] = []
    for node in nodes:
        known = shape.members.get(node.name) if shape else None
        if place == "body" and node.read_only:
            continue
        member = known or Member(node.name, kind_of(node, place), percent=takes_percent(node))
        inner = objects.get((node.items or node).object, ())
        held = family.shapes.get(member.struct)
        below = _fields(inner, held, family, objects, place, depth + 1) if depth < 6 else ()
        fields.append(
            Field(
                name=node.name,
                kind=member.kind,
                required=node.required,
                allowed=member.allowed,
                max_length=node.max_length,
                element=None if below else member.element,
                fields=below,
                percent=member.may_be_share,
            )
        )
    return tuple(fields)
