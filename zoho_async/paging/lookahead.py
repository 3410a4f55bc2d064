"""Fetch pages ahead of the reader and hand them over in order.

Model
-----
One reader asks for page after page. The first page is fetched in the reader's own call, with the
session's options. Later pages are fetched by background tasks that the session owns, as bulk calls
without a time limit. The `PagePlan` decides which pages to fetch, after each arrival and each
page read. An error is kept with its page and raised when the reader reaches it.

Invariant
---------
Look-ahead runs only while a reader exists.

Why it holds
------------
A task references the session and the query, but not the walk. Only the walk references its tasks,
and only the reader references the walk. If the reader disappears, so does the walk, which cancels
its tasks:

- ``break`` or an exception in the loop drops the iterator, and with it the walk, at once.
- An error or a cancellation while the reader waits here cancels the tasks before it is raised.
- If the last reading task was cancelled, its look-ahead is cancelled too, even if a traceback or
  a variable still holds the iterator.

A cancelled task stops at its current ``await``, so no more pages are requested.

A walk that failed or was cancelled does not claim to be at its end. The next call continues with
the next page, and pages that have arrived are not requested again. Several tasks may share a walk;
a lock serves them one at a time.

Unknown
-------
Whether a reader that keeps its iterator after leaving the loop will come back. Until it drops the
iterator, up to `MOST_AHEAD` pages are fetched and kept. ``aclose()`` or ``async with`` ends this at
once. The end of the reading task proves nothing, because each row may be read in a different task.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from zoho_async.errors import IncompleteList, Request, SessionClosed
from zoho_async.events import Paged
from zoho_async.paging.completeness import Completeness
from zoho_async.paging.evidence import Evidence
from zoho_async.paging.list_query import ListQuery
from zoho_async.paging.plan import MOST_AHEAD, PagePlan, depth
from zoho_async.paging.seen import SeenIds
from zoho_async.paging.source import PageSource, fetch_page, report_unconfirmed
from zoho_async.wire import Page, PageContext

R = TypeVar("R")

#: The weight of one reply in the average latency.
_LATENCY_WEIGHT: Final = 0.25


class _PageError(msgspec.Struct, frozen=True):
    """An error of a page, kept as a value because it may never be raised."""

    error: Exception


_Outcome: TypeAlias = Page[R] | _PageError


class Walk(Generic[R]):
    """A walk through ``list_query`` from page ``first`` on. ``read`` decodes the bodies.

    ``for_export`` means that the reader will read to the end, checks completeness itself, and gets
    repeated rows too. ``ended`` is called at the end with the completeness of the list.
    """

    def __init__(
        self,
        zoho: PageSource,
        list_query: ListQuery[Any],
        read: Callable[[bytes], Page[R]],
        first: int,
        *,
        for_export: bool,
        ended: Callable[[Completeness], None] | None = None,
    ) -> None:
        self._zoho: Final = zoho
        self._bulk: Final = zoho.with_options(lane="bulk", max_wait=None)
        self._query: Final = list_query
        self._read: Final = read
        self._for_export: Final = for_export
        self._plan: Final = PagePlan(
            first=first,
            per_page=list_query.per_page,
            complete=list_query.complete or (not for_export and zoho.decoder.strict),
            parts=list_query.parts,
        )
        self._evidence: Final = Evidence(list_query, first, with_times=not for_export)
        self._ended: Final = ended
        self._last: tuple[PageContext | None, list[R]] | None = None
        self._begun = False
        self._closed = False
        self._seen: Final = SeenIds()
        self._latency = 0.0
        self._total: int | None = None
        self._tasks: dict[int, asyncio.Task[_Outcome[R]]] = {}
        self._cancelled: set[asyncio.Task[_Outcome[R]]] = set()
        self._reader: asyncio.Task[Any] | None = None
        self._on_reader_end: Final = functools.partial(_reader_ended, weakref.ref(self))
        self.lock: Final = asyncio.Lock()  # readers hold it while they ask for a page

    # -- the reader's side ------------------------------------------------------------------

    async def next(self) -> Page[R] | None:
        """The next page with rows, or None at the end. The caller holds ``lock``.

        The first page is returned even if it is empty. Raises the errors of fetching.
        """
        while not (self._closed or self._plan.done):
            self._watch_reader(asyncio.current_task())
            try:
                fetched = await self._next_fetched()
            except BaseException:
                await self._cancel_and_wait()
                raise
            if fetched is None:
                break
            page = self._new_part(fetched)
            if page is not None:
                return page
        over = self._plan.done and not self._closed
        await self.aclose()
        if over:
            self._report_completeness()
        return None

    def _report_completeness(self) -> None:
        """Report the completeness; with ``strict`` raise `IncompleteList` unless proven."""
        completeness = self._evidence.completeness
        if self._ended is not None:
            self._ended(completeness)
        if not self._for_export and self._zoho.decoder.strict and completeness != "proven":
            request = Request("GET", self._query.path, self._zoho.organization)
            raise IncompleteList(request, completeness, self._evidence.missing)

    async def aclose(self) -> None:
        """End the walk: cancel all tasks, send no more calls, and let `next` return None."""
        self._closed = True
        self._watch_reader(None)
        await self._cancel_and_wait()
        self._tasks.clear()

    async def _next_fetched(self) -> Page[R] | None:
        """The next page in order, already fetched or fetched now; None after `aclose`."""
        number = self._plan.next_page
        if not self._begun:
            query = self._query.page_query(number, counting=True)
            first = await fetch_page(self._zoho, self._query, self._read, query, number)
            self._record_arrival(first)
            return first
        task = self._tasks.get(number) or self._start(number)
        await asyncio.wait((task,))
        self._tasks.pop(number, None)
        if task.cancelled():
            if self._closed:
                return None
            raise SessionClosed
        outcome = task.result()
        if isinstance(outcome, _PageError):
            try:
                raise outcome.error
            finally:  # avoid a reference cycle of the error, its traceback and this frame
                del outcome, task
        return outcome

    def _new_part(self, page: Page[R]) -> Page[R] | None:
        """Record the page as read. Return its new rows, or None if there is nothing to show."""
        first, self._begun = not self._begun, True
        new = self._seen.add_all(page.ids)
        repeated = self._is_repeated(page, new)
        again = repeated and self._last is not None and _sent_context(page) == self._last[0]
        self._last = _sent_context(page), _rows_without_ids(page)
        self._evidence.page(page, self._total, new)
        self._plan.read(
            rows=len(page.rows),
            new=0 if repeated else sum(new),
            has_more=page.has_more,
            repeats=again,
        )
        self._zoho.observe(
            Paged(
                path=self._query.path,
                organization=self._zoho.organization,
                page=page.number,
                rows=len(page.rows),
                new=sum(new),
                has_more_page=bool(page.has_more),
            )
        )
        if self._plan.done:
            self._cancel_all()
        else:
            self._look_ahead()
        if not first and (not page.rows or (repeated and self._plan.done)):
            return None
        rows, ids = page.rows, page.ids
        if not (self._for_export or all(new)):
            rows, ids = list(itertools.compress(rows, new)), list(itertools.compress(ids, new))
        return msgspec.structs.replace(page, rows=rows, ids=ids, total=self._total)

    def _is_repeated(self, page: Page[R], new: list[bool]) -> bool:
        """Whether a page has rows but none is new: all ids are known, the rest is as before.

        Rows without ids are compared with those of the page before as a whole, because equal rows
        can be different records.
        """
        if self._last is None or not page.rows:
            return False
        if any(one and bool(identity) for identity, one in zip(page.ids, new, strict=True)):
            return False
        return _rows_without_ids(page) == self._last[1]

    # -- look-ahead -------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        """Start the pages that the plan allows, unless a page ahead of the reader failed.

        If the session is closed, the reader gets the error at its next page.
        """
        if self._closed or self._failed_ahead():
            return
        ahead = MOST_AHEAD if self._for_export else depth(self._bulk.rate, self._latency)
        horizon = self._plan.horizon(ahead)
        for number in range(self._plan.next_page, horizon + 1):
            if number not in self._tasks:
                try:
                    self._start(number)
                except SessionClosed:
                    return

    def _start(self, number: int) -> asyncio.Task[_Outcome[R]]:
        operation = self._query.operation
        task = self._bulk.start(
            _fetch_ahead(self._bulk, self._query, self._read, number),
            name=f"page {number} of {operation.name}",
        )
        self._tasks[number] = task
        task.add_done_callback(functools.partial(_arrived, weakref.ref(self), number))
        return task

    def arrived(self, number: int, task: asyncio.Task[_Outcome[R]]) -> None:
        """Handle a finished task: update the plan and fetch more, unless the task failed."""
        self._cancelled.discard(task)
        if self._tasks.get(number) is not task or task.cancelled():
            return
        outcome = task.result()
        if isinstance(outcome, _PageError):
            return
        self._record_arrival(outcome)
        for page in [page for page in self._tasks if page > self._plan.limit]:
            self._cancel(page)
        self._look_ahead()

    def _record_arrival(self, page: Page[R]) -> None:
        if not self._begun:
            if not self._for_export:
                report_unconfirmed(self._zoho, self._query, page)
            self._latency = page.seconds
            self._total = page.total
            if page.total is not None:
                self._plan.counted(page.total, page.context.per_page)
        self._latency += (page.seconds - self._latency) * _LATENCY_WEIGHT
        self._plan.arrived(page.number, rows=len(page.rows), has_more=bool(page.has_more))

    def _failed_ahead(self) -> bool:
        return any(
            task.done() and not task.cancelled() and isinstance(task.result(), _PageError)
            for task in self._tasks.values()
        )

    # -- the end of look-ahead --------------------------------------------------------------

    def _cancel(self, number: int) -> None:
        """Cancel a page that is being fetched. A page that has arrived stays."""
        task = self._tasks[number]
        if task.cancel():
            del self._tasks[number]
            self._cancelled.add(task)

    def _cancel_all(self) -> None:
        for number in list(self._tasks):
            self._cancel(number)

    async def _cancel_and_wait(self) -> None:
        """Cancel look-ahead and wait until its tasks have ended."""
        self._cancel_all()
        if self._cancelled:
            await asyncio.wait(self._cancelled.copy())

    def _watch_reader(self, reader: asyncio.Task[Any] | None) -> None:
        """Tie look-ahead to the lifetime of the reading task."""
        if reader is self._reader:
            return
        if self._reader is not None:
            self._reader.remove_done_callback(self._on_reader_end)
        self._reader = reader
        if reader is not None:
            reader.add_done_callback(self._on_reader_end)

    def reader_ended(self, reader: asyncio.Task[Any]) -> None:
        """Cancel look-ahead if the last reading task was cancelled and no other task waits."""
        self._reader = None
        if reader.cancelled() and not self.lock.locked():
            self._cancel_all()

    def __del__(self) -> None:
        tasks = list(getattr(self, "_tasks", {}).values())
        reader = getattr(self, "_reader", None)
        if reader is not None:
            _on_its_loop(reader, functools.partial(_remove_callback, reader, self._on_reader_end))
        if tasks:
            _on_its_loop(tasks[0], functools.partial(_cancel_each, tasks))


def _rows_without_ids(page: Page[R]) -> list[R]:
    return [row for row, one in zip(page.rows, page.ids, strict=True) if not one]


def _sent_context(page: Page[Any]) -> PageContext | None:
    return None if page.has_more is None else page.context


async def _fetch_ahead(
    zoho: PageSource, list_query: ListQuery[Any], read: Callable[[bytes], Page[R]], number: int
) -> _Outcome[R]:
    """Fetch a page in advance. Must not reference the walk, or the walk would never be freed."""
    try:
        return await fetch_page(zoho, list_query, read, list_query.page_query(number), number)
    except Exception as error:
        return _PageError(error)


def _arrived(walk: weakref.ref[Walk[R]], number: int, task: asyncio.Task[_Outcome[R]]) -> None:
    alive = walk()
    if alive is not None:
        alive.arrived(number, task)


def _reader_ended(walk: weakref.ref[Walk[Any]], reader: asyncio.Task[Any]) -> None:
    alive = walk()
    if alive is not None:
        alive.reader_ended(reader)


def _on_its_loop(task: asyncio.Task[Any], action: Callable[[], None]) -> None:
    """Run ``action`` on the task's loop: now, or soon if the walk is freed on another thread."""
    loop = task.get_loop()
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        action()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(action)


def _remove_callback(
    reader: asyncio.Task[Any], callback: Callable[[asyncio.Task[Any]], None]
) -> None:
    reader.remove_done_callback(callback)


def _cancel_each(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
