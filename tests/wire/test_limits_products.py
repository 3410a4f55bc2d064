"""The day of products that share it, and of products that have their own, against the sandbox."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from zoho_async import Limits, Session
from zoho_async.cli.limits import gauges
from zoho_async.errors import DailyQuotaExceeded
from zoho_async.limits import MemoryLedger, SqliteLedger
from zoho_async.sandbox import Sandbox

#: No limit but the day's.
LIMITS = Limits(limit=10_000, burst=10_000, in_flight=5, reserve=0)
PATHS = {"books": "/contacts", "inventory": "/items"}


def judged(box: Sandbox) -> Counter[str]:
    """Return the accepted calls of each product, by their paths."""
    return Counter(each.path.split("/")[1] for each in box.arrivals if each.status == 200)


async def use_up(zoho: Session, product: str, workers: int = 3) -> DailyQuotaExceeded:
    """Call a product with several workers until its day is spent."""

    async def work() -> DailyQuotaExceeded:
        while True:
            try:
                await zoho.request("GET", PATHS[product], product=product)
            except DailyQuotaExceeded as error:
                return error

    return (await asyncio.gather(*(work() for _ in range(workers))))[0]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize(("books", "inventory"), [(60, 35), (40, 40)])
async def test_each_product_uses_its_own_quota_and_no_call_is_refused(
    kind: str, books: int, inventory: int, tmp_path: Path
) -> None:
    ledger = MemoryLedger() if kind == "memory" else SqliteLedger(tmp_path / "limits")
    box = Sandbox(per_minute=10**6, product_days={"books": books, "inventory": inventory})
    async with (
        box,
        Session.from_env(box.environment(), limits=LIMITS, ledger=ledger) as zoho,
    ):
        for _ in range(5):
            await zoho.request("GET", "/contacts")
        for _ in range(4):  # from here, both are heard
            await zoho.request("GET", "/contacts")
            await zoho.request("GET", "/items", product="inventory")
        errors = await asyncio.gather(use_up(zoho, "books"), use_up(zoho, "inventory"))
        seen = await zoho.snapshot()
    assert box.refused == 0
    used = judged(box)  # replies out of order may leave a few calls
    assert books - LIMITS.in_flight <= used["books"] <= books
    assert inventory - LIMITS.in_flight <= used["inventory"] <= inventory
    assert [each.product for each in errors] == ["books", "inventory"]
    assert "inventory calls for the day" in str(errors[1])
    assert sorted(seen.products) == ["books", "inventory"]
    assert any(line.startswith("inventory") for line in gauges(seen))
    await ledger.close()


async def test_a_shared_quota_is_never_exceeded() -> None:
    box = Sandbox(per_minute=10**6, per_day=90, latency=(0.0, 0.02))
    async with (
        box,
        Session.from_env(box.environment(), limits=LIMITS, ledger=MemoryLedger()) as zoho,
    ):
        errors = await asyncio.gather(use_up(zoho, "books"), use_up(zoho, "inventory"))
        seen = await zoho.snapshot()
    assert box.refused == 0
    assert sum(judged(box).values()) >= 90 - LIMITS.in_flight
    assert [each.product for each in errors] == ["", ""]
    assert not seen.products
