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

The handler is called once or more often for each change, because the process may end between the
handler and the note in the queue.

What is unknown
---------------
That the default payload is complete is documented; a payload of the user's own choice is not, and
cannot be recognized. Of an event of Billing with several records, only the one that its type
names is taken as complete. That ``last_modified_time`` moves with each change is not documented
(comments do not move it, and need no webhook). A read that returns an older state than a payload,
from a copy at Zoho that lags, is ignored. The horizon compares this computer's clock with Zoho's.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.errors import (
    AccountsUnavailable,
    InvalidRequest,
    LedgerError,
    NotFound,
    RateLimited,
    ServerError,
    TokenThrottled,
    TransportError,
)
from zoho_async.session import Session
from zoho_async.webhooks.events import (
    BillingEvent,
    ChangeEvent,
    ProductName,
    UnreadableWebhook,
    parse,
    readable,
)
from zoho_async.webhooks.queue import KnownRecord, PendingDelivery, WebhookQueue
from zoho_async.wire import Record

Decision: TypeAlias = Literal["apply", "drop", "read"]
#: Where the record of a change comes from. ``unconfirmed``: from a payload, and it cannot be read,
#: or the payload names another organization.
Source: TypeAlias = Literal["payload", "read", "unconfirmed"]

_LOGGER: Final = logging.getLogger("zoho_async.webhooks")
#: Events after which the payload can be the record, and those of Billing behind the record's name.
#: Any other event is confirmed by a read.
_EDITS: Final = frozenset({"created", "edited", "updated", "created_or_edited", "changed"})
_BILLING_EDITS: Final = ("created", "updated", "upgraded")
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
_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


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


class _Item(msgspec.Struct, frozen=True):
    """One record of one delivery."""

    number: int
    digest: str
    module: str
    resource: str
    record_id: str
    record: Record | None
    event: ChangeEvent | BillingEvent

    @property
    def key(self) -> str:
        return f"{self.resource} {self.record_id}"

    @property
    def moment(self) -> float | None:
        return moment_of(self.record)

    @property
    def can_be_read(self) -> bool:
        return bool(self.resource and self.record_id)


def moment_of(record: Record | None) -> float | None:
    """When a record was last changed, in seconds since 1970; None if it does not say."""
    for name in ("last_modified_time", "updated_time"):
        found = getattr(record, name, None)
        if isinstance(found, datetime) and found.tzinfo is not None:
            return found.timestamp()
    return None


def decide(
    *,
    event_type: str,
    module: str,
    is_proven: bool,
    moment: float | None,
    digest: str,
    known: KnownRecord | None,
    horizon: float,
) -> Decision:
    """Choose what to do with a payload of a record whose last change was at ``moment``."""
    if moment is None or not is_proven or not _is_edit(event_type, module):
        return "read"
    if known is None:
        return "apply" if moment > horizon else "read"
    if known.moment is None:
        return "read"
    if moment == known.moment:
        return "drop" if digest == known.digest else "read"
    return "apply" if moment > known.moment else "drop"


