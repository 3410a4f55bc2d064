"""No call is refused in exports that need far more calls than one minute permits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from zoho_async import Limits, Session
from zoho_async.export import Export
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox


async def _exported(sandbox: Sandbox, to: Path, limits: Limits) -> float:
    """Export all contacts, compare their bytes with the sandbox's, and return the seconds."""
    began = time.monotonic()
    session = Session.from_env(sandbox.environment(), limits=limits, ledger=MemoryLedger())
    async with session as zoho, Export(zoho, ["contacts"], to=to) as job:
        async for _ in job:
            pass
    seconds = time.monotonic() - began
    assert sandbox.refused == 0
    rows = (to / "books" / "contacts.jsonl").read_bytes()
    assert rows == b"".join(row + b"\n" for row in sandbox.truth("books.contacts"))
    return seconds


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("window", ["rolling", "fixed"])
@pytest.mark.parametrize("latency", [0.02, 0.3, 2.0])
async def test_no_call_is_refused_over_many_minutes(
    tmp_path: Path, latency: float, window: str
) -> None:
    """A minute of 6 s, so that 150 calls take more than one of them."""
    sandbox = Sandbox(
        sizes={"books.contacts": 30_000},
        latency=latency,
        minute=6.0,
        window=window,  # type: ignore[arg-type] # parametrized
    )
    async with sandbox:
        limits = Limits(window=6.0, linger=3.0)
        seconds = await _exported(sandbox, tmp_path, limits)
        assert sandbox.calls == 150
        print(f"{window}, {latency} s: 150 calls in {seconds:.1f} s of 6 s minutes")


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_hundred_calls_in_a_real_minute_take_as_long_as_the_limits_require(
    tmp_path: Path,
) -> None:
    """Limit 90 and burst 10 let 100 calls through in 68.9 s; a reply takes 0.3 s.

    A busy machine adds to the time and takes nothing from it, so a time that is too long is
    measured once more.
    """
    for attempt in ("first", "second"):
        async with Sandbox(sizes={"books.contacts": 20_000}, latency=0.3) as sandbox:
            seconds = await _exported(sandbox, tmp_path / attempt, Limits())
        print(f"100 calls in {seconds:.1f} s")
        assert seconds >= 68.9
        if seconds <= 69.2 * 1.05:
            return
    pytest.fail(f"100 calls took {seconds:.1f} s")


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_job_that_has_the_organization_to_itself_uses_the_whole_window(
    tmp_path: Path,
) -> None:
    """With limit and burst 100 the 101st call goes a window after the first reply.

    The second hundred goes as fast as the first, which depends on the machine.
    """
    for attempt in ("first", "second", "third"):  # a busy machine uses less of it
        async with Sandbox(sizes={"books.contacts": 40_000}, latency=0.3, minute=10.0) as sandbox:
            limits = Limits(limit=100, burst=100, window=10.0)
            seconds = await _exported(sandbox, tmp_path / attempt, limits)
        times = [arrival.time for arrival in sandbox.arrivals]
        gap, first, second = times[100] - times[0], times[99] - times[0], times[-1] - times[100]
        print(f"200 calls in {seconds:.1f} s: {first:.1f} s, {second:.1f} s, {gap:.1f} s apart")
        assert sandbox.most_in_minute <= 100
        assert seconds >= 10.0
        if sandbox.most_in_minute == 100 and gap <= 12.0 and second <= 1.5 * first + 1.0:
            return
    pytest.fail(f"{gap:.1f} s after the first hundred, {sandbox.most_in_minute} in a minute")
