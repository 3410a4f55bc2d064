"""The result of a function and its struct, derived from the reply's envelope.

Apart from code and message, a reply can hold one object (a *record*), rows (a *list*, if the call
is a GET), several values (a struct of them) or nothing (*done*). It can also be a document
(*file*).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from zoho_async.codegen import naming, words
from zoho_async.codegen.functions import JSON, Function, Subject
from zoho_async.codegen.overrides import CallFix
from zoho_async.codegen.spec import Node
from zoho_async.codegen.structs import Family, StructShape, alike
from zoho_async.description import Answer

#: The keys of an envelope other than its value.
ENVELOPE: Final = frozenset({"code", "message", "page_context", "error", "status_code"})
_VAGUE: Final = frozenset({"data", "info", "results", "result", "response", "details"})
_PAGING: Final = frozenset({"page", "per_page"})
#: The corrections of a result, which apply after it was derived.
_OF_THE_ANSWER: Final = (
    *("answer", "key", "order", "paged", "totals", "max_per_page"),
    *("changes", "per_page", "details"),
)
#: Functions whose result is the record of their module, whatever the key is.
_OF_THE_RECORD: Final = frozenset({"create", "get", "list", "update", "upsert"})
_CHANGES: Final = "last_modified_time"


class Answers:
    """Derives the results of functions. Their structs go into ``replies``."""

    def __init__(self, subject: Subject, replies: Family) -> None:
        self._subject = subject
        self._objects = subject.source.objects
        self._replies = replies
        self._by_object: dict[str, str] = {}

    def read_answer(self, function: Function, fixes: list[CallFix]) -> None:
        files = [each.media for each in function.call.reply if each.media != JSON]
        shapes = [each.node for each in function.call.reply if each.media == JSON]
        envelope = self._objects.get(shapes[0].object, ()) if shapes else ()
        record = next((fix.record for fix in reversed(fixes) if fix.record), None)
        held = {node.name: node for node in envelope if node.name not in ENVELOPE}
        if function.key in held:  # a correction selected one of several keys
            held = {function.key: held[function.key]}
        outer, _, inner = function.key.partition(".")
        if inner and outer in held:
            rows = next(one for one in self._objects[held[outer].object] if one.name == inner)
            held = {function.key: msgspec.structs.replace(rows, name=function.key)}
        if function.answer == "file" or (files and not held):
            self._answers_file(function, files)
        elif record is not None:
            self._answers_known(function, record)
        elif any(fix.bare for fix in fixes):
            self._answers_bare(function, tuple(held.values()))
        elif held:
            self._answers_values(function, held, envelope)
        for fix in fixes:
            if fix.row_id is not None:
                function.own_row_id = fix.row_id
            for name in _OF_THE_ANSWER:
                value = getattr(fix, name)
                if value is not None and (value != "record" or function.key):
                    setattr(function, name, value)
        function.paged = function.paged and function.answer == "list"
        counts = not function.call.evidence or _describes_totals(function)
        function.totals = function.totals and function.paged and "{" not in function.path and counts

    def _answers_file(self, function: Function, files: list[str]) -> None:
        function.answer = "file"
        if function.accept == JSON:
            function.accept = ", ".join(files) or "*/*"

    def _answers_known(self, function: Function, record: str) -> None:
        """Use a struct from the overrides for a reply that is not described."""
        shape = self._replies.shapes.get(record)
        if shape is None:
            raise LookupError(f"{function.full_name}: no struct {record!r} is known at this point")
        function.answer = "list" if function.name.startswith("list") else "record"
        function.result = record
        self._top_level(function, shape)

    def _answers_bare(self, function: Function, fields: tuple[Node, ...]) -> None:
        """Use a record whose fields are described without their envelope."""
        function.answer, function.reply = "record", fields
        shape = self._record(function, function.key, "", fields)
        function.result = shape.name
        self._top_level(function, shape)

    def _answers_values(
        self, function: Function, held: dict[str, Node], envelope: tuple[Node, ...]
    ) -> None:
        objects, subject = self._objects, self._subject
        nodes = list(held.values())
        rows = [node for node in nodes if node.type == "array" and node.items is not None]
        one = nodes[0] if len(nodes) == 1 else None
        paged = any(node.name == "page_context" for node in envelope)
        many = _reads_many(function) and rows and (one is not None or paged)
        if many and self._answers_one_kind(function, "list", rows[0]):
            return
        if one is not None and (one.object or _holds_one(function, one)):
            plural = words.singular(one.name) != one.name
            kind: Answer = "list" if plural and function.name.startswith("list") else "record"
            if self._answers_one_kind(function, kind, one):
                return
        function.answer, function.reply = "values", tuple(nodes)
        about = naming.noun_of(function.name) or function.name
        noun = one.name if one is not None else f"{about}_result"
        name = self._replies.named(subject.main, noun)
        name = f"{name}Result" if name == subject.main else name
        shape = self._replies.add(name, subject.resource, function.reply, objects, subject.main)
        shape.base = "Record"
        function.result = shape.name

    def _answers_one_kind(self, function: Function, answer: Answer, node: Node) -> bool:
        """Use the object (or the rows) of one envelope key; False if it is not described.

        An object without fields is described: all of them are undescribed.
        """
        origin = (node.items or node).object
        if origin not in self._objects:
            return False
        fields = self._objects[origin]
        function.answer, function.key, function.reply = answer, node.name, fields
        shape = self._record(function, node.name, origin, fields)
        function.result = shape.name
        self._top_level(function, shape)
        return True

    def _record(
        self, function: Function, key: str, origin: str, fields: tuple[Node, ...]
    ) -> StructShape:
        """The struct of the object under an envelope key."""
        objects, subject = self._objects, self._subject
        key = key.rpartition(".")[2]
        main = self._replies.shapes.get(subject.main)
        names = {subject.record, subject.record.replace("_", "")}
        is_main = words.singular(words.snake(key)) in names
        if not is_main and subject.record == subject.noun and function.name in _OF_THE_RECORD:
            is_main = main is None or alike(main, {node.name for node in fields})
        if is_main:
            return self._replies.add(subject.main, subject.resource, fields, objects)
        if function.report is not None:
            name = self._replies.named(subject.main, function.name)
            return self._replies.add(name, subject.resource, fields, objects)
        if key in _VAGUE:
            noun = naming.noun_of(function.name) or function.name
            name = self._by_object.setdefault(origin, self._replies.named(subject.main, noun))
            return self._replies.add(name, subject.resource, fields, objects)
        shared = self._replies.shared(key, fields, subject.resource)
        if shared:
            return self._replies.add(*shared, fields, objects)
        one = words.singular(words.snake(key))
        name, home = self._replies.nested(one, (subject.main,), fields, subject.resource)
        return self._replies.add(name, home, fields, objects)

    def _top_level(self, function: Function, shape: StructShape) -> None:
        shape.base, subject = "Record", self._subject
        key = function.key.rpartition(".")[2]
        called = (subject.record, *subject.also) if shape.name == subject.main else (key,)
        shape.called += called if called[0] not in shape.called else ()
        if function.answer == "list":
            self._list_facts(function)

    def _list_facts(self, function: Function) -> None:
        function.paged = True
        sorts = [each for each in function.query if each.name == "sort_column"]
        if any("created_time" in each.allowed for each in sorts):
            function.order = "created_time"
        function.totals = _describes_totals(function)
        if any(each.name == _CHANGES for each in function.query):
            function.changes = _CHANGES
        function.query = [each for each in function.query if each.name not in _PAGING]


def own_id(shape: StructShape, nouns: Sequence[str]) -> str:
    """The id field of a record (``invoice_id`` of an invoice), or "" if it has none.

    If in doubt it has none, because rows with the wrong id would look like repeated rows.
    """
    fields = [name for name, member in shape.members.items() if member.kind in {"id", "text"}]
    wanted = [words.singular(words.snake(noun)).replace("_", "") for noun in nouns]
    for ending in ("_id", "_code"):
        ids = {
            name: name.removesuffix(ending).replace("_", "")
            for name in fields
            if name.endswith(ending)
        }
        exact = [name for name, bare in ids.items() if bare in wanted]
        longer = [name for name, bare in ids.items() if bare.endswith(tuple(wanted))]
        shorter = [name for name, bare in ids.items() if any(w.endswith(bare) for w in wanted)]
        if exact or shorter or longer:
            return [*exact, *shorter, *longer][0]
    return ""


def _describes_totals(function: Function) -> bool:
    return any(node.name == "response_option" for node in function.call.query)


def _reads_many(function: Function) -> bool:
    """Whether a call reads rows: a GET that does not end in the id of one record."""
    if function.call.method != "GET":
        return False
    return function.name.startswith("list") or not function.path.endswith("}")


def _holds_one(function: Function, node: Node) -> bool:
    """Whether an array in a reply holds one record, judged by its key or path."""
    if node.type != "array":
        return False
    is_read = function.call.method == "GET" and function.path.endswith("}")
    return is_read or words.singular(node.name) == node.name
