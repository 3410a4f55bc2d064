"""The arguments of a function: path ids, batches, filters, files and the body."""

from __future__ import annotations

import re

from zoho_async.codegen import naming, words
from zoho_async.codegen.functions import Function, Parameter, Subject
from zoho_async.codegen.kinds import element_of, kind_of
from zoho_async.codegen.overrides import CallFix
from zoho_async.codegen.spec import CallSpec, Node
from zoho_async.codegen.structs import Family, alike
from zoho_async.description import Kind


class Arguments:
    """Derives the arguments of functions. The structs of their bodies go into ``inputs``."""

    def __init__(self, subject: Subject, inputs: Family) -> None:
        self._subject = subject
        self._objects = subject.source.objects
        self._inputs = inputs

    def read_parameters(self, function: Function, fixes: list[CallFix]) -> None:
        call = function.call
        described = {node.name: node for node in call.ids}
        for name in re.findall(r"{:?([^}]+)}", function.path):
            node = described.get(name, Node(name=name, type="string"))
            kind: Kind = "id" if name.endswith("id") else "text"
            argument = words.identifier(name)
            function.ids.append(Parameter(node.name, argument, kind, required=True))
        dropped = {name for fix in fixes for name in fix.drop}
        dropped |= {each.name for each in function.ids}  # already in the path
        nodes = [node for node in call.query if node.name not in dropped | function.fixed.keys()]
        for node in nodes:
            if not any(node.name in other.variants for other in nodes if other is not node):
                self._parameter(function, node, function.query)
        for node in self._form_fields(call):
            if node.name not in dropped:
                self._parameter(function, node, function.fields)
        for fix in fixes:
            for extra in fix.query:
                argument = words.identifier(extra.name)
                added = Parameter(extra.name, argument, extra.kind, extra.element, extra.required)
                added.allowed = extra.allowed
                ids = extra.kind == "list" and extra.required
                (function.batches if ids else function.query).append(added)
            if fix.upload and all(upload.name != fix.upload for upload in function.uploads):
                argument = words.identifier(fix.upload)
                function.uploads.append(Parameter(fix.upload, argument, "any", required=True))
            for each in function.query:
                each.allowed = each.allowed or fix.values.get(each.name, ())
        if not function.call.body:
            for upload in function.uploads:
                upload.required = True
        if any(each.name == "sort_column" for each in function.query) and all(
            each.name != "sort_order" for each in function.query
        ):
            at = [each.name for each in function.query].index("sort_column") + 1
            function.query.insert(at, Parameter("sort_order", "sort_order", "text"))
        for each in function.query:
            if each.name == "sort_order":
                each.allowed = each.allowed or ("A", "D")
        self._limit(function)

    def _limit(self, function: Function) -> None:
        """Join an operation's batch limit to the ids that it applies to."""
        known = [each for each in (*function.batches, *function.query) if each.kind == "list"]
        own = [each for each in known if each.name.replace("_", "") == self._own_ids]
        first = [*own, *(each for each in known if each.most), *function.batches][:1]
        for each in first:
            each.most = each.most or function.batch
            function.batch = each.most

    @property
    def _own_ids(self) -> str:
        return f"{self._subject.noun}_ids".replace("_", "")

    def _form_fields(self, call: CallSpec) -> tuple[Node, ...]:
        """The fields and files of a multipart form."""
        forms = [each for each in call.body if each.media == "multipart/form-data"]
        return tuple(n for each in forms for n in self._objects.get(each.node.object, ()))

    def _parameter(self, function: Function, node: Node, others: list[Parameter]) -> None:
        """Add a parameter as a file, as a list of ids, or to ``others``."""
        kind = kind_of(node, "query")
        parameter = Parameter(
            name=node.name,
            argument=words.identifier(node.name),
            kind=kind,
            element=element_of(node, "query") if kind == "list" else None,
            required=node.required,
            # A pattern such as ``cf_(...)`` is no value; `extra_query` takes such columns.
            allowed=() if kind == "boolean" else tuple(v for v in node.allowed if "(" not in v),
            variants=node.variants,
            max_length=node.max_length,
            most=node.max_items if kind == "list" else None,
            regions=node.regions,
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
        """Whether a parameter names the records that a function acts on, instead of filtering."""
        return node.name == f"{self._subject.noun}_ids" and function.name != "list"

    def read_body(self, function: Function, fixes: list[CallFix]) -> None:
        for content in function.call.body:
            if content.media == "multipart/form-data":
                continue
            node = content.node
            inner = node.items if node.type == "array" and node.items else node
            fields = self._objects.get(inner.object, ())
            fields = tuple(each for each in fields if each.name not in function.sends)
            function.body_nodes = fields
            function.body_many = node.type == "array"
            function.body = self._input(function, fields) if fields else "raw"
        for fix in fixes:
            function.body = fix.body if fix.body is not None else function.body

    def _input(self, function: Function, fields: tuple[Node, ...]) -> str:
        objects, subject = self._objects, self._subject
        noun = naming.noun_of(function.name)
        for holder in (noun, f"{noun}s"):
            shared = self._inputs.shared(holder, fields, subject.resource)
            if shared:
                return self._inputs.add(*shared, fields, objects).name
        present = {node.name for node in fields}
        main = self._inputs.shapes.get(f"{subject.main}Input")
        if not noun or (main and len(present & main.members.keys()) > 0.8 * len(main.members)):
            return self._inputs.add(f"{subject.main}Input", subject.resource, fields, objects).name
        name = self._inputs.named(subject.main, noun)
        known = self._inputs.shapes.get(name)
        if known is not None and not alike(known, present):
            name = self._inputs.named(subject.main, function.name)
        return self._inputs.add(name, subject.resource, fields, objects).name
