"""A Zoho with one list, in memory: no network, a held clock, edits during a read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from tests.support.snapshots import idle_snapshot
from zoho_async import Limits
from zoho_async.errors import NotFound, Request
from zoho_async.export import Export, ExportOptions, Summary
from zoho_async.export.catalog import exportable
from zoho_async.export.incremental import Margin
from zoho_async.http.transport import Answer
from zoho_async.limits import Snapshot
from zoho_async.operation import ListOperation
from zoho_async.session import Session

T = TypeVar("T")

PER_PAGE = 3


class Row(msgspec.Struct):
    """A record: ``version`` grows with every edit."""

    id: int
    name: int
    created: float
    modified: float
    version: int = 1


def written(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


class FakeZoho:
    """The part of a session that an export uses. ``before_call`` runs before each page."""

    organization = "1"
    api_url = "https://host/books/v3"
    rate = 100.0
    limits = Limits(limit=6000, burst=10)

    def __init__(self, row_id: str) -> None:
        self.row_id = row_id
        self.now = 1_700_000_000.0
        self.skew = 0.0
        self.rows: dict[int, Row] = {}
        self.next_id = 100
        self.calls = 0
        self.day_limit: int | None = None
        self.before_call: Callable[[], None] = lambda: None

    # -- the clock of the export --------------------------------------------------------------

    def time(self) -> float:
        return self.now + self.skew

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    # -- edits by others ----------------------------------------------------------------------

    def insert(self, name: int) -> None:
        self.rows[self.next_id] = Row(self.next_id, name, self.now, self.now)
        self.next_id += 1

    def edit(self, place: int, name: int) -> None:
        row = self._at(place)
        if row is not None:
            row.name, row.modified, row.version = name, self.now, row.version + 1

    def delete(self, place: int) -> None:
        row = self._at(place)
        if row is not None:
            del self.rows[row.id]

    def _at(self, place: int) -> Row | None:
        return list(self.rows.values())[place % len(self.rows)] if self.rows else None

    def versions(self) -> dict[str, int]:
        return {str(row.id): row.version for row in self.rows.values()}

    # -- the session --------------------------------------------------------------------------

    def with_options(self, **_: object) -> FakeZoho:
        return self

    async def snapshot(self) -> Snapshot:
        return idle_snapshot(day_limit=self.day_limit, admitted=self.calls)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def observe(self, event: object) -> None:
        pass

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        self.before_call()
        self.calls += 1
        if ids:
            if int(ids[0]) not in self.rows:
                raise NotFound(Request("GET", operation.path, "1"), 404, 1002, "no such record")
            body = b'{"code":0}'
            return Answer(200, {}, body), read(body)
        body = self._page(operation.key, query or {})
        return Answer(200, {"date": formatdate(self.now, usegmt=True)}, body), read(body)

    def _page(self, key: str, query: Mapping[str, object]) -> bytes:
        rows = list(self.rows.values())
        since = query.get("last_modified_time")
        if since is not None:
            bound = datetime.fromisoformat(str(since)).timestamp()
            rows = [row for row in rows if int(row.modified) >= bound]
        column = query.get("sort_column")
        if column == "created_time":
            rows.sort(key=lambda row: (int(row.created), row.id))
        elif column == "last_modified_time":
            rows.sort(key=lambda row: (int(row.modified), row.id), reverse=True)
        else:
            rows.sort(key=lambda row: (row.name, row.id))
        page = int(str(query.get("page", 1)))
        shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
        context = {
            "page": page,
            "per_page": PER_PAGE,
            "has_more_page": page * PER_PAGE < len(rows),
        }
        if query.get("response_option"):
            context["total"] = len(rows)
        reply = {"code": 0, key: [self._row(row) for row in shown], "page_context": context}
        return msgspec.json.encode(reply)

    def _row(self, row: Row) -> dict[str, object]:
        return {
            self.row_id: str(row.id),
            "name": row.name,
            "version": row.version,
            "created_time": written(row.created),
            "last_modified_time": written(row.modified),
        }


def export(
    zoho: FakeZoho, to: Path, resource: str, *, margin: Margin | None = None, **asked: Any
) -> Summary:
    async def run() -> Summary:
        job = Export(
            cast("Session", zoho),
            [resource],
            to=to,
            options=ExportOptions(**asked),
            margin=margin or Margin(),
            clock=zoho,
        )
        async with job:
            return await job.wait()

    return asyncio.run(run())


def a_list(resource: str, rows: int) -> FakeZoho:
    zoho = FakeZoho(exportable()[f"books.{resource}"].row_id)
    for name in range(rows):
        zoho.insert(name)
        zoho.now += 1
    zoho.now += 10_000
    return zoho
