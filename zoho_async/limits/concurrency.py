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


class Concurrency(msgspec.Struct):
    """The cap since ``shrunk`` (monotonic; 0: never shrunk), and when the pause ends."""

    cap: int = 0
    shrunk: float = NEVER
    opens: float = NEVER
    strikes: int = 0


def current_cap(concurrency: Concurrency, most: int, now: float) -> int:
    """Return how many calls may be in flight at ``now``; the limits allow ``most``."""
    if not concurrency.cap:
        return most
    return min(most, concurrency.cap + int((now - concurrency.shrunk) / GROWS_EVERY))


def grows_in(concurrency: Concurrency, most: int, now: float) -> float | None:
    """Return the seconds until the cap grows by one, or None if it is at ``most``."""
    if current_cap(concurrency, most, now) >= most:
        return None
    return GROWS_EVERY - (now - concurrency.shrunk) % GROWS_EVERY


def shrink(
    concurrency: Concurrency, retry_after: float | None, began: float, now: float, most: int
) -> None:
    """Shrink the cap, for a call admitted at ``began`` that got a 1070."""
    if began <= concurrency.shrunk:
        return
    concurrency.cap = max(1, current_cap(concurrency, most, now) * 3 // 4)
    concurrency.shrunk = now
    pause = min(FIRST_PAUSE * 2.0 ** min(concurrency.strikes, 16), LONGEST_PAUSE)
    if retry_after and retry_after > 0:
        pause = min(retry_after, LONGEST_RETRY_AFTER)
    concurrency.strikes += 1
    concurrency.opens = now + pause


def forgive(concurrency: Concurrency, began: float) -> None:
    """Reset the pause, if a call that was admitted after the last 1070 succeeded."""
    if began > concurrency.shrunk:
        concurrency.strikes = 0
