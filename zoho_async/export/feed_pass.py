"""Use the change feed for one list: confirm deletions, read the named pages, measure the feed.

Model. The feed names records by id, and the record index says which of them the list has. So the
words that the feed has for kinds of records do not matter. What is done with them:

Deletions. Each indexed record that the feed calls deleted is fetched by its id, in every mode but
``full``. Only "no such record" marks it deleted.

Pages. In mode ``feed`` the list is read sorted by creation, the newest first. Ids grow with time,
so the place of an id among all indexed ids is its place in the list. Read are

1. the first pages, until one ends with a known record: these have every new record;
2. the pages on which the named records are.

Every row of these pages is compared with the record index, as in any read.

Invariant. A read by the feed counts only if each named record was seen and the list's own total
equals the number of indexed records (less `ListFeed.gap`). So a record that was created or deleted
unknown to the feed is noticed in this run, and the whole list is read at once. What can stay
unnoticed is a change of a record that was neither created nor deleted since, and that the feed does
not name. The next read of the whole list finds it. That day is in the plan and in the summary.

Interrupted. A part that another run began has pages that were read before this run read the feed.
So its entries are not marked as used, and the next run uses them again, unless the list shows its
changes by itself or this run read all pages.

Measuring. A record that a read shows as changed, and that no entry names, is *unnamed*. If an entry
names it in a later run, the feed was late, by less than the time since. If none did within the
overlap, it was missed. Either ends the reliance on the feed for this list
(`zoho_async.export.cost`).

Why a wrong place is harmless. A page with other records than expected costs a call, and no more:
the named record is not seen, and the whole list is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from msgspec.structs import replace

from zoho_async.clock import Clock
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.cost import can_use_feed, next_interval
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.events import ExportEvent
from zoho_async.export.feed import DAY, OVERLAP, ChangeFeed
from zoho_async.export.incremental import Mode
from zoho_async.export.pass_reader import PassReader
from zoho_async.export.write_queue import Blocking, WriteQueue
from zoho_async.export.writer import ResourceWriter
from zoho_async.paging import Page, PageSource
from zoho_async.paging.list_defaults import default_of

#: The most unnamed records that a checkpoint keeps.
_MOST_UNNAMED: Final = 1_000
#: How often the named pages are looked for, because records move while a list is read.
_ROUNDS: Final = 2


class FeedPass:
    """What one run does with ``feed`` for the list of ``writer``; None if it has no feed."""

    def __init__(
        self,
        feed: ChangeFeed | None,
        writer: ResourceWriter,
        detector: DeletionDetector,
        blocking: Blocking,
        clock: Clock,
    ) -> None:
        self.matched = False
        #: Named records of the list, those of them that the feed calls deleted, and how many are.
        self.named: frozenset[str] = frozenset()
        self.deleted: tuple[str, ...] = ()
        self.confirmed = 0
        #: Changes that no entry named, and the largest delay, both of this run.
        self.unnamed = 0
        self.delay: float | None = None
        self._feed: Final = feed if feed is not None and feed.usable else None
        self._calls: Final = 0 if feed is None else feed.calls
        self._writer: Final = writer
        self._detector: Final = detector
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._before: Final = writer.state.feed
        #: Whether this run began the part, and whether it reads all that the part reads.
        self._began_here: Final = writer.state.part.begun is None
        self._reads_all = self._began_here
        self._failed = False
        self._pages = 1
        self._indexed: Final[set[str]] = set()
        self._counted: int | None = None

    @property
    def counts(self) -> bool:
        """Whether a list of which only the changes are read is counted."""
        facts, able = self._writer.facts, self._writer.state.bookmark.capabilities
        counted = facts.paged and able.totals is not False and self._before.gap is not None
        return counted and default_of(facts.product, facts.path) is None

    # -- what the feed names ----------------------------------------------------------------------

    async def match(self) -> None:
        """Find the records of this list among the entries that it has not used yet."""
        self.matched = True
        if self._feed is None or self._writer.state.part.mode == "full":
            return
        fresh = [one for one in self._feed.unused(self._before) if one.record]
        known = await self._blocking(lambda: self._known({one.record for one in fresh}))
        self._indexed.update(known)
        self.named = frozenset(known)
        self._pages = len({1, *await self._pages_of(self.named)})
        gone = {one.record for one in fresh if one.deleted} & known
        self.deleted = tuple(sorted(gone))

    def _known(self, ids: Collection[str]) -> set[str]:
        with self._writer.store.translate_errors():
            return set(self._writer.store.records.find(ids)) if ids else set()

    async def confirm(
        self, zoho: PageSource, report: Callable[[ExportEvent], Awaitable[None]]
    ) -> None:
        """Fetch each record that the feed calls deleted. Mark those that do not exist."""
        before = self._writer.state.part.deleted
        if self.deleted:
            await self._detector.confirm(self._writer, zoho, self.deleted, report)
        self.confirmed = self._writer.state.part.deleted - before

    # -- mode "feed" ------------------------------------------------------------------------------

    @property
    def calls_ahead(self) -> int:
        """The calls for the pages of the named records, and for those called deleted."""
        return self._pages + len(self.deleted)

    async def read(self, pages: PassReader, write_queue: WriteQueue) -> bool:
        """Read the pages of new and named records. Return whether that is believed.

        It is not if another run began the part, and this one could not read the feed. The pages
        that another run read are read again: their records may have changed since.
        """
        self._reads_all = True
        if not self._began_here:
            await self._blocking(self._writer.read_again)
        if self._feed is None or not self._feed.covers(self._before.read):
            return False
        read: set[int] = set()
        for number in range(_ROUNDS):
            last = await self._read_new(pages, write_queue)
            read.add(1)
            wanted = await self._pages_of(await self._left())
            around = {page + step for page in wanted for step in ((0,) if not number else (-1, 1))}
            for page in sorted(around - ({1} if number else read)):
                if page > 0:
                    last = await pages.at(page, write_queue)
            await write_queue.flush()
            if await self._is_complete(last):
                return True
        self._failed = True
        return False

    async def _read_new(self, pages: PassReader, write_queue: WriteQueue) -> Page[bytes]:
        """Read from the first page until one ends with a known record. Return that page."""
        number = 1
        while True:
            page = await pages.at(number, write_queue, known := set[str]())
            await write_queue.flush()
            if not page.has_more or page.ids[-1] in known:
                return page
            number += 1

    async def _pages_of(self, ids: Collection[str]) -> set[int]:
        size = self._writer.facts.max_per_page
        store = self._writer.store

        def places() -> dict[str, int]:
            with store.translate_errors():
                return store.records.places(sorted(ids))

        found = await self._blocking(places) if ids else {}
        return {1 + (place - 1) // size for place in found.values()}

    async def _left(self) -> set[str]:
        """The named records that this pass has not seen and that were not deleted."""
        store = self._writer.store

        def left() -> set[str]:
            with store.translate_errors():
                found = store.records.find(self.named) if self.named else {}
                current = store.state.passes.current
                return {one for one, record in found.items() if record.pass_number != current}

        return await self._blocking(left)

    async def _is_complete(self, last: Page[bytes]) -> bool:
        if last.total is None or self._before.gap is None or await self._left():
            return False
        records = await self._blocking(self._writer.store.records.count)
        return records - last.total == self._before.gap

    # -- after the list ---------------------------------------------------------------------------

    async def note(self, pages: PassReader) -> None:
        """Store what this run found out, before its part is completed.

        A list of which only the changes were read is counted, with one call: deleted records that
        the feed did not name show in its total.
        """
        if self._writer.state.part.mode in ("changed", "newest") and self.counts:
            self._counted = await pages.count_all()
        found = await self._blocking(lambda: self._after(pages))
        await self._blocking(lambda: self._writer.note_feed(found))

    def _after(self, pages: PassReader) -> ListFeed:
        state, before = self._writer.state, self._before
        with self._writer.store.translate_errors():
            records = self._writer.store.records.count()
        part = state.part
        calls: dict[Mode, int] = {**before.calls, part.mode: pages.pages}
        whole = part.mode in ("full", "compared") and part.since is None
        if part.mode == "compared" and can_use_feed(self._writer.facts):
            calls["feed"] = self._pages
        found = replace(before, records=records, calls=calls, checks=len(self.deleted))
        if whole and state.passes.completeness in ("proven", "uncheckable"):
            held = state.passes.records_seen if part.mode == "full" else records
            gap = None if pages.total is None else held - pages.total
            found = replace(found, checked=part.begun, gap=gap)
        found = replace(found, surplus=self._surplus(found, whole=whole))
        if self._feed is None:
            return replace(found, feed_calls=self._calls)
        return self._measured(self._feed, found, whole=whole)

    def _surplus(self, found: ListFeed, *, whole: bool) -> int | None:
        """Return how many more records are indexed than the list counts, beyond the gap."""
        if whole or self._writer.state.part.mode == "feed":
            return 0
        if self._counted is None or found.gap is None:
            return None
        return found.records - self._counted - found.gap

    def _measured(self, feed: ChangeFeed, found: ListFeed, *, whole: bool) -> ListFeed:
        """Return ``found`` with what the read of the list says about the feed."""
        before, part = self._before, self._writer.state.part
        late = {one: since for one, since in before.unnamed.items() if one in self.named}
        self.delay = max((feed.began - since for since in late.values()), default=None)
        old = feed.began - OVERLAP * DAY
        waiting = {one: at for one, at in before.unnamed.items() if one not in late and at >= old}
        missed = len(before.unnamed) - len(late) - len(waiting)
        covered = part.mode != "full" and feed.covers(before.read)
        new = self._unnamed(feed) if covered else set[str]()
        unseen = part.deleted - self.confirmed if covered and whole else 0
        self.unnamed = len(new) + unseen
        waiting |= dict.fromkeys(sorted(new), feed.began)
        if (whole or self._failed) and covered and self._began_here:
            agreed = not self.unnamed and not self._failed
            found = replace(found, interval=next_interval(before, agreed=agreed))
        found = replace(
            found,
            unnamed=dict(sorted(waiting.items())[:_MOST_UNNAMED]),
            missed=before.missed + missed,
            feed_calls=feed.calls,
            delay=max((one for one in (before.delay, self.delay) if one is not None), default=None),
        )
        if not self._reads_all and part.mode not in ("changed", "newest"):
            return found  # the next run uses the entries again
        used = self._indexed | self._known({one.record for one in feed.entries if one.record})
        days = {
            one.identity: one.day for one in feed.entries if one.identity and one.record in used
        }
        kept = {one: day for one, day in (before.seen | days).items() if day >= feed.oldest_kept}
        return replace(found, read=feed.began, seen=kept)

    def _unnamed(self, feed: ChangeFeed) -> set[str]:
        """The records that this read showed as changed before the feed was read, and not named."""
        return {
            one
            for one, modified in self._writer.changed_rows.items()
            if one not in self.named and (modified is None or modified < feed.began)
        }
