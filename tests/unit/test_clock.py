"""The machine's two clocks and their differences."""

from __future__ import annotations

import datetime as dt

import time_machine

from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import Limits, MemoryLedger, Quota, scheduler


def test_a_step_of_the_wall_clock_does_not_move_the_monotonic_clock() -> None:
    before = SYSTEM_CLOCK.monotonic()
    with time_machine.travel(dt.datetime(2031, 1, 1, tzinfo=dt.UTC), tick=False):
        assert SYSTEM_CLOCK.time() == dt.datetime(2031, 1, 1, tzinfo=dt.UTC).timestamp()
        assert 0 <= SYSTEM_CLOCK.monotonic() - before < 60


async def test_the_next_day_begins_by_the_wall_clock() -> None:
    morning = dt.datetime(2026, 6, 9, 9, 0, tzinfo=dt.UTC)
    with time_machine.travel(morning, tick=False) as traveller:
        one = scheduler(
            "host/10234695",
            account="host/@client",
            limits=Limits(),
            ledger=MemoryLedger(),
            clock=SYSTEM_CLOCK,
            observer=None,
        )
        slot = await one.admit()
        slot.sent()
        await slot.replied(quota=Quota(limit=1000, remaining=400, reset=3600.0))
        assert (await one.snapshot()).day_remaining == 400
        traveller.shift(dt.timedelta(hours=2))
        remaining = (await one.snapshot()).day_remaining
        assert remaining is None or remaining > 400
