"""The judge of the limits, on a clock that the test holds."""

from __future__ import annotations

import random

import pytest

from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter


def judge(**rules: object) -> RateLimiter:
    return RateLimiter(LimitRules(**rules), 0.0)  # type: ignore[arg-type] # each test names real rules


def test_a_rolling_minute_lets_in_the_limit_and_no_more() -> None:
    court = judge(per_minute=3, in_flight=100)
    assert [court.arrive("a", moment) for moment in (0, 30, 59)] == [None] * 3
    refused = court.arrive("a", 59.9)
    assert refused is not None
    assert refused.code == 44


def test_a_rolling_minute_frees_a_place_exactly_when_it_is_over() -> None:
    court = judge(per_minute=1, in_flight=100)
    assert court.arrive("a", 10.0) is None
    assert court.arrive("a", 70.0) is None


def test_a_fixed_minute_forgets_at_its_border() -> None:
    court = judge(per_minute=2, window="fixed", in_flight=100)
    assert [court.arrive("a", moment) for moment in (59, 59.5, 60, 60.5)] == [None] * 4
    refused = court.arrive("a", 61)
    assert refused is not None


def test_a_fixed_minute_may_be_half_over_at_the_start() -> None:
    court = judge(per_minute=1, window="fixed", phase=30.0, in_flight=100)
    assert court.arrive("a", 29.0) is None
    assert court.arrive("a", 30.0) is None
    assert court.arrive("a", 89.0) is not None


def test_no_rolling_minute_ever_holds_more_than_the_limit() -> None:
    chance = random.Random(3)
    court = judge(per_minute=20, minute=10.0, block=0.0, block_growth=0.0, in_flight=10**6)
    moment, let_in = 0.0, list[float]()
    for _ in range(3000):
        moment += chance.expovariate(3.0)
        if court.arrive("a", moment) is None:
            let_in.append(moment)
    for index, start in enumerate(let_in):
        window = [each for each in let_in[index : index + 30] if each < start + 10.0]
        assert len(window) <= 20


def test_a_block_refuses_everything_and_grows_when_tried_but_not_for_ever() -> None:
    court = judge(per_minute=1, block=100.0, in_flight=100)
    court.arrive("a", 0.0)
    first = court.arrive("a", 1.0)
    tried = court.arrive("a", 61.0)
    assert first is not None
    assert tried is not None
    assert first.retry_after == 100.0
    assert tried.retry_after == 90.0  # 40 left and half a block more
    for _ in range(200):
        longest = court.arrive("a", 61.0)
    assert longest is not None
    assert longest.retry_after == 3600.0
    assert court.arrive("a", 61.0 + 3600.0) is None
    assert court.account("a").refused == 202


def test_code_44_blocks_one_organization_and_43_the_whole_account() -> None:
    for code, others in ((44, None), (43, 43)):
        court = judge(per_minute=1, minute_code=code, in_flight=100)
        court.arrive("a", 0.0)
        refused = court.arrive("a", 1.0)
        other = court.arrive("b", 2.0)
        assert refused is not None
        assert refused.code == code
        assert (other.code if other else None) == others


def test_the_day_ends_and_begins_anew() -> None:
    court = judge(per_day=2, day=1000.0, day_left=100.0, in_flight=100)
    assert court.quota("a", 40.0) == (2, 2, 60.0)
    court.arrive("a", 40.0)
    court.arrive("a", 41.0)
    refused = court.arrive("a", 42.0)
    assert refused is not None
    assert refused.code == 45
    assert court.quota("a", 99.0) == (2, 0, 1.0)
    assert court.arrive("a", 100.0) is None
    assert court.quota("a", 100.0) == (2, 1, 1000.0)


def test_calls_in_flight_are_counted_until_they_leave() -> None:
    court = judge(in_flight=1)
    assert court.arrive("a", 0.0) is None
    refused = court.arrive("a", 0.1)
    assert refused is not None
    assert refused.code == 1070
    court.leave("a")
    assert court.arrive("a", 0.2) is None
    assert court.account("a").most_in_flight == 1


def test_the_most_in_a_minute_counts_a_rolling_minute() -> None:
    court = judge(in_flight=100)
    for moment in (0, 1, 2, 61.5, 90):
        court.arrive("a", moment)
    assert court.account("a").most_in_minute == pytest.approx(3)
