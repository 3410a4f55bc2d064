"""Begin or continue the part of one resource.

A part continues where the checkpoint says if its rows are still there. Otherwise it is read again:
its rows are written again, in full.

If rows have no ids, a repeated row cannot be distinguished from an equal one. Then every row is
kept, an interrupted list is read again from its start, and every read is a full one.
"""

from __future__ import annotations

from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import (
    Checkpoint,
    CurrentPart,
    PassHistory,
    PreviousPart,
    ResourceState,
)
from zoho_async.export.cost import Way, cheapest
from zoho_async.export.destinations.base import OpenDestination, RecordedContents
from zoho_async.export.errors import CheckpointRefused, DestinationChanged
from zoho_async.export.incremental import Mode, choose
from zoho_async.export.passes import is_settled
from zoho_async.export.resource_store import (
    ListRows,
    ResourceStore,
    RowPolicy,
    RunOptions,
    writing,
)
from zoho_async.export.shape_rules import Shapers


def open_store(
    checkpoint: Checkpoint,
    destination: OpenDestination,
    facts: OperationFacts,
    request: str,
    options: RunOptions,
    policy: RowPolicy | None = None,
    shapers: Shapers | None = None,
) -> ResourceStore:
    """Return the store of a resource, with its part continued or begun. Blocks.

    ``request`` is the request for its list, as comparable text. Without a ``policy``, rows are
    stored as the list has them. Raises `CheckpointRefused` if the checkpoint belongs to another
    request for this list, `DestinationChanged` if a full read would replace what a person changed,
    and `DestinationError`.
    """
    with writing(destination.name):
        before = checkpoint.state_of(facts.resource) or ResourceState(name=facts.resource)
        policy = policy or ListRows()
        store = ResourceStore(checkpoint, destination, facts, options, policy, before, shapers)
        _check_shape(store)
        _check_request(store, request)
        store.missing = store.sink.find_missing(_expected_contents(store))
        if store.missing or not _can_continue(store, request):
            _begin(store, request)
        return store


def _check_shape(store: ResourceStore) -> None:
    """Refuse another choice of columns than that of the rows; ``full`` replaces all of them."""
    before, options = store.state, store.options
    begun = before.bookmark.request or before.bookmark.finished or before.status != "resting"
    if before.shape == store.shaper.text or not begun:
        return
    if not (options.full or options.restart):
        cause = (
            f"the rows of {before.name} in {store.place} were written with other --select, "
            "--exclude, --hash or --mask, or with another key"
        )
        raise DestinationChanged(before.name, cause, "--full")
    store.discard()


def _check_request(store: ResourceStore, request: str) -> None:
    before, options = store.state, store.options
    if before.bookmark.request in ("", request) or options.full or options.restart:
        return
    unfinished = "an unfinished" if before.status == "reading" else "an"
    raise CheckpointRefused(
        f"{store.place} holds {unfinished} export of {store.facts.resource} "
        "that was asked for differently (other filters, or another version); run the same "
        "command as before, start again with --restart, or choose another place"
    )


def _expected_contents(store: ResourceStore) -> RecordedContents:
    """Return what the checkpoint says that the destination has."""
    before, options = store.state, store.options
    whole = options.full or options.restart
    if not before.bookmark.finished and before.status == "resting":
        return RecordedContents(whole=whole, rebuild=options.restart)
    reading = before.status == "reading"
    replaces = reading and before.part.mode == "full"
    return RecordedContents(
        sizes={} if replaces else before.runs.sizes,
        records=store.policy.count_written(store),
        begun=True,
        reading=reading,
        whole=whole,
        rebuild=options.restart,
    )


def _can_continue(store: ResourceStore, request: str) -> bool:
    """Continue a part that was begun. Return False if the next part must begin."""
    before, options = store.state, store.options
    if before.status == "resting" or store.policy.wants_more(before.details):
        return False
    full = before.part.mode == "full"
    if before.status == "complete":
        checked = full or before.passes.done or not options.detect_deletions
        return checked and not options.restart and (full or not options.full)
    given_up = options.restart or (options.full and not full)
    if given_up or before.bookmark.request != request or not store.facts.row_id:
        return False
    return store.sink.resume(before.part.offset)


def _begin(store: ResourceStore, request: str) -> None:
    before, options = store.state, store.options
    whole = options.full or options.restart or store.policy.wants_more(before.details)
    mode = choose(
        store.facts,
        known=before.bookmark.finished and before.status != "reading",
        watermark=before.bookmark.watermark,
        capabilities=before.bookmark.capabilities,
        full=whole or bool(store.missing),
        detect_deletions=options.detect_deletions,
    )
    refresh = None if mode == "full" else store.policy.refresh_since(store)
    if _is_in_doubt(before, mode) or refresh == 0.0:
        mode = "compared"
    reason = ""
    if options.cheapest and not (mode == "full" or refresh == 0.0 or options.detect_deletions):
        way = _cheapest(store, mode)
        mode, reason = way.mode, way.reason
    store.use(store.checkpoint.begin(_first_state(store, request, mode, refresh, reason)))
    store.sink.resume(0)


def _cheapest(store: ResourceStore, mode: Mode) -> Way:
    """Return the cheapest way to read the list, or ``mode`` if its doubt needs the whole list."""
    options = store.options
    way = cheapest(
        store.facts,
        store.state,
        now=options.now,
        feed=options.feed is not None and options.feed.covers(store.state.feed.read),
        restricted=options.narrowed or options.since is not None or options.detect_deletions,
    )
    if mode != "compared" or way.mode in ("compared", "feed"):
        return way
    return replace(way, mode="compared", reason="the last read of the changes left a doubt")


def _first_state(
    store: ResourceStore, request: str, mode: Mode, refresh: float | None, reason: str
) -> ResourceState:
    before = store.state
    full, number, bookmark = mode == "full", before.passes.current + 1, before.bookmark
    since = store.options.since
    if mode in ("changed", "newest"):
        since = bookmark.watermark
        if refresh is not None and since is not None:  # the list shows what the refresh needs
            since = min(since, refresh)
    return ResourceState(
        name=before.name,
        number=before.number,
        shape=store.shaper.text,
        status="reading",
        bookmark=replace(
            bookmark,
            request=request,
            finished=not full,
            watermark=None if full else bookmark.watermark,
        ),
        part=CurrentPart(
            name="" if full else store.checkpoint.stamp_after(before.part.name),
            mode=mode,
            reason=reason,
            since=since,
            previous=_previous_part(before) if full else None,
        ),
        passes=PassHistory(first=number, current=number),
        details=store.policy.begin(before.details, mode, refresh),
        runs=before.runs,
        periods={} if full else before.periods,
        feed=before.feed,
    )


def _previous_part(before: ResourceState) -> PreviousPart | None:
    """Return what a full read that follows ``before`` replaces."""
    if not before.bookmark.finished:  # what the interrupted full read would have replaced
        return before.part.previous
    return PreviousPart(name=before.part.name, watermark=before.bookmark.watermark)


def _is_in_doubt(before: ResourceState, mode: Mode) -> bool:
    """Whether another read by ``mode`` would leave the same doubt. Then the whole list is counted.

    If a list is read from its newest row, ties at page borders stay where they are. If a filter's
    total is larger than its rows, the list is counted without the filter. If a list has no total
    and nothing settled the read, the whole list may be proven in another way.
    """
    if mode not in ("changed", "newest") or mode != before.part.mode:
        return False
    completeness = before.passes.completeness
    if completeness == "uncheckable":
        return not is_settled(before)
    if mode == "newest":
        return completeness in ("changed", "short")
    return completeness == "short"
