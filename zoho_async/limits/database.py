"""The file of a shared ledger: its connection, its transactions, and what can happen to the file.

**Deleted or replaced.** An open database stays usable after its file was deleted, so two processes
could go on counting apart. Each transaction therefore compares the path's device and inode with
those of its connection, under the write lock. If they differ, what the old file holds is carried
into the file that is there now. Nothing can be written to the old one afterwards, because every
writer compares under the same lock.

A process that starts after the deletion has no old file. It finds the *companion*, a small hidden
file in the same directory. The companion names the inode that it belongs to, and its modification
time is when the ledger was last used. A database that the companion does not name begins with a
pause: no place is given until whatever was sent before has left the count. Without a companion it
is a first start, and there is no pause. So the companion must not be deleted with the ledger.

SQLite finds its log files by name, and so it would delete those of the new database when the old
one is closed. So the old connection is never closed (`fork.never_close`). The companion is the
lock under which a database is made, opened and closed.

**Fork.** Before a fork the connection is closed, so that the child inherits none: SQLite keeps
notes of its locks in memory, and in a child they would be wrong for new connections too. A
connection that was inherited all the same is kept, and never used or closed.
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
from zoho_async.auth.stores.locked import locked
from zoho_async.errors import ConfigurationError, LedgerError, TokenStoreError, ZohoError

if TYPE_CHECKING:
    import sqlite3

#: The layout of the file; another one's entries are not understood.
VERSION: Final = 1
#: How long one process waits for another's transaction, in seconds; each takes well under 1 ms.
BUSY: Final = 30.0
#: How long a fork waits for a transaction of this process, in seconds.
FORK_WAITS: Final = 5.0
#: How often the companion notes that the ledger is used, in seconds, and how old a note may be.
NOTED_EVERY: Final = 1.0
SLACK: Final = 5.0

#: SQLite's codes for what may be over soon: interrupted, busy, locked, no memory, I/O, full.
_PASSING: Final = frozenset({5, 6, 7, 9, 10, 13, 15})
_PASSING_ERRNO: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE})


class Replaced(Exception):
    """The path names another file than the connection."""


class Database:
    """One connection to the ledger at ``path``. Used by one thread at a time, whichever it is.

    ``boot`` names this start of the machine.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self.path: Final = path
        self._companion: Final = path.with_name(f".{path.name}.used")
        self._boot: Final = boot
        self._lock = threading.Lock()
        self._rests = False
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._noted = float("-inf")
        #: Rows of a file that is gone, of keys that the present one has already.
        self.carried: dict[str, bytes] = {}
        #: Connections so far; changes when what was known of the file is no longer good.
        self.opened = 0
        fork.register(self)

    @contextmanager
    def transaction(self, now: float, wall: float) -> Generator[sqlite3.Connection]:
        """The write lock comes first, so that what is read is what is changed.

        ``now`` and ``wall`` are the caller's clocks. Raises `LedgerError` for what may be over
        soon, else `ConfigurationError`.
        """
        with self._lock, self._told():
            connection = self._begin(now, wall)
            try:
                yield connection
                self._note_use()
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    def version(self) -> int:
        """A number that changes when another connection, here or elsewhere, writes."""
        with self._lock, self._told():
            if self._connection is not None and self._replaced():
                self._let_go()
            connection = self._connection or self._open(time.monotonic(), time.time())
            changes = int(connection.execute("PRAGMA data_version").fetchone()[0])
            return (self.opened << 32) + changes

    def close(self) -> None:
        """Close the connection. A later use opens it again."""
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """Give up everything that was inherited from another process."""
        self._let_go()
        self._lock = threading.Lock()
        self._rests = False

    # -- forks ----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        if self._lock.acquire(timeout=FORK_WAITS):
            self._rests = True
            self._close()

    def after_fork(self, *, child: bool) -> None:
        if child:
            self.abandon()
        elif self._rests:
            self._rests = False
            self._lock.release()

    # -- the connection ---------------------------------------------------------------------------

    def _begin(self, now: float, wall: float) -> sqlite3.Connection:
        """A connection to the file that the path names, in a transaction."""
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
            self._let_go()

    def _open(self, now: float, wall: float) -> sqlite3.Connection:
        """Connect, and bring what a file that is gone held into this one."""
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
                # Turning on the write-ahead log does not wait for others by itself.
                if "locked" in str(error) and time.monotonic() < until:
                    time.sleep(0.01)
                    continue
                self._refuse(error)

    def _connect(self, now: float, wall: float) -> sqlite3.Connection:
        import sqlite3  # the memory ledger does without

        before, recorded = self._stat(), self._companion.read_text("ascii", "replace")
        other = before is None or recorded not in ("", str(before[1]))
        if other:
            for ending in ("-wal", "-shm"):  # those of the file that is gone
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        unused = max(0.0, time.time() - self._companion.stat().st_mtime - SLACK)
        # Opened, used and closed by one thread at a time, though not by its maker.
        connection = sqlite3.connect(
            self.path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            self._lay_out(connection)
            if other and recorded:
                pause = (self._boot, now - unused, wall)
                connection.execute("DELETE FROM pause")
                connection.execute("INSERT INTO pause (boot, since, wall) VALUES (?, ?, ?)", pause)
            left = {
                key: state
                for key, state in self.carried.items()
                if not connection.execute(
                    "INSERT OR IGNORE INTO usage (key, state) VALUES (?, ?)", (key, state)
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
            self._companion.write_text(str(after[1]), "ascii")
        return connection

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, VERSION):
            raise OSError(f"another version of this program wrote it (layout {version})")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS usage "
            "(key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"
        )
        connection.execute("CREATE TABLE IF NOT EXISTS pause (boot TEXT, since REAL, wall REAL)")
        connection.execute(f"PRAGMA user_version = {VERSION}")

    def _close(self) -> None:
        """Close the connection unless another file has its name by now."""
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

    def _let_go(self) -> None:
        """Forget the connection without closing it."""
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
        """Let the companion tell that the ledger is in use; others learn it from nothing else."""
        moment = time.monotonic()
        if moment < self._noted + NOTED_EVERY:
            return
        try:
            os.utime(self._companion)
        except FileNotFoundError:
            if self._inode is not None:
                self._companion.write_text(str(self._inode[1]), "ascii")
        self._noted = moment

    # -- what goes wrong --------------------------------------------------------------------------

    @contextmanager
    def _told(self) -> Generator[None]:
        import sqlite3  # the memory ledger does without

        try:
            yield
        except sqlite3.Error as error:
            kind = LedgerError if _passes(error) else ConfigurationError
            raise kind(f"the limits kept in {self.path} cannot be read or written: {error}") from (
                error
            )
        except OSError as error:
            raise LedgerError(
                f"the limits kept in {self.path} cannot be read or written: {error}"
            ) from error

    def _refuse(self, error: Exception) -> NoReturn:
        kind = LedgerError if _passes(error) else ConfigurationError
        raise kind(f"the limits cannot be kept in {self.path}: {error}") from error


def _passes(error: Exception) -> bool:
    """Whether ``error`` may be over soon."""
    if isinstance(error, OSError):
        return error.errno in _PASSING_ERRNO
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, TokenStoreError) or (code is not None and code & 0xFF in _PASSING)


def _roll_back(connection: sqlite3.Connection) -> None:
    # What cannot be rolled back was rolled back already, or the connection is of no more use.
    with suppress(Exception):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
