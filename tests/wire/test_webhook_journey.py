"""From ``zoho-async webhooks install`` to the handler, with a downtime: all parts together.

Judged are the sandbox's own records and its log of webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from tests.support.command import Command, serving
from tests.support.ports import free_port
from zoho_async import Session
from zoho_async.books.invoices import Invoice, InvoiceInput
from zoho_async.sandbox import Sandbox, WebhookRules
from zoho_async.webhooks import (
    Change,
    Receiver,
    WebhookQueue,
    aiohttp_handler,
    catch_up,
    handle_changes,
    open_queue,
    saved_secret,
)

LISTS: Final = ["books.invoices"]


class Follower:
    """A user's program: it keeps the notes of each invoice that changed."""

    def __init__(self, file: Path, port: int) -> None:
        self.file: Final = file
        self.port: Final = port
        self.notes: Final[dict[str, str | None]] = {}
        self.sources: Final[list[str]] = []

    async def changed(self, change: Change) -> None:
        assert change.is_deleted or isinstance(change.record, Invoice)
        notes = None if change.is_deleted else getattr(change.record, "notes", None) or ""
        self.notes[change.record_id] = notes
        self.sources.append(change.source)

    @asynccontextmanager
    async def running(self, zoho: Session) -> AsyncGenerator[WebhookQueue]:
        """Like docs/examples/webhook.py, with one run of `catch_up` at the start."""
        async with open_queue(self.file) as queue, asyncio.TaskGroup() as tasks:
            receiver = Receiver(queue, "books", secret=saved_secret(), query_names=["event_type"])
            app = web.Application()
            app.router.add_route("*", "/hooks", aiohttp_handler(receiver))
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            handling = tasks.create_task(handle_changes(queue, zoho, self.changed))
            try:
                await catch_up(queue, zoho, LISTS)
                yield queue
            finally:
                await runner.cleanup()
                handling.cancel()


async def settled(sandbox: Sandbox, logged: int, queue: WebhookQueue | None = None) -> None:
    """Wait until ``logged`` webhooks were sent or given up, and all that arrived are handled."""

    def is_settled() -> bool:
        states = [each.status for each in list(sandbox.deliveries.log)]
        return len(states) >= logged and "waiting" not in states and not (queue and queue.pending)

    async with asyncio.timeout(20):
        while not is_settled():  # noqa: ASYNC110 - the sandbox runs in another thread
            await asyncio.sleep(0.02)


async def edit(zoho: Session, ids: list[str], notes: str) -> None:
    for each in ids:
        await zoho.books.invoices.update(each, InvoiceInput(notes=notes))


def judge(sandbox: Sandbox, follower: Follower, changed: set[str]) -> None:
    rows = sandbox.store().collection("invoices")
    assert set(follower.notes) == changed
    for record_id, notes in follower.notes.items():
        index = rows.find(record_id)
        truth: dict[str, Any] | None = None if index is None else rows.detail(index)
        assert notes == (None if truth is None else truth["notes"])


async def follow(sandbox: Sandbox, follower: Follower) -> None:
    log = sandbox.deliveries.log
    async with Session.from_env() as zoho:
        rows = [each async for each in zoho.books.invoices.list()]
        rows.sort(key=lambda each: each.status in ("paid", "partially_paid"))  # not deletable
        ids = [each.invoice_id for each in rows]
        async with follower.running(zoho) as queue:
            await edit(zoho, ids[1:4], "while it runs")
            await zoho.books.invoices.delete(ids[0])
            await settled(sandbox, 4, queue)
            judge(sandbox, follower, set(ids[:4]))
            assert [each.status for each in log] == ["success"] * 4
        # Zoho gives these up; the first was known before, the other was not.
        await edit(zoho, [ids[3], ids[4]], "while it was down")
        await settled(sandbox, 6)
        assert [each.status for each in list(log)[4:]] == ["failure"] * 2
        async with follower.running(zoho) as queue:
            await settled(sandbox, 6, queue)
            judge(sandbox, follower, set(ids[:5]))
            sandbox.webhooks.lost = 1.0
            await edit(zoho, ids[1:2], "never sent")
            await catch_up(queue, zoho, LISTS)
            await settled(sandbox, 7, queue)
            assert log[-1].status == "skipped"
            judge(sandbox, follower, set(ids[:5]))
    assert follower.notes[ids[1]] == "never sent"
    assert set(follower.sources) == {"payload", "read"}


def test_what_was_installed_leads_to_the_records_of_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(tmp_path / "profiles.json"))
    monkeypatch.delenv("ZOHO_WEBHOOK_SECRET", raising=False)
    port = free_port()
    url = f"http://127.0.0.1:{port}/hooks"
    rules = WebhookRules(retries=())
    with serving(Sandbox(sizes={"invoices": 6}, webhooks=rules)) as sandbox:
        command = Command(sandbox.environment(), tmp_path, monkeypatch, capsys)
        install = ("webhooks", "install", "--url", url, "--module", "invoices")
        assert command(*install)[0] == 0
        asyncio.run(follow(sandbox, Follower(tmp_path / "queue.sqlite", port)))
        assert command("webhooks", "remove", "--url", url, "--yes")[0] == 0
