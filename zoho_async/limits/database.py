"""The SQLite file of a shared ledger: its connection, its transactions, and faults of the file.

**Deleted or replaced.** SQLite can still use an open database after its file was deleted. Then two
processes could count separately. So each transaction compares the device and inode of the path with
those of its connection, under the write lock. If they differ, the usage of the old file is carried
over into the new file. Nothing can be written to the old file afterwards, because every writer
compares under the same lock.

A process that starts after the deletion has no old file. It finds the *companion*, a small hidden
file in the same directory. The companion names the inode that it belongs to, and its modification
time is the last use of the ledger. If the companion names another inode than the database, the
ledger starts with a pause: it gives no place until all earlier calls have left the count. Without a
companion this is a first start, and there is no pause. So do not delete the companion with the
ledger. A process that was stopped between the admission of a call and its sending cannot break
this: it sends within a lease of the admission, or not at all, and the pause is a lease longer.

SQLite finds its log files by name. Closing the old connection would delete the log files of the new
database, so the old connection is never closed (`fork.never_close`). The companion also serves as
the lock under which a database is created, opened and closed.

**Fork.** SQLite keeps notes of its locks in memory, and in a child process they would be wrong for
new connections too. So the connection is closed before a fork. A connection that was inherited
anyway is kept, and never used or closed.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from zoho_async import fork
from zoho_async.errors import ConfigurationError, LedgerError, TokenStoreError, ZohoError
from zoho_async.files import locked, overwrite

if TYPE_CHECKING:
    import sqlite3

#: The version of the file's tables. Other versions cannot be read.
VERSION: Final = 1
#: How long a process waits for a transaction of another one, in seconds. Each takes under 1 ms.
BUSY: Final = 30.0
#: How long a fork waits for a transaction of this process, in seconds.
FORK_WAITS: Final = 5.0
#: How often the companion's time is updated, in seconds, and how old it may be.
NOTED_EVERY: Final = 1.0
SLACK: Final = 5.0

#: SQLite's codes for temporary faults: busy, locked, no memory, interrupted, I/O, full.
_PASSING: Final = frozenset({5, 6, 7, 9, 10, 13, 15})
_PASSING_ERRNO: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE})


class Replaced(Exception):
    """The path names another file than the connection uses."""


class LedgerDatabase:
    """One connection to the ledger at ``path``, for one thread at a time.

    ``boot`` names this start of the machine.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self.path: Final = path
        self._companion: Final = path.with_name(f".{path.name}.used")
        self._boot: Final = boot
        self._lock = threading.Lock()
        self._held_for_fork = False
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._noted = float("-inf")
        #: Rows of a deleted file, for keys that the new file also has.
        self.carried: dict[str, bytes] = {}
        #: Number of connections so far. If it changes, cached facts about the file are outdated.
        self.opened = 0
        fork.register(self)

    @contextmanager
    def transaction(self, now: float, wall: float) -> Generator[sqlite3.Connection]:
        """Open a transaction with the write lock, so that no other process changes what it reads.

        ``now`` and ``wall`` are the caller's clocks. Raises `LedgerError` for temporary faults,
        else `ConfigurationError`.
        """
        with self._lock, self._translate_errors():
            connection = self._begin(now, wall)
            try:
                yield connection
                self._note_use()
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    def version(self) -> int:
        """Return a number that changes when another connection writes."""
        with self._lock, self._translate_errors():
            if self._connection is not None and self._replaced():
                self._drop_connection()
            connection = self._connection or self._open(time.monotonic(), time.time())
            changes = int(connection.execute("PRAGMA data_version").fetchone()[0])
            return (self.opened << 32) + changes

    def close(self) -> None:
        """Close the connection. The next use opens it again."""
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """Drop everything that was inherited from the parent process."""
        self._drop_connection()
        self._lock = threading.Lock()
        self._held_for_fork = False

    # -- forks ----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        if self._lock.acquire(timeout=FORK_WAITS):
            self._held_for_fork = True
            self._close()

    def after_fork(self, *, child: bool) -> None:
        if child:
            self.abandon()
        elif self._held_for_fork:
            self._held_for_fork = False
            self._lock.release()

    # -- the connection ---------------------------------------------------------------------------

    def _begin(self, now: float, wall: float) -> sqlite3.Connection:
        """Begin a transaction on the file that the path names now."""
        while True:
            connection = self._connection or self._open(now, wall)
            connection.execute("BEGIN IMMEDIATE")
            if not self._replaced():
                return connection
            try:
                rows = dict(connection.execute("SELECT key, state FROM usage"))
            finally:
                _roll_back(connection)
            self.carried.update(rows)
            self._drop_connection()

    def _open(self, now: float, wall: float) -> sqlite3.Connection:
        """Connect, and carry over the usage of a deleted file."""
        until = time.monotonic() + BUSY
        while True:
            try:
                with locked(self._companion):
                    self._connection = connection = self._connect(now, wall)
                self.opened += 1
                return connection
            except Replaced:
                continue
            except (TokenStoreError, OSError) as error:
                self._refuse(error)
            except ZohoError:
                raise
            except Exception as error:
                # Switching to the write-ahead log does not wait for locks by itself.
                if "locked" in str(error) and time.monotonic() < until:
                    time.sleep(0.01)
                    continue
                self._refuse(error)

    def _connect(self, now: float, wall: float) -> sqlite3.Connection:
        import sqlite3  # the memory ledger does without

        before, recorded = self._stat(), self._companion.read_text("ascii", "replace")
        other = before is None or recorded not in ("", str(before[1]))
        if other:
            for ending in ("-wal", "-shm"):  # those of the deleted file
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        unused = max(0.0, time.time() - self._companion.stat().st_mtime - SLACK)
        # One thread at a time uses it, but not always the one that opened it.
        connection = sqlite3.connect(
            self.path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            self._create_tables(connection)
            if other and recorded:
                pause = (self._boot, now - unused, wall)
                connection.execute("DELETE FROM pause")
                connection.execute("INSERT INTO pause (boot, since, wall) VALUES (?, ?, ?)", pause)
            left = {
                key: packed
                for key, packed in self.carried.items()
                if not connection.execute(
                    "INSERT OR IGNORE INTO usage (key, state) VALUES (?, ?)", (key, packed)
                ).rowcount
            }
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._inode = after = self._stat()
        if after is None or (before is not None and before != after):
            fork.never_close(connection)
            raise Replaced
        self.carried = left
        if recorded != str(after[1]):
            overwrite(self._companion, b"%d" % after[1])
        return connection

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, VERSION):
            raise OSError(
                f"another version of zoho_async wrote it (layout {version}, expected {VERSION})"
            )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS usage "
            "(key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"
        )
        connection.execute("CREATE TABLE IF NOT EXISTS pause (boot TEXT, since REAL, wall REAL)")
        connection.execute(f"PRAGMA user_version = {VERSION}")

    def _close(self) -> None:
        """Close the connection, unless the path names another file now."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with locked(self._companion):
                if self._replaced():
                    fork.never_close(connection)
                else:
                    connection.close()
        except (TokenStoreError, OSError):
            fork.never_close(connection)

    def _drop_connection(self) -> None:
        """Forget the connection without closing it (see `fork.never_close`)."""
        connection, self._connection = self._connection, None
        fork.never_close(connection)

    # -- the file ---------------------------------------------------------------------------------

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _replaced(self) -> bool:
        return self._stat() != self._inode

    def _note_use(self) -> None:
        """Update the companion's time, which tells other processes that the ledger is in use."""
        moment = time.monotonic()
        if moment < self._noted + NOTED_EVERY:
            return
        try:
            os.utime(self._companion)
        except FileNotFoundError:
            if self._inode is not None:
                overwrite(self._companion, b"%d" % self._inode[1])
        self._noted = moment

    # -- errors -----------------------------------------------------------------------------------

    @contextmanager
    def _translate_errors(self) -> Generator[None]:
        import sqlite3  # the memory ledger does without

        try:
            yield
        except sqlite3.Error as error:
            kind = LedgerError if _is_temporary(error) else ConfigurationError
            raise kind(f"cannot read or write the limits in {self.path}: {error}") from (error)
        except OSError as error:
            raise LedgerError(f"cannot read or write the limits in {self.path}: {error}") from error

    def _refuse(self, error: Exception) -> NoReturn:
        kind = LedgerError if _is_temporary(error) else ConfigurationError
        raise kind(f"cannot keep the limits in {self.path}: {error}") from error


def _is_temporary(error: Exception) -> bool:
    """Return whether ``error`` is temporary."""
    if isinstance(error, OSError):
        return error.errno in _PASSING_ERRNO
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, TokenStoreError) or (code is not None and code & 0xFF in _PASSING)


def _roll_back(connection: sqlite3.Connection) -> None:
    # If this fails, SQLite rolled back already or the connection is broken.
    with suppress(Exception):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
