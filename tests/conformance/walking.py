"""The proof that a list pages: iteration requests each page once and yields every row.

The server makes the pages from the described row: one row, then two, then none. Rows with an id
have distinct ids. A list without pages is requested once. For other lists two requests past the
end are allowed: one finds the end, one is lookahead.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from tests.conformance.case import JSON, Case
from tests.conformance.given import Given
from tests.conformance.official import Json
from tests.conformance.server import Answer, Received, Server
from zoho_async import Session, ZohoError
from zoho_async.operation import ListOperation
from zoho_async.wire import Record, encode

_PAGES: Final = ((1,), (2, 3))


class Walking:
    """Serves the pages of one list and reports faulty requests."""

    def __init__(self, case: Case, given: Given, row: dict[str, Json]) -> None:
        operation = case.function.operation
        assert isinstance(operation, ListOperation)
        self._operation: Final = operation
        self._case: Final = case
        self._given: Final = given
        self._row: Final = row
        self.asked: Final[list[str]] = []
        self.problems: Final[list[str]] = []

    async def run(self, zoho: Session, server: Server) -> None:
        """Iterate over the list with its required arguments only."""
        signature = inspect.signature(self._case.function.call)
        needed = {
            name: value
            for name, value in self._given.arguments.items()
            if signature.parameters[name].default is inspect.Parameter.empty
        }
        server.expect(self, repeatedly=True)
        try:
            rows = [row async for row in self._case.function.call(zoho, **needed)]
        except ZohoError as error:
            self.problems.append(f"iterating raised {type(error).__name__}: {error}")
            return
        self.problems.extend(self._look(rows))

    def __call__(self, received: Received) -> Answer:
        """The requested page."""
        query = dict(received.query)
        page = query.get("page", "")
        self.asked.append(page)
        self.problems.extend(self._look_at_query(query))
        numbers = _PAGES[0] if not page else next(iter(_PAGES[int(page) - 1 : int(page)]), ())
        reply: dict[str, Json] = {"code": 0, "message": "success"}
        reply[self._operation.key] = [self._numbered(number) for number in numbers]
        if page:
            more = int(page) < len(_PAGES)
            context = {"page": int(page), "per_page": 200, "has_more_page": more}
            reply["page_context"] = context
        return Answer(200, JSON, encode(reply))

    def _look_at_query(self, query: dict[str, str]) -> Iterator[str]:
        order = {"sort_column": self._operation.order, "sort_order": "A"}
        expected = order if self._operation.order else {}
        if self._operation.paged:
            expected = expected | {"per_page": str(self._operation.max_per_page)}
        for name, value in expected.items():
            if query.get(name) != value:
                yield f"a walk asks for {name}={query.get(name)!r}, not {value!r}"

    def _numbered(self, number: int) -> dict[str, Json]:
        named = {self._operation.row_id: _id(number)} if self._operation.row_id else {}
        return self._row | named

    def _look(self, rows: list[Any]) -> Iterator[str]:
        numbers = [number for page in _PAGES for number in page]
        needed, allowed = {"1", "2"}, {"1", "2", "3", "4"}
        if not self._operation.paged:
            numbers, needed, allowed = list(_PAGES[0]), {""}, {""}
        if not needed <= set(self.asked) <= allowed:
            yield f"the pages {', '.join(self.asked)} were asked for"
        if len(set(self.asked)) != len(self.asked):
            yield f"a page was asked for twice: {', '.join(self.asked)}"
        if len(rows) != len(numbers):
            yield f"{len(rows)} rows came of {len(numbers)}"
        elif self._operation.row_id:
            found = [_id_of(row, self._operation.row_id) for row in rows]
            if found != [_id(number) for number in numbers]:
                yield f"the rows are {found}"


def _id(number: int) -> str:
    return f"46000000009901{number}"


def _id_of(row: Any, name: str) -> Any:
    fields = dict(zip(row.__struct_encode_fields__, row.__struct_fields__, strict=True))
    if name in fields:
        return getattr(row, fields[name])
    return row.extra.get(name) if isinstance(row, Record) else None
