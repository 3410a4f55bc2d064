"""Store the progress of an export, so that it is right after any kind of end.

Invariant. The checkpoint is in the destination's database, and changes only in the transactions
that write rows (`zoho_async.export.destinations.base`). So the two always agree.

Origin. The checkpoint names its organization and API host. Another one is refused, because its rows
would replace these or mix with them.

Runs. A run is a request: resources and filters. It has a stamp, the moment of its start. If the
same request is made before all of its resources are complete, it continues the same run, under the
same stamp. After all are complete, the next request begins a new run.

Resources. Each has one `ResourceState`, with one value per subject: the list's bookmark, the
current or last part, its passes, its details, and what runs leave for the next one. It is stored as
JSON, in one row per resource. Any run with the same request for the list continues a part that was
begun. The status goes from ``reading`` to ``complete`` (all rows are durable; the sink is settled
from then on) to ``resting`` (the run is over). A part whose children are refreshed is
``refreshing`` between ``reading`` and ``complete``: the list is read, and all that it showed as new
or changed is written.

Records are in `zoho_async.export.checkpoint.records`.

Layout. The checkpoint names the version of its destination's layout, from its creation on. A
destination of another version is refused, because old and new columns would mix. ``restart`` makes
a new checkpoint, and the sinks replace tables whose columns have other types.

Every method blocks on the database, and only one may run at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from zoho_async._msgspec import decoder_of
from zoho_async.export.checkpoint import children, observed, records
from zoho_async.export.checkpoint.feed import ListFeed
from zoho_async.export.checkpoint.records import RecordIndex
from zoho_async.export.destinations.base import Database, Origin
from zoho_async.export.details import queue
from zoho_async.export.details.queue import Queue
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.incremental import Capabilities, Mode
from zoho_async.paging.completeness import Completeness, Pass
from zoho_async.wire.text import UNDECODABLE

#: The layout of a destination: the tables of the checkpoint, and the types and names of columns and
#: files. Any change of one is a new version. Version 7 stores numbers as
#: `zoho_async.export.columns.numbers` says.
LAYOUT: Final = 7

PLACE: Final = "_zoho_place"
PLACE_COLUMNS: Final = ("form", "organization", "host", "run", "stamp")
RESOURCE: Final = "_zoho_resource"
TABLES: Final = (
    f"CREATE TABLE IF NOT EXISTS {PLACE} (form BIGINT NOT NULL, organization TEXT NOT NULL,"
    " host TEXT NOT NULL, run TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (form))",
    f"CREATE TABLE IF NOT EXISTS {RESOURCE} (name TEXT NOT NULL, state TEXT NOT NULL,"
    " PRIMARY KEY (name))",
    records.SCHEMA,
    queue.SCHEMA,
    children.SCHEMA,
    observed.SCHEMA,
)

PartStatus: TypeAlias = Literal["reading", "refreshing", "complete", "resting"]


class ListBookmark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives the parts of a list, so that the next one can be incremental.

    ``request`` is the request for the list, as comparable text. ``finished`` says that a full read
    was completed once. ``watermark`` and ``capabilities`` are explained in
    `zoho_async.export.incremental`. ``completeness`` is the result of the read of the whole list
    on which later reads of changes build. ``largest`` is the largest indexed id.
    """

    request: str = ""
    finished: bool = False
    watermark: float | None = None
    completeness: Completeness | None = None
    capabilities: Capabilities = Capabilities()
    largest: str = ""


class PreviousPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The earlier part that a full read replaces, with its ``watermark``."""

    name: str = ""
    watermark: float | None = None


class CurrentPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part that is read, or the last one.

    It is read in ``mode`` from the moment ``since`` on. ``begun`` is its start by the earlier of
    our clock and Zoho's. ``page`` is the last durable page of the current pass, ``offset`` the
    sink's. ``rows`` were written, ``changed`` of them for known records, and ``size`` is their size
    in bytes; ``deleted`` records were marked. ``newest`` is the largest last modification seen.
    ``reason`` says why it is read in this mode, "" if nothing chose it. ``previous`` is what a full
    read replaces, None for nothing. ``rounded`` counts numbers that
    their columns do not hold, by field.
    """

    name: str = ""
    mode: Mode = "full"
    reason: str = ""
    since: float | None = None
    begun: float | None = None
    page: int = 0
    offset: int = 0
    rows: int = 0
    changed: int = 0
    deleted: int = 0
    size: int = 0
    newest: float | None = None
    previous: PreviousPart | None = None
    rounded: dict[str, int] = {}

    def with_rows(self, rows: Sequence[bytes], changed: int) -> CurrentPart:
        """Return the part after more ``rows``, ``changed`` of them for known records."""
        return replace(
            self,
            rows=self.rows + len(rows),
            changed=self.changed + changed,
            size=self.size + sum(map(len, rows)) + len(rows),
        )

    def with_rounded(self, rounded: Mapping[str, int]) -> CurrentPart:
        """Return the part after more numbers were rounded."""
        if not rounded:
            return self
        return replace(self, rounded=dict(Counter(self.rounded) + Counter(rounded)))


class ViewResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a view that was read to its end (`zoho_async.export.views`).

    ``total`` is its count, ``missing`` how many more records it counts than were found. If it is
    ``believed``, records that it did not show may be dropped. If it is ``settled``, the watermark
    may move (`zoho_async.export.passes.is_settled`). ``shared`` counts the records that this view
    or one before it repeated.
    """

    completeness: Completeness
    missing: int = 0
    total: int | None = None
    believed: bool = False
    settled: bool = False
    shared: int = 0


class PassHistory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The passes of the current part, and what they prove.

    ``first`` is the number of the part's first pass, ``current`` that of its current or last one;
    0 if none was begun. ``counts`` has the counts of each (`zoho_async.export.passes`).
    ``records_seen`` were seen in all of them together, ``new_in_pass`` are new or changed in the
    last one. ``tries`` were made after the first pass (`zoho_async.export.tries`). ``done``
    says that no pass follows; ``completeness`` is then the result, and ``missing`` how many more
    records the list counts. Records up to ``checked_up_to`` were checked one by one.

    ``view`` is the view that is read, and ``view_first`` the number of its first pass. ``counts``,
    ``records_seen``, ``new_in_pass`` and ``tries`` are those of this view. ``views`` are the
    results of the views before it, ``shared`` counts records that more than one view showed, and
    ``hidden`` is the filter that hides records, None if none does.
    """

    first: int = 0
    current: int = 0
    counts: tuple[Pass, ...] = ()
    records_seen: int = 0
    new_in_pass: int = 0
    tries: tuple[str, ...] = ()
    done: bool = False
    completeness: Completeness | None = None
    missing: int = 0
    checked_up_to: str = ""
    view: int = 0
    view_first: int = 0
    views: tuple[ViewResult, ...] = ()
    shared: int = 0
    hidden: str | None = None


class DetailState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is fetched per record, and how far that got.

    ``full_records`` says that rows are full records. ``documents`` says that every record's
    documents are saved or queued, and ``all_attachments`` that these include all of its attachments
    (version 0.1.0 saved only the last one). ``queued`` records were put into the queue
    (`zoho_async.export.details.queue`), ``read`` were fetched, and ``files`` were saved.

    ``refresh_since`` is the moment since which the parents have changed whose children the last
    refresh reads, None if there was none. ``refresh_begins`` says that this part puts them into the
    queue; otherwise it only continues with what is left there.
    """

    full_records: bool = False
    documents: bool = False
    all_attachments: bool = False
    queued: int = 0
    read: int = 0
    files: int = 0
    refresh_since: float | None = None
    refresh_begins: bool = False


class RunHistory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What earlier runs leave for the next one.

    ``changed`` is the number of runs in a row in which the list changed during the read.
    ``refusal`` is the status and code with which Zoho refused the list in the last run, "" for
    none. ``sizes`` is what the destination held after the last complete part, None if not recorded
    (`zoho_async.export.destinations.base.Sink.sizes`).
    """

    changed: int = 0
    refusal: str = ""
    sizes: dict[str, int] | None = None


