"""One lane of a scheduler: the loop in which its calls wait.

The first waiter of a lane, its *head*, asks the ledger in its own task. It sleeps until the moment
that the ledger named or until something changes. The other waiters sleep without a timer until the
head leaves and wakes its successor. A waiter that is cancelled, at any point, passes its role on.
There is no background task.

A ledger in memory answers at once. Then a head that leaves with its slot also asks for the waiters
after it, in their order and under the same rules, because one turn of the event loop per waiter
would cost as much as all the rest. A waiter that is cancelled before it saw its slot gives it back.
At most `AT_ONCE` slots are given in one turn, so that other tasks run too.

If the day of one product is spent (`zoho_async.limits.product_days`), its calls must not hold up
those of other products. The head that waits for the next day moves to a queue that is *set aside*
for this product, and so do its other calls when it is their turn. When the first of them is
admitted, the others move back.

If the ledger names a moment, the head sleeps until then and ignores changes. If the moment depends
on replies, the ledger wakes the head (`Ledger.watch`). The head also asks once per ``poll``, in
case a change was missed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, Protocol, TypeGuard

from zoho_async.clock import Clock
from zoho_async.errors import DailyQuotaExceeded, WaitTooLong
from zoho_async.limits.deadlines import TICK, Deadlines
from zoho_async.limits.fair_queue import FairQueue, Waiter
from zoho_async.limits.ledger import ImmediateLedger, Ledger
from zoho_async.limits.midnight import local_time
from zoho_async.limits.models import Lane, Limits
from zoho_async.limits.pace import BulkPace
from zoho_async.limits.slot import Slot
from zoho_async.limits.usage import Denial, Reason

#: Most admissions of one lane in one turn of the event loop. They take under a millisecond.
AT_ONCE: Final = 64

_WHY: Final[dict[Reason, str]] = {
    "block": "the end of Zoho's block",
    "slow_start": "the slow start after a block",
    "day": "the daily quota to reset",
    "minute": "a free call in the minute",
    "others": "calls of other clients to leave the minute",
    "in_flight": "replies to calls in flight",
    "pace": "the even pace over the day",
    "bulk": "the even pace of bulk calls",
    "ledger": "the ledger, which cannot be reached",
    "ledger_new": "a ledger that is new or lost its data, to rule out earlier calls",
}


class _Moved(Exception):
    """The call goes on waiting in another queue."""

    def __init__(self, queue: LaneQueue) -> None:
        self.queue: Final = queue


class Arbiter(Protocol):
    """The scheduler of a lane. It decides which lane goes first, and counts what happens."""

    clock: Clock

    @property
    def key(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def ledger(self) -> Ledger: ...

    def current_limits(self) -> Limits:
        """Return the limits that apply now."""
        ...

    def has_waiters(self) -> bool:
        """Return whether a call waits in any lane."""
        ...

    def queue_for(self, lane: Lane, product: str) -> LaneQueue:
        """Return the queue in which a call of ``product`` waits."""
        ...

    def set_aside(self, lane: Lane, product: str) -> LaneQueue:
        """Return the queue for calls of ``product`` that wait for the next day."""
        ...

    def first_lane(self, lane: LaneQueue) -> LaneQueue:
        """Return the lane that goes first: ``lane`` or the other one."""
        ...

    def wake_other(self, lane: LaneQueue) -> None:
        """Have the head of the other lane ask again."""
        ...

    def admit_call(self, lane: LaneQueue, place: int, asked_at: float, waited: float) -> Slot:
        """Count a call that took ``place``, and return its slot."""
        ...

    def note_denial(self, denial: Denial) -> None:
        """Report a denial until another time than the last one."""
        ...


class LaneQueue:
    """One lane: its head, the waiters after it, and why the head waits.

    Attributes:
        name: The lane.
        pace: Spreads the calls of the bulk lane. None for the other lane, and if set aside.
        is_aside: Whether it is set aside for a product whose day is spent.
        waiters: The calls after the head.
        head: The call that asks the ledger.
    """

    __slots__ = (
        "_account",
        "_arbiter",
        "_changed",
        "_clock",
        "_deadlines",
        "_denial",
        "_immediate",
        "_key",
        "_ledger",
        "_loop",
        "_pause",
        "_paused_for_token",
        "_until",
        "head",
        "is_aside",
        "name",
        "pace",
        "waiters",
    )

    def __init__(
        self,
        name: Lane,
        arbiter: Arbiter,
        loop: asyncio.AbstractEventLoop,
        pace: BulkPace | None = None,
        *,
        is_aside: bool = False,
    ) -> None:
        self.name: Final[Lane] = name
        self.is_aside: Final = is_aside
        self.pace: Final = pace
        self.waiters: Final = FairQueue()
        self.head: Waiter | None = None
        self._arbiter: Final = arbiter
        self._key: Final = arbiter.key
        self._account: Final = arbiter.account
        self._clock: Final = arbiter.clock
        self._ledger: Final = arbiter.ledger
        self._immediate: Final = arbiter.ledger.immediate
        self._loop: Final = loop
        self._deadlines: Final = Deadlines(loop, arbiter.clock, self._expire)
        self._pause: asyncio.Future[None] | None = None
        #: Whether something happened since the head last asked.
        self._changed = False
        self._paused_for_token = False
        self._denial: Denial | None = None
        #: When the head may be admitted (monotonic).
        self._until = -math.inf

    def __len__(self) -> int:
        return len(self.waiters) + (self.head is not None)

    @property
    def is_ready(self) -> bool:
        """Whether the head waits for nothing but a place."""
        if self.head is None or self._waits_alone:
            return False
        return self.pace is None or self.pace.has_token or not self.pace.is_active

    @property
    def _waits_alone(self) -> bool:
        """Whether the reason why the head waits does not apply to the other lane."""
        return self._denial is not None and self._denial.reason in ("day", "pace", "bulk")

    async def admit(
        self, max_wait: float | None, caller: Hashable, wait_for_reset: bool, product: str
    ) -> Slot:
        """Wait for a slot. See `Scheduler.admit`."""
        arbiter = self._arbiter
        now = self._clock.monotonic()
        limits = arbiter.current_limits()
        if not arbiter.has_waiters() and (self.pace is None or not self.pace.is_active):
            if self._immediate is not None:
                answer = self._immediate.take_now(
                    self._key, self._account, self.name, limits, self._clock, product
                )
            else:
                answer = await self._ledger.take(
                    self._key, self._account, self.name, limits, self._clock, product
                )
            if not isinstance(answer, Denial):
                return arbiter.admit_call(self, answer, now, 0.0)
        deadline = math.inf if max_wait is None else now + max_wait
        waiter = Waiter(caller, now, deadline, wait_for_reset, product, self._loop)
        try:
            if self.head is None:
                self.head = waiter
            else:
                self._enqueue(waiter, now)
                # Awaited here, because one more coroutine per waiter is expensive if very many
                # wait.
                try:
                    verdict = await waiter
                except BaseException:
                    await self._leave(waiter)
                    raise
                finally:
                    self._deadlines.discard(waiter)
                if isinstance(verdict, Exception):
                    raise verdict
                if verdict is not None:
                    return verdict
            try:
                slot = await self._ask_until_admitted(waiter)
                if self.is_aside:
                    self._move_all_back()
                elif self._immediate is not None and self.waiters:
                    await self._admit_waiters(self._immediate)
                return slot
            finally:
                self._advance()
        except _Moved as moved:
            queue = moved.queue
        left = None if max_wait is None else max(0.0, deadline - self._clock.monotonic())
        return await queue.admit(left, caller, wait_for_reset, product)

    def wake(self) -> None:
        """Have the head, if there is one, ask the ledger again."""
        self._changed = True
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    # -- the head ---------------------------------------------------------------------------------

    async def _ask_until_admitted(self, waiter: Waiter) -> Slot:
        """Ask the ledger for a place until there is one."""
        arbiter = self._arbiter
        forget: Callable[[], None] | None = None
        try:
            while True:
                limits = arbiter.current_limits()
                if self.pace is not None and self.pace.is_active:
                    await self._wait_for_token(waiter, self.pace)
                first = arbiter.first_lane(self)
                if first is not self:
                    self._check_patience(waiter, first._until, first._denial)
                    await self._sleep(waiter, math.inf)
                    continue
                if waiter.patient and not self.is_aside:
                    queue = arbiter.queue_for(self.name, waiter.product)
                    if queue is not self:
                        raise _Moved(queue)
                self._changed = False
                asked_at = self._clock.monotonic()
                answer = await self._ledger.take(
                    self._key, self._account, self.name, limits, self._clock, waiter.product
                )
                if not isinstance(answer, Denial):
                    waited = self._clock.monotonic() - waiter.since if waiter.waited else 0.0
                    return arbiter.admit_call(self, answer, asked_at, waited)
                self._deny(waiter, answer)
                if answer.wait is None or self._ledger.poll is None:
                    if forget is None:
                        # Ask once more, to see what changed before the watch began.
                        forget = self._ledger.watch(self._key, self._wake_threadsafe)
                        continue
                elif forget is not None:
                    # The moment is known, so changes before it do not matter.
                    forget()
                    forget = None
                if not self._changed:
                    await self._sleep(waiter, self._seconds_to_ask(answer))
        finally:
            if forget is not None:
                forget()

    def _deny(self, waiter: Waiter, denial: Denial) -> None:
        """Note a denial. Raises if the head does not want to wait so long."""
        now = self._clock.monotonic()
        before = self._until
        self._denial = denial
        self._until = now if denial.wait is None else now + denial.wait
        if self._waits_alone:
            self._arbiter.wake_other(self)
        if abs(self._until - before) > 1.0:
            if denial.reason in ("block", "day"):
                self._reject_impatient(denial)
            self._arbiter.note_denial(denial)
        if denial.reason == "day" and not waiter.patient:
            raise _exhausted(denial, self._arbiter.current_limits())
        self._check_patience(waiter, self._until, denial)
        if denial.reason == "day" and denial.product and not self.is_aside:
            raise _Moved(self._arbiter.set_aside(self.name, denial.product))

    def _check_patience(self, waiter: Waiter, until: float, denial: Denial | None) -> None:
        now = self._clock.monotonic()
        if until > waiter.deadline or now >= waiter.deadline:
            raise WaitTooLong(max(until - now, now - waiter.since), _why(denial))

    async def _wait_for_token(self, waiter: Waiter, pace: BulkPace) -> None:
        """Wait until the lane holds a token of the bucket."""
        while not await pace.take_token():
            wait = pace.seconds_to_token()
            if self._clock.monotonic() + wait > waiter.deadline:
                raise WaitTooLong(wait, "the even pace of bulk calls")
            self._paused_for_token = True
            try:
                await self._sleep(waiter, wait)
            finally:
                self._paused_for_token = False

    def _seconds_to_ask(self, denial: Denial) -> float:
        """Return the seconds until the head asks again, unless something changes first."""
        poll = math.inf if self._ledger.poll is None else self._ledger.poll
        known = denial.retry_after if denial.wait is None else denial.wait
        return poll if known is None else min(known, poll)

    async def _sleep(self, waiter: Waiter, seconds: float) -> None:
        """Sleep until something changes, or until ``seconds`` or the deadline have passed."""
        waiter.waited = True
        seconds = min(seconds, max(0.0, waiter.deadline - self._clock.monotonic()))
        self._pause = pause = self._loop.create_future()
        timer = None
        if seconds < math.inf:
            timer = self._loop.call_later(max(seconds, TICK), self.wake)
        try:
            await pause
        finally:
            self._pause = None
            if timer is not None:
                timer.cancel()

    def _wake_threadsafe(self) -> None:
        """`wake`, from any thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self.wake()
        else:
            with suppress(RuntimeError):  # the loop is closed, so no call waits in it
                self._loop.call_soon_threadsafe(self.wake)

    def _advance(self) -> None:
        """Make the next waiter the head, and have the other lane ask again."""
        self._denial = None
        self._until = -math.inf
        while True:
            self.head = following = self.waiters.pop()
            if following is None or following.resolve(None):
                break
        self._arbiter.wake_other(self)

    # -- the waiters after the head ----------------------------------------------------------------

    def _enqueue(self, waiter: Waiter, now: float) -> None:
        """Queue ``waiter`` until it is the head, or is given its slot. Raises if it cannot wait."""
        if not waiter.patient and _is_exhausted(self._denial, waiter):
            raise _exhausted(self._denial, self._arbiter.current_limits())
        least = self._least_wait(self.waiters.of(waiter.caller) + 1, now)
        if now + least > waiter.deadline:
            raise WaitTooLong(least, _why(self._denial))
        waiter.waited = True
        self.waiters.push(waiter)
        if waiter.deadline < math.inf:
            self._deadlines.add(waiter)

    def _least_wait(self, ahead: int, now: float) -> float:
        """Return the least seconds that pass while ``ahead`` calls of the lane go first."""
        limits = self._arbiter.current_limits()
        known = max(0.0, self._until - now)
        if self.pace is None or not self.pace.is_active:
            # The head waits for its place already. Then every ``limit`` calls take a minute.
            return known + ahead // limits.limit * limits.window
        saved = 0 if self._paused_for_token else self.pace.capacity + 1
        windows = ahead // limits.bulk_limit
        return max(known, (ahead - saved) / limits.rate, windows * limits.window)

    def _move_all_back(self) -> None:
        """Move the waiters to the queue for calls whose day is not spent."""
        moved = _Moved(self._arbiter.queue_for(self.name, ""))
        while (waiter := self.waiters.pop()) is not None:
            waiter.resolve(moved)

    async def _leave(self, waiter: Waiter) -> None:
        """Remove a ``waiter`` that was cancelled."""
        if self.head is waiter:
            self._advance()  # it became the head and was cancelled in the same moment
        elif waiter.given is not None:
            await waiter.given.unsent()
        else:
            self.waiters.discard(waiter)

    async def _admit_waiters(self, ledger: ImmediateLedger) -> None:
        """Give slots to the waiters after the head, without waiting."""
        arbiter = self._arbiter
        for _ in range(AT_ONCE):
            waiter = self.waiters.first()
            if waiter is None or arbiter.first_lane(self) is not self:
                return
            if self.pace is not None and self.pace.is_active and not await self.pace.take_token():
                return
            asked_at = self._clock.monotonic()
            answer = ledger.take_now(
                self._key,
                self._account,
                self.name,
                arbiter.current_limits(),
                self._clock,
                waiter.product,
            )
            if isinstance(answer, Denial):
                return  # the next head asks again
            self.waiters.pop()
            waiter.resolve(arbiter.admit_call(self, answer, asked_at, asked_at - waiter.since))

    def _expire(self, waiter: Waiter) -> None:
        """Reject a ``waiter`` whose deadline has passed."""
        self.waiters.discard(waiter)
        waited = waiter.deadline - waiter.since
        waiter.resolve(WaitTooLong(waited, "calls that came earlier"))

    def _reject_impatient(self, denial: Denial) -> None:
        """Reject the waiters whose deadline is before the end of a long wait."""
        for waiter in list(self.waiters):
            verdict: Exception | None = None
            if not waiter.patient and _is_exhausted(denial, waiter):
                verdict = _exhausted(denial, self._arbiter.current_limits())
            elif denial.product and denial.product != waiter.product:
                continue
            elif denial.wait is not None and self._until > waiter.deadline:
                verdict = WaitTooLong(denial.wait, _why(denial))
            if verdict is not None:
                self.waiters.discard(waiter)
                waiter.resolve(verdict)


def _is_exhausted(denial: Denial | None, waiter: Waiter) -> TypeGuard[Denial]:
    """Return whether the day of the call is spent."""
    if denial is None or denial.reason != "day":
        return False
    return denial.product in ("", waiter.product)


def _exhausted(denial: Denial, limits: Limits) -> DailyQuotaExceeded:
    """Return the exception for a spent daily quota."""
    known = denial.reset_at
    reset_at = None if known is None else local_time(known, limits.time_zone)
    return DailyQuotaExceeded(reset_at, denial.product)


def _why(denial: Denial | None) -> str:
    """Return what a denied call waits for, in words."""
    return "calls that came earlier" if denial is None else _WHY[denial.reason]
