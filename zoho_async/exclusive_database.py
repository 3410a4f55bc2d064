"""A SQLite file that one process has to itself, and that has every step on the disk.

The write journal and the webhook queue are such files. Each has an application id, which marks it
as ours, and a version of its tables.

Why nothing is lost
-------------------
A transaction is durable when it returns (``synchronous = FULL``). It is then in the file itself and
not only in the log next to it (``wal_autocheckpoint = 1``), because SQLite does not find the log if
the file is moved or opened through a hard link. The lock is SQLite's own and ends with the process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from anyio import CancelScope, to_thread

from zoho_async.errors import ConfigurationError
from zoho_async.files import private_database

T = TypeVar("T")


class DatabaseKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is for.

    ``what`` is its name for people, such as "a journal". ``application`` is the number that marks
    the file as ours. ``version`` is that of ``tables``, the statements that make them in a new
    file. ``when_busy`` says what to do if another process has it open.
    """

    what: str
    application: int
    version: int
    tables: str
    when_busy: str

    def open(
        self, path: str | os.PathLike[str], prepare: Callable[[sqlite3.Connection, bool], None]
    ) -> sqlite3.Connection:
        """Open the file ``path``, or create it, readable by its owner only.

        ``prepare`` gets the connection inside the first transaction, and whether the file is new.
        The connection can be used by threads, one at a time, and commits each statement outside of
        a transaction. Raises `ConfigurationError` if the file is another's, or another process has
        it open.
        """
        path = Path(path)
        try:
            path = private_database(path)
            connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as problem:
            raise self._cannot(path, str(problem)) from None
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 1")
            connection.execute("BEGIN EXCLUSIVE")
            prepare(connection, self._create_tables(connection, path))
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as problem:
            connection.close()
            busy = getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            reason = f"another process has it open; {self.when_busy}" if busy else str(problem)
            raise self._cannot(path, reason) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_tables(self, connection: sqlite3.Connection, path: Path) -> bool:
        """Whether the file was empty, and has its tables now."""
        found = (
            connection.execute("PRAGMA application_id").fetchone()[0],
            connection.execute("PRAGMA user_version").fetchone()[0],
        )
        if found == (self.application, self.version):
            return False
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise ConfigurationError(
                f"{path} is not {self.what} of this version of zoho-async; name another file"
            )
        for statement in self.tables.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {self.application}")
        connection.execute(f"PRAGMA user_version = {self.version}")
        return True

    def _cannot(self, path: Path, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{path} cannot be opened as {self.what}: {reason}")


async def run_to_its_end(work: Callable[[], T]) -> T:
    """Run ``work`` on a thread to its end, even if the caller is cancelled meanwhile.

    A shielded scope is not enough: it does not hold back ``Task.cancel()``, and a lock of the
    caller would be released while the thread is inside a transaction.
    """
    cancelled: asyncio.CancelledError | None = None
    running = asyncio.ensure_future(to_thread.run_sync(work))
    with CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as problem:
                cancelled = problem
    result = running.result()
    if cancelled is not None:
        raise cancelled
    return result