class PeriodRead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A period of a report that was written (`zoho_async.export.reports`).

    It was read from ``first`` (None for a report as of one day) to ``last`` at the moment ``read``,
    into the part called ``part``.
    """

    first: date | None = None
    last: date
    read: float
    part: str = ""


class ResourceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the export of a resource got; by default, no part was begun.

    ``periods`` are those of a report, by their keys. Moments are seconds since 1970. ``shape`` is
    what was chosen of the rows (`zoho_async.export.shape`), "" for all. ``feed`` is what is known
    of the change feed and of the cost of reads.
    """

    name: str
    number: int = 0
    shape: str = ""
    status: PartStatus = "resting"
    bookmark: ListBookmark = ListBookmark()
    part: CurrentPart = CurrentPart()
    passes: PassHistory = PassHistory()
    details: DetailState = DetailState()
    runs: RunHistory = RunHistory()
    periods: dict[str, PeriodRead] = {}
    feed: ListFeed = ListFeed()


_STATE: Final = decoder_of(ResourceState)


def _rebuild(names: Sequence[str]) -> str:
    """How to rebuild a destination with these lists and reports. An export reads no reports."""
    lists = [name for name in names if ".reports." not in name]
    if names and not lists:
        return "remove it and write its reports again"
    command = " ".join(["zoho-async export", *lists, "--restart"])
    rebuild = f"rebuild it, which reads its lists in full: `{command}` with the same --to"
    return rebuild if lists == [*names] else f"{rebuild}, and remove and write again its reports"


