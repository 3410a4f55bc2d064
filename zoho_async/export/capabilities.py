"""Probe which filters of an organization's lists really work.

Zoho accepts some filters with a 200 and ignores them, and no document says which. A list whose
description has a filter by last modification is probed with up to three calls:

1. Fetch a page, sorted from the newest row if possible. Do its rows come in that order?
2. Fetch what was modified after a moment in the future. Nothing may come.
3. Fetch what was modified since the newest row of the first page, as an export does. That row must
   come.

The result is stored in the destination, and `zoho_async.export.incremental.choose` uses it. If a
list is empty or its replies settle nothing, its description is believed, and each run checks the
filter while it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec
from msgspec.structs import replace

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import ReplyError
from zoho_async.export import incremental
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.fetch import page_of
from zoho_async.export.incremental import Capabilities, Mode
from zoho_async.export.resource_store import writing
from zoho_async.paging import PageSource
from zoho_async.wire.page import MODIFIED

_DAY: Final = 86_400.0


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a list can do (None: not known), and how later runs read it."""

    resource: str
    capabilities: Capabilities
    mode: Mode
    calls: int
    error: str | None = None


async def probe(
    zoho: PageSource, facts: OperationFacts, clock: Clock = SYSTEM_CLOCK
) -> ProbeResult:
    """Probe one list. Raises what calls raise, except a refusal of this list alone."""
    calls, capabilities, error = 0, Capabilities(), None
    try:
        if incremental.asks_changes(facts) or incremental.sorts_by_change(facts):
            calls, capabilities = await _probe_list(zoho, facts, clock)
    except ReplyError as refusal:
        error = str(refusal)
    mode = incremental.choose(facts, known=True, watermark=0.0, capabilities=capabilities)
    return ProbeResult(
        resource=facts.resource, capabilities=capabilities, mode=mode, calls=calls, error=error
    )


async def _probe_list(
    zoho: PageSource, facts: OperationFacts, clock: Clock
) -> tuple[int, Capabilities]:
    order = {"sort_column": MODIFIED, "sort_order": "D"}
    sorted_so = order if incremental.sorts_by_change(facts) else {}
    page = await page_of(zoho, facts, sorted_so, 1)
    times = {
        row: each.modified
        for row, each in zip(page.ids, page.read_times(), strict=True)
        if each.modified
    }
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
    return 3, Capabilities(changes=None if some.has_more else False, newest=newest)


def save_capabilities(
    destination: Destination, origin: Origin, found: Sequence[ProbeResult]
) -> None:
    """Store the results in ``destination``, for its later runs. Blocks.

    Raises `CheckpointRefused`, `ExportRunning` or `DestinationError`.
    """
    with writing(destination.name), closing(destination.open()) as place:
        checkpoint = Checkpoint.open(place.database, origin, name=place.name)
        for one in found:
            state = checkpoint.state_of(one.resource) or ResourceState(name=one.resource)
            bookmark = replace(state.bookmark, capabilities=one.capabilities)
            checkpoint.begin(replace(state, bookmark=bookmark))
