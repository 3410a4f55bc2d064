"""Read only the first page of a list of Billing while Billing has no new event.

Model. The list of events has the id, the type and the time of each event. What an event changed is
in its payload, which costs one call per event. The lists of Billing cannot be read by it as those
of Books are by the activity log (`zoho_async.export.feed_pass`):

- A list of Billing has no described order and no described count. So the page of a named record is
  not known, and no count shows that a record was created or deleted without an event.
- The read of a single record has other columns than a row of the list. Written in place of a row it
  would change the table, and the next whole read would write the row again as changed.
- A payload names what the event is about. A payment also changes its invoices and its customer, and
  no document says that a payload names all of them.

So payloads are not read. Used is only that *no* event came: then the first page is read, and the
rest of the list is left out. Any new event, of whatever type, makes this run read the whole list.

Invariant. The rest is left out only if

1. the events were read without a gap since the list was read last, and none is new to it;
2. the first page shows no change, and the index, and the count if the list has one, agree with what
   the last run left;
3. a whole read showed a change once that came with a new event, so events do come for this list;
4. the last measured whole read without a new event showed no change, at most `ListFeed.interval`
   days ago. Each such read doubles the interval, from one day to `WHOLE_DAYS`. A change without an
   event, or an event that came late, sets it to 0.

Reported as a change without an event is each change of a run without a new event. With one, it may
be the event's own, unless the row says that it was modified before the last run.

What can stay unnoticed is a change without an event behind the first page. The next whole read
finds it. That day is in the plan and in the summary.

Which lists. `ANNOUNCED` has those whose records have event types and that can be exported. An edit
of a customer, plan or product has no described type, so these lists are read whole.

Unknown. How late events are, how long they stay, in which order they are listed, and whether Zoho's
own changes (an invoice that becomes overdue) have one. Old events that hide the new ones would look
like no event at all: then 4 bounds the damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.export.cost import next_interval
from zoho_async.export.estimate import least_calls
from zoho_async.export.feed import ANNOUNCED, ChangeFeed
from zoho_async.export.feed_pass import FeedPass
from zoho_async.export.pass_reader import PassReader
from zoho_async.export.write_queue import WriteQueue

#: Seconds by which an event's time, which has whole seconds, may lie before the read of the events.
_SECOND: Final = 1.0


def spared_pages(lists: Iterable[OperationFacts], states: Mapping[str, ResourceState]) -> int:
    """Return how many pages a run leaves out if there is no new event."""
    return sum(
        least_calls(states[facts.resource].feed.records, facts.max_per_page) - 1
        for facts in lists
        if facts.resource in ANNOUNCED and facts.resource in states
    )


class QuietPass(FeedPass):
    """What one run does with the events of Billing for the list of its writer."""

    async def match(self) -> None:
        """Events name no records."""
        self.matched = True

    async def read(self, pages: PassReader, write_queue: WriteQueue) -> bool:
        """Read the first page. Return whether the rest may be left out.

        An interrupted run may have written a change of the first page, so its part is not believed.
        """
        feed, before = self._feed, self._before
        if feed is None or not self._began_here or not feed.covers(before.read):
            return False
        if feed.unused(before):
            return False
        page = await pages.at(1, write_queue)
        await write_queue.flush()
        records = await self._blocking(self._count)
        counted = None if page.total is None or before.gap is None else page.total + before.gap
        same = records == before.records and counted in (None, records)
        self._failed = not same or bool(self._writer.changed_rows)
        return not self._failed

    def _count(self) -> int:
        with self._writer.store.translate_errors():
            return self._writer.store.records.count()

    def _measured(self, feed: ChangeFeed, found: ListFeed, *, whole: bool) -> ListFeed:
        """Return ``found`` with what the read of the list says about the events."""
        before, part = self._before, self._writer.state.part
        covered = part.mode != "full" and before.read is not None and feed.covers(before.read)
        unused = feed.unused(before)
        self.delay = _delay(feed, before) if covered else None
        changes = 0
        if covered:
            new = max(0, found.records - before.records + part.deleted)
            changes = len(self._unnamed(feed)) + new + part.deleted
        self.unnamed = len(self._overlooked(before)) if unused and covered else changes
        if self.delay is not None:
            self.unnamed = 0
        believed = whole and found.checked == part.begun
        announced = before.announced or bool(whole and unused and changes)
        interval = before.interval
        if self.unnamed or self.delay is not None or self._failed:
            interval = 0
        elif believed and covered and announced and not unused and self._began_here:
            interval = next_interval(before, agreed=True)
        seen = before.seen | {one.identity: one.day for one in feed.entries if one.identity}
        delays = [one for one in (before.delay, self.delay) if one is not None]
        return replace(
            found,
            read=feed.began,
            seen={one: day for one, day in seen.items() if day >= feed.oldest_kept},
            interval=interval,
            announced=announced,
            missed=before.missed + self.unnamed,
            delay=max(delays, default=None),
            feed_calls=feed.calls,
        )

    def _overlooked(self, before: ListFeed) -> set[str]:
        """The changed records that were modified before the last run, which did not show them."""
        read = 0.0 if before.read is None else before.read
        return {
            one
            for one, modified in self._writer.changed_rows.items()
            if modified is not None and modified < read - _SECOND
        }


def _delay(feed: ChangeFeed, before: ListFeed) -> float | None:
    """Return by how much the latest of the new events came late; None if none did."""
    read = feed.began if before.read is None else before.read
    times = [one.time for one in feed.unused(before) if one.time is not None]
    return max((feed.began - one for one in times if one < read - _SECOND), default=None)
