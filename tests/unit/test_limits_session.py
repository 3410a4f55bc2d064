"""The limits as a session's caller sees them, on simulated time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aioresponses import aioresponses

from zoho_async import Credentials, Session
from zoho_async.clock import LoopClock
from zoho_async.errors import DailyQuotaExceeded, WaitTooLong
from zoho_async.http.retry import Policy
from zoho_async.limits import Limits, MemoryLedger, Scheduler, Slot

pytestmark = pytest.mark.looptime

ACCOUNTS = "https://accounts.zoho.com/oauth/v2/token"
ANYTHING = re.compile(r"https://www\.zohoapis\.com/books/v3/.*")
OK = {"code": 0, "message": "success"}
RESET = 1124


@pytest.fixture
async def zoho(credentials: Credentials, mocked: aioresponses) -> AsyncIterator[Session]:
    mocked.post(ACCOUNTS, payload={"access_token": "1000.token", "expires_in": 3600}, repeat=True)
    session = Session(
        credentials,
        organization="10234695",
        limits=Limits(),
        ledger=MemoryLedger(),
        clock=LoopClock(),
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


def spent(mocked: aioresponses) -> None:
    """Have the next call exceed the daily quota."""
    mocked.get(
        ANYTHING,
        status=429,
        payload={"code": 45, "message": "1,000"},
        headers={"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(RESET)},
    )


def calls(mocked: aioresponses) -> int:
    return sum(len(made) for (verb, _), made in mocked.requests.items() if verb == "GET")


async def test_a_call_that_waits_for_the_reset_is_sent_when_the_day_begins(
    mocked: aioresponses, zoho: Session
) -> None:
    loop = asyncio.get_running_loop()
    spent(mocked)
    with pytest.raises(DailyQuotaExceeded):
        await zoho.request("GET", "/x")
    refused = loop.time()
    mocked.get(ANYTHING, payload={**OK, "x": 1})
    patient = zoho.with_options(wait_for_reset=True, max_wait=None)
    waiting = asyncio.create_task(patient.request("GET", "/x"))
    await asyncio.sleep(RESET - 1)
    assert not waiting.done()
    with pytest.raises(DailyQuotaExceeded):
        await zoho.request("GET", "/x")  # a call without wait_for_reset raises at once
    assert calls(mocked) == 1
    assert (await waiting)["x"] == 1
    # Headers are cut to whole seconds, and may be one second short.
    assert loop.time() - refused == pytest.approx(RESET + 2, abs=0.1)
    assert calls(mocked) == 2


async def test_the_call_that_exceeded_the_day_waits_and_is_sent_again(
    mocked: aioresponses, zoho: Session
) -> None:
    spent(mocked)
    mocked.get(ANYTHING, payload={**OK, "x": 2})
    patient = zoho.with_options(lane="bulk", wait_for_reset=True, max_wait=None)
    began = asyncio.get_running_loop().time()
    assert (await patient.request("GET", "/x"))["x"] == 2
    assert asyncio.get_running_loop().time() - began >= RESET


async def test_waiting_for_the_reset_ends_at_max_wait(mocked: aioresponses, zoho: Session) -> None:
    spent(mocked)
    patient = zoho.with_options(wait_for_reset=True, max_wait=60.0)
    with pytest.raises(WaitTooLong):
        await patient.request("GET", "/x")
    assert calls(mocked) == 1


async def test_a_call_with_a_stale_slot_asks_again_and_is_sent_once(
    mocked: aioresponses, zoho: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the process was stopped between admission and sending."""
    admit, stale = Scheduler.admit, [True, False]
    places: list[Slot] = []

    async def admit_once_late(self: Scheduler, *args: object, **options: object) -> Slot:
        slot = await admit(self, *args, **options)  # type: ignore[arg-type] # passed on
        places.append(slot)
        if stale.pop(0):
            slot = Slot(self, slot._place, -1.0)
        return slot

    monkeypatch.setattr(Scheduler, "admit", admit_once_late)
    mocked.get(ANYTHING, payload=OK)
    await zoho.request("GET", "/x")
    assert (len(places), calls(mocked)) == (2, 1)
    seen = await zoho.snapshot()
    assert (seen.minute_used, seen.in_flight) == (1, 0)


async def test_reading_the_organizations_tells_when_their_days_end(
    mocked: aioresponses, zoho: Session
) -> None:
    zones = {"10234695": "America/New_York", "20345678": "Moon/Sea", "30456789": ""}
    found = [{"organization_id": each, "time_zone": zone} for each, zone in zones.items()]
    mocked.get(ANYTHING, payload={**OK, "organizations": found}, repeat=True)
    assert (await zoho.snapshot()).day_resets_at is None
    await zoho.organizations()
    await zoho.request("GET", "/organizations")
    resets_at = (await zoho.snapshot()).day_resets_at
    assert resets_at is not None
    assert (str(resets_at.tzinfo), resets_at.hour, resets_at.minute) == ("America/New_York", 0, 0)
    for other in ("20345678", "30456789"):
        assert (await zoho.for_organization(other).snapshot()).day_resets_at is None
