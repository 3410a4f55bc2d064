"""Clients with separate ledgers in one organization, on the wire, with a minute of 6 s."""

from __future__ import annotations

import asyncio
import time

import pytest

from zoho_async import Limits, Session
from zoho_async.books import contacts
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

MINUTE = 6.0
MINUTES = 6


def limits(total: int | None = None) -> Limits:
    return Limits(window=MINUTE, linger=3.0, in_flight=5, total=total)


async def work(zoho: Session, until: float, done: list[float]) -> None:
    """Call until then, with ten bulk calls waiting at any time."""
    bulk = zoho.with_options(lane="bulk", max_wait=None)

    async def worker() -> None:
        while time.monotonic() < until:
            await contacts.list(bulk, per_page=1)
            done.append(time.monotonic())

    await asyncio.gather(*(worker() for _ in range(10)))


async def call_steadily(zoho: Session, until: float, rate: int) -> None:
    """``rate`` calls a minute, whatever else is called."""
    due = time.monotonic()
    while due < until:
        await contacts.list(zoho, per_page=1)
        due += MINUTE / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def session(sandbox: Sandbox, total: int | None = None) -> Session:
    return Session.from_env(sandbox.environment(), limits=limits(total), ledger=MemoryLedger())


async def next_to_a_steady_client() -> None:
    async with Sandbox(latency=0.03, minute=MINUTE, per_day=100_000) as sandbox:
        # Its own T is Zoho's limit, so it never waits for others.
        foreign, own = session(sandbox, total=100), session(sandbox)
        done: list[float] = []
        async with foreign, own:
            until = time.monotonic() + MINUTES * MINUTE
            await asyncio.gather(
                call_steadily(foreign, until, 20),
                work(own, until, done),
            )
            others = (await own.snapshot()).others
        assert sandbox.refused == 0
        assert others
        late = [moment for moment in done if until - 3 * MINUTE <= moment < until]
        print(f"next to 20 a minute: {len(late) / 3:.1f} of 50, {others:.0f} heard")
        assert 0.85 * 50 <= len(late) / 3 <= 52


async def two_that_hear_each_other() -> None:
    async with Sandbox(latency=0.03, minute=MINUTE, per_day=100_000) as sandbox:
        first, second = session(sandbox), session(sandbox)
        done: tuple[list[float], list[float]] = ([], [])
        async with first, second:
            until = time.monotonic() + MINUTES * MINUTE
            await asyncio.gather(work(first, until, done[0]), work(second, until, done[1]))
        assert sandbox.refused == 0
        late = [sum(until - 3 * MINUTE <= at < until for at in each) / 3 for each in done]
        print(f"two that hear each other: {late[0]:.1f} and {late[1]:.1f} of 70")
        assert sum(late) >= 0.8 * 70


@pytest.mark.long
@pytest.mark.timeout(200)
async def test_clients_with_separate_ledgers_hear_each_other() -> None:
    await asyncio.gather(next_to_a_steady_client(), two_that_hear_each_other())
