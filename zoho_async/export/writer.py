"""Write the pages of one resource to its destination.

Model. A write changes three things: the sink (the rows), the record index and the `ResourceState`.

Invariant. All three change in one transaction of the destination's database. So after any end they
agree, and the next run continues from there.

Completion. The checkpoint first says that all rows are durable; then the sink is settled. If the
process ends between the two, the next run settles the sink.

Replacing. A full read replaces the earlier rows only if no record is lost by that, or if the read
is believed: it is proven, or two passes some time apart saw the same records (and the list's count
does not contradict them), or the caller accepts a shorter one. Otherwise the earlier rows stay, and
the new ones are kept as changes, so nothing is lost. If the process ends in between, the rows are
not where the checkpoint says, and the part is read again.

Every method blocks. `write_pages` and `_mark_deleted` are called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.records import IndexedRecord, RecordIndex, digest, key
from zoho_async.export.checkpoint.store import (
    Checkpoint,
    CurrentPart,
    PassHistory,
    PreviousPart,
    ResourceState,
    RunHistory,
)
from zoho_async.export.destinations.base import Destination, RecordedContents, Sink, Table
from zoho_async.export.details.operations import details_of, together
from zoho_async.export.errors import CheckpointRefused, DestinationError
from zoho_async.export.events import ExportEvent, Progress
from zoho_async.export.incremental import Margin, Mode, choose, watermark_after
from zoho_async.export.passes import Counting, with_answers
from zoho_async.paging.completeness import Completeness, Pass
from zoho_async.wire import Page
from zoho_async.wire.page import times_of

#: Stored as a try if two passes some time apart saw the same records.
STEADY: Final = "steady"


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a run that apply to every resource.

    ``full`` reads everything again; ``restart`` also gives up what an interrupted run left.
    ``detect_deletions`` detects deleted records. ``since`` is the moment before which nothing is
    wanted, and ``narrowed`` says that filters leave out records, too. ``accept_shorter`` lets a
    full read replace a fuller one without proof.
    """

    full: bool = False
    restart: bool = False
    detect_deletions: bool = False
    accept_shorter: bool = False
    since: float | None = None
    narrowed: bool = False
    margin: Margin = Margin()


class ChangedRow(msgspec.Struct, frozen=True):
    """A new or ``changed`` row, with its key in the record index."""

    key: str
    row: bytes
    changed: bool


