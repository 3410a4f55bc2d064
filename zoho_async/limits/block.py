"""The block after code 43 or 44, and the slow start that follows it.

Zoho seldom says how long a block lasts (``Retry-After``). Reports go from 15 to 60 minutes, and
longer for clients that kept trying. So nothing is sent until the block ends, and there are no
probes. A second block during the slow start lasts twice as long. Calls that were on their way when
the block began are refused too; they belong to the same block.

After the block the rate starts at an eighth of the limit and grows by an eighth every ``window``,
because the cause (other programs in the same organization) may still be there.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

NEVER: Final = float("-inf")

#: In seconds. These are Zoho's, so a shorter ``Limits.window`` does not shorten a block.
FIRST_BLOCK: Final = 900.0
LONGEST_BLOCK: Final = 3600.0
#: Steps in which the rate grows back to the limit.
STEPS: Final = 8
#: A longer ``Retry-After`` is cut to a day, in seconds.
LONGEST_RETRY_AFTER: Final = 86_400.0


class Block(msgspec.Struct):
    """When the last block began and ends (both monotonic), and how many came in a row."""

    closed: float = NEVER
    opens: float = NEVER
    strikes: int = 0

    def call_refused(
        self, now: float, *, admitted: float, retry_after: float | None, window: float
    ) -> float:
        """Start or extend the block, for a refused call that was ``admitted`` then.

        Returns how long it lasts, in seconds.
        """
        lasts = min(retry_after, LONGEST_RETRY_AFTER) if retry_after and retry_after > 0 else None
        if admitted > self.closed:
            self.strikes = self.strikes + 1 if self.is_slow_start(now, window) else 1
            if lasts is None:
                # A few strikes reach the longest block, so a small exponent is enough.
                lasts = min(FIRST_BLOCK * 2.0 ** min(self.strikes - 1, 8), LONGEST_BLOCK)
            self.closed = now
        if lasts is not None:
            self.opens = max(self.opens, now + lasts)
        return max(0.0, self.opens - now)

    def is_slow_start(self, now: float, window: float) -> bool:
        """Return whether the rate is still reduced after the last block."""
        return now < self.opens + (STEPS - 1) * window

    def spacing(self, now: float, limit: int, window: float) -> float:
        """Return the seconds between two calls in the slow start. It is infinite in the block."""
        if now < self.opens:
            return math.inf
        steps = 1 + (now - self.opens) / window
        return window * STEPS / (limit * steps)
