"""How far an export came, written so that it can be believed after any kind of end.

One SQLite database stands in the export's directory (``.zoho-export/checkpoint.sqlite``). A page
lands in two steps: its rows are made durable in the file, then one transaction writes down the
file's new length, the page's number and the page's ids. An end between the two leaves a file that
is longer than promised, and the next run cuts it to the promised length. An end inside the
transaction is SQLite's to undo. So the file, the number and the ids never disagree.

- *Place.* The database names the organization and API host it belongs to; another one is refused,
  because its rows would replace or mix with these.
- *One run at a time.* The database is opened in exclusive mode: the lock is the operating
  system's, on an open file, and ends with the process however that ends.
- *Resources and runs.* A resource that was begun is gone on with, whichever run asks for it, as
  long as the request for its list is the same. One that was completed counts as done only within
  the same run (the same resources and filters, asked for again after an interruption). When a run
  has completed all of its resources they are forgotten, and the next run reads everything anew.

Every method blocks on the disk, and only one may run at a time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.jsonl import sync_directory
from zoho_async.export.seen import Key, SeenIds

FOLDER: Final = ".zoho-export"

#: Marks the database as ours ("Zexp"), and the version of what is written in it.
_APPLICATION: Final = 0x5A657870
SCHEMA: Final = 1

_TABLES: Final = (
    "CREATE TABLE place (organization TEXT NOT NULL, host TEXT NOT NULL, run TEXT NOT NULL)",
    "CREATE TABLE resource (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " request TEXT NOT NULL, page INTEGER NOT NULL, rows INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, complete INTEGER NOT NULL, begun REAL NOT NULL)",
    SeenIds.SCHEMA,
)


class Place(msgspec.Struct, frozen=True):
    """Whose data a directory holds: the organization's id and the API host's name."""

    organization: str
    host: str

    def __str__(self) -> str:
        return f"organization {self.organization} at {self.host}"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a resource came. ``page`` is the last durable one (0: none), ``begun`` epoch s."""

    number: int
    name: str
    request: str
    page: int = 0
    rows: int = 0
    bytes: int = 0
    complete: bool = False
    begun: float = 0.0


