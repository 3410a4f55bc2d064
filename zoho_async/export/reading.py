"""Reading one resource from its list into its landing, page by page.

Several of these run side by side in one job; each reads its first page, tells what lies ahead, and
waits until all have, so that the plan is told before the bulk of the calls. When the list is at its
end, `zoho_async.export.proof` says whether that was all of it, and what to do where it was not.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias

import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import MissingScope, ReplyError, ZohoError
from zoho_async.export import asking, modes
from zoho_async.export.asking import Dated
from zoho_async.export.events import (
    ExportEvent,
    LookingAgain,
    PlannedResource,
    ResourceDone,
    ResourceSummary,
    Status,
)
from zoho_async.export.following import Following
from zoho_async.export.lander import Blocking, Lander
from zoho_async.export.landing import Landing, Sheet
from zoho_async.export.outcomes import ListState, code_of, complete_state
from zoho_async.export.plan import calls_ahead, least_calls
from zoho_async.export.proof import LOOKS, is_steady, verdict
from zoho_async.export.sweep import Sweep
from zoho_async.export.walk import pages_from
from zoho_async.paging import PageSource, RowsPage

#: Statuses below 500 of a gateway that gave up, which says nothing about the list.
_PASSING: Final = (408, 499)

Tell: TypeAlias = Callable[[ExportEvent], Awaitable[None]]


class Reading:
    """One resource of a job; its landing is open.

    ``named`` says that it was asked for by name, ``accepted`` that it may be short, and ``strict``
    that nothing but a proven list is good. ``sweep`` asks about records that the list
    no longer has, and ``following`` asks for more of each record than the list tells; None where
    nobody wants that.
    """

    def __init__(
        self,
        zoho: PageSource,
        landing: Landing,
        filters: Mapping[str, str],
        *,
        blocking: Blocking,
        clock: Clock,
        named: bool = True,
        accepted: bool = False,
        strict: bool = False,
        sweep: Sweep | None = None,
        following: Following | None = None,
    ) -> None:
        self.facts: Final[OperationFacts] = landing.facts
        self.landing: Final = landing
        self.planned: PlannedResource | None = None
        self.exact = True
        self.pages = 0
        self.failure: ZohoError | None = None
        self.refused_before = False
        self.stopped = False
        self._zoho: Final = Dated(zoho)
        self._filters: Final = filters
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._named: Final = named
        self._accepted: Final = accepted
        self._strict: Final = strict
        self._sweep: Final = sweep
        self._following: Final = following
        self._total: int | None = None
        self._rows_met = 0
        self._own = 0.0
        self._rows_before: Final = landing.position.rows
        self._owed: tuple[int, bool] = (0, True)

    async def run(
        self, tell: Tell, lander: Lander, everyone_planned: Callable[[], Awaitable[None]]
    ) -> None:
        """Read the list to its end. ``everyone_planned`` returns when the plan has been told."""
        position = self.landing.position
        if position.stand == "complete":
            self.planned = self._plan_without_calls(rows=position.rows, finished=True)
            await everyone_planned()
            return
        if position.over or self._was_looking_back:
            self.planned = await self._plan_the_rest()
            await everyone_planned()
        else:
            if self._following is not None and position.page == 0:
                self._owed = await self._blocking(self._following.calls_left)
            await self._look(lander, everyone_planned)
            if self.planned is None:  # the list vanished: not even an empty page came
                self.planned = self._plan_without_calls(rows=0)
                await everyone_planned()
        proven = position.proven if position.over else await self._prove(tell, lander)
        if self._following is not None:
            await self._blocking(lambda: self.landing.over(proven=proven))
            await self._following.run(tell)
        if self._sweep is not None and position.mode == "compared":
            await self._blocking(lambda: self.landing.over(proven=proven))
            await self._sweep.run(self.landing, self._zoho, tell)
        when = modes.written(self._clock.time())
        await self._blocking(lambda: self.landing.complete(when, proven=proven))
        await tell(self._done())

    async def fail(self, error: ZohoError) -> None:
        """Zoho refused the list, or failed on it: remember a refusal for the next run."""
        self.failure = error
        refusal = refusal_of(error)
        if refusal:
            self.refused_before = self.landing.position.refusal == refusal
            await self._blocking(lambda: self.landing.refused(refusal))

    # -- looking ------------------------------------------------------------------------------

    async def _look(
        self, lander: Lander, everyone_planned: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Read the list once, or the rest of it, from its beginning to its end."""
        self._zoho.forget()
        self._own = self._clock.time()
        before = self.landing.position.page
        async with aclosing(pages_from(before, self._list_pages, self._is_known)) as walk:
            async for page in walk:
                if self.planned is None and everyone_planned is not None:
                    self._plan(page)
                    await everyone_planned()
                if await self._put(page, lander):
                    break
        await lander.landed()

    async def _prove(self, tell: Tell, lander: Lander) -> bool | None:
        """Look again until nothing can have been missed, or `LOOKS` times; whether it is so."""
        first = self.landing.position.first_look
        proven = verdict(self.landing.position)
        if self._steady:
            if proven is False or self._was_looking_back:
                last = self.landing.position.page
                await self._again(tell)
                await self._look_backwards(last, lander)
                proven = True
        else:
            while proven is False and self.landing.position.look < first + LOOKS - 1:
                proven = await self._look_again(tell, lander)
        return proven

    @property
    def _steady(self) -> bool:
        return is_steady(self.facts, self._filters, self.landing.position)

    @property
    def _was_looking_back(self) -> bool:
        """Whether a look backwards was interrupted; it is begun again, at its end."""
        return self._steady and self.landing.position.look > self.landing.position.first_look

    async def _again(self, tell: Tell) -> None:
        await self._blocking(self.landing.look_again)
        position = self.landing.position
        await tell(
            LookingAgain(resource=self.facts.resource, look=position.look - position.first_look + 1)
        )

    async def _look_again(self, tell: Tell, lander: Lander) -> bool | None:
        """Another look from the beginning; whether it is proven."""
        before = self.landing.position.total
        await self._again(tell)
        if self.landing.position.mode != "newest":
            await self._look(lander)
            return verdict(self.landing.position)
        self._zoho.forget()
        self._own = self._clock.time()
        page = await asking.page_of(self._zoho, self.facts, self._query(), 1)
        self.pages += 1
        await self._put(page, lander)
        await lander.landed()
        position = self.landing.position
        if position.fresh == 0 and position.total == before and before is not None:
            return True
        await self._look(lander)
        return verdict(self.landing.position)

    async def _look_backwards(self, number: int, lander: Lander) -> None:
        """Read a steady list from its last page to its first, one page after the other.

        ``number`` is what its last page was.
        """
        self._zoho.forget()
        self._own = self._clock.time()
        number = max(1, number)
        last = False
        while number > 0:
            page = await asking.page_of(self._zoho, self.facts, self._query(), number)
            self.pages += 1
            size = (page.context and page.context.per_page) or self.facts.max_per_page
            end = math.ceil((page.total or 0) / size)
            if not last and end > number:
                number = end  # the list has grown
                continue
            last = True
            await self._put(page, lander)
            number -= 1
        await lander.landed()

    async def _list_pages(self, first: int) -> AsyncGenerator[RowsPage]:
        if self.landing.position.mode == "newest":
            async for page in self._one_by_one(first):
                yield page
            return
        async with aclosing(asking.pages(self._zoho, self.facts, self._query(), first)) as pages:
            async for page in pages:
                self.pages += 1
                yield page

    async def _one_by_one(self, number: int) -> AsyncGenerator[RowsPage]:
        """Pages without look-ahead: a list that is left early would waste what came ahead."""
        more = True
        while more:
            page = await asking.page_of(self._zoho, self.facts, self._query(), number)
            self.pages += 1
            yield page
            more = bool(page.rows) and page.context is not None and bool(page.context.has_more_page)
            number += 1

    async def _is_known(self, page: RowsPage) -> bool:
        return await self._blocking(lambda: self.landing.saw(page.ids[0], bytes(page.rows[0])))

    def _query(self) -> dict[str, object]:
        position = self.landing.position
        return modes.query_of(self.facts, position.mode, self._filters, position.low)

    async def _put(self, page: RowsPage, lander: Lander) -> bool:
        """Hand a page over to land; whether nothing after it is wanted."""
        rows = [bytes(row) for row in page.rows]
        self._rows_met += len(rows)
        if page.total is not None:
            self._total = page.total
        over = await self._learn(rows)
        sheet = Sheet(
            number=page.number,
            rows=rows,
            ids=page.ids,
            total=page.total,
            alone=page.number == 1 and (over or _is_all(page)),
            moment=self._zoho.moment,
            own=self._own,
        )
        await lander.put(self.landing, sheet, self._total)
        return over

    async def _learn(self, rows: list[bytes]) -> bool:
        """See whether the list keeps what it is described to do; whether its wanted rows are over.

        A filter that lets older rows through does nothing, and a list whose rows do not come from
        the newest on cannot be left early. Either is remembered, and the list read to its end.
        """
        position = self.landing.position
        if position.mode not in ("changed", "newest") or position.low is None:
            return False
        times = [time for row in rows if (time := modes.times_of(row).modified) is not None]
        older = [time for time in times if time < position.low - modes.BOUND]
        if position.mode == "changed":
            if older and position.filtering.changes is not False:
                await self._blocking(lambda: self.landing.learn(changes=False))
            return False
        if times != sorted(times, reverse=True) or len(times) < len(rows):
            if position.filtering.newest is not False:
                await self._blocking(lambda: self.landing.learn(newest=False))
            return False
        return bool(older) and position.filtering.newest is not False

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
            total=self._total,
            bytes=position.bytes,
            mode=position.mode,
            new=position.rows - position.changed,
            changed=position.changed,
            deleted=position.deleted,
            proven=position.proven,
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
            total=self._total,
            bytes=position.bytes,
            pages=self.pages,
            least_calls=least_calls(self._rows_met, self.facts.max_per_page) if self.pages else 0,
            mode=position.mode,
            new=position.rows - position.changed,
            changed=position.changed,
            deleted=position.deleted,
            calls=self.pages + asked,
            proven=position.proven,
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


def _is_all(page: RowsPage) -> bool:
    """Whether a first page says that there is no other."""
    more = page.context is not None and bool(page.context.has_more_page)
    return not more and (page.total is None or page.total <= len(page.rows))
