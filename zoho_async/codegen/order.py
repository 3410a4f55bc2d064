"""The order of a struct's fields, which follows the order of the JSON.

Model
-----
msgspec looks for each key of an object from the field after the last match, and wraps around. A
key in the expected position costs one comparison. Any other key costs up to as many comparisons as
the struct has fields, and a page of invoices has 14,000 keys. Bulk reads are lists, so a struct's
fields have the order of lists. Fields that no list sends come last.

Evidence
--------
The description of a list names its fields in the order of the JSON. That was true of all described
fields in the recorded lists of contacts (18 of 43) and projects (12 of 18). If a whole recorded
row is known, the overrides give its ``order``, which takes priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoho_async.codegen.functions import Function
from zoho_async.codegen.overrides import FieldFix
from zoho_async.codegen.spec import Node
from zoho_async.codegen.structs import Family, Objects, StructShape


def follow_lists(functions: Iterable[Function], replies: Family) -> None:
    """Sort the fields of listed records, and of the objects in them, by their lists."""
    done: set[str] = set()
    for function in sorted(functions, key=lambda function: function.name != "list"):
        shape = replies.shapes.get(function.result)
        if function.answer == "list" and shape is not None:
            _follow(shape, function.reply, function.reply_objects, replies, done)


def follow_recorded(fix: FieldFix, shape: StructShape) -> bool:
    """Move the recorded fields to the front. Returns whether that changed anything."""
    before = list(shape.members)
    lead(shape, fix.order)
    return list(shape.members) != before


def lead(shape: StructShape, names: Iterable[str]) -> None:
    """Move the fields called ``names`` to the front, in that order."""
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
