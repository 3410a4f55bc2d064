"""The clock that everything that waits is given.

Two readings, because they answer two questions. ``monotonic()`` measures how long ago something
happened and never steps; budgets of a minute live on it. ``time()`` names a moment that survives a
restart; the reset of a day's quota lives on it. Nothing in this package reads a clock by itself:
whoever decides by time is handed a ``Clock``, so that tests hold the hands.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol, runtime_checkable


class Clock(Protocol):
    """What a waiting thing may ask of time; both readings are in seconds."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never stepping back."""
        ...

    def time(self) -> float:
        """Seconds since 1970 (UTC), as the machine believes it."""
        ...


@runtime_checkable
class SleepingClock(Clock, Protocol):
    """A clock that also waits: what a test gives whose time does not pass by itself."""

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed by this clock. Can be cancelled."""
        ...


async def wait(clock: Clock, seconds: float) -> None:
    """Wait so many seconds, by ``clock`` if it can; can be cancelled."""
    if isinstance(clock, SleepingClock):
        await clock.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


class SystemClock:
    """The machine's own clock; its monotonic reading is the same in every thread and loop."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


class LoopClock:
    """The running event loop's time, for both readings.

    Under a loop whose time is simulated, timers and readings agree; that is all it is for.
    """

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return asyncio.get_running_loop().time()


SYSTEM_CLOCK: Final[Clock] = SystemClock()
