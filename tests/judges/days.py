"""A judge of the day: counts the calls of each local day of an organization.

It knows three time zones by the moments at which their clocks change in 2027, from the laws and not
from a time-zone database. It shares no code with the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

HOUR: Final = 3600.0


def utc(month: int, day: int, hour: int) -> float:
    return datetime(2027, month, day, hour, tzinfo=UTC).timestamp()


#: For each zone, the offsets from UTC in hours and the moments from which they apply.
ZONES: Final = {
    "America/New_York": ((0.0, -5), (utc(3, 14, 7), -4), (utc(11, 7, 6), -5)),
    "Europe/Berlin": ((0.0, 1), (utc(3, 28, 1), 2), (utc(10, 31, 1), 1)),
    "Australia/Sydney": ((0.0, 11), (utc(4, 3, 16), 10), (utc(10, 2, 16), 11)),
}


@dataclass
class DayJudge:
    """Accepts ``quota`` calls in each local day of ``zone``."""

    zone: str
    quota: int
    calls: dict[int, int] = field(default_factory=dict)
    refused: int = 0

    def offset(self, moment: float) -> float:
        return [hours for since, hours in ZONES[self.zone] if moment >= since][-1] * HOUR

    def local_day(self, moment: float) -> int:
        return int((moment + self.offset(moment)) // (24 * HOUR))

    def midnight(self, moment: float) -> float:
        """When the local day of ``moment`` ends."""
        begins = (self.local_day(moment) + 1) * 24 * HOUR
        # The offset may change until then. All changes here are hours away from midnight.
        return begins - self.offset(begins - self.offset(moment))

    def left(self, moment: float) -> int:
        return self.quota - self.calls.get(self.local_day(moment), 0)

    def arrive(self, moment: float) -> bool:
        """Count a call. Returns whether it was accepted."""
        if self.left(moment) <= 0:
            self.refused += 1
            return False
        day = self.local_day(moment)
        self.calls[day] = self.calls.get(day, 0) + 1
        return True

    def lengths(self) -> list[int]:
        """The lengths of the days with calls, in hours."""
        noons = [day * 24 * HOUR + 12 * HOUR for day in sorted(self.calls)]
        ends = [self.midnight(noon - self.offset(noon)) for noon in noons]
        return [round((after - before) / HOUR) for before, after in pairwise(ends)]
