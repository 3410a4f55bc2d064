"""Read one list to its end, and write its rows.

Several readers run in parallel in one job. Each reads its first page, plans its calls, and waits
until all have planned, so that the plan is reported before most calls are made. At the end of the
list, `zoho_async.export.prover` checks whether it is complete.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import MissingScope, ZohoError
from zoho_async.export import incremental
from zoho_async.export.checkpoint.store import ViewResult
from zoho_async.export.columns.observed import SchemaChange
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.details.fetcher import DetailFetcher
from zoho_async.export.estimate import calls_ahead, least_calls
from zoho_async.export.events import (
    PlannedResource,
    ResourceDone,
    ResourceSummary,
    SchemaChanged,
    Status,
    left_out_text,
)
from zoho_async.export.feed_pass import FeedPass
from zoho_async.export.outcomes import ListState, code_of, complete_state
from zoho_async.export.part_end import complete_part, complete_refresh
from zoho_async.export.pass_reader import PassReader
from zoho_async.export.passes import is_settled
from zoho_async.export.prover import Allowance, Prover, Report
from zoho_async.export.refusals import reason_of, refusal_of
from zoho_async.export.views import Views
from zoho_async.export.write_queue import Blocking, WriteQueue
from zoho_async.export.writer import ResourceWriter
from zoho_async.http.call import Budget
from zoho_async.paging import Page, PageSource
from zoho_async.paging.completeness import Completeness

#: The note on a list without a total that nothing settled.
_HELD: Final = (
    "Zoho sends no count of it, and it was not read twice with the same result, "
    "so a record may be missing: the next run reads the list again"
)
#: The reason for a whole read after a read by the change feed.
_NOT_ENOUGH: Final = (
    "the change feed does not explain what the list shows, so the whole list was read"
)
#: `ResourceSummary.proven` for each completeness.
_PROVEN: Final[dict[Completeness | None, bool | None]] = {
    "proven": True,
    "uncheckable": None,
    "changed": False,
    "short": False,
    None: None,
}


class _Size(msgspec.Struct, frozen=True):
    """What is known of a list: its ``total``, and ``rows`` of page number ``page``.

    ``more`` is the page's ``has_more_page``, None if the list does not say.
    """

    total: int | None
    page: int
    rows: int = 0
    more: bool | None = True

    @classmethod
    def of(cls, page: Page[bytes]) -> _Size:
        return cls(page.total, page.number, len(page.rows), page.context.has_more_page)

    def calls_ahead(self, facts: OperationFacts) -> tuple[int, bool]:
        """Return the calls from this page on, and whether that is exact."""
        return calls_ahead(
            self.total,
            per_page=facts.max_per_page,
            page=self.page,
            rows=self.rows,
            more=self.more,
        )


class ListReader:
    """Reads one resource of a job. Its ``writer`` is open.

    ``named`` says that the resource was named, ``accepted`` that it may be short, and ``strict``
    that only a proven list counts as complete. ``deletions`` checks records that the list no longer
    shows, ``detail_fetcher`` fetches the details of records, and ``feed_pass`` uses the change
    feed; each may be None. ``allowance`` limits the calls of the tries of all lists. ``budget``
    counts the calls of ``zoho``.
    """

    def __init__(
        self,
        zoho: PageSource,
        writer: ResourceWriter,
        filters: Mapping[str, str],
        *,
        blocking: Blocking,
        clock: Clock,
        named: bool = True,
        accepted: bool = False,
        strict: bool = False,
        deletions: DeletionDetector | None = None,
        detail_fetcher: DetailFetcher | None = None,
        feed_pass: FeedPass | None = None,
        allowance: Allowance | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.facts: Final[OperationFacts] = writer.facts
        self.writer: Final = writer
        self.planned: PlannedResource | None = None
        self.exact = True
        self.failure: ZohoError | None = None
        self.refused_before = False
        self.refused_with_all = False
        self.stopped = False
        self.refreshes = False
        self._zoho: Final = zoho
        self._views: Final = Views(zoho, writer, filters, blocking)
        self._pass_reader: Final = PassReader(zoho, writer, self._views, blocking, clock)
        self._prover: Final = Prover(self._pass_reader, clock, allowance or Allowance())
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._named: Final = named
        self._accepted: Final = accepted
        self._strict: Final = strict
        self._deletions: Final = deletions
        self._detail_fetcher: Final = detail_fetcher
        self._feed_pass: Final = feed_pass
        self._rows_before: Final = writer.state.part.rows
        self._calls_left: tuple[int, bool] = (0, True)
        self._list_exact = True
        self._budget: Final = budget or Budget(0)
        self._schema_reported: tuple[SchemaChange, ...] = ()

    @property
    def pages(self) -> int:
        """The calls made for pages of the list."""
        return self._pass_reader.pages

    @property
    def calls_for_list(self) -> int:
        """The calls made for pages of the list and for its counts."""
        return self._pass_reader.pages + self._views.counted

    async def plan(self, records: int) -> None:
        """Plan the list with as few calls as possible, and read nothing else.

        ``records`` is the number of indexed records. Zoho is asked only for a list that is to be
        read for the first time or in full, and for the number of changes if more is fetched for
        each of them.
        """
        state = self.writer.state
        part, passes = state.part, state.passes
        if state.status == "complete":
            self.planned = self._plan_without_calls(rows=part.rows, finished=True)
            return
        if passes.done or passes.tries or passes.view:
            self.planned = await self._plan_the_rest()
            return
        if self._detail_fetcher is not None and part.page == 0:
            self._calls_left = await self._blocking(self._detail_fetcher.calls_left)
        counted = passes.counts[-1].total if part.page and passes.counts else None
        if part.mode == "feed":
            self._plan_feed(max(1, state.feed.calls.get("feed", 1)) + self._checks)
        elif part.mode == "compared":
            self._plan(_Size(records, max(1, part.page)), estimated=True)
        elif part.page:
            self._plan(_Size(counted, part.page), estimated=counted is not None)
        elif part.mode == "full" or (part.mode == "changed" and self._detail_fetcher is not None):
            await self._views.test_every()
            page = await self._pass_reader.look()
            await self._views.count_further(page)
            self._plan(_Size.of(page))
        else:
            self._plan(None)

    async def run(
        self, report: Report, write_queue: WriteQueue, wait_for_plan: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the list to its end. ``wait_for_plan`` returns when the plan was reported.

        If it `refreshes` then, it is not complete yet.
        """
        state = self.writer.state
        if state.status == "complete":
            self.planned = self._plan_without_calls(rows=state.part.rows, finished=True)
            await wait_for_plan()
            return
        if self._feed_pass is not None:
            await self._feed_pass.match()
        by_feed = state.part.mode == "feed" and not state.passes.done
        if by_feed:
            await self._read_by_feed(report, write_queue, wait_for_plan)
        elif state.passes.done or state.passes.tries or state.passes.view:
            self.planned = await self._plan_the_rest()
            await wait_for_plan()
            if not (state.passes.done or state.passes.tries):
                await self._pass_reader.forward(write_queue)
        else:
            if self._detail_fetcher is not None and state.part.page == 0:
                self._calls_left = await self._blocking(self._detail_fetcher.calls_left)
            await self._first_pass(write_queue, wait_for_plan)
            if self.planned is None:  # the list is gone: not even an empty page came
                self.planned = self._plan_without_calls(rows=0)
                await wait_for_plan()
        if self._feed_pass is not None and not by_feed:
            await self._feed_pass.confirm(self._zoho, report)
        await self._prove_views(report, write_queue)
        if self._detail_fetcher is not None:
            await self._detail_fetcher.run(report)
        if self._deletions is not None and self.writer.state.part.mode == "compared":
            await self._deletions.run(self.writer, self._zoho, report)
        if self._detail_fetcher is not None:
            self.refreshes = bool(await self._blocking(self._detail_fetcher.count_refresh))
        if not self.refreshes:
            await self._complete()
            await self._report_done(report)

    async def _read_by_feed(
        self, report: Report, write_queue: WriteQueue, wait_for_plan: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the pages that the change feed names, or the whole list if they do not suffice."""
        feed_pass = self._feed_pass
        believed = False
        if feed_pass is not None:
            self._plan_feed(feed_pass.calls_ahead)
            await wait_for_plan()
            await feed_pass.confirm(self._zoho, report)
            believed = await feed_pass.read(self._pass_reader, write_queue)
        if believed:
            result = ViewResult(completeness="uncheckable", total=self._pass_reader.counted)
            await self._blocking(lambda: self.writer.end_view(result))
            return
        await self._blocking(lambda: self.writer.read_whole(_NOT_ENOUGH))
        await self._first_pass(write_queue, wait_for_plan)

    async def _report_done(self, report: Report) -> None:
        await self.report_schema(report)
        await report(self._done())

    async def report_schema(self, report: Report) -> None:
        """Report the changes of columns that were not reported yet."""
        changes = self.writer.store.schema_changes()
        new = tuple(each for each in changes if each not in self._schema_reported)
        self._schema_reported = changes
        if new:
            await report(SchemaChanged(resource=self.facts.resource, changes=new))

    async def refresh(self, report: Report) -> None:
        """Read the children of unchanged parents again, and complete the part."""
        assert self._detail_fetcher is not None
        await self._complete()
        await self._detail_fetcher.refresh(report)
        await self._blocking(lambda: complete_refresh(self.writer.store))
        await self._report_done(report)

    async def _complete(self) -> None:
        if self._feed_pass is not None:
            await self._feed_pass.note(self._pass_reader)
        when = incremental.zoho_time(self._clock.time())
        refreshes = self.refreshes
        await self._blocking(lambda: complete_part(self.writer.store, when, refreshes=refreshes))

    async def _prove_views(self, report: Report, write_queue: WriteQueue) -> None:
        """Prove the current view, and read and prove each that follows."""
        while not self.writer.state.passes.done:
            await self._views.report(report)
            await self._prover.run(report, write_queue)
            if not self.writer.state.passes.done:
                self._pass_reader.begin_view()
                await self._pass_reader.forward(write_queue)
        await self._views.report(report)

    async def fail(self, error: ZohoError) -> None:
        """Note the failure of the list. A refusal is stored for the next run."""
        self.failure = error
        refusal = refusal_of(error)
        if refusal:
            self.refused_before = self.writer.state.runs.refusal == refusal
            await self._blocking(lambda: self.writer.note_refusal(refusal))

    async def _first_pass(
        self, write_queue: WriteQueue, wait_for_plan: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the list, or the rest of it, to its end."""

        async def planned(page: Page[bytes]) -> None:
            if self.planned is None:
                await self._views.count_further(page)
                self._plan(_Size.of(page))
                await wait_for_plan()

        if self.writer.state.part.page == 0:
            await self._views.test_every()
        await self._pass_reader.forward(write_queue, planned)

    # -- plan and summary ------------------------------------------------------------------------

    async def _plan_the_rest(self) -> PlannedResource:
        """Plan the rest of a list that was read to its end."""
        planned = self._plan_without_calls(rows=self.writer.state.part.rows)
        if self._detail_fetcher is None:
            return planned
        detail_calls, self.exact = await self._blocking(self._detail_fetcher.calls_left)
        return msgspec.structs.replace(
            planned,
            calls=planned.calls + detail_calls,
            detail_calls=detail_calls,
            exact=self.exact,
        )

    def _plan_without_calls(self, *, rows: int, finished: bool = False) -> PlannedResource:
        return PlannedResource(
            resource=self.facts.resource,
            file=self.writer.store.sink.name,
            rows=rows,
            calls=self.calls_for_list,
            mode=self.writer.state.part.mode,
            rows_before=self._rows_before,
            finished=finished,
        )

    def _plan_feed(self, pages: int) -> None:
        """Plan a read by the change feed. It reads more if the pages do not suffice."""
        self.exact = self._list_exact = False
        records, _ = self._calls_left
        self.planned = msgspec.structs.replace(
            self._plan_without_calls(rows=0),
            rows=None,
            calls=pages + records,
            detail_calls=records,
            exact=False,
            reason=self.writer.state.part.reason,
        )

    def _plan(self, size: _Size | None, *, estimated: bool = False) -> None:
        calls, self.exact = (1, False) if size is None else size.calls_ahead(self.facts)
        self.exact = self.exact and not estimated
        view_calls, known = self._views.calls_ahead()
        self.exact = self.exact and known
        if self._deletions is not None and self.writer.state.part.mode == "compared":
            self.exact = False  # how many records are checked is known only at the end
        self._list_exact = self.exact
        rows = None if size is None else size.total
        if size is not None and rows is None and self.exact:
            rows = self._rows_before + size.rows
        detail_calls = 0
        if self._detail_fetcher is not None:
            # In other modes, the new and changed rows are known only at the end.
            rows_known = self.writer.state.part.mode in ("full", "changed")
            rows_known = rows_known or self.writer.state.details.refresh_since == 0.0
            detail_calls, exact = self._detail_fetcher.calls_ahead(rows or 0 if rows_known else 0)
            owed, sure = self._calls_left
            detail_calls += owed
            self.exact = self.exact and exact and rows_known and sure
        self.planned = PlannedResource(
            resource=self.facts.resource,
            file=self.writer.store.sink.name,
            rows=rows,
            calls=self._views.counted + calls + view_calls + detail_calls + self._checks,
            mode=self.writer.state.part.mode,
            rows_before=self._rows_before,
            detail_calls=detail_calls,
            exact=self.exact,
            estimated=estimated,
            reason=self.writer.state.part.reason,
        )

    @property
    def _checks(self) -> int:
        """The calls for records that the change feed calls deleted, and for the list's count."""
        feed_pass, feed = self._feed_pass, self.writer.state.feed
        if feed_pass is None:
            return 0
        checks = len(feed_pass.deleted) if feed_pass.matched else feed.checks
        mode = self.writer.state.part.mode
        return checks + (mode in ("changed", "newest") and feed_pass.counts)

    def unplanned(self) -> PlannedResource:
        """Return the plan of a list that Zoho refused: one call, which asks again."""
        reason = reason_of(self.failure) or str(self.failure) if self.failure else None
        return msgspec.structs.replace(
            self._plan_without_calls(rows=0), rows=None, calls=1, exact=False, error=reason
        )

    def _done(self) -> ResourceDone:
        part, passes = self.writer.state.part, self.writer.state.passes
        return ResourceDone(
            resource=self.facts.resource,
            file=self.writer.store.sink.name,
            rows=part.rows,
            total=self._pass_reader.total,
            bytes=part.size,
            mode=part.mode,
            new=part.rows - part.changed,
            changed=part.changed,
            deleted=part.deleted,
            proven=_PROVEN[passes.completeness],
            completeness=passes.completeness,
            missing=passes.missing,
        )

    def summary(self) -> ResourceSummary:
        """Return the summary of this resource as of now."""
        part, passes = self.writer.state.part, self.writer.state.passes
        detail_fetcher = self._detail_fetcher
        state = self.state
        return ResourceSummary(
            resource=self.facts.resource,
            file=self.writer.store.sink.name,
            status=self._status(),
            rows=part.rows,
            rows_new=part.rows - self._rows_before,
            total=self._pass_reader.total,
            bytes=part.size,
            pages=self.pages,
            least_calls=self._least_calls(),
            mode=part.mode,
            new=part.rows - part.changed,
            changed=part.changed,
            deleted=part.deleted,
            calls=self._budget.spent,
            proven=_PROVEN[passes.completeness],
            records=detail_fetcher.read if detail_fetcher else 0,
            refreshed=detail_fetcher.refreshed if detail_fetcher else 0,
            files=detail_fetcher.saved if detail_fetcher else 0,
            passed_over=detail_fetcher.passed_over if detail_fetcher else 0,
            error=str(self.failure) if self.failure else None,
            refusal=reason_of(self.failure) if self.failure else None,
            completeness=passes.completeness,
            missing=passes.missing,
            state=state,
            exit_code=code_of(state, strict=self._strict, rounded=bool(part.rounded)),
            rounded=part.rounded,
            note=self._note(),
            applied_filter=passes.hidden,
            reason=part.reason,
            surplus=self.writer.state.feed.surplus if self._feed_pass else None,
            unnamed=self._feed_pass.unnamed if self._feed_pass else 0,
            feed_delay=self._feed_pass.delay if self._feed_pass else None,
            schema=self.writer.store.schema_changes(),
            planned_calls=self._planned_calls(),
            plan_exact=self._list_exact and detail_fetcher.exact
            if detail_fetcher is not None and detail_fetcher.began
            else self.exact,
        )

    def _planned_calls(self) -> int | None:
        """Return the plan, with the calls for records once their number was known."""
        planned, fetcher = self.planned, self._detail_fetcher
        if planned is None or fetcher is None or not fetcher.began:
            return None if planned is None else planned.calls
        return planned.calls - planned.detail_calls + fetcher.planned

    def _least_calls(self) -> int:
        least = self._detail_fetcher.least_calls if self._detail_fetcher else 0
        if self.pages:
            least += least_calls(self._pass_reader.rows_read, self.facts.max_per_page)
        return least

    @property
    def state(self) -> ListState:
        """The state of the list at the end of the run."""
        state = self.writer.state
        if state.status == "complete":
            return complete_state(
                state.passes.completeness,
                changed_runs=state.runs.changed,
                accepted=self._accepted,
            )
        if self.failure is None:
            return "stopped" if self.stopped else "unfinished"
        if not refusal_of(self.failure):
            return "failed"
        # A missing scope for a named list is reported each time.
        unscoped = self._named and isinstance(self.failure, MissingScope)
        known = self.refused_with_all or (self.refused_before and not unscoped)
        return "refused_before" if known else "refused"

    def _note(self) -> str | None:
        state, hidden = self.writer.state, self.writer.state.passes.hidden
        held = state.status == "complete" and state.passes.completeness == "uncheckable"
        missing = self.writer.store.missing
        notes = [f"{missing}: read in full again"] if missing else []
        if held and state.part.mode == "feed":
            notes.append(state.part.reason)
        elif held and self.facts.row_id and not is_settled(state):
            notes.append(_HELD)
        if hidden is not None and not self._views.expects_hidden:
            notes.append(left_out_text(hidden, self._views.left_out))
        if self._views.unconfirmed:
            notes.append(f"Zoho does not confirm the filter {', '.join(self._views.unconfirmed)}")
        return "; ".join(notes) or None

    @property
    def allowed(self) -> bool:
        """Whether the list may be read. A list that was not named needs no scope."""
        return self._named or not isinstance(self.failure, MissingScope)

    def _status(self) -> Status:
        if self.writer.state.status == "complete":
            return "done"
        if self.failure is None:
            return "partial"
        return "failed" if self.allowed else "not allowed"
