"""The waiting side of one organization's limits: who asks the ledger next.

The ledger decides whether a call may go. The scheduler decides whose call asks. There is no
background task. The first waiter of each lane, its *head*, asks the ledger in its own task, and
sleeps until the moment that the ledger named or until something changes. The other waiters sleep
without a timer until the head leaves and wakes its successor. A waiter that is cancelled, at any
point, passes its role on.

A ledger in memory answers at once. Then a head that leaves with its slot also asks for the waiters
after it, in their order and under the same rules, because one turn of the event loop per waiter
would cost as much as all the rest. A waiter that is cancelled before it saw its slot gives it back.
At most `AT_ONCE` slots are given in one turn, so that other tasks run too.

There are two lanes, and so two heads. The interactive head goes first. If both could go, every
`BULK_SHARE`-th admission is bulk. The bulk head takes a token from the bucket before it asks, so
that bulk calls are spread evenly. The token belongs to the lane, not to the call. So it is not lost
if the head is cancelled, and the bucket does not overflow while the head waits.

Some reasons hold up one lane only: bulk calls may not use the reserve, follow an even pace over the
day, and share the bucket with other processes. Then the other lane continues.

If the ledger names a moment, the head sleeps until then and ignores changes. If the moment depends
on replies, the ledger wakes the head (`Ledger.watch`). The head also asks once per ``poll``, in
case a change was missed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import WaitTooLong
from zoho_async.events import BlockStarted, LedgerStarted, Observer, Refused, Waited, guarded
from zoho_async.limits.deadlines import TICK, Deadlines
from zoho_async.limits.fair_queue import Waiter
from zoho_async.limits.lane import LaneQueue, exhausted, new_bucket, refills_in, why
from zoho_async.limits.ledger import Ledger, MemoryLedger
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.shared_limits import SharedLimits, shared_limits
from zoho_async.limits.slot import Slot
from zoho_async.limits.usage import Denial, Ending

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

#: While both lanes wait, one in this many admissions is bulk.
BULK_SHARE: Final = 4
#: Most admissions of one lane in one turn of the event loop. They take under a millisecond.
AT_ONCE: Final = 64


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
        self._observer = guarded(observer)
        self._shared_limits: Final[SharedLimits] = shared_limits(ledger, key)
        self._callers: dict[Limits, _AnonymousCaller] = {}
        self._ledger: Final = ledger
        self._loop: Final = asyncio.get_running_loop()
        self._interactive: Final = LaneQueue("interactive", self._loop)
        self._bulk: Final = LaneQueue("bulk", self._loop)
        self._deadlines: Final = Deadlines(self._loop, clock, self._expire)
        self._bucket: AsyncLimiter | None = None
        #: The ledger, if it answers at once.
        self._memory: Final = ledger if type(ledger) is MemoryLedger else None
        self._limits = limits
        self._paced = limits.burst < limits.limit
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
        self._apply_shared_limits()

    def leave(self, caller: object) -> None:
        """Remove the limits of ``caller``."""
        self._shared_limits.leave(caller)
        self._apply_shared_limits()

    def _apply_shared_limits(self) -> None:
        """Apply limits that changed, here or in another thread, and wake all waiters."""
        limits = self._shared_limits.limits
        if limits is None or limits is self._limits or limits == self._limits:
            return
        self._limits = limits
        self._bucket = None
        self._paced = limits.burst < limits.limit
        self._wake()

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
        if not self._is_empty() or self._bulk.token:
            return False
        return self._bucket is None or self._bucket.has_capacity(self._limits.burst)

    async def admit(
        self,
        lane: Lane = "interactive",
        *,
        max_wait: float | None = 60.0,
        caller: object = None,
        wait_for_reset: bool = False,
    ) -> Slot:
        """Wait for a slot to send one request.

        Args:
            lane: The lane to wait in.
            max_wait: Longest wait in seconds. None waits for as long as needed.
            caller: Callers of one lane are served round-robin.
            wait_for_reset: If the daily quota is spent, wait for the next day.

        Raises `WaitTooLong` as soon as the wait is known to exceed ``max_wait``, and
        `DailyQuotaExceeded`.
        """
        queue = self._bulk if lane == "bulk" else self._interactive
        now = self.clock.monotonic()
        if self._shared_limits.limits is not self._limits:
            self._apply_shared_limits()
        if self._is_empty() and (queue is self._interactive or not self._paced):
            known, memory = self._limits, self._memory
            if memory is not None:
                answer = memory.take_now(self.key, self.account, lane, known, self.clock)
            else:
                answer = await self._ledger.take(self.key, self.account, lane, known, self.clock)
            if not isinstance(answer, Denial):
                return self._admit(queue, None, answer, now)
        deadline = math.inf if max_wait is None else now + max_wait
        waiter = Waiter(caller, now, deadline, wait_for_reset, self._loop)
        if queue.head is None:
            queue.head = waiter
        else:
            self._enqueue(queue, waiter, now)
            # Awaited here, because one more coroutine per waiter is expensive if very many wait.
            try:
                verdict = await waiter
            except BaseException:
                await self._leave_queue(queue, waiter)
                raise
            finally:
                self._deadlines.discard(waiter)
            if isinstance(verdict, Exception):
                raise verdict
            if verdict is not None:
                return verdict
        try:
            slot = await self._ask_until_admitted(queue, waiter)
            if self._memory is not None and queue.waiters:
                await self._admit_waiters(queue, self._memory)
            return slot
        finally:
            self._advance(queue)

    async def snapshot(self) -> Snapshot:
        """Return the usage now."""
        shared = await self._ledger.snapshot(self.key, self.account, self._limits, self.clock)
        return msgspec.structs.replace(
            shared,
            waiting={
                queue.lane: len(queue.waiters) + (queue.head is not None)
                for queue in (self._interactive, self._bulk)
            },
            admitted=self._admitted,
            refused=self._refused,
            waited_seconds=self._waited,
        )

    async def settle(self, place: int, ending: Ending) -> None:
        """Note how a call ended. For `Slot`."""
        blocked_for, memory = 0.0, self._memory
        request = (self.key, self.account, place, ending, self._limits, self.clock)
        try:
            if memory is not None:
                blocked_for = memory.settle_now(*request)
            else:
                blocked_for = await self._ledger.settle(*request)
        finally:
            if not self._is_empty():
                self._wake()
            if ending.refusal is not None:
                self._note_refusal(ending.refusal.code, blocked_for)

    def _note_refusal(self, code: int | None, blocked_for: float) -> None:
        self._refused += 1
        if self._observer is not None:
            self._notify(
                Refused(organization=self.organization, code=code, blocked_for=blocked_for)
            )
            if blocked_for > 0:
                self._notify(BlockStarted(organization=self.organization, seconds=blocked_for))

    def _notify(self, event: Waited | Refused | BlockStarted | LedgerStarted) -> None:
        if self._observer is not None:
            self._observer(event)

    # -- waiters after the head --------------------------------------------------------------------

    def _enqueue(self, queue: LaneQueue, waiter: Waiter, now: float) -> None:
        """Queue ``waiter`` until it is the head of its lane, or is given its slot."""
        self._refuse_long_wait(queue, waiter, now)
        waiter.waited = True
        queue.waiters.push(waiter)
        if waiter.deadline < math.inf:
            self._deadlines.add(waiter)

    async def _leave_queue(self, queue: LaneQueue, waiter: Waiter) -> None:
        """Remove a ``waiter`` that was cancelled."""
        if queue.head is waiter:
            self._advance(queue)  # it became the head and was cancelled in the same moment
        elif waiter.given is not None:
            await waiter.given.unsent()
        else:
            queue.waiters.discard(waiter)

    def _refuse_long_wait(self, queue: LaneQueue, waiter: Waiter, now: float) -> None:
        """Raise if it is known that the call cannot be admitted in time."""
        if queue.denial is not None and queue.waits_for_reset and not waiter.patient:
            raise exhausted(queue.denial)
        least = self._least_wait(queue, queue.waiters.of(waiter.caller) + 1, now)
        if now + least > waiter.deadline:
            raise WaitTooLong(least, why(queue.denial))

    def _least_wait(self, queue: LaneQueue, ahead: int, now: float) -> float:
        """Return the least seconds that pass while ``ahead`` calls of the lane go first."""
        limits = self._limits
        known = max(0.0, queue.until - now)
        if queue is self._interactive or not self._paced:
            # The head waits for its place already. Then every ``limit`` calls take a minute.
            return known + ahead // limits.limit * limits.window
        saved = 0 if queue.pacing else limits.burst + 1
        return max(known, (ahead - saved) / limits.rate)

    def _expire(self, waiter: Waiter) -> None:
        """Reject a ``waiter`` whose deadline has passed."""
        for queue in (self._interactive, self._bulk):
            queue.waiters.discard(waiter)
        waited = waiter.deadline - waiter.since
        waiter.resolve(WaitTooLong(waited, "calls that came earlier"))

    def _reject_impatient(self, queue: LaneQueue, denial: Denial) -> None:
        """Reject the waiters whose deadline is before the end of a long wait."""
        for waiter in list(queue.waiters):
            verdict: Exception | None = None
            if denial.reason == "day" and not waiter.patient:
                verdict = exhausted(denial)
            elif denial.wait is not None and queue.until > waiter.deadline:
                verdict = WaitTooLong(denial.wait, why(denial))
            if verdict is not None:
                queue.waiters.discard(waiter)
                waiter.resolve(verdict)

    # -- the head ---------------------------------------------------------------------------------

    async def _ask_until_admitted(self, queue: LaneQueue, waiter: Waiter) -> Slot:
        """Ask the ledger for a place until there is one."""
        forget: Callable[[], None] | None = None
        other = self._interactive if queue is self._bulk else self._bulk
        try:
            while True:
                self._apply_shared_limits()
                if queue is self._bulk and self._paced and not queue.token:
                    await self._take_token(queue, waiter)
                if self._other_lane_goes_first(queue):
                    self._check_patience(waiter, other.until, other.denial)
                    await self._sleep(queue, waiter, math.inf)
                    continue
                queue.changed = False
                asked_at = self.clock.monotonic()
                answer = await self._ledger.take(
                    self.key, self.account, queue.lane, self._limits, self.clock
                )
                if not isinstance(answer, Denial):
                    return self._admit(queue, waiter, answer, asked_at)
                self._note_denial(queue, other, waiter, answer)
                if answer.wait is None or self._ledger.poll is None:
                    if forget is None:
                        # Ask once more, to see what changed before the watch began.
                        forget = self._ledger.watch(self.key, queue.wake_threadsafe)
                        continue
                elif forget is not None:
                    # The moment is known, so changes before it do not matter.
                    forget()
                    forget = None
                if not queue.changed:
                    await self._sleep(queue, waiter, self._pause_after(answer))
        finally:
            if forget is not None:
                forget()

    async def _admit_waiters(self, queue: LaneQueue, memory: MemoryLedger) -> None:
        """Give slots to the waiters after the head, without waiting."""
        for _ in range(AT_ONCE):
            waiter = queue.waiters.first()
            if waiter is None or self._other_lane_goes_first(queue):
                return
            if queue is self._bulk and self._paced and not await self._has_token(queue):
                return
            asked_at = self.clock.monotonic()
            answer = memory.take_now(self.key, self.account, queue.lane, self._limits, self.clock)
            if isinstance(answer, Denial):
                return  # the next head asks again
            queue.waiters.pop()
            waiter.resolve(self._admit(queue, waiter, answer, asked_at))

    def _admit(self, queue: LaneQueue, waiter: Waiter | None, place: int, asked_at: float) -> Slot:
        if queue is self._bulk:
            queue.token = False
            self._streak = 0
        elif self._bulk.head is not None:
            self._streak = self._streak + 1 if self._ready(self._bulk) else 0
        self._admitted += 1
        if waiter is not None and waiter.waited:
            waited = self.clock.monotonic() - waiter.since
            self._waited += waited
            if self._observer is not None:
                self._notify(
                    Waited(organization=self.organization, lane=queue.lane, seconds=waited)
                )
        return Slot(self, place, asked_at + self._ledger.lease(self._limits))

    def _note_denial(
        self, queue: LaneQueue, other: LaneQueue, waiter: Waiter, denial: Denial
    ) -> None:
        """Note a denial. Raises if the head does not want to wait so long."""
        now = self.clock.monotonic()
        before = queue.until
        queue.deny(denial, now)
        if queue.blocks_one_lane:
            other.wake()
        if denial.reason in ("block", "day") and abs(queue.until - before) > 1.0:
            self._reject_impatient(queue, denial)
        if denial.reason == "ledger_new" and denial.wait and abs(queue.until - before) > 1.0:
            self._notify(LedgerStarted(organization=self.organization, seconds=denial.wait))
        if queue.waits_for_reset and not waiter.patient:
            raise exhausted(denial)
        self._check_patience(waiter, queue.until, denial)

    def _check_patience(self, waiter: Waiter, until: float, denial: Denial | None) -> None:
        now = self.clock.monotonic()
        if until > waiter.deadline or now >= waiter.deadline:
            raise WaitTooLong(max(until - now, now - waiter.since), why(denial))

    async def _take_token(self, queue: LaneQueue, waiter: Waiter) -> None:
        """Wait until the lane holds a token of the bucket."""
        while not await self._has_token(queue):
            wait = refills_in(self._get_bucket()) / self._limits.rate
            now = self.clock.monotonic()
            if now + wait > waiter.deadline:
                raise WaitTooLong(wait, "the even pace of bulk calls")
            queue.pacing = True
            try:
                await self._sleep(queue, waiter, wait)
            finally:
                queue.pacing = False

    async def _has_token(self, queue: LaneQueue) -> bool:
        """Return whether the lane holds a token. Takes one if the bucket has one."""
        if not queue.token and (bucket := self._get_bucket()).has_capacity():
            await bucket.acquire()  # does not wait: there is capacity
            queue.token = True
        return queue.token

    def _get_bucket(self) -> AsyncLimiter:
        """Return the bucket of bulk calls. Creates a full one on first use."""
        if self._bucket is None:
            self._bucket = new_bucket(self._limits)
        return self._bucket

    def _pause_after(self, denial: Denial) -> float:
        """Return the seconds until the head asks again, unless something changes first."""
        poll = math.inf if self._ledger.poll is None else self._ledger.poll
        known = denial.retry_after if denial.wait is None else denial.wait
        return poll if known is None else min(known, poll)

    async def _sleep(self, queue: LaneQueue, waiter: Waiter, seconds: float) -> None:
        """Sleep until something changes, or until ``seconds`` or the deadline have passed."""
        waiter.waited = True
        seconds = min(seconds, max(0.0, waiter.deadline - self.clock.monotonic()))
        queue.pause = pause = self._loop.create_future()
        timer = None
        if seconds < math.inf:
            timer = self._loop.call_later(max(seconds, TICK), queue.wake)
        try:
            await pause
        finally:
            queue.pause = None
            if timer is not None:
                timer.cancel()

    # -- between the lanes ------------------------------------------------------------------------

    def _is_empty(self) -> bool:
        return self._interactive.head is None and self._bulk.head is None

    def _ready(self, queue: LaneQueue) -> bool:
        """Return whether the head of the lane only waits for a place."""
        if queue.head is None or queue.blocks_one_lane:
            return False
        return queue is self._interactive or queue.token or not self._paced

    def _other_lane_goes_first(self, queue: LaneQueue) -> bool:
        if queue is self._bulk:
            return self._ready(self._interactive) and self._streak < BULK_SHARE - 1
        return self._ready(self._bulk) and self._streak >= BULK_SHARE - 1

    def _advance(self, queue: LaneQueue) -> None:
        """Make the next waiter the head, and have the other lane ask again."""
        queue.clear()
        while True:
            queue.head = following = queue.waiters.pop()
            if following is None or following.resolve(None):
                break
        other = self._interactive if queue is self._bulk else self._bulk
        if other.head is not None:
            other.wake()

    def _wake(self) -> None:
        if self._interactive.head is not None:
            self._interactive.wake()
        if self._bulk.head is not None:
            self._bulk.wake()


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