def _is_edit(event_type: str, module: str) -> bool:
    return event_type in _EDITS or event_type in [f"{module}_{edit}" for edit in _BILLING_EDITS]


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
    day's calls are used up. An exception of ``handler`` ends this function, as does a read that the
    session's credentials do not allow. The delivery is handled again by the next call. ``wall`` is
    the clock, in seconds since 1970.

        async def store(change: Change) -> None:
            ...  # called once or more often for each change

        async with open_queue("webhooks.sqlite") as queue, anyio.create_task_group() as tasks:
            tasks.start_soon(handle_changes, queue, zoho, store)
    """
    patient = zoho.with_options(lane="bulk", max_wait=None, wait_for_reset=True)
    send, receive = anyio.create_memory_object_stream[str](float("inf"))
    worker = _Worker(queue, patient, handler, wall, send, receive)
    async with send, receive, anyio.create_task_group() as tasks:
        for _ in range(readers):
            tasks.start_soon(worker.read_records)
        await worker.take_deliveries()


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
    ) -> None:
        self._queue: Final = queue
        self._zoho: Final = zoho
        self._handler: Final = handler
        self._wall: Final = wall
        #: Records that wait to be read or are being read, with the items that a read will finish.
        self._to_read: dict[str, list[_Item]] = {}
        #: How many items of a delivery are not finished.
        self._open: defaultdict[int, int] = defaultdict(int)
        self._finished = anyio.Event()
        self._send: Final = send
        self._receive: Final = receive

    async def take_deliveries(self) -> None:
        """Decide about each delivery in turn."""
        last = 0
        while True:
            for pending in await self._queue.take(last):
                while len(self._open) >= MOST_OPEN:
                    self._finished = anyio.Event()
                    await self._finished.wait()
                last = pending.number
                items = list(_items_of(pending))
                self._open[pending.number] = len(items)
                for item in items:
                    await self._dispatch(item)
                if not items:
                    await self._finish([pending.number], {})

    async def _dispatch(self, item: _Item) -> None:
        if not item.can_be_read or self._is_foreign(item.event):
            await self._handler(_change(item, item.record, "unconfirmed"))
            await self._done([item], {})
            return
        if item.key in self._to_read:
            self._to_read[item.key].append(item)
            return
        decision = decide(
            event_type=item.event.event_type,
            module=item.module,
            is_proven=item.event.is_proven,
            moment=item.moment,
            digest=item.digest,
            known=await self._queue.known(item.key),
            horizon=self._queue.horizon,
        )
        if decision == "read":
            self._to_read[item.key] = [item]
            self._send.send_nowait(item.key)
        elif decision == "apply":
            await self._handler(_change(item, item.record, "payload"))
            await self._done([item], {item.key: KnownRecord(item.moment, item.digest)})
        else:
            await self._done([item], {})

    def _is_foreign(self, event: ChangeEvent | BillingEvent) -> bool:
        """Whether an event names another organization than the session reads from."""
        named = event.organization_id if isinstance(event, ChangeEvent) else ""
        own = self._zoho.organization
        return bool(named and own) and named != own

    async def read_records(self) -> None:
        """Read records that wait to be read, one after the other."""
        async for key in self._receive:
            while self._to_read[key]:
                items = tuple(self._to_read[key])
                try:
                    record = await self._read(items[-1])
                except InvalidRequest as problem:
                    _LOGGER.error("a changed record cannot be read: %s", problem)
                    await self._handler(_change(items[-1], items[-1].record, "unconfirmed"))
                    await self._done(items, {})
                else:
                    await self._handle_read(key, items, record)
                self._to_read[key] = self._to_read[key][len(items) :]
            del self._to_read[key]

    async def _handle_read(self, key: str, items: tuple[_Item, ...], record: Record | None) -> None:
        moment, known = moment_of(record), await self._queue.known(key)
        if moment is not None and known and known.moment is not None and moment < known.moment:
            await self._done(items, {})  # from a copy at Zoho that lags
            return
        await self._handler(_change(items[-1], record, "read"))
        await self._done(items, {key: KnownRecord(moment, items[-1].digest)})

    async def _read(self, item: _Item) -> Record | None:
        """Read a record; None if it does not exist. Tries until Zoho can be reached."""
        get = importlib.import_module(f"zoho_async.{item.resource}").get
        for number in itertools.count():
            try:
                record: Record = await get(self._zoho, item.record_id)
            except NotFound:
                return None
            except _TEMPORARY as problem:
                pause = _PAUSES[min(number, len(_PAUSES) - 1)]
                _LOGGER.warning("a record cannot be read; next try in %.0f s: %s", pause, problem)
                await anyio.sleep(pause)
            else:
                return record
        raise AssertionError("unreachable")

    async def _done(self, items: Sequence[_Item], known: dict[str, KnownRecord]) -> None:
        """Note that ``items`` are handled; their deliveries are finished with the last item."""
        for item in items:
            self._open[item.number] -= 1
        await self._finish(
            sorted({item.number for item in items if not self._open[item.number]}), known
        )

    async def _finish(self, numbers: list[int], known: dict[str, KnownRecord]) -> None:
        for number in numbers:
            del self._open[number]
        self._finished.set()
        await self._queue.finish(numbers, known, self._wall())


def _change(item: _Item, record: Record | None, source: Source) -> Change:
    return Change(
        resource=item.resource,
        record_id=item.record_id,
        record=record,
        is_deleted=source == "read" and record is None,
        source=source,
        event=item.event,
    )


def _items_of(pending: PendingDelivery) -> Iterator[_Item]:
    delivery = pending.delivery
    try:
        event = parse(delivery, cast(ProductName, pending.product))
    except (UnreadableWebhook, LookupError) as problem:
        _LOGGER.error("a queued webhook cannot be read and is dropped: %s", problem)
        return
    if isinstance(event, ChangeEvent):
        records: dict[str, Record | None] = {event.module: event.record}
        values: Mapping[str, Any] = {event.module: event.values}
    else:
        records, values = dict(event.records), event.values
    for module, record in records.items():
        resource, record_id = readable(pending.product, module, values[module])
        yield _Item(
            number=pending.number,
            digest=delivery.digest,
            module=module,
            resource=resource,
            record_id=record_id,
            record=record,
            event=event,
        )