class Checkpoint:
    """The checkpoint of one directory, held by one run. Get one from `open`."""

    def __init__(self, directory: Path, database: sqlite3.Connection) -> None:
        self.directory: Final = directory
        self.database: Final = database

    @classmethod
    def open(cls, directory: Path, place: Place, *, fresh: bool = False) -> Checkpoint:
        """Take the directory's checkpoint, made where there is none.

        ``fresh`` gives up a checkpoint of another version. Raises `CheckpointRefused`,
        `ExportRunning` or `DestinationError`.
        """
        folder = directory / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_directory(directory)
            database = sqlite3.connect(
                folder / "checkpoint.sqlite",
                timeout=0,
                isolation_level=None,
                check_same_thread=False,  # pages land on worker threads, one at a time
            )
        except (OSError, sqlite3.Error) as problem:
            raise DestinationError(directory, reason(problem)) from problem
        checkpoint = cls(directory, database)
        try:
            checkpoint._take(place, fresh=fresh)
        except BaseException:
            database.close()
            raise
        return checkpoint

    def _take(self, place: Place, *, fresh: bool) -> None:
        try:
            self.database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.database.execute("PRAGMA synchronous = FULL")
            self.database.execute("BEGIN EXCLUSIVE")
            self._check_version(fresh=fresh)
            self._check_place(place)
            self.database.execute("COMMIT")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise ExportRunning(self.directory) from None
            raise DestinationError(self.directory, reason(problem)) from problem
        except sqlite3.DatabaseError as problem:
            raise CheckpointRefused(
                f"the checkpoint in {self.directory} cannot be read ({problem}); "
                f"delete {self.directory / FOLDER} to start anew, or choose another directory"
            ) from problem

    def _check_version(self, *, fresh: bool) -> None:
        (application,) = self.database.execute("PRAGMA application_id").fetchone()
        (version,) = self.database.execute("PRAGMA user_version").fetchone()
        if (application, version) == (_APPLICATION, SCHEMA):
            return
        tables = self.database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [name for (name,) in tables.fetchall()]
        if names and not fresh:
            raise CheckpointRefused(
                f"the checkpoint in {self.directory} is of another version of zoho-async "
                f"(form {version}, this version has {SCHEMA}); finish it with that version, "
                "start anew with --fresh, or choose another directory"
            )
        for name in names:
            self.database.execute(f'DROP TABLE "{name}"')
        for table in _TABLES:
            self.database.execute(table)
        self.database.execute(f"PRAGMA application_id = {_APPLICATION}")
        self.database.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check_place(self, place: Place) -> None:
        row = self.database.execute("SELECT organization, host FROM place").fetchone()
        if row is None:
            self.database.execute(
                "INSERT INTO place VALUES (?, ?, '')", (place.organization, place.host)
            )
        elif (held := Place(*row)) != place:
            raise CheckpointRefused(
                f"{self.directory} holds an export of {held}, and this one is of {place}; "
                "choose another directory"
            )

    def enter(self, run: str, *, fresh: bool = False) -> None:
        """Go on with ``run`` (a text that is the same for the same run) or begin it.

        What another run completed is forgotten here: its files must have been settled before.
        ``fresh`` forgets everything, whichever run it was.
        """
        with self._writing():
            (held,) = self.database.execute("SELECT run FROM place").fetchone()
            for position in self.positions():
                if fresh or (position.complete and held != run):
                    self._forget(position)
            self.database.execute("UPDATE place SET run = ?", (run,))

    def positions(self) -> list[Position]:
        """Every resource that was begun and not forgotten."""
        rows = self.database.execute(
            "SELECT number, name, request, page, rows, bytes, complete, begun FROM resource"
        )
        names = Position.__struct_fields__
        return [
            msgspec.convert(dict(zip(names, row, strict=True)), Position, strict=False)
            for row in rows
        ]

    def position(self, name: str) -> Position | None:
        """How far the resource called ``name`` came; None where it was not begun."""
        return next((one for one in self.positions() if one.name == name), None)

    def begin(self, name: str, request: str) -> Position:
        """Start ``name`` anew: whatever is known of it is forgotten."""
        with self._writing():
            known = self.position(name)
            if known is not None:
                self._forget(known)
            self.database.execute(
                "INSERT INTO resource (name, request, page, rows, bytes, complete, begun)"
                " VALUES (?, ?, 0, 0, 0, 0, ?)",
                (name, request, time.time()),
            )
        begun = self.position(name)
        assert begun is not None
        return begun

    def seen(self, position: Position) -> SeenIds:
        return SeenIds(self.database, position.number)

    def advance(
        self,
        position: Position,
        *,
        page: int,
        rows: int,
        bytes: int,
        seen: SeenIds,
        keys: Sequence[Key],
    ) -> Position:
        """Promise a landed page: its rows are already durable within the first ``bytes`` bytes."""
        with self._writing():
            seen.add(keys)
            self.database.execute(
                "UPDATE resource SET page = ?, rows = ?, bytes = ? WHERE number = ?",
                (page, rows, bytes, position.number),
            )
        return msgspec.structs.replace(position, page=page, rows=rows, bytes=bytes)

    def complete(self, position: Position) -> Position:
        """Every row of the resource is durable. Its ids are needed no longer."""
        with self._writing():
            self.database.execute(
                "UPDATE resource SET complete = 1 WHERE number = ?", (position.number,)
            )
            self.database.execute("DELETE FROM seen WHERE resource = ?", (position.number,))
        return msgspec.structs.replace(position, complete=True)

    def finish(self, names: Iterable[str]) -> None:
        """The run completed all of its resources: forget them, so that the next starts anew."""
        with self._writing():
            for name in names:
                position = self.position(name)
                if position is not None:
                    self._forget(position)

    def close(self) -> None:
        """Give the directory free."""
        self.database.close()

    def _forget(self, position: Position) -> None:
        self.database.execute("DELETE FROM seen WHERE resource = ?", (position.number,))
        self.database.execute("DELETE FROM resource WHERE number = ?", (position.number,))

    @contextmanager
    def _writing(self) -> Generator[None]:
        """One transaction: all of it is durable at the end, or nothing of it happened."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise


def reason(problem: BaseException) -> str:
    """The system's own words for a failure of the disk, without a traceback's furniture."""
    if isinstance(problem, OSError):
        return problem.strerror or type(problem).__name__
    return str(problem)
