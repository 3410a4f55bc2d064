"""The order of a struct's fields: that in which the wire sends them.

msgspec looks for each key of an object from the field after the one that it found last, and goes
round. A key that comes in its turn costs one comparison, one out of its turn as many as the struct
has fields, and a page of invoices has 14,000 keys. What is read in bulk are lists, so a struct's
fields stand as a list sends them, and those that no list has come after these.

The description of a list names its fields in the wire's order: so it was for all fields of the
recorded lists of contacts (18 described of 43 sent) and projects (12 of 18). Where the whole of a
recorded row is known, the overrides give its ``order``, which wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoho_async.codegen.functions import Function
from zoho_async.codegen.overrides import FieldFix
from zoho_async.codegen.spec import Node
from zoho_async.codegen.structs import Family, Objects, StructShape


def follow_lists(functions: Iterable[Function], replies: Family) -> None:
    """Put the fields of listed records, and of what they hold, in the order of their lists."""
    done: set[str] = set()
    for function in sorted(functions, key=lambda function: function.name != "list"):
        shape = replies.shapes.get(function.result)
        if function.answer == "list" and shape is not None:
            _follow(shape, function.reply, function.reply_objects, replies, done)


def follow_recorded(fix: FieldFix, shape: StructShape) -> bool:
    """Put the fields that were recorded first; whether that changes anything."""
    before = list(shape.members)
    lead(shape, fix.order)
    return list(shape.members) != before


def lead(shape: StructShape, names: Iterable[str]) -> None:
    """Let the fields called ``names`` stand first, in their order."""
    known = shape.members
    shape.members = {name: known[name] for name in names if name in known} | known


def _follow(
    shape: StructShape, nodes: Sequence[Node], objects: Objects, replies: Family, done: set[str]
) -> None:
    if shape.name in done:
        return
    done.add(shape.name)
    lead(shape, [node.name for node in nodes])
    for node in nodes:
        fields = objects.get((node.items or node).object, ())
        held = shape.members[node.name].struct if node.name in shape.members else ""
        if fields and held in replies.shapes:
            _follow(replies.shapes[held], fields, objects, replies, done)
