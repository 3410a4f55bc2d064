"""A durable queue of verified webhooks, in one SQLite file.

Model
-----
`WebhookQueue.put` returns when the delivery is on the disk, so that the receiver can answer Zoho.
`zoho_async.webhooks.changes` takes the deliveries in order, and finishes each one after its change
was handled. A delivery that was not finished is taken again after a restart. One that cannot be
handled is moved to the failed ones: `WebhookQueue.failed` shows them, `WebhookQueue.retry` moves
them back.

The file also holds what is known of each record: the time of the last change that was handled. It
is bounded. When the oldest entries are dropped, the *horizon* moves to the latest moment among
them: a payload of an unknown record is trusted only if it is later than the horizon. A *mark* says
up to when the changes of a list were read (`zoho_async.webhooks.catching_up`).

Why nothing is lost
-------------------
Every transaction is durable when it returns, and only one process can open the file
(`zoho_async.exclusive_database`). Deliveries that arrive at the same time share one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import msgspec
from anyio import CancelScope, to_thread

from zoho_async.exclusive_database import DatabaseKind, run_to_its_end
from zoho_async.webhooks.signature import Delivery, WebhookError

_FILE: Final = DatabaseKind(
    what="a webhook queue",
    application=0x5A686F6B,  # "Zhok"
    version=2,
    when_busy="run one receiver per file",
    tables="""
CREATE TABLE delivery (number INTEGER PRIMARY KEY AUTOINCREMENT, product TEXT NOT NULL,
    data BLOB NOT NULL);
CREATE TABLE failed (number INTEGER PRIMARY KEY, product TEXT NOT NULL, data BLOB NOT NULL,
    problem TEXT NOT NULL, failed REAL NOT NULL);
