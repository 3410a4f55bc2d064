"""Hold what a run writes for one resource: its rows, its record index and its state.

Model. A write changes three things: the sink (the rows), the record index and the `ResourceState`.
A `ResourceStore` holds the three. The modules on top of it have one task each:
`zoho_async.export.part_begin` begins or continues a part, `zoho_async.export.writer` writes the
list's pages, `zoho_async.export.details.writer` writes what is fetched per record, and
`zoho_async.export.part_end` completes the part.

Invariant. All three change in one transaction of the destination's database. So after any end they
agree, and the next run continues from there.

Every method blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from zoho_async.description import OperationFacts
from zoho_async.export.catalog import rows_of
from zoho_async.export.checkpoint import observed
from zoho_async.export.checkpoint.records import RecordIndex, key
from zoho_async.export.checkpoint.store import (
    Checkpoint,
    DetailState,
    ListBookmark,
    ResourceState,
)
from zoho_async.export.columns.observed import Observer, SchemaChange, changes_between
from zoho_async.export.columns.schema import CUSTOM_FIELDS, shape_of
from zoho_async.export.destinations.base import OpenDestination, Sink, Table
from zoho_async.export.details.operations import details_of, together
from zoho_async.export.details.queue import Queue
from zoho_async.export.errors import DestinationError
from zoho_async.export.feed import ChangeFeed
from zoho_async.export.incremental import Margin, Mode
from zoho_async.export.shape_rules import Shapers, recorded_shaper


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a run that apply to every resource.

    ``full`` reads everything again; ``restart`` also gives up what an interrupted run left.
    ``detect_deletions`` detects deleted records. ``since`` is the moment before which nothing is
    wanted, and ``narrowed`` says that filters leave out records, too. ``accept_shorter`` lets a
    full read replace a fuller one without proof. ``refresh_since`` is the moment since which the
    parents have changed whose children are read again; None for no refresh. ``feed`` is the change
    feed of the list's product, None if it is not used, and ``cheapest`` lets its cost decide how
    the list is read at the moment ``now``.
    """

    full: bool = False
    restart: bool = False
    detect_deletions: bool = False
    accept_shorter: bool = False
    since: float | None = None
    narrowed: bool = False
    refresh_since: float | None = None
    margin: Margin = Margin()
    feed: ChangeFeed | None = None
    cheapest: bool = False
    now: float = 0.0


class ChangedRow(msgspec.Struct, frozen=True):
    """A new or ``changed`` row, with its key in the record index."""

    key: str
    row: bytes
    changed: bool


