"""Fetch what the queue of a resource asks for: details, children and documents.

Order. Up to `WIDTH` requests run in parallel, and their replies are written in order, as many
together as arrived during the last write. So a killed run loses at most that many replies. If a
call fails, the replies before it are written first.

Refusals. Zoho may refuse to list the children of one record for a reason that concerns only that
record (a vendor has no refunds). Such a record is skipped and counted, and fetched again when it
changes. A refused detail ends the list, because its row would be missing.

Deletions. If Zoho says that a record does not exist, it was deleted after the list showed it. A
record that is missing from a batch proves nothing, so it is read alone.

Documents are saved by `zoho_async.export.details.documents`. If one fails, its record stays in the
queue, the failure is reported, and the next run tries again. Documents of deleted records stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import anyio.to_thread
import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import InvalidRequest, ReplyError, says_gone
from zoho_async.export import incremental
from zoho_async.export.catalog import list_operation
from zoho_async.export.details.documents import Documents, SaveResult
from zoho_async.export.details.operations import Batches, record_in, with_fields
from zoho_async.export.details.ordered import WIDTH, in_order
from zoho_async.export.details.queue import PendingRecord, Work
from zoho_async.export.details.writer import DetailPlan, DetailWriter
from zoho_async.export.estimate import days_needed, detail_calls, least_calls
from zoho_async.export.events import (
    DetailsPlanned,
    DetailsProgress,
    DetailWork,
    DocumentFailed,
    ExportEvent,
)
from zoho_async.export.fetch import is_repeated, page_below
from zoho_async.export.write_queue import Blocking
from zoho_async.paging import Page
from zoho_async.session import Session
from zoho_async.wire import Unreadable, raw_page

V = TypeVar("V")
Report: TypeAlias = Callable[[ExportEvent], Awaitable[None]]
Found: TypeAlias = Sequence[tuple[PendingRecord, bytes | None]]

#: The largest number of records taken from the queue at once.
_TAKEN: Final = 200


class DetailFetcher:
    """Fetches the pending records of one resource. Documents go to ``folder``.

    Without a folder, records with pending documents stay in the queue.
    """

    def __init__(
        self,
        zoho: Session,
        writer: DetailWriter,
        *,
        blocking: Blocking,
        clock: Clock,
        folder: Path | None = None,
    ) -> None:
        self.read = 0
        self.refreshed = 0
        self.saved = 0
        self.passed_over = 0
        #: Whether the list was read and work on its records began, and the calls planned for it.
        self.began = False
        self.planned = 0
        self.exact = True
        self._zoho: Final = zoho
        self._writer: Final = writer
        self._detail_plan: Final = plan_of_run(writer.detail_plan, folder)
        self._blocking: Final = blocking
        self._clock: Final = clock
        documents = self._detail_plan.documents
        self._documents: Final = (
            Documents(zoho, documents, folder)
            if documents is not None and folder is not None
            else None
        )
        self._batches = writer.detail_plan.details.batches if writer.detail_plan.details else None
        self._calls = 0
        self._least = 0
        self._asked = 0
        self._of = 0

    @property
    def calls(self) -> int:
        """The calls made by this run."""
        return self._calls + (self._documents.calls if self._documents else 0)

    @property
    def least_calls(self) -> int:
        """The smallest number of calls that could have brought what this run fetched."""
        return self._least + (self._documents.answered if self._documents else 0)

    def calls_ahead(self, records: int) -> tuple[int, bool]:
        """Return the calls for so many records, and whether that is exact."""
        return detail_calls(self._detail_plan, records)

    def calls_left(self) -> tuple[int, bool]:
        """Return the calls for the queue of an earlier run, as `calls_ahead` does. Blocks."""
        rows = self._writer.count("rows")
        files = self._writer.count("files") if self._detail_plan.documents is not None else 0
        own: DetailWork = "children" if self._detail_plan.child else "details"
        calls, exact = detail_calls(self._detail_plan, rows + self.count_refresh(), own)
        more, too = detail_calls(self._detail_plan, files, "files")
        return calls + more, exact and too

    def count_refresh(self) -> int:
        """Return the number of parents whose children this run is to refresh. Blocks."""
        refreshes = self._writer.store.options.refresh_since is not None
        return self._writer.count("refresh") if refreshes else 0

    async def refresh(self, report: Report) -> None:
        """Read the children of unchanged parents again."""
        await self._begin("refresh", "refresh", report)
        write = partial(self._write_children, "refresh")
        await self._each("refresh", 1, self._first_page, write, "refresh", report)

    async def run(self, report: Report) -> None:
        """Fetch everything in the queue, except for the refresh."""
        details, child = self._detail_plan.details, self._detail_plan.child
        self.began = True
        if details is not None:
            work: DetailWork = "details"
            await self._begin(work, "rows", report)
            if self._batches is not None and self._batches.proof:
                await self._try(self._batches)
            most = self._batches.most if self._batches else 1
            await self._each("rows", most, self._details, self._write_details, work, report)
        if child is not None:
            await self._begin("children", "rows", report)
            write = partial(self._write_children, "rows")
            await self._each("rows", 1, self._first_page, write, "children", report)
        if self._detail_plan.documents is not None:
            assert self._documents is not None
            await anyio.to_thread.run_sync(self._documents.prepare)
            await self._blocking(lambda: self._writer.keep_newest("files"))
            await self._begin("files", "files", report)
            note = partial(self._note, report=report)
            await self._each("files", 1, self._save, note, "files", report)

    async def _begin(self, kind: DetailWork, work: Work, report: Report) -> None:
        self._asked, self._of = 0, await self._blocking(lambda: self._writer.count(work))
        if self._of:
            calls, exact = detail_calls(self._detail_plan, self._of, kind)
            self.planned += calls
            self.exact = self.exact and exact
            product = self._writer.facts.resource.partition(".")[0]
            today = (await self._zoho.snapshot()).for_products(product)
            await report(
                DetailsPlanned(
                    resource=self._writer.facts.resource,
                    work=kind,
                    records=self._of,
                    calls=calls,
                    exact=exact,
                    days=days_needed(calls, today, self._zoho.limits),
                )
            )

    async def _each(
        self,
        work: Work,
        most: int,
        ask: Callable[[Sequence[PendingRecord]], Awaitable[V]],
        write: Callable[[Sequence[tuple[Sequence[PendingRecord], V]]], Awaitable[None]],
        kind: DetailWork,
        report: Report,
    ) -> None:
        """Fetch all pending records, ``most`` per request, and write the replies."""

        async def write_and_report(answers: Sequence[tuple[Sequence[PendingRecord], V]]) -> None:
            await write(answers)
            self._asked += sum(len(group) for group, _ in answers)
            state = self._writer.state
            await report(
                DetailsProgress(
                    resource=self._writer.facts.resource,
                    work=kind,
                    asked=self._asked,
                    of=self._of,
                    rows=state.part.rows,
                    bytes=state.part.size,
                )
            )

        taken, place = max(_TAKEN, most * WIDTH), 0
        while batch := await self._blocking(partial(self._writer.find_pending, work, taken, place)):
            place = batch[-1].place  # failed records stay in the queue for the next run
            groups = [batch[start : start + most] for start in range(0, len(batch), most)]
            await in_order(groups, ask, write_and_report)

    # -- details --------------------------------------------------------------------------------

    async def _details(self, batch: Sequence[PendingRecord]) -> Found:
        details = self._detail_plan.details
        assert details is not None
        rows: dict[str, bytes] = {}
        if self._batches is not None:
            rows = await self._batch(self._batches, [record.id for record in batch])
        found: list[tuple[PendingRecord, bytes | None]] = []
        for record in batch:
            row = rows.get(record.id)
            if row is None and details.read is not None:
                row = await self._single(details.read, details.row_id, record.id)
            if row is not None:
                row = with_fields(row, {details.row_id: record.id})
            found.append((record, row))
        return found

    async def _try(self, batches: Batches) -> None:
        """Check that batches return full records; if not, records are read one by one."""
        batch = await self._blocking(lambda: self._writer.find_pending("rows", batches.most))
        if batch:
            rows = await self._batch(batches, [record.id for record in batch])
            if not batches.tells_all(rows.values()):
                self._batches = None

    async def _batch(self, batches: Batches, ids: Sequence[str]) -> dict[str, bytes]:
        operation = list_operation(batches.facts)
        query: dict[str, object] = {batches.parameter: ",".join(ids)}
        if batches.facts.paged:
            query["per_page"] = batches.facts.max_per_page
        self._calls += 1
        _, page = await self._zoho.fetch_page(operation, partial(raw_page, operation), query=query)
        return dict(zip(page.ids, page.rows, strict=True))

    async def _single(self, read: OperationFacts, name: str, identity: str) -> bytes | None:
        self._calls += 1

        def record(body: bytes) -> bytes:
            with suppress(msgspec.DecodeError):
                if row := record_in(read, body, name):
                    return row
            raise Unreadable(f"the reply holds no record {identity}")

        try:
            _, row = await self._zoho.fetch_page(list_operation(read), record, ids=(identity,))
        except ReplyError as error:
            if says_gone(error):
                return None
            raise
        return row

    async def _write_details(
        self, answers: Sequence[tuple[Sequence[PendingRecord], Found]]
    ) -> None:
        found = [one for _, some in answers for one in some]
        self._least += len(answers) if self._batches is not None else len(found)
        when = incremental.zoho_time(self._clock.time())
        await self._blocking(lambda: self._writer.write_details(found, when))
        self.read += len(found)

    # -- children -------------------------------------------------------------------------------

    async def _first_page(
        self, batch: Sequence[PendingRecord]
    ) -> Page[bytes] | InvalidRequest | None:
        """Fetch the first page of children, or the refusal; None if the parent is gone."""
        try:
            return await self._page(batch[0], 1)
        except InvalidRequest as refusal:
            return refusal

    async def _page(self, record: PendingRecord, number: int) -> Page[bytes] | None:
        child = self._detail_plan.child
        assert child is not None
        self._calls += 1
        ids = () if child.in_query else (record.argument,)
        query = {child.parameter: record.argument} if child.in_query else {}
        try:
            return await page_below(self._zoho, child.facts, ids, query, number)
        except ReplyError as error:
            if says_gone(error):
                return None
            raise

    async def _write_children(
        self,
        work: Work,
        answers: Sequence[tuple[Sequence[PendingRecord], Page[bytes] | InvalidRequest | None]],
    ) -> None:
        child = self._detail_plan.child
        assert child is not None
        for (record,), first in answers:
            if isinstance(first, InvalidRequest):
                self.passed_over += 1
                self._least += 1
                await self._blocking(partial(self._writer.skip, work, record))
                continue
            page, place = first, 1
            while page is not None and page.rows and page.has_more:
                await self._write_page(work, record, page, place, last=False)
                place += len(page.rows)
                before, page = page, await self._page(record, page.number + 1)
                if page is not None and is_repeated(before, page):
                    page = None
            await self._write_page(work, record, page, place, last=True)
            rows = place - 1 + (0 if page is None else len(page.rows))
            self._least += least_calls(rows, child.facts.max_per_page)
            self.read += 1
            self.refreshed += work == "refresh"

    async def _write_page(
        self, work: Work, record: PendingRecord, page: Page[bytes] | None, first: int, *, last: bool
    ) -> None:
        rows = [] if page is None else list(zip(page.ids, page.rows, strict=True))
        when = incremental.zoho_time(self._clock.time())
        await self._blocking(
            lambda: self._writer.write_children(work, record, rows, first, last=last, when=when),
        )

    # -- documents ------------------------------------------------------------------------------

    async def _save(self, batch: Sequence[PendingRecord]) -> SaveResult:
        assert self._documents is not None
        return await self._documents.save(batch[0])

    async def _note(
        self, answers: Sequence[tuple[Sequence[PendingRecord], SaveResult]], report: Report
    ) -> None:
        """Finish records whose documents are all saved. The others stay in the queue."""
        done = [record for (record,), saved in answers if not saved.failures]
        files = sum(saved.files for _, saved in answers)
        await self._blocking(lambda: self._writer.finish_files(done, files))
        self.saved += files
        for (record,), saved in answers:
            self.passed_over += len(saved.failures)
            for failure in saved.failures:
                await report(
                    DocumentFailed(
                        resource=self._writer.facts.resource,
                        record=record.id,
                        document=failure.document,
                        reason=failure.reason,
                    )
                )


def plan_of_run(detail_plan: DetailPlan, folder: Path | None) -> DetailPlan:
    """Return the plan of this run: documents only if there is a folder for them."""
    return (
        detail_plan if folder is not None else msgspec.structs.replace(detail_plan, documents=None)
    )


def folder_of(directory: Path, resource: str) -> Path:
    """Return the folder in ``directory`` for the documents of ``resource``."""
    product, _, name = resource.partition(".")
    return directory / product / f"{name}.files"
