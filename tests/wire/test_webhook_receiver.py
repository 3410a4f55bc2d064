"""Receivers of webhooks: what they answer, and that they take nothing that is not signed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI

from zoho_async.errors import ConfigurationError
from zoho_async.webhooks import Receiver, WebhookQueue, aiohttp_handler, asgi_app, open_queue

SECRET: Final = "Secret1234567890"
BODY: Final = b'{"invoice": {"invoice_id": "1"}}'


def signature(body: bytes, query: str = "event_typeedited") -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), query.encode() + body, hashlib.sha256).hexdigest()
    return {"X-Zoho-Webhook-Signature": digest}


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[WebhookQueue]:
    async with open_queue(tmp_path / "queue.sqlite", max_pending=30) as queue:
        yield queue


def receiver_of(queue: WebhookQueue, **options: Any) -> Receiver:
    return Receiver(queue, "books", secret=SECRET, query_names=["event_type"], **options)


@pytest.fixture(params=["aiohttp", "asgi"])
async def sender(
    request: pytest.FixtureRequest, queue: WebhookQueue
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the receiver, which is mounted at ``/hooks``."""
    receiver = receiver_of(queue, max_body=1000)
    if request.param == "asgi":
        service = FastAPI()
        service.mount("/hooks", asgi_app(receiver))
        transport = httpx.ASGITransport(app=service)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
        return
    app = web.Application()
    app.router.add_route("*", "/hooks/", aiohttp_handler(receiver))
    async with (
        TestServer(app) as server,
        httpx.AsyncClient(base_url=str(server.make_url("/"))) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("method", "query", "body", "headers", "status"),
    [
        ("POST", "event_type=edited", BODY, signature(BODY), 200),
        ("PUT", "event_type=edited", BODY, signature(BODY), 200),
        ("GET", "event_type=edited", b"", {}, 405),
        ("POST", "event_type=edited", BODY, {}, 401),
        ("POST", "event_type=edited", BODY + b" ", signature(BODY), 401),
        ("POST", "event_type=deleted", BODY, signature(BODY), 401),
        ("POST", "", BODY, signature(BODY, ""), 401),
        ("POST", "event_type=edited", b"{", signature(b"{"), 400),
        ("POST", "event_type=edited", b"{" + b" " * 1000, signature(b"{" + b" " * 1000), 413),
    ],
)
async def test_the_answer_to_each_kind_of_request(
    method: str,
    query: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
    sender: httpx.AsyncClient,
    queue: WebhookQueue,
) -> None:
    answer = await sender.request(method, f"/hooks/?{query}", content=body, headers=headers)
    assert answer.status_code == status
    assert SECRET not in answer.text
    assert queue.pending == (status == 200)


async def test_a_slow_body_and_a_crowd_are_refused(queue: WebhookQueue) -> None:
    receiver = receiver_of(queue, body_timeout=0.05, max_requests=1)
    started = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        started.set()
        await asyncio.sleep(60)
        yield b""

    async def quick() -> AsyncIterator[bytes]:
        yield BODY

    request: dict[str, Any] = {
        "method": "POST",
        "headers": signature(BODY),
        "query": "event_type=edited",
    }
    waiting = asyncio.create_task(receiver.receive(**request, body=slow()))
    await started.wait()
    assert (await receiver.receive(**request, body=quick()))[0] == 503
    assert (await waiting)[0] == 408
    assert (await receiver.receive(**request, body=quick()))[0] == 200


async def test_a_full_queue_asks_for_another_try(queue: WebhookQueue) -> None:
    app = web.Application()
    app.router.add_route("*", "/hooks", aiohttp_handler(receiver_of(queue)))
    async with TestClient(TestServer(app)) as client:
        statuses: list[int] = []
        for _ in range(31):
            answer = await client.post(
                "/hooks?event_type=edited", data=BODY, headers=signature(BODY)
            )
            statuses.append(answer.status)
    assert statuses == [200] * 30 + [503]


async def test_a_disk_that_fails_asks_for_another_try(
    queue: WebhookQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield BODY

    def full(rows: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    receiver = receiver_of(queue)
    request: dict[str, Any] = {
        "method": "POST",
        "headers": signature(BODY),
        "query": "event_type=edited",
    }
    with monkeypatch.context() as failing:
        failing.setattr(queue, "_insert", full)
        assert (await receiver.receive(**request, body=body()))[0] == 503
    assert queue.pending == 0
    assert (await receiver.receive(**request, body=body()))[0] == 200


async def test_unsigned_requests_need_a_word_and_are_never_proven(queue: WebhookQueue) -> None:
    with pytest.raises(ConfigurationError, match="12 to 50"):
        Receiver(queue, "books")
    with pytest.raises(ConfigurationError, match="not both"):
        Receiver(queue, "books", secret=SECRET, insecure=True)

    async def body() -> AsyncIterator[bytes]:
        yield BODY

    receiver = Receiver(queue, "books", insecure=True)
    status, _ = await receiver.receive(method="POST", headers={}, query="", body=body())
    assert status == 200
    assert [each.delivery.is_proven for each in await queue.take(0)] == [False]
    assert SECRET not in repr(receiver)


async def test_garbage_leaves_memory_flat_and_valid_events_are_all_taken(
    queue: WebhookQueue,
) -> None:
    """One signed request among a hundred of garbage, of all lengths."""
    receiver = receiver_of(queue)

    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        yield content

    async def send(number: int) -> None:
        valid = number % 100 == 0
        content = BODY if valid else bytes([number % 251]) * (number * 37 % 20_000)
        status, _ = await receiver.receive(
            method="POST",
            headers=signature(BODY) if number % 3 == 0 else {"x-zoho-webhook-signature": "0" * 64},
            query="event_type=edited",
            body=chunks(content),
        )
        assert (status == 200) == (valid and number % 3 == 0)

    for number in range(300):
        await send(number)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(300, 6000):
        await send(number)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert queue.pending == 20
    assert grown < 200_000
