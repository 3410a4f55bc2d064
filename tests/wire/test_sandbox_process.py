"""The sandbox in a separate process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE

import aiohttp
import pytest

from tests.support.sandbox_process import started
from zoho_async.sandbox import Sandbox


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_prints_its_url_and_stops_cleanly_on_a_signal(how: signal.Signals) -> None:
    async with started("--size", "invoices=3") as (process, said):
        assert said["environment"]["ZOHO_BASE_URL"] == said["url"]
        async with aiohttp.ClientSession() as http, http.get(f"{said['url']}/books/v3/x") as reply:
            assert reply.status == 401
        process.send_signal(how)
        _, errors = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in errors
        assert b"Warning" not in errors


async def test_its_counts_and_rows_are_available_over_http() -> None:
    options = ("--seed", "9", "--size", "books.invoices=12", "--organization", "5", "--tokens", "3")
    async with started(*options) as (_, said), aiohttp.ClientSession() as http:
        url = said["url"]
        async with http.get(f"{url}/books/v3/projects?organization_id=5") as reply:
            assert reply.status == 401
        async with http.get(f"{url}/__sandbox__/state") as reply:
            state = await reply.json()
        assert (state["calls"], state["refused"], state["answers"]) == (1, 0, {"401/14": 1})
        async with http.get(f"{url}/__sandbox__/truth/books.invoices") as reply:
            rows = (await reply.read()).splitlines()
        twin = Sandbox(seed=9, sizes={"invoices": 12}, organization="5")
        assert rows == twin.truth("books.invoices")
        async with http.get(f"{url}/__sandbox__/arrivals") as reply:
            assert json.loads(await reply.read())["path"] == "/books/v3/projects"
        async with http.get(f"{url}/__sandbox__/truth/nothing") as reply:
            assert reply.status == 404


async def test_a_taken_port_gives_a_one_line_error_and_exit_code_1() -> None:
    async with Sandbox() as zoho:
        port = zoho.url.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "zoho_async.sandbox", "--port", port), stdout=PIPE, stderr=PIPE
        )
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.decode().startswith(f"cannot listen on 127.0.0.1:{port}")
        assert len(errors.splitlines()) == 1
