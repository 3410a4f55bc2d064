"""One organization, many processes: none refused, and the share of the rate that is used."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from zoho_async.sandbox import Sandbox

MINUTE = 3.0
LIMIT = 60
LATENCY = 0.005

#: Calls until told to stop, as many at once as the limits let.
WORKER = textwrap.dedent("""
    import asyncio, json, sys, time
    from zoho_async import Limits, Session
    from zoho_async.limits import RedisLedger, SqliteLedger

    where, environ, limits, lasts = sys.argv[1], *map(json.loads, sys.argv[2:])

    async def main():
        ledger = RedisLedger(where) if where.startswith("unix:") else SqliteLedger(where)
        session = Session.from_env(environ, limits=Limits(**limits), ledger=ledger)
        ends = time.monotonic() + lasts
        async with session as zoho:
            patient = zoho.with_options(lane="bulk", max_wait=None)

            async def calling():
                while time.monotonic() < ends:
                    await patient.request("GET", "/contacts")

            await asyncio.gather(*(calling() for _ in range(20)))
        await ledger.close()

    asyncio.run(main())
""")


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("processes", [1, 8])
@pytest.mark.parametrize("kept", ["sqlite", "redis"])
async def test_processes_share_the_limits_and_none_is_refused(
    tmp_path: Path, kept: str, processes: int
) -> None:
    """Limit and burst alike, so the rate is limit / (window + latency) for all together."""
    lasts = 4 * MINUTE
    limits = {"limit": LIMIT, "burst": LIMIT, "window": MINUTE, "linger": 1.0, "in_flight": LIMIT}
    sandbox = Sandbox(
        sizes={"books.contacts": 1},
        latency=LATENCY,
        minute=MINUTE,
        per_minute=LIMIT,
        in_flight=LIMIT,
    )
    async with sandbox:
        with RedisServer() as server:
            where = server.url if kept == "redis" else str(tmp_path / "limits.sqlite")
            arguments = (where, *map(json.dumps, (sandbox.environment(), limits, lasts)))
            workers = [
                await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, *arguments)
                for _ in range(processes)
            ]
            codes = [await worker.wait() for worker in workers]
        assert codes == [0] * processes
        assert sandbox.refused == 0
        assert sandbox.most_in_minute <= LIMIT
        times = [arrival.time for arrival in sandbox.arrivals]
    # A call and the one ``LIMIT`` later are a window and a reply apart at best.
    turns = (len(times) - 1) // LIMIT
    used = turns * (MINUTE * 1.001 + LATENCY) / (times[turns * LIMIT] - times[0])
    print(f"{kept}, {processes} processes: {used:.1%} of the rate")
    # Waiters poll a shared ledger every 0.05 s, which is much of a minute that lasts 3 s.
    assert used >= 0.95
