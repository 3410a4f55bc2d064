"""From described calls to functions: what each takes, what it answers, and which struct that is.

The answer is read off the envelope. Beside code and message it may hold one object (a *record*),
rows (a *list*, when the call is a GET), several values (a struct of them), nothing (*done*), or it
is a document (*file*).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from zoho_async.codegen import naming, words
from zoho_async.codegen.kinds import element_of, kind_of
from zoho_async.codegen.overrides import CallFix, Overrides, Twin
from zoho_async.codegen.spec import Call, Node, Source
from zoho_async.codegen.structs import Family, Objects, Shape, alike
from zoho_async.description import Answer, Kind

_ENVELOPE: Final = frozenset({"code", "message", "page_context", "error", "status_code"})
_VAGUE: Final = frozenset({"data", "info", "results", "result", "response", "details"})
_PAGING: Final = frozenset({"page", "per_page"})
_VERBS: Final = frozenset(
    [
        "list",
        "get",
        "create",
        "update",
        "upsert",
        "delete",
        "configure",
        "add",
        "remove",
        "apply",
        "send",
        "generate",
        "preview",
        "bulk",
    ]
)
#: What corrections say about answers, once those have been read.
_OF_THE_ANSWER: Final = (
    *("answer", "key", "order", "paged", "totals", "max_per_page"),
    *("changes", "per_page", "details"),
)
#: Functions that answer the record that their module is about, whatever the key says.
_OF_THE_RECORD: Final = frozenset({"create", "get", "list", "update", "upsert"})
_CHANGES: Final = "last_modified_time"
_JSON: Final = "application/json"


@dataclass
class Parameter:
    """An argument: ``name`` as Zoho writes it, ``argument`` as Python does."""

    name: str
    argument: str
    kind: Kind
    element: Kind | None = None
    required: bool = False
    allowed: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    max_length: int | None = None


@dataclass
class Function:
    """One operation as a function of ours, and what the corrections made of it."""

    name: str
    call: Call
    product: str
    resource: str
    source: str
    noun: str
    answer: Answer
    result: str = ""
    key: str = ""
    row_id: str = ""
    own_row_id: str | None = None
    order: str = ""
    paged: bool = False
    totals: bool = False
    per_user: bool = False
    max_per_page: int = 200
    accept: str = _JSON
    scope: str = ""
    path: str = ""
    status: int = 200
    batch: int | None = None
    purpose: str = ""
    body: str = ""
    body_many: bool = False
    upsert: bool = False
    ids: list[Parameter] = field(default_factory=list[Parameter])
    batches: list[Parameter] = field(default_factory=list[Parameter])
    query: list[Parameter] = field(default_factory=list[Parameter])
    uploads: list[Parameter] = field(default_factory=list[Parameter])
    fields: list[Parameter] = field(default_factory=list[Parameter])
    form: str = ""
    file_types: tuple[str, ...] = ()
    file_size: int | None = None
    fixed: dict[str, str] = field(default_factory=dict[str, str])
    twins: list[Twin] = field(default_factory=list[Twin])
    reply: tuple[Node, ...] = ()
    body_nodes: tuple[Node, ...] = ()
    objects: Objects = field(default_factory=dict[str, tuple[Node, ...]])
    changes: str = ""
    per_page: int = 200
    details: str = ""
    ignored: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    corrected: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.product}.{self.resource}.{self.name}"


class Reader:
    """Reads the calls of one source; its structs go into the two families."""

    def __init__(
        self, source: Source, overrides: Overrides, replies: Family, inputs: Family
    ) -> None:
        self.source = source
        own_name = words.snake(source.resource)
        self._where = f"{source.product}.{own_name}"
        given = overrides.of_resource(self._where)
        self.resource = (given and given.module) or own_name
        self.record = (given and given.noun) or words.singular(self.resource)
        self.is_guest = given is not None and given.guest
        self.noun = words.singular(self.resource) if self.is_guest else self.record
        self.also = given.also if given else ()
        self.main = words.camel(self.record)
        self._overrides = overrides
        self._replies = replies
        self._inputs = inputs
        self._by_object: dict[str, str] = {}

    def functions(self) -> list[Function]:
        """Every call of the source as a function, in the source's order."""
        calls = self.source.calls
        named = naming.names(calls, (self.noun, *self.also), self._given_name)
        functions = [self._function(call, named[call.id]) for call in calls]
        for function in functions:
            self._unlist(function, {other.name for other in functions})
        return functions

    def _unlist(self, function: Function, taken: set[str]) -> None:
        """A ``list`` function gives a `Pager`, and only that does: others are a ``get``."""
        verb, _, rest = function.name.partition("_")
        if verb == "list" and function.answer != "list":
            shorter = f"get_{rest}" if rest else "get_all"
            name = f"get_all_{rest}" if rest and shorter in taken else shorter
            function.name = name
        elif verb == "get" and function.answer == "list":
            plain = f"list_{rest.removeprefix('all_')}"
            function.name = f"list_{rest}" if plain in taken else plain

    def _given_name(self, call: Call) -> str | None:
        return self._overrides.name_of(f"{self._where}.{call.id}")

    def _function(self, call: Call, name: str) -> Function:
        full_id = f"{self._where}.{call.id}"
        fixes = [fix for fix in self._overrides.of_call(full_id) if _can_send(call, fix)]
        given = self._given_name(call)
        function = Function(
            name=name,
            call=call,
            product=self.source.product,
            resource=self.resource,
            source=self.source.resource,
            noun=self.noun,
            answer="done",
            scope=call.scope,
            path=call.path,
            status=call.status,
            batch=call.batch,
            purpose=self._overrides.purpose_of(full_id) or "",
            upsert=naming.is_upsert(call),
            objects=self.source.objects,
            corrected=bool(fixes or given),
        )
        for fix in fixes:
            _apply(function, fix)
        self._parameters(function, fixes)
        self._read_body(function, fixes)
        self._read_answer(function, fixes)
        return function

    # -- what it takes ------------------------------------------------------------------------

    def _parameters(self, function: Function, fixes: list[CallFix]) -> None:
        call = function.call
        described = {node.name: node for node in call.ids}
        for name in re.findall(r"{:?([^}]+)}", function.path):
            node = described.get(name, Node(name=name, type="string"))
            kind: Kind = "id" if name.endswith("id") else "text"
            argument = words.identifier(name)
            function.ids.append(Parameter(node.name, argument, kind, required=True))
        dropped = {name for fix in fixes for name in fix.drop}
        dropped |= {each.name for each in function.ids}  # the path says it already
        nodes = [node for node in call.query if node.name not in dropped | function.fixed.keys()]
        for node in nodes:
            if not any(node.name in other.variants for other in nodes if other is not node):
                self._parameter(function, node, function.query)
        for node in self._form_fields(call):
            if node.name not in dropped:
                self._parameter(function, node, function.fields)
        for fix in fixes:
            for extra in fix.query:
                function.query.append(
                    Parameter(
                        extra.name,
                        words.identifier(extra.name),
                        extra.kind,
                        extra.element,
                        extra.required,
                        extra.allowed,
                    )
                )
            if fix.upload and all(upload.name != fix.upload for upload in function.uploads):
                argument = words.identifier(fix.upload)
                function.uploads.append(Parameter(fix.upload, argument, "any", required=True))
        if not function.call.body:
            for upload in function.uploads:
                upload.required = True
        if any(each.name == "sort_column" for each in function.query) and all(
            each.name != "sort_order" for each in function.query
        ):
            at = [each.name for each in function.query].index("sort_column") + 1
            order = Parameter("sort_order", "sort_order", "text", allowed=("A", "D"))
            function.query.insert(at, order)

    def _form_fields(self, call: Call) -> tuple[Node, ...]:
        """The fields of a multipart form, its files among them."""
        forms = [each for each in call.body if each.media == "multipart/form-data"]
        return tuple(n for each in forms for n in self.source.objects.get(each.node.object, ()))

    def _parameter(self, function: Function, node: Node, others: list[Parameter]) -> None:
        """Take up a parameter: a file, many ids, or one of ``others``."""
        kind = kind_of(node, "query")
        parameter = Parameter(
            name=node.name,
            argument=words.identifier(node.name),
            kind=kind,
            element=element_of(node, "query") if kind == "list" else None,
            required=node.required,
            allowed=() if kind == "boolean" else node.allowed,
            variants=node.variants,
            max_length=node.max_length,
        )
        if node.format == "binary" or node.name in {"attachment", "attachments", "receipt"}:
            parameter.required = node.required
            function.uploads.append(parameter)
        elif kind == "list" and (node.required or self._is_batch(function, node)):
            parameter.required = True
            function.batches.append(parameter)
        else:
            others.append(parameter)

    def _is_batch(self, function: Function, node: Node) -> bool:
        """Whether a function works on the records that a parameter names, rather than filters."""
        return node.name == f"{self.noun}_ids" and function.name != "list"

    def _read_body(self, function: Function, fixes: list[CallFix]) -> None:
        for content in function.call.body:
            if content.media == "multipart/form-data":
                continue
            node = content.node
            inner = node.items if node.type == "array" and node.items else node
            fields = self.source.objects.get(inner.object, ())
            function.body_nodes = fields
            function.body_many = node.type == "array"
            function.body = self._input(function, fields) if fields else "raw"
        for fix in fixes:
            function.body = fix.body if fix.body is not None else function.body

    def _input(self, function: Function, fields: tuple[Node, ...]) -> str:
        objects = self.source.objects
        noun = _noun(function.name)
        for holder in (noun, f"{noun}s"):
            shared = self._inputs.shared(holder, fields, self.resource)
            if shared:
                return self._inputs.add(*shared, fields, objects).name
        present = {node.name for node in fields}
        main = self._inputs.shapes.get(f"{self.main}Input")
        if not noun or (main and len(present & main.members.keys()) > 0.8 * len(main.members)):
            return self._inputs.add(f"{self.main}Input", self.resource, fields, objects).name
        name = self._inputs.named(self.main, noun)
        known = self._inputs.shapes.get(name)
        if known is not None and not alike(known, present):
            name = self._inputs.named(self.main, function.name)
        return self._inputs.add(name, self.resource, fields, objects).name

    # -- what it answers ----------------------------------------------------------------------

    def _read_answer(self, function: Function, fixes: list[CallFix]) -> None:
        files = [each.media for each in function.call.reply if each.media != _JSON]
        shapes = [each.node for each in function.call.reply if each.media == _JSON]
        envelope = self.source.objects.get(shapes[0].object, ()) if shapes else ()
        record = next((fix.record for fix in reversed(fixes) if fix.record), None)
        held = {node.name: node for node in envelope if node.name not in _ENVELOPE}
        if function.key in held:  # a correction chose one of several keys
            held = {function.key: held[function.key]}
        if function.answer == "file" or (files and not held):
            self._answers_file(function, files)
        elif record is not None:
            self._answers_known(function, record)
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
        function.totals = function.totals and function.paged and "{" not in function.path

    def _answers_file(self, function: Function, files: list[str]) -> None:
        function.answer = "file"
        if function.accept == _JSON:
            function.accept = ", ".join(files) or "*/*"

    def _answers_known(self, function: Function, record: str) -> None:
        """An answer that no description details, but whose struct the overrides know."""
        shape = self._replies.shapes.get(record)
        if shape is None:
            raise LookupError(f"{function.full_name}: no struct {record!r} is known at this point")
        function.answer = "list" if function.name.startswith("list") else "record"
        function.result = record
        self._top_level(function, shape)

    def _answers_values(
        self, function: Function, held: dict[str, Node], envelope: tuple[Node, ...]
    ) -> None:
        objects = self.source.objects
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
        noun = one.name if one is not None else f"{_noun(function.name) or function.name}_result"
        name = self._replies.named(self.main, noun)
        name = f"{name}Result" if name == self.main else name
        shape = self._replies.add(name, self.resource, function.reply, objects, self.main)
        shape.base = "Record"
        function.result = shape.name

    def _answers_one_kind(self, function: Function, answer: Answer, node: Node) -> bool:
        """Take one envelope key's object, or its rows', for the answer; False where it has none."""
        origin = (node.items or node).object
        fields = self.source.objects.get(origin, ())
        if not fields:
            return False
        function.answer, function.key, function.reply = answer, node.name, fields
        shape = self._record(function, node.name, origin, fields)
        function.result = shape.name
        self._top_level(function, shape)
        return True

    def _record(self, function: Function, key: str, origin: str, fields: tuple[Node, ...]) -> Shape:
        """The struct of the object under an envelope key."""
        objects = self.source.objects
        main = self._replies.shapes.get(self.main)
        is_main = words.singular(words.snake(key)) in {self.record, self.record.replace("_", "")}
        if not is_main and self.record == self.noun and function.name in _OF_THE_RECORD:
            is_main = main is None or alike(main, {node.name for node in fields})
        if is_main:
            return self._replies.add(self.main, self.resource, fields, objects)
        if key in _VAGUE:
            noun = _noun(function.name) or function.name
            name = self._by_object.setdefault(origin, self._replies.named(self.main, noun))
            return self._replies.add(name, self.resource, fields, objects)
        shared = self._replies.shared(key, fields, self.resource)
        if shared:
            return self._replies.add(*shared, fields, objects)
        one = words.singular(words.snake(key))
        name, home = self._replies.nested(one, (self.main,), fields, self.resource)
        return self._replies.add(name, home, fields, objects)

    def _top_level(self, function: Function, shape: Shape) -> None:
        shape.base = "Record"
        called = (self.record, *self.also) if shape.name == self.main else (function.key,)
        shape.called += called if called[0] not in shape.called else ()
        if function.answer == "list":
            self._list_facts(function)

    def _list_facts(self, function: Function) -> None:
        described = {node.name for node in function.call.query}
        function.paged = True
        sorts = [each for each in function.query if each.name == "sort_column"]
        if any("created_time" in each.allowed for each in sorts):
            function.order = "created_time"
        function.totals = "response_option" in described
        if any(each.name == _CHANGES for each in function.query):
            function.changes = _CHANGES
        function.query = [each for each in function.query if each.name not in _PAGING]


