"""One timer for the deadlines of all waiters of a queue.

One timer per waiter would mean ten thousand timers for ten thousand waiters. Instead, a heap sorts
the waiters by deadline, and one timer is set for the first. A waiter that leaves early is only
marked. The heap is rebuilt when half of it is marked, so leaving is cheap and memory stays bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from zoho_async.clock import Clock
from zoho_async.limits.fair_queue import Waiter

#: The shortest timer, in seconds. A shorter one could fire again and again just before its time.
TICK: Final = 0.001


class Deadlines:
    """Call ``expire`` with each waiter whose deadline passes before it is discarded."""

    __slots__ = ("_clock", "_expire", "_heap", "_live", "_loop", "_serial", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, expire: Callable[[Waiter], None]
    ) -> None:
        self._loop: Final = loop
        self._clock: Final = clock
        self._expire: Final = expire
        self._live: Final[set[Waiter]] = set()
        self._heap: list[tuple[float, int, Waiter]] = []
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._live)

    def add(self, waiter: Waiter) -> None:
        self._serial += 1
        self._live.add(waiter)
        heappush(self._heap, (waiter.deadline, self._serial, waiter))
        if self._heap[0][2] is waiter:
            self._arm()

    def discard(self, waiter: Waiter) -> None:
        if waiter not in self._live:
            return
        self._live.discard(waiter)
        if not self._live:
            self._heap.clear()
            self._arm()
        elif self._heap[0][2] is waiter:
            self._arm()
        elif len(self._heap) > 2 * len(self._live) + 16:
            self._heap = [entry for entry in self._heap if entry[2] in self._live]
            heapify(self._heap)

    def _arm(self) -> None:
        """Set the timer for the first deadline that still counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._heap and self._heap[0][2] not in self._live:
            heappop(self._heap)
        if self._heap:
            delay = max(TICK, self._heap[0][0] - self._clock.monotonic())
            self._timer = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            waiter = heappop(self._heap)[2]
            if waiter in self._live:
                self._live.discard(waiter)
                self._expire(waiter)
        self._arm()
