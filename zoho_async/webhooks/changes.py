"""Turn queued webhooks into changes of records, each in the right order and confirmed.

Model
-----
For each delivery, `decide` chooses between three ways:

- *apply*: the payload is the record. Its signature proves it, the event creates or edits this
  record, and its time is later than anything known of it.
- *drop*: the payload is older than what was handled, or the same delivery again.
- *read*: everything else, such as a deletion, a payload without a time, or another payload with the
  same second. The record is read from the API by its id. If Zoho does not find it, it was deleted.

Invariant
---------
Once all deliveries of a record are handled, the last change given to the handler is the record's
state at or after the last of its changes that was delivered.

Why it holds
------------
A change is handled by one task at a time per record: deliveries of a record that is waiting to be
read, or being read, join that read, and it is repeated if one joins after it began. So no older
state is handled after a newer one. After a deletion every delivery of the record is read, because a
late payload could bring it back. `last_modified_time` has whole seconds, so the same second never
decides for a payload.

A copy at Zoho that lags could hide a deletion or the latest change. So a read is repeated after a
pause if it finds a record that was deleted, misses one that was edited, or is older than what was
delivered (`doubt_of`). A record that is missed in each try is taken as deleted. One that is found
in each try is handled as it is, and its deletion is set aside. An older state is never handled.

The handler is called once or more often for each change, because the process may end between the
handler and the note in the queue.

A record for which the handler or the read fails waits alone: it is tried again after growing
pauses. After `MOST_TRIES` its deliveries are set aside in the queue with the last error. If the
handler fails for every record, the cause is not the record, so it is tried until it succeeds. So
is a read that Zoho does not answer, or with a server error, but other records get their turn.

What is unknown
---------------
That the default payload is complete is documented; a payload of the user's own choice is not, and
cannot be recognized. Of an event of Billing with several records, only the one that its type
names is taken as complete. That ``last_modified_time`` moves with each change is not documented
(comments do not move it, and need no webhook). How long copies at Zoho lag; a change that they lack
in the same second as the last known one is not recognized. The horizon compares this computer's
clock with Zoho's.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import math
import sqlite3
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.errors import (
    AccountsUnavailable,
    DecodeError,
    InvalidRequest,
    LedgerError,
    NotAuthorized,
    OrganizationError,
    RateLimited,
    ReplyError,
    ServerError,
    TokenThrottled,
    TransportError,
    UnreadableReply,
    says_gone,
)
from zoho_async.session import Session
from zoho_async.webhooks.decisions import OLDER, ChangedItem, decide, doubt_of, items_of, moment_of
from zoho_async.webhooks.events import (
    BillingEvent,
    ChangeEvent,
    UnreadableWebhook,
)
from zoho_async.webhooks.queue import KnownRecord, PendingDelivery, WebhookQueue
from zoho_async.wire import Record

#: Where the record of a change comes from. ``unconfirmed``: from a payload, and it cannot be read,
#: or the payload names another organization.
Source: TypeAlias = Literal["payload", "read", "unconfirmed"]

_LOGGER: Final = logging.getLogger("zoho_async.webhooks")
#: Errors of a read that end without a change of settings.
_TEMPORARY: Final = (
    TransportError,
    ServerError,
    RateLimited,
    AccountsUnavailable,
    TokenThrottled,
    LedgerError,
)
#: The most deliveries that are in memory, waiting for their reads.
MOST_OPEN: Final = 1000
#: Seconds before the next tries.
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
#: The tries of a record before its deliveries are set aside.
MOST_TRIES: Final = 6
_LONGEST_PROBLEM: Final = 500


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a record after a change.

    ``resource`` is ``product.resource``. ``event`` is the latest event that led here. A module that
    this package does not know has the resource "" and no ``record``: its values are in ``event``. A
    deleted record has no ``record`` either.
    """

    resource: str
    record_id: str
    record: Record | None
    is_deleted: bool
    source: Source
    event: ChangeEvent | BillingEvent


Handler: TypeAlias = Callable[[Change], Awaitable[None]]


async def handle_changes(
    queue: WebhookQueue,
    zoho: Session,
    handler: Handler,
    *,
    readers: int = 4,
    wall: Callable[[], float] = time.time,
) -> None:
    """Give each change in ``queue`` to ``handler``, until it is cancelled.

    Records are read in the bulk lane, by ``readers`` tasks; a read waits for the next day if the
    day's calls are used up. A read that the session's credentials do not allow ends this function;
    the delivery is handled again by the next call. ``wall`` is the clock, in seconds since 1970.

    If ``handler`` raises an exception, the record is read and handled again after a pause, while
    other records go on. After six tries its deliveries are set aside: see `WebhookQueue.failed` and
    `WebhookQueue.retry`. As long as ``handler`` fails for all records, nothing is set aside. What
    Zoho cannot answer now is read later, and if the disk is full, this function waits.

        async def store(change: Change) -> None:
            ...  # called once or more often for each change

        async with open_queue("webhooks.sqlite") as queue, anyio.create_task_group() as tasks:
            tasks.start_soon(handle_changes, queue, zoho, store)
    """
    patient = zoho.with_options(lane="bulk", max_wait=None, wait_for_reset=True)
    send, receive = anyio.create_memory_object_stream[str](float("inf"))
    async with send, receive, anyio.create_task_group() as tasks:
        worker = _Worker(queue, patient, handler, wall, send, receive, tasks)
        for _ in range(readers):
            tasks.start_soon(worker.read_records)
        await worker.take_deliveries()


