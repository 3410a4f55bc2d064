"""A client that runs for long stays small and quiet, and never blocks its loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.sandbox_process import started
from zoho_async import Credentials, Limits, Session
from zoho_async.books import contacts, invoices
from zoho_async.books.contacts import ContactInput
from zoho_async.errors import ZohoError
from zoho_async.export import Export
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger

SPEED = 120
HOUR = 3600 / SPEED
FAULTS: list[dict[str, Any]] = [
    {"kind": kind, "times": None, "probability": 0.004}
    for kind in (
        *("drop_unread", "drop_undone", "drop", "reset", "broken_body", "status", "status_html"),
        *("empty", "cut", "html", "bad_gzip", "wrong_content_type", "last_page", "repeat_rows"),
    )
] + [
    {"kind": "slow", "times": None, "probability": 0.01, "seconds": 2.0},
    {"kind": "odd", "times": None, "probability": 0.01, "field": "total", "value": "a lot"},
    {"kind": "unknown_token", "times": 2, "probability": 0.002},
]


def resident() -> int:
    """The process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Load:
    """A mixed load: pages, records, writes and sometimes a whole list."""

    def __init__(self, zoho: Session, known: list[str]) -> None:
        self.zoho = zoho
        self.known = known
        self.outcomes = Counter[str]()
        self.lists = 0
        self._chance = random.Random(3)

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                await self.once()
                self.outcomes["fine"] += 1
            except ZohoError as error:
                self.outcomes[type(error).__name__] += 1

    async def once(self) -> None:
        draw = self._chance.random()
        if draw < 0.5:
            page = await invoices.list(self.zoho, per_page=10, page=self._chance.randint(1, 9))
            assert len({row.invoice_id for row in page.rows}) <= 10
        elif draw < 0.75:
            contact = await contacts.get(self.zoho, self._chance.choice(self.known))
            assert contact.contact_id in self.known
        elif draw < 0.95:
            change = ContactInput(notes=str(self._chance.random()))
            await contacts.update(self.zoho, self._chance.choice(self.known), change)
        else:
            rows = [row.contact_id async for row in contacts.list(self.zoho, per_page=50)]
            assert sorted(rows) == sorted(self.known)
            self.lists += 1


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_an_hour_of_mixed_load_with_faults_stays_small_quiet_and_within_the_limits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A sandbox in another process, whose hour takes half a minute."""
    options = ("--speed", str(SPEED), "--size", "contacts=200", "--size", "invoices=100")
    more = ("--token-life", "360000", "--tokens", "1000", "--latency", "tail:1:0.5")
    async with started(*options, *more) as (_, said), aiohttp.ClientSession() as http:
        url, environment = said["url"], said["environment"]
        async with http.post(f"{url}/__sandbox__/faults", json=FAULTS) as reply:
            assert reply.status == 200
        async with http.get(f"{url}/__sandbox__/truth/contacts") as reply:
            rows = (await reply.read()).splitlines()
        session = Session(
            Credentials.from_env(environment),
            organization=environment["ZOHO_ORGANIZATION_ID"],
            api_url=url,
            accounts_url=url,
            limits=Limits(window=60 / SPEED, linger=30 / SPEED),
            ledger=MemoryLedger(),
            retry=Policy(base=0.001),
        )
        tasks = asyncio.all_tasks()
        sizes: list[tuple[int, int]] = []
        with caplog.at_level(logging.WARNING):
            async with session as zoho:
                load = Load(zoho, [msgspec.json.decode(row)["contact_id"] for row in rows])
                began = time.monotonic()
                for part in range(1, 5):
                    until = began + HOUR * part / 4
                    await asyncio.gather(*(load.run(until) for _ in range(6)))
                    gc.collect()
                    sizes.append((len(gc.get_objects()), resident()))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks
        async with http.get(f"{url}/__sandbox__/state") as reply:
            state = await reply.json()
    print(f"{state['calls']} calls, {dict(load.outcomes)}, {load.lists} lists; sizes {sizes}")
    assert (state["refused"], state["unknown"]) == (0, 0)
    assert state["most_in_minute"] <= 90
    assert state["calls"] > 500
    assert load.lists > 0
    assert sum(fault["hits"] > 0 for fault in state["faults"]) > 10
    assert caplog.records == []
    (objects, memory), (objects_after, memory_after) = sizes[1], sizes[3]
    assert objects_after < objects * 1.05
    assert memory_after < memory + 8_000_000


def _busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_nothing_blocks_the_event_loop_for_50_ms_in_a_large_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each callback of the loop is measured by its thread's own time, whatever else is running."""
    longest: list[tuple[float, str]] = []
    run = asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        seconds = time.thread_time() - began
        if seconds > 0.01:
            longest.append((seconds, repr(handle)))

    options = ("--size", "invoices=20000", "--size", "contacts=6000")
    more = ("--per-minute", "100000", "--in-flight", "50")
    async with started(*options, *more) as (_, said):
        limits = Limits(limit=100_000, burst=100_000, in_flight=20)
        session = Session.from_env(said["environment"], limits=limits, ledger=MemoryLedger())
        monkeypatch.setattr(asyncio.Handle, "_run", measured)
        asyncio.get_running_loop().call_soon(_busy, 0.06)
        await asyncio.sleep(0)
        (seen, _), rows = longest.pop(), 0
        assert seen > 0.05  # the watcher is awake
        async with session as zoho:
            async with Export(zoho, ["invoices", "contacts"], to=tmp_path) as job:
                async for _ in job:
                    pass
            rows = job.summary.rows
            async for _ in contacts.list(zoho):
                rows += 1
        monkeypatch.undo()
    assert rows == 32_000
    worst = sorted(longest, reverse=True)[:3]
    print(f"the longest callbacks: {worst}")
    assert not worst or worst[0][0] < 0.05, worst
