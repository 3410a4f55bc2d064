"""Ten thousand organizations in one process."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest

from zoho_async.auth import Credentials
from zoho_async.clock import LoopClock
from zoho_async.http.client import Client
from zoho_async.http.retry import Policy
from zoho_async.limits import Limits, MemoryLedger

TENANTS = 3_000
DAY = 25 * 3600.0

pytestmark = pytest.mark.looptime


def account_on(ledger: MemoryLedger) -> Client:
    return Client(
        Credentials("client", "secret", "refresh"),
        region_name="us",
        api_url=None,
        accounts_url=None,
        limits=Limits(),
        ledger=ledger,
        observer=None,
        connector=None,
        clock=LoopClock(),
        retry=Policy(),
    )


async def a_call(account: Client, organization: int) -> None:
    slot = await account.scheduler(str(organization)).admit()
    slot.sent()
    await slot.replied()


async def test_an_idle_organization_has_no_task_and_weighs_less_than_two_kilobytes() -> None:
    account = account_on(MemoryLedger())
    await a_call(account, 1)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for organization in range(TENANTS):
        await a_call(account, organization)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = (after - before) / TENANTS
    print(f"{each:.0f} bytes an organization")
    assert each < 2048
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await account.aclose()


async def test_organizations_without_usage_are_dropped() -> None:
    ledger = MemoryLedger()
    account = account_on(ledger)
    for organization in range(500):
        await a_call(account, organization)
    await asyncio.sleep(2 * DAY)
    for organization in range(1000, 1600):
        await a_call(account, organization)
    assert "www.zohoapis.com/3" not in ledger._entries
    # Calls count for a day, so all of today's organizations are there.
    assert len(ledger._entries) <= 602
    assert len(account._schedulers) < 10
    await account.aclose()


async def test_organizations_with_waiting_or_open_calls_are_not_dropped() -> None:
    ledger = MemoryLedger()
    account = account_on(ledger)
    slot = await account.scheduler("1").admit()
    slot.sent()
    await asyncio.sleep(2 * DAY)
    for organization in range(1000, 1020):
        await a_call(account, organization)
    assert (await account.scheduler("1").snapshot()).in_flight == 1
    await slot.replied()
    await account.aclose()
