"""The sandbox's limits over HTTP."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.support.plain_client import raw
from zoho_async.sandbox import Sandbox


async def test_the_call_over_the_limit_is_refused_and_so_is_everything_after() -> None:
    now = 1000.0
    async with raw(Sandbox(per_minute=3, block=120.0, now=lambda: now)) as zoho:
        for _ in range(3):
            assert (await zoho.get("/projects")).status == 200
        refused = await zoho.get("/projects")
        assert (refused.status, refused.code) == (429, 44)
        assert refused.headers["Retry-After"] == "120"
        now += 61.0
        assert (await zoho.get("/projects")).status == 429
        now += 1000.0
        assert (await zoho.get("/projects")).status == 200
        assert zoho.sandbox.refused == 2
        assert zoho.sandbox.most_in_minute == 3


async def test_a_refused_write_does_not_run() -> None:
    async with raw(Sandbox(per_minute=1, sizes={"contacts": 0})) as zoho:
        await zoho.get("/projects")
        refused = await zoho.call("POST", "/contacts", json={"contact_name": "Never"})
        assert refused.status == 429
        assert zoho.sandbox.truth("contacts") == []


async def test_organizations_and_the_account_have_separate_limits() -> None:
    sandbox = Sandbox(per_minute=1, organization="111", organizations=["111", "222"])
    async with raw(sandbox) as zoho:
        for organization, path in (
            ("111", "/projects"),
            ("222", "/projects"),
            (None, "/organizations"),
        ):
            assert (await zoho.call("GET", path, organization=organization)).status == 200
        named = await zoho.call("GET", "/organizations", organization="111")
        assert named.status == 429
        assert [each.organization for each in sandbox.arrivals] == ["111", "222", None, None]


async def test_replies_state_the_daily_quota_unless_it_is_switched_off() -> None:
    async with raw(Sandbox(per_day=5)) as zoho:
        for remaining in (4, 3):
            answer = await zoho.get("/projects")
            assert answer.headers["X-Rate-Limit-Limit"] == "5"
            assert answer.headers["X-Rate-Limit-Remaining"] == str(remaining)
            assert 0 < int(answer.headers["X-Rate-Limit-Reset"]) <= 86_400
        zoho.sandbox.quota_headers = False
        assert "X-Rate-Limit-Limit" not in (await zoho.get("/projects")).headers


async def test_a_call_over_the_daily_quota_gets_code_45_with_the_quota_headers() -> None:
    async with raw(Sandbox(per_day=1)) as zoho:
        await zoho.get("/projects")
        refused = await zoho.get("/projects")
        assert (refused.status, refused.code) == (429, 45)
        assert refused.headers["X-Rate-Limit-Remaining"] == "0"
        assert "Retry-After" not in refused.headers


async def test_a_call_over_the_concurrency_limit_gets_code_1070() -> None:
    async with raw(Sandbox(in_flight=2, latency=1.0)) as zoho:
        answers = await asyncio.gather(*(zoho.get("/projects") for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 200, 429]
        assert {answer.code for answer in answers} == {0, 1070}
        assert (await zoho.get("/projects")).status == 200
        assert zoho.sandbox.most_in_flight == 2


async def test_latency_delays_the_reply_and_not_the_arrival() -> None:
    async with raw(Sandbox()) as zoho:
        zoho.sandbox.latency = (0.05, 0.1)
        await zoho.get("/projects")
        assert time.monotonic() - zoho.sandbox.arrivals[-1].time >= 0.05


async def test_inbound_lag_delays_the_arrival() -> None:
    async with raw(Sandbox(inbound=0.06)) as zoho:
        sent = time.monotonic()
        await zoho.get("/projects")
        assert zoho.sandbox.arrivals[-1].time - sent >= 0.05


async def test_every_arrival_is_recorded_with_its_outcome() -> None:
    async with raw(Sandbox()) as zoho:
        await zoho.get("/projects", per_page=1)
        await zoho.get("/invoices/1")
        first, second = zoho.sandbox.arrivals
        assert (first.method, first.path) == ("GET", "/books/v3/projects")
        assert first.query["per_page"] == "1"
        assert (first.status, first.code) == (200, 0)
        assert (second.status, second.code) == (404, 1002)
        assert first.time <= second.time
        assert zoho.sandbox.calls == 2


async def test_closing_does_not_wait_for_slow_replies_and_leaves_no_task() -> None:
    tasks = asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(latency=30.0)
        async with sandbox:
            call = asyncio.ensure_future(http.get(f"{sandbox.url}/books/v3/projects"))
            await sandbox.arrived(1)
            started = time.monotonic()
        assert time.monotonic() - started < 15.0
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, aiohttp.ClientError)
    assert asyncio.all_tasks() == tasks
