"""Which waiting call of one organization asks the ledger next.

The ledger decides whether a call may go. The scheduler decides whose call asks: it arbitrates
between two lanes. Each lane has the loop in which its calls wait (`zoho_async.limits.lane`).

The interactive lane goes first. If both could go, every `BULK_SHARE`-th admission is bulk. Bulk
calls are spread evenly (`zoho_async.limits.pace`).

Some reasons hold up one lane only: bulk calls may not use the reserve, follow an even pace over the
day, and share the bucket with other processes. Then the other lane continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.events import BlockStarted, LedgerStarted, Observer, Refused, Waited, guarded
from zoho_async.limits.lane import LaneQueue
from zoho_async.limits.ledger import Ledger
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.pace import BulkPace
from zoho_async.limits.shared_limits import SharedLimits, shared_limits
from zoho_async.limits.slot import Slot
from zoho_async.limits.usage import Denial, Ending

#: While both lanes wait, one in this many admissions is bulk.
BULK_SHARE: Final = 4


class _AnonymousCaller:
    """The caller of limits that were set without a caller."""


class Scheduler:
    """The limits of one organization in one event loop. Created by `scheduler`."""

    def __init__(
        self,
        key: str,
        *,
        account: str,
        limits: Limits,
        ledger: Ledger,
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        organization = key.rpartition("/")[2]
        self.key: Final = key
        self.account: Final = account
        self.organization: Final = None if organization.startswith("@") else organization
        self.clock: Clock = clock
        self.ledger: Final = ledger
        self._observer = guarded(observer)
        self._shared_limits: Final[SharedLimits] = shared_limits(ledger, key)
        self._callers: dict[Limits, _AnonymousCaller] = {}
        self._immediate: Final = ledger.immediate
        loop = asyncio.get_running_loop()
        self._pace: Final = BulkPace(limits)
        self._interactive: Final = LaneQueue("interactive", self, loop)
        self._bulk: Final = LaneQueue("bulk", self, loop, self._pace)
        #: Queues for the calls of products whose day is spent, by lane and product.
        self._aside: Final[dict[tuple[Lane, str], LaneQueue]] = {}
        self._limits = limits
        #: Interactive admissions since the bulk lane was last ready and not admitted.
        self._streak = 0
        self._admitted = 0
        self._refused = 0
        self._waited = 0.0

    @property
    def limits(self) -> Limits:
        """The limits that apply: the strictest values of all callers.

        Setting it replaces the limits of callers without a name, and wakes all waiters.
        """
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        for one in self._callers.values():
            self._shared_limits.leave(one)
        self._callers.clear()
        self.join(None, limits)

    def join(self, caller: object | None, limits: Limits) -> None:
        """Apply ``limits`` to all callers until ``caller`` leaves or is garbage collected."""
        if caller is None:
            caller = self._callers.setdefault(limits, _AnonymousCaller())
        self._shared_limits.join(caller, limits)
        self.current_limits()

    def leave(self, caller: object) -> None:
        """Remove the limits of ``caller``."""
        self._shared_limits.leave(caller)
        self.current_limits()

    @property
    def observer(self) -> Observer | None:
        """Called with waits and refusals. Its errors go to the event loop's exception handler."""
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = guarded(observer)

    @property
    def rate(self) -> float:
        """Bulk calls a second in the long run, if replies take no time."""
        return self._limits.rate

    @property
    def idle(self) -> bool:
        """Whether it can be replaced by a new scheduler without a difference."""
        return not self.has_waiters() and self._pace.is_full

    def admit(
        self,
        lane: Lane = "interactive",
        *,
        max_wait: float | None = 60.0,
        caller: Hashable = None,
        wait_for_reset: bool = False,
        product: str = "",
    ) -> Coroutine[Any, Any, Slot]:
        """Wait for a slot to send one request. Nothing happens before it is awaited.

        Args:
            lane: The lane to wait in.
            max_wait: Longest wait in seconds. None waits for as long as needed.
            caller: Callers of one lane are served round-robin.
            wait_for_reset: If the daily quota is spent, wait for the next day.
            product: The product that is called, such as ``books``; "" if that is not known.

        Raises `WaitTooLong` as soon as the wait is known to exceed ``max_wait``, and
        `DailyQuotaExceeded`.
        """
        # Not a coroutine itself: one more per waiter is expensive if very many wait.
        queue = self._bulk if lane == "bulk" else self._interactive
        if self._aside:
            queue = self.queue_for(lane, product)
        return queue.admit(max_wait, caller, wait_for_reset, product)

    async def snapshot(self) -> Snapshot:
        """Return the usage now."""
        shared = await self.ledger.snapshot(self.key, self.account, self._limits, self.clock)
        return msgspec.structs.replace(
            shared,
            waiting={"interactive": self._waiting("interactive"), "bulk": self._waiting("bulk")},
            admitted=self._admitted,
            refused=self._refused,
            waited_seconds=self._waited,
        )

    # -- for slots --------------------------------------------------------------------------------

    async def settle(self, place: int, ending: Ending) -> None:
        """Note how a call ended. For `Slot`."""
        blocked_for = 0.0
        try:
            if self._immediate is not None:
                blocked_for = self._immediate.settle_now(
                    self.key, self.account, place, ending, self._limits, self.clock
                )
            else:
                blocked_for = await self.ledger.settle(
                    self.key, self.account, place, ending, self._limits, self.clock
                )
        finally:
            if self._interactive.head is not None or self._bulk.head is not None:
                self._wake()
            if ending.refusal is not None:
                self._note_refusal(ending.refusal.code, blocked_for)

    def _note_refusal(self, code: int | None, blocked_for: float) -> None:
        self._refused += 1
        self._notify(Refused(organization=self.organization, code=code, blocked_for=blocked_for))
        if blocked_for > 0:
            self._notify(BlockStarted(organization=self.organization, seconds=blocked_for))

    def _notify(self, event: Waited | Refused | BlockStarted | LedgerStarted) -> None:
        if self._observer is not None:
            self._observer(event)

    # -- for lanes (`Arbiter`) --------------------------------------------------------------------

    def current_limits(self) -> Limits:
        """Return the limits that apply now. If they changed, here or in a thread, wake waiters."""
        limits = self._shared_limits.limits
        if limits is self._limits or limits is None or limits == self._limits:
            return self._limits
        self._limits = limits
        self._pace.change_limits(limits)
        self._wake()
        return limits

    def has_waiters(self) -> bool:
        """Return whether a call waits in any lane."""
        if self._interactive.head is not None or self._bulk.head is not None:
            return True
        return any(lane.head is not None for lane in self._aside.values())

    def queue_for(self, lane: Lane, product: str) -> LaneQueue:
        """Return the queue in which a call of ``product`` waits."""
        aside = self._aside.get((lane, product))
        if aside is not None and aside.head is not None:
            return aside
        return self._bulk if lane == "bulk" else self._interactive

    def set_aside(self, lane: Lane, product: str) -> LaneQueue:
        """Return the queue for calls of ``product`` that wait for the next day."""
        queue = self._aside.get((lane, product))
        if queue is None:
            loop = asyncio.get_running_loop()
            queue = self._aside[lane, product] = LaneQueue(lane, self, loop, is_aside=True)
        return queue

    def _waiting(self, lane: Lane) -> int:
        aside = sum(len(queue) for queue in self._aside.values() if queue.name == lane)
        return len(self._bulk if lane == "bulk" else self._interactive) + aside

    def first_lane(self, lane: LaneQueue) -> LaneQueue:
        """Return the lane that goes first: ``lane`` or the other one."""
        if lane.name == "bulk":
            yields = self._streak < BULK_SHARE - 1 and self._interactive.is_ready
            return self._interactive if yields else lane
        yields = self._streak >= BULK_SHARE - 1 and self._bulk.is_ready
        return self._bulk if yields else lane

    def wake_other(self, lane: LaneQueue) -> None:
        """Have the head of the other lane ask again."""
        (self._interactive if lane.name == "bulk" else self._bulk).wake()
        for queue in self._aside.values():
            if queue.name != lane.name:
                queue.wake()

    def admit_call(self, lane: LaneQueue, place: int, asked_at: float, waited: float) -> Slot:
        """Count a call that took ``place``, and return its slot."""
        if lane.name == "bulk":
            if not lane.is_aside:
                self._pace.spend_token()
            self._streak = 0
        elif self._bulk.head is not None:
            self._streak = self._streak + 1 if self._bulk.is_ready else 0
        self._admitted += 1
        if waited:
            self._waited += waited
            if self._observer is not None:
                self._notify(Waited(organization=self.organization, lane=lane.name, seconds=waited))
        return Slot(self, place, asked_at + self.ledger.lease(self._limits))

    def note_denial(self, denial: Denial) -> None:
        """Report a denial until another time than the last one."""
        if denial.reason == "ledger_new" and denial.wait:
            self._notify(LedgerStarted(organization=self.organization, seconds=denial.wait))

    def _wake(self) -> None:
        self._interactive.wake()
        self._bulk.wake()
        for queue in self._aside.values():
            queue.wake()


_schedulers: Final[
    WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[Ledger, str], Scheduler]]
] = WeakKeyDictionary()


def scheduler(
    key: str,
    *,
    account: str,
    limits: Limits,
    ledger: Ledger,
    clock: Clock,
    observer: Observer | None,
    caller: object | None = None,
) -> Scheduler:
    """Return the scheduler of ``key`` in the running loop. All users of ``ledger`` share it.

    ``key`` is ``host/organization`` and ``account`` is ``host/@client``. For calls without an
    organization, both are the account. If callers differ, the strictest limits apply until the
    ``caller`` that set them leaves, and the newest observer is used.
    """
    loop = asyncio.get_running_loop()
    known = _schedulers.get(loop)
    if known is None:
        known = _schedulers[loop] = WeakValueDictionary()
    found = known.get((ledger, key))
    if found is None:
        found = known[ledger, key] = Scheduler(
            key, account=account, limits=limits, ledger=ledger, clock=clock, observer=observer
        )
    elif observer is not None:
        found.observer = observer
    found.join(caller, limits)
    return found
