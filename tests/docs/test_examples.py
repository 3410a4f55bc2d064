"""The programs in docs/examples do what they say, against the sandbox."""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import hmac
import importlib.util
import json
import runpy
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.support.consent_pages import agree
from tests.support.plain_client import PlainClient, raw
from tests.support.wall_clock import noon_of
from zoho_async import Session
from zoho_async.errors import (
    DailyQuotaExceeded,
    InvalidGrant,
    NotConnected,
    Request,
    WaitTooLong,
    ZohoError,
)
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.webhooks import Change, handle_changes, open_queue

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
#: Statuses of documents that do not count.
UNPOSTED = {"draft", "void", "pending_approval", "approved", "rejected"}
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
    by_resource = {one.resource: one for one in first.resources}
    assert by_resource["books.invoices"].new == 230
    assert by_resource["books.contacts"].new == 30
    by_resource = {one.resource: one for one in second.resources}
    assert (by_resource["books.invoices"].new, by_resource["books.invoices"].changed) == (0, 1)
    assert by_resource["books.contacts"].rows == 0

    report = sync.report(file)
    names, *months = report["Revenue by month"]
    assert names == ("month", "documents", "revenue")
    sent = [row for row in truth if row["status"] not in UNPOSTED]
    notes = [json.loads(row, parse_float=Decimal) for row in sandbox.truth("credit_notes")]
    taken = [row for row in notes if row["status"] not in UNPOSTED]
    assert sum(row[1] for row in months) == len(sent) + len(taken)
    assert sum(row[2] for row in months) == in_base(sent, "total") - in_base(taken, "total")
    _, *ages = report["Receivables by age"]
    assert sum(row[2] for row in ages) == in_base(sent, "balance") > 0
    _, *customers = report["Largest customers"]
    assert [row[2] for row in customers] == sorted((row[2] for row in customers), reverse=True)


def in_base(rows: list[dict[str, Any]], name: str) -> Decimal:
    """The sum of an amount of documents, each converted at its own rate."""
    amounts = (Decimal(row[name]) * Decimal(row.get("exchange_rate", 1)) for row in rows)
    return sum((each.quantize(Decimal("0.01"), ROUND_HALF_UP) for each in amounts), Decimal(0))


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
    lines = done.stdout.rstrip().splitlines()
    heading = lines.index("Largest customers")
    assert lines[heading + 2].split() == ["customer", "invoices", "sales"]
    amounts = [Decimal(line.split()[-1].replace(",", "")) for line in lines[heading + 3 :]]
    assert amounts == sorted(amounts, reverse=True) != []


async def test_the_sync_shows_a_day_of_the_sandbox(tmp_path: Path) -> None:
    """The second run finds what was paid, sent and deleted meanwhile."""
    sync = loaded("sync")
    first, second = await sync.try_on_sandbox(tmp_path / "books.duckdb")
    assert [each.deleted for each in first.resources] == [0, 0, 0, 0]
    found = {each.resource: (each.new, each.changed, each.deleted) for each in second.resources}
    assert found == {
        "books.contacts": (0, 0, 0),
        "books.invoices": (0, 2, 1),
        "books.credit_notes": (0, 0, 0),
        "books.customer_payments": (1, 0, 0),
    }


# -- report.py ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "today",
    [
        "2024-02-29",
        *(pytest.param(day, marks=pytest.mark.long) for day in ("2026-01-01", "2026-11-28")),
    ],
)
async def test_the_report_agrees_with_the_reports_of_zoho(
    today: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the cent: profit and loss by month, receivables by age, sales by customer."""
    sync, file, picture = loaded("sync"), tmp_path / "books.duckdb", tmp_path / "report.svg"
    sizes = {"contacts": 60, "items": 20, "invoices": 500, "sales_receipts": 0}
    box = Sandbox(
        sizes=sizes | {"bank_transactions": 0}, wall_clock=noon_of(today), per_minute=10_000
    )
    async with raw(box) as client:
        async with Session.from_env(box.environment(), ledger=MemoryLedger()) as zoho:
            await sync.export(zoho, file)
        monkeypatch.setattr(sys, "argv", ["report.py", str(file), str(picture), today])
        found = runpy.run_path(str(EXAMPLES / "report.py"))
        assert len(found["months"]) >= 36
        for month, revenue in found["months"]:
            year, number = map(int, month.split("-"))
            last = f"{month}-{calendar.monthrange(year, number)[1]}"
            days = {"from_date": f"{month}-01", "to_date": last}
            asked = {"filter_by": "TransactionDate.CustomDate", **days}
            sections = (await report_of(client, "profitandloss", asked))["profit_and_loss"]
            [income] = [
                each
                for each in sections[0]["account_transactions"]
                if each["name"] == "Operating Income"
            ]
            assert revenue == income["total"], month
        asked = {"filter_by": "InvoiceDueDate.CustomDate", "to_date": today}
        ageing = (await report_of(client, "aragingsummary", asked))["invoice"]
        assert list(found["ages"].values()) == [each["amount"] for each in ageing["intervals"]]
        assert all(found["ages"].values())
        asked = {"filter_by": "TransactionDate.CustomDate", "from_date": "2000-01-01"}
        sales = (await report_of(client, "salesbycustomer", asked | {"to_date": today}))["sales"]
        sums = sorted((row["sales"] for row in sales), reverse=True)
        assert [revenue for _, revenue in found["customers"]] == sums[:8]
    assert "<svg" in picture.read_text("utf-8")


async def report_of(client: PlainClient, name: str, asked: dict[str, str]) -> Any:
    answer = await client.get(f"/reports/{name}", **asked)
    assert answer.status == 200, answer.body
    return json.loads(answer.body, parse_float=Decimal)


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
