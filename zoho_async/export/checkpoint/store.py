"""How far an export came, written so that it can be believed after any kind of end.

The state stands in the destination's database and moves only in the transactions that the rows
land in (`zoho_async.export.destinations.base`), so the two never disagree.

- *Place.* The state names the organization and API host it belongs to; another one is refused,
  because its rows would replace or mix with these.
- *Runs.* A run is what was asked for: resources and filters. It has a stamp, the moment of its
  begin. Asked for again before all of its resources are complete, it is the same run: what it
  completed is done, what it was reading goes on, under the same stamp. When all are complete the
  run is over, and the next one has a stamp of its own.
- *Resources.* Each has one `ResourceState`: the part that is being read or was read last, and what
is
  known beyond parts: the watermark, and what was learnt of the list. A part that was begun is gone
  on with, whichever run asks for it, as long as the request for its list is the same. A position
  goes ``reading`` → ``complete`` (all rows are durable; its sink is settled from then on, again
  after any end) → ``resting`` (the run is over).
- *Records.* `zoho_async.export.checkpoint.records`.

Every method blocks on the database, and only one may run at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.export.checkpoint import children, records
from zoho_async.export.checkpoint.records import RecordIndex
from zoho_async.export.destinations.base import Database, Origin
from zoho_async.export.details import queue
from zoho_async.export.details.queue import Queue
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.incremental import Capabilities, Mode
from zoho_async.paging.completeness import Completeness, Pass

#: The version of what is written here.
FORM: Final = 3

_PLACE: Final = "_zoho_place"
_RESOURCE: Final = "_zoho_resource"
_TABLES: Final = (
    f"CREATE TABLE IF NOT EXISTS {_PLACE} (form BIGINT NOT NULL, organization TEXT NOT NULL,"
    " host TEXT NOT NULL, run TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (form))",
    f"CREATE TABLE IF NOT EXISTS {_RESOURCE} (name TEXT NOT NULL, position TEXT NOT NULL,"
    " PRIMARY KEY (name))",
    records.SCHEMA,
    queue.SCHEMA,
    children.SCHEMA,
)

Stand: TypeAlias = Literal["reading", "complete", "resting"]


class Former(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a full read is to replace: the last ``part`` and its ``watermark``."""

    part: str = ""
    watermark: float | None = None


class ResourceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a resource came. Moments are seconds since 1970.

    ``request`` is what is asked of its list, as comparable text. ``finished`` says that a full read
    was completed once, ``watermark`` and ``filtering`` are explained in `modes`.

    The part: its ``name`` is ``part``, read in ``mode`` from the moment ``low`` on; ``begun`` is
    its start by the earlier of our clock and Zoho's. ``page`` is the last durable page of the look
    under way, ``mark`` the sink's. ``rows`` were written, ``changed`` of them known before, and
    ``deleted`` records were buried. ``bytes`` were the rows'. ``newest`` is the largest last
    modification seen.

    The looks: the part began with look number ``first_look``, and ``look`` is under way or was the
    last. ``passes`` are what was counted in each (`zoho_async.export.passes`), ``met`` the records
    that all of them met, ``fresh`` those that the last one met first or changed. ``tried`` is what
    was tried after the first pass (`zoho_async.export.tries`). ``former`` is what a full read is to
    replace, None where there is nothing.
    ``details`` says that rows are records in full. ``queued`` records were put into the queue
    (`zoho_async.export.details.queue`), ``read`` of them were asked for, and ``files`` were saved;
    ``papers`` says that every record's documents were saved or are in the queue, and ``attached``
    that these are all of its attachments (version 0.1.0 saved the last one only).
    ``over`` says that no look follows; ``completeness`` is then how complete the part is, and
    ``missing`` how many records more the list counts. Records up to ``swept`` were asked about one
    by one.

    ``changed_runs`` are the runs in a row in which the list changed while it was read. ``refusal``
    is the status and code with which Zoho refused the list in the last run, "" if it did not.
    ``held`` is what the destination held at the end of the last complete part
    (`zoho_async.export.destinations.base.Sink.held`), None if that was not recorded.
    """

    name: str
    number: int = 0
    request: str = ""
    stand: Stand = "reading"
    finished: bool = False
    watermark: float | None = None
    filtering: Capabilities = Capabilities()
    largest: str = ""
    mode: Mode = "full"
    part: str = ""
    low: float | None = None
    begun: float | None = None
    page: int = 0
    mark: int = 0
    rows: int = 0
    changed: int = 0
    deleted: int = 0
    bytes: int = 0
    newest: float | None = None
    first_look: int = 1
    look: int = 1
    passes: tuple[Pass, ...] = ()
    met: int = 0
    fresh: int = 0
    tried: tuple[str, ...] = ()
    former: Former | None = None
    over: bool = False
    completeness: Completeness | None = None
    missing: int = 0
    swept: str = ""
    details: bool = False
    papers: bool = False
    attached: bool = False
    queued: int = 0
    read: int = 0
    files: int = 0
    changed_runs: int = 0
    refusal: str = ""
    held: dict[str, int] | None = None


_POSITION: Final = decoder_of(ResourceState)


class State:
    """The state of one destination, held by one run. Get one from `open`."""

    def __init__(self, database: Database, name: str) -> None:
        self.database: Final = database
        self.name: Final = name
        self.stamp = ""

    @classmethod
    def open(
        cls, database: Database, place: Origin | None, *, name: str, restart: bool = False
    ) -> State:
        """The state in ``database``, made where there is none; ``name`` is the destination's.

        ``restart`` gives up a state of another version. ``place`` None asks no question. Raises
        `CheckpointRefused`.
        """
        state = cls(database, name)
        with database.transaction():
            for table in _TABLES:
                database.execute(table)
            state._check_form(restart=restart)
            if place is not None:
                state._check_place(place)
        return state

    def _check_form(self, *, restart: bool) -> None:
        held = [form for (form,) in self.database.execute(f"SELECT form FROM {_PLACE}")]
        if all(form == FORM for form in held):
            return
        if not restart:
            raise CheckpointRefused(
                f"the checkpoint in {self.name} is of another version of zoho-async "
                f"(form {held[0]}, this version has {FORM}); finish it with that version, "
                "start anew with --restart, or choose another place"
            )
        for table in (_PLACE, _RESOURCE, records.TABLE, queue.TABLE, children.TABLE):
            self.database.execute(f"DROP TABLE {table}")
        for statement in _TABLES:
            self.database.execute(statement)

    def _check_place(self, place: Origin) -> None:
        rows = self.database.execute(f"SELECT organization, host FROM {_PLACE}")
        if not rows:
            self.database.insert(
                _PLACE,
                ("form", "organization", "host", "run", "stamp"),
                [(FORM, place.organization, place.host, "", "")],
            )
        elif (held := Origin(*rows[0])) != place:
            raise CheckpointRefused(
                f"{self.name} holds an export of {held}, and this one is of {place}; "
                "choose another place"
            )

    def enter(self, run: str, stamp: str) -> None:
        """Go on with ``run`` (a text that is the same for the same run) or begin it at ``stamp``.

        What another run completed rests from here on: its sinks must have been settled before.
        """
        with self.database.transaction():
            ((held, since),) = self.database.execute(f"SELECT run, stamp FROM {_PLACE}")
            goes_on = held == run
            self.stamp = since if goes_on else max(stamp, _after(since))
            if not goes_on:
                for position in self.positions():
                    if position.stand == "complete":
                        self.put(msgspec.structs.replace(position, stand="resting"))
            self._enter(run, self.stamp)

    def _enter(self, run: str, stamp: str) -> None:
        self.database.execute(f"UPDATE {_PLACE} SET run = ?, stamp = ?", (run, stamp))

    def stamp_after(self, part: str) -> str:
        """The run's stamp, or one after it where ``part`` has it already."""
        return max(self.stamp, _after(part)) if part >= self.stamp else self.stamp

    def positions(self) -> list[ResourceState]:
        """Every resource that was ever begun."""
        rows = self.database.execute(f"SELECT position FROM {_RESOURCE} ORDER BY name")
        return [_POSITION.decode(text) for (text,) in rows]

    def position(self, name: str) -> ResourceState | None:
        """How far the resource called ``name`` came; None where it was never begun."""
        return next((one for one in self.positions() if one.name == name), None)

    def begin(self, position: ResourceState) -> ResourceState:
        """Write a new part down, durably; a resource that is new gets its number here."""
        with self.database.transaction():
            if not position.number:
                number = 1 + max((one.number for one in self.positions()), default=0)
                position = msgspec.structs.replace(position, number=number)
            self.queue(position).begin(owed=position.queued)
            self.put(position)
        return position

    def put(self, position: ResourceState) -> None:
        """Write ``position`` down within the caller's transaction."""
        text = msgspec.json.encode(position).decode()
        self.database.upsert(_RESOURCE, ("name",), ("name", "position"), [(position.name, text)])

    def known(self, position: ResourceState) -> RecordIndex:
        """The records of a resource."""
        return RecordIndex(self.database, position.number, position.largest)

    def queue(self, position: ResourceState) -> Queue:
        """What is still to be asked for of a resource."""
        return Queue(self.database, position.number)

    def finish(self, names: Iterable[str]) -> None:
        """The run completed all of its resources; the next one is another run."""
        with self.database.transaction():
            done = set(names)
            for position in self.positions():
                if position.name in done:
                    self.put(msgspec.structs.replace(position, stand="resting"))
            self._enter("", self.stamp)


def _after(stamp: str) -> str:
    """A stamp that sorts after ``stamp``: two runs may begin within a second."""
    if not stamp:
        return ""
    plain, _, count = stamp.partition("_")
    return f"{plain}_{int(count or 0) + 1:06}"