def _can_send(call: Call, fix: CallFix) -> bool:
    """Whether a call knows the parameters that a correction always sends."""
    return fix.fixed.keys() <= {node.name for node in call.query}


def own_id(shape: Shape, nouns: Sequence[str]) -> str:
    """The field that names a record: ``invoice_id`` of an invoice; "" where it has none.

    In doubt a record has none: rows with the wrong id would be taken for repetitions.
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


def _reads_many(function: Function) -> bool:
    """Whether a call reads rows: a GET that does not end in the id of one record."""
    if function.call.method != "GET":
        return False
    return function.name.startswith("list") or not function.path.endswith("}")


def _holds_one(function: Function, node: Node) -> bool:
    """Whether an array in a reply stands for one record, as its key or its path tells."""
    if node.type != "array":
        return False
    is_read = function.call.method == "GET" and function.path.endswith("}")
    return is_read or words.singular(node.name) == node.name


def _noun(name: str) -> str:
    """What a function is about, without its verb: ``add_comment`` -> ``comment``."""
    tokens = name.split("_")
    many = tokens[0] == "bulk"
    while tokens and tokens[0] in _VERBS:
        tokens.pop(0)
    return "_".join(["bulk", *tokens] if many and tokens else tokens)


def _apply(function: Function, fix: CallFix) -> None:
    """Take over the plain facts of a correction."""
    plain = ("answer", "key", "per_user", "accept", "status", "batch", "scope", "path")
    for name in (*plain, "form", "file_types", "file_size"):
        value = getattr(fix, name)
        if value is not None:
            setattr(function, name, value)
    function.ignored += fix.ignored
    function.alternatives += fix.alternatives
    function.fixed.update(fix.fixed)
    function.twins.extend(fix.twins)