CREATE TABLE known (key TEXT PRIMARY KEY, moment REAL, digest TEXT NOT NULL, handled REAL NOT NULL);
CREATE INDEX known_by_age ON known (handled);
CREATE TABLE horizon (moment REAL NOT NULL);
""",
)
_MARKS: Final = """
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, moment REAL NOT NULL)
"""
_BATCH: Final = 100


class QueueFull(WebhookError):
    """The queue holds as many deliveries as it may: answer 503, so that Zoho sends again."""


class PendingDelivery(msgspec.Struct, frozen=True):
    """A delivery in the queue. Numbers ascend in the order of arrival."""

    number: int
    product: str
    delivery: Delivery


class FailedDelivery(msgspec.Struct, frozen=True):
    """A delivery that could not be handled.

    ``problem`` is the last error, ``time`` when it was given up, in seconds since 1970.
    """

    number: int
    product: str
    delivery: Delivery
    problem: str
    time: float


class KnownRecord(msgspec.Struct, frozen=True):
    """What was last handled of a record.

    ``moment`` is the record's last change in seconds since 1970, None if it was deleted or has no
    such time. ``digest`` is that of the delivery, "" if there was none.
    """

    moment: float | None
    digest: str = ""


class _Entry:
    """A delivery that waits for the next transaction. ``problem`` is why that one failed."""

    def __init__(self, product: str, delivery: Delivery) -> None:
        self.row: Final = (product, msgspec.msgpack.encode(delivery))
        self.is_written = False
        self.problem: Exception | None = None


@asynccontextmanager
async def open_queue(
    path: str | os.PathLike[str],
    *,
    since: float = 0.0,
    max_pending: int = 100_000,
    max_known: int = 1_000_000,
) -> AsyncGenerator[WebhookQueue]:
    """Open the queue in the file ``path``, or create it.

    Args:
        path: The SQLite file.
        since: For a new file: the moment up to which you already have all records (the start of an
            export), in seconds since 1970. Older payloads are not trusted.
        max_pending: The most deliveries that wait or failed. Further ones raise `QueueFull`.
        max_known: The most records whose last change is remembered.

    Raises `ConfigurationError` if the file is another's, or another process has it open.
    """
    connection = await to_thread.run_sync(_FILE.open, path, partial(_prepare, since=since))
    try:
        yield WebhookQueue(connection, max_pending, max_known)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(connection.close)


class WebhookQueue:
    """An open queue. Its methods can be called by many tasks at once."""

    def __init__(self, connection: sqlite3.Connection, max_pending: int, max_known: int) -> None:
        self._connection: Final = connection
        self._max_pending: Final = max_pending
        self._max_known: Final = max_known
        self._lock: Final = anyio.Lock()
        self._waiting: list[_Entry] = []
        #: How many deliveries are in the transaction that runs.
        self._writing = 0
        self._arrived = anyio.Event()
        self._pending = int(_value(connection, "SELECT count(*) FROM delivery"))
        self._failed = int(_value(connection, "SELECT count(*) FROM failed"))
        self._known = int(_value(connection, "SELECT count(*) FROM known"))
        #: Payloads of unknown records are trusted if they are later, in seconds since 1970.
        self.horizon = float(_value(connection, "SELECT moment FROM horizon"))

    @property
    def pending(self) -> int:
        """The number of deliveries that are not finished."""
        return self._pending + self._writing + len(self._waiting)

    async def put(self, delivery: Delivery, product: str) -> None:
        """Add ``delivery``, and return when it is on the disk.

        A repeat is added too: whether it tells something new is decided when it is taken. Raises
        `QueueFull`, and `sqlite3.Error` if the disk fails: do not answer with success then. A
        delivery whose ``put`` was cancelled is on the disk or not.
        """
        if self.pending + self._failed >= self._max_pending:
            raise QueueFull(f"{self.pending} webhooks wait to be handled, {self._failed} failed")
        entry = _Entry(product, delivery)
        self._waiting.append(entry)
        try:
            async with self._lock:
                if not entry.is_written and entry.problem is None:
                    await self._write_waiting()
        except BaseException:
            if entry in self._waiting:  # cancelled before a transaction took it
                self._waiting.remove(entry)
            raise
        if entry.problem is not None:
            raise entry.problem

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        self._writing = len(batch)
        try:
            await run_to_its_end(lambda: self._write(batch))
        finally:
            # What failed is not kept: its senders send it again.
            self._writing = 0
            self._arrived.set()

    async def take(self, after: int) -> list[PendingDelivery]:
        """The next deliveries with a number above ``after``. Waits until there is one."""
        while True:
            async with self._lock:
                self._arrived = arrived = anyio.Event()
                rows = await run_to_its_end(
                    lambda: self._connection.execute(
                        "SELECT number, product, data FROM delivery WHERE number > ? "
                        "ORDER BY number LIMIT ?",
                        (after, _BATCH),
                    ).fetchall()
                )
            if rows:
                return [
                    PendingDelivery(number, product, msgspec.msgpack.decode(data, type=Delivery))
                    for number, product, data in rows
                ]
            await arrived.wait()

    async def known(self, key: str) -> KnownRecord | None:
        """What was last handled of the record ``key``; None if it is not remembered."""
        sql = "SELECT moment, digest FROM known WHERE key = ?"
        async with self._lock:
            row = await run_to_its_end(lambda: self._connection.execute(sql, (key,)).fetchone())
        return KnownRecord(*row) if row else None

    async def finish(
        self,
        numbers: Sequence[int],
        known: Mapping[str, KnownRecord],
        now: float,
        problems: Mapping[int, str] | None = None,
    ) -> None:
        """Remove deliveries and remember ``known``, in one transaction.

        ``now`` is the time in seconds since 1970. Deliveries that are in ``problems`` are moved to
        the failed ones.
        """
        async with self._lock:
            await run_to_its_end(lambda: self._finish(numbers, known, now, problems or {}))

    async def failed(self) -> list[FailedDelivery]:
        """The deliveries that could not be handled, in the order of their arrival."""
        sql = "SELECT number, product, data, problem, failed FROM failed ORDER BY number"
        async with self._lock:
            rows = await run_to_its_end(lambda: self._connection.execute(sql).fetchall())
        return [
            FailedDelivery(
                number, product, msgspec.msgpack.decode(data, type=Delivery), problem, time
            )
            for number, product, data, problem, time in rows
        ]

    async def retry(self, numbers: Sequence[int]) -> None:
        """Move failed deliveries behind those that wait. They get new numbers."""
        async with self._lock:
            await run_to_its_end(lambda: self._retry(numbers))
            self._arrived.set()

    async def mark(self, name: str) -> float | None:
        """The moment up to which the changes of the list ``name`` are known; None without one."""
        sql = "SELECT moment FROM mark WHERE name = ?"
        async with self._lock:
            row = await run_to_its_end(lambda: self._connection.execute(sql, (name,)).fetchone())
        return float(row[0]) if row else None

    async def move_mark(self, name: str, moment: float) -> None:
        """Note that the changes of ``name`` before ``moment`` (seconds since 1970) are known."""
        sql = (
            "INSERT INTO mark VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
            "SET moment = max(moment, excluded.moment)"
        )
        async with self._lock:
            await run_to_its_end(lambda: self._connection.execute(sql, (name, moment)))

    # -- on a worker thread, one at a time --------------------------------------------------------

    def _write(self, batch: Sequence[_Entry]) -> None:
        """Write all of ``batch`` or nothing, and note in each entry how it ended."""
        try:
            self._insert([each.row for each in batch])
        except Exception as problem:
            for each in batch:
                each.problem = problem
        else:
            for each in batch:
                each.is_written = True

    def _insert(self, rows: Sequence[tuple[str, bytes]]) -> None:
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO delivery (product, data) VALUES (?, ?)", rows)
        self._pending += len(rows)

    def _retry(self, numbers: Sequence[int]) -> None:
        rows = [(number,) for number in numbers]
        with self._connection:
            self._connection.execute("BEGIN")
            moved = self._connection.executemany(
                "INSERT INTO delivery (product, data) "
                "SELECT product, data FROM failed WHERE number = ?",
                rows,
            ).rowcount
            self._connection.executemany("DELETE FROM failed WHERE number = ?", rows)
        self._pending += moved
        self._failed -= moved

    def _finish(
        self,
        numbers: Sequence[int],
        known: Mapping[str, KnownRecord],
        now: float,
        problems: Mapping[int, str],
    ) -> None:
        horizon = self.horizon
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT INTO failed SELECT number, product, data, ?, ? FROM delivery "
                "WHERE number = ?",
                [(problem, now, number) for number, problem in problems.items()],
            )
            removed = self._connection.executemany(
                "DELETE FROM delivery WHERE number = ?", [(number,) for number in numbers]
            ).rowcount
            before = self._connection.total_changes
            self._connection.executemany(
                "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "moment = excluded.moment, digest = excluded.digest, handled = excluded.handled",
                [(key, one.moment, one.digest, now) for key, one in known.items()],
            )
            count = self._known
            if self._connection.total_changes != before:
                count = int(_value(self._connection, "SELECT count(*) FROM known"))
            if count > self._max_known:
                horizon = self._forget(count - self._max_known * 9 // 10)
                count = int(_value(self._connection, "SELECT count(*) FROM known"))
        self._pending -= removed
        self._failed += len(problems)
        self._known, self.horizon = count, horizon

    def _forget(self, count: int) -> float:
        """Drop the ``count`` records that were handled longest ago. Return the new horizon."""
        oldest = "(SELECT key FROM known ORDER BY handled LIMIT ?)"
        latest = self._connection.execute(
            f"SELECT max(max(coalesce(moment, 0), handled)) FROM known WHERE key IN {oldest}",
            (count,),
        ).fetchone()[0]
        self._connection.execute(f"DELETE FROM known WHERE key IN {oldest}", (count,))
        horizon = max(self.horizon, float(latest))
        self._connection.execute("UPDATE horizon SET moment = ?", (horizon,))
        return horizon


def _prepare(connection: sqlite3.Connection, is_new: bool, *, since: float) -> None:
    connection.execute(_MARKS)
    if is_new:
        connection.execute("INSERT INTO horizon VALUES (?)", (since,))


def _value(connection: sqlite3.Connection, sql: str) -> int | float:
    found: int | float = connection.execute(sql).fetchone()[0]
    return found
