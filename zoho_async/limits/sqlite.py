"""The ledger in a file, for programs that are started again and again, and for several at once.

Usage is one row an organization, read, changed by the functions of `state` and written in one
transaction that locks the file first, so that processes go one after the other. All of it happens
in one thread of its own, off the event loop. Who waits for a reply that another process may have
is woken when the file changes (`file_watch`); a call that is denied changes nothing.

What a process leaves open when it is killed is found by the next one: its calls count as on their
way, sent as late as the moment they are found. Monotonic time serves all processes of one start of
the machine; after another start, every entry keeps the time it had left when the file was last
written, as if no time had passed, unless the wall clock says that an hour did.

Write-ahead logging needs a local disk, not a network share.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError
from zoho_async.limits import machine, state
from zoho_async.limits.figures import Lane, Limits, Snapshot
from zoho_async.limits.file_watch import FileWatch
from zoho_async.limits.state import Denial, Ending, Usage

if TYPE_CHECKING:
    import sqlite3

P = ParamSpec("P")
T = TypeVar("T")

#: The layout of the file; another one's entries are not understood.
VERSION: Final = 1
#: How long one process waits for another's transaction, in seconds; each takes well under 1 ms.
BUSY: Final = 30.0
#: Differences of wall clocks below this are not believed after the machine was started anew.
SURELY_PASSED: Final = 3600.0
#: A clock further behind what was written than any wait for the lock is that of another start.
MOST_BEHIND: Final = 2 * BUSY


class Row(msgspec.Struct):
    """What the file holds of one key: its usage, and when and on which start it was written."""

    boot: str
    now: float
    wall: float
    usage: Usage


class SqliteFile:
    """The file itself, without threads: every method is one transaction.

    ``boot`` and ``owner`` name this start of the machine and this process.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        boot: str | None = None,
        owner: str | None = None,
        alive: Callable[[str], bool | None] = machine.alive,
    ) -> None:
        self.path: Final = Path(path)
        self._boot: Final = boot or machine.boot_id()
        self._owner: Final = owner or machine.this_process()
        self._alive: Final = alive
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(Row)
        self._connected: sqlite3.Connection | None = None

    def take(
        self, key: str, account: str, lane: Lane, limits: Limits, now: float, wall: float
    ) -> int | Denial:
        with self._transaction() as connection:
            row, whole = self._read(connection, key, account, limits, now, wall)
            answer = state.take(row.usage, whole.usage, lane, limits, row.now, wall, self._owner)
            if not isinstance(answer, Denial):
                self._write(connection, key, row)
            return answer

    def settle(
        self,
        key: str,
        account: str,
        place: int,
        ending: Ending,
        limits: Limits,
        now: float,
        wall: float,
    ) -> float:
        with self._transaction() as connection:
            row, whole = self._read(connection, key, account, limits, now, wall)
            blocked_for = state.settle(
                row.usage, whole.usage, place, ending, limits, row.now, wall, self._owner
            )
            self._write(connection, key, row)
            if account != key and ending.refusal is not None:
                self._write(connection, account, whole)
            return blocked_for

    def look(self, key: str, account: str, limits: Limits, now: float, wall: float) -> Snapshot:
        with self._transaction() as connection:
            row, whole = self._read(connection, key, account, limits, now, wall)
            return state.view(row.usage, whole.usage, limits, row.now, wall)

    def version(self) -> int:
        """A number that changes when another file object, here or elsewhere, writes."""
        import sqlite3  # the memory ledger does without

        if self._connected is None:
            self._connected = self._connect()
        try:
            return int(self._connected.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"the limits kept in {self.path} cannot be read: {error}"
            ) from error

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _read(
        self,
        connection: sqlite3.Connection,
        key: str,
        account: str,
        limits: Limits,
        now: float,
        wall: float,
    ) -> tuple[Row, Row]:
        """The rows of the organization and of its account, brought to one moment."""
        row = self._row(connection, key, limits, now, wall)
        if account == key:
            return row, row
        whole = self._row(connection, account, limits, row.now, wall)
        row.now = whole.now
        return row, whole

    def _row(
        self, connection: sqlite3.Connection, key: str, limits: Limits, now: float, wall: float
    ) -> Row:
        found = connection.execute("SELECT state FROM usage WHERE key = ?", (key,)).fetchone()
        if found is None:
            return Row(self._boot, now, wall, Usage())
        try:
            row = self._decoder.decode(found[0])
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the limits kept in {self.path} cannot be read ({error}); move the file away "
                "once no call was made for two minutes"
            ) from None
        usage = row.usage
        if row.boot != self._boot or now < row.now - MOST_BEHIND:
            passed = wall - row.wall
            state.shift(usage, now - row.now - (passed if passed > SURELY_PASSED else 0.0))
            state.bury(usage, _nobody, limits, now)
            row = Row(self._boot, now, wall, usage)
            self._write(connection, key, row)
            return row
        # Who waited for the lock read its clock before the one who had it: time goes on from there.
        row.now = max(now, row.now)
        row.wall = wall
        if usage.open and state.bury(usage, self._lives, limits, row.now):
            self._write(connection, key, row)
        return row

    def _lives(self, owner: str) -> bool | None:
        return True if owner == self._owner else self._alive(owner)

    def _write(self, connection: sqlite3.Connection, key: str, row: Row) -> None:
        packed = self._encoder.encode(row)
        connection.execute("REPLACE INTO usage (key, state) VALUES (?, ?)", (key, packed))

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """The lock comes first, so that what is read is what is changed."""
        import sqlite3  # the memory ledger does without

        if self._connected is None:
            self._connected = self._connect()
        connection = self._connected
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"the limits kept in {self.path} cannot be read or written: {error}"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        import sqlite3  # the memory ledger does without

        patience = time.monotonic() + BUSY
        while True:
            connection: sqlite3.Connection | None = None
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Opened, used and closed by one thread at a time, though not by its maker.
                connection = sqlite3.connect(
                    self.path, timeout=BUSY, isolation_level=None, check_same_thread=False
                )
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                self._lay_out(connection)
                return connection
            except (sqlite3.Error, OSError) as error:
                if connection is not None:
                    connection.close()
                # Turning on the write-ahead log does not wait for others by itself.
                if "locked" in str(error) and time.monotonic() < patience:
                    time.sleep(0.01)
                    continue
                raise ConfigurationError(
                    f"the limits cannot be kept in {self.path}: {error}"
                ) from error

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, VERSION):
            raise OSError(f"another version of this program wrote it (layout {version})")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS usage "
            "(key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _nobody(owner: str) -> bool:
    """No process outlives the machine's start."""
    return False


