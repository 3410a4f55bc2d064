"""Clients with separate ledgers in one organization, on the wire, with a minute of 8 s.

The judge is the codes in the replies of the server: no client may get a 43 or 44. A 1070 is of the
calls in flight and says nothing about the minute, so it is only reported.

How many calls are left unused depends on the latency: own calls in flight may be counted or not.
Simulated, two clients make 56 to 67 calls in minutes 4 to 6 if a reply takes 0.2 to 0.8 s of 60,
and 50 if it takes 1 to 4 s, as on a busy machine. So the bounds here are lower than in
``tests/unit/test_limits_others.py``, where the time is held.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from zoho_async import Limits, Session
from zoho_async.books import contacts
from zoho_async.events import Event, Refused
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

MINUTE = 8.0
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


def session(sandbox: Sandbox, codes: Counter[int | None], total: int | None = None) -> Session:
    """Return another client, whose refusals are counted in ``codes``."""

    def observe(event: Event) -> None:
        if isinstance(event, Refused):
            codes[event.code] += 1

    return Session.from_env(
        sandbox.environment(), limits=limits(total), ledger=MemoryLedger(), observer=observe
    )


def judge(sandbox: Sandbox, codes: Counter[int | None]) -> None:
    print(f"most in a minute: {sandbox.most_in_minute}, refused: {dict(codes)}")
    assert sandbox.refused == codes.total()
    assert set(codes) <= {1070}


async def next_to_a_steady_client() -> None:
    async with Sandbox(latency=0.03, minute=MINUTE, per_day=100_000) as sandbox:
        # Its own T is Zoho's limit, so it never waits for others.
        codes = Counter[int | None]()
        foreign, own = session(sandbox, codes, total=100), session(sandbox, codes)
        done: list[float] = []
        async with foreign, own:
            until = time.monotonic() + MINUTES * MINUTE
            await asyncio.gather(
                call_steadily(foreign, until, 20),
                work(own, until, done),
            )
            others = (await own.snapshot()).others
        judge(sandbox, codes)
        assert others
        late = [moment for moment in done if until - 3 * MINUTE <= moment < until]
        print(f"next to 20 a minute: {len(late) / 3:.1f} of 50, {others:.0f} heard")
        assert len(late) / 3 >= 0.7 * 50


async def two_that_hear_each_other() -> None:
    async with Sandbox(latency=0.03, minute=MINUTE, per_day=100_000) as sandbox:
        codes = Counter[int | None]()
        first, second = session(sandbox, codes), session(sandbox, codes)
        done: tuple[list[float], list[float]] = ([], [])
        async with first, second:
            until = time.monotonic() + MINUTES * MINUTE
            await asyncio.gather(work(first, until, done[0]), work(second, until, done[1]))
        judge(sandbox, codes)
        late = [sum(until - 3 * MINUTE <= at < until for at in each) / 3 for each in done]
        print(f"two that hear each other: {late[0]:.1f} and {late[1]:.1f} of 70")
        assert sum(late) >= 0.6 * 70


@pytest.mark.long
@pytest.mark.timeout(200)
async def test_clients_with_separate_ledgers_hear_each_other() -> None:
    await asyncio.gather(next_to_a_steady_client(), two_that_hear_each_other())