class ResourceWriter:
    """Writes one resource in a run. ``request`` is the request for its list, as comparable text.

    If rows have no ids, a repeated row cannot be distinguished from an equal one.
    Then every row is kept, an interrupted list is read again from its start, and every read is a
    full one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        destination: Destination,
        facts: OperationFacts,
        request: str,
        options: RunOptions,
        table: Table | None = None,
    ) -> None:
        self.facts: Final = facts
        self._checkpoint: Final = checkpoint
        self._destination: Final = destination
        self._table: Final = table or table_of(facts.resource, facts)
        self._request: Final = request
        self._options: Final = options
        self._state: ResourceState | None = None
        self._sink: Sink | None = None
        self._records: RecordIndex | None = None
        #: When the current pass began, by our clock, in seconds since 1970. Its reader sets it.
        self.pass_began = 0.0
        #: What a person removed from the destination. If any, the list is read in full.
        self.missing = ""

    @property
    def state(self) -> ResourceState:
        assert self._state is not None, "the writer was not opened"
        return self._state

    @property
    def sink(self) -> Sink:
        assert self._sink is not None, "the writer was not opened"
        return self._sink

    @property
    def records(self) -> RecordIndex:
        assert self._records is not None, "the writer was not opened"
        return self._records

    def open(self) -> None:
        """Continue where the checkpoint says, or begin.

        Raises `CheckpointRefused` if the checkpoint belongs to another request for this list.
        """
        with writing(self._destination.name):
            before = self._checkpoint.state_of(self.facts.resource)
            if before is not None:
                self._check_request(before)
            self.missing = self._missing(before)
            continues = before is not None and before.status != "resting" and not self.missing
            if before is not None and continues and self._can_continue(before):
                return
            self._begin(before)

    def _missing(self, before: ResourceState | None) -> str:
        """Return what the destination lacks of what the checkpoint says it has, "" for nothing.

        Raises `DestinationChanged` if a full read would replace what a person changed.
        """
        options = self._options
        sink = self._destination.sink(self._table, "")
        begun = before is not None and (before.bookmark.finished or before.status != "resting")
        if before is None or not begun:
            return sink.missing(RecordedContents(whole=options.full or options.restart))
        reading = before.status == "reading"
        replaces = reading and before.part.mode == "full"
        return sink.missing(
            RecordedContents(
                sizes={} if replaces else before.runs.sizes,
                records=self._count_written(before),
                begun=True,
                reading=reading,
                whole=options.full or options.restart,
            )
        )

    def _count_written(self, state: ResourceState) -> int:
        """Return how many records the destination must have at least."""
        known = self._checkpoint.record_index(state).count()
        return known - self._checkpoint.queue(state).count("rows")

    def _check_request(self, before: ResourceState) -> None:
        options = self._options
        if before.bookmark.request in ("", self._request) or options.full or options.restart:
            return
        unfinished = "an unfinished" if before.status == "reading" else "an"
        raise CheckpointRefused(
            f"{self._destination.name} holds {unfinished} export of {self.facts.resource} "
            "that was asked for differently (other filters, or another version); run the same "
            "command as before, start again with --restart, or choose another place"
        )

    def _wants_more(self, before: ResourceState) -> bool:
        """Whether more is fetched per record than in the part before; then all are read again."""
        return False

    def _can_continue(self, before: ResourceState) -> bool:
        """Continue a part that was begun; False if it must be read again."""
        if self._wants_more(before):
            return False
        options = self._options
        self._use(before)
        full = before.part.mode == "full"
        if before.status == "complete":
            checked = full or before.passes.done or not options.detect_deletions
            return checked and not options.restart and (full or not options.full)
        given_up = options.restart or (options.full and not full)
        if given_up or before.bookmark.request != self._request or not self.facts.row_id:
            return False
        return self.sink.resume(before.part.offset)

    def _begin(self, before: ResourceState | None) -> None:
        """Begin a part. The rows of an unfinished part are written again, in full."""
        options = self._options
        before = before or ResourceState(name=self.facts.resource)
        bookmark = before.bookmark
        mode = choose(
            self.facts,
            known=bookmark.finished and before.status != "reading",
            watermark=bookmark.watermark,
            capabilities=bookmark.capabilities,
            full=options.full or options.restart or self._wants_more(before) or bool(self.missing),
            detect_deletions=options.detect_deletions,
        )
        if _is_in_doubt(before, mode):
            mode = "compared"
        self._use(self._checkpoint.begin(self._first(before, mode)))
        self.sink.resume(0)

    def _first(self, before: ResourceState, mode: Mode) -> ResourceState:
        full, number, bookmark = mode == "full", before.passes.current + 1, before.bookmark
        return ResourceState(
            name=before.name,
            number=before.number,
            status="reading",
            bookmark=replace(
                bookmark,
                request=self._request,
                finished=not full,
                watermark=None if full else bookmark.watermark,
            ),
            part=CurrentPart(
                name="" if full else self._checkpoint.stamp_after(before.part.name),
                mode=mode,
                since=self._options.since if mode in ("full", "compared") else bookmark.watermark,
                previous=_previous_part(before) if full else None,
            ),
            passes=PassHistory(first=number, current=number),
            runs=before.runs,
        )

    def _use(self, state: ResourceState) -> None:
        self._state = state
        self._records = self._checkpoint.record_index(state)
        self._sink = self._destination.sink(self._table, state.part.name)

    # -- pages --------------------------------------------------------------------------------

    def is_in_pass(self, identity: str, row: bytes) -> bool:
        """Whether the current pass has seen this row."""
        with writing(self._destination.name):
            one = key(identity, row)
            record = self.records.of([one]).get(one)
            return record is not None and record.pass_number == self.state.passes.current

    def write_pages(self, pages: Sequence[Page[bytes]]) -> list[ResourceState]:
        """Write pages in their order. Return the state after each of them."""
        to_write: list[bytes] = []
        after: list[ResourceState] = []
        for page in pages:
            passes = len(self.state.passes.counts)
            self._state = self._with_pass(page)
            first = len(self._state.passes.counts) > passes
            counting = Counting(self._state.passes, narrowed=self._is_narrowed, first=first)
            self._state = self._add_page(page, to_write, counting)
            after.append(self._state)
        offset = self.sink.write(to_write)
        self._put(
            part=replace(self.state.part, offset=offset),
            bookmark=replace(self.state.bookmark, largest=self.records.largest),
        )
        return after

    def _with_pass(self, page: Page[bytes]) -> ResourceState:
        """Return the state, with a new pass if this is its first page."""
        part, passes = self.state.part, self.state.passes
        if passes.counts and passes.counts[-1].number == passes.current:
            return self.state
        own = self.pass_began
        moment = own if page.date is None else page.date
        begun = min(moment, own) if part.begun is None else part.begun
        since = None if page.date is None else page.date - self._options.margin.row
        one = Pass(number=passes.current, total=page.total, since=since, started=own)
        return replace(
            self.state,
            part=replace(part, begun=begun),
            passes=replace(passes, counts=(*passes.counts, one)),
        )

    @property
    def _is_narrowed(self) -> bool:
        filtered = self.state.part.mode != "newest" and self.state.part.since is not None
        return self._options.narrowed or filtered

    def _add_page(
        self, page: Page[bytes], to_write: list[bytes], counting: Counting
    ) -> ResourceState:
        """Return the state after ``page``. Adds the rows to be written to ``to_write``."""
        if not self.facts.row_id:
            to_write.extend(page.rows)
            counting.plain(len(page.rows))
            self._state = replace(self.state, passes=counting.after())
            return self._advanced(page, page.rows, 0, fresh=len(page.rows), newest=None)
        state = self.state
        rows: dict[str, bytes] = {}
        for identity, row in zip(page.ids, page.rows, strict=True):
            rows.setdefault(key(identity, row), row)
        known = self.records.of(rows)
        records: dict[str, int] = {}
        changed_rows: list[ChangedRow] = []
        fresh = 0
        newest = state.part.newest
        for one, row in rows.items():
            content, before = digest(row), known.get(one)
            if before is not None and before.pass_number == state.passes.current:
                continue
            times = times_of(row)
            counting.row(one, before, content, times)
            if before is not None and before.pass_number >= state.passes.first:  # in this run
                fresh += before.digest != content
                records[one] = before.digest
                continue
            fresh += 1
            records[one] = content
            if times.modified is not None:
                newest = times.modified if newest is None else max(newest, times.modified)
            if state.part.mode == "full" or before is None or before.digest != content:
                changed_rows.append(ChangedRow(one, row, _is_changed(before, content)))
        if records:
            self.records.add(
                records, state.passes.current, unknown=known.keys().isdisjoint(records)
            )
        self._state = replace(self.state, passes=counting.after())
        now = self._rows_to_write_now(changed_rows)
        written = [one.row for one in now]
        to_write.extend(written)
        changed = sum(one.changed for one in now)
        return self._advanced(page, written, changed, fresh=fresh, newest=newest)

    def _rows_to_write_now(self, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        """Return the rows that are written as the list has them."""
        return rows

    def _advanced(
        self,
        page: Page[bytes],
        written: Sequence[bytes],
        changed: int,
        *,
        fresh: int,
        newest: float | None,
    ) -> ResourceState:
        part, passes = self.state.part.with_rows(written, changed), self.state.passes
        return replace(
            self.state,
            part=replace(part, page=page.number, newest=newest),
            passes=replace(passes, new_in_pass=passes.new_in_pass + fresh),
        )

    def _put(self, **changes: object) -> None:
        self._state = replace(self.state, **changes)
        self._checkpoint.put(self._state)

    # -- passes, deletions, the end -----------------------------------------------------------

    def begin_pass(self) -> None:
        """Begin another pass over the list."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            passes = self.state.passes
            self._put(
                part=replace(self.state.part, page=0),
                passes=replace(passes, current=passes.current + 1, new_in_pass=0),
            )

    def close_pass(self) -> None:
        """Store that the pages of the last pass prove it complete."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._put(passes=_closed(self.state.passes))

    def note_try(self, what: str) -> None:
        """Store that ``what`` is tried, before it is."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            passes = self.state.passes
            self._put(passes=replace(passes, tried=(*passes.tried, what)))

    def absent(self, most: int) -> list[str]:
        """Return records that an earlier pass saw and the last one did not.

        In a full read, only those that this part has written.
        """
        passes = self.state.passes
        since = passes.first if self.state.part.mode == "full" else 0
        with writing(self._destination.name):
            return self.records.absent(since, passes.current, most)

    def mark_answered(self, ids: Sequence[str]) -> None:
        """Store that Zoho returned these absent records by their ids, so they exist."""
        passes = self.state.passes
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self.records.mark_answered(ids, passes.current)
            self._put(passes=with_answers(passes, len(ids)))

    @property
    def accepts_shorter(self) -> bool:
        return self._options.accept_shorter

    def lacks_records(self) -> bool:
        """Whether a full read lacks records of the rows that it replaces."""
        return self.state.part.previous is not None and bool(self.unseen())

    def learn(self, **learnt: bool) -> None:
        """Store what a list can or cannot do (see `Capabilities`)."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            bookmark = self.state.bookmark
            capabilities = replace(bookmark.capabilities, **learnt)
            self._put(bookmark=replace(bookmark, capabilities=capabilities))

    def note_refusal(self, refusal: str) -> None:
        """Store the status and code with which Zoho refused the list."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._put(runs=replace(self.state.runs, refusal=refusal))

    def finish_passes(
        self, completeness: Completeness, missing: int = 0, *, steady: bool = False
    ) -> None:
        """End the passes. Only checks of single records remain.

        ``steady`` says that two passes some time apart saw the same records.
        """
        passes = replace(self.state.passes, done=True, completeness=completeness, missing=missing)
        if steady:
            passes = replace(passes, tried=(*passes.tried, STEADY))
        with writing(self._destination.name), self._checkpoint.database.transaction():
            self._put(passes=passes)

    def unseen(self) -> list[str]:
        """Return some records that this part did not see and that were not checked yet."""
        with writing(self._destination.name):
            passes = self.state.passes
            return self.records.unseen(passes.first, passes.checked_up_to)

    def mark_checked(self, last: str, gone: Sequence[str], when: str) -> None:
        """Store that records up to ``last`` were checked, and mark ``gone`` as deleted."""
        with writing(self._destination.name), self._checkpoint.database.transaction():
            deleted = self._mark_deleted(gone, when)
            part = self.state.part
            self._put(
                part=replace(part, deleted=part.deleted + deleted),
                passes=replace(self.state.passes, checked_up_to=last),
            )

    def _mark_deleted(self, gone: Sequence[str], when: str) -> int:
        """Mark records as deleted and unindex them. Return how many rows that were."""
        if gone:
            offset = self.sink.mark_deleted(gone, when)
            self.records.forget(gone)
            self._put(part=replace(self.state.part, offset=offset))
        return len(gone)

    def complete(self, when: str) -> None:
        """Give the part its final form, after `finish_passes`.

        Records that a whole list that `is_believed` did not show are marked deleted, at the moment
        ``when``. Records that were not asked for stay as they are.

        A full part that lacks records and is not believed replaces nothing: the earlier rows stay,
        and the part is kept as changes.
        """
        with writing(self._destination.name):
            full, believed = self.state.part.mode == "full", self.is_believed
            whole = believed and self.state.part.since is None and not self._options.narrowed
            lost = full and not believed and bool(self.unseen())
            while full and whole and (gone := self.unseen()):
                with self._checkpoint.database.transaction():
                    self._mark_deleted(gone, when)
            if lost and self.state.part.previous is not None:
                self._keep_both(self.state.part.previous)
            else:
                self._finish(doubted=full and not whole)
            self.sink.settle()
            self._state = record_sizes(self._checkpoint, self.sink, self.state)

    @property
    def _is_unchanged(self) -> bool:
        """Whether this part wrote nothing."""
        part = self.state.part
        return part.mode != "full" and part.rows == part.deleted == 0

    @property
    def is_believed(self) -> bool:
        """Whether records that this full read did not see may be dropped."""
        passes = self.state.passes
        if self._options.accept_shorter:
            return True
        counted = any(one.total is not None for one in passes.counts)
        if passes.completeness == "proven":
            return counted or passes.records_seen > 0
        return STEADY in passes.tried and passes.completeness != "short"

    def _finish(self, *, doubted: bool) -> None:
        with self._checkpoint.database.transaction():
            if doubted:
                self.records.doubt(self.state.passes.first)
            self._put_complete(self.state.part, self._next_watermark())

    def _put_complete(self, part: CurrentPart, watermark: float | None) -> None:
        """Store that ``part`` is complete, and what it leaves for the next run."""
        runs = self.state.runs
        changed = self.state.passes.completeness == "changed"
        self._put(
            status="complete",
            bookmark=replace(self.state.bookmark, finished=True, watermark=watermark),
            part=part,
            runs=RunHistory(
                changed=runs.changed + 1 if changed else 0,
                sizes=runs.sizes if self._is_unchanged else None,
            ),
        )

    def _keep_both(self, previous: PreviousPart) -> None:
        """Keep the new rows as changes. The earlier rows stay, with their watermark."""
        name = self._checkpoint.stamp_after(previous.name)
        self.sink.keep_as_part(name)
        with self._checkpoint.database.transaction():
            self.records.doubt(self.state.passes.first)
            self._put_complete(replace(self.state.part, name=name), previous.watermark)
        self._sink = self._destination.sink(self._table, name)

    def _next_watermark(self) -> float | None:
        part, watermark = self.state.part, self.state.bookmark.watermark
        proven = self.state.passes.completeness in ("proven", "uncheckable")
        if not proven or part.begun is None:
            return watermark
        return watermark_after(
            watermark,
            begun=part.begun,
            newest=part.newest,
            margin=self._options.margin,
        )

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()


