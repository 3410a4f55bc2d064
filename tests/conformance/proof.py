"""The proof of one function: it is called with the described examples and checked.

The server compares the request with the examples and the schemas. The reply is the described
example, and every value of it must be in the result. A difference is either a patch with a name or
a problem.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tests.conformance import samples
from tests.conformance.case import JSON, ORGANIZATION, Case
from tests.conformance.functions import Function, any_filters
from tests.conformance.given import Given
from tests.conformance.judgement import FILE, Judgement, short
from tests.conformance.losses import Losses
from tests.conformance.official import Described, Json, Schema
from tests.conformance.patches import Patches
from tests.conformance.server import Server
from tests.conformance.walking import Walking
from zoho_async import Credentials, Download, Limits, Session, ZohoError
from zoho_async.http.download import Downloads
from zoho_async.limits import MemoryLedger
from zoho_async.operation import ListOperation
from zoho_async.paging import Page
from zoho_async.wire import Record


def session(credentials: Credentials, server: Server) -> Session:
    """A session with ``server`` that never waits for limits."""
    return Session(
        credentials,
        organization=ORGANIZATION,
        api_url=server.url,
        accounts_url=server.url,
        limits=Limits(limit=10**6, burst=10**6, in_flight=1000),
        ledger=MemoryLedger(),
    )


class Proof:
    """One function checked against one described operation."""

    def __init__(
        self, described: Described, function: Function, others: frozenset[str] = frozenset()
    ) -> None:
        self._case: Final = Case(described, function, others)
        self.losses: Final = Losses(described.document, self._case.patches)
        self.walked = False

    @property
    def name(self) -> str:
        """The function's name."""
        return self._case.function.name

    @property
    def is_list(self) -> bool:
        """Whether the function returns a list."""
        return self._case.is_list

    @property
    def problems(self) -> list[str]:
        """The differences that no patch explains."""
        return self._case.problems

    @property
    def patches(self) -> Patches:
        """The patches that were needed."""
        return self._case.patches

    async def run(self, zoho: Session, server: Server) -> None:
        """Call the function and collect the problems."""
        for name in self._case.function.unbound:
            self.problems.append(f"parameter {name} goes nowhere")
        self.problems.extend(self._scope())
        given = Given(self._case)
        judgement = Judgement(self._case, given)
        calls = server.calls
        server.expect(judgement)
        try:
            with any_filters():
                result = self._case.function.call(zoho, **given.arguments)
            if isinstance(result, Downloads):
                (result,) = [download async for download in result]
            if isinstance(result, Download):
                result = await result.read()
            elif inspect.isawaitable(result):
                result = await result
        except (ZohoError, TypeError, ValueError) as error:
            self.problems.append(f"raised {type(error).__name__}: {error}")
            return
        if server.calls == calls:
            self.problems.append("sent nothing")
        else:
            self.problems.extend(self._look(result, judgement.reply))
        await self._walk(given, judgement.reply, zoho, server)

    async def _walk(self, given: Given, reply: Json, zoho: Session, server: Server) -> None:
        """Iterate over a list if the description has a row from which to make pages."""
        operation = self._case.function.operation
        rows = reply.get(operation.key) if isinstance(reply, dict) else None
        if not isinstance(operation, ListOperation) or self.problems or not rows:
            return
        if isinstance(rows, list) and isinstance(rows[0], dict):
            walking = Walking(self._case, given, rows[0])
            await walking.run(zoho, server)
            self.problems.extend(walking.problems)
            self.walked = True

    def _scope(self) -> Iterator[str]:
        scope, case = self._case.function.operation.scope, self._case
        if scope in case.correction.scopes:
            self.patches.use("correction: scope")
        elif case.described.is_repeated:
            self.patches.use("described twice on the page")
        elif scope not in case.described.scopes:
            yield f"the scope is {scope!r}, described as {', '.join(case.described.scopes)}"

    def _look(self, result: Any, reply: Json) -> Iterator[str]:
        """The values of ``reply`` that are missing in ``result``."""
        if isinstance(result, bytes):
            if result != FILE:
                yield "the document is not what was sent"
            return
        if not isinstance(reply, dict):
            yield f"the result is {result!r}"
            return
        described = self._case.described
        whole = described.document.follow(described.answers.get(JSON))
        rest = {name: each for name, each in reply.items() if name != "code"}
        if isinstance(result, Page):
            yield from self._look_at_page(result, rest, whole)
        elif self._case.function.operation.key:
            yield from self._look_at_value(result, rest, whole)
        else:
            if "message" not in getattr(result, "__struct_fields__", ()):
                rest.pop("message", None)
            struct = self._case.function.struct
            yield from self.losses.of(rest, result, _extra(result), whole, struct)

    def _look_at_value(self, result: Any, rest: dict[str, Json], whole: Schema) -> Iterator[str]:
        key = self._case.function.operation.key
        value = rest.pop(key, None)
        rest.pop("message", None)
        if isinstance(result, msgspec.Struct) and rest.pop("page_context", None):
            self.patches.use("page_context with one record")
        for name, each in rest.items():
            if not samples.is_blank(each) and each not in ([], {}):
                yield f"{name} of the reply is dropped: {short(each)}"
        struct = self._case.function.struct
        yield from self.losses.of(value, result, _extra(result), self._inner(whole, key), struct)

    def _look_at_page(self, page: Page[Any], rest: dict[str, Json], whole: Schema) -> Iterator[str]:
        key = self._case.function.operation.key
        rows, context = rest.pop(key, []), rest.pop("page_context", None)
        rest.pop("message", None)
        extras = [_extra(row) for row in page.rows]
        struct = self._case.function.struct
        yield from self.losses.of(rows, page.rows, extras, self._inner(whole, key), struct)
        if context is not None:
            schema = self._inner(whole, "page_context")
            extra = page.context.extra
            yield from self.losses.of(context, page.context, extra, schema, "page_context")
        for name, each in rest.items():
            if page.extra.get(name) != each:
                yield f"{name} of the reply is dropped: {short(each)}"

    def _inner(self, whole: Schema, key: str) -> Schema:
        """The schema of the value under ``key``, with its real structure."""
        schema = self._case.described.document.follow((whole.get("properties") or {}).get(key))
        is_rows = samples.kind_of(schema) == "array"
        if key == "page_context":
            return schema
        if self._case.is_list and not is_rows:
            return {"type": "array", "items": schema}
        if is_rows and "a record as a list" in self.patches.used:
            inner: Schema = schema.get("items") or {}
            return inner
        return schema


def _extra(value: Any) -> Any:
    if isinstance(value, list):
        return [_extra(each) for each in value]
    return value.extra if isinstance(value, Record) else {}
