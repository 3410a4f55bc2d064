"""The protocol of a ledger, which keeps the usage of organizations, and the ledger in memory.

A ledger admits a call or says why not, and notes how a call ended. It handles one operation per
organization at a time. Each is one method, so a ledger on a server needs one round trip for it.

Arguments and results are durations and plain values. Moments stay inside, because a shared ledger
has its own clock. Keys name the API host and the organization, and never contain a secret.
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol, TypeAlias
from weakref import ref

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import UsedAfterFork
from zoho_async.limits import recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.usage import Denial, Ending, Usage

#: The event loop of a call; None for a call outside of any loop.
Loop: TypeAlias = "ref[asyncio.AbstractEventLoop] | None"


def this_loop() -> Loop:
    """Return the running event loop, or None."""
    try:
        return ref(asyncio.get_running_loop())
    except RuntimeError:
        return None


def ended(loop: Loop) -> bool:
    """Return whether nothing can run in ``loop`` any more."""
    if loop is None:
        return False
    found = loop()
    return found is None or found.is_closed()


class OpenCalls:
    """The open places of this process, by key and number, and their event loops.

    If the event loop of a call is closed or gone, the call never ends.
    """

    __slots__ = ("_loops",)

    def __init__(self) -> None:
        self._loops: dict[str, dict[int, Loop]] = {}

    def add(self, key: str, place: int, loop: Loop) -> None:
        self._loops.setdefault(key, {})[place] = loop

    def discard(self, key: str, place: int) -> None:
        own = self._loops.get(key)
        if own is not None:
            own.pop(place, None)
            if not own:
                del self._loops[key]

    def lost(self, key: str, places: Iterable[int]) -> list[int]:
        """Return those of ``places`` that no call of this process will end."""
        own = self._loops.get(key, {})
        return [place for place in places if place not in own or ended(own[place])]


class PendingSettlement(msgspec.Struct, frozen=True):
    """An ending that could not be written, and when it came (monotonic)."""

    key: str
    account: str
    place: int
    ending: Ending
    limits: Limits
    came: float


class ImmediateLedger(Protocol):
    """The operations of a ledger that answers at once, without waiting for a file or server.

    No cancellation can interrupt them.
    """

    def take_now(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> int | Denial:
        """As `Ledger.take`."""
        ...

    def settle_now(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        """As `Ledger.settle`."""
        ...


class Ledger(Protocol):
    """Where a scheduler keeps usage.

    Attributes:
        poll: How long a waiter may sleep before it asks again, in seconds, because `watch` may miss
            changes. None: `watch` reports every change.
        is_shared: Whether other processes may use the same usage.
    """

    poll: float | None
    is_shared: bool

    @property
    def immediate(self) -> ImmediateLedger | None:
        """The operations that answer at once, or None if all of them wait."""
        ...

    def lease(self, limits: Limits) -> float:
        """Return the seconds, from asking for a place, within which its call must be sent.

        A call that is sent later could break the limits: other processes may have taken this one
        for dead, and count the call as sent already.
        """
        ...

    def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> Coroutine[Any, Any, int | Denial]:
        """Take a place for one call of ``product`` ("" if that is not known).

        Returns its number, or a `Denial` that says why not.

        If it is cancelled, it leaves no place taken.
        """
        ...

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        """Note how the call in ``place`` ended. Returns how long nothing may be sent, in seconds.

        It takes effect even if the caller is cancelled while it waits. A shared ledger may tell
        other processes of a reply later.
        """
        ...

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        """Return the usage now."""
        ...

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake``, from any thread, when a call of ``key`` ends, and at other times.

        Returns a function that stops it. Changes before the watch begins may be missed, and so may
        changes while the connection to a shared ledger is broken. So waiters also use ``poll``.
        """
        ...

    async def close(self) -> None:
        """Close files and connections. Usage in a file or on a server stays."""
        ...


_AFTER_FORK: Final = (
    "each process would count its own calls only: use a SqliteLedger or a RedisLedger, or open "
    "the session in the child process (in gunicorn: the post_fork hook)"
)
#: Seconds between two checks for calls whose event loop was closed.
_CHECK_EVERY: Final = 1.0


class _Entry:
    """The usage of one key, its watchers, and the event loops of its open calls."""

    __slots__ = ("loops", "usage", "watchers")

    def __init__(self) -> None:
        self.usage = Usage()
        self.watchers: set[Callable[[], None]] = set()
        self.loops: dict[int, Loop] = {}


class MemoryLedger:
    """Usage in the memory of this process, shared by all its threads and event loops.

    It is lost when the process ends. So do not use it for programs that run again and again: a new
    process would not know the calls that the last one made in the same minute.

    A process that is forked after the first call would count separately from its parent. There
    every use raises `UsedAfterFork`.
    """

    poll: float | None = None
    is_shared = False

    @property
    def immediate(self) -> ImmediateLedger | None:
        """Itself: memory answers at once."""
        return self

    def lease(self, limits: Limits) -> float:
        """Infinite, because no other process shares this ledger."""
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
        """Check the two keys that were checked longest ago, and drop idle ones. Needs no timer."""
        for _ in range(2):
            key = next(iter(self._entries))
            entry = self._entries[key]
            blank = usages.is_blank(entry.usage, clock.monotonic(), clock.time())
            if blank and not entry.watchers and key not in needed:
                del self._entries[key]
            else:
                self._entries.move_to_end(key)

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> int | Denial:
        return self.take_now(key, account, lane, limits, clock, product)

    def take_now(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> int | Denial:
        """`take` without waiting."""
        self._check_process()
        loop = this_loop()
        with self._lock:
            own = self._entries.get(key)
            if own is None:
                own = self._open(key)
                self._forget_idle(clock, key, account)
            account_entry = self._entries.get(account) or self._open(account)
            now, wall = clock.monotonic(), clock.time()
            answer = usages.take(
                own.usage, account_entry.usage, lane, limits, now, wall, "", product
            )
            if isinstance(answer, Denial) and own.loops:
                lost = [place for place, owner in own.loops.items() if ended(owner)]
                if lost:
                    for place in lost:
                        del own.loops[place]
                    recovery.abandon_open(own.usage, lost, limits, now)
                    answer = usages.take(
                        own.usage, account_entry.usage, lane, limits, now, wall, "", product
                    )
            if not isinstance(answer, Denial):
                own.loops[answer] = loop
            elif answer.wait is None and any(owner is not loop for owner in own.loops.values()):
                # It may wait for a call whose event loop gets closed.
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
        """`settle` without waiting."""
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
            usage = copy.deepcopy(self._open(key).usage)  # a snapshot changes nothing
            account_usage = self._open(account).usage
            return usages.to_snapshot(usage, account_usage, limits, clock.monotonic(), clock.time())

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        self._check_process()
        with self._lock:
            watchers = self._open(key).watchers
            watchers.add(wake)  # a watched entry is never dropped

        def forget() -> None:
            with self._lock:
                watchers.discard(wake)

        return forget

    async def close(self) -> None:
        """Do nothing: the usage stays for later sessions of this process."""


#: The ledger of sessions that name no other.
MEMORY: Final = MemoryLedger()
