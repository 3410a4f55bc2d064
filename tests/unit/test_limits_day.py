"""When the day ends: by time zone, by header, by prediction. Years: test_limits_year."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.judges.days import HOUR, utc
from zoho_async.cli.limits import gauges
from zoho_async.clock import local_minute
from zoho_async.errors import ConfigurationError, DailyQuotaExceeded
from zoho_async.limits import Limits, Quota, Refusal, Snapshot
from zoho_async.limits.midnight import local_time, midnights
from zoho_async.limits.usage import Denial, Ending, Usage, is_blank, settle, take, to_snapshot

NOON = utc(6, 1, 12)  # 09:00 in Argentina
BUENOS_AIRES = "America/Argentina/Buenos_Aires"


class Organization:
    """Usage at a time that the test sets, in seconds since 1970."""

    def __init__(self, **limits: object) -> None:
        self.limits = Limits(reserve=0, **limits)  # type: ignore[arg-type] # each test names real limits
        self.usage = Usage()
        self.now = NOON

    def call(self, quota: Quota | None = None, code: int | None = None) -> Denial | None:
        now = self.now
        place = take(self.usage, self.usage, "interactive", self.limits, now, now, "")
        if isinstance(place, Denial):
            return place
        ending = Ending("replied", 0.0, quota, None if code is None else Refusal(code))
        settle(self.usage, self.usage, place, ending, self.limits, now, now)
        return None

    @property
    def seen(self) -> Snapshot:
        return to_snapshot(self.usage, self.usage, self.limits, self.now, self.now)


@pytest.mark.parametrize(
    ("hour", "minute", "offset"),
    [
        (3, 0, "UTC-03:00"),
        (18, 30, "UTC+05:30"),
        (4, 0, "UTC-04:00"),
        (0, 0, "UTC"),
        (10, 0, "UTC-10:00"),
        (11, 0, "UTC+13:00"),
        (12, 0, "UTC+12:00"),
        (14, 0, "UTC+10:00"),
    ],
)
def test_a_reset_shows_the_offset_of_the_organization(hour: int, minute: int, offset: str) -> None:
    reset = datetime(2027, 6, 2, hour, minute, 2, tzinfo=UTC).timestamp()
    shown = local_minute(local_time(reset, None))
    assert shown.endswith(f" 00:00 {offset}")


def test_a_reset_that_is_no_midnight_is_shown_in_utc() -> None:
    reset = datetime(2027, 6, 2, 10, 7, tzinfo=UTC).timestamp()
    assert local_minute(local_time(reset, None)) == "2027-06-02 10:07 UTC"


def test_a_midnight_that_the_clocks_skip_is_the_moment_of_the_change() -> None:
    """In Beirut, 2021-03-28 began at 01:00 local time."""
    noon = datetime(2021, 3, 28, 9, tzinfo=UTC).timestamp()
    days = midnights("Asia/Beirut", noon)
    assert days is not None
    assert days[1] - days[0] == 23 * HOUR


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="time_zone"):
        Limits(time_zone="../../etc/passwd")


def test_the_day_of_a_known_zone_needs_no_header() -> None:
    org = Organization(day=2, time_zone=BUENOS_AIRES)
    assert org.call() is org.call() is None
    denial = org.call()
    assert denial is not None
    assert denial.reset_at == pytest.approx(utc(6, 2, 3), abs=3)
    assert org.seen.day_resets_at is not None
    assert local_minute(org.seen.day_resets_at) == "2027-06-02 00:00 UTC-03:00"
    org.now = utc(6, 2, 3) + 3
    assert org.call() is None


def test_looking_for_idle_usage_leaves_the_prediction_to_the_zone() -> None:
    """The day in New York that begins at 04:00 UTC has 25 hours."""
    org = Organization(day=2, time_zone="America/New_York")
    org.now = utc(11, 6, 16)
    assert org.call() is None
    org.now = utc(11, 7, 4) + 5
    is_blank(org.usage, org.now, org.now)
    assert org.call() is None
    assert org.seen.day_reset_in == pytest.approx(25 * HOUR, abs=8)


def test_a_zone_that_is_learned_later_forgets_the_calls_of_yesterday() -> None:
    org = Organization(day=3)
    org.now = utc(6, 1, 1)  # 22:00 of the day before
    assert org.call() is org.call() is None
    org.now = NOON
    org.limits = Limits(reserve=0, day=3, time_zone=BUENOS_AIRES)
    assert org.call() is None
    assert org.seen.day_used == 1


def test_a_header_replaces_a_prediction_and_predicts_the_next_day() -> None:
    org = Organization(time_zone="Asia/Kolkata")  # wrong: headers show Argentina
    assert org.call(Quota(1000, 900, 15 * HOUR)) is None
    assert org.seen.day_reset_in == pytest.approx(15 * HOUR, abs=3)
    org.limits = Limits(reserve=0)
    org.now = utc(6, 2, 5)
    assert org.call() is None
    assert org.seen.day_reset_in == pytest.approx(22 * HOUR, abs=3)
    assert org.seen.day_used == 1


def test_a_day_that_is_spent_against_the_prediction_is_probed() -> None:
    org = Organization(time_zone=BUENOS_AIRES)
    assert org.call(code=45) is None
    assert org.call() == Denial("day", HOUR)
    org.now += HOUR
    assert org.call(Quota(1000, 900, None)) is None
    assert org.call() is None


def test_limits_and_errors_show_the_local_reset() -> None:
    org = Organization(time_zone=BUENOS_AIRES)
    org.call(Quota(1000, 900, 15 * HOUR))
    assert any(
        line.endswith("resets at 2027-06-02 00:00 UTC-03:00 (in 15 h 00 min)")
        for line in gauges(org.seen)
    )
    error = DailyQuotaExceeded(org.seen.day_resets_at)
    assert str(error).endswith("restarts at 2027-06-02 00:00 UTC-03:00")
