"""Where the usage of organizations is kept, and the ledger in memory.

A ledger does one thing at a time to one organization: it lets a call in or says why not, or notes
how a call ended. Each is one operation, so that a ledger on a server needs one round trip for it.
Everything that goes in or out is a duration or a plain value; the moments stay inside, because a
shared ledger has its own clock. Keys name API host and organization, never a secret.
"""

from __future__ import annotations

import copy
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import UsedAfterFork
from zoho_async.limits import usage as usages
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.open_calls import Loop, ended, this_loop
from zoho_async.limits.usage import Denial, Ending, Usage


class PendingSettlement(msgspec.Struct, frozen=True):
    """An ending that could not be written, and when it came (monotonic)."""

    key: str
    account: str
    place: int
    ending: Ending
    limits: Limits
    came: float


class Ledger(Protocol):
    """What a scheduler asks of the place where usage is kept.

    ``poll`` is how long a waiter may sleep before it asks again, in seconds, because others can
    change the ledger unseen; None where `watch` tells of every change.
    """

    poll: float | None

    def lease(self, limits: Limits) -> float:
        """Seconds from asking for a place in which its call must be sent, or never.

        A process that was stopped for longer may have been taken for dead. Its calls then count as
        sent already, which a call that is sent later would prove wrong.
        """
        ...

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        """A place for one call, by its number, or why there is none.

        Cancelled at any moment, it leaves no place taken.
        """
        ...

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        """Note how the call in ``place`` ended; the seconds for which nothing may be sent now.

        Once called it takes effect, even if the caller is cancelled while it waits.
        """
        ...

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        """The usage as it stands."""
        ...

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called, from any thread, when a call of ``key`` ends, and at other times.

        Returns what stops it. What changes until the watch begins may be missed, and so may one
        change of a shared ledger whose connection breaks: hence ``poll``.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections. Usage that is kept elsewhere stays."""
        ...


_AFTER_FORK: Final = (
    "each process would count for itself: share a SqliteLedger or a RedisLedger, or call only in "
    "the child and open the session there (in gunicorn: the post_fork hook)"
)
#: Seconds between two looks for calls whose event loop was closed.
_CHECK_EVERY: Final = 1.0


class _Entry:
    """One key's usage, those who wait for it to change, and the event loops of its open calls."""

    __slots__ = ("loops", "usage", "watchers")

    def __init__(self) -> None:
        self.usage = Usage()
        self.watchers: set[Callable[[], None]] = set()
        self.loops: dict[int, Loop] = {}


class MemoryLedger:
    """Usage in this process's memory: shared by all its threads and loops, lost when it ends.

    So it is not for programs that are started again and again: a new process would know nothing
    of the calls that the last one made in the same minute. A process that is forked after the first
    call would count apart from its parent, so there every use raises `UsedAfterFork`.
    """

    poll: float | None = None

    def lease(self, limits: Limits) -> float:
        """Nobody is taken for dead in one's own process."""
        return math.inf

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._entries: Final[OrderedDict[str, _Entry]] = OrderedDict()
        self._process: int | None = None  # the one that it was first used in

    def _check_process(self) -> None:
        process = os.getpid()
        if self._process != process:
            if self._process is not None:
                raise UsedAfterFork("the limits' usage in memory", _AFTER_FORK)
            self._process = process

    def _open(self, key: str) -> _Entry:
        found = self._entries.get(key)
        if found is None:
            found = self._entries[key] = _Entry()
        return found

    def _forget_idle(self, clock: Clock, *needed: str) -> None:
        """Look at two of the keys that were looked at longest ago; nothing idle needs a timer."""
        for _ in range(2):
            key = next(iter(self._entries))
            entry = self._entries[key]
            blank = usages.is_blank(entry.usage, clock.monotonic(), clock.time())
            if blank and not entry.watchers and key not in needed:
                del self._entries[key]
            else:
                self._entries.move_to_end(key)

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        return self.take_now(key, account, lane, limits, clock)

    def take_now(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        """`take`, for a scheduler that knows that it need not wait for this ledger."""
        self._check_process()
        loop = this_loop()
        with self._lock:
            own = self._entries.get(key)
            if own is None:
                own = self._open(key)
                self._forget_idle(clock, key, account)
            account_entry = self._entries.get(account) or self._open(account)
            now, wall = clock.monotonic(), clock.time()
            answer = usages.take(own.usage, account_entry.usage, lane, limits, now, wall, "")
            if isinstance(answer, Denial) and own.loops:
                lost = [place for place, owner in own.loops.items() if ended(owner)]
                if lost:
                    for place in lost:
                        del own.loops[place]
                    usages.abandon(own.usage, lost, limits, now)
                    answer = usages.take(
                        own.usage, account_entry.usage, lane, limits, now, wall, ""
                    )
            if not isinstance(answer, Denial):
                own.loops[answer] = loop
            elif answer.wait is None and any(owner is not loop for owner in own.loops.values()):
                # The reply that it waits for may be of a loop that is closed meanwhile.
                again = answer.retry_after
                retry_after = _CHECK_EVERY if again is None else min(_CHECK_EVERY, again)
                answer = msgspec.structs.replace(answer, retry_after=retry_after)
            return answer

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        return self.settle_now(key, account, place, ending, limits, clock)

    def settle_now(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        """`settle`, as `take_now`."""
        self._check_process()
        with self._lock:
            own = self._entries.get(key) or self._open(key)
            own.loops.pop(place, None)
            account_usage = (self._entries.get(account) or self._open(account)).usage
            now, wall = clock.monotonic(), clock.time()
            blocked_for = usages.settle(own.usage, account_usage, place, ending, limits, now, wall)
            watchers = tuple(own.watchers) if own.watchers else ()
        for wake in watchers:
            wake()
        return blocked_for

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        self._check_process()
        with self._lock:
            usage = copy.deepcopy(self._open(key).usage)  # looking changes nothing
            account_usage = self._open(account).usage
            return usages.to_snapshot(usage, account_usage, limits, clock.monotonic(), clock.time())

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        self._check_process()
        with self._lock:
            watchers = self._open(key).watchers
            watchers.add(wake)  # an entry that is watched stays

        def forget() -> None:
            with self._lock:
                watchers.discard(wake)

        return forget

    async def close(self) -> None:
        """Nothing to let go of: the usage stays for whoever comes next in this process."""


#: The process's own ledger, found by every session that names no other.
MEMORY: Final = MemoryLedger()
