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

from zoho_async.description import OperationFacts
from zoho_async.export.catalog import KEY, Child, row_facts
from zoho_async.export.checkpoint.children import ChildIndex
from zoho_async.export.checkpoint.records import digest
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
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
        return msgspec.structs.replace(
            super()._first(before, mode),
            details=self.detail_plan.details is not None,
            documents=self.detail_plan.documents is not None,
            all_attachments=self.detail_plan.documents is not None,
            queued=0 if mode == "full" else before.queued,
        )

    def _wants_more(self, before: ResourceState) -> bool:
        details, documents = self.detail_plan.details, self.detail_plan.documents
        more = details is not None and not before.details
        return more or (documents is not None and not (before.documents and before.all_attachments))

    # -- into the queue -------------------------------------------------------------------------

    def _rows_to_write_now(self, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        now: list[ChangedRow] = []
        pending: list[PendingRecord] = []
        files: list[PendingRecord] = []
        place = self.position.queued
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
        queue = self._checkpoint.queue(self.position)
        queue.add("rows", pending)
        queue.add("files", files)
        self._position = msgspec.structs.replace(self.position, queued=place)
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
            return self._checkpoint.queue(self.position).next(work, most, after)

    def keep_newest(self, work: Work) -> None:
        """Keep only the newest entry of each record."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.position).keep_newest(work)

    def count(self, work: Work) -> int:
        """Return the number of pending records."""
        with writing(self._destination.name):
            return self._checkpoint.queue(self.position).count(work)

    def write_details(self, found: Sequence[tuple[PendingRecord, bytes | None]], when: str) -> None:
        """Write the details of some records, in their order; None marks a deleted one."""
        rows = [row for _, row in found if row is not None]
        gone = [record for record, row in found if row is None]
        places = [record.place for record, _ in found]
        queue = self._checkpoint.queue(self.position)
        with writing(self._destination.name), self._checkpoint.database.transaction():
            offset = self.sink.write(rows)
            queue.done("rows", places)
            position = self.position
            self._put(
                offset=offset,
                read=position.read + len(rows),
                rows=position.rows + len(rows),
                bytes=position.bytes + sum(map(len, rows)) + len(rows),
                changed=position.changed
                + sum(record.known for record, row in found if row is not None),
            )
            if gone:
                queue.done("files", [record.place for record in gone])
                self._lost(gone, when)

    def _lost(self, gone: Sequence[PendingRecord], when: str) -> None:
        """Mark records as deleted that are gone by now, if rows of them were written."""
        deleted = self._mark_deleted([record.id for record in gone if record.known], when)
        self.records.forget([record.id for record in gone])
        self._put(deleted=self.position.deleted + deleted)

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
                self._delete_children(record.id, when, since=self.position.first_pass)
                self._checkpoint.queue(self.position).done("rows", [record.place])
                self._put(read=self.position.read + 1)

    def passed_over(self, record: PendingRecord) -> None:
        """Skip a parent whose children Zoho refused to list."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.position).done("rows", [record.place])

    def _add_children(self, record: PendingRecord, keyed: dict[str, bytes]) -> None:
        position = self.position
        known = self._children.of(record.id, keyed)
        records: dict[str, int] = {}
        fresh: list[bytes] = []
        changed = 0
        for key, row in keyed.items():
            content, before = digest(row), known.get(key)
            if (
                before is not None and before.pass_number >= position.first_pass
            ):  # written in this run
                continue
            records[key] = content
            if position.mode == "full" or before is None or before.digest != content:
                fresh.append(row)
                changed += before is not None
        self._children.add(record.id, records, position.pass_number)
        self._put(
            offset=self.sink.write(fresh),
            rows=position.rows + len(fresh),
            bytes=position.bytes + sum(map(len, fresh)) + len(fresh),
            changed=position.changed + changed,
        )

    def saved(self, records: Sequence[PendingRecord], files: int) -> None:
        """Finish records whose documents are all durable; ``files`` of them are new."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._checkpoint.queue(self.position).done(
                "files", [record.place for record in records]
            )
            self._put(files=self.position.files + files)

    def _count_written(self, position: ResourceState) -> int:
        if self.detail_plan.child is None:
            return super()._count_written(position)
        return ChildIndex(self._checkpoint.database, position.number).count()

    # -- deleted records ------------------------------------------------------------------------

    @property
    def _children(self) -> ChildIndex:
        return ChildIndex(self._checkpoint.database, self.position.number)

    def _mark_deleted(self, gone: Sequence[str], when: str) -> int:
        if self.detail_plan.child is None:
            return super()._mark_deleted(gone, when)
        before = self.position.deleted
        for parent in gone:
            self._delete_children(parent, when)
        self.records.forget(gone)
        deleted = self.position.deleted - before
        self._put(deleted=before)
        return deleted

    def _delete_children(self, parent: str, when: str, since: int | None = None) -> None:
        """Mark the children of ``parent`` that no pass from ``since`` on saw as deleted."""
        while gone := self._children.unseen(parent, since):
            offset = self.sink.mark_deleted(gone, when)
            self._children.forget(parent, gone)
            self._put(offset=offset, deleted=self.position.deleted + len(gone))
