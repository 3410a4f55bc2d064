"""The day of a session and of the sandbox, over a night in which the clocks change.

Both run on one simulated clock. The judge of days uses other arithmetic.
"""

from __future__ import annotations

import pytest

from tests.judges.days import HOUR, DayJudge, utc
from tests.support.held_clock import HeldClock
from zoho_async import Limits, Session
from zoho_async.errors import DailyQuotaExceeded
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

QUOTA = 12
RESERVE = 2
ZONE = "America/New_York"


@pytest.mark.parametrize("knows", ["zone", "headers"])
@pytest.mark.parametrize(
    ("noon", "hours", "shown"),
    [
        (utc(3, 14, 16), 23, "2027-03-15 00:00 UTC-04:00"),
        (utc(11, 7, 17), 25, "2027-11-08 00:00 UTC-05:00"),
    ],
)
async def test_a_day_of_23_or_25_hours_is_used_up_and_no_call_is_refused(
    knows: str, noon: float, hours: int, shown: str
) -> None:
    judge = DayJudge(ZONE, QUOTA)
    assert round((judge.midnight(noon) - judge.midnight(noon - 24 * HOUR)) / HOUR) == hours
    clock = HeldClock(judge.midnight(noon - 48 * HOUR))
    box = Sandbox(
        sizes={"contacts": 1}, per_day=QUOTA, now=clock.monotonic, wall_clock=clock.monotonic
    )
    box.store().keep_thing("", "/organizations", {"time_zone": ZONE})
    box.quota_headers = knows == "headers"
    limits = Limits(reserve=RESERVE, day=QUOTA if knows == "zone" else None)
    used: dict[int, int] = {}
    denied: list[tuple[float, DailyQuotaExceeded]] = []
    async with (
        box,
        Session.from_env(
            box.environment(), limits=limits, ledger=MemoryLedger(), clock=clock
        ) as zoho,
    ):
        if knows == "zone":
            await zoho.organizations()
        while clock.now < noon + 24 * HOUR:
            day = judge.local_day(clock.now)
            try:
                await zoho.request("GET", "/contacts")
                used[day] = used.get(day, 0) + 1
            except DailyQuotaExceeded as error:
                denied.append((clock.now, error))
            clock.now += HOUR / 2 + 7
    assert list(used.values()) == [QUOTA] * 3
    assert box.refused == 0
    for moment, denial in denied:
        assert denial.reset_at is not None
        assert abs(denial.reset_at.timestamp() - judge.midnight(moment)) <= 5
    assert any(shown in str(denial) for _, denial in denied)
