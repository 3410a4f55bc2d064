"""``zoho-async sandbox`` as a user runs it, and how fast a sandbox starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.sandbox_command import order, serving
from zoho_async.cli.sandbox import build
from zoho_async.errors import ConfigurationError


def test_it_serves_the_requested_data_and_stops_cleanly_on_a_signal(tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "status"\nstatus = 503\npath = "*/items"\n')
    options = ("--organization", "111", "--organization", "222", "--plan", "free", "--speed", "60")
    with serving(*options, "--faults", str(faults), "--latency", "tail:0.001") as (env, process):
        assert env["ZOHO_ORGANIZATION_ID"] == "111"
        form = (
            f"grant_type=refresh_token&client_id={env['ZOHO_CLIENT_ID']}"
            f"&client_secret={env['ZOHO_CLIENT_SECRET']}"
            f"&refresh_token={env['ZOHO_REFRESH_TOKEN']}"
        )
        with urlopen(f"{env['ZOHO_ACCOUNTS_URL']}/oauth/v2/token", form.encode()) as reply:
            token = json.loads(reply.read())
        assert token["expires_in"] == 60
        call = Request(
            f"{env['ZOHO_BASE_URL']}/books/v3/contacts?organization_id=222&per_page=1",
            headers={"Authorization": f"Zoho-oauthtoken {token['access_token']}"},
        )
        with urlopen(call) as reply:
            assert reply.headers["X-Rate-Limit-Limit"] == "1000"
        with urlopen(f"{env['ZOHO_BASE_URL']}/__sandbox__/faults") as reply:
            assert [fault["kind"] for fault in json.loads(reply.read())] == ["status"]
        with urlopen(env["ZOHO_BASE_URL"]) as reply:
            assert b"<h1>Zoho sandbox</h1>" in reply.read()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 0
    assert "export --to DIR --minute 1" in told
    assert told.endswith("sandbox stopped\n")
    assert "Traceback" not in told


def test_the_plan_sets_the_daily_and_concurrent_limits() -> None:
    box = build(order(plan="free"))
    assert (box.limits.per_day, box.limits.in_flight) == (1_000, 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_permission(host: str) -> None:
    build(order(host=host))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"host": "0.0.0.0"}, "--open-to-network"),
        ({"host": "192.168.0.7"}, "--open-to-network"),
        ({"plan": "gold"}, "unknown plan 'gold': use one of free"),
        ({"minute": 0.0}, "--minute"),
        ({"speed": 0.0}, "speed"),
        ({"organizations": ("acme",)}, "--organization"),
        ({"latency": "soon"}, "a range"),
        ({"sizes": ("invoices",)}, "--size"),
        ({"faults": Path("/nowhere/faults.toml")}, "cannot be read: No such file"),
        ({"snapshot": Path("/nowhere/books.jsonl")}, "there is no folder"),
        ({"snapshot": Path(__file__)}, "is damaged or no snapshot"),
        ({"snapshot": Path(__file__), "sizes": ("items=3",)}, "leave out --seed, --size"),
    ],
)
def test_an_invalid_option_gives_a_one_line_error(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(order(**changes))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_webhooks_can_be_allowed_to_another_host() -> None:
    assert build(order(webhook_hosts=["hooks"])).webhooks.hosts == ("hooks",)


def test_open_to_network_allows_any_address() -> None:
    build(order(host="0.0.0.0", open_to_network=True))


def test_an_error_in_the_faults_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text("[[fault]]\nkind = 'dorp'\n")
    with pytest.raises(
        ConfigurationError, match=r"faults\.toml: fault 1: kind must be one of .*'dorp'"
    ):
        build(order(faults=file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        build(order(faults=file))


def test_a_sandbox_starts_and_answers_within_300_ms_of_cpu_time() -> None:
    """CPU time is measured, so that a loaded machine does not fail the test."""
    program = """
import asyncio, time
import aiohttp
from zoho_async.sandbox import Sandbox

async def main():
    async with aiohttp.ClientSession() as http:
        began = time.process_time()
        async with Sandbox(sizes={"invoices": 20_000, "contacts": 5_000}) as box:
            async with http.get(f"{box.url}/books/v3/contacts") as reply:
                assert reply.status == 401
            print(time.process_time() - began)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.3
