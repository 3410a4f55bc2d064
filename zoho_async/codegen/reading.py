"""Turn the described calls of one source into functions."""

from __future__ import annotations

from zoho_async.codegen import naming, words
from zoho_async.codegen.answers import Answers
from zoho_async.codegen.arguments import Arguments
from zoho_async.codegen.functions import Function, Subject
from zoho_async.codegen.overrides import CallFix, Overrides
from zoho_async.codegen.reports import report_of
from zoho_async.codegen.spec import CallSpec, Source
from zoho_async.codegen.structs import Family


class SpecReader:
    """Reads the calls of one source. Its structs go into the two families."""

    def __init__(
        self, source: Source, overrides: Overrides, replies: Family, inputs: Family
    ) -> None:
        own_name = words.snake(source.resource)
        self._where = f"{source.product}.{own_name}"
        given = overrides.of_resource(self._where)
        resource = (given and given.module) or own_name
        record = (given and given.noun) or words.singular(resource)
        self.is_guest = given is not None and given.guest
        self.subject = Subject(
            source=source,
            resource=resource,
            record=record,
            noun=words.singular(resource) if self.is_guest else record,
            also=given.also if given else (),
        )
        self._overrides = overrides
        self._arguments = Arguments(self.subject, inputs)
        self._answers = Answers(self.subject, replies)

    def functions(self) -> list[Function]:
        """Every call of the source as a function, in the source's order."""
        subject = self.subject
        calls = subject.source.calls
        named = naming.names(calls, (subject.noun, *subject.also), self._given_name)
        functions = [self._function(call, named[call.id]) for call in calls]
        for function in functions:
            self._unlist(function, {other.name for other in functions})
        return functions

    def _unlist(self, function: Function, taken: set[str]) -> None:
        """Keep ``list`` for functions that return a `Pager`; others become a ``get``."""
        verb, _, rest = function.name.partition("_")
        if verb == "list" and function.answer != "list":
            shorter = f"get_{rest}" if rest else "get_all"
            name = f"get_all_{rest}" if rest and shorter in taken else shorter
            function.name = name
        elif verb == "get" and function.answer == "list":
            plain = f"list_{rest.removeprefix('all_')}"
            function.name = f"list_{rest}" if plain in taken else plain

    def _given_name(self, call: CallSpec) -> str | None:
        report = report_of(self.subject.source, call)
        return report.name if report else self._overrides.name_of(f"{self._where}.{call.id}")

    def _function(self, call: CallSpec, name: str) -> Function:
        full_id = f"{self._where}.{call.id}"
        fixes = [fix for fix in self._overrides.of_call(full_id) if _can_send(call, fix)]
        given = self._given_name(call)
        subject, source = self.subject, self.subject.source
        function = Function(
            name=name,
            call=call,
            product=source.product,
            resource=subject.resource,
            source=source.resource,
            noun=subject.noun,
            answer="done",
            scope=call.scope,
            path=call.path,
            status=call.status,
            batch=call.batch,
            upsert=naming.is_upsert(call),
            objects=source.objects,
            reply_objects=source.objects,
            corrected=bool(fixes or given),
            report=report_of(source, call),
        )
        for fix in fixes:
            _apply(function, fix)
        self._arguments.read_parameters(function, fixes)
        self._arguments.read_body(function, fixes)
        self._answers.read_answer(function, fixes)
        return function


def _can_send(call: CallSpec, fix: CallFix) -> bool:
    """Whether a call has the parameters that a correction always sends."""
    return fix.fixed.keys() <= {node.name for node in call.query}


def _apply(function: Function, fix: CallFix) -> None:
    """Copy the plain facts of a correction."""
    plain = ("answer", "key", "per_user", "accept", "status", "batch", "scope", "path", "note")
    for name in (*plain, "form", "file_types", "file_size"):
        value = getattr(fix, name)
        if value is not None:
            setattr(function, name, value)
    function.optional += fix.optional
    function.ignored += fix.ignored
    function.alternatives += fix.alternatives
    function.fixed.update(fix.fixed)
    function.sends.update(fix.sends)
    function.twins.extend(fix.twins)
