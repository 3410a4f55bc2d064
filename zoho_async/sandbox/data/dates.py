"""Dates and times as Zoho sends them, and the days of the sample data.

Model
-----
The sample data covers three years: from the first day of a month until the evening before *today*.
`Calendar.moment` maps a share of all records, from 0 to 1, to a time. A day gets more records the
later it is (the firm grows), the busier its month is, and if it is a working day.

Invariant
---------
`Calendar.moment` ascends with the share, and its times are from 9:00 to 18:00 and before today. So
a list that is made in order of its row numbers ascends with its times, and nothing is in the future
at any hour of today.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from datetime import date, timedelta
from itertools import accumulate
from typing import Final

#: The organization's time zone: three hours behind UTC, without summer time.
_OFFSET: Final = -3 * 3600
_OFFSET_TEXT: Final = "-0300"
_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = 86_400
#: The hours of work, in seconds since midnight.
_OPENS: Final = 9 * 3600
_CLOSES: Final = 18 * 3600
_YEARS: Final = 3
_GROWTH_PER_YEAR: Final = 1.25
#: Business of each month, from January.
_SEASON: Final = (0.8, 0.85, 1.0, 1.0, 1.05, 1.05, 0.85, 0.75, 1.05, 1.15, 1.3, 1.25)
#: Business of each weekday, from Monday.
_WEEK: Final = (1.0, 1.0, 1.0, 1.0, 0.9, 0.1, 0.0)
#: Seconds between two records of the import with which the firm began.
_IMPORT_STEP: Final = 180
#: A step of the golden ratio: spreads fractions evenly, without a pattern.
_GOLDEN: Final = 2_654_435_761
_FULL: Final = 1 << 32


class Calendar:
    """The days of the sample data before ``today``."""

    def __init__(self, today: date) -> None:
        self.today: Final = today
        self.first: Final = date(today.year - _YEARS, today.month, 1)
        #: The end of the sample data: the midnight with which today begins.
        self.end: Final = moment_of(today)
        days = [self.first + timedelta(days=n) for n in range((today - self.first).days)]
        weights = [
            _GROWTH_PER_YEAR ** (number / 365) * _SEASON[day.month - 1] * _WEEK[day.weekday()]
            for number, day in enumerate(days)
        ]
        self._start: Final = moment_of(self.first)
        self._sums: Final = [0.0, *accumulate(weights)]

    def moment(self, share: float) -> int:
        """The time at a share of all records, from 0 (the first) to 1 (the last)."""
        wanted = min(max(share, 0.0), 1.0) * self._sums[-1]
        number = min(bisect_right(self._sums, wanted), len(self._sums) - 1) - 1
        while self._sums[number] == self._sums[number + 1]:
            number -= 1  # the last share, on a day without work
        inside = (wanted - self._sums[number]) / (self._sums[number + 1] - self._sums[number])
        work = int(inside * (_CLOSES - _OPENS - 1))
        return self._start + number * _DAY_SECONDS + _OPENS + work

    def created(self, index: int, rows: int, *, imported: float = 0.0) -> int:
        """The creation time of row ``index`` of ``rows``, in seconds since 1970.

        Two neighboring rows share one second. A part of the rows, ``imported``, was there when the
        first month began.
        """
        pair, pairs = index // 2, max((rows + 1) // 2, 1)
        known = int(pairs * imported)
        if pair < known:
            jitter = pair * _GOLDEN % _IMPORT_STEP
            return self._start - (known - pair) * _IMPORT_STEP + jitter
        return self.moment((pair - known + pair * _GOLDEN % _FULL / _FULL) / (pairs - known))


@functools.lru_cache(maxsize=8)
def calendar_of(today: date) -> Calendar:
    """The calendar of a day; organizations share it."""
    return Calendar(today)


def moment_of(of: date) -> int:
    """The midnight with which a day begins in the organization, in seconds since 1970."""
    return (of - _EPOCH).days * _DAY_SECONDS - _OFFSET


def stamp(moment: int) -> str:
    """Format a time as Zoho sends it: ``2026-06-09T09:45:19-0400``."""
    number, second = divmod(moment + _OFFSET, _DAY_SECONDS)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{_iso(number)}T{clock}{_OFFSET_TEXT}"


def day(moment: int) -> str:
    """Format a date as Zoho sends it: ``2026-06-09``."""
    return _iso((moment + _OFFSET) // _DAY_SECONDS)


@functools.lru_cache(maxsize=8192)
def _iso(number: int) -> str:
    """The date of a day counted from 1970; many rows share one."""
    return (_EPOCH + timedelta(days=number)).isoformat()


def day_formatted(day: str) -> str:
    """Format a date as the organization displays it: ``09/06/2026``."""
    return f"{day[8:10]}/{day[5:7]}/{day[:4]}" if day else ""
