"""How calls wait for the day of their product."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.organization_scheduler import organization_scheduler
from zoho_async.errors import DailyQuotaExceeded, WaitTooLong
from zoho_async.limits import (
    Lane,
    Ledger,
    Limits,
    MemoryLedger,
    Quota,
    Refusal,
    Scheduler,
    SqliteLedger,
)

pytestmark = pytest.mark.looptime

HOUR = 3600.0


async def organization(ledger: Ledger, books: int) -> Scheduler:
    """Return a scheduler that knows separate counters, with so many calls of Books left."""
    limiter = organization_scheduler(Limits(reserve=0, in_flight=2), ledger)
    for number in reversed(range(5)):
        for product, quota in (
            ("books", Quota(1000, books + number, HOUR)),
            ("inventory", Quota(2000, 1500 + number, HOUR)),
        ):
            slot = await limiter.admit(product=product)
            slot.sent()
            await asyncio.sleep(0.1)
            await slot.replied(quota=quota)
    return limiter


async def call(
    limiter: Scheduler, product: str, done: list[str], lane: Lane = "bulk", **options: object
) -> None:
    slot = await limiter.admit(lane, max_wait=None, product=product, wait_for_reset=True, **options)
    slot.sent()
    await asyncio.sleep(0.1)
    await slot.replied()
    done.append(product)


@pytest.mark.parametrize("lane", ["bulk", "interactive"])
async def test_calls_that_wait_for_the_day_hold_up_no_other_product(lane: Lane) -> None:
    limiter, done = await organization(MemoryLedger(), books=2), list[str]()
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for product in ["books", "inventory"] * 20:
            tasks.create_task(call(limiter, product, done, lane))
        await asyncio.sleep(60.0)
        assert sorted(done) == ["books"] * 2 + ["inventory"] * 20
        assert (await limiter.snapshot()).waiting[lane] == 18
        with pytest.raises(DailyQuotaExceeded, match="books calls") as raised:
            await limiter.admit(lane, product="books")
        assert raised.value.product == "books"
        with pytest.raises(WaitTooLong):
            await limiter.admit(lane, product="books", wait_for_reset=True, max_wait=60.0)
        await (await limiter.admit(lane, product="inventory")).unsent()
    assert HOUR - 10 < loop.time() - began < HOUR + 120
    assert len(done) == 40
    assert not (await limiter.snapshot()).waiting[lane]


async def test_the_longest_wait_includes_the_time_before_a_call_was_set_aside() -> None:
    limiter = await organization(MemoryLedger(), books=0)
    slot = await limiter.admit("bulk", product="books", wait_for_reset=True, max_wait=2 * HOUR)
    await slot.unsent()


async def test_calls_that_wait_for_the_day_can_be_cancelled() -> None:
    limiter, done = await organization(MemoryLedger(), books=0), list[str]()
    tasks = [asyncio.ensure_future(call(limiter, "books", done)) for _ in range(6)]
    await asyncio.sleep(10.0)
    for task in tasks[:5]:
        task.cancel()
    await asyncio.gather(*tasks[:5], return_exceptions=True)
    assert (await limiter.snapshot()).waiting["bulk"] == 1
    await tasks[5]
    assert done == ["books"]
    assert not limiter.has_waiters()


async def test_a_refusal_ends_the_day_of_its_product_only(tmp_path: Path) -> None:
    for ledger in (MemoryLedger(), SqliteLedger(tmp_path / "limits")):
        limiter = await organization(ledger, books=50)
        slot = await limiter.admit(product="books")
        slot.sent()
        await slot.replied(refusal=Refusal(45))
        with pytest.raises(DailyQuotaExceeded):
            await limiter.admit(product="books")
        await (await limiter.admit(product="inventory")).unsent()
        seen = await limiter.snapshot()
        assert seen.products["books"].remaining == 0
        assert seen.products["inventory"].remaining == 1500
        await ledger.close()
