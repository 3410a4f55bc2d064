"""What a worker remembers of a usage that Redis forgot, entered again.

Several workers remember the same calls, each up to its own last writing. So nothing may be added
up: of each hour the highest count that any of them remembers is taken as the *base*, and what was
counted since comes on top. Entering the same twice changes nothing.

The minute is not entered: no place is given until all of it has left the count (`epoch`). Calls
that are still open are, because their replies may take longer than ``linger``.
"""

from __future__ import annotations

from zoho_async.limits import daily_quota as days
from zoho_async.limits import usage as usages
from zoho_async.limits.block import Block
from zoho_async.limits.daily_quota import Day
from zoho_async.limits.usage import Usage


def merge(usage: Usage, base: dict[int, int], memory: Usage, passed: float, now: float) -> None:
    """Enter ``memory`` into ``usage``; its moments are moved by ``passed`` seconds."""
    usages.shift_clock(memory, passed)
    _merge_gate(usage.block, memory.block)
    _merge_day(usage.day, base, memory.day, now)
    usage.slowest = max(usage.slowest, memory.slowest)


def _merge_gate(block: Block, memory: Block) -> None:
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
