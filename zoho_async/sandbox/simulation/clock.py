"""The sandbox's clock: Zoho's seconds, as fast as one likes, or held in one's hand.

Every length in the sandbox (the minute, blocks, latencies, the life of tokens) is in Zoho's own
seconds. Real time moves them on, ``speed`` of them a second; while the clock is held nothing does
but `SandboxClock.advance`. What the sandbox *tells* its clients (``Retry-After``, ``expires_in``,
the day's reset) is in the clients' seconds, because theirs is an ordinary clock:
`SandboxClock.client_seconds`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from zoho_async.errors import ConfigurationError

#: A hundred years, the most that can be let pass in all; and the most seconds in one.
_LONGEST: Final = 100 * 366 * 86_400.0
_FASTEST: Final = 1e6


class SandboxClock:
    """Zoho's time, in seconds from an arbitrary start; ``real`` reads the time that moves it.

    Raises `ConfigurationError` for a speed that is none.
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
        """Whether only `advance` moves it."""
        return self._held

    def now(self) -> float:
        """Zoho's seconds."""
        if self._held:
            return self._reading
        return self._reading + (self._real() - self._since) * self.speed

    def client_seconds(self, seconds: float) -> float:
        """A length of Zoho's time as a client's clock shows it."""
        return seconds / self.speed

    def hold(self) -> None:
        """Stop; time moves by `advance` alone."""
        self._set(self.now(), held=True)

    def release(self) -> None:
        """Go on from where it stands."""
        self._set(self.now(), held=False)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` of Zoho's time pass at once.

        Raises `ValueError` for a negative number, and beyond a hundred years in all.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        reading = self.now() + seconds
        if not (math.isfinite(reading) and reading - self._began <= _LONGEST):
            raise ValueError(f"the clock can be moved by at most 100 years in all, got {seconds} s")
        self._set(reading, held=self._held)

    async def sleep(self, seconds: float) -> None:
        """Wait until ``seconds`` of Zoho's time have passed."""
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
