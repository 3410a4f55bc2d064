"""The periods of a report."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.reports import Period, PeriodLength
from zoho_async.reports.periods import split_period

LENGTHS: tuple[PeriodLength, ...] = ("month", "quarter", "year")
days = st.dates(dt.date(1999, 1, 1), dt.date(2031, 12, 31))


@pytest.mark.parametrize(
    ("first", "last", "length", "expected"),
    [
        ("2026-01-01", "2026-03-31", "month", ["2026-01", "2026-02", "2026-03"]),
        (
            "2026-01-15",
            "2026-03-10",
            "month",
            ["2026-01-15..2026-01-31", "2026-02", "2026-03-01..2026-03-10"],
        ),
        ("2025-10-01", "2026-06-30", "quarter", ["2025-Q4", "2026-Q1", "2026-Q2"]),
        ("2024-01-01", "2025-12-31", "year", ["2024", "2025"]),
        ("2024-02-29", "2024-02-29", "month", ["2024-02-29..2024-02-29"]),
    ],
)
def test_a_period_is_divided_by_the_calendar(
    first: str, last: str, length: PeriodLength, expected: list[str]
) -> None:
    parts = split_period(dt.date.fromisoformat(first), dt.date.fromisoformat(last), length)
    assert list(map(str, parts)) == expected


@given(days, days, st.sampled_from(LENGTHS))
def test_every_day_is_in_exactly_one_part(
    one: dt.date, other: dt.date, length: PeriodLength
) -> None:
    first, last = sorted((one, other))
    parts = split_period(first, last, length)
    assert (parts[0].first, parts[-1].last) == (first, last)
    for part, after in pairwise(parts):
        assert part.last is not None
        assert after.first == part.last + dt.timedelta(days=1)


def test_the_last_year_of_the_calendar_ends() -> None:
    parts = split_period(dt.date(9999, 11, 5), dt.date.max, "month")
    assert [part.last for part in parts] == [dt.date(9999, 11, 30), dt.date.max]


def test_wrong_periods_are_refused() -> None:
    day = dt.date(2026, 1, 1)
    with pytest.raises(ValueError, match="is before from_date"):
        split_period(day, day - dt.timedelta(days=1), "month")
    with pytest.raises(ValueError, match="one of month, quarter, year, got 'week'"):
        split_period(day, day, "week")  # type: ignore[arg-type] # the wrong value is the test


def test_a_period_as_of_a_day_is_named_by_it() -> None:
    assert str(Period(None, dt.date(2026, 3, 31))) == "2026-03-31"
    assert str(Period(None, None)) == ""
