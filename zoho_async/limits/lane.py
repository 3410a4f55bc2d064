"""One lane of a scheduler: its head, those behind it, and what the head waits for."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from zoho_async.errors import DailyQuotaExceeded
from zoho_async.limits.fair_queue import FairQueue, Waiter
from zoho_async.limits.models import Lane, Limits
from zoho_async.limits.usage import Denial, Reason

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


_WHY: Final[dict[Reason, str]] = {
    "block": "the end of Zoho's block",
    "slow_start": "the slow start after a block",
    "day": "the day's calls to be counted anew",
    "minute": "a free place in the minute",
    "in_flight": "calls in flight to be answered",
    "pace": "the even pace over the day",
    "bulk": "the even pace of bulk calls",
    "ledger": "the ledger to be reached again",
    "ledger_new": "a ledger that is new or lost usage to be sure of the last minute",
}


class LaneQueue:
    """One lane: its head, those behind it, and what the head waits for."""

    __slots__ = (
        "changed",
        "denial",
        "head",
        "lane",
        "loop",
        "pacing",
        "pause",
        "token",
        "until",
        "waiters",
    )

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        self.lane: Final[Lane] = lane
        self.loop: Final = loop
        self.waiters: Final = FairQueue()
        self.head: Waiter | None = None
        self.pause: asyncio.Future[None] | None = None
        self.changed = False
        self.pacing = False
        self.token = False
        self.denial: Denial | None = None
        self.until = -math.inf

    def wake(self) -> None:
        """Something changed: the head asks again."""
        self.changed = True
        if self.pause is not None and not self.pause.done():
            self.pause.set_result(None)

    def wake_threadsafe(self) -> None:
        """As `wake`, from any thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            self.wake()
        else:
            with suppress(RuntimeError):  # the loop was closed, and nobody waits in it
                self.loop.call_soon_threadsafe(self.wake)

    @property
    def waits_for_reset(self) -> bool:
        """Whether the day holds the head up, which it may do to one lane alone."""
        return self.denial is not None and self.denial.reason == "day"

    @property
    def blocks_one_lane(self) -> bool:
        """Whether what holds the head up does not hold up the other lane."""
        return self.denial is not None and self.denial.reason in ("day", "pace", "bulk")

    def deny(self, denial: Denial, now: float) -> None:
        self.denial = denial
        self.until = now if denial.wait is None else now + denial.wait

    def clear(self) -> None:
        """Nothing is known to hold the head up."""
        self.denial = None
        self.until = -math.inf


def exhausted(denial: Denial) -> DailyQuotaExceeded:
    """The exception for a day that is used up."""
    known = denial.reset_at
    return DailyQuotaExceeded(None if known is None else datetime.fromtimestamp(known, UTC))


def why(denial: Denial | None) -> str:
    """What a denied call waits for, in words."""
    return "calls that came earlier" if denial is None else _WHY[denial.reason]


def new_bucket(limits: Limits) -> AsyncLimiter:
    """A full bucket. Its rate is fixed, so other limits need another one."""
    from aiolimiter import AsyncLimiter  # costs 10 ms, and only bulk needs it

    return AsyncLimiter(limits.burst, limits.burst / limits.rate)


def refills_in(bucket: AsyncLimiter) -> float:
    """How much of a token the bucket lacks for a whole one.

    It tells only whether it holds so much, so it is asked twenty times. Its own waiting would do
    without, but that rings until its moment has passed, which on simulated time can be never.
    """
    held, missing = 0.0, 1.0
    while missing - held > 1e-6:
        half = (held + missing) / 2
        if bucket.has_capacity(half):
            held = half
        else:
            missing = half
    return 1.0 - held
