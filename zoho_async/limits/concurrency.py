"""The limit of calls in flight, which adapts to Zoho's refusals.

The documented limit is soft and shared with everyone else in the organization. Code 1070 says that
it was exceeded. Then our limit shrinks by a quarter (never below one call), and all calls pause
shortly. The pause doubles each time that the next call fails the same way. The limit grows back by
one call a minute. All calls that were in flight when it shrank report the same excess, so together
they shrink it once.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import LONGEST_RETRY_AFTER, NEVER

#: In seconds: the first pause after a 1070, the longest one, and the time in which the cap grows by
#: one. They do not depend on ``Limits.window``.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
GROWS_EVERY: Final = 60.0


class ConcurrencyLimit(msgspec.Struct):
    """The limit since ``shrunk`` (monotonic; 0: never shrunk), and when the pause ends."""

    cap: int = 0
    shrunk: float = NEVER
    opens: float = NEVER
    strikes: int = 0

    def at(self, now: float, most: int) -> int:
        """Return how many calls may be in flight at ``now``. The limits allow ``most``."""
        if not self.cap:
            return most
        return min(most, self.cap + int((now - self.shrunk) / GROWS_EVERY))

    def grows_in(self, now: float, most: int) -> float | None:
        """Return the seconds until it grows by one, or None if it is at ``most``."""
        if self.at(now, most) >= most:
            return None
        return GROWS_EVERY - (now - self.shrunk) % GROWS_EVERY

    def call_refused(
        self, now: float, *, admitted: float, retry_after: float | None, most: int
    ) -> float:
        """Shrink, for a 1070 to a call that was ``admitted`` then. Returns the pause in seconds."""
        if admitted > self.shrunk:
            pause = min(FIRST_PAUSE * 2.0 ** min(self.strikes, 16), LONGEST_PAUSE)
            if retry_after and retry_after > 0:
                pause = min(retry_after, LONGEST_RETRY_AFTER)
            self.cap = max(1, self.at(now, most) * 3 // 4)
            self.shrunk = now
            self.strikes += 1
            self.opens = now + pause
        return max(0.0, self.opens - now)

    def call_accepted(self, *, admitted: float) -> None:
        """Reset the pause, if the call was ``admitted`` after the last 1070."""
        if admitted > self.shrunk:
            self.strikes = 0
