"""Landing what is asked of each record besides its row in the list: details, children, files.

The list is walked as for any export, and its rows are compared with what is known. Those that are
new or changed are put into the queue of the resource (`zoho_async.export.details.queue`) in the
transaction that lands their page, instead of being written (details, children) or besides (files).
When the list is at its end, and its proof is written down, what is in the queue is asked for, and
each record leaves it in the transaction in which what it brought becomes durable. So:

- What is known of a record is the digest of the list's row at which it was put into the queue: it
  is asked for again when the list shows another row, and no sooner.
- A run that ends goes on with what is left in the queue. The order of rows is the queue's.
- The watermark that the list sets stays true: what is asked for is read after the list was.
- Records are read as they were before: what a place holds in full, and documents that are kept
  beside it, stay so without being asked for again. Where more is asked than before, the list is
  read in full.

Children are compared one by one (`zoho_async.export.checkpoint.children`): a parent that changed is
read whole, and brings the children that are new or changed and the ids of those that are gone. A
child is told once a run, as any row is.

Every method blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.export.catalog import KEY, Child, written
from zoho_async.export.checkpoint.children import ChildIndex
from zoho_async.export.checkpoint.records import digest
from zoho_async.export.checkpoint.store import ResourceState, State
from zoho_async.export.destinations.base import Destination
from zoho_async.export.details.operations import Details, Papers, with_fields
from zoho_async.export.details.queue import PendingRecord, Work
from zoho_async.export.incremental import Mode
from zoho_async.export.writer import ChangedRow, ResourceWriter, RunOptions, table_of, writing
from zoho_async.wire.text import untyped

#: Ids that would make the path that of something else; `zoho_async.http.call` refuses them.
_NO_PATH: Final = frozenset({"", ".", ".."})


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of each new or changed record of a resource; at least one of the three.

    ``details`` and ``child`` exclude each other.
    """

    details: Details | None = None
    child: Child | None = None
    papers: Papers | None = None


