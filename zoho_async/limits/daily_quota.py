"""The daily quota of one organization, or of one of its products (`product_days`).

Model
-----
There are two counts, and the smaller one applies: our own, and Zoho's in the headers of replies
(limit, remaining, seconds to the reset).

Zoho's day is the calendar day of the organization (`zoho_async.limits.midnight`), and our own count
covers that day if its end is known. Else it covers the last 24 hours, by hour, so that it never
exceeds the ``day`` that the caller set, whenever Zoho's day begins.

Zoho's count only falls during a day. So of two figures the smaller is the newer: only decreases are
accepted, and figures that come out of order change nothing. Calls in flight may or may not be part
of a figure, so they are subtracted from it. Between figures, every admission subtracts one.

Reset
-----
After a reset all counts start from zero, and figures of calls that were sent before it are dropped.
The reset is a moment of the wall clock and survives restarts. The headers of the day say when it
is. Until the first of them, it is *predicted*: midnight in ``Limits.time_zone`` if that is known,
else 24 hours after the last reset. A header that differs replaces a prediction.

If the reset is not known, or only predicted, a spent day is probed: one call an hour with nothing
else in flight. Its answer is accepted as it is.

Unknown
-------
Without a time zone, and without a header on a day of 25 hours, the prediction is an hour early.

Code 45 means that the day is spent, in all of Zoho's documents but one, which says the minute. That
one is right only if the same reply, or a reply to a call sent later, has a figure above zero.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zoho_async.limits.block import LONGEST_RETRY_AFTER, NEVER
from zoho_async.limits.midnight import DAY, local_time, midnights
from zoho_async.limits.models import Lane, Limits, ProductQuota, Quota, Refusal

HOUR: Final = 3600
#: Headers are cut to whole seconds, and may be one second short. Clocks differ a little.
LATE: Final = 2.0
#: A reset that is this much later than predicted is the next day's, in seconds.
NEXT_DAY: Final = 12.0 * HOUR
#: Seconds between two probes of a spent day whose reset is not known.
PROBE_EVERY: Final = 3600.0


class DailyQuota(msgspec.Struct):
    """The counts. ``reset_at`` and ``probe_at`` are wall-clock times, the others monotonic.

    ``predicted``: no header of this day has confirmed ``reset_at``. ``late``: calls so close to the
    reset that Zoho may have counted them for the next day.
    """

    used: int = 0
    hour: int = 0
    hours: dict[int, int] = {}
    limit: int | None = None
    left: int | None = None
    reset_at: float | None = None
    predicted: bool = False
    late: int = 0
    renewed: float = NEVER
    spent: bool = False
    refused: float = NEVER
    probe_at: float = 0.0
    probe: int = 0

    def pass_time(
        self, now: float, wall: float, in_flight: int, time_zone: str | None = None
    ) -> None:
        """Apply a reset that has passed, predict the next one, and drop hours of earlier days."""
        passed = self.reset_at
        if passed is not None and wall >= passed:
            self.start_day(now, wall, in_flight)
            self.reset_at = passed + DAY * (1 + (wall - passed) // DAY)
            self.predicted = True
            if time_zone is not None:
                # Not at ``wall``: by a slow clock it is still the day that ended.
                self._predict_reset(time_zone, max(wall, passed + NEXT_DAY))
        elif passed is None and time_zone is not None:
            self._predict_reset(time_zone, wall - LATE)
        hour = int(wall // HOUR)
        if hour != self.hour:
            self.hour = hour
            # The 25th hour back overlaps the last 24, and a day of 25 hours may be part of 26.
            # Hours ahead come from a clock that was set back.
            oldest = hour - (24 if self.reset_at is None else 25)
            self._drop_hours(oldest)

    def _predict_reset(self, time_zone: str, moment: float) -> None:
        """Predict that the day of ``moment`` ends at midnight."""
        day = midnights(time_zone, moment)
        if day is None:
            return
        began, ends = day
        if self.reset_at is None:
            self._drop_hours(int(began // HOUR))
        self.reset_at = ends + LATE
        self.predicted = True

    def _drop_hours(self, oldest: int) -> None:
        """Forget the calls of the hours before ``oldest``."""
        self.hours = {at: calls for at, calls in self.hours.items() if at >= oldest}
        self.used = sum(self.hours.values())

    def start_day(self, now: float, wall: float, in_flight: int) -> None:
        """Begin a new day. Calls in flight and late calls count for it."""
        self.used = in_flight + self.late
        self.late = 0
        self.hour = int(wall // HOUR)
        self.hours = {self.hour: self.used} if self.used else {}
        self.left = None
        self.reset_at = None
        self.predicted = False
        self.renewed = now
        self.spent = False
        self.probe_at = 0.0

    def forget_figures(self) -> None:
        """Forget Zoho's figures, which were of several counters. The calls and the reset stay."""
        self.limit = self.left = None
        self.spent = False
        self.probe_at = 0.0

    def count(self, wall: float) -> None:
        """Count a call that was admitted in this hour."""
        self.used += 1
        if self.reset_at is not None and wall >= self.reset_at - 2 * LATE:
            self.late += 1
        self.hours[self.hour] = self.hours.get(self.hour, 0) + 1
        if self.left is not None:
            self.left -= 1

    def uncount(self) -> None:
        """Uncount a call that was admitted but never sent."""
        if self.used:
            self.used -= 1
        # If it was counted in an earlier hour, that hour keeps it.
        if self.hours.get(self.hour):
            self.hours[self.hour] -= 1
        if self.left is not None:
            self.left += 1

    def total(self, limits: Limits) -> int | None:
        """Return the calls allowed in a day, or None if not known."""
        known = [calls for calls in (limits.day, self.limit) if calls is not None]
        return min(known) if known else None

    def reported_left(self) -> int | None:
        """Return the calls left by Zoho's figures, or None without figures."""
        if self.left is not None or self.limit is None:
            return self.left
        return self.limit - self.used

    def remaining(self, limits: Limits) -> int | None:
        """Return the calls left today by the smaller count, or None if neither is known."""
        by_zoho = 0 if self.spent else self.reported_left()
        if limits.day is None:
            return by_zoho
        ours = limits.day - self.used
        return ours if by_zoho is None or ours < by_zoho else by_zoho

    def to_quota(self, limits: Limits, wall: float) -> ProductQuota:
        """Return the quota for people to read."""
        remaining, reset_at = self.remaining(limits), self.reset_at
        return ProductQuota(
            used=self.used,
            limit=self.total(limits),
            remaining=None if remaining is None else max(0, remaining),
            reset_in=None if reset_at is None else reset_at - wall,
            resets_at=None if reset_at is None else local_time(reset_at, limits.time_zone),
        )

    def reserved_from(self, lane: Lane, limits: Limits) -> int:
        """Return the number of calls that ``lane`` must leave unused."""
        if lane == "interactive" or limits.reserve == 0:
            return 0
        if limits.reserve >= 1:
            return int(limits.reserve)
        return int(limits.reserve * (self.total(limits) or 0))

    def spacing(self, limits: Limits, wall: float) -> float:
        """Return the seconds between bulk calls that spread over the rest of the day.

        Without a known reset, a whole day's calls spread over 24 hours. 0 without a known limit.
        """
        if self.reset_at is None:
            calls, seconds = self.total(limits), 24.0 * HOUR
        else:
            calls, seconds = self.remaining(limits), self.reset_at - wall
        if calls is None:
            return 0.0
        return max(0.0, seconds) / max(1, calls - self.reserved_from("bulk", limits))

    def opens_at(self, kept: int) -> float | None:
        """Return when (wall clock) a spent day has calls again, or None if that needs a probe."""
        if self.reset_at is not None and not (self.spent and self.predicted):
            return self.reset_at
        by_zoho = self.reported_left()
        if self.spent or (by_zoho is not None and by_zoho <= kept):
            return None
        # Only our own count is used up. Calls become free when the oldest hour is 24 hours old.
        oldest = min((at for at, calls in self.hours.items() if calls), default=self.hour)
        return (oldest + 25.0) * HOUR

    def apply_quota(
        self,
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
        if began < self.renewed:
            return False
        if quota.reset is not None:
            reset_at, known = wall + quota.reset + LATE, self.reset_at
            if known is None or self.predicted:
                if known is not None and reset_at > known + NEXT_DAY:
                    self.start_day(now, wall, in_flight)
                self.reset_at = reset_at
            elif reset_at < known - limits.window:
                return False
            elif reset_at > known + limits.window:
                self.start_day(now, wall, in_flight)
                self.reset_at = reset_at
            else:
                self.reset_at = max(reset_at, known)
            self.predicted = False
        if quota.limit is not None and quota.limit > 0:
            self.limit = quota.limit
        if quota.remaining is None:
            return False
        figure = quota.remaining - in_flight
        if quota.remaining <= 0:
            self.probe_at = wall + PROBE_EVERY
        if probing:
            self.left = figure
            return False
        if self.spent:
            if began <= self.refused or figure <= 0:
                return False
            self.spent = False
            self.left = figure
            return True
        known = self.reported_left()
        self.left = figure if known is None else min(known, figure)
        return False

    def mark_spent(
        self, refusal: Refusal, began: float, sent: float, wall: float, limits: Limits
    ) -> None:
        """Mark the day as spent, for a 45 to a call admitted at ``began`` and sent at ``sent``.

        Only for a reply without a figure that contradicts it.
        """
        if began < self.renewed:
            return
        self.spent = True
        self.refused = sent
        self.left = 0
        unsure = self.reset_at is None or self.predicted
        if unsure and refusal.retry_after and refusal.retry_after > 0:
            self.reset_at = wall + min(refusal.retry_after, LONGEST_RETRY_AFTER)
            self.predicted = False
        self.probe_at = wall + PROBE_EVERY
