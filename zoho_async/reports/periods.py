"""Dates of a report: a period, and its division into months, quarters or years."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

#: The division of a report's dates. Quarters and years are those of the calendar.
PeriodLength: TypeAlias = Literal["month", "quarter", "year"]

_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}
_DAY: Final = dt.timedelta(days=1)


class Period(msgspec.Struct, frozen=True, order=True):
    """The days from ``first`` to ``last``, both included.

    ``first`` stays None for a report that is as of one day. Both do if the reply names no days.
    """

    first: dt.date | None
    last: dt.date | None

    def __str__(self) -> str:
        if self.last is None:
            return "" if self.first is None else f"from {self.first}"
        if self.first is None:
            return self.last.isoformat()
        return _calendar_name(self.first, self.last) or f"{self.first}..{self.last}"


def _calendar_name(first: dt.date, last: dt.date) -> str:
    """The name of a whole month, quarter or year, otherwise ""."""
    for length, months in _MONTHS.items():
        if first == _begin(first, months) and last == _end(first, months):
            return {
                "month": f"{first:%Y-%m}",
                "quarter": f"{first.year}-Q{(first.month + 2) // 3}",
                "year": f"{first.year}",
            }[length]
    return ""


def split_period(first: dt.date, last: dt.date, length: PeriodLength) -> list[Period]:
    """Divide the days from ``first`` to ``last``. The first and last part can be incomplete.

    Raises `ValueError` for an unknown length, and if ``last`` is before ``first``.
    """
    months = _MONTHS.get(length)
    if months is None:
        raise ValueError(f"periods must be one of {', '.join(_MONTHS)}, got {length!r}")
    check_order(first, last)
    return list(_parts(first, last, months))


def calendar_start(day: dt.date, length: PeriodLength) -> dt.date:
    """Return the first day of the calendar period that ``day`` is in."""
    return _begin(day, _MONTHS[length])


def check_order(first: dt.date, last: dt.date) -> None:
    """Raise `ValueError` if ``last`` is before ``first``."""
    if last < first:
        raise ValueError(f"to_date {last} is before from_date {first}")


def _parts(first: dt.date, last: dt.date, months: int) -> Iterator[Period]:
    while True:
        end = _end(first, months)
        yield Period(first, min(end, last))
        if end >= last:
            return
        first = end + _DAY


def _begin(day: dt.date, months: int) -> dt.date:
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


def _end(day: dt.date, months: int) -> dt.date:
    """The last day of the calendar period that ``day`` is in."""
    begin = _begin(day, months)
    year, month = divmod(begin.month - 1 + months, 12)
    try:
        return dt.date(begin.year + year, month + 1, 1) - _DAY
    except ValueError:  # the last year that dates have
        return dt.date.max
