"""The local bucket of bulk calls, and the slower pace that other clients leave.

The ledger alone keeps that pace. The bucket is built for the pace without others, so it is never
the slower of the two, and needs no other bucket for each pace that is heard.
"""

from __future__ import annotations

import asyncio
import copy

import pytest

from tests.support.organization_scheduler import organization_scheduler
from zoho_async.clock import LoopClock
from zoho_async.limits import Limits, MemoryLedger, Quota
from zoho_async.limits.pace import BulkPace
from zoho_async.limits.usage import Denial, take

pytestmark = pytest.mark.looptime

DAY = 100_000
LIMITS = Limits(in_flight=60)


async def admissions(
    others: float, minutes: float, ledger: MemoryLedger, *, changes: bool = False
) -> list[float]:
    """Return when bulk calls go while others make so many calls a minute.

    With ``changes``, others stop after half of the time.
    """
    limiter = organization_scheduler(LIMITS, ledger)
    loop, admitted = asyncio.get_running_loop(), list[float]()
    began = loop.time()

    def others_until(now: float) -> int:
        ends = minutes * 30 if changes else minutes * 60
        return int(others * min(now - began, ends) / 60)

    async def work() -> None:
        while loop.time() < began + minutes * 60:
            slot = await limiter.admit("bulk", max_wait=None)
            admitted.append(loop.time() - began)
            slot.sent()
            await asyncio.sleep(0.2)
            count = len(admitted) + others_until(loop.time())
            await slot.replied(quota=Quota(DAY, DAY - count))

    await asyncio.gather(*(work() for _ in range(60)))
    return admitted


@pytest.mark.parametrize(("others", "changes"), [(0, False), (20, False), (40, True)])
async def test_the_bucket_holds_up_no_call_that_the_ledger_would_admit(
    others: float, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, held_up, early = MemoryLedger(), 0, list[float]()
    take_token, clock = BulkPace.take_token, LoopClock()

    async def judged(self: BulkPace) -> bool:
        nonlocal held_up
        answer = await take_token(self)
        if not answer:
            held_up += 1
            usage = copy.deepcopy(ledger._entries["api/1"].usage)
            now = clock.monotonic() - 0.001  # timers are exact to a millisecond
            if not isinstance(take(usage, usage, "bulk", LIMITS, now, now, ""), Denial):
                early.append(now)
        return answer

    monkeypatch.setattr(BulkPace, "take_token", judged)
    moments = await admissions(others, 6, ledger, changes=changes)
    assert len(moments) > 100
    assert not early
    if not others:
        assert held_up  # the judge has seen something
