"""Asking an organization itself which of its lists' filters really filter.

Some filters are taken with a 200 and do nothing, and no document tells which. A list that is
described to filter by last modification is asked three things, one call each:

1. a page, from the newest row on where the list can be sorted so: do its rows come in that order?
2. what was modified after a moment that lies ahead: nothing may come;
3. what was modified since the newest row of that page, exactly as runs ask it: that row must come.

What is learnt stands in the destination's state, and `modes.choose` goes by it. An empty list, and
one whose answers settle nothing, teaches nothing: then the description holds, and each run watches
the filter itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import ReplyError
from zoho_async.export import incremental
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.fetch import page_of
from zoho_async.export.incremental import Capabilities, Mode
from zoho_async.export.writer import writing
from zoho_async.paging import PageSource, RowsPage
from zoho_async.paging.times import MODIFIED, times_of

_DAY: Final = 86_400.0


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a list turned out to do (None: not known), and how later runs will read it."""

    resource: str
    capabilities: Capabilities
    mode: Mode
    calls: int
    error: str | None = None


async def probe(
    zoho: PageSource, facts: OperationFacts, clock: Clock = SYSTEM_CLOCK
) -> ProbeResult:
    """Ask one list. Raises what calls raise, but for a refusal of this list alone."""
    calls, capabilities, error = 0, Capabilities(), None
    try:
        if incremental.asks_changes(facts) or incremental.sorts_by_change(facts):
            calls, capabilities = await _asked(zoho, facts, clock)
    except ReplyError as refusal:
        error = str(refusal)
    mode = incremental.choose(facts, known=True, watermark=0.0, capabilities=capabilities)
    return ProbeResult(
        resource=facts.resource, capabilities=capabilities, mode=mode, calls=calls, error=error
    )


async def _asked(zoho: PageSource, facts: OperationFacts, clock: Clock) -> tuple[int, Capabilities]:
    order = {"sort_column": MODIFIED, "sort_order": "D"}
    sorted_so = order if incremental.sorts_by_change(facts) else {}
    page = await page_of(zoho, facts, sorted_so, 1)
    times = {row: time for row, time in zip(page.ids, _times(page), strict=True) if time}
    if not times:
        return 1, Capabilities()
    newest = None
    if sorted_so and len(set(times.values())) > 1:
        newest = list(times.values()) == sorted(times.values(), reverse=True)
    if not incremental.asks_changes(facts):
        return 1, Capabilities(newest=newest)
    row = max(times, key=lambda one: times[one])
    ahead = incremental.zoho_time(max(clock.time(), times[row]) + _DAY)
    none = await page_of(zoho, facts, {facts.changes: ahead, "per_page": 1}, 1)
    if none.rows:
        return 2, Capabilities(changes=False, newest=newest)
    since = incremental.query_of(facts, "changed", sorted_so, times[row])
    some = await page_of(zoho, facts, since, 1)
    if row in some.ids:
        return 3, Capabilities(changes=True, newest=newest)
    more = some.context is not None and bool(some.context.has_more_page)
    return 3, Capabilities(changes=None if more else False, newest=newest)


def _times(page: RowsPage) -> list[float | None]:
    return [times_of(bytes(row)).modified for row in page.rows]


def remember(destination: Destination, place: Origin, found: Sequence[ProbeResult]) -> None:
    """Write down what was learnt, for the runs into ``destination``. Blocks.

    Raises `CheckpointRefused`, `ExportRunning` or `DestinationError`.
    """
    with writing(destination.name):
        try:
            state = Checkpoint.open(destination.open(place), place, name=destination.name)
            for one in found:
                position = state.position(one.resource)
                if position is None:
                    position = ResourceState(name=one.resource, status="resting", pass_number=0)
                state.begin(msgspec.structs.replace(position, capabilities=one.capabilities))
        finally:
            destination.close()
