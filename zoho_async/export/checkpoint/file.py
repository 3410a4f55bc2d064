"""The SQLite file in which a directory keeps the checkpoint of its export.

It is opened in exclusive mode. The operating system holds the lock on the open file, so it ends
with the process. A committed transaction is on the disk (``synchronous = FULL``).
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

from zoho_async.export.destinations.base import Query, Value
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning

#: Marks the file as ours ("Zexp"), and the version of its tables.
_APPLICATION: Final = 0x5A657870
_VERSION: Final = 2
#: The most variables of a statement: SQLite's oldest limit is 999, and a page of two hundred
#: records takes four each.
_VARIABLES: Final = 800
_HAS_EXPORT: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_zoho_place'"


class StateFile:
    """A `Database` in a file that only this process may use. Every method blocks."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises `ExportRunning` if another process has it open, `CheckpointRefused` if it is not a
        checkpoint, and `DestinationError`.
        """
        self.path: Final = path
        try:
            self.connection: Final = sqlite3.connect(
                path,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,  # worker threads, one at a time
            )
        except sqlite3.Error as problem:
            raise DestinationError(path.parent.parent, str(problem)) from problem
        try:
            self._take()
        except BaseException:
            self.connection.close()
            raise

    def _take(self) -> None:
        directory = self.path.parent.parent
        try:
            self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.execute("BEGIN EXCLUSIVE")
            self._check_version()
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise ExportRunning(directory) from None
            raise DestinationError(directory, str(problem)) from problem
        except sqlite3.DatabaseError as problem:
            raise CheckpointRefused(
                f"the checkpoint in {directory} cannot be read ({problem}); "
                f"delete {self.path.parent} and start again with --restart, or choose another place"
            ) from problem

    def _check_version(self) -> None:
        (application,) = self.connection.execute("PRAGMA application_id").fetchone()
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if (application, version) == (_APPLICATION, _VERSION):
            return
        if self.connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise CheckpointRefused(
                f"the checkpoint in {self.path.parent.parent} was written by another version "
                f"of zoho-async (format {version}, this version has {_VERSION}); "
                "finish it with that version, "
                f"delete {self.path.parent} and start again with --restart, or choose another place"
            )
        self.connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self.connection.execute(f"PRAGMA user_version = {_VERSION}")

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        self._many(f"INSERT INTO {table}", columns, rows, "")

    def upsert(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Value]],
    ) -> None:
        rest = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        conflict = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {rest}"
        self._many(f"INSERT INTO {table}", columns, rows, conflict)

    def _many(
        self, head: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], tail: str
    ) -> None:
        one = f"({', '.join('?' * len(columns))})"
        head = f"{head} ({', '.join(columns)}) VALUES "
        # A statement costs more than its rows: two hundred in one take half of the time.
        together = _VARIABLES // len(columns)
        whole = len(rows) - len(rows) % together
        for start in range(0, whole, together):
            values = [*chain.from_iterable(rows[start : start + together])]
            self.connection.execute(f"{head}{', '.join([one] * together)}{tail}", values)
        self.connection.executemany(f"{head}{one}{tail}", rows[whole:])

    @contextmanager
    def transaction(self) -> Generator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file and release the lock."""
        self.connection.close()


@contextmanager
def query_of_file(path: Path) -> Generator[Query | None]:
    """Query a SQLite file without changing anything next to it; None if it holds no export.

    A run that was killed leaves a journal, which SQLite would apply to the file. So both are copied
    first. Raises `DestinationError`.
    """
    if not path.exists():
        yield None
        return
    journals = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            if left := [one for one in journals if one.exists() and one.stat().st_size]:
                for one in (path, *left):
                    shutil.copyfile(one, Path(scratch, one.name))
                address = Path(scratch, path.name).absolute().as_uri()
            with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as opened:
                there = opened.execute(_HAS_EXPORT).fetchone()
                yield (lambda sql: opened.execute(sql).fetchall()) if there else None
    except (OSError, sqlite3.Error) as problem:
        raise DestinationError(path, str(problem)) from problem
