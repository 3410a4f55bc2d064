"""Find the changes whose webhooks did not arrive, and put them into the queue.

Model
-----
A webhook is lost if the receiver was down for longer than Zoho tries, or above the 1,000 webhooks
that Zoho sends per day. `catch_up` asks the lists what changed since the *mark* of each list, a
moment that is kept in the queue's file. Each changed row is put into the queue as a delivery that
is not proven, because a row of a list has fewer fields than the record: `handle_changes` reads the
record by its id. A row is skipped if that change was read before.

Billing lists its events. Each event since the mark is read with its payload, and queued like the
webhook that Zoho sent or should have sent.

Invariant
---------
Every change before the mark was put into the queue, or the list did not show it.

Why it holds
------------
The mark moves only after the whole list was read and everything is in the queue. So an interrupted
run is repeated. The new mark lies before the start of the run by `MARGIN`: the earlier of this
computer's clock and Zoho's counts. A change during the run is later than that, and is found by the
next run.

A record that is deleted while a list is read moves later rows to pages that were read before. So a
list of several pages counts as read only if paging proved it complete, or if two passes in a row
found the same rows. Otherwise the mark stays.

A row whose second is not over by `MARGIN` could change again within the same second. It is read
again by the next run; any other row is read once.

What is unknown
---------------
- Deleted records are in no list of Books, Inventory and Invoice: only their webhooks, and a full
  export with ``--detect-deletions``, show them. Billing's events do.
- How long Zoho keeps Billing's events, and in which order it lists them: all are listed each time.
- Whether a list that names ``last_modified_time`` as its order in the reply is always sorted by it.
- A change that shows in a list later than `MARGIN` is missed.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Final

import anyio
import msgspec

from zoho_async.errors import (
    AccountsUnavailable,
    IncompleteList,
    LedgerError,
    LimitError,
    ReplyError,
    ServerError,
    TokenThrottled,
    TransportError,
    first_failure,
    says_gone,
)
from zoho_async.export.incremental import zoho_time
from zoho_async.paging import Pager
from zoho_async.session import Session
from zoho_async.webhooks.changed_lists import (
    EVENTS,
    ChangedList,
    changed_list,
)
from zoho_async.webhooks.queue import QueueFull, WebhookQueue
from zoho_async.webhooks.signature import Delivery
from zoho_async.wire import Page, Record, encode
from zoho_async.wire.page import MODIFIED

#: Seconds by which a mark lies before the start of its run: a list may show a change so late, or
#: this computer's clock may be ahead.
MARGIN: Final = 300.0

_LOGGER: Final = logging.getLogger("zoho_async.webhooks")
#: Errors that end without a change of settings. A full disk is an `sqlite3.OperationalError`.
_TEMPORARY: Final = (
    *(TransportError, ServerError, LimitError),
    *(AccountsUnavailable, TokenThrottled, LedgerError),
    sqlite3.OperationalError,
)
_MOST_PASSES: Final = 5
_MOST_PUT: Final = 100_000
_PAUSE: Final = 1.0


class CaughtUp(msgspec.Struct, frozen=True, kw_only=True):
    """What `catch_up` did with one list.

    ``listed`` counts the rows that changed since the mark, ``queued`` those that were put into the
    queue. ``mark`` is the new mark in seconds since 1970. It is the old one if the list changed too
    much while it was read; then the next run repeats the list.
    """

    resource: str
    listed: int
    queued: int
    mark: float


async def catch_up(
    queue: WebhookQueue,
    zoho: Session,
    resources: Iterable[str],
    *,
    since: float | None = None,
    wall: Callable[[], float] = time.time,
) -> list[CaughtUp]:
    """Put what changed since the last run into ``queue``, once for each of ``resources``.

    Calls are made in the bulk lane and wait for the next day if the day's calls are used up. Run it
    at the same time as `handle_changes`, because it waits while the queue is full.

    Args:
        queue: The queue of the receiver.
        zoho: The session that reads the lists.
        resources: Lists such as ``books.invoices``, and ``billing.events``. A list must have a
            filter by last modification, or be sortable by it, and its records must be readable by
            their id.
        since: Where a list begins that has no mark yet, in seconds since 1970. Default: the
            ``since`` of `open_queue`. If that is 0 too, the first run only sets the mark.
        wall: The clock, in seconds since 1970.

    Raises `ConfigurationError` for a list that cannot be asked, and what calls raise. Nothing is
    lost then: run it again.
    """
    patient = zoho.with_options(lane="bulk", max_wait=None, wait_for_reset=True)
    sources = [changed_list(name) for name in resources]
    found: list[CaughtUp] = []
    for source in sources:
        mark = await queue.mark(source.resource)
        if mark is None:
            mark = since if since is not None else queue.horizon
        if mark:
            found.append(await _Run(queue, patient, source, mark, wall()).run())
        else:
            found.append(await _Run(queue, patient, source, 0.0, wall()).begin())
    return found


async def keep_caught_up(
    queue: WebhookQueue,
    zoho: Session,
    resources: Iterable[str],
    *,
    every: float = 3600.0,
    since: float | None = None,
) -> None:
    """Run `catch_up` now and ``every`` so many seconds, until it is cancelled.

    If Zoho cannot be reached or the disk fails, it tries again after the same time. Other errors
    end it.
    """
    names = list(resources)
    while True:
        try:
            await catch_up(queue, zoho, names, since=since)
        except _TEMPORARY as problem:
            _LOGGER.warning("catching up failed; next try in %.0f s: %s", every, problem)
        await anyio.sleep(every)


class _Run:
    """One run over one list."""

    def __init__(
        self, queue: WebhookQueue, zoho: Session, source: ChangedList, mark: float, started: float
    ) -> None:
        self._queue: Final = queue
        self._zoho: Final = zoho
        self._source: Final = source
        self._mark: Final = mark
        #: When this run began, by the earlier of both clocks.
        self._begun = started
        self._listed = self._queued = 0
        #: What this run put into the queue, as far as it is remembered.
        self._put: Final[set[str]] = set()

    async def begin(self) -> CaughtUp:
        """Set the first mark. One page is read, because this computer's clock can be ahead."""
        self._note_begin(await self._source.pager(self._zoho, self._begun))
        mark = self._begun - MARGIN
        await self._queue.move_mark(self._source.resource, mark)
        return CaughtUp(resource=self._source.resource, listed=0, queued=0, mark=mark)

    def _note_begin(self, page: Page[Record]) -> None:
        if page.date is not None:
            self._begun = min(self._begun, page.date)

    async def run(self) -> CaughtUp:
        name, mark = self._source.resource, self._mark
        if await self._read_completely():
            mark = max(mark, self._begun - MARGIN)
            await self._queue.move_mark(name, mark)
        else:
            _LOGGER.warning("%s changed while it was read; the next run repeats it", name)
        return CaughtUp(resource=name, listed=self._listed, queued=self._queued, mark=mark)

    async def _read_completely(self) -> bool:
        """Read the list until it is complete. False if that did not succeed."""
        before: tuple[int, int] | None = None
        for _ in range(_MOST_PASSES):
            pager = self._source.pager(self._zoho, self._mark)
            self._listed = 0
            pages, combined = await self._read(pager)
            seen = self._listed, combined
            if pages <= 1 or pager.completeness == "proven" or seen == before:
                return True
            before = seen
        return False

    async def _read(self, pager: Pager[Record]) -> tuple[int, int]:
        """Read the list up to the mark. Returns the pages, and all changed rows as one number."""
        pages = combined = 0
        try:
            async with aclosing(self._pages(pager)) as found:
                async for page in found:
                    pages += 1
                    if page.number == 1:
                        self._note_begin(page)
                    combined ^= await self._put_page(page)
        except IncompleteList:  # a strict session; the caller decides
            pass
        return pages, combined

    async def _pages(self, pager: Pager[Record]) -> AsyncGenerator[Page[Record]]:
        """All pages, or if Zoho sorts the list by last modification, those up to the mark."""
        first = None if self._source.takes_all else await pager
        if first is None or first.context.sort_column != MODIFIED:
            async with pager.pages() as found:
                async for page in found:
                    yield page
            return
        yield first
        page = first
        while page.has_more and not self._is_past(page):  # pages are not fetched ahead
            number = page.number + 1
            page = msgspec.structs.replace(
                await self._source.pager(self._zoho, self._mark, page=number), number=number
            )
            yield page

    def _is_past(self, page: Page[Record]) -> bool:
        """Whether all later pages of a sorted list are older than the mark."""
        moments = [times.modified or 0.0 for times in page.read_times()]
        is_sorted = moments == sorted(moments, reverse=True)
        return is_sorted and moments != [] and 0 < moments[-1] < self._mark - 1

    async def _put_page(self, page: Page[Record]) -> int:
        """Put what changed on a page into the queue. Returns its rows as one number."""
        combined = 0
        try:
            async with anyio.create_task_group() as tasks:
                for record_id, moment in _moments(page):
                    if not record_id or (moment is not None and moment < self._mark - 1):
                        continue
                    digest = self._digest(record_id, moment)
                    self._listed += 1
                    combined ^= int(digest[:16], 16)
                    if digest not in self._put:
                        tasks.start_soon(self._put_row, record_id, moment, digest)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        return combined

    def _digest(self, record_id: str, moment: float | None) -> str:
        """The same for the same change in every run, if its second is over by `MARGIN`."""
        is_over = moment is not None and moment < self._begun - MARGIN
        parts = (self._source.resource, record_id, moment, 0.0 if is_over else self._begun)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    async def _put_row(self, record_id: str, moment: float | None, digest: str) -> None:
        source = self._source
        if source.resource == EVENTS:
            delivery = await self._event(record_id, digest)
        else:
            delivery = await self._record(record_id, moment, digest)
        if delivery is not None:
            await self._put_delivery(delivery)
            self._queued += 1
        if len(self._put) < _MOST_PUT:
            self._put.add(digest)

    async def _record(self, record_id: str, moment: float | None, digest: str) -> Delivery | None:
        """A delivery that lets the record be read; None if that change was handled."""
        source = self._source
        known = await self._queue.known(f"{source.resource} {record_id}")
        if known is not None and known.moment is not None and moment is not None:
            is_same = moment == known.moment and digest == known.digest
            if moment < known.moment or is_same:
                return None
        values: dict[str, str] = {source.id_field: record_id}
        if moment is not None:
            values[MODIFIED] = zoho_time(moment)
        return Delivery(
            query={"event_type": "changed"},
            body=encode({source.module: values}),
            is_proven=False,
            digest=digest,
        )

    async def _event(self, event_id: str, digest: str) -> Delivery | None:
        """An event of Billing as its webhook brings it; None if it has no payload."""
        events = importlib.import_module("zoho_async.billing.events")
        try:
            event = await events.get(self._zoho, event_id)
        except ReplyError as problem:
            if says_gone(problem):
                return None
            raise
        if not event.payload:
            _LOGGER.error("event %s of Billing has no payload and is skipped", event_id)
            return None
        values = {
            "event_id": event_id,
            "event_type": event.event_type or "",
            "event_time": event.event_time.isoformat() if event.event_time else "",
            "payload": event.payload,
        }
        return Delivery(query={}, body=encode(values), is_proven=True, digest=digest)

    async def _put_delivery(self, delivery: Delivery) -> None:
        product = self._source.facts.product
        while True:
            try:
                await self._queue.put(delivery, product)
            except QueueFull:
                await anyio.sleep(_PAUSE)
            else:
                return


def _moments(page: Page[Record]) -> Iterator[tuple[str, float | None]]:
    """The id of each row, and when it changed or happened in seconds since 1970."""
    for record_id, times, row in zip(page.ids, page.read_times(), page.rows, strict=True):
        happened: datetime | None = getattr(row, "event_time", None)
        if happened is not None and happened.tzinfo is not None:
            yield record_id, happened.timestamp()
        else:
            yield record_id, times.modified