def _previous_part(before: ResourceState) -> PreviousPart | None:
    """Return what a full read that follows ``before`` replaces."""
    if not before.bookmark.finished:  # what the interrupted full read would have replaced
        return before.part.previous
    return PreviousPart(name=before.part.name, watermark=before.bookmark.watermark)


def _is_in_doubt(before: ResourceState, mode: Mode) -> bool:
    """Whether another read by ``mode`` would leave the same doubt. Then the whole list is counted.

    If a list is read from its newest row, ties at page borders stay where they are. If a filter's
    total is larger than its rows, the list is counted without the filter.
    """
    if mode != before.part.mode:
        return False
    completeness = before.passes.completeness
    if mode == "newest":
        return completeness in ("changed", "short")
    return mode == "changed" and completeness == "short"


def _closed(passes: PassHistory) -> PassHistory:
    """Return the passes with the last one closed."""
    *counts, last = passes.counts
    return replace(passes, counts=(*counts, replace(last, closed=True)))


def settle(
    checkpoint: Checkpoint, destination: Destination, lists: Mapping[str, OperationFacts]
) -> None:
    """Settle parts that were completed right before the last run ended."""
    with writing(destination.name):
        for state in checkpoint.states():
            if state.status == "complete":
                full_records = state.details.full_records
                table = table_of(state.name, lists.get(state.name), details=full_records)
                sink = destination.sink(table, state.part.name)
                sink.settle()
                record_sizes(checkpoint, sink, state)


