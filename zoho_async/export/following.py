"""Asking for what the queue of a resource holds: details, children and documents.

Records are asked for side by side, `WIDTH` at a time at most, and land in their order: as many
together as came while the last ones landed. So a run that is killed has paid for at most that many
answers that it did not keep, and where a call fails, what was answered before it is kept first.

Zoho may refuse to list what hangs below one record, or to print it, for a reason that lies in that
record (a vendor has no refunds, a draft no PDF). Such a record is passed over and counted, and
asked for again when it changes. A detail that is refused ends the list: its row would be missing.

A record of which Zoho says that there is none was deleted since the list showed it. A batch that
leaves a record out says nothing: it is asked for by its own read.

Documents are complete under their names or not there (`zoho_async.saving`). What Zoho prints of a
record is ``<id>.pdf``; what is attached to it has its own name in a folder ``<id>``, which is
filled beside its place and then takes it. The documents of records that were deleted stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import anyio.to_thread
import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import InvalidRequest, ReplyError
from zoho_async.export import modes
from zoho_async.export.asking import is_repeated, page_below, says_gone
from zoho_async.export.catalog import list_operation
from zoho_async.export.events import ExportEvent, FurtherPlanned, FurtherProgress, FurtherWork
from zoho_async.export.further import Further, FurtherLanding
from zoho_async.export.in_order import WIDTH, in_order
from zoho_async.export.lander import Blocking
from zoho_async.export.plan import days_needed, further_calls
from zoho_async.export.queue import Due, Work
from zoho_async.export.records import PDF, Batches, record_in, with_fields
from zoho_async.operation import PRODUCTS, Operation
from zoho_async.paging import RowsPage
from zoho_async.session import Session
from zoho_async.wire import Unreadable, raw_page, row_id

V = TypeVar("V")
Tell: TypeAlias = Callable[[ExportEvent], Awaitable[None]]
Found: TypeAlias = Sequence[tuple[Due, bytes | None]]

#: Records that are taken from the queue at once.
_TAKEN: Final = 200


class Following:
    """The questions of one resource. ``folder`` is where its documents go.

    Without a folder, documents that are owed stay in the queue.
    """

    def __init__(
        self,
        zoho: Session,
        landing: FurtherLanding,
        *,
        blocking: Blocking,
        clock: Clock,
        folder: Path | None = None,
    ) -> None:
        self.calls = 0
        self.read = 0
        self.saved = 0
        self.passed_over = 0
        self._zoho: Final = zoho
        self._landing: Final = landing
        self._further: Final = asked_now(landing.further, folder)
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._folder: Final = folder
        self._batches = landing.further.details.batches if landing.further.details else None
        self._asked = 0
        self._of = 0

    def calls_ahead(self, records: int) -> tuple[int, bool]:
        """Calls that so many records take, and whether that is exact."""
        return further_calls(self._further, records)

    def calls_left(self) -> tuple[int, bool]:
        """Calls that what an earlier run left in the queue takes; as `calls_ahead`. Blocks."""
        rows = self._landing.count("rows")
        files = self._landing.count("files") if self._further.papers is not None else 0
        own: FurtherWork = "children" if self._further.child else "details"
        calls, exact = further_calls(self._further, rows, own)
        more, too = further_calls(self._further, files, "files")
        return calls + more, exact and too

    async def run(self, tell: Tell) -> None:
        """Ask for everything that the queue holds."""
        details, child = self._further.details, self._further.child
        if details is not None:
            work: FurtherWork = "details"
            await self._begin(work, "rows", tell)
            if self._batches is not None and self._batches.proof:
                await self._try(self._batches)
            most = self._batches.most if self._batches else 1
            await self._each("rows", most, self._details, self._told, work, tell)
        if child is not None:
            await self._begin("children", "rows", tell)
            await self._each("rows", 1, self._first_page, self._bore, "children", tell)
        if self._further.papers is not None:
            assert self._folder is not None
            await anyio.to_thread.run_sync(_clear_drafts, self._folder)
            await self._blocking(lambda: self._landing.newest("files"))
            await self._begin("files", "files", tell)
            await self._each("files", 1, self._save, self._note, "files", tell)

    async def _begin(self, kind: FurtherWork, work: Work, tell: Tell) -> None:
        self._asked, self._of = 0, await self._blocking(lambda: self._landing.count(work))
        if self._of:
            calls, exact = further_calls(self._further, self._of, kind)
            today = await self._zoho.snapshot()
            await tell(
                FurtherPlanned(
                    resource=self._landing.facts.resource,
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
        ask: Callable[[Sequence[Due]], Awaitable[V]],
        land: Callable[[Sequence[tuple[Sequence[Due], V]]], Awaitable[None]],
        kind: FurtherWork,
        tell: Tell,
    ) -> None:
        """Ask about everything due, ``most`` records a question, and land the answers."""

        async def landed(answers: Sequence[tuple[Sequence[Due], V]]) -> None:
            await land(answers)
            self._asked += sum(len(group) for group, _ in answers)
            position = self._landing.position
            await tell(
                FurtherProgress(
                    resource=self._landing.facts.resource,
                    work=kind,
                    asked=self._asked,
                    of=self._of,
                    rows=position.rows,
                    bytes=position.bytes,
                )
            )

        taken = max(_TAKEN, most * WIDTH)
        while dues := await self._blocking(lambda: self._landing.due(work, taken)):
            groups = [dues[start : start + most] for start in range(0, len(dues), most)]
            await in_order(groups, ask, landed)

    # -- details --------------------------------------------------------------------------------

    async def _details(self, dues: Sequence[Due]) -> Found:
        details = self._further.details
        assert details is not None
        rows: dict[str, bytes] = {}
        if self._batches is not None:
            rows = await self._batch(self._batches, [due.id for due in dues])
        found: list[tuple[Due, bytes | None]] = []
        for due in dues:
            row = rows.get(due.id)
            if row is None and details.read is not None:
                row = await self._single(details.read, details.row_id, due.id)
            if row is not None:
                row = with_fields(row, {details.row_id: due.id})
            found.append((due, row))
        return found

    async def _try(self, batches: Batches) -> None:
        """See whether batches tell all; where they do not, records are read one by one."""
        dues = await self._blocking(lambda: self._landing.due("rows", batches.most))
        if dues:
            rows = await self._batch(batches, [due.id for due in dues])
            if not batches.tells_all(rows.values()):
                self._batches = None

    async def _batch(self, batches: Batches, ids: Sequence[str]) -> dict[str, bytes]:
        operation = list_operation(batches.facts)
        query: dict[str, object] = {batches.parameter: ",".join(ids)}
        if batches.facts.paged:
            query["per_page"] = batches.facts.max_per_page
        self.calls += 1
        _, page = await self._zoho.fetch_page(operation, partial(raw_page, operation), query=query)
        rows = [bytes(row) for row in page.rows]
        return {row_id(operation, row): row for row in rows}

    async def _single(self, read: OperationFacts, name: str, identity: str) -> bytes | None:
        self.calls += 1

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

    async def _told(self, answers: Sequence[tuple[Sequence[Due], Found]]) -> None:
        found = [one for _, some in answers for one in some]
        when = modes.written(self._clock.time())
        await self._blocking(lambda: self._landing.told(found, when))
        self.read += len(found)

    # -- children -------------------------------------------------------------------------------

    async def _first_page(self, dues: Sequence[Due]) -> RowsPage | InvalidRequest | None:
        """The first page of a parent's children, or the refusal; None where the parent is gone."""
        try:
            return await self._page(dues[0], 1)
        except InvalidRequest as refusal:
            return refusal

    async def _page(self, due: Due, number: int) -> RowsPage | None:
        child = self._further.child
        assert child is not None
        self.calls += 1
        ids = () if child.in_query else (due.given,)
        query = {child.parameter: due.given} if child.in_query else {}
        try:
            return await page_below(self._zoho, child.facts, ids, query, number)
        except ReplyError as error:
            if says_gone(error):
                return None
            raise

    async def _bore(
        self, answers: Sequence[tuple[Sequence[Due], RowsPage | InvalidRequest | None]]
    ) -> None:
        for (due,), first in answers:
            if isinstance(first, InvalidRequest):
                self.passed_over += 1
                await self._blocking(partial(self._landing.passed_over, due))
                continue
            page, place = first, 1
            while page is not None and page.rows and page.context and page.context.has_more_page:
                await self._land_page(due, page, place, last=False)
                place += len(page.rows)
                before, page = page, await self._page(due, page.number + 1)
                if page is not None and is_repeated(before, page):
                    page = None
            await self._land_page(due, page, place, last=True)
            self.read += 1

    async def _land_page(self, due: Due, page: RowsPage | None, first: int, *, last: bool) -> None:
        rows = [] if page is None else list(zip(page.ids, map(bytes, page.rows), strict=True))
        when = modes.written(self._clock.time())
        await self._blocking(
            lambda: self._landing.bore(due, rows, first, last=last, when=when),
        )

    # -- documents ------------------------------------------------------------------------------

    async def _save(self, dues: Sequence[Due]) -> int:
        """Save the documents of one record; how many there were."""
        papers, folder = self._further.papers, self._folder
        assert papers is not None
        assert folder is not None
        (due,) = dues
        wanted = due.given.split()
        saved = 0
        if PDF in wanted and papers.printed is not None:
            saved += await self._download(papers.printed, due, folder / f"{due.id}.pdf", pdf=True)
        place, beside = folder / due.id, folder / f"{due.id}.new"
        await anyio.to_thread.run_sync(_remove, beside)
        attached = 0
        for name in wanted:
            if name in papers.attached:
                attached += await self._download(papers.attached[name], due, beside, pdf=False)
        await anyio.to_thread.run_sync(_replace, beside, place)
        return saved + attached

    async def _download(self, facts: OperationFacts, due: Due, target: Path, *, pdf: bool) -> bool:
        """Save one document; whether there is one."""
        operation = Operation(
            name=facts.name,
            product=PRODUCTS[facts.product],
            method="GET",
            path=facts.path,
            result=bytes,
            scope=facts.scope,
            accept="application/pdf" if pdf else "*/*",
        )
        query = {"accept": "pdf"} if pdf else {}
        self.calls += 1
        try:
            await self._zoho.download(operation, ids=(due.id,), query=query).save(
                target if pdf else f"{target}/"
            )
        except ReplyError as error:
            if isinstance(error, InvalidRequest) and not says_gone(error):
                self.passed_over += 1
            elif not says_gone(error):
                raise
            return False
        return True

    async def _note(self, answers: Sequence[tuple[Sequence[Due], int]]) -> None:
        dues = [due for group, _ in answers for due in group]
        files = sum(number for _, number in answers)
        await self._blocking(lambda: self._landing.saved(dues, files))
        self.saved += files


def asked_now(further: Further, folder: Path | None) -> Further:
    """What is asked of records in this run: documents only where they have a place to go."""
    return further if folder is not None else msgspec.structs.replace(further, papers=None)


def folder_of(directory: Path, resource: str) -> Path:
    """Where the documents of ``resource`` go below ``directory``."""
    product, _, name = resource.partition(".")
    return directory / product / f"{name}.files"


def _clear_drafts(folder: Path) -> None:
    """Remove what a run that was killed had begun to save."""
    for draft in folder.glob(".*.part"):
        draft.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _replace(beside: Path, place: Path) -> None:
    """What stands in ``place`` goes; what was put beside it, if anything, takes it."""
    _remove(place)
    if beside.is_dir():
        beside.replace(place)
