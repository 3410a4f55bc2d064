"""The programs in docs/examples do what they say, against the sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.support.consent_pages import agree
from zoho_async import Session
from zoho_async.errors import (
    DailyQuotaExceeded,
    InvalidGrant,
    NotConnected,
    Request,
    WaitTooLong,
    ZohoError,
)
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.webhooks import Change, handle_changes, open_queue

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SIZES = {"books.contacts": 30, "books.items": 10, "books.invoices": 230}


def loaded(name: str) -> ModuleType:
    """An example as a fresh module, which reads the environment as it is now."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def point(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)


def invoices_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(row, parse_float=Decimal) for row in sandbox.truth("invoices")]


# -- sync.py ------------------------------------------------------------------------------------


async def test_a_second_sync_reads_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = loaded("sync")
    file = tmp_path / "books.duckdb"
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        first = await sync.sync(file)
        store = sandbox.store().collection("invoices")
        store.change(7, {"status": "overdue", "reference_number": "changed"})
        second = await sync.sync(file)
        truth = invoices_of(sandbox)
        assert sandbox.refused == 0
    assert first.rows == 230 + 30
    by_resource = {one.resource: one for one in second.resources}
    assert (by_resource["books.invoices"].new, by_resource["books.invoices"].changed) == (0, 1)
    assert by_resource["books.contacts"].rows == 0

    report = sync.report(file)
    names, *months = report["Revenue by month"]
    assert names == ("month", "invoices", "revenue")
    sent = [row for row in truth if row["status"] not in ("draft", "void")]
    assert sum(row[1] for row in months) == len(sent)
    assert sum(row[2] for row in months) == sum(Decimal(str(row["total"])) for row in sent)
    owed = sum(Decimal(str(row["balance"])) for row in truth if row["status"] == "overdue")
    _, *overdue = report["Overdue by customer"]
    assert 0 < sum(row[3] for row in overdue) <= owed
    assert [row[3] for row in overdue] == sorted((row[3] for row in overdue), reverse=True)


async def test_the_sync_is_a_program_that_prints_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        command = [sys.executable, str(EXAMPLES / "sync.py"), "books.duckdb"]
        monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parents[1]))
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "books.invoices: 230 new, 0 changed, 0 deleted\n" in done.stdout
    lines = done.stdout.splitlines()
    heading = lines.index("Overdue by customer")
    assert lines[heading + 2].split() == ["customer", "invoices", "oldest", "due"]
    amounts = [Decimal(line.split()[-1].replace(",", "")) for line in lines[heading + 3 :]]
    assert amounts == sorted(amounts, reverse=True) != []


# -- service.py ---------------------------------------------------------------------------------