def record_sizes(checkpoint: Checkpoint, sink: Sink, state: ResourceState) -> ResourceState:
    """Store what the destination holds, unless it is stored. Return the new state."""
    if state.runs.sizes is not None:
        return state
    state = replace(state, runs=replace(state.runs, sizes=sink.held()))
    with checkpoint.database.transaction():
        checkpoint.put(state)
    return state


def table_of(name: str, facts: OperationFacts | None, *, details: bool = False) -> Table:
    """Return the table of a resource. No ``facts``: it is no longer described.

    ``details`` says that its rows are full records. They have the columns of the list's rows too:
    earlier rows may have filled those, and their values must not outlast them.
    """
    full = details_of(name) if details else None
    if facts is None:
        return Table(name=name, row_id="", fields=())
    fields = facts.reply if full is None else together(full.fields, facts.reply)
    return Table(name=name, row_id=facts.row_id, fields=fields)


def _is_changed(before: IndexedRecord | None, content: int) -> bool:
    return before is not None and before.digest != content


@contextmanager
def writing(place: str) -> Generator[None]:
    """Raise `DestinationError` for errors of the disk or the database."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        cause = problem.strerror if isinstance(problem, OSError) else None
        raise DestinationError(place, cause or str(problem)) from problem


T = TypeVar("T")

#: The largest number of pages in one transaction.
MOST: Final = 16


class Blocking(Protocol):
    """Runs blocking work off the event loop, one at a time, to its end."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class _QueuedPage(msgspec.Struct, frozen=True):
    writer: ResourceWriter
    page: Page[bytes]
    total: int | None


