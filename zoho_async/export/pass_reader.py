"""Read the pages of one pass over a list, in some order, and queue them for writing.

A list whose description names no ``response_option`` may still count its rows. The first page asks
for the total once, and the result is stored (`Capabilities.totals`): a total, none, or a refusal.
After a refusal the same page is fetched without asking for the total.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import InvalidRequest
from zoho_async.export import fetch, incremental
from zoho_async.export.tries import OrderEvidence
from zoho_async.export.views import Views
from zoho_async.export.write_queue import Blocking, WriteQueue
from zoho_async.export.writer import ResourceWriter
from zoho_async.paging import Page, PageSource
from zoho_async.paging.completeness import Borders, Completeness


async def pages_from(
    last: int,
    pages: Callable[[int], AsyncGenerator[Page[bytes]]],
    starts_known: Callable[[Page[bytes]], Awaitable[bool]],
) -> AsyncGenerator[Page[bytes]]:
    """Yield the pages of a list after an interruption; the first may be written in part already.

    ``last`` is the last page that was written (0: none), ``pages(first)`` reads the list from a
    page on, and ``starts_known`` says whether a page's first row was written.
    """
    first = max(1, last)
    while True:
        async with aclosing(pages(first)) as walk:
            page = await anext(walk, None)
            if page is not None and (first == 1 or (page.rows and await starts_known(page))):
                yield page
                async for page in walk:
                    yield page
                return
            if first == 1:
                return
        first -= 1


#: How often the end of a list is looked for on later pages before it is read backwards.
_EXTENSIONS: Final = 3


class PassReader:
    """Reads passes over the current one of ``views`` of the list of ``writer``.

    ``pages`` calls were made, ``rows_read`` rows came in the first pass over each view,
    ``counted`` is the view's last count, and ``last`` the largest page number with rows.
    """

    def __init__(
        self,
        zoho: PageSource,
        writer: ResourceWriter,
        views: Views,
        blocking: Blocking,
        clock: Clock,
    ) -> None:
        self.zoho: Final = zoho
        self.writer: Final = writer
        self.blocking: Final = blocking
        self.pages = 0
        self.rows_read = 0
        self.counted: int | None = None
        self.views: Final = views
        self.last = writer.state.part.page
        self.newest = Borders()
        self.evidence: OrderEvidence | None = (
            OrderEvidence(writer.facts) if writer.state.part.page == 0 else None
        )
        self._clock: Final = clock
        self._ended: Completeness | None = None
        self._refused = False

    @property
    def total(self) -> int | None:
        """The records that the list counts, in all views that were begun."""
        passes = self.writer.state.passes
        views = [one.total for one in passes.views]
        totals = views if passes.done else [*views, self.counted]
        known = [total for total in totals if total is not None]
        return sum(known) - passes.shared if known and len(known) == len(totals) else None

    def begin_view(self) -> None:
        """Forget what is known of the view before."""
        self.counted, self.last, self.evidence = None, 0, None

    # -- passes -------------------------------------------------------------------------------

    async def forward(
        self,
        write_queue: WriteQueue,
        planned: Callable[[Page[bytes]], Awaitable[None]] | None = None,
        order: Mapping[str, str] | None = None,
    ) -> None:
        """Read the list, or the rest of it, from its beginning to its end.

        ``planned`` gets each page before it is queued. ``order`` replaces the list's order.
        """
        self._begin()
        before, alone = self.writer.state.part.page, False
        self._ended = None
        self.newest = Borders()
        self.newest.differ = before <= 1

        def list_pages(first: int) -> AsyncGenerator[Page[bytes]]:
            return self._list_pages(first, order or {})

        async with aclosing(pages_from(before, list_pages, self._is_known)) as walk:
            async for page in walk:
                if planned is not None:
                    await planned(page)
                if await self.put(page, write_queue):
                    alone = page.number == 1
                    break
        await write_queue.flush()
        counts = self.writer.state.passes.counts
        if alone or (self._is_closed() and counts and counts[-1].total is None):
            await self.blocking(self.writer.close_pass)

    async def backwards(self, write_queue: WriteQueue) -> None:
        """Read a list in steady order from its last page to its first, one after the other.

        Without a total the last page is the one that an empty page follows; then the pass is closed
        if the sort values at all page borders differ.
        """
        self._begin()
        number, extensions = max(1, self.last), 0
        borders: Borders | None = None
        began: float | None = None
        empty_follows = False
        sizes = list[int]()
        while number > 0:
            page = await self._page(number, {})
            began = page.date if began is None else began
            if borders is None and extensions < _EXTENSIONS:
                end = self._end_of(page, number, empty_follows=empty_follows)
                if end > number:
                    beyond = page.total is None and _is_empty(await self._page(end, {}))
                    empty_follows, extensions = beyond, extensions + 1
                    number = number if beyond else end
                    continue
            if borders is None:
                borders = Borders(began, backwards=True)
            borders.page([times.created for times in page.read_times()])
            sizes.append(len(page.rows))
            await self.put(page, write_queue)
            number -= 1
        await write_queue.flush()
        whole = len(set(sizes[1:])) <= 1 and began is not None
        if empty_follows and whole and borders is not None and borders.differ:
            await self.blocking(self.writer.close_pass)

    @staticmethod
    def _end_of(page: Page[bytes], number: int, *, empty_follows: bool) -> int:
        """Return the last page of the list, as far as page ``number`` shows."""
        if page.total is None:
            return number if empty_follows else number + 1
        size = page.context.per_page or len(page.rows) or 1
        return math.ceil(page.total / size)

    async def first_page(self, write_queue: WriteQueue) -> Page[bytes]:
        """Begin a pass, and read its first page only."""
        self._begin()
        page = await self._page(1, {})
        alone = await self.put(page, write_queue)
        await write_queue.flush()
        if alone:
            await self.blocking(self.writer.close_pass)
        return page

    async def at(
        self, number: int, write_queue: WriteQueue, known: set[str] | None = None
    ) -> Page[bytes]:
        """Read one page of a pass that is not read in order. ``known`` gets its indexed ids."""
        self._begin()
        page = await self._page(number, {})
        if known is not None:
            ids = [one for one in page.ids if one]
            known.update(await self.blocking(lambda: self.writer.find_known(ids)))
        self.counted = page.total
        await self.put(page, write_queue, of_list=False)
        return page

    async def count_all(self) -> int | None:
        """Return how many records the list counts without a moment; None if it does not say."""
        try:
            context = await fetch.context_of(
                self.zoho, self._facts, {**self.views.filters, "response_option": 2}
            )
        except InvalidRequest:
            return None
        finally:
            self.views.counted += 1
        return context.total

    async def look(self) -> Page[bytes]:
        """Fetch the first page, and write nothing."""
        try:
            return await self._page(1, {})
        except InvalidRequest:
            if not self._asks_total:
                raise
            self._refused = True
            return await self._page(1, {})

    async def slice(self, narrowed: Mapping[str, str], write_queue: WriteQueue) -> bool:
        """Read a part of the list; if it does not fit on one page, write nothing."""
        if self.views.value:
            return False  # it may cancel filters by date
        page = await self._page(1, narrowed)
        if page.has_more or page.total is None or page.total > len(page.rows):
            return False
        await self.put(page, write_queue, of_list=False)
        return True

    def _begin(self) -> None:
        self.writer.pass_began = self._clock.time()

    # -- pages --------------------------------------------------------------------------------

    @property
    def _asks_total(self) -> bool:
        """Whether to ask for the list's total."""
        facts, learned = self.writer.facts, self.writer.state.bookmark.capabilities.totals
        return facts.paged and learned is not False and not self._refused

    @property
    def _facts(self) -> OperationFacts:
        facts = self.writer.facts
        return msgspec.structs.replace(facts, totals=self._asks_total)

    async def _page(self, number: int, order: Mapping[str, str]) -> Page[bytes]:
        query = {**self._query(), **order}
        page = await fetch.page_of(self.zoho, self._facts, query, number)
        self.pages += 1
        return page

    async def _list_pages(
        self, first: int, order: Mapping[str, str]
    ) -> AsyncGenerator[Page[bytes]]:
        came = False
        try:
            async for page in self._pages_in_mode(first, order):
                if not came:
                    await self._learn_totals(page)
                came = True
                yield page
        except InvalidRequest:
            if came or not self._asks_total or self.views.current:
                raise
            self._refused = True
        if came:
            return
        async for page in self._pages_uncounted(first, order):
            yield page

    async def _pages_uncounted(
        self, first: int, order: Mapping[str, str]
    ) -> AsyncGenerator[Page[bytes]]:
        """Yield the same pages without asking for the total, which may have been refused."""
        came = False
        try:
            async for page in self._pages_in_mode(first, order):
                if not came:
                    await self.blocking(lambda: self.writer.learn(totals=False))
                came = True
                yield page
        except InvalidRequest:  # the refusal had another reason
            self._refused = came
            raise

    async def _learn_totals(self, page: Page[bytes]) -> None:
        learned = self.writer.state.bookmark.capabilities.totals
        gives = page.total is not None
        if self._asks_total and not self.writer.facts.totals and learned is not gives:
            await self.blocking(lambda: self.writer.learn(totals=gives))

    async def _pages_in_mode(
        self, first: int, order: Mapping[str, str]
    ) -> AsyncGenerator[Page[bytes]]:
        if self.writer.state.part.mode == "newest":
            async for page in self._one_by_one(first):
                yield page
            return
        query = {**self._query(), **order}
        pages = fetch.pages(self.zoho, self._facts, query, first, self._note_end)
        async with aclosing(pages) as walk:
            async for page in walk:
                self.pages += 1
                yield page

    def _is_closed(self) -> bool:
        """Whether the pages of the last pass alone prove that it is complete."""
        return self._ended == "proven"

    def _note_end(self, completeness: Completeness | None) -> None:
        self._ended = completeness

    async def _one_by_one(self, number: int) -> AsyncGenerator[Page[bytes]]:
        """Yield pages without fetching ahead: the list may be left early."""
        more, seen = True, set[str]()
        while more:
            page = await self._page(number, {})
            yield page
            new = set(page.ids) - seen - {""}
            seen |= new
            more = bool(new) and bool(page.has_more)
            number += 1

    async def _is_known(self, page: Page[bytes]) -> bool:
        return await self.blocking(lambda: self.writer.is_in_pass(page.ids[0], page.rows[0]))

    def _query(self) -> dict[str, object]:
        return self.views.query()

    async def put(
        self, page: Page[bytes], write_queue: WriteQueue, *, of_list: bool = True
    ) -> bool:
        """Queue a page for writing. Return whether no later page is needed."""
        passes = self.writer.state.passes
        if passes.current == max(passes.first, passes.view_first) and not passes.tries:
            self.rows_read += len(page)
        if of_list:
            self.counted = self.counted if page.total is None else page.total
            self.last = max(self.last, page.number if page.rows else 0)
            self._note_order(page)
            await self.views.check(page)
        over = await self._learn(page)
        await write_queue.put(self.writer, page, self.total)
        return over

    def _note_order(self, page: Page[bytes]) -> None:
        """Note the list's order in its first pass, unless that is a single page."""
        if self.writer.state.part.mode == "newest":
            times = [one.modified for one in page.read_times()]
            self.newest.page([None if time is None else -time for time in times])
            return
        passes = self.writer.state.passes
        first = passes.current == passes.first and not passes.tries
        alone = page.number == 1 and page.total is not None and page.total <= len(page)
        if self.evidence is not None and first and not alone:
            self.evidence.page(page)

    async def _learn(self, page: Page[bytes]) -> bool:
        """Check that the list works as described. Return whether the rest is not needed.

        A filter that lets older rows through does not work. A list whose rows do not come newest
        first cannot be left early. Either is stored, and the list is read to its end.
        """
        part, capabilities = self.writer.state.part, self.writer.state.bookmark.capabilities
        if part.mode not in ("changed", "newest") or part.since is None:
            return False
        times = [one.modified for one in page.read_times() if one.modified is not None]
        older = [time for time in times if time < part.since - incremental.BOUND]
        if part.mode == "changed":
            if older and capabilities.changes is not False:
                await self.blocking(lambda: self.writer.learn(changes=False))
            return False
        if times != sorted(times, reverse=True) or len(times) < len(page):
            if capabilities.newest is not False:
                await self.blocking(lambda: self.writer.learn(newest=False))
            return False
        return bool(older) and capabilities.newest is not False


def _is_empty(page: Page[bytes]) -> bool:
    """Whether a page is empty and says that no page follows."""
    return not page.rows and not page.has_more
