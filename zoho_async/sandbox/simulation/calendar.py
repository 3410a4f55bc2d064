"""When the day of an organization ends: at midnight in its own time zone.

Known from recordings: 127 of 127 replies of three organizations in three zones. Unknown: a night in
which the clocks change. Here such a day has 23 or 25 hours, by the time-zone database. An unknown
zone counts as UTC, and a changed zone applies at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo


class DayCalendar:
    """The days of organizations on the sandbox's clock.

    ``zone`` returns the name of an organization's time zone. ``ahead`` is how many seconds the time
    since 1970 is ahead of the sandbox's clock.
    """

    def __init__(self, zone: Callable[[str], str], ahead: float) -> None:
        self._zone: Final = zone
        self._ahead: Final = ahead

    def day_end(self, organization: str, now: float) -> float:
        """Return when the day of ``now`` ends, by the sandbox's clock."""
        zone = _zone_named(self._zone(organization))
        local = datetime.fromtimestamp(now + self._ahead, zone)
        tomorrow = datetime(local.year, local.month, local.day, tzinfo=zone) + timedelta(days=1)
        return tomorrow.timestamp() - self._ahead


def _zone_named(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return UTC
