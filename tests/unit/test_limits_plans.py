"""Plans by name, and bulk calls that are spread over the day."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tests.support.organization_scheduler import organization_scheduler
from zoho_async.errors import ConfigurationError
from zoho_async.limits import (
    PLANS,
    Lane,
    Limits,
    PlanName,
    Quota,
    Scheduler,
)
from zoho_async.limits.daily_quota import DailyQuota

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("plan", "day", "in_flight"),
    [
        ("free", 1000, 5),
        ("standard", 2000, 10),
        ("professional", 5000, 10),
        ("ultimate", 10_000, 10),
    ],
)
def test_a_plan_is_chosen_by_name(plan: PlanName, day: int, in_flight: int) -> None:
    limits = Limits.for_plan(plan)
    assert (limits.day, limits.in_flight, limits.limit) == (day, in_flight, 90)


def test_other_limits_of_a_plan_are_as_given() -> None:
    limits = Limits.for_plan("free", limit=50, burst=5, reserve=0.2, pace="even")
    assert limits == Limits(limit=50, burst=5, reserve=0.2, pace="even", day=1000, in_flight=5)
    assert Limits.for_plan("free") == Limits(day=1000, in_flight=5)


def test_calls_are_not_spread_over_a_day_whose_limit_is_not_known() -> None:
    assert DailyQuota().spacing(Limits(pace="even"), 1_790_000_000.0) == 0.0


def test_no_call_waits_for_the_pace_of_a_day_that_ends_now() -> None:
    """Also if the reset is overdue, and in the last second."""
    limits, day = Limits(pace="even", reserve=0), DailyQuota(limit=1000, left=4, reset_at=100.0)
    assert [day.spacing(limits, wall) for wall in (98.0, 99.5, 100.0, 101.0)] == [0.5, 0.125, 0, 0]


def test_a_custom_plan_learns_its_day_from_headers() -> None:
    assert Limits.for_plan("custom").day is None
    with pytest.raises(ConfigurationError, match="professional"):
        Limits.for_plan(cast(PlanName, "gold"))
    assert len(PLANS) == 7


async def call(limiter: Scheduler, lane: Lane, quota: Quota | None = None) -> float:
    slot = await limiter.admit(lane, max_wait=None)
    slot.sent()
    await slot.replied(quota=quota)
    return limiter.clock.monotonic()


async def test_an_even_pace_spreads_bulk_calls_over_the_rest_of_the_day() -> None:
    limiter = organization_scheduler(Limits(pace="even", reserve=0))
    await call(limiter, "interactive", Quota(1000, 100, 9999.0))  # one call each 100 s
    times = [await call(limiter, "bulk") for _ in range(11)]
    assert times[-1] - times[0] == pytest.approx(1000, rel=0.02)


async def test_an_even_pace_does_not_hold_up_interactive_calls() -> None:
    limiter = organization_scheduler(Limits(pace="even", reserve=0))
    await call(limiter, "interactive", Quota(1000, 100, 9999.0))
    await call(limiter, "bulk")
    waiting = asyncio.create_task(call(limiter, "bulk"))
    await asyncio.sleep(1)
    began = limiter.clock.monotonic()
    for _ in range(8):
        await call(limiter, "interactive")
    assert limiter.clock.monotonic() - began < 1
    await waiting


def test_an_even_pace_needs_a_known_day() -> None:
    assert DailyQuota().spacing(Limits(pace="even"), 0.0) == 0
    assert DailyQuota().spacing(Limits(pace="even", day=1000, reserve=0), 0.0) == 86.4


def test_an_unknown_pace_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="pace"):
        Limits(pace="slow")  # type: ignore[arg-type] # the error under test
