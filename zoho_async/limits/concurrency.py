"""How many calls may be in flight at once, as far as Zoho lets us know.

The documented cap is soft and shared with everyone else in the organization. A 1070 says that the
cap was passed: ours shrinks by a quarter (never below one call), everyone pauses shortly, longer
each time that the next call fails the same way, and the cap grows back by one call a minute. All
calls that were in flight when the cap shrank tell of the same crowd and shrink it once.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import LONGEST_RETRY_AFTER, NEVER

#: Seconds: the first pause after a 1070, doubled up to the longest, and how long the cap takes to
#: grow by one. They are Zoho's and ours, whatever ``Limits.window`` is.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
GROWS_EVERY: Final = 60.0


class Concurrency(msgspec.Struct):
    """The cap that ``shrunk`` (monotonic) left, and the pause that followed; 0 = never shrunk."""

    cap: int = 0
    shrunk: float = NEVER
    opens: float = NEVER
    strikes: int = 0


def current_cap(concurrency: Concurrency, most: int, now: float) -> int:
    """How many calls may be in flight at ``now``, of the ``most`` that the limits allow."""
    if not concurrency.cap:
        return most
    return min(most, concurrency.cap + int((now - concurrency.shrunk) / GROWS_EVERY))


def grows_in(concurrency: Concurrency, most: int, now: float) -> float | None:
    """Seconds until the cap grows by itself, or None where it is whole."""
    if current_cap(concurrency, most, now) >= most:
        return None
    return GROWS_EVERY - (now - concurrency.shrunk) % GROWS_EVERY


def shrink(
    concurrency: Concurrency, retry_after: float | None, began: float, now: float, most: int
) -> None:
    """A 1070 was answered to a call admitted at ``began``."""
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
    """A call admitted after the last 1070 was answered: the next pause is short again."""
    if began > concurrency.shrunk:
        concurrency.strikes = 0
