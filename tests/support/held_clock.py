"""A clock that the test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class HeldClock:
    """Time passes only if the test sets ``now``. The wall clock is ``ahead`` seconds ahead."""

    now: float = 1000.0
    ahead: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.ahead
