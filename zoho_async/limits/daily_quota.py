"""The daily quota of one organization.

Model
-----
There are two counts, and the smaller one applies. Our own count covers the last 24 hours, by hour,
so it never exceeds the ``day`` that the caller set, whenever Zoho's day begins. Zoho's count is in
the headers of replies: limit, remaining, seconds to the reset.

Zoho's count only falls during a day. So of two figures the smaller is the newer: only decreases are
accepted, and figures that come out of order change nothing. Calls in flight may or may not be part
of a figure, so they are subtracted from it. Between figures, every admission subtracts one.

Reset
-----
After a reset all counts start from zero, and figures of calls that were sent before it are dropped.
The reset is a moment of the wall clock and survives restarts. If the reset is not known, a spent
day is probed: one call an hour with nothing else in flight. Its answer is accepted as it is.

Unknown
-------
Code 45 means that the day is spent, in all of Zoho's documents but one, which says the minute. That
one is right only if the same reply, or a reply to a call sent later, has a figure above zero.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import LONGEST_RETRY_AFTER, NEVER
from zoho_async.limits.models import Lane, Limits, Quota, Refusal

HOUR: Final = 3600
#: Seconds between two probes of a spent day whose reset is not known.
PROBE_EVERY: Final = 3600.0


class Day(msgspec.Struct):
    """The counts. ``reset_at`` and ``probe_at`` are wall-clock times, the others monotonic."""

    used: int = 0
    hour: int = 0
    hours: dict[int, int] = {}
    limit: int | None = None
    left: int | None = None
    reset_at: float | None = None
    renewed: float = NEVER
    spent: bool = False
    refused: float = NEVER
    probe_at: float = 0.0
    probe: int = 0


def pass_time(day: Day, now: float, wall: float, in_flight: int) -> None:
    """Apply a reset that has passed, and drop hours that are a day old."""
    if day.reset_at is not None and wall >= day.reset_at:
        start_day(day, now, wall, in_flight)
    hour = int(wall // HOUR)
    if hour != day.hour:
        day.hour = hour
        # The 25th hour back overlaps the last 24. Hours ahead come from a clock that was set back.
        day.hours = {at: calls for at, calls in day.hours.items() if at >= hour - 24}
        day.used = sum(day.hours.values())


def start_day(day: Day, now: float, wall: float, in_flight: int) -> None:
    """Begin a new day. Calls in flight count for it."""
    day.hour = int(wall // HOUR)
    day.hours = {day.hour: in_flight} if in_flight else {}
    day.used = in_flight
    day.left = None
    day.reset_at = None
    day.renewed = now
    day.spent = False
    day.probe_at = 0.0


def count(day: Day) -> None:
    """Count a call that was admitted in this hour."""
    day.used += 1
    day.hours[day.hour] = day.hours.get(day.hour, 0) + 1
    if day.left is not None:
        day.left -= 1


def uncount(day: Day) -> None:
    """Uncount a call that was admitted but never sent."""
    if day.used:
        day.used -= 1
    # If it was counted in an earlier hour, that hour keeps it.
    if day.hours.get(day.hour):
        day.hours[day.hour] -= 1
    if day.left is not None:
        day.left += 1


def total(day: Day, limits: Limits) -> int | None:
    """Return the calls allowed in a day, or None if not known."""
    known = [calls for calls in (limits.day, day.limit) if calls is not None]
    return min(known) if known else None


def reported_left(day: Day) -> int | None:
    """Return the calls left by Zoho's figures, or None without figures."""
    if day.left is not None or day.limit is None:
        return day.left
    return day.limit - day.used


def left(day: Day, limits: Limits) -> int | None:
    """Return the calls left today by the smaller count, or None if neither is known."""
    by_zoho = 0 if day.spent else reported_left(day)
    if limits.day is None:
        return by_zoho
    ours = limits.day - day.used
    return ours if by_zoho is None or ours < by_zoho else by_zoho


def reserved_from(lane: Lane, day: Day, limits: Limits) -> int:
    """Return the number of calls that ``lane`` must leave unused."""
    if lane == "interactive" or limits.reserve == 0:
        return 0
    if limits.reserve >= 1:
        return int(limits.reserve)
    return int(limits.reserve * (total(day, limits) or 0))


def spacing(day: Day, limits: Limits, wall: float) -> float:
    """Return the seconds between bulk calls that spread over the rest of the day; 0 if not known.

    Without a known reset, a whole day's calls spread over 24 hours.
    """
    if day.reset_at is None:
        calls, seconds = total(day, limits), 24.0 * HOUR
    else:
        calls, seconds = left(day, limits), day.reset_at - wall
    if calls is None:
        return 0.0
    return max(0.0, seconds) / max(1, calls - reserved_from("bulk", day, limits))


def opens_at(day: Day, kept: int) -> float | None:
    """Return when (wall clock) a spent day has calls again, or None if that needs a probe."""
    if day.reset_at is not None:
        return day.reset_at
    by_zoho = reported_left(day)
    if day.spent or (by_zoho is not None and by_zoho <= kept):
        return None
    # Only our own count is used up. Calls become free when the oldest hour is 24 hours old.
    oldest = min((at for at, calls in day.hours.items() if calls), default=day.hour)
    return (oldest + 25.0) * HOUR


def apply_quota(
    day: Day,
    quota: Quota,
    began: float,
    now: float,
    wall: float,
    limits: Limits,
    in_flight: int,
    probing: bool,
) -> bool:
    """Apply the figures of a reply to a call that was admitted at ``began``.

    Returns True if they show that the day is not spent although a 45 said so.
    """
    if began < day.renewed:
        return False
    if quota.reset is not None:
        # Headers truncate to whole seconds, so the reset may be one second later.
        reset_at = wall + quota.reset + 1
        if day.reset_at is not None and reset_at < day.reset_at - limits.window:
            return False
        if day.reset_at is not None and reset_at > day.reset_at + limits.window:
            start_day(day, now, wall, in_flight)
        day.reset_at = max(reset_at, day.reset_at or 0.0)
    if quota.limit is not None and quota.limit > 0:
        day.limit = quota.limit
    if quota.remaining is None:
        return False
    figure = quota.remaining - in_flight
    if quota.remaining <= 0:
        day.probe_at = wall + PROBE_EVERY
    if probing:
        day.left = figure
        return False
    if day.spent:
        if began <= day.refused or figure <= 0:
            return False
        day.spent = False
        day.left = figure
        return True
    known = reported_left(day)
    day.left = figure if known is None else min(known, figure)
    return False


def mark_spent(
    day: Day, refusal: Refusal, began: float, sent: float, wall: float, limits: Limits
) -> None:
    """Mark the day as spent, for a call admitted at ``began`` and sent at ``sent`` that got a 45.

    Only for a reply without a figure that contradicts it.
    """
    if began < day.renewed:
        return
    day.spent = True
    day.refused = sent
    day.left = 0
    if day.reset_at is None and refusal.retry_after and refusal.retry_after > 0:
        day.reset_at = wall + min(refusal.retry_after, LONGEST_RETRY_AFTER)
    day.probe_at = wall + PROBE_EVERY
