"""Write the details, children and files of records.

Model. The list is read as in any export, and its rows are compared with the record index. New and
changed records go into the queue (`zoho_async.export.details.queue`) in the transaction that writes
their page: instead of their rows (details, children), or in addition to them (files). This is the
task of `QueuedRecords`. When the list is read and its completeness is stored, the queue is fetched.
Each record leaves the queue in the transaction in which `DetailWriter` writes what was fetched.

Why it holds.

- The record index has the digest of the list's row from the time of queuing. So a record is fetched
  again when the list shows another row, and not before.
- An interrupted run continues with the rest of the queue. Rows are in the order of the queue.
- The list's watermark stays true, because records are fetched after the list.
- Records are fetched as before: full records and saved documents stay so without being requested
  again. If more is requested than before, the list is read in full.

Children are compared one by one (`zoho_async.export.checkpoint.children`). A changed parent is read
whole, which gives the children that are new or changed and the ids of deleted ones. A child is
written once per run, as any row is.

Refresh. A child can change without its parent: a comment leaves the parent's time of modification
alone. So the children of parents that were changed in the last days are read again, even if the
parent's row is the same. The list of parents is read from that moment on, so Zoho selects them by
its clock, and the row's ``last_modified_time`` confirms it. Both are moments with an offset, so the
organization's time zone does not matter; the moment is by this computer's clock, less the margin. A
parent without ``last_modified_time`` counts as changed, since nothing says otherwise.

- A refresh never delays what is new. It is separate work in the queue, which begins after all
  lists of the job are read (`zoho_async.export.job`). If it is interrupted, the next run reads the
  lists first, too.
- A refresh is neither repeated nor skipped. What is left of it stays in the queue through later
  parts, and no other refresh begins before it is empty, unless one of more days is asked for.
- A parent that changes meanwhile leaves the refresh, since its children are read as new work.

Every method blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.catalog import KEY, Child, row_facts
from zoho_async.export.checkpoint.children import ChildIndex
from zoho_async.export.checkpoint.records import digest
from zoho_async.export.checkpoint.store import DetailState, ResourceState
from zoho_async.export.destinations.base import Table
from zoho_async.export.details.operations import Details, DocumentSources, with_fields
from zoho_async.export.details.queue import PendingRecord, Work
from zoho_async.export.incremental import Mode
from zoho_async.export.resource_store import ChangedRow, ListRows, ResourceStore, table_of
from zoho_async.wire.page import times_of
from zoho_async.wire.text import untyped

#: Ids that would change the path of a request; `zoho_async.http.call` refuses them.
_NO_PATH: Final = frozenset({"", ".", ".."})


class DetailPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is fetched per new or changed record of a resource; at least one of the three.

    ``details`` and ``child`` exclude each other.
    """

    details: Details | None = None
    child: Child | None = None
    documents: DocumentSources | None = None