class WriteQueue:
    """The queue of one job, and the task (`run`) that writes its pages."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        blocking: Blocking,
        report: Callable[[ExportEvent], Awaitable[None]],
    ) -> None:
        self._checkpoint: Final = checkpoint
        self._blocking: Final = blocking
        self._report: Final = report
        send, receive = anyio.create_memory_object_stream[_QueuedPage | anyio.Event](MOST)
        self._send: Final[MemoryObjectSendStream[_QueuedPage | anyio.Event]] = send
        self._receive: Final[MemoryObjectReceiveStream[_QueuedPage | anyio.Event]] = receive

    async def put(self, writer: ResourceWriter, page: Page[bytes], total: int | None) -> None:
        """Queue a page. ``total`` is the list's count, for progress events."""
        await self._send.send(_QueuedPage(writer, page, total))

    async def flush(self) -> None:
        """Wait until all pages that were queued before are durable."""
        done = anyio.Event()
        await self._send.send(done)
        await done.wait()

    async def run(self) -> None:
        """Write pages until `close`. Raises what the destination raises."""
        with self._receive:
            async for first in self._receive:
                waiting = [first]
                while len(waiting) < MOST:
                    try:
                        waiting.append(self._receive.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                await self._write([one for one in waiting if isinstance(one, _QueuedPage)])
                for one in waiting:
                    if isinstance(one, anyio.Event):
                        one.set()

    def close(self) -> None:
        """Stop after the queued pages."""
        self._send.close()

    async def _write(self, pages: list[_QueuedPage]) -> None:
        if not pages:
            return
        after = await self._blocking(lambda: self._write_together(pages))
        for page, state in zip(pages, after, strict=True):
            await self._report(
                Progress(
                    resource=page.writer.facts.resource,
                    page=page.page.number,
                    rows=state.part.rows,
                    total=page.total,
                    bytes=state.part.size,
                )
            )

    def _write_together(self, pages: list[_QueuedPage]) -> list[ResourceState]:
        """Write ``pages`` in one transaction. Return the states after them, in the same order."""
        by_landing: dict[int, list[_QueuedPage]] = {}
        for page in pages:
            by_landing.setdefault(id(page.writer), []).append(page)
        after: dict[int, ResourceState] = {}
        with writing(self._checkpoint.name), self._checkpoint.database.transaction():
            for some in by_landing.values():
                states = some[0].writer.write_pages([page.page for page in some])
                after.update(zip(map(id, some), states, strict=True))
        return [after[id(page)] for page in pages]
