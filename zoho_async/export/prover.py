"""Try to prove that a list was read completely, and store the result."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from zoho_async.clock import Clock, wait
from zoho_async.errors import (
    InvalidRequest,
    InvalidToken,
    LimitError,
    MissingScope,
    OrganizationError,
    ReplyError,
)
from zoho_async.export.catalog import single_reads
from zoho_async.export.events import ExportEvent, NextPass
from zoho_async.export.fetch import times_by_id
from zoho_async.export.incremental import BOUND
from zoho_async.export.pass_reader import PassReader
from zoho_async.export.passes import are_steady, completeness_of, is_view_settled, result_of
from zoho_async.export.tries import FEW, SHARE, OrderEvidence, Try, next_try
from zoho_async.export.write_queue import WriteQueue

Report: TypeAlias = Callable[[ExportEvent], Awaitable[None]]
Day: TypeAlias = Callable[[], Awaitable[int | None]]

#: Stored as a try if a list without a total was read once more.
_SETTLING: Final = "settle"
#: The largest number of passes over a list read from its newest row, in one run.
_PASSES_OF_NEWEST: Final = 3
#: Seconds between two passes that must bring the same records before a fuller file is replaced.
APART: Final = 60.0


class Allowance:
    """The calls that all tries of one run may take: a share of the ``day``'s calls.

    If the day's calls are not known, there is no limit.
    """

    def __init__(self, day: Day | None = None) -> None:
        self._day: Final = day
        self._left: float | None = None

    async def take(self, calls: int) -> bool:
        """Take ``calls`` from the allowance; False if too few are left."""
        if self._left is None:
            day = None if self._day is None else await self._day()
            self._left = math.inf if day is None else day * SHARE
        if calls > self._left:
            return False
        self._left -= calls
        return True


class Prover:
    """Makes the tries for one list."""

    def __init__(
        self,
        pass_reader: PassReader,
        clock: Clock,
        allowance: Allowance,
    ) -> None:
        self._pass_reader: Final = pass_reader
        self._writer: Final = pass_reader.writer
        self._clock: Final = clock
        self._allowance: Final = allowance

    async def run(self, report: Report, write_queue: WriteQueue) -> None:
        """Try until the view is proven or no try is worth its calls, and store the result.

        That begins the next view, if there is one.
        """
        if self._writer.state.part.mode == "newest":
            await self._reread_newest(report, write_queue)
        elif self._writer.state.passes.counts:
            await self._try_all(report, write_queue)
        steady = await self._compare_passes(report, write_queue)
        await self._repeat(report, write_queue)
        views = self._pass_reader.views
        result = views.judge(result_of(self._writer.state, steady=steady))
        following = views.following()
        await self._pass_reader.blocking(lambda: self._writer.end_view(result, following))

    @property
    def _proven(self) -> bool:
        return completeness_of(self._writer.state) == "proven"

    # -- tries --------------------------------------------------------------------------------

    async def _try_all(self, report: Report, write_queue: WriteQueue) -> None:
        facts, evidence = (
            self._writer.facts,
            self._pass_reader.evidence or OrderEvidence(self._writer.facts),
        )
        while not self._proven:
            state = self._writer.state
            narrowed = self._pass_reader.views.narrowed
            what = next_try(facts, state, evidence, narrowed=narrowed, pages=self._pages)
            if what is None or not await self._allowance.take(self._cost(what, evidence)):
                return
            await self._pass_reader.blocking(partial(self._writer.note_try, what))
            try:
                await self._try(what, evidence, report, write_queue)
            except InvalidRequest:
                if what not in ("sort", "slices"):
                    raise
                await write_queue.flush()  # the list does not take this parameter

    def _cost(self, what: Try, evidence: OrderEvidence) -> int:
        if what == "lookup":
            return FEW
        pages = self._pages
        return len(evidence.slices(self._writer.facts.max_per_page)) if what == "slices" else pages

    @property
    def _pages(self) -> int:
        """The number of pages of the list, as far as known."""
        totals = [one.total for one in self._writer.state.passes.counts if one.total is not None]
        counted = math.ceil(totals[-1] / self._writer.facts.max_per_page) if totals else 0
        return max(1, counted, self._pass_reader.last)

    async def _try(
        self, what: Try, evidence: OrderEvidence, report: Report, write_queue: WriteQueue
    ) -> None:
        if what == "lookup":
            await self._look_up_absent()
        elif what == "slices":
            for narrowed in evidence.slices(self._writer.facts.max_per_page):
                if not await self._pass_reader.slice(narrowed, write_queue):
                    break
            await write_queue.flush()
        else:
            await self._begin_pass(report)
            if what == "backwards":
                await self._pass_reader.backwards(write_queue)
            else:
                order = None
                if what == "sort":
                    order = {"sort_column": evidence.distinct[0], "sort_order": "A"}
                await self._pass_reader.forward(write_queue, order=order)

    async def _begin_pass(self, report: Report) -> None:
        await self._pass_reader.blocking(self._writer.begin_pass)
        passes = self._writer.state.passes
        pass_number = passes.current - passes.first + 1
        await report(NextPass(resource=self._writer.facts.resource, pass_number=pass_number))

    async def _look_up_absent(self) -> None:
        """Fetch by id the few records that an earlier pass saw and the last one did not."""
        facts, last = self._writer.facts, self._writer.state.passes.counts[-1]
        read = single_reads().get(facts.resource)
        ids = await self._pass_reader.blocking(lambda: self._writer.find_absent(FEW + 1))
        wanted = (last.total or 0) - last.certain
        named = [one for one in ids if not one.startswith("#")]
        if read is None or len(ids) > FEW or not 0 < wanted <= len(named):
            return
        alive: list[str] = []
        for one in named:
            try:
                times = await times_by_id(self._pass_reader.zoho, read, one)
            except ReplyError as error:
                if isinstance(error, LimitError | OrganizationError | InvalidToken | MissingScope):
                    raise
                continue
            if times is not None and self._is_as_written(times.modified):
                alive.append(one)
        await self._pass_reader.blocking(lambda: self._writer.mark_answered(alive))

    def _is_as_written(self, modified: float | None) -> bool:
        """Whether a record that the list did not show is written in its current version."""
        state = self._writer.state
        if state.part.mode == "full":  # this part has written it
            return True
        if modified is None or state.bookmark.watermark is None:
            return False
        return modified < state.bookmark.watermark - BOUND

    async def _reread_newest(self, report: Report, write_queue: WriteQueue) -> None:
        writer = self._writer
        while not self._proven:
            passes = writer.state.passes
            counted = passes.counts and passes.counts[-1].total is not None
            if not counted or passes.current >= passes.first + _PASSES_OF_NEWEST - 1:
                return
            before, borders = passes.counts[-1].total, self._newest_borders
            await self._begin_pass(report)
            await self._pass_reader.first_page(write_queue)
            passes = writer.state.passes
            if passes.new_in_pass == 0 and passes.counts[-1].total == before and borders:
                await self._pass_reader.blocking(writer.close_pass)
            if not self._proven:
                await self._pass_reader.forward(write_queue)

    @property
    def _newest_borders(self) -> bool:
        return self._pass_reader.newest.differ

    async def _repeat(self, report: Report, write_queue: WriteQueue) -> None:
        """Read a list without a total once more: two equal passes settle it."""
        state = self._writer.state
        open_question = completeness_of(state) == "uncheckable" and not is_view_settled(state)
        if not (open_question and state.passes.counts and self._writer.facts.row_id):
            return
        if _SETTLING in state.passes.tries or not await self._allowance.take(self._pages):
            return
        await self._pass_reader.blocking(partial(self._writer.note_try, _SETTLING))
        await self._begin_pass(report)
        await self._pass_reader.forward(write_queue)

    # -- before a fuller file is replaced -----------------------------------------------------

    async def _compare_passes(self, report: Report, write_queue: WriteQueue) -> bool:
        """Whether two passes some time apart saw the same records, if that matters.

        It matters for a full read that lacks records of what it replaces. If the list counts more
        records than were found, no pass is made: the list itself says that there are more.
        """
        writer = self._writer
        completeness = completeness_of(writer.state)
        if completeness in ("proven", "short") or writer.store.options.accept_shorter:
            return False
        if not writer.state.passes.records_seen or not await self._pass_reader.blocking(
            writer.lacks_records
        ):
            return False
        if are_steady(writer.state, APART):
            return True
        started = writer.state.passes.counts[-1].started
        await wait(self._clock, max(0.0, started + APART - self._clock.time()))
        await self._begin_pass(report)
        await self._pass_reader.forward(write_queue)
        return are_steady(writer.state, APART)
