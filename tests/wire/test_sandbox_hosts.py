"""The sandbox answers programs on this machine and not web pages, and its clock is bounded."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest

from zoho_async import Limits, Session
from zoho_async.errors import ConfigurationError
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Proxy, Sandbox
from zoho_async.sandbox.rules import subscriptions
from zoho_async.sandbox.simulation.rate_limits import LimitRules, RateLimiter

FOREIGN = (
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80"),
    *("10.0.0.1", "localhost@evil.example", "[::2]", "", "a b", "[", "zoho"),
)
OWN = ("localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.9.9.9:8080", "[::1]", "[::1]:80")


async def status(url: str, path: str = "/__sandbox__/state", **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(url + path, headers={name.title(): text for name, text in headers.items()}) as one,
    ):
        assert not [name for name in one.headers if name.lower().startswith("access-control")]
        return one.status, await one.text()


@pytest.mark.parametrize("path", ["/", "/__sandbox__/state", "/oauth/v2/token", "/books/v3/items"])
async def test_a_foreign_host_is_refused(path: str) -> None:
    async with Sandbox() as box:
        for host in FOREIGN:
            code, text = await status(box.url, path, host=host)
            assert code == 421, host
            assert "--allowed-host" in json.loads(text)["message"]
        assert box.calls == box.token_requests == 0


async def test_a_foreign_origin_is_refused() -> None:
    async with Sandbox() as box:
        for origin in ("null", "https://evil.example", "http://evil.example:80", "file://", "["):
            code, text = await status(box.url, origin=origin)
            assert code == 403, origin
            assert "--allowed-host" in json.loads(text)["message"]
            async with (
                aiohttp.ClientSession(headers={"Origin": origin}) as http,
                http.post(f"{box.url}/__sandbox__/clock", json={"advance": 1}) as posted,
                http.options(f"{box.url}/books/v3/contacts") as asked,
            ):
                assert posted.status == asked.status == 403


async def test_loopback_names_are_accepted() -> None:
    async with Sandbox() as box:
        for host in OWN:
            assert (await status(box.url, host=host))[0] == 200, host
            assert (await status(box.url, origin=f"http://{host}"))[0] == 200, host


async def test_allowed_names_are_accepted() -> None:
    async with Sandbox(allowed_hosts=["Zoho", "sandbox.test.", "[fd00::5]"]) as box:
        for host in ("zoho", "zoho:8080", "ZOHO.", "sandbox.test", "[fd00::5]:80"):
            assert (await status(box.url, host=host))[0] == 200, host
            assert (await status(box.url, origin=f"http://{host}"))[0] == 200, host
        assert (await status(box.url, host="zoho.evil.example"))[0] == 421


async def test_a_sandbox_for_a_network_names_a_host_that_clients_can_use() -> None:
    async with Sandbox(host="0.0.0.0", allowed_hosts=["zoho", "other"]) as box:
        port = urlsplit(box.url).port
        assert box.url == f"http://zoho:{port}"
        here = f"http://127.0.0.1:{port}"
        assert await status(here, "/__sandbox__/health", host="zoho") == (200, '{"status":"ok"}')
        assert (await status(here, "/__sandbox__/health", host="evil.example"))[0] == 421
        assert box.calls == 0
    async with Sandbox(host="0.0.0.0") as box:
        assert (await status(box.url, "/__sandbox__/health"))[0] == 200


async def test_the_local_address_of_the_connection_is_accepted() -> None:
    async with Sandbox(host="0.0.0.0") as box:
        for host in ("0.0.0.0", "127.0.0.1"):
            assert (await status(box.url, host=host))[0] == 200, host
        assert (await status(box.url, host="10.0.0.1"))[0] == 421


@pytest.mark.parametrize("name", ["", "http://zoho", "zoho:80", "a/b", "*", "a b", "zoho..x", "ä"])
def test_an_invalid_allowed_host_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="host name or address"):
        Sandbox(allowed_hosts=[name])


async def test_a_client_behind_a_proxy_is_accepted() -> None:
    async with Sandbox(sizes={"contacts": 2}) as box, Proxy(box.url) as line:
        environment = box.environment() | {"ZOHO_BASE_URL": line.url}
        limits = Limits(window=60.0)
        async with Session.from_env(environment, limits=limits, ledger=MemoryLedger()) as zoho:
            assert len((await zoho.request("GET", "/contacts"))["contacts"]) == 2


async def test_an_upgrade_is_not_accepted() -> None:
    async with Sandbox() as box:
        port = urlsplit(box.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /__sandbox__/state HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" not in await reader.readline()
        writer.close()
        await writer.wait_closed()


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds", ["1e18", "1e400", "-1", "-1e18", "NaN", "Infinity", '"1"', "1e10"]
)
async def test_an_invalid_advance_leaves_the_clock_unchanged(seconds: str) -> None:
    async with Sandbox() as box, aiohttp.ClientSession() as http:
        box.clock.hold()
        before = box.clock.now()
        body = f'{{"advance": {seconds}}}'
        async with http.post(f"{box.url}/__sandbox__/clock", data=body) as reply:
            assert reply.status == 400
            assert re.search("back|at most 100 years|Expected|JSON|range", await reply.text())
        assert box.clock.now() == before


async def test_a_clock_advances_at_most_a_hundred_years_in_total() -> None:
    async with Sandbox() as box:
        for _ in range(10):
            box.clock.advance(10 * 365 * 86_400.0)
        with pytest.raises(ValueError, match="100 years"):
            box.clock.advance(10 * 365 * 86_400.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e9, 1e308, float("inf"), float("nan")])
def test_an_invalid_clock_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        Sandbox(speed=speed)


@pytest.mark.parametrize("length", [0.0, -1.0, float("inf"), float("nan")])
def test_invalid_durations_are_refused(length: float) -> None:
    with pytest.raises(ConfigurationError, match="minute must be"):
        Sandbox(minute=length)
    with pytest.raises(ConfigurationError, match="day must be"):
        LimitRules(day=length)


def test_days_are_counted_by_division() -> None:
    judge = RateLimiter(
        LimitRules(day=10.0, day_left=4.0, per_day=2, per_minute=1000), started=100.0
    )
    seen = {
        now: judge.quota("1", now)[2]
        for now in (100.0, 103.5, 104.0, 113.5, 114.0, 1e9 + 4.0, 1e15 + 4.0)
    }
    assert seen == {100.0: 4.0, 103.5: 0.5, 104.0: 10.0, 113.5: 0.5, 114.0: 10.0} | {
        1e9 + 4.0: 10.0,
        1e15 + 4.0: 10.0,
    }
    for _ in range(2):
        assert judge.arrive("2", 100.0) is None
        judge.leave("2")
    refused = judge.arrive("2", 103.9)
    assert refused is not None
    assert refused.code == 45
    assert judge.arrive("2", 1e15) is None


def test_terms_of_a_subscription_are_counted_by_division() -> None:
    """The result equals that of a loop for every start, and a thousand years of days are fast."""
    today = datetime.now(UTC).date()
    for unit, cycles, age in (
        *(("days", 0, 0), ("days", 3, 10), ("weeks", 0, 90), ("months", -1, 400)),
        *(("months", 0, 31), ("months", 12, 400), ("years", 0, 1000), ("years", 1, 10)),
    ):
        fields = {"interval": 1, "interval_unit": unit, "starts_at": str(today - timedelta(age))}
        done, begins = 1, today - timedelta(age)
        ends = later(begins, fields, 1)
        while ends <= today and (not cycles or done < cycles):
            done += 1
            begins, ends = ends, later(today - timedelta(age), fields, done)
        told = subscriptions._first_dates(fields, {"billing_cycles": cycles}, {}, today)
        assert told["last_billing_at"] == str(begins), (unit, cycles, age)
        assert told["current_term_ends_at"] == str(ends)
    began = time.process_time()
    ancient = {"interval": 1, "interval_unit": "days", "starts_at": "0001-01-01"}
    subscriptions._first_dates(ancient, {"billing_cycles": 10**30}, {}, today)
    assert time.process_time() - began < 0.2


later = subscriptions._later