class DetailWriter(ResourceWriter):
    """The landing of a resource with ``further`` questions."""

    def __init__(
        self,
        state: State,
        destination: Destination,
        facts: OperationFacts,
        request: str,
        asked: RunOptions,
        further: Further,
    ) -> None:
        rows = facts if further.child is None else written()[facts.resource]
        table = table_of(facts.resource, rows, details=further.details is not None)
        super().__init__(state, destination, facts, request, asked, table)
        self.further: Final = further

    def _first(self, before: ResourceState, mode: Mode) -> ResourceState:
        return msgspec.structs.replace(
            super()._first(before, mode),
            details=self.further.details is not None,
            papers=self.further.papers is not None,
            attached=self.further.papers is not None,
            queued=0 if mode == "full" else before.queued,
        )

    def _asks_more(self, before: ResourceState) -> bool:
        details, papers = self.further.details, self.further.papers
        more = details is not None and not before.details
        return more or (papers is not None and not (before.papers and before.attached))

    # -- into the queue -------------------------------------------------------------------------

    def _now(self, met: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        now: list[ChangedRow] = []
        rows: list[PendingRecord] = []
        files: list[PendingRecord] = []
        place = self.position.queued
        for one in met:
            if one.key.startswith("#") or one.key.strip() in _NO_PATH:  # no id to ask for it by
                now.extend([one] if self.further.child is None else [])
                continue
            place += 1
            if self.further.child is not None:
                if given := self._given(self.further.child, one):
                    rows.append(PendingRecord(place, one.key, given, one.changed))
            elif self.further.details is not None:
                rows.append(PendingRecord(place, one.key, one.key, one.changed))
            else:
                now.append(one)
            if self.further.papers is not None:
                files.append(
                    PendingRecord(place, one.key, self.further.papers.wanted(one.row), one.changed)
                )
        queue = self._state.queue(self.position)
        queue.add("rows", rows)
        queue.add("files", files)
        self._position = msgspec.structs.replace(self.position, queued=place)
        return now

    @staticmethod
    def _given(child: Child, one: ChangedRow) -> str:
        if child.value == child.parents.row_id:
            return one.key
        return str(untyped(one.row).get(child.value) or "")

    # -- out of the queue -----------------------------------------------------------------------

    def due(self, work: Work, most: int, after: int = 0) -> list[PendingRecord]:
        """The next records that are to be asked for, behind place ``after`` of the queue."""
        with writing(self._destination.name):
            return self._state.queue(self.position).some(work, most, after)

    def newest(self, work: Work) -> None:
        """Ask for each record once, as it was met last."""
        with writing(self._destination.name), self._state.database.transaction():
            self._state.queue(self.position).newest(work)

    def count(self, work: Work) -> int:
        """How many records are to be asked for."""
        with writing(self._destination.name):
            return self._state.queue(self.position).count(work)

    def told(self, found: Sequence[tuple[PendingRecord, bytes | None]], when: str) -> None:
        """The details of some records, in their order; None for one that is gone by now."""
        rows = [row for _, row in found if row is not None]
        gone = [due for due, row in found if row is None]
        places = [due.place for due, _ in found]
        queue = self._state.queue(self.position)
        with writing(self._destination.name), self._state.database.transaction():
            mark = self.sink.write(rows)
            queue.done("rows", places)
            position = self.position
            self._put(
                mark=mark,
                read=position.read + len(rows),
                rows=position.rows + len(rows),
                bytes=position.bytes + sum(map(len, rows)) + len(rows),
                changed=position.changed + sum(due.known for due, row in found if row is not None),
            )
            if gone:
                queue.done("files", [due.place for due in gone])
                self._lost(gone, when)

    def _lost(self, gone: Sequence[PendingRecord], when: str) -> None:
        """Records that the list still had are gone; those that were never written leave no mark."""
        buried = self._bury([due.id for due in gone if due.known], when)
        self.known.forget([due.id for due in gone])
        self._put(deleted=self.position.deleted + buried)

    def bore(
        self,
        due: PendingRecord,
        rows: Sequence[tuple[str, bytes]],
        first: int,
        *,
        last: bool,
        when: str,
    ) -> None:
        """A page of a parent's children: their own ids ("": none) and rows, from place ``first``.

        After the ``last`` page those that were not met are gone.
        """
        child = self.further.child
        assert child is not None
        keyed: dict[str, bytes] = {}
        for place, (own, row) in enumerate(rows, first):
            key = f"{due.id}/{own or place}"
            keyed.setdefault(key, with_fields(row, {KEY: key, child.name: due.given}))
        with writing(self._destination.name), self._state.database.transaction():
            self._meet(due, keyed)
            if last:
                self._orphan(due.id, when, since=self.position.first_look)
                self._state.queue(self.position).done("rows", [due.place])
                self._put(read=self.position.read + 1)

    def passed_over(self, due: PendingRecord) -> None:
        """Zoho refused to list the children of this parent."""
        with writing(self._destination.name), self._state.database.transaction():
            self._state.queue(self.position).done("rows", [due.place])

    def _meet(self, due: PendingRecord, keyed: dict[str, bytes]) -> None:
        position = self.position
        known = self._offspring.of(due.id, keyed)
        records: dict[str, int] = {}
        fresh: list[bytes] = []
        changed = 0
        for key, row in keyed.items():
            content, before = digest(row), known.get(key)
            if before is not None and before.look >= position.first_look:  # told in this run
                continue
            records[key] = content
            if position.mode == "full" or before is None or before.digest != content:
                fresh.append(row)
                changed += before is not None
        self._offspring.add(due.id, records, position.look)
        self._put(
            mark=self.sink.write(fresh),
            rows=position.rows + len(fresh),
            bytes=position.bytes + sum(map(len, fresh)) + len(fresh),
            changed=position.changed + changed,
        )

    def saved(self, dues: Sequence[PendingRecord], files: int) -> None:
        """All documents of these records are durable; ``files`` are new."""
        with writing(self._destination.name), self._state.database.transaction():
            self._state.queue(self.position).done("files", [due.place for due in dues])
            self._put(files=self.position.files + files)

    def _written(self, position: ResourceState) -> int:
        if self.further.child is None:
            return super()._written(position)
        return ChildIndex(self._state.database, position.number).count()

    # -- the gone -------------------------------------------------------------------------------

    @property
    def _offspring(self) -> ChildIndex:
        return ChildIndex(self._state.database, self.position.number)

    def _bury(self, gone: Sequence[str], when: str) -> int:
        if self.further.child is None:
            return super()._bury(gone, when)
        before = self.position.deleted
        for parent in gone:
            self._orphan(parent, when)
        self.known.forget(gone)
        buried = self.position.deleted - before
        self._put(deleted=before)
        return buried

    def _orphan(self, parent: str, when: str, since: int | None = None) -> None:
        """Mark the children of ``parent`` that no look from ``since`` on met as deleted."""
        while gone := self._offspring.unseen(parent, since):
            mark = self.sink.mark_deleted(gone, when)
            self._offspring.forget(parent, gone)
            self._put(mark=mark, deleted=self.position.deleted + len(gone))
