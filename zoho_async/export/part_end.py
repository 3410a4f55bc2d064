"""Complete the part of one resource.

Order. The checkpoint first says that all rows are durable; then the sink is settled. If the process
ends between the two, the next run settles the sink.

Replacing. A full read replaces the earlier rows only if no record is lost by that, or if the read
is believed: it is proven, or two passes some time apart saw the same records (and the list's count
does not contradict them), or the caller accepts a shorter one. A list of which Zoho says that a
filter hides rows is not believed. Otherwise the earlier rows stay, and
the new ones are kept as changes, so nothing is lost. If the process ends in between, the rows are
not where the checkpoint says, and the part is read again.

Every function blocks.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.store import (
    Checkpoint,
    CurrentPart,
    PartStatus,
    PreviousPart,
    ResourceState,
    RunHistory,
)
from zoho_async.export.destinations.base import OpenDestination, Sink
from zoho_async.export.incremental import watermark_after
from zoho_async.export.passes import is_settled
from zoho_async.export.resource_store import ResourceStore, recorded_table, writing


def complete_part(store: ResourceStore, when: str, *, refreshes: bool = False) -> None:
    """Give the part its final form, after its last pass.

    If it ``refreshes`` children, more rows follow, and `complete_refresh` settles it.

    Records that a whole list that is believed did not show are marked deleted, at the moment
    ``when``. Records that were not asked for stay as they are.

    A full part that lacks records and is not believed replaces nothing: the earlier rows stay, and
    the part is kept as changes.
    """
    with store.translate_errors():
        part, believed = store.state.part, _is_believed(store)
        full = part.mode == "full"
        whole = believed and part.since is None and not store.options.narrowed
        lost = full and not believed and bool(store.find_unseen())
        while full and whole and (gone := store.find_unseen()):
            with store.transaction():
                store.policy.mark_deleted(store, gone, when)
        if lost and part.previous is not None:
            _keep_both(store, part.previous)
        else:
            status: PartStatus = "refreshing" if refreshes else "complete"
            _replace(store, status, doubted=full and not whole)
        if store.state.status == "complete":
            store.sink.settle()
            store.state = record_sizes(store.checkpoint, store.sink, store.state)


def complete_refresh(store: ResourceStore) -> None:
    """Complete a part after the refresh of its children."""
    with store.translate_errors():
        store.state = _settle_refresh(store.checkpoint, store.sink, store.state)


def _settle_refresh(checkpoint: Checkpoint, sink: Sink, state: ResourceState) -> ResourceState:
    sizes = state.runs.sizes if _is_unchanged(state.part) else None
    state = replace(state, status="complete", runs=replace(state.runs, sizes=sizes))
    with checkpoint.database.transaction():
        checkpoint.put(state)
    sink.settle()
    return record_sizes(checkpoint, sink, state)


def _is_believed(store: ResourceStore) -> bool:
    """Whether records that this full read did not see may be dropped."""
    if store.options.accept_shorter:
        return True
    passes = store.state.passes
    return (
        passes.hidden is None and bool(passes.views) and all(one.believed for one in passes.views)
    )


def _replace(store: ResourceStore, status: PartStatus, *, doubted: bool) -> None:
    with store.transaction():
        if doubted:
            store.records.doubt(store.state.passes.first)
        _put_complete(store, store.state.part, _next_watermark(store), status)


def _keep_both(store: ResourceStore, previous: PreviousPart) -> None:
    """Keep the new rows as changes. The earlier rows stay, with their watermark."""
    name = store.checkpoint.stamp_after(previous.name)
    store.sink.keep_as_part(name)
    with store.transaction():
        store.records.doubt(store.state.passes.first)
        _put_complete(store, replace(store.state.part, name=name), previous.watermark)
    store.use(store.state)


def _put_complete(
    store: ResourceStore,
    part: CurrentPart,
    watermark: float | None,
    status: PartStatus = "complete",
) -> None:
    """Store that ``part`` is complete or ``refreshing``, and what it leaves for the next run."""
    runs, bookmark, found = store.state.runs, store.state.bookmark, store.state.passes.completeness
    is_base = part.mode in ("full", "compared") and found in ("proven", "uncheckable")
    changed = found == "changed"
    unchanged = _is_unchanged(part) or status == "refreshing"
    store.put(
        status=status,
        bookmark=replace(
            bookmark,
            finished=True,
            watermark=watermark,
            completeness=found if is_base else bookmark.completeness,
        ),
        part=part,
        runs=RunHistory(
            changed=runs.changed + 1 if changed else 0,
            sizes=runs.sizes if unchanged else None,
        ),
    )


def _is_unchanged(part: CurrentPart) -> bool:
    return part.mode != "full" and part.rows == part.deleted == 0


def _next_watermark(store: ResourceStore) -> float | None:
    part, watermark = store.state.part, store.state.bookmark.watermark
    if not is_settled(store.state) or part.begun is None:
        return watermark
    return watermark_after(
        watermark,
        begun=part.begun,
        newest=part.newest,
        margin=store.options.margin,
    )


def settle(
    checkpoint: Checkpoint,
    destination: OpenDestination,
    rows_of: Callable[[str], OperationFacts | None],
) -> None:
    """Settle parts that were completed right before the last run ended.

    ``rows_of`` returns the description of a resource's rows, by the name of the resource.

    If the run ended during a refresh, it ends here, so that the next one reads all lists first.
    What is left of the refresh stays in the queue.
    """
    with writing(destination.name):
        ended = [one for one in checkpoint.states() if one.status in ("complete", "refreshing")]
        for state in ended:
            table = recorded_table(checkpoint, state, rows_of(state.name))
            sink = destination.sink(table, state.part.name)
            if state.status == "complete":
                sink.settle()
                record_sizes(checkpoint, sink, state)
            elif sink.resume(state.part.offset):
                _settle_refresh(checkpoint, sink, state)
            else:  # its rows are gone, so it is read again
                with checkpoint.database.transaction():
                    checkpoint.put(replace(state, status="reading"))
        if any(one.status == "refreshing" for one in ended):
            checkpoint.finish(one.name for one in checkpoint.states() if one.status == "complete")


def record_sizes(checkpoint: Checkpoint, sink: Sink, state: ResourceState) -> ResourceState:
    """Store what the destination holds, and which numbers the sink rounded, unless it is stored.

    Return the new state.
    """
    if state.runs.sizes is not None:
        return state
    part = state.part.with_rounded(sink.take_rounded())
    state = replace(state, part=part, runs=replace(state.runs, sizes=sink.sizes()))
    with checkpoint.database.transaction():
        checkpoint.put(state)
    return state
