"""Where one resource's pages come down: its sink, its records and its position.

The three move on together, in one transaction of the destination's database. Completing goes the
same way: the state says that all rows are durable, then the sink is settled; an end between the two
is put right by the next run, which settles what is complete.

A full read replaces what was there only if nothing is lost by that, or if it is believed: proven,
or brought by two passes some time apart (and not contradicted by the list's own count), or if the
caller accepts a shorter one. Else what was there stays, and what was met is written beside it, as
the changes of a run are. So no record is lost, and no change either. An end between the two is put
right as well: the rows that the state promises are not where it says, so the part is begun again.

Every method blocks. `land` and `bury` are called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.records import IndexedRecord, RecordIndex, digest, key
from zoho_async.export.checkpoint.store import Former, ResourceState, State
from zoho_async.export.destinations.base import Destination, Recorded, Sink, Table
from zoho_async.export.details.operations import details_of, together
from zoho_async.export.errors import CheckpointRefused, DestinationError
from zoho_async.export.events import ExportEvent, Progress
from zoho_async.export.incremental import Capabilities, Margin, Mode, choose, watermark_after
from zoho_async.export.passes import Counting, with_answers
from zoho_async.paging.completeness import Completeness, Pass
from zoho_async.paging.times import times_of

#: Noted among the tries of a part whose passes brought the same records over some time.
STEADY: Final = "steady"


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks of every resource.

    ``full`` reads all anew, ``restart`` also gives up what an interrupted run left.
    ``detect_deletions`` looks for deleted records. ``since`` is the moment before which nothing is
    wanted, and ``narrowed`` says that filters leave out records too. ``accept_shorter`` lets a full
    read replace a fuller one without proof.
    """

    full: bool = False
    restart: bool = False
    detect_deletions: bool = False
    accept_shorter: bool = False
    since: float | None = None
    narrowed: bool = False
    margin: Margin = Margin()


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A page that is to land; ``total`` and ``moment`` (Zoho's) as they were when it was read.

    ``moment`` is no later than the first call of its pass was sent. ``own`` is the begin of the
    pass by our clock; both are seconds since 1970. ``closed`` says that the pass is complete by
    this page.
    """

    number: int
    rows: Sequence[bytes]
    ids: Sequence[str]
    total: int | None = None
    closed: bool = False
    moment: float | None = None
    own: float = 0.0


class ChangedRow(msgspec.Struct, frozen=True):
    """A row that is new or ``changed``, under the key by which it is known."""

    key: str
    row: bytes
    changed: bool


class ResourceWriter:
    """One resource of a run. ``request`` is what is asked of its list, as comparable text.

    Where rows have no ids, repeated rows cannot be told from equal ones: every row is kept, an
    interrupted list is read anew, and every read is a full one.
    """

    def __init__(
        self,
        state: State,
        destination: Destination,
        facts: OperationFacts,
        request: str,
        asked: RunOptions,
        table: Table | None = None,
    ) -> None:
        self.facts: Final = facts
        self._state: Final = state
        self._destination: Final = destination
        self._table: Final = table or table_of(facts.resource, facts)
        self._request: Final = request
        self._asked: Final = asked
        self._position: ResourceState | None = None
        self._sink: Sink | None = None
        self._known: RecordIndex | None = None
        #: What a person took out of the destination, "" for nothing: the list is read in full.
        self.missing = ""

    @property
    def position(self) -> ResourceState:
        assert self._position is not None, "the landing was not opened"
        return self._position

    @property
    def sink(self) -> Sink:
        assert self._sink is not None, "the landing was not opened"
        return self._sink

    @property
    def known(self) -> RecordIndex:
        assert self._known is not None, "the landing was not opened"
        return self._known

    def open(self) -> None:
        """Go on where the state says, or begin.

        Raises `CheckpointRefused` when the state is of another request for this list.
        """
        with writing(self._destination.name):
            before = self._state.position(self.facts.resource)
            if before is not None:
                self._check_request(before)
            self.missing = self._missing(before)
            goes_on = before is not None and before.stand != "resting" and not self.missing
            if before is not None and goes_on and self._goes_on(before):
                return
            self._begin(before)

    def _missing(self, before: ResourceState | None) -> str:
        """What the destination lacks of what the state says that it holds; "" for nothing.

        Raises `DestinationChanged` if a full read would replace what a person changed.
        """
        asked = self._asked
        sink = self._destination.sink(self._table, "")
        begun = before is not None and (before.finished or before.stand != "resting")
        if before is None or not begun:
            return sink.missing(Recorded(whole=asked.full or asked.restart))
        reading = before.stand == "reading"
        replaces = reading and before.mode == "full"
        return sink.missing(
            Recorded(
                sizes={} if replaces else before.held,
                records=self._written(before),
                begun=True,
                reading=reading,
                whole=asked.full or asked.restart,
            )
        )

    def _written(self, position: ResourceState) -> int:
        """How many records the destination must hold at least."""
        known = self._state.known(position).count()
        return known - self._state.queue(position).count("rows")

    def _check_request(self, before: ResourceState) -> None:
        asked = self._asked
        if before.request in ("", self._request) or asked.full or asked.restart:
            return
        unfinished = "an unfinished" if before.stand == "reading" else "an"
        raise CheckpointRefused(
            f"{self._destination.name} holds {unfinished} export of {self.facts.resource} "
            "that was asked for differently (other filters, or another version); ask the "
            "same to go on, start anew with --restart, or choose another place"
        )

    def _asks_more(self, before: ResourceState) -> bool:
        """Whether more is asked of each record than the part before did: all are read again."""
        return False

    def _goes_on(self, before: ResourceState) -> bool:
        """Take up a part that was begun; False where it must be begun anew."""
        if self._asks_more(before):
            return False
        asked = self._asked
        self._take(before)
        if before.stand == "complete":
            swept = before.mode == "full" or before.over or not asked.detect_deletions
            return swept and not asked.restart and (before.mode == "full" or not asked.full)
        given_up = asked.restart or (asked.full and before.mode != "full")
        if given_up or before.request != self._request or not self.facts.row_id:
            return False
        return self.sink.resume(before.mark)

    def _begin(self, before: ResourceState | None) -> None:
        """Begin a part. What an unfinished part had told is told again, in full."""
        asked = self._asked
        if before is None:
            before = ResourceState(name=self.facts.resource, stand="resting", look=0)
        mode = choose(
            self.facts,
            known=before.finished and before.stand != "reading",
            watermark=before.watermark,
            filtering=before.filtering,
            full=asked.full or asked.restart or self._asks_more(before) or bool(self.missing),
            detect_deletions=asked.detect_deletions,
        )
        if _is_in_doubt(before, mode):
            mode = "compared"
        self._take(self._state.begin(self._first(before, mode)))
        self.sink.resume(0)

    def _first(self, before: ResourceState, mode: Mode) -> ResourceState:
        full, look = mode == "full", before.look + 1
        return ResourceState(
            name=before.name,
            number=before.number,
            request=self._request,
            finished=not full,
            watermark=None if full else before.watermark,
            filtering=before.filtering,
            largest=before.largest,
            mode=mode,
            part="" if full else self._state.stamp_after(before.part),
            low=self._asked.since if mode in ("full", "compared") else before.watermark,
            first_look=look,
            look=look,
            former=_former(before) if full else None,
            changed_runs=before.changed_runs,
            refusal=before.refusal,
            held=before.held,
        )

    def _take(self, position: ResourceState) -> None:
        self._position = position
        self._known = self._state.known(position)
        self._sink = self._destination.sink(self._table, position.part)

    # -- pages --------------------------------------------------------------------------------

    def saw(self, identity: str, row: bytes) -> bool:
        """Whether the look under way met this row already."""
        with writing(self._destination.name):
            one = key(identity, row)
            record = self.known.of([one]).get(one)
            return record is not None and record.look == self.position.look

    def land(self, sheets: Sequence[Sheet]) -> list[ResourceState]:
        """Take pages in their order; the position after each of them."""
        told: list[bytes] = []
        after: list[ResourceState] = []
        for sheet in sheets:
            passes = len(self.position.passes)
            self._position = self._counted(sheet)
            first = len(self._position.passes) > passes
            counting = Counting(self._position, narrowed=self._is_narrowed, first=first)
            self._position = self._met(sheet, told, counting)
            after.append(self._position)
        mark = self.sink.write(told)
        self._put(mark=mark, largest=self.known.largest)
        return after

    def _counted(self, sheet: Sheet) -> ResourceState:
        """The position with what the first page of a look tells of its beginning."""
        position = self.position
        if position.passes and position.passes[-1].number == position.look:
            return position
        moment = sheet.own if sheet.moment is None else sheet.moment
        begun = min(moment, sheet.own) if position.begun is None else position.begun
        since = None if sheet.moment is None else sheet.moment - self._asked.margin.row
        one = Pass(number=position.look, total=sheet.total, since=since, begun=sheet.own)
        return msgspec.structs.replace(position, begun=begun, passes=(*position.passes, one))

    @property
    def _is_narrowed(self) -> bool:
        filtered = self.position.mode != "newest" and self.position.low is not None
        return self._asked.narrowed or filtered

    def _met(self, sheet: Sheet, told: list[bytes], counting: Counting) -> ResourceState:
        """The position after ``sheet``; rows that are to be written are added to ``told``."""
        if not self.facts.row_id:
            told.extend(sheet.rows)
            counting.plain(len(sheet.rows))
            self._position = counting.after()
            return self._moved(sheet, sheet.rows, 0, fresh=len(sheet.rows), newest=None)
        position = self.position
        rows: dict[str, bytes] = {}
        for identity, row in zip(sheet.ids, sheet.rows, strict=True):
            rows.setdefault(key(identity, row), row)
        known = self.known.of(rows)
        records: dict[str, int] = {}
        met: list[ChangedRow] = []
        fresh = 0
        newest = position.newest
        for one, row in rows.items():
            content, before = digest(row), known.get(one)
            if before is not None and before.look == position.look:
                continue
            times = times_of(row)
            counting.row(one, before, content, times)
            if before is not None and before.look >= position.first_look:  # told in this run
                fresh += before.digest != content
                records[one] = before.digest
                continue
            fresh += 1
            records[one] = content
            if times.modified is not None:
                newest = times.modified if newest is None else max(newest, times.modified)
            if position.mode == "full" or before is None or before.digest != content:
                met.append(ChangedRow(one, row, _is_changed(before, content)))
        if records:
            self.known.add(records, position.look, unknown=known.keys().isdisjoint(records))
        self._position = counting.after()
        now = self._now(met)
        written = [one.row for one in now]
        told.extend(written)
        changed = sum(one.changed for one in now)
        return self._moved(sheet, written, changed, fresh=fresh, newest=newest)

    def _now(self, met: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        """Those of the new and changed rows that are written as the list has them."""
        return met

    def _moved(
        self,
        sheet: Sheet,
        written: Sequence[bytes],
        changed: int,
        *,
        fresh: int,
        newest: float | None,
    ) -> ResourceState:
        position = self.position
        passes = _closed(position.passes) if sheet.closed else position.passes
        return msgspec.structs.replace(
            position,
            page=sheet.number,
            passes=passes,
            rows=position.rows + len(written),
            changed=position.changed + changed,
            bytes=position.bytes + sum(map(len, written)) + len(written),
            fresh=position.fresh + fresh,
            newest=newest,
        )

    def _put(self, **changes: object) -> None:
        self._position = msgspec.structs.replace(self.position, **changes)
        self._state.put(self._position)

    # -- looks, learning, deletions, the end ----------------------------------------------------

    def look_again(self) -> None:
        """Begin another look at the list."""
        with writing(self._destination.name), self._state.database.transaction():
            self._put(look=self.position.look + 1, page=0, fresh=0)

    def close_pass(self) -> None:
        """The pass that ended is complete by its pages."""
        with writing(self._destination.name), self._state.database.transaction():
            self._put(passes=_closed(self.position.passes))

    def tries(self, what: str) -> None:
        """Remember that ``what`` is tried, before it is."""
        with writing(self._destination.name), self._state.database.transaction():
            self._put(tried=(*self.position.tried, what))

    def absent(self, most: int) -> list[str]:
        """Records that were met before the last pass and not in it.

        In a full read only those that this part has written.
        """
        position = self.position
        since = position.first_look if position.mode == "full" else 0
        with writing(self._destination.name):
            return self.known.absent(since, position.look, most)

    def answered(self, ids: Sequence[str]) -> None:
        """These of the absent records are there: Zoho answered them by their ids."""
        position = self.position
        with writing(self._destination.name), self._state.database.transaction():
            self.known.answered(ids, position.look)
            self._put(passes=with_answers(position.passes, position.look, len(ids)))

    @property
    def accepts_shorter(self) -> bool:
        return self._asked.accept_shorter

    def lacks(self) -> bool:
        """Whether a full read did not meet records that stand in what it is to replace."""
        return self.position.former is not None and bool(self.unseen())

    def learn(self, **learnt: bool) -> None:
        """Remember what a list turned out to do, or not to do (see `Capabilities`)."""
        with writing(self._destination.name), self._state.database.transaction():
            filtering: Capabilities = msgspec.structs.replace(self.position.filtering, **learnt)
            self._put(filtering=filtering)

    def refused(self, refusal: str) -> None:
        """Remember the status and code with which Zoho refused the list."""
        with writing(self._destination.name), self._state.database.transaction():
            self._put(refusal=refusal)

    def over(self, completeness: Completeness, missing: int = 0, *, steady: bool = False) -> None:
        """The looking is over; what is left are questions about single records.

        ``steady`` says that passes over some time brought the same records.
        """
        tried = (*self.position.tried, STEADY) if steady else self.position.tried
        with writing(self._destination.name), self._state.database.transaction():
            self._put(over=True, completeness=completeness, missing=missing, tried=tried)

    def unseen(self) -> list[str]:
        """Some of the records that this part did not meet and that were not asked about yet."""
        with writing(self._destination.name):
            return self.known.unseen(self.position.first_look, self.position.swept)

    def swept(self, last: str, gone: Sequence[str], when: str) -> None:
        """Records up to ``last`` were asked about, and ``gone`` of them are."""
        with writing(self._destination.name), self._state.database.transaction():
            buried = self._bury(gone, when)
            self._put(swept=last, deleted=self.position.deleted + buried)

    def _bury(self, gone: Sequence[str], when: str) -> int:
        """Mark records as deleted and forget them; how many rows that were."""
        if gone:
            mark = self.sink.bury(gone, when)
            self.known.forget(gone)
            self._put(mark=mark)
        return len(gone)

    def complete(self, when: str) -> None:
        """The list is at its end, and `over` was called: give the part its final form.

        What a whole list that `is_believed` did not show is gone; ``when`` is the moment that is
        noted of it. What was not looked for stays as it is.

        A full part that lacks records without being believed replaces nothing: what was there
        stays, and the part is kept beside it, as changes are.
        """
        with writing(self._destination.name):
            full, believed = self.position.mode == "full", self.is_believed
            whole = believed and self.position.low is None and not self._asked.narrowed
            lost = full and not believed and bool(self.unseen())
            while full and whole and (gone := self.unseen()):
                with self._state.database.transaction():
                    self._bury(gone, when)
            if lost and self.position.former is not None:
                self._keep_both(self.position.former)
            else:
                self._finish(doubted=full and not whole)
            self.sink.settle()
            self._position = record_held(self._state, self.sink, self.position)

    @property
    def _is_unchanged(self) -> bool:
        """Whether this part wrote nothing."""
        position = self.position
        return position.mode != "full" and position.rows == position.deleted == 0

    @property
    def is_believed(self) -> bool:
        """Whether what this full read did not meet may be given up."""
        position = self.position
        if self._asked.accept_shorter:
            return True
        counted = any(one.total is not None for one in position.passes)
        if position.completeness == "proven":
            return counted or position.met > 0
        return STEADY in position.tried and position.completeness != "short"

    def _finish(self, *, doubted: bool) -> None:
        with self._state.database.transaction():
            if doubted:
                self.known.doubt(self.position.first_look)
            self._put(
                stand="complete",
                finished=True,
                watermark=self._reached(),
                held=self.position.held if self._is_unchanged else None,
                **self._aftermath,
            )

    @property
    def _aftermath(self) -> dict[str, object]:
        """What a part that was read to its end leaves for the next run."""
        changed = self.position.completeness == "changed"
        return {"changed_runs": self.position.changed_runs + 1 if changed else 0, "refusal": ""}

    def _keep_both(self, former: Former) -> None:
        """Write what was met beside what was there, which stays, with its watermark."""
        part = self._state.stamp_after(former.part)
        self.sink.keep_as(part)
        with self._state.database.transaction():
            self.known.doubt(self.position.first_look)
            self._put(
                stand="complete",
                finished=True,
                part=part,
                watermark=former.watermark,
                held=None,
                **self._aftermath,
            )
        self._sink = self._destination.sink(self._table, part)

    def _reached(self) -> float | None:
        position = self.position
        if position.completeness not in ("proven", "uncheckable") or position.begun is None:
            return position.watermark
        return watermark_after(
            position.watermark,
            begun=position.begun,
            newest=position.newest,
            margin=self._asked.margin,
        )

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()


def _former(before: ResourceState) -> Former | None:
    """What a full read that follows ``before`` is to replace."""
    if not before.finished:  # nothing, or what the full read that was given up was to replace
        return before.former
    return Former(part=before.part, watermark=before.watermark)


def _is_in_doubt(before: ResourceState, mode: Mode) -> bool:
    """Whether reading by ``mode`` again would leave the same doubt: the whole list can be counted.

    From the newest row on, ties at page borders stay where they are. A filter whose total is more
    than it shows is counted without it.
    """
    if mode == "newest":
        return before.mode == "newest" and before.completeness in ("changed", "short")
    return mode == "changed" and before.mode == "changed" and before.completeness == "short"


def _closed(passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
    return (*passes[:-1], msgspec.structs.replace(passes[-1], closed=True))


def settle(state: State, destination: Destination, lists: Mapping[str, OperationFacts]) -> None:
    """Settle parts that were completed right before the last run ended."""
    with writing(destination.name):
        for position in state.positions():
            if position.stand == "complete":
                table = table_of(position.name, lists.get(position.name), details=position.details)
                sink = destination.sink(table, position.part)
                sink.settle()
                record_held(state, sink, position)


def record_held(state: State, sink: Sink, position: ResourceState) -> ResourceState:
    """Write down what the destination holds, if that is not recorded yet; the position then."""
    if position.held is not None:
        return position
    position = msgspec.structs.replace(position, held=sink.held())
    with state.database.transaction():
        state.put(position)
    return position


def table_of(name: str, facts: OperationFacts | None, *, details: bool = False) -> Table:
    """What a destination needs to know of a resource; None is one that is described no longer.

    ``details`` says that its rows are records in full. They have the columns of the list's rows
    too: those may have stood there before, and what they alone held must not outlast them.
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
    """Tell what the disk refuses as `DestinationError`."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        cause = problem.strerror if isinstance(problem, OSError) else None
        raise DestinationError(place, cause or str(problem)) from problem


T = TypeVar("T")

#: Pages that land together at most.
MOST: Final = 16


class Blocking(Protocol):
    """Runs blocking work off the event loop, one at a time, to its end."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class _Page(msgspec.Struct, frozen=True):
    landing: ResourceWriter
    sheet: Sheet
    total: int | None


class WriteQueue:
    """The queue of one job, and the task (`run`) that lands what is in it."""

    def __init__(
        self, state: State, blocking: Blocking, tell: Callable[[ExportEvent], Awaitable[None]]
    ) -> None:
        self._state: Final = state
        self._blocking: Final = blocking
        self._tell: Final = tell
        send, receive = anyio.create_memory_object_stream[_Page | anyio.Event](MOST)
        self._send: Final[MemoryObjectSendStream[_Page | anyio.Event]] = send
        self._receive: Final[MemoryObjectReceiveStream[_Page | anyio.Event]] = receive

    async def put(self, landing: ResourceWriter, sheet: Sheet, total: int | None) -> None:
        """Queue a page; ``total`` is what its list counts, for those who watch."""
        await self._send.send(_Page(landing, sheet, total))

    async def landed(self) -> None:
        """Wait until everything that was put before is durable."""
        done = anyio.Event()
        await self._send.send(done)
        await done.wait()

    async def run(self) -> None:
        """Land until `close`. Raises what the destination raises."""
        with self._receive:
            async for first in self._receive:
                waiting = [first]
                while len(waiting) < MOST:
                    try:
                        waiting.append(self._receive.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                await self._land([one for one in waiting if isinstance(one, _Page)])
                for one in waiting:
                    if isinstance(one, anyio.Event):
                        one.set()

    def close(self) -> None:
        """Nothing more will be put."""
        self._send.close()

    async def _land(self, pages: list[_Page]) -> None:
        if not pages:
            return
        after = await self._blocking(lambda: self._together(pages))
        for page, position in zip(pages, after, strict=True):
            await self._tell(
                Progress(
                    resource=page.landing.facts.resource,
                    page=page.sheet.number,
                    rows=position.rows,
                    total=page.total,
                    bytes=position.bytes,
                )
            )

    def _together(self, pages: list[_Page]) -> list[ResourceState]:
        """Land ``pages`` in one transaction; the positions after them, in the same order."""
        by_landing: dict[int, list[_Page]] = {}
        for page in pages:
            by_landing.setdefault(id(page.landing), []).append(page)
        after: dict[int, ResourceState] = {}
        with writing(self._state.name), self._state.database.transaction():
            for some in by_landing.values():
                positions = some[0].landing.land([page.sheet for page in some])
                after.update(zip(map(id, some), positions, strict=True))
        return [after[id(page)] for page in pages]