async def test_the_service_answers_while_its_export_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_STATE", str(tmp_path / "state"))
    async with Sandbox(sizes=SIZES | {"books.invoices": 5_000}) as sandbox:
        point(monkeypatch, sandbox)
        service = loaded("service")
        wanted = invoices_of(sandbox)[0]
        transport = httpx.ASGITransport(app=service.app)
        async with (
            service.lifespan(service.app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as person,
        ):
            nightly = asyncio.create_task(service.export(service.app.state.zoho))
            await sandbox.arrived(8)  # more than there are places for bulk calls at once
            assert not nightly.done()
            reply = await person.get(f"/invoices/{wanted['invoice_id']}")
            assert reply.status_code == 200
            assert reply.json()["number"] == wanted["invoice_number"]
            assert not nightly.done()
            missing = await person.get("/invoices/1")
            assert missing.status_code == 404
            nightly.cancel()
            await asyncio.wait([nightly])
        assert sandbox.refused == 0


async def test_the_service_says_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_STATE", str(tmp_path / "state"))
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        service = loaded("service")
        sandbox.faults.append(Fault(kind="refuse", code=44, retry_after=60))
        invoice_id = invoices_of(sandbox)[0]["invoice_id"]
        transport = httpx.ASGITransport(app=service.app)
        async with (
            service.lifespan(service.app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as person,
        ):
            reply = await person.get(f"/invoices/{invoice_id}")
        assert reply.status_code == 503
        assert 50 <= int(reply.headers["retry-after"]) <= 61
        assert reply.json() == {"detail": "try again later"}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (WaitTooLong(2.5), range(3, 4)),
        # The test may begin long after this module was read.
        (DailyQuotaExceeded(datetime.now(UTC) + timedelta(hours=24)), range(80_000, 86_401)),
        (DailyQuotaExceeded(None), range(60, 61)),
        (NotConnected(Request("GET", "/invoices/1"), "refused by 10.0.0.7"), range(60, 61)),
        (InvalidGrant("the refresh token 1000.abc is wrong"), range(0)),
    ],
)
async def test_the_service_tells_no_internals(
    error: ZohoError, seconds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        service = loaded("service")

        async def get(invoice_id: str) -> None:
            raise error

        invoices = SimpleNamespace(get=get)
        books = SimpleNamespace(books=SimpleNamespace(invoices=invoices))
        service.app.state.zoho = SimpleNamespace(with_options=lambda **options: books)
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as person:
            reply = await person.get("/invoices/1")
    assert reply.status_code == 503
    if seconds:
        assert int(reply.headers["retry-after"]) in seconds
    else:
        assert "retry-after" not in reply.headers
    assert reply.json() == {"detail": "try again later"}


async def test_a_night_of_the_service_is_a_whole_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_STATE", str(tmp_path / "state"))
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        service = loaded("service")
        async with service.lifespan(service.app):
            await service.export(service.app.state.zoho)
        written = (tmp_path / "state/export/books/invoices.jsonl").read_bytes().splitlines()
        assert sorted(written) == sorted(sandbox.truth("invoices"))


# -- webhook.py ---------------------------------------------------------------------------------

WEBHOOK_SECRET = "Secret1234567890"


async def send(sender: TestClient[Any, Any], body: bytes, signed: str) -> int:
    """Send ``body`` with the signature of ``signed``, and return the status."""
    digest = hmac.new(WEBHOOK_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    answer = await sender.post(
        "/hooks?event_type=changed", data=body, headers={"X-Zoho-Webhook-Signature": digest}
    )
    return answer.status


async def test_a_signed_webhook_leads_to_the_record_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Strangers spend no calls; a payload without a time is read; a deletion is confirmed."""
    monkeypatch.setenv("ZOHO_WEBHOOK_SECRET", WEBHOOK_SECRET)
    example = loaded("webhook")
    async with Sandbox(sizes=SIZES) as sandbox, open_queue(tmp_path / "queue.sqlite") as queue:
        point(monkeypatch, sandbox)
        truth = invoices_of(sandbox)[0]
        async with TestClient(TestServer(example.application(queue))) as sender:
            body = json.dumps({"invoice": {"invoice_id": truth["invoice_id"], "balance": 0}})
            assert await send(sender, body.encode(), body) == 401
            assert await send(sender, b"{", "event_typechanged{") == 400
            assert queue.pending == 0
            assert await send(sender, body.encode(), f"event_typechanged{body}") == 200
            deleted = '{"invoice":{"invoice_id":"123"}}'
            assert await send(sender, deleted.encode(), f"event_typechanged{deleted}") == 200
        assert sandbox.calls == 0
        handled: list[str] = []

        async def handler(change: Change) -> None:
            await example.changed(change)
            handled.append(change.record_id)
            if len(handled) == 2:
                working.cancel()

        async with Session.from_env() as zoho, asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            working = tasks.create_task(handle_changes(queue, zoho, handler))
        assert sandbox.calls == 2
        invoice, deletion = sorted(capsys.readouterr().out.splitlines())
        assert deletion == "books.invoices 123 deleted"
        number, balance = invoice.split()
        assert number == truth["invoice_number"]
        assert Decimal(balance) == Decimal(str(truth["balance"]))


# -- customers.py -------------------------------------------------------------------------------


async def test_a_customer_connects_reads_and_disconnects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNTS", str(tmp_path / "accounts.sqlite"))
    monkeypatch.setenv("CALLBACK", "http://localhost:8000/callback")
    ann = {"X-Customer": "ann"}
    async with Sandbox(sizes=SIZES) as sandbox:
        point(monkeypatch, sandbox)
        example = loaded("customers")
        transport = httpx.ASGITransport(app=example.app)
        async with (
            example.lifespan(example.app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser,
        ):
            assert (await browser.get("/overdue", headers=ann)).status_code == 409
            page = (await browser.get("/connect", headers=ann)).headers["location"]
            query = await agree(page)
            forged = await browser.get(
                "/callback", headers=ann, params=query | {"state": "another"}
            )
            assert forged.status_code == 400
            connected = await browser.get("/callback", headers=ann, params=query)
            assert connected.status_code == 200
            overdue = await browser.get("/overdue", headers=ann)
            truth = [row for row in invoices_of(sandbox) if row["status"] == "overdue"]
            assert len(overdue.json()) == len(truth) > 0
            assert (await browser.get("/overdue", headers={"X-Customer": "bob"})).status_code == 409

            account = example.app.state.connections.accounts.get("ann")
            assert (await browser.post("/disconnect", headers=ann)).status_code == 200
            assert (await browser.get("/overdue", headers=ann)).status_code == 409
            example.app.state.connections.accounts.save("ann", account)
            revoked = await browser.get("/overdue", headers=ann)
            assert revoked.status_code == 409
            assert example.app.state.connections.accounts.get("ann") is None
