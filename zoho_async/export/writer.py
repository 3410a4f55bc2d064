"""Write the pages of one list, pass by pass.

Each row is compared with the record index. A full read writes every row once; other reads write
the rows that are new or changed. How often each record was seen is counted for every pass
(`zoho_async.export.passes`).

Every method blocks. `write_pages` is called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.checkpoint.records import IndexedRecord
from zoho_async.export.checkpoint.store import (
    CurrentPart,
    PassHistory,
    ResourceState,
    ViewResult,
)
from zoho_async.export.passes import Counting, joined, with_answers
from zoho_async.export.resource_store import ChangedRow, ResourceStore
from zoho_async.export.row_times import PageTimes, latest
from zoho_async.paging.completeness import Pass
from zoho_async.wire import Page

#: The most changed records that are kept to measure the change feed.
_MOST_CHANGED: Final = 100_000


class _Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result of comparing a page with the record index.

    ``rows`` are to be stored, ``unchanged`` rows are what a refresh of children may need,
    ``fresh`` is the number of rows that the part had not seen, and ``newest`` the largest last
    modification that it has seen.
    """

    rows: Sequence[ChangedRow]
    fresh: int
    newest: float | None
    unchanged: Sequence[ChangedRow] = ()


class ResourceWriter:
    """Writes the list of one resource into ``store``."""

    def __init__(self, store: ResourceStore) -> None:
        self.store: Final = store
        self.facts: Final[OperationFacts] = store.facts
        #: When the current pass began, by our clock, in seconds since 1970. Its reader sets it.
        self.pass_began = 0.0

        #: Known records that this run showed as changed, with their last modification: what the
        #: change feed is measured by.
        self.changed_rows: dict[str, float | None] = {}

    @property
    def state(self) -> ResourceState:
        return self.store.state

    # -- pages ------------------------------------------------------------------------------------

    def is_in_pass(self, identity: str, row: bytes) -> bool:
        """Whether the current pass has seen this row."""
        with self.store.translate_errors():
            one = self.store.key(identity, row)
            record = self.store.records.find([one]).get(one)
            return record is not None and record.pass_number == self.state.passes.current

    def find_known(self, ids: Sequence[str]) -> set[str]:
        """Return those of ``ids`` that are indexed."""
        with self.store.translate_errors():
            return set(self.store.records.find(ids))

    def write_pages(self, pages: Sequence[Page[bytes]]) -> list[ResourceState]:
        """Write pages in their order. Return the state after each of them."""
        store = self.store
        rows: list[bytes] = []
        after: list[ResourceState] = []
        for page in pages:
            rows += self._add_page(page)
            after.append(store.state)
        offset = store.write(rows)
        store.put(
            part=replace(store.state.part, offset=offset),
            bookmark=replace(store.state.bookmark, largest=store.records.largest),
        )
        return after

    def _add_page(self, page: Page[bytes]) -> list[bytes]:
        """Add ``page`` to the record index and to the state. Return the rows to write."""
        store = self.store
        begins = self._begin_counts(page)
        counting = Counting(store.state.passes, narrowed=self._is_narrowed, first=begins)
        comparison = self._compare(page, counting)
        store.state = replace(store.state, passes=counting.result(page))
        selected = store.policy.select(store, comparison.rows)
        store.policy.select_unchanged(store, comparison.unchanged)
        rows = [store.shaper.apply(one.row) for one in selected]
        part = store.state.part.with_rows(rows, sum(one.changed for one in selected))
        passes = store.state.passes
        store.state = replace(
            store.state,
            part=replace(part, page=page.number, newest=comparison.newest),
            passes=replace(passes, new_in_pass=passes.new_in_pass + comparison.fresh),
        )
        return rows

    def _begin_counts(self, page: Page[bytes]) -> bool:
        """Begin the counts of a pass if ``page`` is its first. Return whether it is."""
        part, passes = self.state.part, self.state.passes
        if passes.counts and passes.counts[-1].number == passes.current:
            return False
        own = self.pass_began
        moment = own if page.date is None else page.date
        begun = min(moment, own) if part.begun is None else part.begun
        since = None if page.date is None else page.date - self.store.options.margin.row
        one = Pass(number=passes.current, total=page.total, since=since, started=own)
        self.store.state = replace(
            self.state,
            part=replace(part, begun=begun),
            passes=replace(passes, counts=(*passes.counts, one)),
        )
        return True

    @property
    def _is_narrowed(self) -> bool:
        part = self.state.part
        view = self.state.passes.view > 0
        return (
            self.store.options.narrowed
            or view
            or (part.mode != "newest" and part.since is not None)
        )

    def _compare(self, page: Page[bytes], counting: Counting) -> _Comparison:
        """Compare a page with the record index, and index its rows."""
        part, passes = self.state.part, self.state.passes
        if not self.facts.row_id:
            counting.count_plain(len(page.rows))
            plain = [ChangedRow("", row, changed=False) for row in page.rows]
            return _Comparison(rows=plain, fresh=len(plain), newest=part.newest)
        rows: dict[str, bytes] = {}
        for identity, row in zip(page.ids, page.rows, strict=True):
            rows.setdefault(self.store.key(identity, row), row)
        known, times = self.store.records.find(rows), PageTimes([*rows.values()])
        if known:
            return self._compare_known(rows, known, times, counting)
        keys, contents = [*rows], self.store.list_shaper.digests([*rows.values()])
        counting.count_unknown(keys, times)
        self.store.records.add(dict(zip(keys, contents, strict=True)), passes.current, unknown=True)
        found = [ChangedRow(one, row, changed=False) for one, row in rows.items()]
        return _Comparison(
            rows=found, fresh=len(found), newest=_later(part.newest, latest(times.modified))
        )

    def _compare_known(
        self,
        rows: Mapping[str, bytes],
        known: Mapping[str, IndexedRecord],
        times: PageTimes,
        counting: Counting,
    ) -> _Comparison:
        """Compare ``rows`` by key, some of which are ``known``, and index them."""
        part, passes = self.state.part, self.state.passes
        records: dict[str, int] = {}
        changed_rows: list[ChangedRow] = []
        unchanged: list[ChangedRow] = []
        fresh, newest = 0, part.newest
        store_changes = self.store.options.cheapest and len(self.changed_rows) < _MOST_CHANGED
        for place, (one, row) in enumerate(rows.items()):
            content, before = self.store.list_shaper.digest(row), known.get(one)
            if before is not None and before.pass_number == passes.current:
                continue
            row_times = times.at(place)
            counting.count_row(one, before, content, row_times)
            changed = before is not None and before.digest != content
            if changed and store_changes:
                self.changed_rows[one] = row_times.modified
            if before is not None and before.pass_number >= passes.first:  # written in this run
                fresh += changed
                records[one] = before.digest
                continue
            fresh += 1
            records[one] = content
            newest = _later(newest, row_times.modified)
            if part.mode == "full" or before is None or changed:
                changed_rows.append(ChangedRow(one, row, changed))
            elif self.state.details.refresh_begins:
                unchanged.append(ChangedRow(one, row, changed))
        if records:
            unknown = known.keys().isdisjoint(records)
            self.store.records.add(records, passes.current, unknown=unknown)
        return _Comparison(rows=changed_rows, unchanged=unchanged, fresh=fresh, newest=newest)

    # -- passes -----------------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Begin another pass over the list."""
        passes = self.state.passes
        with self.store.transaction():
            self.store.put(
                part=replace(self.state.part, page=0),
                passes=replace(passes, current=passes.current + 1, new_in_pass=0),
            )

    def close_pass(self) -> None:
        """Store that the pages of the last pass prove it complete."""
        passes = self.state.passes
        *counts, last = passes.counts
        with self.store.transaction():
            self.store.put(passes=replace(passes, counts=(*counts, replace(last, closed=True))))

    def note_try(self, what: str) -> None:
        """Store that ``what`` is tried, before it is."""
        passes = self.state.passes
        with self.store.transaction():
            self.store.put(passes=replace(passes, tries=(*passes.tries, what)))

    def end_view(self, result: ViewResult, following: int | None = None) -> None:
        """End the current view with its ``result``, and begin the ``following`` one.

        Without one the passes are done, and only checks of single records remain.
        """
        passes = self.state.passes
        views = (*passes.views, result)
        with self.store.transaction():
            if following is None:
                ended = replace(
                    passes,
                    done=True,
                    views=views,
                    completeness=joined(views, passes.hidden),
                    missing=sum(one.missing for one in views),
                )
                self.store.put(passes=ended)
                return
            number = passes.current + 1
            begun = replace(
                passes,
                current=number,
                counts=(),
                records_seen=0,
                new_in_pass=0,
                tries=(),
                view=following,
                view_first=number,
                views=views,
            )
            self.store.put(part=replace(self.state.part, page=0), passes=begun)

    def note_hidden(self, applied: str) -> None:
        """Store that the filter ``applied`` hides records of the list."""
        with self.store.transaction():
            self.store.put(passes=replace(self.state.passes, hidden=applied))

    # -- what a list can do, and what it refuses --------------------------------------------------

    def learn(self, **learnt: object) -> None:
        """Store what a list can or cannot do (see `Capabilities`)."""
        bookmark = self.state.bookmark
        capabilities = replace(bookmark.capabilities, **learnt)
        with self.store.transaction():
            self.store.put(bookmark=replace(bookmark, capabilities=capabilities))

    def note_refusal(self, refusal: str) -> None:
        """Store the status and code with which Zoho refused the list."""
        with self.store.transaction():
            self.store.put(runs=replace(self.state.runs, refusal=refusal))

    def note_feed(self, feed: ListFeed) -> None:
        """Store what is known of the change feed and of the cost of the list's reads."""
        with self.store.transaction():
            self.store.put(feed=feed)

    def read_whole(self, reason: str) -> None:
        """Read the whole list from here on, because what was read does not suffice."""
        self._begin_again(replace(self.state.part, mode="compared", reason=reason, page=0))

    def read_again(self) -> None:
        """Read the pages again that an interrupted run read: records may have changed since."""
        self._begin_again(replace(self.state.part, page=0))

    def _begin_again(self, part: CurrentPart) -> None:
        number = self.state.passes.current + 1
        with self.store.transaction():
            self.store.put(part=part, passes=PassHistory(first=number, current=number))

    # -- records that a pass did not show ---------------------------------------------------------

    def find_absent(self, most: int) -> list[str]:
        """Return records that an earlier pass saw and the last one did not.

        In a full read, only those that this part has written.
        """
        passes = self.state.passes
        since = passes.first if self.state.part.mode == "full" else 0
        with self.store.translate_errors():
            return self.store.records.find_absent(since, passes.current, most)

    def mark_answered(self, ids: Sequence[str]) -> None:
        """Store that Zoho returned these absent records by their ids, so they exist."""
        passes = self.state.passes
        with self.store.transaction():
            self.store.records.mark_answered(ids, passes.current)
            self.store.put(passes=with_answers(passes, len(ids)))

    def lacks_records(self) -> bool:
        """Whether a full read lacks records of the rows that it replaces."""
        return self.state.part.previous is not None and bool(self.store.find_unseen())

    def mark_checked(
        self,
        last: str,
        gone: Sequence[str],
        when: str,
        alive: Mapping[str, bytes] | None = None,
    ) -> None:
        """Store that records up to ``last`` were checked, and mark ``gone`` as deleted.

        Records that are ``alive`` are written if they differ from what was written before.
        """
        with self.store.transaction():
            self._write_differing(alive or {})
            self.store.mark_deleted(gone, when)
            self.store.put(passes=replace(self.state.passes, checked_up_to=last))

    def mark_gone(self, gone: Sequence[str], when: str) -> None:
        """Mark records as deleted that were confirmed before the list is read."""
        with self.store.transaction():
            self.store.mark_deleted(gone, when)

    def _write_differing(self, records: Mapping[str, bytes]) -> None:
        store = self.store
        known = store.records.find(records)
        digests = {one: store.list_shaper.digest(row) for one, row in records.items()}
        changed = {
            one: content
            for one, content in digests.items()
            if one in known and known[one].digest != content
        }
        if changed:
            store.records.add(changed, self.state.passes.current, unknown=False)
            rows = [store.shaper.apply(records[one]) for one in changed]
            offset = store.write(rows)
            part = self.state.part.with_rows(rows, len(rows))
            store.put(part=replace(part, offset=offset))


def _later(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)
