"""The pace of bulk calls: a token bucket that spreads them evenly over the minute.

A bulk call takes a token before it asks the ledger for a place. The token belongs to the lane, not
to the call. So it is not lost if the call is cancelled, and the bucket does not overflow while the
lane waits for the ledger.

The bucket holds as many tokens as bulk calls may go at once (`Limits.head_start`), so it never
denies a call that the ledger would admit. It makes no promise: the ledger does, for all workers
together (`zoho_async.limits`).

The bucket is an `aiolimiter.AsyncLimiter`, which takes its rate at construction. So other limits
need a new bucket. What other clients leave changes with each reply, for all workers at once. So
that slower pace is only in the ledger (`zoho_async.limits.others`), which names the moment of the
next call. This bucket never makes a call wait longer than that, so a bucket for the slower pace
would change nothing (`tests/unit/test_limits_pace.py` checks it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoho_async.limits.models import Limits

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class BulkPace:
    """The bucket of one lane, and the token that the lane holds.

    ``capacity`` is how many bulk calls may go at once.
    """

    __slots__ = ("_bucket", "_limits", "capacity", "has_token", "is_active")

    def __init__(self, limits: Limits) -> None:
        self.has_token = False
        self.change_limits(limits)

    def change_limits(self, limits: Limits) -> None:
        """Use other limits. The rate of a bucket is fixed, so they need a new, full one."""
        self._limits = limits
        self.capacity: int = limits.head_start
        self._bucket: AsyncLimiter | None = None
        #: With ``burst = limit`` there is no bucket, and no call waits for a token.
        self.is_active = limits.burst < limits.limit

    @property
    def is_full(self) -> bool:
        """Whether it equals a new pace."""
        if self.has_token:
            return False
        return self._bucket is None or self._bucket.has_capacity(self.capacity)

    async def take_token(self) -> bool:
        """Take a token if the bucket has one. Returns whether the lane holds a token now."""
        if not self.has_token and (bucket := self._open_bucket()).has_capacity():
            await bucket.acquire()  # does not wait: there is capacity
            self.has_token = True
        return self.has_token

    def spend_token(self) -> None:
        """Spend the token on a call that was admitted."""
        self.has_token = False

    def seconds_to_token(self) -> float:
        """Return the seconds until the bucket has a token.

        The bucket only answers whether it has a given capacity, so this is a binary search. Its own
        ``acquire`` would wait, but polls the clock, which never ends on simulated time.
        """
        bucket = self._open_bucket()
        held, missing = 0.0, 1.0
        while missing - held > 1e-6:
            half = (held + missing) / 2
            if bucket.has_capacity(half):
                held = half
            else:
                missing = half
        return (1.0 - held) / self._limits.rate

    def _open_bucket(self) -> AsyncLimiter:
        if self._bucket is None:
            from aiolimiter import AsyncLimiter  # slow to import (10 ms), and only bulk needs it

            self._bucket = AsyncLimiter(self.capacity, self.capacity / self._limits.rate)
        return self._bucket