class _TryLater(Exception):
    """A record cannot be handled now, for a reason that concerns this record only."""

    def __init__(self, problem: str, *, of_handler: bool = False) -> None:
        super().__init__(problem)
        self.of_handler: Final = of_handler


class _Unreachable(Exception):
    """Zoho did not answer for a while, or failed. The cause need not be the record."""


class _Worker:
    """The state of one `handle_changes`."""

    def __init__(
        self,
        queue: WebhookQueue,
        zoho: Session,
        handler: Handler,
        wall: Callable[[], float],
        send: MemoryObjectSendStream[str],
        receive: MemoryObjectReceiveStream[str],
        tasks: TaskGroup,
    ) -> None:
        self._queue: Final = queue
        self._zoho: Final = zoho
        self._handler: Final = handler
        self._wall: Final = wall
        #: Records that wait to be read or are being read, with the items that a read will finish.
        self._to_read: dict[str, list[ChangedItem]] = {}
        #: How many items of a delivery are not finished.
        self._open: defaultdict[int, int] = defaultdict(int)
        #: Why deliveries that are not finished have failed.
        self._problems: dict[int, str] = {}
        #: The tries of a record that failed, and the handler's successes before the first one.
        self._tries: dict[str, tuple[int, int]] = {}
        self._successes = 0
        self._finished = anyio.Event()
        self._send: Final = send
        self._receive: Final = receive
        self._tasks: Final = tasks

    async def take_deliveries(self) -> None:
        """Decide about each delivery in turn."""
        last = 0
        while True:
            for pending in await self._queue.take(last):
                while len(self._open) >= MOST_OPEN:
                    self._finished = anyio.Event()
                    await self._finished.wait()
                last = pending.number
                items = self._items(pending)
                self._open[pending.number] = len(items)
                for item in items:
                    await self._dispatch(item)
                if not items:
                    await self._finish([pending.number], {})

    def _items(self, pending: PendingDelivery) -> list[ChangedItem]:
        try:
            return list(items_of(pending))
        except (UnreadableWebhook, LookupError) as problem:
            _LOGGER.error("a queued webhook cannot be read: %s", problem)
            self._problems[pending.number] = str(problem)
            return []

    async def _dispatch(self, item: ChangedItem) -> None:
        key = item.key
        if not item.can_be_read or self._is_foreign(item.event):
            self._read_soon(f"{item.module} of delivery {item.number}", [item])
            return
        if key in self._to_read:
            self._to_read[key].append(item)
            return
        decision = decide(
            event_type=item.event.event_type,
            module=item.module,
            is_proven=item.event.is_proven,
            moment=item.moment,
            digest=item.digest,
            known=await self._queue.known(key),
            horizon=self._queue.horizon,
        )
        if decision == "drop":
            await self._done([item], {})
        elif decision == "read":
            self._read_soon(key, [item])
        else:
            try:
                await self._handle(_change(item, item.record, "payload"))
            except _TryLater as problem:  # the next try reads the record
                self._to_read[key] = [item]
                await self._try_later(key, (item,), problem)
            else:
                await self._done([item], {key: KnownRecord(item.moment, item.digest)})

    def _read_soon(self, key: str, items: list[ChangedItem]) -> None:
        self._to_read[key] = items
        self._send.send_nowait(key)

    def _is_foreign(self, event: ChangeEvent | BillingEvent) -> bool:
        """Whether an event names another organization than the session reads from."""
        named = event.organization_id if isinstance(event, ChangeEvent) else ""
        own = self._zoho.organization
        return bool(named and own) and named != own

    async def _handle(self, change: Change) -> None:
        try:
            await self._handler(change)
        except (Exception, asyncio.CancelledError) as problem:
            if isinstance(problem, asyncio.CancelledError) and _is_cancelled():
                raise
            text = f"{type(problem).__name__}: {problem}"[:_LONGEST_PROBLEM]
            raise _TryLater(text, of_handler=True) from problem
        self._successes += 1

    async def read_records(self) -> None:
        """Read records that wait to be read, one after the other."""
        async for key in self._receive:
            items = tuple(self._to_read[key])
            known = await self._queue.known(key)
            try:
                now_known, problem = await self._confirm(key, items, known)
            except _TryLater as failure:
                await self._try_later(key, items, failure)
            except _Unreachable:
                self._send.send_nowait(key)  # behind the records that wait
            else:
                await self._done(items, now_known, problem=problem)
                self._go_on(key, items)

    async def _confirm(
        self, key: str, items: tuple[ChangedItem, ...], known: KnownRecord | None
    ) -> tuple[dict[str, KnownRecord], str]:
        """Read a record and handle it. Returns what is known then, and a doubt that stays or "".

        Raises `_TryLater` if that fails, or the read is in doubt and there are more tries, and
        `_Unreachable`.
        """
        last = items[-1]
        if not last.can_be_read or self._is_foreign(last.event):
            await self._handle(_change(last, last.record, "unconfirmed"))
            return {}, ""
        try:
            record = await self._read(last)
        except InvalidRequest as problem:
            _LOGGER.error("a changed record cannot be read: %s", problem)
            await self._handle(_change(last, last.record, "unconfirmed"))
            return {}, ""
        doubt = doubt_of(record, items, known)
        if doubt and (doubt == OLDER or not self._is_last_try(key)):
            raise _TryLater(doubt)
        await self._handle(_change(last, record, "read"))
        return {key: KnownRecord(moment_of(record), last.digest)}, "" if record is None else doubt

    async def _read(self, item: ChangedItem) -> Record | None:
        """Read a record; None if it does not exist.

        Raises `_TryLater` if the reply about this record cannot be used, and `_Unreachable` after
        several tries that got none.
        """
        get = importlib.import_module(f"zoho_async.{item.resource}").get
        for pause in _PAUSES:
            try:
                record: Record = await get(self._zoho, item.record_id)
            except (NotAuthorized, OrganizationError):
                raise
            except (UnreadableReply, DecodeError) as problem:
                raise _TryLater(str(problem)) from problem
            except _TEMPORARY as problem:
                _LOGGER.warning("a record cannot be read; next try in %.0f s: %s", pause, problem)
                await anyio.sleep(pause)
            except ReplyError as problem:
                if says_gone(problem):
                    return None
                if isinstance(problem, InvalidRequest):
                    raise
                raise _TryLater(str(problem)) from problem
            else:
                return record
        raise _Unreachable

    # -- records that fail ------------------------------------------------------------------------

    def _is_last_try(self, key: str) -> bool:
        return self._tries.get(key, (0, 0))[0] + 1 >= MOST_TRIES

    async def _try_later(
        self, key: str, items: tuple[ChangedItem, ...], problem: _TryLater
    ) -> None:
        """Try a record again after a pause, or give its items up."""
        tries, successes = self._tries.get(key, (0, self._successes))
        others_succeed = self._successes > successes
        if tries + 1 >= MOST_TRIES and (others_succeed or not problem.of_handler):
            _LOGGER.error(
                "a change of %s failed %d times and is set aside in the queue: %s",
                key, tries + 1, _logged(problem),
            )  # fmt: skip
            await self._done(items, {}, problem=str(problem))
            self._go_on(key, items)
            return
        self._tries[key] = tries + 1, successes
        pause = _pause(tries)
        _LOGGER.warning(
            "a change of %s failed; next try in %.0f s: %s", key, pause, _logged(problem)
        )
        self._tasks.start_soon(self._send_later, key, pause)

    async def _send_later(self, key: str, pause: float) -> None:
        await anyio.sleep(pause)
        self._send.send_nowait(key)

    def _go_on(self, key: str, items: tuple[ChangedItem, ...]) -> None:
        """Continue with the items that joined after ``items``."""
        self._tries.pop(key, None)
        left = self._to_read.pop(key)[len(items) :]
        if left:
            self._read_soon(key, left)

    # -- finished items ---------------------------------------------------------------------------

    async def _done(
        self, items: Sequence[ChangedItem], known: dict[str, KnownRecord], *, problem: str = ""
    ) -> None:
        """Note that ``items`` are handled; their deliveries are finished with the last item."""
        for item in items:
            self._open[item.number] -= 1
            if problem:
                self._problems[item.number] = problem
        await self._finish(
            sorted({item.number for item in items if not self._open[item.number]}), known
        )

    async def _finish(self, numbers: list[int], known: dict[str, KnownRecord]) -> None:
        problems: dict[int, str] = {}
        for number in numbers:
            del self._open[number]
            if number in self._problems:
                problems[number] = self._problems.pop(number)
        self._finished.set()
        for tries in itertools.count():
            try:
                await self._queue.finish(numbers, known, self._wall(), problems)
            except sqlite3.OperationalError as problem:  # such as a full disk
                pause = _pause(tries)
                _LOGGER.error("the queue cannot be written; next try in %.0f s: %s", pause, problem)
                await anyio.sleep(pause)
            else:
                return


def _is_cancelled() -> bool:
    """Whether this task is cancelled, and not a task that the handler waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0 or anyio.current_effective_deadline() == -math.inf


def _pause(tries: int) -> float:
    return _PAUSES[min(tries, len(_PAUSES) - 1)]


def _logged(problem: _TryLater) -> str:
    """A problem as it is logged. The text of a handler's error can hold anything."""
    cause = problem.__cause__
    return type(cause).__name__ if problem.of_handler else str(problem)


def _change(item: ChangedItem, record: Record | None, source: Source) -> Change:
    return Change(
        resource=item.resource,
        record_id=item.record_id,
        record=record,
        is_deleted=source == "read" and record is None,
        source=source,
        event=item.event,
    )
