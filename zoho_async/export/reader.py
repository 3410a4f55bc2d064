"""Reading one resource from its list into its landing, page by page.

Several of these run side by side in one job; each reads its first page, tells what lies ahead, and
waits until all have, so that the plan is told before the bulk of the calls. When the list is at its
end, `zoho_async.export.prover` sees whether that was all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import MissingScope, ReplyError, ZohoError
from zoho_async.export import incremental
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.details.fetcher import DetailFetcher
from zoho_async.export.estimate import calls_ahead, least_calls
from zoho_async.export.events import (
    PlannedResource,
    ResourceDone,
    ResourceSummary,
    Status,
)
from zoho_async.export.fetch import Dated
from zoho_async.export.outcomes import ListState, code_of, complete_state
from zoho_async.export.pass_reader import Walking
from zoho_async.export.prover import Allowance, Proving, Tell
from zoho_async.export.writer import Blocking, ResourceWriter, WriteQueue
from zoho_async.paging import PageSource, RowsPage
from zoho_async.paging.completeness import Completeness

#: Statuses below 500 of a gateway that gave up, which says nothing about the list.
_PASSING: Final = (408, 499)
#: What `ResourceSummary.proven` says of each.
_PROVEN: Final[dict[Completeness | None, bool | None]] = {
    "proven": True,
    "uncheckable": None,
    "changed": False,
    "short": False,
    None: None,
}


class ListReader:
    """One resource of a job; its landing is open.

    ``named`` says that it was asked for by name, ``accepted`` that it may be short, and ``strict``
    that nothing but a proven list is good. ``sweep`` asks about records that the list
    no longer has, and ``following`` asks for more of each record than the list tells; None where
    nobody wants that. ``allowance`` is what the tries of all lists may take.
    """

    def __init__(
        self,
        zoho: PageSource,
        landing: ResourceWriter,
        filters: Mapping[str, str],
        *,
        blocking: Blocking,
        clock: Clock,
        named: bool = True,
        accepted: bool = False,
        strict: bool = False,
        sweep: DeletionDetector | None = None,
        following: DetailFetcher | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.facts: Final[OperationFacts] = landing.facts
        self.landing: Final = landing
        self.planned: PlannedResource | None = None
        self.exact = True
        self.failure: ZohoError | None = None
        self.refused_before = False
        self.stopped = False
        self._zoho: Final = Dated(zoho)
        self._walking: Final = Walking(self._zoho, landing, filters, blocking, clock)
        self._proving: Final = Proving(self._walking, filters, clock, allowance or Allowance())
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._named: Final = named
        self._accepted: Final = accepted
        self._strict: Final = strict
        self._sweep: Final = sweep
        self._following: Final = following
        self._rows_before: Final = landing.position.rows
        self._owed: tuple[int, bool] = (0, True)

    @property
    def pages(self) -> int:
        """The calls that were made for the list."""
        return self._walking.pages

    async def run(
        self, tell: Tell, lander: WriteQueue, everyone_planned: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the list to its end. ``everyone_planned`` returns when the plan has been told."""
        position = self.landing.position
        if position.stand == "complete":
            self.planned = self._plan_without_calls(rows=position.rows, finished=True)
            await everyone_planned()
            return
        if position.over or position.tried:
            self.planned = await self._plan_the_rest()
            await everyone_planned()
        else:
            if self._following is not None and position.page == 0:
                self._owed = await self._blocking(self._following.calls_left)
            await self._first_pass(lander, everyone_planned)
            if self.planned is None:  # the list vanished: not even an empty page came
                self.planned = self._plan_without_calls(rows=0)
                await everyone_planned()
        if not position.over:
            await self._proving.run(tell, lander)
        if self._following is not None:
            await self._following.run(tell)
        if self._sweep is not None and position.mode == "compared":
            await self._sweep.run(self.landing, self._zoho, tell)
        when = incremental.written(self._clock.time())
        await self._blocking(lambda: self.landing.complete(when))
        await tell(self._done())

    async def fail(self, error: ZohoError) -> None:
        """Zoho refused the list, or failed on it: remember a refusal for the next run."""
        self.failure = error
        refusal = refusal_of(error)
        if refusal:
            self.refused_before = self.landing.position.refusal == refusal
            await self._blocking(lambda: self.landing.refused(refusal))

    async def _first_pass(
        self, lander: WriteQueue, everyone_planned: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the list once, or the rest of it, from its beginning to its end."""

        async def planned(page: RowsPage) -> None:
            if self.planned is None:
                self._plan(page)
                await everyone_planned()

        await self._walking.forward(lander, planned)

    # -- what is told ---------------------------------------------------------------------------

    async def _plan_the_rest(self) -> PlannedResource:
        """What is left of a list that is at its end."""
        planned = self._plan_without_calls(rows=self.landing.position.rows)
        if self._following is None:
            return planned
        further, self.exact = await self._blocking(self._following.calls_left)
        return msgspec.structs.replace(planned, calls=planned.calls + further, further=further)

    def _plan_without_calls(self, *, rows: int, finished: bool = False) -> PlannedResource:
        return PlannedResource(
            resource=self.facts.resource,
            file=self.landing.sink.name,
            rows=rows,
            calls=self.pages,
            mode=self.landing.position.mode,
            rows_before=self._rows_before,
            finished=finished,
        )

    def _plan(self, page: RowsPage) -> None:
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
        further = 0
        if self._following is not None:
            # Which rows of a whole list are new or changed is known at its end.
            told = self.landing.position.mode in ("full", "changed")
            further, exact = self._following.calls_ahead(rows or 0 if told else 0)
            owed, sure = self._owed
            further += owed
            self.exact = self.exact and exact and told and sure
        self.planned = PlannedResource(
            resource=self.facts.resource,
            file=self.landing.sink.name,
            rows=rows,
            calls=calls + further,
            mode=self.landing.position.mode,
            rows_before=self._rows_before,
            further=further,
        )

    def _done(self) -> ResourceDone:
        position = self.landing.position
        return ResourceDone(
            resource=self.facts.resource,
            file=self.landing.sink.name,
            rows=position.rows,
            total=self._walking.total,
            bytes=position.bytes,
            mode=position.mode,
            new=position.rows - position.changed,
            changed=position.changed,
            deleted=position.deleted,
            proven=_PROVEN[position.completeness],
            completeness=position.completeness,
            missing=position.missing,
        )

    def summary(self) -> ResourceSummary:
        """How this resource stands now."""
        position = self.landing.position
        asked = self._sweep.calls(self.facts.resource) if self._sweep else 0
        following = self._following
        asked += following.calls if following else 0
        state = self.state
        return ResourceSummary(
            resource=self.facts.resource,
            file=self.landing.sink.name,
            status=self._status(),
            rows=position.rows,
            rows_new=position.rows - self._rows_before,
            total=self._walking.total,
            bytes=position.bytes,
            pages=self.pages,
            least_calls=least_calls(self._walking.rows_met, self.facts.max_per_page)
            if self.pages
            else 0,
            mode=position.mode,
            new=position.rows - position.changed,
            changed=position.changed,
            deleted=position.deleted,
            calls=self.pages + self._proving.asked + asked,
            proven=_PROVEN[position.completeness],
            records=following.read if following else 0,
            files=following.saved if following else 0,
            passed_over=following.passed_over if following else 0,
            error=str(self.failure) if self.failure else None,
            completeness=position.completeness,
            missing=position.missing,
            state=state,
            exit_code=code_of(state, strict=self._strict),
            note=self._note(),
        )

    @property
    def state(self) -> ListState:
        """The state in which the run leaves the list."""
        position = self.landing.position
        if position.stand == "complete":
            return complete_state(
                position.completeness,
                changed_runs=position.changed_runs,
                accepted=self._accepted,
            )
        if self.failure is None:
            return "stopped" if self.stopped else "unfinished"
        if not refusal_of(self.failure):
            return "failed"
        # That a list cannot be had that was asked for by name is news each time.
        unscoped = self._named and isinstance(self.failure, MissingScope)
        return "refused_before" if self.refused_before and not unscoped else "refused"

    def _note(self) -> str | None:
        missing = self.landing.missing
        return f"{missing}: read in full again" if missing else None

    @property
    def allowed(self) -> bool:
        """Whether the list may be read; nobody is to blame for one that was not asked for."""
        return self._named or not isinstance(self.failure, MissingScope)

    def _status(self) -> Status:
        if self.landing.position.stand == "complete":
            return "done"
        if self.failure is None:
            return "partial"
        return "failed" if self.allowed else "not allowed"


def refusal_of(error: ZohoError) -> str:
    """The status and code by which a refusal is remembered; "" for what is none."""
    if not isinstance(error, ReplyError) or error.status >= 500 or error.status in _PASSING:
        return ""
    return f"{error.status}/{error.code}"
