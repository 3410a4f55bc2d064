"""Who may send now, and who is next: the waiting side of one organization's limits.

The ledger decides whether a call may go; this decides whose call asks. There is no background task:
the first of each lane, its *head*, asks the ledger in its own task, and sleeps until the moment the
ledger named or until something changed. Everybody else sleeps without a timer until the head leaves
and wakes its successor. Whoever is cancelled, wherever it stands, hands its part on.

A head that leaves with its slot also asks for those behind it, in their order and under the same
rules, where the ledger is in memory and so answers at once: a turn of the event loop for each of
them would cost as much as all else. Who is cancelled with a slot that it has not seen gives it
back. At most `AT_ONCE` go in one turn, so that others have theirs.

Two lanes, and so two heads. The interactive one goes first; when both could go, every
`BULK_SHARE`-th admission is the bulk one's. Bulk calls come evenly: the bulk head takes a token
from its bucket before it asks. A token belongs to the lane, not to the call, so that none is lost
with a head that is cancelled, and none runs out while the head waits.

A head that something of its own lane alone holds up (bulk may not touch the reserve, goes at an
even pace over the day, or others' bulk calls have used the pace of the minute) does not hold up the
other lane.

Where the ledger names the moment, the head sleeps until then and hears nothing before. Where it
depends on replies to come, the ledger wakes it (`Ledger.watch`), and its own asking, once in
``poll``, is for what went unheard.
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
from zoho_async.limits.agreed import Agreed, agreed_on
from zoho_async.limits.deadlines import TICK, Deadlines
from zoho_async.limits.fair_queue import Waiter
from zoho_async.limits.lane import LaneQueue, exhausted, new_bucket, refills_in, why
from zoho_async.limits.ledger import Ledger, MemoryLedger
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.slot import Slot
from zoho_async.limits.usage import Denial, Ending

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

#: While both lanes wait, one admission in so many is bulk.
BULK_SHARE: Final = 4
#: Admissions of one lane in one turn of the event loop; less than a millisecond of it.
AT_ONCE: Final = 64


class _Caller:
    """One who came with limits, and did not say who it is."""


class Scheduler:
    """The limits of one organization, as one event loop meets them. Made by `scheduler`."""

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
        self._agreed: Final[Agreed] = agreed_on(ledger, key)
        self._callers: dict[Limits, _Caller] = {}
        self._ledger: Final = ledger
        self._loop: Final = asyncio.get_running_loop()
        self._interactive: Final = LaneQueue("interactive", self._loop)
        self._bulk: Final = LaneQueue("bulk", self._loop)
        self._deadlines: Final = Deadlines(self._loop, clock, self._expire)
        self._bucket: AsyncLimiter | None = None
        #: The ledger, where it answers at once.
        self._memory: Final = ledger if type(ledger) is MemoryLedger else None
        self._limits = limits
        self._paced = limits.burst < limits.limit
        self._streak = 0
        self._admitted = 0
        self._refused = 0
        self._waited = 0.0

    @property
    def limits(self) -> Limits:
        """What this organization may be sent: the strictest of what its callers came with.

        Setting it replaces what callers without a name came with, and wakes those who wait.
        """
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        for one in self._callers.values():
            self._agreed.leave(one)
        self._callers.clear()
        self.join(None, limits)

    def join(self, caller: object | None, limits: Limits) -> None:
        """Have ``limits`` hold, for all callers, until ``caller`` leaves or is gone."""
        if caller is None:
            caller = self._callers.setdefault(limits, _Caller())
        self._agreed.join(caller, limits)
        self._adopt()

    def leave(self, caller: object) -> None:
        """The limits that ``caller`` came with hold no longer."""
        self._agreed.leave(caller)
        self._adopt()

    def _adopt(self) -> None:
        """Go by what was agreed on, here or in another thread. Wakes those who wait."""
        limits = self._agreed.limits
        if limits is None or limits is self._limits or limits == self._limits:
            return
        self._limits = limits
        self._bucket = None
        self._paced = limits.burst < limits.limit
        self._wake()

    @property
    def observer(self) -> Observer | None:
        """What is told of waits and refusals; its errors go to the event loop's handler."""
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = guarded(observer)

    @property
    def rate(self) -> float:
        """Steady bulk calls a second when replies take no time."""
        return self._limits.rate

    @property
    def idle(self) -> bool:
        """Whether a new scheduler in its place would do the same."""
        if not self._nobody_waits() or self._bulk.token:
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
        """Wait for the right to send one request.

        ``caller`` is whose turn it is to be: calls of one lane with different callers take turns.
        ``max_wait`` is in seconds, None for as long as it takes. ``wait_for_reset`` waits for the
        next day where this one's calls are used up.

        Raises `WaitTooLong` as soon as the wait is known to exceed ``max_wait``, or when it did,
        and `DailyQuotaExceeded`.
        """
        line = self._bulk if lane == "bulk" else self._interactive
        now = self.clock.monotonic()
        if self._agreed.limits is not self._limits:
            self._adopt()
        if self._nobody_waits() and (line is self._interactive or not self._paced):
            known, memory = self._limits, self._memory
            if memory is not None:
                answer = memory.take_now(self.key, self.account, lane, known, self.clock)
            else:
                answer = await self._ledger.take(self.key, self.account, lane, known, self.clock)
            if not isinstance(answer, Denial):
                return self._admit(line, None, answer, now)
        deadline = math.inf if max_wait is None else now + max_wait
        waiter = Waiter(caller, now, deadline, wait_for_reset, self._loop)
        if line.head is None:
            line.head = waiter
        else:
            self._stand_behind(line, waiter, now)
            # Awaited here, not in there: a coroutine more for each is much when very many wait.
            try:
                verdict = await waiter
            except BaseException:
                await self._step_out(line, waiter)
                raise
            finally:
                self._deadlines.discard(waiter)
            if isinstance(verdict, Exception):
                raise verdict
            if verdict is not None:
                return verdict
        try:
            slot = await self._lead(line, waiter)
            if self._memory is not None and line.behind:
                await self._admit_behind(line, self._memory)
            return slot
        finally:
            self._pass_on(line)

    async def snapshot(self) -> Snapshot:
        """How the limits stand now."""
        shared = await self._ledger.look(self.key, self.account, self._limits, self.clock)
        return msgspec.structs.replace(
            shared,
            waiting={
                line.lane: len(line.behind) + (line.head is not None)
                for line in (self._interactive, self._bulk)
            },
            admitted=self._admitted,
            refused=self._refused,
            waited_seconds=self._waited,
        )

    async def settle(self, place: int, ending: Ending) -> None:
        """For slots: their call ended."""
        blocked_for, memory = 0.0, self._memory
        asked = (self.key, self.account, place, ending, self._limits, self.clock)
        try:
            if memory is not None:
                blocked_for = memory.settle_now(*asked)
            else:
                blocked_for = await self._ledger.settle(*asked)
        finally:
            if not self._nobody_waits():
                self._wake()
            if ending.refusal is not None:
                self._note_refusal(ending.refusal.code, blocked_for)

    def _note_refusal(self, code: int | None, blocked_for: float) -> None:
        self._refused += 1
        if self._observer is not None:
            self._tell(Refused(organization=self.organization, code=code, blocked_for=blocked_for))
            if blocked_for > 0:
                self._tell(BlockStarted(organization=self.organization, seconds=blocked_for))

    def _tell(self, event: Waited | Refused | BlockStarted | LedgerStarted) -> None:
        if self._observer is not None:
            self._observer(event)

    # -- behind the head --------------------------------------------------------------------------

    def _stand_behind(self, line: LaneQueue, waiter: Waiter, now: float) -> None:
        """Have ``waiter`` wait until it is the head of its line, or is given its slot."""
        self._refuse_hopeless(line, waiter, now)
        waiter.waited = True
        line.behind.push(waiter)
        if waiter.deadline < math.inf:
            self._deadlines.add(waiter)

    async def _step_out(self, line: LaneQueue, waiter: Waiter) -> None:
        """A ``waiter`` behind the head was cancelled."""
        if line.head is waiter:
            self._pass_on(line)  # it became the head and was cancelled in the same moment
        elif waiter.given is not None:
            await waiter.given.unsent()
        else:
            line.behind.discard(waiter)

    def _refuse_hopeless(self, line: LaneQueue, waiter: Waiter, now: float) -> None:
        """Raise for a call that cannot be admitted in time, as far as that is known already."""
        if line.denial is not None and line.parked and not waiter.patient:
            raise exhausted(line.denial)
        least = self._least_wait(line, line.behind.of(waiter.caller) + 1, now)
        if now + least > waiter.deadline:
            raise WaitTooLong(least, why(line.denial))

    def _least_wait(self, line: LaneQueue, ahead: int, now: float) -> float:
        """Seconds that pass at least while ``ahead`` calls of ``line`` go first."""
        limits = self._limits
        known = max(0.0, line.until - now)
        if line is self._interactive or not self._paced:
            # The head waits for its place already; then a whole minute for every ``limit`` calls.
            return known + ahead // limits.limit * limits.window
        saved = 0 if line.pacing else limits.burst + 1
        return max(known, (ahead - saved) / limits.rate)

    def _expire(self, waiter: Waiter) -> None:
        """The deadline of one who stands behind a head has passed."""
        for line in (self._interactive, self._bulk):
            line.behind.discard(waiter)
        waited = waiter.deadline - waiter.since
        waiter.resolve(WaitTooLong(waited, "calls that came earlier"))

    def _send_away(self, line: LaneQueue, denial: Denial) -> None:
        """The head has learnt of a long wait that some of those behind it will not want."""
        for waiter in list(line.behind):
            verdict: Exception | None = None
            if denial.reason == "day" and not waiter.patient:
                verdict = exhausted(denial)
            elif denial.wait is not None and line.until > waiter.deadline:
                verdict = WaitTooLong(denial.wait, why(denial))
            if verdict is not None:
                line.behind.discard(waiter)
                waiter.resolve(verdict)

    # -- the head ---------------------------------------------------------------------------------

    async def _lead(self, line: LaneQueue, waiter: Waiter) -> Slot:
        """Ask for a place until there is one."""
        forget: Callable[[], None] | None = None
        other = self._interactive if line is self._bulk else self._bulk
        try:
            while True:
                self._adopt()
                if line is self._bulk and self._paced and not line.token:
                    await self._take_token(line, waiter)
                if self._others_turn(line):
                    self._check_patience(waiter, other.until, other.denial)
                    await self._sleep(line, waiter, math.inf)
                    continue
                line.changed = False
                asked = self.clock.monotonic()
                answer = await self._ledger.take(
                    self.key, self.account, line.lane, self._limits, self.clock
                )
                if not isinstance(answer, Denial):
                    return self._admit(line, waiter, answer, asked)
                self._turn_down(line, other, waiter, answer)
                if answer.wait is None or self._ledger.poll is None:
                    if forget is None:
                        # What changed before somebody watched is seen by asking once more.
                        forget = self._ledger.watch(self.key, line.told)
                        continue
                elif forget is not None:
                    # The moment is known, and what others do until then would only disturb.
                    forget()
                    forget = None
                if not line.changed:
                    await self._sleep(line, waiter, self._pause_after(answer))
        finally:
            if forget is not None:
                forget()

    async def _admit_behind(self, line: LaneQueue, memory: MemoryLedger) -> None:
        """Give slots to those behind the head that leaves; nothing here waits."""
        for _ in range(AT_ONCE):
            waiter = line.behind.first()
            if waiter is None or self._others_turn(line):
                return
            if line is self._bulk and self._paced and not await self._has_token(line):
                return
            asked = self.clock.monotonic()
            answer = memory.take_now(self.key, self.account, line.lane, self._limits, self.clock)
            if isinstance(answer, Denial):
                return  # the next head will hear of it
            line.behind.pop()
            waiter.resolve(self._admit(line, waiter, answer, asked))

    def _admit(self, line: LaneQueue, waiter: Waiter | None, place: int, asked: float) -> Slot:
        if line is self._bulk:
            line.token = False
            self._streak = 0
        elif self._bulk.head is not None:
            self._streak = self._streak + 1 if self._ready(self._bulk) else 0
        self._admitted += 1
        if waiter is not None and waiter.waited:
            waited = self.clock.monotonic() - waiter.since
            self._waited += waited
            if self._observer is not None:
                self._tell(Waited(organization=self.organization, lane=line.lane, seconds=waited))
        return Slot(self, place, asked + self._ledger.lease(self._limits))

    def _turn_down(self, line: LaneQueue, other: LaneQueue, waiter: Waiter, denial: Denial) -> None:
        """Note a denial; raise where the head does not want to wait for so long."""
        now = self.clock.monotonic()
        before = line.until
        line.deny(denial, now)
        if line.aside:
            other.wake()
        if denial.reason in ("block", "day") and abs(line.until - before) > 1.0:
            self._send_away(line, denial)
        if denial.reason == "ledger_new" and denial.wait and abs(line.until - before) > 1.0:
            self._tell(LedgerStarted(organization=self.organization, seconds=denial.wait))
        if line.parked and not waiter.patient:
            raise exhausted(denial)
        self._check_patience(waiter, line.until, denial)

    def _check_patience(self, waiter: Waiter, until: float, denial: Denial | None) -> None:
        now = self.clock.monotonic()
        if until > waiter.deadline or now >= waiter.deadline:
            raise WaitTooLong(max(until - now, now - waiter.since), why(denial))

    async def _take_token(self, line: LaneQueue, waiter: Waiter) -> None:
        """Have the lane hold a token of the bucket."""
        while not await self._has_token(line):
            wait = refills_in(self._filled()) / self._limits.rate
            now = self.clock.monotonic()
            if now + wait > waiter.deadline:
                raise WaitTooLong(wait, "the even pace of bulk calls")
            line.pacing = True
            try:
                await self._sleep(line, waiter, wait)
            finally:
                line.pacing = False

    async def _has_token(self, line: LaneQueue) -> bool:
        """Whether the lane holds a token now; takes one, at once, if there is one."""
        if not line.token and (bucket := self._filled()).has_capacity():
            await bucket.acquire()  # at once: there is capacity
            line.token = True
        return line.token

    def _filled(self) -> AsyncLimiter:
        """The bucket of bulk calls, a full one where none was needed so far."""
        if self._bucket is None:
            self._bucket = new_bucket(self._limits)
        return self._bucket

    def _pause_after(self, denial: Denial) -> float:
        """Seconds until the head asks again, unless something changes before."""
        poll = math.inf if self._ledger.poll is None else self._ledger.poll
        known = denial.again if denial.wait is None else denial.wait
        return poll if known is None else min(known, poll)

    async def _sleep(self, line: LaneQueue, waiter: Waiter, seconds: float) -> None:
        """Until something changed, or ``seconds`` or the deadline have passed."""
        waiter.waited = True
        seconds = min(seconds, max(0.0, waiter.deadline - self.clock.monotonic()))
        line.pause = pause = self._loop.create_future()
        timer = None
        if seconds < math.inf:
            timer = self._loop.call_later(max(seconds, TICK), line.wake)
        try:
            await pause
        finally:
            line.pause = None
            if timer is not None:
                timer.cancel()

    # -- between the lanes ------------------------------------------------------------------------

    def _nobody_waits(self) -> bool:
        return self._interactive.head is None and self._bulk.head is None

    def _ready(self, line: LaneQueue) -> bool:
        """Whether the head of ``line`` would go if only there were a place."""
        if line.head is None or line.aside:
            return False
        return line is self._interactive or line.token or not self._paced

    def _others_turn(self, line: LaneQueue) -> bool:
        if line is self._bulk:
            return self._ready(self._interactive) and self._streak < BULK_SHARE - 1
        return self._ready(self._bulk) and self._streak >= BULK_SHARE - 1

    def _pass_on(self, line: LaneQueue) -> None:
        """The head leaves, admitted or not: the next one leads, and the other lane looks again."""
        line.clear()
        while True:
            line.head = following = line.behind.pop()
            if following is None or following.resolve(None):
                break
        other = self._interactive if line is self._bulk else self._bulk
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
    """The scheduler of ``key`` in the running loop: one for everybody who shares ``ledger``.

    ``key`` is ``host/organization``, ``account`` is ``host/@client``, and both are the latter for
    calls that name no organization. Where callers differ, the strictest limits hold, until the
    ``caller`` who came with them leaves, and the newest observer.
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
