"""Count, page by page, what each pass over a list proves.

Model. The rule is in `zoho_async.paging.completeness`; this module feeds it. It needs the row of a
record and the number of the pass that saw the record last (`zoho_async.export.checkpoint.records`).

- A record existed before pass n began if it is known and its last pass has a smaller number.
  Records of earlier runs have smaller numbers than any of this run.
- A record is counted for pass n when pass n or a later pass sees it for the first time: its last
  pass had a smaller number than n. After that, its number is n or larger.

Invariant. The counts are part of `ResourceState`, which changes in the same transaction as the rows
and the record index. So an interrupted pass continues with its counts.

Limits. A row without an id cannot be recognized after an edit, and proves nothing. If a filter
narrows the list, an earlier sight of a record proves something only if its content is the same.

A list that is read from its newest row is not read whole. Such a read is complete in two cases. Its
first page reached rows older than the watermark. Or the first page, read again at the end, brings
nothing new, the count is the same, and the sort values at all page borders differ. Then nothing was
added, changed or deleted during the read, and no row changed its place unseen.

A list without a total is *settled* if its pages prove it, or if two passes brought the same ids in
the same order, on full pages, and no id twice. Only then may its watermark move. Why two passes
suffice: suppose that both missed a record. Then the first one read a row before it, and that row
left its place before the next page was read: it was deleted, or it moved behind the record. The
second pass found the row in its old place. A deleted record does not come back.

Unknown. This holds if all pages use one order, and no row moves forth and back between two passes.
A list that orders ties by the number of the page hides the same rows from each pass. Only a count
would show that, so such a list is settled but never called proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from zoho_async.export.checkpoint.records import IndexedRecord, digest
from zoho_async.export.checkpoint.store import PassHistory, ResourceState, ViewResult
from zoho_async.export.row_times import PageTimes, count_before
from zoho_async.paging.completeness import Completeness, Pass, is_certain, missing, verdict
from zoho_async.wire import Page
from zoho_async.wire.page import RowTimes


class Counting:
    """Counts one page of the current pass. ``first`` marks the page that has the total."""

    def __init__(self, passes: PassHistory, *, narrowed: bool, first: bool) -> None:
        self._passes: Final = passes
        self._narrowed: Final = narrowed
        self._first: Final = first
        self._certain: Final = [0] * len(passes.counts)
        self._seen = 0
        self._in_pass = 0
        self._repeated = 0
        self._shared = 0
        self._without_id = 0

    def count_row(
        self, key: str, before: IndexedRecord | None, content: int, times: RowTimes
    ) -> None:
        """Count a row that is new in this pass; ``before`` is its entry in the record index."""
        passes = self._passes
        last = before.pass_number if before is not None else 0
        seen_in_part = before is not None and last >= passes.first
        seen_in_view = before is not None and last >= max(passes.first, passes.view_first)
        self._seen += not seen_in_view
        self._shared += seen_in_part and not seen_in_view
        self._without_id += key.startswith("#") and self._first
        self._in_pass += 1
        self._repeated += before is not None and last == passes.current - 1
        without_id = key.startswith("#")
        time = None if without_id else times.there_since(narrowed=self._narrowed)
        for place, one in enumerate(passes.counts):
            if before is not None and last >= one.number:
                continue
            known = before is not None and not without_id
            if self._narrowed:
                known = known and seen_in_part and before is not None and before.digest == content
            on_its_page = self._first and one.number == passes.current and not without_id
            self._certain[place] += is_certain(
                one, time=time, seen_before=known, on_its_page=on_its_page
            )

    def count_unknown(self, keys: Sequence[str], times: PageTimes) -> None:
        """Count the rows of a page, none of which is indexed. ``keys`` are theirs, all different.

        The result is that of `count_row` for each of them, at a tenth of the cost.
        """
        moments = times.there_since(narrowed=self._narrowed)
        without_id = sum([key.startswith("#") for key in keys])
        if without_id:
            both = zip(keys, moments, strict=True)
            moments = [None if key.startswith("#") else moment for key, moment in both]
        self._seen += len(keys)
        self._in_pass += len(keys)
        self._without_id += without_id if self._first else 0
        for place, one in enumerate(self._passes.counts):
            if self._first and one.number == self._passes.current:
                self._certain[place] += len(keys) - without_id
            elif one.since is not None:
                self._certain[place] += count_before(moments, one.since)

    def count_plain(self, rows: int) -> None:
        """Count ``rows`` rows of a list whose rows have no ids."""
        self._seen += rows
        self._in_pass += rows
        if self._first and self._certain:
            self._certain[-1] += rows

    def result(self, page: Page[bytes]) -> PassHistory:
        """Return the passes with ``page`` counted, after its rows."""
        counts = [
            replace(one, certain=one.certain + certain)
            for one, certain in zip(self._passes.counts, self._certain, strict=True)
        ]
        if counts:
            counts[-1] = replace(
                counts[-1],
                records=counts[-1].records + self._in_pass,
                repeated=counts[-1].repeated + self._repeated,
                without_id=counts[-1].without_id + self._without_id,
                order=_order_after(counts[-1], page) if self._in_pass == len(page.ids) else None,
                page_rows=counts[-1].page_rows or len(page.ids),
            )
        seen = self._passes.records_seen + self._seen
        shared = self._passes.shared + self._shared
        return replace(self._passes, counts=tuple(counts), records_seen=seen, shared=shared)


def _order_after(one: Pass, page: Page[bytes]) -> int | None:
    """Return the digest of the order of pass ``one`` after its next ``page`` (`Pass.order`)."""
    full = one.page_rows or len(page.ids)
    joins = one.records == (page.number - 1) * full and len(page.ids) <= full
    if one.order is None or not joins or not all(page.ids):
        return None
    return digest("\n".join([str(one.order), *page.ids]).encode())


def completeness_of(state: ResourceState) -> Completeness:
    """Return what the passes of the current view prove.

    A read of the changes alone proves no more than the whole read on which it builds: a record
    that this one missed can be missing still.
    """
    found = verdict(state.passes.counts, state.passes.records_seen)
    if state.part.mode == "newest" and found not in ("proven", "uncheckable"):
        found = "proven" if any(one.closed for one in state.passes.counts) else "changed"
    partial = state.part.mode in ("changed", "newest")
    if partial and found == "proven" and state.bookmark.completeness == "uncheckable":
        return "uncheckable"
    return found


def is_settled(state: ResourceState) -> bool:
    """Whether the read of a part is believed, so that the watermark may move."""
    return bool(state.passes.views) and all(one.settled for one in state.passes.views)


def is_view_settled(state: ResourceState) -> bool:
    """Whether the read of the current view is believed."""
    completeness = completeness_of(state)
    if completeness != "uncheckable":
        return completeness == "proven"
    if any(one.closed or one.total is not None for one in state.passes.counts):
        return True
    orders = [one.order for one in state.passes.counts]
    return bool(orders) and orders[-1] is not None and orders[-1] in orders[:-1]


#: From the best to the worst.
_ORDER: Final[tuple[Completeness, ...]] = ("proven", "uncheckable", "changed", "short")
_UNCHECKABLE: Final[Completeness] = "uncheckable"


def result_of(state: ResourceState, *, steady: bool) -> ViewResult:
    """Return the result of the current view. ``steady`` is as in `ResourceWriter.end_view`.

    An empty list without a count is not believed: it may be a reply that lost its rows.
    """
    passes, completeness = state.passes, completeness_of(state)
    totals = [one.total for one in passes.counts if one.total is not None]
    proven = completeness == "proven" and (bool(totals) or passes.records_seen > 0)
    return ViewResult(
        completeness=completeness,
        missing=missing_of(state),
        total=totals[0] if totals else None,
        believed=proven or (steady and completeness != "short"),
        settled=is_view_settled(state),
    )


def worse(found: Completeness) -> Completeness:
    """Return ``found``, or "uncheckable" if that is worse."""
    return max((found, _UNCHECKABLE), key=_ORDER.index)


def joined(views: Sequence[ViewResult], hidden: str | None) -> Completeness:
    """Return the completeness of a list whose views have these results."""
    found: list[Completeness] = [one.completeness for one in views]
    if hidden is not None or not found:
        found.append(_UNCHECKABLE)
    return max(found, key=_ORDER.index)


def missing_of(state: ResourceState) -> int:
    """Return how many more records the list counts than were found."""
    short = completeness_of(state) == "short"
    return missing(state.passes.counts, state.passes.records_seen) if short else 0


def with_answers(passes: PassHistory, alive: int) -> PassHistory:
    """Return the passes after ``alive`` records, absent from the last pass, were found by id."""
    counts = tuple(
        replace(one, certain=one.certain + alive) if one.number == passes.current else one
        for one in passes.counts
    )
    return replace(passes, counts=counts)


def are_steady(state: ResourceState, apart: float) -> bool:
    """Whether the last two passes, at least ``apart`` seconds apart, saw the same records."""
    if len(state.passes.counts) < 2:
        return False
    before, last = state.passes.counts[-2:]
    if last.number != before.number + 1 or not last.records:
        return False
    return (
        last.records == before.records == last.repeated and last.started - before.started >= apart
    )
