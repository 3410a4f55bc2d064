"""When an organization's day ends: at midnight in its own time zone.

Seen in 127 of 127 recorded replies of three organizations in three time zones: the reply's ``Date``
plus its ``X-Rate-Limit-Reset`` is local midnight, or the second before. No recording shows a night
in which the clocks change. The day then has 23 or 25 hours by the time-zone database.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

DAY: Final = 86_400.0
#: Zones differ by quarters of an hour. Of two that share a midnight, more people live in the one
#: that is at most 13 hours ahead.
_STEP: Final = 900.0
_FURTHEST: Final = 13 * 3600.0
#: How far a reset may be from a quarter of an hour, in seconds.
_NEAR: Final = 10.0


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone ``name``, or None if this computer does not know it."""
    from zoneinfo import ZoneInfo  # slow to import, and few programs need it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return None


def midnights(time_zone: str, wall: float) -> tuple[float, float] | None:
    """Return when the day of ``wall`` began and ends, or None for an unknown time zone.

    All three are seconds of the wall clock.
    """
    zone = zone_of(time_zone)
    if zone is None:
        return None
    today = datetime.fromtimestamp(wall, zone).date()
    tomorrow = today + timedelta(days=1)
    began, ends = (datetime.combine(day, time(), zone).timestamp() for day in (today, tomorrow))
    return began, ends


def local_time(moment: float, time_zone: str | None) -> datetime:
    """Return ``moment``, at which a day ends, in the organization's local time.

    Without a known ``time_zone``, its offset follows from ``moment``, because that is midnight.
    """
    return datetime.fromtimestamp(moment, (time_zone and zone_of(time_zone)) or _offset(moment))


def _offset(moment: float) -> tzinfo:
    """Return the offset of the zones in which it is midnight at ``moment``, else UTC."""
    steps = round(moment / _STEP)
    if abs(moment - steps * _STEP) > _NEAR:
        return UTC
    behind = steps * _STEP % DAY
    ahead = DAY - behind
    return timezone(timedelta(seconds=ahead if ahead <= _FURTHEST else -behind))