class SqliteLedger:
    """Usage in the file at ``path``, shared by every process that names the same file.

    The file is opened at the first call; `ConfigurationError` says why it cannot be.
    """

    poll: float | None = 1.0

    def __init__(self, path: str | Path) -> None:
        self.path: Final = Path(path)
        self._file: Final = SqliteFile(path)
        self._watch: Final = FileWatch(lambda: SqliteFile(path))
        self._thread: ThreadPoolExecutor | None = None
        self._thread_id = 0

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        now, wall = clock.monotonic(), clock.time()
        taking = self._submit(self._file.take, key, account, lane, limits, now, wall)

        def give_back(taken: Future[int | Denial]) -> None:
            if taken.cancelled() or taken.exception() is not None:
                return
            place = taken.result()
            if isinstance(place, Denial):
                return
            back = partial(
                self._file.settle, key, account, place, Ending("unsent"), limits, now, wall
            )
            if threading.get_ident() == self._thread_id:
                back()  # before anything else that waits for the thread, closing included
            else:
                self._submit(back)

        try:
            return await asyncio.wrap_future(taking)
        except BaseException:
            # Cancelled: the thread may have taken the place already, or be about to.
            taking.add_done_callback(give_back)
            raise

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        now, wall = clock.monotonic(), clock.time()
        settling = self._submit(self._file.settle, key, account, place, ending, limits, now, wall)
        return await asyncio.shield(asyncio.wrap_future(settling))

    async def look(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        now, wall = clock.monotonic(), clock.time()
        looking = self._submit(self._file.look, key, account, limits, now, wall)
        return await asyncio.wrap_future(looking)

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._watch.add(wake)

    def lease(self, limits: Limits) -> float:
        """Where a process cannot be asked whether it lives, its calls lapse (`state.bury`)."""
        return state.LAPSE * limits.linger

    async def close(self) -> None:
        """Finish what was begun, close the file and end the thread. A later call opens it again."""
        await asyncio.to_thread(self._watch.close)
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        closing = thread.submit(self._file.close)
        thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "zoho-limits", self._note_thread)
        return self._thread.submit(work, *args, **kwargs)

    def _note_thread(self) -> None:
        self._thread_id = threading.get_ident()
