"""Enter a worker's remembered usage again, after Redis lost it.

Several workers remember the same calls, each up to its own last writing. So counts are not added
up. For each hour, the highest count that any worker remembers is the *base*, and calls since then
are added to it. Entering the same memory twice changes nothing.

The minute is not entered, because no place is given until all its calls have left the count
(`epoch`). Calls that are still open are entered, because their replies may take longer than
``linger``.
"""

from __future__ import annotations

from zoho_async.limits import daily_quota as days
from zoho_async.limits import usage as usages
from zoho_async.limits.block import Block
from zoho_async.limits.daily_quota import Day
from zoho_async.limits.usage import Usage


def merge(usage: Usage, base: dict[int, int], memory: Usage, passed: float, now: float) -> None:
    """Enter ``memory`` into ``usage``, with its moments moved by ``passed`` seconds."""
    usages.shift_clock(memory, passed)
    _merge_block(usage.block, memory.block)
    _merge_day(usage.day, base, memory.day, now)
    usage.slowest = max(usage.slowest, memory.slowest)


def _merge_block(block: Block, memory: Block) -> None:
    if memory.opens > block.opens:
        block.closed = max(block.closed, memory.closed)
        block.opens = memory.opens
        block.strikes = max(block.strikes, memory.strikes)


def _merge_day(day: Day, base: dict[int, int], memory: Day, now: float) -> None:
    for each in (day, memory):
        days.pass_time(each, now, now, 0)
    sent = max(0, day.used - sum(base.values()))
    for hour, calls in memory.hours.items():
        if calls > base.get(hour, 0):
            day.hours[hour] = day.hours.get(hour, 0) + calls - base.get(hour, 0)
            base[hour] = calls
    day.used = sum(day.hours.values())
    if day.limit is None:
        day.limit = memory.limit
    if memory.left is not None:
        left = memory.left - sent
        day.left = left if day.left is None else min(day.left, left)
    if memory.reset_at is not None:
        day.reset_at = max(memory.reset_at, day.reset_at or 0.0)
    day.renewed = max(day.renewed, memory.renewed)
    if memory.spent:
        day.spent = True
        day.refused = max(day.refused, memory.refused)
    day.probe_at = max(day.probe_at, memory.probe_at)
