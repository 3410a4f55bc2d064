"""One lane of a scheduler: its waiters, and the reason why the first of them waits."""

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
    "day": "the daily quota to reset",
    "minute": "a free call in the minute",
    "in_flight": "replies to calls in flight",
    "pace": "the even pace over the day",
    "bulk": "the even pace of bulk calls",
    "ledger": "the ledger, which cannot be reached",
    "ledger_new": "a ledger that is new or lost its data, to rule out earlier calls",
}


class LaneQueue:
    """One lane: its head, the waiters after it, and why the head waits.

    ``until`` is when the head may be admitted (monotonic). ``token`` is the lane's token of the
    bucket. ``pacing``: the head waits for a token. ``changed``: something happened since the head
    last asked.
    """

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
        """Have the head ask the ledger again."""
        self.changed = True
        if self.pause is not None and not self.pause.done():
            self.pause.set_result(None)

    def wake_threadsafe(self) -> None:
        """`wake`, from any thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            self.wake()
        else:
            with suppress(RuntimeError):  # the loop is closed, so no call waits in it
                self.loop.call_soon_threadsafe(self.wake)

    @property
    def waits_for_reset(self) -> bool:
        """Whether the head waits for the daily quota, which may hold up one lane only."""
        return self.denial is not None and self.denial.reason == "day"

    @property
    def blocks_one_lane(self) -> bool:
        """Whether the reason why the head waits does not apply to the other lane."""
        return self.denial is not None and self.denial.reason in ("day", "pace", "bulk")

    def deny(self, denial: Denial, now: float) -> None:
        self.denial = denial
        self.until = now if denial.wait is None else now + denial.wait

    def clear(self) -> None:
        """Forget why the head waited."""
        self.denial = None
        self.until = -math.inf


def exhausted(denial: Denial) -> DailyQuotaExceeded:
    """Return the exception for a spent daily quota."""
    known = denial.reset_at
    return DailyQuotaExceeded(None if known is None else datetime.fromtimestamp(known, UTC))


def why(denial: Denial | None) -> str:
    """Return what a denied call waits for, in words."""
    return "calls that came earlier" if denial is None else _WHY[denial.reason]


def new_bucket(limits: Limits) -> AsyncLimiter:
    """Return a full bucket. Its rate is fixed, so new limits need a new one."""
    from aiolimiter import AsyncLimiter  # slow to import (10 ms), and only bulk needs it

    return AsyncLimiter(limits.burst, limits.burst / limits.rate)


def refills_in(bucket: AsyncLimiter) -> float:
    """Return the part of a token that the bucket lacks.

    The bucket only answers whether it has a given capacity, so this is a binary search. Its own
    ``acquire`` would wait, but polls the clock, which never ends on simulated time.
    """
    held, missing = 0.0, 1.0
    while missing - held > 1e-6:
        half = (held + missing) / 2
        if bucket.has_capacity(half):
            held = half
        else:
            missing = half
    return 1.0 - held
