"""Webhooks of the sandbox lead a receiver to the sandbox's state, whatever happens between them.

The sandbox repeats webhooks and changes their order. The receiver is restarted and killed. Judged
are what its handler wrote to a file, the sandbox's own records, and the calls that it counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.support import webhook_receiver
from tests.support.ports import free_port
from tests.support.unlimited_sandbox import strict_session
from tests.support.webhook_receiver import SECRET, environment, handled, receiving
from zoho_async import Session
from zoho_async.books.webhooks import WebhookCreate, WebhookQueryParameterInput
from zoho_async.books.workflows import WorkflowCreate, WorkflowInstantActionInput
from zoho_async.sandbox import Sandbox, WebhookRules

START: Final = 1793491200.0


class ChangingInvoices:
    """Invoices of a sandbox that are created, edited and deleted. ``notes`` count the changes."""

    def __init__(self, seed: int, invoices: int, minute: float) -> None:
        self._chance: Final = random.Random(seed)
        self._second = START
        #: When each change happened, by its number, in seconds of the monotonic clock.
        self.times: Final[dict[str, float]] = {}
        #: The number of the last change of each record; None if it was deleted.
        self.expected: Final[dict[str, str | None]] = {}
        rules = WebhookRules(
            per_day=10**6, duplicates=0.2, reordered=0.2, spread=0.4, retries=(0.25,) * 400
        )
        self.sandbox: Final = Sandbox(
            sizes={"invoices": invoices},
            minute=minute,
            per_day=10**6,
            webhooks=rules,
            wall_clock=lambda: self._second,
        )
        self.sandbox.tokens.per_window = 10**6

    def change(self) -> None:
        """Create, edit or delete one invoice."""
        rows, chance = self.sandbox.store().collection("invoices"), self._chance
        self._second += chance.choice((0, 1, 1, 7))
        number, kind = str(len(self.times)), chance.random()
        existing = rows.indexes()
        if kind < 0.03:
            record_id = rows.id(rows.add({"notes": number}))
        else:
            index = existing[chance.randrange(len(existing))]
            record_id = rows.id(index)
            if kind < 0.06:
                rows.remove(index)
            else:
                rows.change(index, {"notes": number, "reference_number": f"PO-{number}"})
        self.expected[record_id] = None if 0.03 <= kind < 0.06 else number
        self.times[number] = time.monotonic()

    async def change_often(self, count: int, *, most_waiting: int, rate: float) -> None:
        """Make ``count`` changes, ``rate`` per second at most."""
        began = time.monotonic()
        for done in range(count):
            self.change()
            while self.sandbox.deliveries.waiting > most_waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(max(0.0, began + done / rate - time.monotonic()))

    def judge(self, folder: Path) -> None:
        """The last state that was handled of each record is the sandbox's."""
        last = {each.record_id: each for each in handled(folder)}
        assert set(last) == set(self.expected)
        found = {key: None if each.is_deleted else each.notes for key, each in last.items()}
        assert found == self.expected
        rows = self.sandbox.store().collection("invoices")
        for key, each in last.items():
            index = rows.find(key)
            assert each.is_deleted == (index is None)
            if index is not None:
                row: dict[str, Any] = rows.detail(index)
                modified = datetime.strptime(row["last_modified_time"], "%Y-%m-%dT%H:%M:%S%z")
                assert (each.notes, each.reference) == (row["notes"], row["reference_number"])
                assert each.modified == modified.timestamp()
        assert self.sandbox.refused == 0
        assert self.sandbox.most_in_minute <= self.sandbox.limits.per_minute
        log = self.sandbox.deliveries.log
        assert {each.status for each in log} == {"success"}
        assert len([each for each in log if not each.is_duplicate]) == len(self.times)
        assert any(each.is_duplicate for each in log)


