"""A slot: admitting and settling one call on the ledger in memory, beside aiolimiter."""

from __future__ import annotations

from aiolimiter import AsyncLimiter

from benchmarks.measure import Figure, in_turns
from zoho_async import Limits
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.limits import MemoryLedger, scheduler


async def admission(rounds: int) -> tuple[str, list[Figure]]:
    """Admit and settle without contention; the limit is far away on both sides."""
    limiter = AsyncLimiter(10**9, 60)
    ours = scheduler(
        "host/1",
        account="host/@client",
        limits=Limits(limit=10**6, burst=10**6, window=0.01, linger=0.01, in_flight=10),
        ledger=MemoryLedger(),
        clock=SYSTEM_CLOCK,
        observer=None,
    )

    async def bucket() -> None:
        await limiter.acquire()

    async def slot() -> None:
        taken = await ours.admit("interactive")
        taken.sent()
        await taken.replied()

    return "a slot, no contention", await in_turns(
        [("aiolimiter", bucket), ("zoho_async", slot)], rounds=rounds, inner=2000
    )
