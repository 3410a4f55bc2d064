"""The clock that all timed code takes as a parameter.

It has two readings. ``monotonic()`` never steps and measures elapsed time; the one-minute limit
uses it. ``time()`` names a moment that survives a restart; the daily quota uses it. No module reads
the machine's clock directly, so a test controls time by passing its own ``Clock``.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Final, Protocol, runtime_checkable


class Clock(Protocol):
    """Two readings of time, both in seconds."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never steps back."""
        ...

    def time(self) -> float:
        """Seconds since 1970 (UTC) by the machine's clock."""
        ...


@runtime_checkable
class SleepingClock(Clock, Protocol):
    """A clock that also waits. For tests whose time does not pass by itself."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds by this clock. Can be cancelled."""
        ...


async def wait(clock: Clock, seconds: float) -> None:
    """Wait so many seconds, by ``clock`` if it can sleep. Can be cancelled."""
    if isinstance(clock, SleepingClock):
        await clock.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


class SystemClock:
    """The machine's clock. Its monotonic reading is the same in every thread and loop."""

    # Not methods that call these: each call reads the clock seven times.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class LoopClock:
    """The running event loop's time, for both readings.

    Use it under an event loop with simulated time: then timers and readings agree.
    """

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return asyncio.get_running_loop().time()


SYSTEM_CLOCK: Final[Clock] = SystemClock()


def local_minute(moment: datetime) -> str:
    """Return an aware moment for people to read: ``2026-11-29 00:00 UTC-03:00``."""
    return f"{moment:%Y-%m-%d %H:%M} {timezone(moment.utcoffset() or timedelta())}"
