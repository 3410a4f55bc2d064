"""The sandbox over HTTP: clock, latencies, unknown requests, and the admin API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.plain_client import PlainClient, raw, token_of
from zoho_async.sandbox import Sandbox


@pytest.fixture
async def zoho() -> AsyncIterator[PlainClient]:
    async with raw(Sandbox(sizes={"contacts": 3}, speed=60.0)) as client:
        yield client


async def test_a_scaled_sandbox_states_durations_in_real_seconds() -> None:
    async with (
        Sandbox(speed=60.0, per_minute=1, block=900.0, day=86_400.0) as box,
        aiohttp.ClientSession() as http,
    ):
        assert box.client_minute == 1.0
        _, token = await token_of(box, http)
        assert token["expires_in"] == 60
        client = PlainClient(box, http, token["access_token"])
        box.clock.hold()
        first = await client.get("/contacts")
        assert 1430 <= int(first.headers["X-Rate-Limit-Reset"]) <= 1440
        refused = await client.get("/contacts")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "15")


async def test_moving_a_held_clock_ends_blocks_and_tokens(zoho: PlainClient) -> None:
    zoho.sandbox.clock.hold()
    zoho.sandbox.limits.per_minute = 1
    assert [(await zoho.get("/contacts")).status for _ in range(2)] == [200, 429]
    zoho.sandbox.clock.advance(901.0)
    assert (await zoho.get("/contacts")).status == 200
    async with zoho.http.post(
        f"{zoho.sandbox.url}/__sandbox__/clock", json={"advance": 3600}
    ) as reply:
        assert reply.status == 200
    assert (await zoho.get("/contacts")).code == 57  # the token's hour is over
    async with zoho.http.post(f"{zoho.sandbox.url}/__sandbox__/clock", json={"back": 1}) as reply:
        assert reply.status == 400


async def test_a_latency_may_be_given_by_path(zoho: PlainClient) -> None:
    zoho.sandbox.clock.hold()
    zoho.sandbox.latency = {"*/contacts": 30.0}
    assert (await zoho.get("/items")).status == 200
    waiting = asyncio.create_task(zoho.get("/contacts"))
    await zoho.sandbox.arrived(2)
    assert not waiting.done()
    while not waiting.done():
        zoho.sandbox.clock.advance(30.0)
        await asyncio.sleep(0)
    assert (await waiting).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", "/contacts/abc/def/ghi"), ("DELETE", "/nothing/5")],
)
async def test_an_unknown_request_is_refused_logged_and_kept(
    zoho: PlainClient, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    with caplog.at_level(logging.WARNING, "zoho_async.sandbox"):
        answer = await zoho.call(method, path)
    assert (answer.status, answer.code) == (404, 5)
    assert f"{method} /books/v3{path}" in caplog.text
    assert [(each.method, each.path) for each in zoho.sandbox.unknown] == [
        (method, f"/books/v3{path}")
    ]
    assert zoho.sandbox.state()["unknown"] == 1


async def test_a_known_request_is_not_unknown_even_if_it_is_refused(
    zoho: PlainClient,
) -> None:
    assert (await zoho.get("/contacts/460000000000000001")).status == 404
    assert (await zoho.get("/contacts", page=0)).status == 400
    assert zoho.sandbox.unknown == []


async def test_faults_are_listed_added_and_removed_over_http(zoho: PlainClient) -> None:
    url = f"{zoho.sandbox.url}/__sandbox__/faults"
    rules = [{"kind": "status", "path": "*/items", "times": None}, {"kind": "cut"}]
    async with zoho.http.post(url, json=rules) as reply:
        assert reply.status == 200
    assert (await zoho.get("/items")).status == 500
    async with zoho.http.get(url) as reply:
        assert await reply.json() == [
            {"kind": "status", "path": "*/items", "method": "*", "times": None}
            | {"seen": 1, "hits": 1},
            {"kind": "cut", "path": "*", "method": "*", "times": 1, "seen": 0, "hits": 0},
        ]
    async with zoho.http.delete(f"{url}/0") as reply:
        assert reply.status == 200
    assert [fault.kind for fault in zoho.sandbox.faults] == ["cut"]
    async with zoho.http.delete(f"{url}/7") as reply:
        assert reply.status == 404
    async with zoho.http.delete(url) as reply:
        assert reply.status == 200
    assert zoho.sandbox.faults == []


@pytest.mark.parametrize(
    "body", ['{"kind": "dorp"}', '{"kind": "cut", "tims": 2}', "[1]", "nothing"]
)
async def test_an_invalid_fault_is_refused_over_http(zoho: PlainClient, body: str) -> None:
    async with zoho.http.post(f"{zoho.sandbox.url}/__sandbox__/faults", data=body) as reply:
        assert reply.status == 400
        assert (await reply.text()).startswith("not a valid fault: ")
    assert zoho.sandbox.faults == []


async def test_admin_requests_and_the_page_do_not_count_as_calls(zoho: PlainClient) -> None:
    for path in ("/", "/favicon.ico", "/__sandbox__/state", "/__sandbox__/faults"):
        async with zoho.http.get(f"{zoho.sandbox.url}{path}") as reply:
            assert reply.status in (200, 204)
    assert zoho.sandbox.calls == 0
    assert zoho.sandbox.unknown == []
