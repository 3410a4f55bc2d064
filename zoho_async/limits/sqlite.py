"""The ledger in a SQLite file, for programs that run again and again, and for several at once.

Usage is one row per organization. The functions of `usage` change it in one transaction, which
locks the file first, so that processes take turns. All of this happens in one thread of the ledger,
off the event loop. A waiter that depends on replies in other processes is woken when the file
changes (`file_watch`). A denial changes nothing.

**Places that no call will end.** If a process is killed, the next one finds its open calls and
abandons them, as if they were sent at that moment. Each ledger knows its own open calls and their
event loops. So in each operation it finds the places that it never gave to a caller and those of a
closed loop. Other processes cannot know this, so for them a place expires ten ``linger`` after its
admission. A place is used within one ``linger``, or not at all (`Slot.stale`), and a call that
takes longer than ten counts once more when it ends.

**Endings that cannot be written** (full disk, file locked too long) are kept and written before
anything else. Until then this ledger admits no call and raises `LedgerError`.

**Restart of the machine.** Monotonic time is valid within one start of the machine. After another
start, each entry keeps the time that it had left when the file was last written, unless the wall
clock says that an hour has passed.

`database` handles faults of the file, and forks. Write-ahead logging needs a local disk, not a
network share.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.fork import Process
from zoho_async.limits import machine, recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.database import BUSY, LedgerDatabase
from zoho_async.limits.file_watch import FileWatch
from zoho_async.limits.ledger import ImmediateLedger, Loop, OpenCalls, PendingSettlement, this_loop
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.usage import DRIFT, Denial, Ending, Usage

if TYPE_CHECKING:
    import sqlite3

P = ParamSpec("P")
T = TypeVar("T")

#: After a restart of the machine, shorter differences of the wall clock are ignored.
SURELY_PASSED: Final = 3600.0
#: A shorter lease, in seconds, would end before a call can be sent.
SHORTEST_LEASE: Final = 1.0
#: A clock that is further behind the file than any wait for the lock is of another start.
MOST_BEHIND: Final = 2 * BUSY


class Row(msgspec.Struct):
    """The row of one key: its usage, and when and on which start it was written."""

    boot: str
    now: float
    wall: float
    usage: Usage


class SqliteFile:
    """The ledger in the file, without threads. Every method is one transaction.

    ``boot`` and ``owner`` name this start of the machine and this ledger.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        boot: str | None = None,
        owner: str | None = None,
        alive: Callable[[str], bool | None] | None = None,
    ) -> None:
        self.path: Final = Path(path)
        self._boot: Final = boot or machine.boot_id()
        self._database: Final = LedgerDatabase(self.path, self._boot)
        self._owner = owner or _new_owner()
        self._alive: Final = alive or _may_be_alive
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(Row)
        self._open_calls = OpenCalls()
        self._pending: list[PendingSettlement] = []
        self._pause: tuple[int, float] = (0, 0.0)
        self._process: Final = Process()
        _LEDGERS[self._owner] = self

    def take(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        now: float,
        wall: float,
        loop: Loop = None,
        product: str = "",
    ) -> int | Denial:
        """Take a place, or say why not. ``loop`` is the event loop of the caller."""
        self._write_pending(now, wall)
        with self._transaction(limits, now, wall) as connection:
            row, account_row = self._read(connection, key, account, limits, now, wall)
            pause = self._paused_until(connection, limits, now, wall) - row.now
            if pause > 0:
                return Denial("ledger", pause)
            answer = usages.take(
                row.usage, account_row.usage, lane, limits, row.now, wall, self._owner, product
            )
            if not isinstance(answer, Denial):
                self._write(connection, key, row)
        if not isinstance(answer, Denial):
            self._open_calls.add(key, answer, loop)
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
        """Note an ending, or keep it until it can be written."""
        pending = PendingSettlement(key, account, place, ending, limits, now)
        try:
            self._write_pending(now, wall)
            return self._settle(pending, now, wall)
        except (LedgerError, ConfigurationError):
            self._pending.append(pending)
            return 0.0

    def snapshot(self, key: str, account: str, limits: Limits, now: float, wall: float) -> Snapshot:
        self._write_pending(now, wall)
        with self._transaction(limits, now, wall) as connection:
            row, account_row = self._read(connection, key, account, limits, now, wall)
            return usages.to_snapshot(row.usage, account_row.usage, limits, row.now, wall)

    def version(self) -> int:
        """Return a number that changes when another connection writes."""
        self._check_process()
        return self._database.version()

    def close(self) -> None:
        """Write pending endings, if possible, and close the file."""
        self._check_process()
        if self._pending:
            last = max(pending.came for pending in self._pending)
            with suppress(LedgerError, ConfigurationError):
                self._write_pending(last, time.time())
        self._database.close()

    # -- endings --------------------------------------------------------------------------------

    def _settle(self, pending: PendingSettlement, now: float, wall: float) -> float:
        key, account, ending = pending.key, pending.account, pending.ending
        with self._transaction(pending.limits, now, wall) as connection:
            row, account_row = self._read(connection, key, account, pending.limits, now, wall)
            # Another process may have written at a later time than ``now``.
            if row.now > pending.came:
                ending = recovery.delay(ending, row.now - pending.came)
            blocked_for = usages.settle(
                row.usage,
                account_row.usage,
                pending.place,
                ending,
                pending.limits,
                row.now,
                wall,
                self._owner,
            )
            self._write(connection, key, row)
            if account != key and ending.refusal is not None:
                self._write(connection, account, account_row)
        self._open_calls.discard(key, pending.place)
        return blocked_for

    def _write_pending(self, now: float, wall: float) -> None:
        self._check_process()
        while self._pending:
            self._settle(self._pending[0], now, wall)
            del self._pending[0]

    def _check_process(self) -> None:
        """Start fresh in a forked process."""
        if self._process.changed():
            self._database.abandon()
            self._owner = _new_owner()
            _LEDGERS[self._owner] = self
            self._open_calls, self._pending, self._pause = OpenCalls(), [], (0, 0.0)

    # -- rows -------------------------------------------------------------------------------------

    def _read(
        self,
        connection: sqlite3.Connection,
        key: str,
        account: str,
        limits: Limits,
        now: float,
        wall: float,
    ) -> tuple[Row, Row]:
        """Return the rows of the organization and of its account, at one moment."""
        row = self._row(connection, key, limits, now, wall)
        if account == key:
            return row, row
        account_row = self._row(connection, account, limits, row.now, wall)
        row.now = account_row.now
        return row, account_row

    def _row(
        self, connection: sqlite3.Connection, key: str, limits: Limits, now: float, wall: float
    ) -> Row:
        found = connection.execute("SELECT state FROM usage WHERE key = ?", (key,)).fetchone()
        if found is None:
            return Row(self._boot, now, wall, Usage())
        row = self._decoded(found[0])
        usage = row.usage
        if row.boot != self._boot or now < row.now - MOST_BEHIND:
            passed = wall - row.wall
            recovery.shift_clock(usage, now - row.now - (passed if passed > SURELY_PASSED else 0.0))
            recovery.expire_dead_owners(usage, _none_alive, limits, now)
            row = Row(self._boot, now, wall, usage)
            self._write(connection, key, row)
            return row
        # Another process may have written a later time while this one waited for the lock.
        row.now = max(now, row.now)
        row.wall = wall
        if usage.open and self._abandon_lost_calls(key, usage, limits, row.now):
            self._write(connection, key, row)
        return row

    def _abandon_lost_calls(self, key: str, usage: Usage, limits: Limits, now: float) -> bool:
        """Abandon places that no call will end. Returns whether there were any."""
        own = (number for number, place in usage.open.items() if place.owner == self._owner)
        lost = self._open_calls.lost(key, list(own))
        recovery.abandon_open(usage, lost, limits, now)
        return recovery.expire_dead_owners(usage, self._is_alive, limits, now) or bool(lost)

    def _is_alive(self, owner: str) -> bool | None:
        return True if owner == self._owner else self._alive(owner)

    def _write(self, connection: sqlite3.Connection, key: str, row: Row) -> None:
        packed = self._encoder.encode(row)
        connection.execute("REPLACE INTO usage (key, state) VALUES (?, ?)", (key, packed))

    def _decoded(self, packed: bytes) -> Row:
        try:
            return self._decoder.decode(packed)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"cannot read the limits in {self.path} ({error}); stop all calls for two minutes, "
                "then move the file away"
            ) from None

    @contextmanager
    def _transaction(
        self, limits: Limits, now: float, wall: float
    ) -> Generator[sqlite3.Connection]:
        with self._database.transaction(now, wall) as connection:
            carried = dict(self._database.carried)
            for key, packed in carried.items():
                row = self._row(connection, key, limits, now, wall)
                recovery.carry_over(row.usage, self._decoded(packed).usage)
                self._write(connection, key, row)
            yield connection
        for key in carried:
            del self._database.carried[key]

    def _paused_until(
        self, connection: sqlite3.Connection, limits: Limits, now: float, wall: float
    ) -> float:
        """Return when places are given again, in a file that replaced another one.

        Calls of the old file were admitted by then, are sent within a lease, and arrive within
        ``linger`` of that.
        """
        opened, since = self._pause
        if opened != self._database.opened:
            since = float("-inf")
            found = connection.execute("SELECT boot, since, wall FROM pause").fetchone()
            if found is not None:
                boot, since, written = str(found[0]), float(found[1]), float(found[2])
                if boot != self._boot:
                    since = float("-inf") if wall - written > SURELY_PASSED else now
                    updated = (self._boot, since, wall)
                    connection.execute("UPDATE pause SET boot = ?, since = ?, wall = ?", updated)
            self._pause = (self._database.opened, since)
        return since + limits.window * DRIFT + limits.linger + lease_of(limits)


