"""What a dead process, a late message, a lost ledger or a restart does to the usage.

For ledgers that outlive their processes; the other rules are in `zoho_async.limits.usage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify
from typing import Final

import msgspec

from zoho_async.limits.models import Limits
from zoho_async.limits.others import Others
from zoho_async.limits.usage import SOON, Ending, LoggedCall, Usage, abandon

#: An open place expires after this many ``linger``, if it is unknown whether its owner is alive.
LAPSE: Final = 10.0


def expire_dead_owners(
    usage: Usage, alive: Callable[[str], bool | None], limits: Limits, now: float
) -> bool:
    """Abandon the open calls of dead owners. Returns whether there were any.

    It is not known when an owner died, so its calls may have been sent until now. No call is sent
    later than `LAPSE` times ``linger`` after its admission, because slots get stale. After that
    time, calls are also abandoned if ``alive`` does not know their owner (None).
    """
    verdicts = {owner: alive(owner) for owner in {place.owner for place in usage.open.values()}}
    lapse = LAPSE * limits.linger
    lost = [
        number
        for number, place in usage.open.items()
        if (verdict := verdicts[place.owner]) is False
        or (verdict is None and now >= place.taken + lapse)
    ]
    abandon_open(usage, lost, limits, now)
    return bool(lost)


def abandon_open(usage: Usage, places: Iterable[int], limits: Limits, now: float) -> None:
    """Abandon the open calls in ``places``, as if they were sent as late as possible."""
    for number in places:
        latest = usage.open.pop(number).taken + LAPSE * limits.linger
        abandon(usage, min(now, latest), now, limits)


def delay(ending: Ending, seconds: float) -> Ending:
    """Return ``ending``, noted ``seconds`` later. Seconds that Zoho named are fewer then."""
    quota, refusal = ending.quota, ending.refusal
    if quota is not None and quota.reset is not None:
        quota = msgspec.structs.replace(quota, reset=max(0.0, quota.reset - seconds))
    if refusal is not None and refusal.retry_after:
        # Not 0, which means that no Retry-After was given.
        left = max(SOON, refusal.retry_after - seconds)
        refusal = msgspec.structs.replace(refusal, retry_after=left)
    ago = ending.ago + seconds
    return msgspec.structs.replace(ending, ago=ago, quota=quota, refusal=refusal)


def carry_over(usage: Usage, lost: Usage) -> None:
    """Carry the block, the concurrency limit and the day of ``lost`` over into ``usage``.

    No call of ``lost`` counts in the minute any more. Its calls may still be open, so numbers of
    places continue after its last one.
    """
    usage.serial = max(usage.serial, lost.serial)
    if lost.block.opens > usage.block.opens:
        usage.block = lost.block
    if lost.concurrency.shrunk > usage.concurrency.shrunk:
        usage.concurrency = lost.concurrency
    if lost.day.used > usage.day.used:
        usage.day, usage.products = lost.day, lost.products
    carry_others(usage, lost)


def carry_others(usage: Usage, lost: Usage) -> None:
    """Carry what ``lost`` knew of other clients over into ``usage``, by the same clock."""
    if lost.others is not None:
        usage.others = usage.others or Others()
        usage.others.carry_over(lost.others)
    elif usage.others is not None:
        usage.others.begin_again()


def shift_clock(usage: Usage, seconds: float) -> None:
    """Move all monotonic moments by ``seconds``, after a restart of the machine."""
    for heap in (usage.held, usage.bulk, usage.abandoned):
        heap[:] = [moment + seconds for moment in heap]
        heapify(heap)
    usage.open = {
        number: LoggedCall(place.taken + seconds, place.owner, place.replied, place.product)
        for number, place in usage.open.items()
    }
    usage.started += seconds
    usage.paced += seconds
    usage.bucket_full_at += seconds
    usage.block.closed += seconds
    usage.block.opens += seconds
    usage.concurrency.shrunk += seconds
    usage.concurrency.opens += seconds
    usage.day.renewed += seconds
    usage.day.refused += seconds
    usage.unsure_until += seconds
    if usage.products is not None:
        usage.products.shift_clock(seconds)
    if usage.others is not None:
        usage.others.shift_clock(seconds)
