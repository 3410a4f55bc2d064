"""The day's budget of one organization.

Two counts, and the smaller one holds. Our own counts every call in the last 24 hours, by hours, so
that wherever Zoho's day begins it holds no more than the ``day`` that the caller named. Zoho's is
in the headers of replies: limit, remaining, seconds to the reset. Of two figures of one day the
smaller is the newer, because the count only falls: so decreases alone are believed, and figures
that come out of order change nothing. Calls in flight may or may not be in a figure; they are taken
off it. Between figures every admission takes one off.

A reset that has passed starts everything anew, and figures of calls sent before it are dropped.
The reset is a moment of the wall clock and survives restarts. Where nobody named a reset, a spent
day is probed: one call an hour with nothing else in flight, whose answer is believed as it stands.

Code 45 means that the day is spent, in all documents but one, where it is the minute. Only a figure
above zero on that reply, or on one to a call sent later, proves that one right.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import LONGEST_RETRY_AFTER, NEVER
from zoho_async.limits.models import Lane, Limits, Quota, Refusal

HOUR: Final = 3600
#: Seconds between two probes of a spent day whose reset nobody named.
PROBE_EVERY: Final = 3600.0


class Day(msgspec.Struct):
    """The counts. ``reset_at`` and ``probe_at`` are wall-clock, the other moments monotonic."""

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
    """Let the clock have its effect: a passed reset, and hours that are a day old."""
    if day.reset_at is not None and wall >= day.reset_at:
        start_day(day, now, wall, in_flight)
    hour = int(wall // HOUR)
    if hour != day.hour:
        day.hour = hour
        # The 25th hour back still reaches into the last 24; hours ahead are a stepped clock's.
        day.hours = {at: calls for at, calls in day.hours.items() if at >= hour - 24}
        day.used = sum(day.hours.values())


def start_day(day: Day, now: float, wall: float, in_flight: int) -> None:
    """A new day begins; calls in flight count for it."""
    day.hour = int(wall // HOUR)
    day.hours = {day.hour: in_flight} if in_flight else {}
    day.used = in_flight
    day.left = None
    day.reset_at = None
    day.renewed = now
    day.spent = False
    day.probe_at = 0.0


def count(day: Day) -> None:
    """One more call was admitted in this hour."""
    day.used += 1
    day.hours[day.hour] = day.hours.get(day.hour, 0) + 1
    if day.left is not None:
        day.left -= 1


def uncount(day: Day) -> None:
    """One call that was admitted is never sent."""
    if day.used:
        day.used -= 1
    # It may have been counted in an hour that is over; then that hour keeps it.
    if day.hours.get(day.hour):
        day.hours[day.hour] -= 1
    if day.left is not None:
        day.left += 1


def total(day: Day, limits: Limits) -> int | None:
    """Calls that a day holds, as far as known."""
    known = [calls for calls in (limits.day, day.limit) if calls is not None]
    return min(known) if known else None


def reported_left(day: Day) -> int | None:
    """Calls left by Zoho's figures, or None where there are none."""
    if day.left is not None or day.limit is None:
        return day.left
    return day.limit - day.used


def left(day: Day, limits: Limits) -> int | None:
    """Calls left for the day by whichever count is smaller; None where neither knows."""
    by_zoho = 0 if day.spent else reported_left(day)
    if limits.day is None:
        return by_zoho
    ours = limits.day - day.used
    return ours if by_zoho is None or ours < by_zoho else by_zoho


def reserved_from(lane: Lane, day: Day, limits: Limits) -> int:
    """Calls that ``lane`` must leave untouched."""
    if lane == "interactive" or limits.reserve == 0:
        return 0
    if limits.reserve >= 1:
        return int(limits.reserve)
    return int(limits.reserve * (total(day, limits) or 0))


def spacing(day: Day, limits: Limits, wall: float) -> float:
    """Seconds between two bulk calls that spread over the rest of the day; 0 where none is known.

    Without a known reset the rest of the day is a whole one, and so are its calls.
    """
    if day.reset_at is None:
        calls, seconds = total(day, limits), 24.0 * HOUR
    else:
        calls, seconds = left(day, limits), day.reset_at - wall
    if calls is None:
        return 0.0
    return max(0.0, seconds) / max(1, calls - reserved_from("bulk", day, limits))


def opens_at(day: Day, kept: int) -> float | None:
    """When (wall clock) a day without calls left has some again; None where that needs a probe."""
    if day.reset_at is not None:
        return day.reset_at
    by_zoho = reported_left(day)
    if day.spent or (by_zoho is not None and by_zoho <= kept):
        return None
    # Our own count alone is used up: it is free as the oldest hour leaves the last 24.
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
    """Believe the figures of a reply to a call admitted at ``began``, as far as they go.

    True when they show that the day which a 45 called spent is not.
    """
    if began < day.renewed:
        return False
    if quota.reset is not None:
        # Headers truncate to whole seconds, so the reset is up to one later.
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
    """A 45 was answered to a call admitted at ``began`` and sent at ``sent``.

    No figure on the reply denied it.
    """
    if began < day.renewed:
        return
    day.spent = True
    day.refused = sent
    day.left = 0
    if day.reset_at is None and refusal.retry_after and refusal.retry_after > 0:
        day.reset_at = wall + min(refusal.retry_after, LONGEST_RETRY_AFTER)
    day.probe_at = wall + PROBE_EVERY