class Checkpoint:
    """The checkpoint of one destination, used by one run. Create it with `open`."""

    def __init__(self, database: Database, name: str) -> None:
        self.database: Final = database
        self.name: Final = name
        self.stamp = ""
        #: The feed of each resource as it was encoded last.
        self._feeds: Final[dict[str, tuple[ListFeed, msgspec.Raw]]] = {}

    @classmethod
    def open(
        cls, database: Database, origin: Origin | None, *, name: str, restart: bool = False
    ) -> Checkpoint:
        """Open the checkpoint in ``database``, or create it. ``name`` is the destination's.

        ``restart`` discards a checkpoint of another layout. Without ``origin``, it is not
        checked. Raises `CheckpointRefused`.
        """
        checkpoint = cls(database, name)
        with database.transaction():
            for table in TABLES:
                database.execute(table)
            checkpoint._check_layout(restart=restart)
            if origin is not None:
                checkpoint._check_origin(origin)
        return checkpoint

    def _check_layout(self, *, restart: bool) -> None:
        held = [version for (version,) in self.database.execute(f"SELECT form FROM {PLACE}")]
        if all(version == LAYOUT for version in held):
            return
        if not restart:
            rows = self.database.execute(f"SELECT name FROM {RESOURCE} ORDER BY name")
            raise CheckpointRefused(
                f"{self.name} was written by another version of zoho-async (layout {held[0]}, this "
                f"version writes layout {LAYOUT}); {_rebuild([name for (name,) in rows])}; or "
                "choose another place"
            )
        indexes = (records.TABLE, queue.TABLE, children.TABLE, observed.TABLE)
        for table in (PLACE, RESOURCE, *indexes):
            self.database.execute(f"DROP TABLE {table}")
        for statement in TABLES:
            self.database.execute(statement)

    def _check_origin(self, origin: Origin) -> None:
        rows = self.database.execute(f"SELECT organization, host FROM {PLACE}")
        if not rows:
            self.database.insert(
                PLACE,
                PLACE_COLUMNS,
                [(LAYOUT, origin.organization, origin.host, "", "")],
            )
        elif (held := Origin(*rows[0])) != origin:
            raise CheckpointRefused(
                f"{self.name} holds an export of {held}, and this run exports {origin}; "
                "choose another place"
            )

    def enter(self, run: str, stamp: str) -> None:
        """Continue ``run`` (the same text for the same request), or begin it at ``stamp``.

        Resources that another run completed become ``resting``. Their sinks must be settled before.
        """
        with self.database.transaction():
            ((held, since),) = self.database.execute(f"SELECT run, stamp FROM {PLACE}")
            goes_on = held == run
            self.stamp = since if goes_on else max(stamp, _after(since))
            if not goes_on:
                for state in self.states():
                    if state.status == "complete":
                        self.put(replace(state, status="resting"))
            self._enter(run, self.stamp)

    def _enter(self, run: str, stamp: str) -> None:
        self.database.execute(f"UPDATE {PLACE} SET run = ?, stamp = ?", (run, stamp))

    def stamp_after(self, part: str) -> str:
        """Return the run's stamp, or a later one if ``part`` has it already."""
        return max(self.stamp, _after(part)) if part >= self.stamp else self.stamp

    def states(self) -> list[ResourceState]:
        """Return the state of every resource that was ever begun. Raises `CheckpointRefused`."""
        rows = self.database.execute(f"SELECT state FROM {RESOURCE} ORDER BY name")
        try:
            return [_STATE.decode(text) for (text,) in rows]
        except UNDECODABLE as problem:
            raise CheckpointRefused(
                f"the checkpoint of {self.name} is damaged ({problem}); remove this export and "
                "make it again, or choose another place"
            ) from problem

    def state_of(self, name: str) -> ResourceState | None:
        """Return the state of the resource called ``name``; None if it was never begun."""
        return next((one for one in self.states() if one.name == name), None)

    def begin(self, state: ResourceState) -> ResourceState:
        """Store a new part, durably. A new resource gets its number here."""
        with self.database.transaction():
            if not state.number:
                number = 1 + max((one.number for one in self.states()), default=0)
                state = replace(state, number=number)
            self.queue(state).begin(keep=state.details.queued)
            self.put(state)
        return state

    def put(self, state: ResourceState) -> None:
        """Store ``state`` within the caller's transaction."""
        text = self._encode(state).decode()
        self.database.upsert(RESOURCE, ("name",), ("name", "state"), [(state.name, text)])

    def _encode(self, state: ResourceState) -> bytes:
        """Encode ``state``. Its feed may have thousands of entries, and changes once in a run."""
        if not state.feed.seen and not state.feed.unnamed:
            return msgspec.json.encode(state)
        feed, encoded = self._feeds.get(state.name, (None, msgspec.Raw()))
        if feed is not state.feed:
            encoded = msgspec.Raw(msgspec.json.encode(state.feed))
            self._feeds[state.name] = state.feed, encoded
        return msgspec.json.encode(replace(state, feed=encoded))

    def record_index(self, state: ResourceState) -> RecordIndex:
        """Return the record index of a resource."""
        return RecordIndex(self.database, state.number, state.bookmark.largest)

    def forget(self, state: ResourceState) -> None:
        """Forget the records and children of a resource, within the caller's transaction."""
        for table in (records.TABLE, queue.TABLE, children.TABLE):
            self.database.execute(f"DELETE FROM {table} WHERE resource = ?", (state.number,))

    def queue(self, state: ResourceState) -> Queue:
        """Return the queue of a resource's pending records."""
        return Queue(self.database, state.number)

    def finish(self, names: Iterable[str]) -> None:
        """End the run, which completed its resources. The next one is another run."""
        with self.database.transaction():
            done = set(names)
            for state in self.states():
                if state.name in done:
                    self.put(replace(state, status="resting"))
            self._enter("", self.stamp)


def _after(stamp: str) -> str:
    """Return a stamp that sorts after ``stamp``: two runs may begin within a second."""
    if not stamp:
        return ""
    plain, _, count = stamp.partition("_")
    return f"{plain}_{int(count or 0) + 1:06}"