class RowPolicy(Protocol):
    """Decides what a resource stores of its list's rows.

    `ListRows` stores them as they come. `zoho_async.export.details.writer.QueuedRecords` queues
    their records, whose details are fetched after the list.
    """

    def table(self, facts: OperationFacts) -> Table:
        """Return the table that holds the rows of the list ``facts``."""
        ...

    def wants_more(self, before: DetailState) -> bool:
        """Whether more is fetched per record than in the part before; then all are read again."""
        ...

    def refresh_since(self, store: ResourceStore) -> float | None:
        """Return since when the parents have changed whose children a new part reads again.

        None for no parents.
        """
        ...

    def begin(self, before: DetailState, mode: Mode, refresh: float | None) -> DetailState:
        """Return the details of a part that begins, and is read in ``mode``.

        ``refresh`` is what `refresh_since` returned.
        """
        ...

    def select(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        """Return the rows to write as the list has them. Called inside a transaction."""
        ...

    def select_unchanged(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> None:
        """Take what a refresh needs of unchanged ``rows``. Called inside a transaction."""
        ...

    def count_written(self, store: ResourceStore) -> int:
        """Return how many records the destination must have at least."""
        ...

    def mark_deleted(self, store: ResourceStore, ids: Sequence[str], when: str) -> int:
        """Mark records as deleted and unindex them. Return how many rows that were.

        Called inside a transaction.
        """
        ...


class ListRows:
    """The `RowPolicy` of a resource whose rows are stored as the list has them."""

    def table(self, facts: OperationFacts) -> Table:
        return table_of(facts.resource, facts)

    def wants_more(self, before: DetailState) -> bool:
        return False

    def refresh_since(self, store: ResourceStore) -> float | None:
        return None

    def begin(self, before: DetailState, mode: Mode, refresh: float | None) -> DetailState:
        return DetailState()

    def select(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> Sequence[ChangedRow]:
        return rows

    def select_unchanged(self, store: ResourceStore, rows: Sequence[ChangedRow]) -> None:
        return None

    def count_written(self, store: ResourceStore) -> int:
        return store.records.count() - store.queue.count("rows")

    def mark_deleted(self, store: ResourceStore, ids: Sequence[str], when: str) -> int:
        if ids:
            offset = store.sink.mark_deleted(ids, when)
            store.records.forget(ids)
            store.put(part=replace(store.state.part, offset=offset))
        return len(ids)


class ResourceStore:
    """The state, the sink and the record index of the list ``facts`` in an open destination.

    `zoho_async.export.part_begin.open_store` opens one. ``missing`` is what a person removed from
    the destination, "" for nothing. If any, the list is read in full.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        destination: OpenDestination,
        facts: OperationFacts,
        options: RunOptions,
        policy: RowPolicy,
        state: ResourceState,
        shapers: Shapers | None = None,
    ) -> None:
        shapers = shapers or Shapers()
        #: Shapes the rows that are written, and the rows of the list that is read.
        self.shaper: Final = shapers.of(facts.resource)
        self.list_shaper: Final = shapers.of_list(facts.resource)
        self.checkpoint: Final = checkpoint
        self.place: Final = destination.name
        self.facts: Final = facts
        self.options: Final = options
        self.policy: Final = policy
        self.missing = ""
        self._destination: Final = destination
        table = _with_observer(checkpoint, self.shaper.narrow(policy.table(facts)), state)
        assert table.observer is not None
        self.observer: Final = table.observer
        self.observer.store = self._store_observed
        self._observed_before = self._stored = self.observer.fields
        self._table: Final = table
        self.use(state)

    def use(self, state: ResourceState) -> None:
        """Use ``state``, with the sink of its part."""
        self.state: ResourceState = state
        self.records: RecordIndex = self.checkpoint.record_index(state)
        self.sink: Sink = self._destination.sink(self._table, state.part.name)

    @property
    def queue(self) -> Queue:
        """The queue of the resource's pending records."""
        return self.checkpoint.queue(self.state)

    def key(self, identity: str, row: bytes) -> str:
        """Return the key of a list's row in the record index."""
        return identity or key(identity, self.list_shaper.apply(row))

    def discard(self) -> None:
        """Remove the rows of earlier runs, which have another shape, and forget them.

        The fields that they showed are forgotten, too: the new shape may hide them.
        """
        state = self.state
        table = recorded_table(self.checkpoint, state, rows_of(state.name))
        self._destination.sink(table, "").discard()
        capabilities = state.bookmark.capabilities
        with self.checkpoint.database.transaction():
            self.checkpoint.forget(state)
            fresh = ResourceState(
                name=state.name,
                number=state.number,
                shape=self.shaper.text,
                bookmark=ListBookmark(capabilities=capabilities),
            )
            self.checkpoint.put(fresh)
            observed.forget(self.checkpoint.database, state.number)
        self.observer.forget()
        self._observed_before = self._stored = ()
        self.use(fresh)

    @contextmanager
    def translate_errors(self) -> Generator[None]:
        """Raise errors of the disk or the database as `DestinationError`."""
        with writing(self.place):
            yield

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Make the enclosed writes atomic and durable. Raises `DestinationError`."""
        with writing(self.place), self.checkpoint.database.transaction():
            yield

    def put(self, **changes: object) -> None:
        """Store the state with these fields replaced, within the caller's transaction."""
        state = replace(self.state, **changes)
        part = state.part.with_rounded(self.sink.take_rounded())
        self.state = replace(state, part=part)
        self.checkpoint.put(self.state)

    def put_rounded(self, rounded: Mapping[str, int]) -> None:
        """Store how many numbers the destination rounded at the end of the run, by field."""
        if rounded:
            with self.transaction():
                self.put(part=self.state.part.with_rounded(rounded))

    def write(self, rows: Sequence[bytes]) -> int:
        """Write rows and return the sink's mark, within the caller's transaction.

        Columns for fields that the rows show for the first time are stored, too.
        """
        mark = self.sink.write(rows)
        self._put_observed()
        return mark

    def _put_observed(self) -> None:
        if (fields := self.observer.fields) != self._stored:
            observed.save(self.checkpoint.database, self.state.number, fields)
            self._stored = fields

    def _store_observed(self) -> None:
        with self.checkpoint.database.transaction():
            self._put_observed()

    def schema_changes(self) -> tuple[SchemaChange, ...]:
        """Return the columns that this run added or widened, and the conflicts in it."""
        return changes_between(
            shape_of(self._table.fields, self._table.row_id), self._observed_before, self.observer
        )

    def mark_deleted(self, ids: Sequence[str], when: str) -> None:
        """Mark records as deleted and count them, within the caller's transaction."""
        deleted = self.policy.mark_deleted(self, ids, when)
        part = self.state.part
        self.put(part=replace(part, deleted=part.deleted + deleted))

    def find_unseen(self) -> list[str]:
        """Return some records that this part did not see and that were not checked yet."""
        passes = self.state.passes
        with self.translate_errors():
            return self.records.find_unseen(passes.first, passes.checked_up_to)

    def close(self) -> None:
        self.sink.close()


def table_of(name: str, facts: OperationFacts | None, *, details: bool = False) -> Table:
    """Return the table of a resource. No ``facts``: it is no longer described.

    ``details`` says that its rows are full records. They have the columns of the list's rows too:
    earlier rows may have filled those, and their values must not outlast them.
    """
    full = details_of(name)
    if facts is None:
        return Table(name=name, row_id="", fields=())
    fields = facts.reply
    if full is not None and details:
        fields = together(full.fields, facts.reply)
    elif full is not None:  # rows of lists show them too
        custom = [field for field in full.fields if field.name == CUSTOM_FIELDS]
        fields = together(facts.reply, custom)
    return Table(name=name, row_id=facts.row_id, fields=fields)


def _with_observer(checkpoint: Checkpoint, table: Table, state: ResourceState) -> Table:
    """Return ``table`` with the observed fields of the resource, which are stored if they grow."""
    database, number = checkpoint.database, state.number
    observer = Observer(observed.load(database, number))

    def store() -> None:
        with database.transaction():
            observed.save(database, number, observer.fields)

    observer.store = store
    return msgspec.structs.replace(table, observer=observer)


def recorded_table(
    checkpoint: Checkpoint, state: ResourceState, facts: OperationFacts | None
) -> Table:
    """Return the table of the rows that runs have written so far (see `table_of`)."""
    table = table_of(state.name, facts, details=state.details.full_records)
    table = recorded_shaper(state.name, state.shape).narrow(table)
    return _with_observer(checkpoint, table, state)


@contextmanager
def writing(place: str) -> Generator[None]:
    """Raise errors of the disk or the database as `DestinationError`."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        cause = problem.strerror if isinstance(problem, OSError) else None
        raise DestinationError(place, cause or str(problem)) from problem
