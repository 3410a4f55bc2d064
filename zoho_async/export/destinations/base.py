"""The protocols that a destination of an export implements.

Model
-----
A destination holds the rows and the checkpoint (`zoho_async.export.checkpoint.store`). The core of
the export knows neither files nor database engines. It opens a `Destination`. The result, an
`OpenDestination`, has the `Database` of the checkpoint and makes a `Sink` for each resource.

Invariant
---------
Rows and the checkpoint that covers them agree after any kind of crash.

Why it holds
------------
A database writes both in one transaction. A file sink makes its rows durable before it returns,
and returns the length of the file, the *mark*. The transaction then stores the mark. Bytes after
the mark are not covered by the checkpoint, and `Sink.resume` cuts them off.

Calls
-----
All methods block. They run on worker threads, one call at a time, not always on the same thread.
Failures of the disk or the engine raise `DestinationError`; `OSError` and `sqlite3.Error` may also
pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import msgspec

from zoho_async.description import Field
from zoho_async.export.columns.observed import Observer

Value: TypeAlias = str | int | float | bytes | None
#: How many numbers were rounded, by resource and field.
Rounded: TypeAlias = Mapping[str, Mapping[str, int]]
#: Runs one SELECT statement and returns its rows.
Query: TypeAlias = Callable[[str], list[tuple[Any, ...]]]


class Origin(msgspec.Struct, frozen=True):
    """The source of a destination's data: organization id and API host."""

    organization: str
    host: str

    @classmethod
    def of(cls, organization: str, api_url: str) -> Origin:
        """Return the origin of a session. Its host has no port, which differs per sandbox."""
        return cls(organization, urlsplit(api_url).hostname or api_url)

    def __str__(self) -> str:
        return f"organization {self.organization} at {self.host}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A resource as a destination sees it.

    ``name`` is ``books.invoices``. ``row_id`` names the field that holds a row's id, "" if rows
    have no id. ``fields`` are the described fields of a row, nested. ``observer`` has the observed
    fields, and learns more from the rows that are written. Without one none are observed.
    """

    name: str
    row_id: str
    fields: tuple[Field, ...]
    observer: Observer | None = None


class RecordedContents(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of one resource that the checkpoint expects in the destination.

    ``sizes`` is the result of `Sink.sizes` after the last complete part, None if it was not
    recorded. ``records`` is the number of records written. ``begun`` is true if the checkpoint
    has rows of the resource, ``reading`` if a part is incomplete, ``whole`` if this run replaces
    everything. ``rebuild`` is true if it also replaces tables whose columns have other types.
    """

    sizes: Mapping[str, int] | None = None
    records: int = 0
    begun: bool = False
    reading: bool = False
    whole: bool = False
    rebuild: bool = False


class Database(Protocol):
    """The database that holds an export's checkpoint.

    SQL uses ``?`` placeholders and the common dialect of SQLite, DuckDB and PostgreSQL, with the
    types TEXT, BIGINT and DOUBLE PRECISION. For ``INSERT ... ON CONFLICT``, use `upsert`.
    """

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Add many rows in one bulk operation."""
        ...

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        """Add many rows at once; each replaces the row with the same ``key`` columns."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Make the enclosed statements atomic and durable, also after ``kill -9``.

        Transactions are never nested.
        """
        ...


class Sink(Protocol):
    """Writes the rows of one part of one resource.

    The export calls `resume` first, then `write` and `mark_deleted` inside a transaction of the
    destination's database, and `settle` and `close` last.
    """

    @property
    def name(self) -> str:
        """The path or table name to show to people."""
        ...

    def resume(self, mark: int) -> bool:
        """Continue after ``mark``; 0 starts the part. Return False if rows before it are gone."""
        ...

    def write(self, rows: Sequence[bytes]) -> int:
        """Write rows, each a JSON object as Zoho sent it, and return the new mark.

        Rows are durable at the end of the transaction; in files, when this method returns.
        """
        ...

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        """Mark records as deleted at the time ``when``, and return the new mark.

        A full part starts empty, so it has nothing to mark.
        """
        ...

    def keep_as_part(self, part: str) -> None:
        """Keep this full part as ``part`` instead of replacing the older rows.

        The export calls this before the checkpoint names ``part``, and settles that part later.
        """
        ...

    def settle(self) -> None:
        """Give a part its final form once the checkpoint marks it complete. Idempotent."""
        ...

    def take_rounded(self) -> Mapping[str, int]:
        """Return how many numbers were rounded since the last call, by field.

        Their digits are in ``_exact``.
        """
        ...

    def discard(self) -> None:
        """Remove everything that is held of the resource. Idempotent."""
        ...

    def close(self) -> None:
        """Close open files and cursors."""
        ...

    def sizes(self) -> dict[str, int]:
        """The current sizes of all parts, by name: rows per table, or bytes per file."""
        ...

    def find_missing(self, recorded: RecordedContents) -> str:
        """Describe what is missing compared with ``recorded``; "" if nothing is.

        Called before `resume`. Raises `DestinationChanged` if a full read would overwrite
        something that a person changed.
        """
        ...


class Destination(Protocol):
    """The address of a place for rows and the checkpoint."""

    @property
    def name(self) -> str:
        """The name to show to people. It never contains a password."""
        ...

    def open(self) -> OpenDestination:
        """Open and lock the destination for one run.

        Raises `ExportRunning` if another run holds it, and `DestinationError` if it cannot be
        opened.
        """
        ...

    def read_only(self) -> AbstractContextManager[Query | None]:
        """Read the tables of the checkpoint, and change nothing; None if there is no export yet.

        Raises `ExportRunning` or `DestinationError`.
        """
        ...


class OpenDestination(Protocol):
    """A destination that one run holds, until `close`."""

    @property
    def name(self) -> str:
        """The name of the destination."""
        ...

    @property
    def database(self) -> Database:
        """The database of the checkpoint."""
        ...

    def sink(self, table: Table, part: str) -> Sink:
        """The sink of a resource for ``part``: "" for a full read, otherwise the run's stamp.

        A stamp is the start time of the run, such as ``20261123T020000Z``, so stamps sort by time.
        """
        ...

    def finish(self) -> Rounded:
        """Bring the destination into its final form, and return what was rounded in it. Idempotent.

        Called at the end of a run that was not interrupted, before the checkpoint says so.
        """
        ...

    def close(self) -> None:
        """Close the destination and release its lock. Idempotent."""
        ...