class QueuedRecords:
    """The `zoho_async.export.resource_store.RowPolicy` of a resource with a ``detail_plan``."""

    def __init__(self, detail_plan: DetailPlan) -> None:
        self._plan: Final = detail_plan
        self._list_rows: Final = ListRows()

    def table(self, facts: OperationFacts) -> Table:
        rows = facts if self._plan.child is None else row_facts()[facts.resource]
        return table_of(facts.resource, rows, details=self._plan.details is not None)

    def wants_more(self, before: DetailState) -> bool:
        plan = self._plan
        more = plan.details is not None and not before.full_records
        saved = before.documents and before.all_attachments
        return more or (plan.documents is not None and not saved)

    def refresh_since(self, store: ResourceStore) -> float | None:
        since, before = store.options.refresh_since, store.state.details.refresh_since
        if self._plan.child is None or since is None:
            return None
        since = max(0.0, since - store.options.margin.start)
        wider = before is None or since < before
        return since if wider or not store.queue.count("refresh") else None

    def begin(self, before: DetailState, mode: Mode, refresh: float | None) -> DetailState:
        since = before.refresh_since if refresh is None else refresh
        return DetailState(
            full_records=self._plan.details is not None,
            documents=self._plan.documents is not None,
            all_attachments=self._plan.documents is not None,
            queued=0 if mode == "full" else before.queued,
            refresh_since=None if mode == "full" else since,
            refresh_begins=refresh is not None,
        )

    def select(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        """Queue the records of ``rows``. Return the rows that are not replaced by details."""
        plan = self._plan
        selected: list[ChangedRow] = []
        pending: list[PendingRecord] = []
        files: list[PendingRecord] = []
        place = store.state.details.queued
        for one in rows:
            if one.key.startswith("#") or one.key.strip() in _NO_PATH:  # no usable id
                selected.extend([one] if plan.child is None else [])
                continue
            place += 1
            if plan.child is not None:
                if argument := _argument(plan.child, one):
                    pending.append(PendingRecord(place, one.key, argument, one.changed))
            elif plan.details is not None:
                pending.append(PendingRecord(place, one.key, one.key, one.changed))
            else:
                selected.append(one)
            if plan.documents is not None:
                chosen = plan.documents.choose(one.row)
                files.append(PendingRecord(place, one.key, chosen, one.changed))
        store.queue.add("rows", pending)
        store.queue.add("files", files)
        if plan.child is not None and pending:
            store.queue.remove_records("refresh", [one.id for one in pending])
        store.state = replace(store.state, details=replace(store.state.details, queued=place))
        return selected

    def select_unchanged(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> None:
        """Queue the parents among ``rows`` whose children this refresh reads again."""
        child, details = self._plan.child, store.state.details
        if child is None or details.refresh_since is None:
            return
        pending: list[PendingRecord] = []
        for one in rows:
            modified = times_of(one.row).modified
            old = modified is not None and modified < details.refresh_since
            if old or one.key.startswith("#") or one.key.strip() in _NO_PATH:
                continue
            if argument := _argument(child, one):
                place = details.queued + len(pending) + 1
                pending.append(PendingRecord(place, one.key, argument, one.changed))
        if pending:
            store.queue.remove_records("refresh", [one.id for one in pending])
            store.queue.add("refresh", pending)
            details = replace(details, queued=pending[-1].place)
            store.state = replace(store.state, details=details)

    def count_written(self, store: ResourceStore) -> int:
        if self._plan.child is None:
            return self._list_rows.count_written(store)
        return _children(store).count()

    def mark_deleted(self, store: ResourceStore, ids: Sequence[str], when: str) -> int:
        """Mark records as deleted, or the children of parents."""
        if self._plan.child is None:
            return self._list_rows.mark_deleted(store, ids, when)
        deleted = sum(_mark_children_deleted(store, parent, when) for parent in ids)
        store.records.forget(ids)
        return deleted


class DetailWriter:
    """Writes what ``detail_plan`` fetches for the queued records of ``store``."""

    def __init__(self, store: ResourceStore, detail_plan: DetailPlan) -> None:
        self.store: Final = store
        self.facts: Final[OperationFacts] = store.facts
        self.detail_plan: Final = detail_plan

    @property
    def state(self) -> ResourceState:
        return self.store.state

    # -- the queue --------------------------------------------------------------------------------

    def find_pending(self, work: Work, most: int, after: int = 0) -> list[PendingRecord]:
        """Return the next pending records, after place ``after`` of the queue."""
        with self.store.translate_errors():
            return self.store.queue.next(work, most, after)

    def keep_newest(self, work: Work) -> None:
        """Keep only the newest entry of each record."""
        with self.store.transaction():
            self.store.queue.keep_newest(work)

    def count(self, work: Work) -> int:
        """Return the number of pending records."""
        with self.store.translate_errors():
            return self.store.queue.count(work)

    # -- details ----------------------------------------------------------------------------------

    def write_details(self, found: Sequence[tuple[PendingRecord, bytes | None]], when: str) -> None:
        """Write the details of some records, in their order; None marks a deleted one."""
        store = self.store
        rows = [store.shaper.apply(row) for _, row in found if row is not None]
        gone = [record for record, row in found if row is None]
        changed = sum(record.known for record, row in found if row is not None)
        with store.transaction():
            offset = store.write(rows)
            store.queue.remove("rows", [record.place for record, _ in found])
            details = store.state.details
            store.put(
                part=replace(store.state.part.with_rows(rows, changed), offset=offset),
                details=replace(details, read=details.read + len(rows)),
            )
            if gone:
                store.queue.remove("files", [record.place for record in gone])
                # Only rows that were written can be marked.
                store.mark_deleted([record.id for record in gone if record.known], when)
                store.records.forget([record.id for record in gone])

    # -- children ---------------------------------------------------------------------------------

    def write_children(
        self,
        work: Work,
        record: PendingRecord,
        rows: Sequence[tuple[str, bytes]],
        first: int,
        *,
        last: bool,
        when: str,
    ) -> None:
        """Write a page of a parent's children: ids ("" for none) and rows, from place ``first`` on.

        After the ``last`` page, children that were not seen are marked deleted.
        """
        child = self.detail_plan.child
        assert child is not None
        store = self.store
        keyed: dict[str, bytes] = {}
        for place, (own, row) in enumerate(rows, first):
            key = f"{record.id}/{own or place}"
            named = with_fields(row, {KEY: key, child.name: record.argument})
            keyed.setdefault(key, store.shaper.apply(named))
        with store.transaction():
            self._add_children(record, keyed)
            if last:
                since = store.state.passes.first
                deleted = _mark_children_deleted(store, record.id, when, since)
                store.queue.remove(work, [record.place])
                part, details = store.state.part, store.state.details
                store.put(
                    part=replace(part, deleted=part.deleted + deleted),
                    details=replace(details, read=details.read + 1),
                )

    def skip(self, work: Work, record: PendingRecord) -> None:
        """Skip a parent whose children Zoho refused to list."""
        with self.store.transaction():
            self.store.queue.remove(work, [record.place])

    def _add_children(self, record: PendingRecord, keyed: dict[str, bytes]) -> None:
        store = self.store
        part, passes = store.state.part, store.state.passes
        children = _children(store)
        known = children.find(record.id, keyed)
        records: dict[str, int] = {}
        fresh: list[bytes] = []
        changed = 0
        for key, row in keyed.items():
            content, before = digest(row), known.get(key)
            if before is not None and before.pass_number >= passes.first:
                continue  # written in this run
            records[key] = content
            if part.mode == "full" or before is None or before.digest != content:
                fresh.append(row)
                changed += before is not None
        children.add(record.id, records, passes.current)
        offset = store.write(fresh)
        store.put(part=replace(part.with_rows(fresh, changed), offset=offset))

    # -- documents --------------------------------------------------------------------------------

    def finish_files(self, records: Sequence[PendingRecord], files: int) -> None:
        """Finish records whose documents are all durable; ``files`` of them are new."""
        details = self.state.details
        with self.store.transaction():
            self.store.queue.remove("files", [record.place for record in records])
            self.store.put(details=replace(details, files=details.files + files))


def _argument(child: Child, one: ChangedRow) -> str:
    """Return the argument of the request for the children of a row's record."""
    if child.value == child.parents.row_id:
        return one.key
    return str(untyped(one.row).get(child.value) or "")


def _children(store: ResourceStore) -> ChildIndex:
    return ChildIndex(store.checkpoint.database, store.state.number)


def _mark_children_deleted(
    store: ResourceStore, parent: str, when: str, since: int | None = None
) -> int:
    """Mark the children of ``parent`` that no pass from ``since`` on saw as deleted.

    Return how many rows that were.
    """
    deleted, children = 0, _children(store)
    while gone := children.find_unseen(parent, since):
        offset = store.sink.mark_deleted(gone, when)
        children.forget(parent, gone)
        store.put(part=replace(store.state.part, offset=offset))
        deleted += len(gone)
    return deleted
