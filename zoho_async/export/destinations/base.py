"""What an export needs of the place where its rows come down.

A destination holds two things: the rows, and the state of the job
(`zoho_async.export.checkpoint.store`). The core of the export knows neither files nor engines; it
asks for a `Database` to keep the state in and for a `Sink` for each resource, and keeps one rule:
*rows and the state that speaks of them land in one transaction of the database*. Where the rows are
in the same database, that is all there is to say. Where they are in files, a sink makes them
durable before it returns and tells how long the file is (the *mark*), the transaction writes the
mark down, and whatever a file holds beyond its mark was never promised: `Sink.resume` cuts it off.
So after any kind of end the rows and the state agree.

All methods block, run on worker threads (not always the same one), and one at a time. What the
disk or the engine refuses is raised as `DestinationError`; `OSError` and `sqlite3.Error` may also
come as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import msgspec

from zoho_async.description import Field

Value: TypeAlias = str | int | float | bytes | None


class Origin(msgspec.Struct, frozen=True):
    """Whose data a destination holds: the organization's id and the API host's name."""

    organization: str
    host: str

    def __str__(self) -> str:
        return f"organization {self.organization} at {self.host}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination needs to know of a resource.

    ``name`` is ``books.invoices``, ``row_id`` the field that holds a row's id ("" where rows have
    none), ``fields`` what is described of a row, nested.
    """

    name: str
    row_id: str
    fields: tuple[Field, ...]


class RecordedContents(msgspec.Struct, frozen=True, kw_only=True):
    """What the checkpoint says that a destination holds of one resource.

    ``sizes`` is what `Sink.held` returned at the end of the last complete part, None if that was
    not recorded. ``records`` are known to have been written. ``begun`` says that the checkpoint
    knows of rows at all, ``reading`` that a part was begun and is not complete, ``whole`` that
    everything is to be replaced anyway.
    """

    sizes: Mapping[str, int] | None = None
    records: int = 0
    begun: bool = False
    reading: bool = False
    whole: bool = False


class Database(Protocol):
    """The database in which the state of an export stands.

    SQL has ``?`` marks and is of the kind that SQLite, DuckDB and PostgreSQL all understand; the
    types used are TEXT, BIGINT and DOUBLE PRECISION. ``INSERT ... ON CONFLICT`` is left to
    `upsert`.
    """

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it gives any."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Add many rows at once, the fastest way that the engine has."""
        ...

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        """Add many rows at once, each in the place of the one that has its ``key`` columns."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All of it is durable at the end, or nothing of it happened; after ``kill -9`` too.

        Never nested.
        """
        ...


class Sink(Protocol):
    """Where one resource's rows of one part go.

    ``write`` and ``mark_deleted`` are called inside a transaction of the destination's database, ``resume``
    before the first of them, ``settle`` and ``close`` after the last.
    """

    @property
    def name(self) -> str:
        """Where the rows are, for people: a path or a table's name."""
        ...

    def resume(self, mark: int) -> bool:
        """Go on after ``mark`` (0: begin this part). False: what was promised is not there."""
        ...

    def write(self, rows: Sequence[bytes]) -> int:
        """Take rows as Zoho sent them, each a JSON object; the new mark.

        They are durable when the transaction ends (files: when this returns).
        """
        ...

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        """Mark the records with these ids as deleted, found so at ``when``; the new mark.

        Where the part is a full one and begins empty, there is nothing to mark.
        """
        ...

    def keep_as_part(self, part: str) -> None:
        """Keep the rows of this full part as ``part``, beside those that it was to replace.

        Called before the state names ``part``; the sink of ``part`` is settled afterwards.
        """
        ...

    def settle(self) -> None:
        """The part is complete, and the state says so: give it its final form. Idempotent."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...

    def held(self) -> dict[str, int]:
        """The sizes of what is there of the resource, all parts of it, by name.

        Rows of tables, bytes of files: what can be had without reading a file.
        """
        ...

    def missing(self, recorded: RecordedContents) -> str:
        """What is no longer there of what is ``recorded``, for people; "" if all of it is.

        Called before `resume`. Raises `DestinationChanged` if something that is there would be
        lost by reading the resource in full.
        """
        ...


class Destination(Protocol):
    """A place for rows and state. Blocking; one call at a time."""

    @property
    def name(self) -> str:
        """What to call it before people; no password stands in it."""
        ...

    def open(self, place: Origin) -> Database:
        """Take it for this run. Raises `ExportRunning` where another run holds it.

        `DestinationError` where it cannot be had.
        """
        ...

    def sink(self, table: Table, part: str) -> Sink:
        """The sink of a resource for ``part``: "" for a full read, else the run's stamp.

        A stamp is the moment of the run's begin, such as ``20261123T020000Z``; stamps sort as they
        follow each other.
        """
        ...

    def close(self) -> None:
        """Give it free."""
        ...
