"""The sandbox's clock: real time at any speed, or time that the test moves.

Model
    Every duration in the sandbox (the minute, blocks, latencies, token lifetimes) is in sandbox
    seconds. ``speed`` sandbox seconds pass per real second. While the clock is held, only
    `SandboxClock.advance` moves it.

Invariant
    Durations in replies (``Retry-After``, ``expires_in``, the day's reset) are in real seconds,
    because clients use an ordinary clock. `SandboxClock.client_seconds` converts them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from zoho_async.errors import ConfigurationError

#: The most that the clock can be moved in total (100 years), and the highest speed.
_LONGEST: Final = 100 * 366 * 86_400.0
_FASTEST: Final = 1e6


class SandboxClock:
    """The sandbox's time, in seconds from an arbitrary start.

    ``real`` reads the real clock. Raises `ConfigurationError` for a speed that is not above 0 and
    at most 1,000,000.
    """

    def __init__(self, speed: float = 1.0, real: Callable[[], float] = time.monotonic) -> None:
        if not 0 < speed <= _FASTEST:
            raise ConfigurationError(f"speed must be above 0 and at most 1,000,000, got {speed}")
        self.speed: Final = speed
        self._real: Final = real
        self._reading = self._since = self._began = real()
        self._held = False
        self._changed = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether the clock is held, so that only `advance` moves it."""
        return self._held

    def now(self) -> float:
        """Return the time in sandbox seconds."""
        if self._held:
            return self._reading
        return self._reading + (self._real() - self._since) * self.speed

    def client_seconds(self, seconds: float) -> float:
        """Convert sandbox seconds to real seconds."""
        return seconds / self.speed

    def hold(self) -> None:
        """Stop the clock. Only `advance` moves it until `release`."""
        self._set(self.now(), held=True)

    def release(self) -> None:
        """Start the clock again from its present time."""
        self._set(self.now(), held=False)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds`` sandbox seconds.

        Raises `ValueError` for a negative number, and for more than 100 years in total.
        """
        if seconds < 0:
            raise ValueError(f"the clock cannot go back: seconds must be at least 0, got {seconds}")
        reading = self.now() + seconds
        if not (math.isfinite(reading) and reading - self._began <= _LONGEST):
            raise ValueError(
                f"the clock can be moved by at most 100 years in total, got {seconds} s"
            )
        self._set(reading, held=self._held)

    async def sleep(self, seconds: float) -> None:
        """Wait until ``seconds`` sandbox seconds have passed."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            changed = self._changed
            try:
                async with asyncio.timeout(None if self._held else self.client_seconds(left)):
                    await changed.wait()
            except TimeoutError:
                continue

    def _set(self, reading: float, *, held: bool) -> None:
        self._reading, self._since, self._held = reading, self._real(), held
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
