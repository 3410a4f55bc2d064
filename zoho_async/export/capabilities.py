"""Probe which filters of an organization's lists really work.

Zoho accepts some filters with a 200 and ignores them, and no document says which. A list whose
description has a filter by last modification is probed with up to three calls:

1. Fetch a page, sorted from the newest row if possible. Do its rows come in that order?
2. Fetch what was modified after a moment in the future. Nothing may come.
3. Fetch what was modified since the newest row of the first page, as an export does. That row must
   come.

If the default of such a list leaves records out, up to three calls per value of ``filter_by`` that
shows them find out if that value and the filter by modification hold together
(`Capabilities.combined`): with a moment in the future nothing may come, and since the newest record
that the default leaves out, that record must come. Without such a record nothing is settled.

The result is stored in the destination, and `zoho_async.export.incremental.choose` uses it. If a
list is empty or its replies settle nothing, its description is believed, and each run checks the
filter while it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Final

import msgspec
from msgspec.structs import replace

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import InvalidRequest, ReplyError
from zoho_async.export import incremental
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.fetch import page_of
from zoho_async.export.incremental import Capabilities, Mode
from zoho_async.export.resource_store import writing
from zoho_async.paging import Page, PageSource
from zoho_async.paging.filters import FILTER
from zoho_async.paging.list_defaults import default_of
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
    values = await _combined(zoho, facts, clock, sorted_so, page)
    calls, found = await _asked_changes(zoho, facts, clock, sorted_so, times)
    capabilities = replace(found, newest=newest, combined=values[1] if found.changes else None)
    return 1 + calls + values[0], capabilities


async def _asked_changes(
    zoho: PageSource,
    facts: OperationFacts,
    clock: Clock,
    sorted_so: dict[str, str],
    times: Mapping[str, float],
) -> tuple[int, Capabilities]:
    row = max(times, key=lambda one: times[one])
    ahead = incremental.zoho_time(max(clock.time(), times[row]) + _DAY)
    none = await page_of(zoho, facts, {facts.changes: ahead, "per_page": 1}, 1)
    if none.rows:
        return 1, Capabilities(changes=False)
    since = incremental.query_of(facts, "changed", sorted_so, times[row])
    some = await page_of(zoho, facts, since, 1)
    if row in some.ids:
        return 2, Capabilities(changes=True)
    return 2, Capabilities(changes=None if some.has_more else False)


async def _combined(
    zoho: PageSource,
    facts: OperationFacts,
    clock: Clock,
    sorted_so: dict[str, str],
    shown: Page[bytes],
) -> tuple[int, bool | None]:
    """Whether the values for what the default leaves out hold with the filter by modification.

    ``shown`` is the first page of the default.
    """
    default = default_of(facts.product, facts.path)
    if default is None or (default.every and shown.has_more):
        return 0, None  # a row on another page of the default would be taken for one left out
    calls = 0
    for value in default.values:
        query: dict[str, object] = {**sorted_so, FILTER: value}
        calls += 1
        try:
            page = await page_of(zoho, facts, query, 1)
            times = zip(page.ids, page.read_times(), strict=True)
            left_out = {
                row: each.modified for row, each in times if each.modified and row not in shown.ids
            }
            if not left_out:
                return calls, None
            row = max(left_out, key=lambda one: left_out[one])
            ahead = incremental.zoho_time(max(clock.time(), left_out[row]) + _DAY)
            calls += 2
            none = await page_of(zoho, facts, {**query, facts.changes: ahead, "per_page": 1}, 1)
            since = incremental.query_of(facts, "changed", {}, left_out[row])
            some = await page_of(zoho, facts, {**query, **since}, 1)
        except InvalidRequest:
            return calls, False
        if none.rows or row not in some.ids:
            return calls, False
    return calls, True


def save_capabilities(
    destination: Destination, origin: Origin, found: Sequence[ProbeResult]
) -> None:
    """Store the results in ``destination``, for its later runs. Blocks.

    What exports found out about values of ``filter_by`` stays.

    Raises `CheckpointRefused`, `ExportRunning` or `DestinationError`.
    """
    with writing(destination.name), closing(destination.open()) as opened:
        checkpoint = Checkpoint.open(opened.database, origin, name=opened.name)
        for one in found:
            state = checkpoint.state_of(one.resource) or ResourceState(name=one.resource)
            before = state.bookmark.capabilities
            capabilities = replace(one.capabilities, values=before.values)
            bookmark = replace(state.bookmark, capabilities=capabilities)
            if capabilities.combined and not before.combined:
                # Earlier reads of changes left records out: the next one compares all.
                bookmark = replace(bookmark, watermark=None)
            checkpoint.begin(replace(state, bookmark=bookmark))