def lease_of(limits: Limits) -> float:
    """Return the seconds within which a place is used."""
    return max(limits.linger, SHORTEST_LEASE)


_numbers: Final = itertools.count()
#: The ledgers of this process, by owner.
_LEDGERS: Final[WeakValueDictionary[str, SqliteFile]] = WeakValueDictionary()


def _new_owner() -> str:
    """Return a name for one ledger of this process."""
    return f"{machine.this_process()}/{next(_numbers)}"


def _may_be_alive(owner: str) -> bool | None:
    """Return False for a ledger that is gone, else None: only itself knows its open calls."""
    if owner.rpartition("/")[0] == machine.this_process():
        return None if owner in _LEDGERS else False
    return False if machine.alive(owner) is False else None


def _none_alive(owner: str) -> bool:
    """Return False: no process survives a restart of the machine."""
    return False


class SqliteLedger:
    """Usage in the SQLite file at ``path``, shared by all processes that use the same file.

    The file is opened at the first call, which raises `ConfigurationError` if that fails.
    """

    poll: float | None = 1.0
    is_shared = True
    immediate: ImmediateLedger | None = None

    def __init__(self, path: str | Path) -> None:
        self.path: Final = Path(path)
        self._file: Final = SqliteFile(path)
        self._watch: Final = FileWatch(lambda: SqliteFile(path))
        self._thread: ThreadPoolExecutor | None = None
        self._thread_id = 0
        self._process: Final = Process()

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> int | Denial:
        now, wall = clock.monotonic(), clock.time()
        loop = this_loop()
        taking = self._submit(self._file.take, key, account, lane, limits, now, wall, loop, product)

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
                back()  # before other work of the thread, such as closing
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

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        now, wall = clock.monotonic(), clock.time()
        looking = self._submit(self._file.snapshot, key, account, limits, now, wall)
        return await asyncio.wrap_future(looking)

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._watch.add(wake)

    def lease(self, limits: Limits) -> float:
        """Return the time within which a place is used: ``linger``, and at least a second."""
        return lease_of(limits)

    async def close(self) -> None:
        """Finish pending work, close the file and end the thread. The next call opens it again."""
        self._check_process()
        await asyncio.to_thread(self._watch.close)
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        closing = thread.submit(self._file.close)
        thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._check_process()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "zoho-limits", self._note_thread)
        return self._thread.submit(work, *args, **kwargs)

    def _check_process(self) -> None:
        """Forget the thread in a forked process, which does not have it."""
        if self._process.changed():
            self._thread = None

    def _note_thread(self) -> None:
        self._thread_id = threading.get_ident()
