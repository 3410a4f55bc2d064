"""Trying to prove that a list which was read is complete, and noting what is known in the end."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
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
from zoho_async.export.pass_reader import Walking
from zoho_async.export.passes import are_steady, completeness_of, missing_of
from zoho_async.export.tries import FEW, SHARE, Seen, Try, next_try
from zoho_async.export.writer import WriteQueue

Tell: TypeAlias = Callable[[ExportEvent], Awaitable[None]]
Day: TypeAlias = Callable[[], Awaitable[int | None]]

#: Passes over a list that is read from its newest row on, in one run.
_PASSES_OF_NEWEST: Final = 3
#: Seconds between two passes that must bring the same records before a fuller file is replaced.
APART: Final = 60.0


class Allowance:
    """The calls that all tries of one run may take: a share of those of the ``day``.

    Without a known day there is no such bound.
    """

    def __init__(self, day: Day | None = None) -> None:
        self._day: Final = day
        self._left: float | None = None

    async def take(self, calls: int) -> bool:
        """Take so many calls, if they are left."""
        if self._left is None:
            day = None if self._day is None else await self._day()
            self._left = math.inf if day is None else day * SHARE
        if calls > self._left:
            return False
        self._left -= calls
        return True


class Proving:
    """The tries for one list."""

    def __init__(
        self, walking: Walking, filters: Mapping[str, str], clock: Clock, allowance: Allowance
    ) -> None:
        self._walking: Final = walking
        self._landing: Final = walking.landing
        self._filters: Final = filters
        self._clock: Final = clock
        self._allowance: Final = allowance
        self.asked = 0

    async def run(self, tell: Tell, lander: WriteQueue) -> None:
        """Try until the list is proven, or nothing more is worth its calls; note what is known."""
        if self._landing.position.mode == "newest":
            await self._read_newest_again(tell, lander)
        elif self._landing.position.passes:
            await self._try_all(tell, lander)
        steady = await self._compare_passes(tell, lander)
        position = self._landing.position
        completeness, missing = completeness_of(position), missing_of(position)
        await self._walking.blocking(
            lambda: self._landing.over(completeness, missing, steady=steady)
        )

    @property
    def _proven(self) -> bool:
        return completeness_of(self._landing.position) == "proven"

    # -- tries --------------------------------------------------------------------------------

    async def _try_all(self, tell: Tell, lander: WriteQueue) -> None:
        facts, seen = self._landing.facts, self._walking.seen or Seen(self._landing.facts)
        while not self._proven:
            position = self._landing.position
            narrowed = bool(self._filters)
            what = next_try(facts, position, seen, narrowed=narrowed, pages=self._pages)
            if what is None or not await self._allowance.take(self._cost(what, seen)):
                return
            await self._walking.blocking(partial(self._landing.tries, what))
            try:
                await self._try(what, seen, tell, lander)
            except InvalidRequest:
                if what not in ("sorted", "sliced"):
                    raise
                await lander.landed()  # the list takes no such parameter after all

    def _cost(self, what: Try, seen: Seen) -> int:
        if what == "asked":
            return FEW
        pages = self._pages
        return len(seen.slices(self._landing.facts.max_per_page)) if what == "sliced" else pages

    @property
    def _pages(self) -> int:
        """How many pages the list has, as far as is known."""
        totals = [one.total for one in self._landing.position.passes if one.total is not None]
        counted = math.ceil(totals[-1] / self._landing.facts.max_per_page) if totals else 0
        return max(1, counted, self._walking.last)

    async def _try(self, what: Try, seen: Seen, tell: Tell, lander: WriteQueue) -> None:
        if what == "asked":
            await self._ask()
        elif what == "sliced":
            for narrowed in seen.slices(self._landing.facts.max_per_page):
                if not await self._walking.slice(narrowed, lander):
                    break
            await lander.landed()
        else:
            await self._again(tell)
            if what == "backwards":
                await self._walking.backwards(lander)
            else:
                order = None
                if what == "sorted":
                    order = {"sort_column": seen.distinct[0], "sort_order": "A"}
                await self._walking.forward(lander, order=order)

    async def _again(self, tell: Tell) -> None:
        await self._walking.blocking(self._landing.look_again)
        position = self._landing.position
        look = position.look - position.first_look + 1
        await tell(NextPass(resource=self._landing.facts.resource, look=look))

    async def _ask(self) -> None:
        """Ask by id for the few records that were met before and not in the last pass."""
        facts, last = self._landing.facts, self._landing.position.passes[-1]
        read = single_reads().get(facts.resource)
        ids = await self._walking.blocking(lambda: self._landing.absent(FEW + 1))
        wanted = (last.total or 0) - last.certain
        named = [one for one in ids if not one.startswith("#")]
        if read is None or len(ids) > FEW or not 0 < wanted <= len(named):
            return
        alive: list[str] = []
        for one in named:
            self.asked += 1
            try:
                times = await times_by_id(self._walking.zoho, read, one)
            except ReplyError as error:
                if isinstance(error, LimitError | OrganizationError | InvalidToken | MissingScope):
                    raise
                continue
            if times is not None and self._is_as_written(times.modified):
                alive.append(one)
        await self._walking.blocking(lambda: self._landing.answered(alive))

    def _is_as_written(self, modified: float | None) -> bool:
        """Whether a record that the list did not show is held as it is now."""
        position = self._landing.position
        if position.mode == "full":  # this part has written it
            return True
        if modified is None or position.watermark is None:
            return False
        return modified < position.watermark - BOUND

    async def _read_newest_again(self, tell: Tell, lander: WriteQueue) -> None:
        landing = self._landing
        while not self._proven:
            position = landing.position
            counted = position.passes and position.passes[-1].total is not None
            if not counted or position.look >= position.first_look + _PASSES_OF_NEWEST - 1:
                return
            before, borders = position.passes[-1].total, self._newest_borders
            await self._again(tell)
            await self._walking.first_page(lander)
            position = landing.position
            if position.fresh == 0 and position.passes[-1].total == before and borders:
                await self._walking.blocking(landing.close_pass)
            if not self._proven:
                await self._walking.forward(lander)

    @property
    def _newest_borders(self) -> bool:
        return self._walking.newest.differ

    # -- before a fuller file is replaced -----------------------------------------------------

    async def _compare_passes(self, tell: Tell, lander: WriteQueue) -> bool:
        """Whether two passes some time apart brought the same records, where that matters.

        It matters to a full read that lacks records of what it is to replace. A list that counts
        more than was found is not asked: it says itself that there is more.
        """
        landing = self._landing
        completeness = completeness_of(landing.position)
        if completeness in ("proven", "short") or landing.accepts_shorter:
            return False
        if not landing.position.met or not await self._walking.blocking(landing.lacks):
            return False
        if are_steady(landing.position, APART):
            return True
        begun = landing.position.passes[-1].begun
        await wait(self._clock, max(0.0, begun + APART - self._clock.time()))
        await self._again(tell)
        await self._walking.forward(lander)
        return are_steady(landing.position, APART)
