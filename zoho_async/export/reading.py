"""Reading one resource from its list into its landing, page by page.

Several of these run side by side in one job; each reads its first page, tells what lies ahead, and
waits until all have, so that the plan is told before the bulk of the calls.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from zoho_async.description import OperationFacts
from zoho_async.errors import ZohoError
from zoho_async.export.catalog import list_operation
from zoho_async.export.events import (
    ExportEvent,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceSummary,
)
from zoho_async.export.landing import Landing
from zoho_async.export.plan import calls_ahead, least_calls
from zoho_async.export.walk import pages_from
from zoho_async.paging import Pager, RowsPage
from zoho_async.session import Session

T = TypeVar("T")

Tell: TypeAlias = Callable[[ExportEvent], Awaitable[None]]


class Blocking(Protocol):
    """Runs blocking work off the event loop, one at a time, to its end."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class Reading:
    """One resource of a job; its landing is open."""

    def __init__(
        self,
        zoho: Session,
        facts: OperationFacts,
        landing: Landing,
        filters: Mapping[str, str],
        blocking: Blocking,
    ) -> None:
        self.facts: Final = facts
        self.landing: Final = landing
        self.planned: PlannedResource | None = None
        self.exact = True
        self.pages = 0
        self.failure: ZohoError | None = None
        self._zoho: Final = zoho
        self._filters: Final = filters
        self._blocking: Final = blocking
        self._total: int | None = None
        self._rows_before: Final = landing.position.rows

    async def run(self, tell: Tell, everyone_planned: Callable[[], Awaitable[None]]) -> None:
        """Read the list to its end. ``everyone_planned`` returns when the plan has been told."""
        position = self.landing.position
        if position.complete:
            self.planned = PlannedResource(
                resource=self.facts.resource,
                file=self.landing.file.path,
                rows=position.rows,
                calls=0,
                rows_before=position.rows,
                finished=True,
            )
            await everyone_planned()
            return
        async with aclosing(pages_from(position.page, self._list_pages, self._is_known)) as walk:
            async for page in walk:
                if self.planned is None:
                    self._plan(page)
                    await everyone_planned()
                await self._land(page, tell)
        if self.planned is None:  # the list vanished: not even an empty page came
            self.planned = PlannedResource(
                resource=self.facts.resource, file=self.landing.file.path, rows=0, calls=1
            )
            await everyone_planned()
        await self._blocking(self.landing.complete)
        await tell(
            ResourceDone(
                resource=self.facts.resource,
                file=self.landing.file.path,
                rows=self.landing.position.rows,
                total=self._total,
                bytes=self.landing.position.bytes,
            )
        )

    def summary(self) -> ResourceSummary:
        """How this resource stands now."""
        position = self.landing.position
        new = position.rows - self._rows_before
        unfinished: Literal["failed", "partial"] = "failed" if self.failure else "partial"
        return ResourceSummary(
            resource=self.facts.resource,
            file=self.landing.file.path if position.complete else self.landing.file.part,
            status="done" if position.complete else unfinished,
            rows=position.rows,
            rows_new=new,
            total=self._total,
            bytes=position.bytes,
            pages=self.pages,
            least_calls=least_calls(new, self.facts.max_per_page) if self.pages else 0,
            error=str(self.failure) if self.failure else None,
        )

    async def _list_pages(self, first: int) -> AsyncGenerator[RowsPage]:
        pager = Pager(self._zoho, list_operation(self.facts), query=self._filters)
        async with aclosing(pager.raw_pages(first=first)) as pages:
            async for page in pages:
                self.pages += 1
                yield page

    async def _is_known(self, page: RowsPage) -> bool:
        return await self._blocking(lambda: self.landing.saw(page.ids[0], bytes(page.rows[0])))

    def _plan(self, page: RowsPage) -> None:
        self._total = page.total
        calls, self.exact = calls_ahead(
            page.total,
            per_page=self.facts.max_per_page,
            page=page.number,
            rows=len(page.rows),
            more=None if page.context is None else page.context.has_more_page,
        )
        rows = page.total
        if rows is None and self.exact:
            rows = self._rows_before + len(page.rows)
        self.planned = PlannedResource(
            resource=self.facts.resource,
            file=self.landing.file.path,
            rows=rows,
            calls=calls,
            rows_before=self._rows_before,
        )

    async def _land(self, page: RowsPage, tell: Tell) -> None:
        rows = [bytes(row) for row in page.rows]
        await self._blocking(lambda: self.landing.land(page.number, rows, page.ids))
        await tell(
            Progress(
                resource=self.facts.resource,
                page=page.number,
                rows=self.landing.position.rows,
                total=self._total,
                bytes=self.landing.position.bytes,
            )
        )
