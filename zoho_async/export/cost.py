"""Choose the cheapest way to read a list. Values in, values out.

Model. A list can be read in four ways, and each costs calls for pages:

- ``changed``, by its filter for the last modification: at least one.
- ``newest``, from its newest row on: at least two, because the first page is read again at the end.
- ``feed``, the pages on which the change feed names records: at least one.
- ``compared``, the whole list: one per page of `OperationFacts.max_per_page` rows.

What the last run of each way took, and how many records there were then, is in the list's
checkpoint (`ListFeed`). Probing and reading showed which ways work (`Capabilities`).

Rules, in this order:

1. The whole list is read if that is due. That finds deleted records, and measures the feed.
2. The feed alone shows what is unchanged only if nothing better works: ``feed`` is chosen neither
   over ``changed`` nor over ``newest``, which are proven by their pages. It is cheaper than
   ``compared``, but a change that the feed does not name waits until the whole list is read.
3. Among the rest, the fewest calls. For a tie, the whole list: it also shows deleted records.

When it is due. A list that is read by its own filter or order is read as a whole every
`WHOLE_DAYS` days. For a list that is read by the feed the interval is earned: it is 0 at first.
Each read of the whole list that found only changes that the feed had named doubles it, from one day
to `WHOLE_DAYS`. A change that the feed had not named sets it to 0 again.

Unknown. Whether the next changes are as many as the last ones, so the calls are an estimate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.export.catalog import children, single_reads
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.export.estimate import least_calls
from zoho_async.export.feed import DAY
from zoho_async.export.incremental import CREATED, Mode, asks_changes, sorts_by, sorts_by_change
from zoho_async.paging.list_defaults import default_of

#: Days after which a whole list is read at the latest.
WHOLE_DAYS: Final = 30
#: The fewest calls of each way; for ``compared`` the pages are counted.
_LEAST: Final[dict[Mode, int]] = {"changed": 1, "newest": 2, "feed": 1}


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way to read a list, with the calls for its pages and the reason for it."""

    mode: Mode
    calls: int
    reason: str


def cheapest(
    facts: OperationFacts, state: ResourceState, *, now: float, feed: bool, restricted: bool
) -> Way:
    """Return the cheapest way to read a list that an earlier run has read.

    ``feed`` says that this run has read the change feed since the last run of the list.
    ``restricted`` says that filters leave out records, or that deleted ones are looked for anyway.
    """
    whole = Way(
        mode="compared",
        calls=least_calls(state.feed.records, facts.max_per_page),
        reason="neither a filter nor an order by last modification works",
    )
    partial = _by_itself(facts, state)
    if partial is None and not restricted:
        partial = _by_feed(facts, state, now=now, feed=feed)
    if partial is None or partial.mode == "compared":
        return partial or whole
    if not restricted and is_due(state.feed, WHOLE_DAYS, now):
        reason = f"deleted records are looked for every {WHOLE_DAYS} days"
        return msgspec.structs.replace(whole, reason=reason)
    if state.feed.records and whole.calls <= partial.calls:
        reason = "the whole list takes no more calls, and shows deleted records"
        return msgspec.structs.replace(whole, reason=reason)
    calls = "call" if whole.calls == 1 else "calls"
    reason = f"{partial.reason}; the whole list takes {whole.calls} {calls}"
    return msgspec.structs.replace(partial, reason=reason)


def is_due(feed: ListFeed, days: int, now: float) -> bool:
    """Whether the whole list is to be read, ``days`` after it was read last."""
    return feed.checked is None or now >= feed.checked + days * DAY


def can_use_feed(facts: OperationFacts) -> bool:
    """Whether pages can be picked from the list: it is sorted by creation, and shows all."""
    return (
        bool(facts.row_id)
        and sorts_by(facts, CREATED)
        and facts.resource in single_reads()
        and facts.resource not in children()
        and default_of(facts.product, facts.path) is None
    )


def next_interval(feed: ListFeed, *, agreed: bool) -> int:
    """Return the days until the next read of the whole list, after one that ``agreed``."""
    return min(WHOLE_DAYS, max(1, 2 * feed.interval)) if agreed else 0


def _by_itself(facts: OperationFacts, state: ResourceState) -> Way | None:
    """The way that the list's own filter or order allows, if one works."""
    able = state.bookmark.capabilities
    if state.bookmark.watermark is None:
        return None
    if asks_changes(facts) and able.changes is not False:
        shown = "works" if able.changes else "is described"
        reason = f"the filter by last modification {shown}"
        return Way(mode="changed", calls=_last(state, "changed"), reason=reason)
    if sorts_by_change(facts) and able.newest is not False:
        reason = "it is sorted by last modification, and no filter works"
        return Way(mode="newest", calls=_last(state, "newest"), reason=reason)
    return None


def _by_feed(facts: OperationFacts, state: ResourceState, *, now: float, feed: bool) -> Way | None:
    """The way by the feed, or the whole list with the reason why; None if it cannot be used."""
    known = state.feed
    if not can_use_feed(facts) or state.bookmark.capabilities.totals is False:
        return None
    pages = least_calls(known.records, facts.max_per_page)
    if not feed or known.gap is None:
        why = "the change feed was not read since the last run"
    elif not known.interval:
        why = "the change feed is not relied on before it named all changes of a whole read"
    elif is_due(known, known.interval, now):
        why = f"the change feed is measured after {known.interval} days"
    else:
        due = datetime.fromtimestamp((known.checked or now) + known.interval * DAY, UTC)
        reason = (
            "the change feed names its changes; what it does not name is found on "
            f"{due:%Y-%m-%d}, when the whole list is due"
        )
        return Way(mode="feed", calls=_last(state, "feed"), reason=reason)
    return Way(mode="compared", calls=pages, reason=why)


def _last(state: ResourceState, mode: Mode) -> int:
    return max(_LEAST[mode], state.feed.calls.get(mode, 0))