async def install(zoho: Session, url: str) -> None:
    """Create a webhook and a rule for each kind of change."""
    for kind in ("created", "edited", "deleted"):
        event = WebhookQueryParameterInput(param_name="event_type", param_value=kind)
        webhook = await zoho.books.webhooks.create(
            WebhookCreate(url=url, secret=SECRET, entity="invoice", query_parameters=[event])
        )
        action = WorkflowInstantActionInput(action_id=webhook.webhook_id, action_type="webhook")
        await zoho.books.workflows.create(
            WorkflowCreate(
                workflow_name=kind, entity="invoice", rule_type=kind, instant_actions=[action]
            )
        )


async def finished(port: int) -> None:
    """Wait until the receiver has handled all that it received, and nothing failed."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(120):
        while True:
            async with http.get(f"http://127.0.0.1:{port}/state") as answer:
                state = await answer.json()
            assert state["failed"] == []
            if not state["pending"]:
                return
            await asyncio.sleep(0.05)


async def test_300_changes_with_duplicates_another_order_and_restarts(
    tmp_path: Path,
) -> None:
    world, port = ChangingInvoices(1, invoices=60, minute=0.5), free_port()
    async with world.sandbox as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, f"http://127.0.0.1:{port}/hooks")
        options = (tmp_path, port, START, sandbox.client_minute, sandbox.environment())
        for _ in range(3):
            async with receiving(*options):
                await world.change_often(80, most_waiting=1000, rate=500)
            await world.change_often(20, most_waiting=1000, rate=500)
        async with receiving(*options):
            await sandbox.deliveries.idle()
            await finished(port)
        world.judge(tmp_path)


@asynccontextmanager
async def program(folder: Path, port: int, sandbox: Sandbox) -> AsyncGenerator[Process]:
    """The receiver in a process. It is killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", webhook_receiver.__name__, str(folder), str(port)),
        *(str(START), str(sandbox.client_minute)),
        stdout=PIPE,
        cwd=Path(__file__).parents[2],
        env=environment(folder, sandbox.environment()),
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_10_000_changes_with_duplicates_another_order_restarts_and_kills(
    tmp_path: Path,
) -> None:
    """The first 3,000 without kills, to measure how soon a payload is applied."""
    world, port = ChangingInvoices(2, invoices=400, minute=5.0), free_port()
    chance, began = random.Random(3), time.monotonic()
    async with world.sandbox as sandbox, strict_session(sandbox) as zoho:
        await install(zoho, f"http://127.0.0.1:{port}/hooks")
        installing = sandbox.calls
        async with program(tmp_path, port, sandbox):
            await world.change_often(3000, most_waiting=10**6, rate=60)
            await sandbox.deliveries.idle()
            await finished(port)
        applied = sorted(
            each.at - world.times[each.notes]
            for each in handled(tmp_path)
            if each.source == "payload"
        )
        soon = applied[len(applied) * 99 // 100]
        reads = sandbox.calls - installing

        changing = asyncio.create_task(world.change_often(7000, most_waiting=400, rate=200))
        kills = 0
        while not changing.done():
            async with program(tmp_path, port, sandbox) as process:
                await asyncio.wait([changing], timeout=chance.uniform(0.5, 6))
                if not changing.done():
                    kills += 1
                    process.send_signal(chance.choice((signal.SIGKILL, signal.SIGINT)))
                    await process.wait()
        await changing
        async with program(tmp_path, port, sandbox):
            await sandbox.deliveries.idle()
            await finished(port)
        world.judge(tmp_path)
        sources = [each.source for each in handled(tmp_path)]
        print(
            json.dumps(
                {
                    "seconds": round(time.monotonic() - began),
                    "webhooks": len(sandbox.deliveries.log),
                    "tries": sum(each.tries for each in sandbox.deliveries.log),
                    "kills": kills,
                    "applied": sources.count("payload"),
                    "read": sources.count("read"),
                    "reads without kills": reads,
                    "calls": sandbox.calls,
                    "refused": sandbox.refused,
                    "p99": round(soon, 3),
                    "median": round(applied[len(applied) // 2], 3),
                }
            )
        )
    assert kills >= 5
    assert len(applied) > 2000
    assert soon < 2.0
