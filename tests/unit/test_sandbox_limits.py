"""The sandbox's rate limiter, with times set by the test."""

from __future__ import annotations

import random

import pytest

from tests.judges.days import ZONES, DayJudge, utc
from zoho_async.sandbox.simulation.calendar import DayCalendar
from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter


def limiter_with(**rules: object) -> RateLimiter:
    return RateLimiter(LimitRules(**rules), 0.0)  # type: ignore[arg-type] # each test names real rules


def test_a_rolling_minute_accepts_calls_up_to_the_limit() -> None:
    limiter = limiter_with(per_minute=3, in_flight=100)
    assert [limiter.arrive("a", moment) for moment in (0, 30, 59)] == [None] * 3
    refused = limiter.arrive("a", 59.9)
    assert refused is not None
    assert refused.code == 44


def test_a_rolling_minute_frees_a_slot_exactly_at_its_end() -> None:
    limiter = limiter_with(per_minute=1, in_flight=100)
    assert limiter.arrive("a", 10.0) is None
    assert limiter.arrive("a", 70.0) is None


def test_a_fixed_minute_starts_over_at_its_boundary() -> None:
    limiter = limiter_with(per_minute=2, window="fixed", in_flight=100)
    assert [limiter.arrive("a", moment) for moment in (59, 59.5, 60, 60.5)] == [None] * 4
    refused = limiter.arrive("a", 61)
    assert refused is not None


def test_a_fixed_minute_may_be_half_over_at_the_start() -> None:
    limiter = limiter_with(per_minute=1, window="fixed", phase=30.0, in_flight=100)
    assert limiter.arrive("a", 29.0) is None
    assert limiter.arrive("a", 30.0) is None
    assert limiter.arrive("a", 89.0) is not None


def test_no_rolling_minute_ever_holds_more_than_the_limit() -> None:
    chance = random.Random(3)
    limiter = limiter_with(per_minute=20, minute=10.0, block=0.0, block_growth=0.0, in_flight=10**6)
    moment, let_in = 0.0, list[float]()
    for _ in range(3000):
        moment += chance.expovariate(3.0)
        if limiter.arrive("a", moment) is None:
            let_in.append(moment)
    for index, start in enumerate(let_in):
        window = [each for each in let_in[index : index + 30] if each < start + 10.0]
        assert len(window) <= 20


def test_a_block_refuses_every_call_and_grows_to_a_maximum() -> None:
    limiter = limiter_with(per_minute=1, block=100.0, in_flight=100)
    limiter.arrive("a", 0.0)
    first = limiter.arrive("a", 1.0)
    tried = limiter.arrive("a", 61.0)
    assert first is not None
    assert tried is not None
    assert first.retry_after == 100.0
    assert tried.retry_after == 90.0  # 40 left and half a block more
    longest = [limiter.arrive("a", 61.0) for _ in range(200)][-1]
    assert longest is not None
    assert longest.retry_after == 3600.0
    assert limiter.arrive("a", 61.0 + 3600.0) is None
    assert limiter.account("a").refused == 202


def test_code_44_blocks_one_organization_and_43_the_whole_account() -> None:
    for code, others in ((44, None), (43, 43)):
        limiter = limiter_with(per_minute=1, minute_code=code, in_flight=100)
        limiter.arrive("a", 0.0)
        refused = limiter.arrive("a", 1.0)
        other = limiter.arrive("b", 2.0)
        assert refused is not None
        assert refused.code == code
        assert (other.code if other else None) == others


def test_a_new_day_starts_from_zero() -> None:
    limiter = limiter_with(per_day=2, day=1000.0, day_left=100.0, in_flight=100)
    assert limiter.quota("a", 40.0) == (2, 2, 60.0)
    limiter.arrive("a", 40.0)
    limiter.arrive("a", 41.0)
    refused = limiter.arrive("a", 42.0)
    assert refused is not None
    assert refused.code == 45
    assert limiter.quota("a", 99.0) == (2, 0, 1.0)
    assert limiter.arrive("a", 100.0) is None
    assert limiter.quota("a", 100.0) == (2, 1, 1000.0)


def test_concurrent_calls_count_until_they_are_answered() -> None:
    limiter = limiter_with(in_flight=1)
    assert limiter.arrive("a", 0.0) is None
    refused = limiter.arrive("a", 0.1)
    assert refused is not None
    assert refused.code == 1070
    limiter.leave("a")
    assert limiter.arrive("a", 0.2) is None
    assert limiter.account("a").most_in_flight == 1


def test_the_most_in_a_minute_counts_a_rolling_minute() -> None:
    limiter = limiter_with(in_flight=100)
    for moment in (0, 1, 2, 61.5, 90):
        limiter.arrive("a", moment)
    assert limiter.account("a").most_in_minute == pytest.approx(3)


@pytest.mark.parametrize("zone", ZONES)
def test_the_day_ends_at_midnight_of_the_organization(zone: str) -> None:
    """In both nights in which the clocks change, against a judge with other arithmetic."""
    judge, year = DayJudge(zone, 3), utc(1, 1, 12)
    limiter = RateLimiter(LimitRules(per_day=3), 0.0, DayCalendar(lambda name: zone, year))
    chance = random.Random(zone)
    moment, refused = 0.0, 0
    while moment < 360 * 86_400:
        moment += chance.expovariate(1 / 15_000)
        _, left, reset = limiter.quota("a", moment)
        assert left == judge.left(year + moment)
        assert year + moment + reset == pytest.approx(judge.midnight(year + moment), abs=1e-3)
        refusal = limiter.arrive("a", moment)
        assert (refusal is None) == judge.arrive(year + moment)
        if refusal is None:
            limiter.leave("a")
        else:
            assert refusal.code == 45
            refused += 1
    assert refused > 100
    assert {23, 24, 25} <= set(judge.lengths())


def test_organizations_have_separate_days() -> None:
    zones = {"a": "America/New_York", "b": "Asia/Kolkata", "c": "no zone"}
    limiter = RateLimiter(LimitRules(), 0.0, DayCalendar(zones.__getitem__, utc(6, 1, 12)))
    resets = {name: limiter.quota(name, 0.0)[2] / 3600 for name in zones}
    assert resets == {"a": 16.0, "b": 6.5, "c": 12.0}
    zones["a"] = zones["b"]
    assert limiter.quota("a", 0.0)[2] == 6.5 * 3600
