"""Write the details, children and files of records.

Model. The list is read as in any export, and its rows are compared with the record index. New and
changed records go into the queue (`zoho_async.export.details.queue`) in the transaction that writes
their page: instead of their rows (details, children), or in addition to them (files). When the list
is read and its completeness is stored, the queue is fetched. Each record leaves the queue in the
transaction that writes what was fetched.

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
from zoho_async.export.checkpoint.store import Checkpoint, DetailState, ResourceState
from zoho_async.export.destinations.base import Destination
from zoho_async.export.details.operations import Details, DocumentSources, with_fields
from zoho_async.export.details.queue import PendingRecord, Work
from zoho_async.export.incremental import Mode
from zoho_async.export.writer import ChangedRow, ResourceWriter, RunOptions, table_of, writing
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


class DetailWriter(ResourceWriter):
    """Writes a resource whose records have details, by ``detail_plan``."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        destination: Destination,
        facts: OperationFacts,
        request: str,
        options: RunOptions,
        detail_plan: DetailPlan,
    ) -> None:
        rows = facts if detail_plan.child is None else row_facts()[facts.resource]
        table = table_of(facts.resource, rows, details=detail_plan.details is not None)
        super().__init__(checkpoint, destination, facts, request, options, table)
        self.detail_plan: Final = detail_plan

    def _first(self, before: ResourceState, mode: Mode) -> ResourceState:
        details = DetailState(
            full_records=self.detail_plan.details is not None,
            documents=self.detail_plan.documents is not None,
            all_attachments=self.detail_plan.documents is not None,
            queued=0 if mode == "full" else before.details.queued,
        )
        return replace(super()._first(before, mode), details=details)

    def _wants_more(self, before: ResourceState) -> bool:
        plan, had = self.detail_plan, before.details
        more = plan.details is not None and not had.full_records
        return more or (plan.documents is not None and not (had.documents and had.all_attachments))

    # -- into the queue -------------------------------------------------------------------------

    def _rows_to_write_now(self, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        now: list[ChangedRow] = []
        pending: list[PendingRecord] = []
        files: list[PendingRecord] = []
        place = self.state.details.queued
        for one in rows:
            if one.key.startswith("#") or one.key.strip() in _NO_PATH:  # no usable id
                now.extend([one] if self.detail_plan.child is None else [])
                continue
            place += 1
            if self.detail_plan.child is not None:
                if argument := self._argument(self.detail_plan.child, one):
                    pending.append(PendingRecord(place, one.key, argument, one.changed))
            elif self.detail_plan.details is not None:
                pending.append(PendingRecord(place, one.key, one.key, one.changed))
            else:
                now.append(one)
            if self.detail_plan.documents is not None:
                files.append(
                    PendingRecord(
                        place, one.key, self.detail_plan.documents.wanted(one.row), one.changed
                    )
                )
        queue = self._checkpoint.queue(self.state)
        queue.add("rows", pending)
        queue.add("files", files)
        details = replace(self.state.details, queued=place)
        self._state = replace(self.state, details=details)
        return now

    @staticmethod
    def _argument(child: Child, one: ChangedRow) -> str:
        if child.value == child.parents.row_id:
            return one.key
        return str(untyped(one.row).get(child.value) or "")

    # -- out of the queue -----------------------------------------------------------------------

    def pending(self, work: Work, most: int, after: int = 0) -> list[PendingRecord]:
        """Return the next pending records, after place ``after`` of the queue."""
        with writing(self._destination.name):
            return self._checkpoint.queue(self.state).next(work, most, after)

    def keep_newest(self, work: Work) -> None:
        """Keep only the newest entry of each record."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.state).keep_newest(work)

    def count(self, work: Work) -> int:
        """Return the number of pending records."""
        with writing(self._destination.name):
            return self._checkpoint.queue(self.state).count(work)

    def write_details(self, found: Sequence[tuple[PendingRecord, bytes | None]], when: str) -> None:
        """Write the details of some records, in their order; None marks a deleted one."""
        rows = [row for _, row in found if row is not None]
        gone = [record for record, row in found if row is None]
        places = [record.place for record, _ in found]
        queue = self._checkpoint.queue(self.state)
        with writing(self._destination.name), self._checkpoint.database.transaction():
            offset = self.sink.write(rows)
            queue.done("rows", places)
            known = sum(record.known for record, row in found if row is not None)
            details = self.state.details
            self._put(
                part=replace(self.state.part.with_rows(rows, known), offset=offset),
                details=replace(details, read=details.read + len(rows)),
            )
            if gone:
                queue.done("files", [record.place for record in gone])
                self._lost(gone, when)

    def _lost(self, gone: Sequence[PendingRecord], when: str) -> None:
        """Mark records as deleted that are gone by now, if rows of them were written."""
        deleted = self._mark_deleted([record.id for record in gone if record.known], when)
        self.records.forget([record.id for record in gone])
        part = self.state.part
        self._put(part=replace(part, deleted=part.deleted + deleted))

    def write_children(
        self,
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
        keyed: dict[str, bytes] = {}
        for place, (own, row) in enumerate(rows, first):
            key = f"{record.id}/{own or place}"
            keyed.setdefault(key, with_fields(row, {KEY: key, child.name: record.argument}))
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._add_children(record, keyed)
            if last:
                self._delete_children(record.id, when, since=self.state.passes.first)
                self._checkpoint.queue(self.state).done("rows", [record.place])
                details = self.state.details
                self._put(details=replace(details, read=details.read + 1))

    def passed_over(self, record: PendingRecord) -> None:
        """Skip a parent whose children Zoho refused to list."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.state).done("rows", [record.place])

    def _add_children(self, record: PendingRecord, keyed: dict[str, bytes]) -> None:
        state = self.state
        known = self._children.of(record.id, keyed)
        records: dict[str, int] = {}
        fresh: list[bytes] = []
        changed = 0
        for key, row in keyed.items():
            content, before = digest(row), known.get(key)
            if before is not None and before.pass_number >= state.passes.first:
                continue  # written in this run
            records[key] = content
            if state.part.mode == "full" or before is None or before.digest != content:
                fresh.append(row)
                changed += before is not None
        self._children.add(record.id, records, state.passes.current)
        offset = self.sink.write(fresh)
        self._put(part=replace(state.part.with_rows(fresh, changed), offset=offset))

    def saved(self, records: Sequence[PendingRecord], files: int) -> None:
        """Finish records whose documents are all durable; ``files`` of them are new."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.state).done("files", [record.place for record in records])
            details = self.state.details
            self._put(details=replace(details, files=details.files + files))

    def _count_written(self, state: ResourceState) -> int:
        if self.detail_plan.child is None:
            return super()._count_written(state)
        return ChildIndex(self._checkpoint.database, state.number).count()

    # -- deleted records ------------------------------------------------------------------------

    @property
    def _children(self) -> ChildIndex:
        return ChildIndex(self._checkpoint.database, self.state.number)

    def _mark_deleted(self, gone: Sequence[str], when: str) -> int:
        if self.detail_plan.child is None:
            return super()._mark_deleted(gone, when)
        before = self.state.part.deleted
        for parent in gone:
            self._delete_children(parent, when)
        self.records.forget(gone)
        deleted = self.state.part.deleted - before
        self._put(part=replace(self.state.part, deleted=before))
        return deleted

    def _delete_children(self, parent: str, when: str, since: int | None = None) -> None:
        """Mark the children of ``parent`` that no pass from ``since`` on saw as deleted."""
        while gone := self._children.unseen(parent, since):
            offset = self.sink.mark_deleted(gone, when)
            self._children.forget(parent, gone)
            part = self.state.part
            self._put(part=replace(part, offset=offset, deleted=part.deleted + len(gone)))
