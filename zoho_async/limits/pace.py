"""The even pace of bulk calls: a bucket of aiolimiter's, one for each event loop.

A full bucket lets ``burst`` calls go together; it refills so that a minute that began with it full
holds ``limit`` calls and every later one ``limit - burst``.

The ledger keeps such a bucket too, for all who share it (``Usage.full``), and that one is what
holds. This one is in front of it, so that no event loop asks the ledger for bulk calls more often
than all together may make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoho_async.limits.figures import Limits

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


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
