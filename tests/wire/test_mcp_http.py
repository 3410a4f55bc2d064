"""``zoho-async mcp --http``: the token, the names of loopback, and a session of the client."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import httpx2
import pytest
from anyio.streams.text import TextReceiveStream
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.mcp_client import Agent, home_of
from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp.http import TOKEN_VARIABLE, open_port, token_of
from zoho_async.sandbox import Sandbox

BOOKS = {"books.contacts": 20, "books.items": 10, "books.invoices": 60}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@asynccontextmanager
async def serving(sandbox: Sandbox, home: Path) -> AsyncIterator[str]:
    """A server in another process; yields its address."""
    environ = {**os.environ, **sandbox.environment(), **home_of(home)}
    command = ["-W", "error", "-m", "zoho_async.cli", "mcp", "--http", "0", "--minute", "2"]
    process = await anyio.open_process([sys.executable, *command], env=environ)
    try:
        assert process.stderr is not None
        seen = ""
        async for text in TextReceiveStream(process.stderr):
            seen += text
            if found := re.search(r"http://127\.0\.0\.1:\d+/mcp", seen):
                break
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        await process.wait()
        await process.aclose()


@pytest.mark.zoho_sandbox(sizes=BOOKS, minute=2.0)
async def test_only_requests_with_the_token_and_a_name_of_loopback_reach_the_tools(
    zoho_sandbox: Sandbox, tmp_path: Path
) -> None:
    async with serving(zoho_sandbox, tmp_path) as url:
        file = tmp_path / "mcp-token"
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        right = {"Authorization": f"Bearer {token}"}
        port = url.split(":")[2].split("/")[0]
        async with aiohttp.ClientSession() as http:

            async def status(headers: dict[str, str], *, method: str = "POST") -> int:
                accept = {"Accept": "application/json, text/event-stream"}
                async with http.request(
                    method, url, json=PING, headers={**accept, **headers}
                ) as reply:
                    assert token not in await reply.text()
                    return reply.status

            for wrong in (
                {},
                {"Authorization": ""},
                {"Authorization": f"Bearer {token}x"},
                {"Authorization": f"Bearer {token[:-1]}"},
                {"Authorization": f"Basic {token}"},
                {"Authorization": "Bearer é"},
                {"Host": f"evil.example:{port}"},
            ):
                assert await status(wrong) == 401, wrong
                assert await status(wrong, method="GET") == 401, wrong
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "127.0.0.1"):
                assert await status({**right, "Host": host}) == 421, host
            for origin in ("https://evil.example", "null", f"http://evil.example:{port}"):
                assert await status({**right, "Origin": origin}) == 403, origin
            allowed = {**right, "Origin": f"http://localhost:{port}", "Host": f"localhost:{port}"}
            assert await status(allowed) not in (401, 403, 421)
        assert zoho_sandbox.calls == 0
        async with (
            httpx2.AsyncClient(headers=right) as client,
            Client(streamable_http_client(url, http_client=client)) as session,
        ):
            rows = await Agent(session).all_rows(
                "read", operation="books.invoices.list", query={"status": "overdue"}
            )
        assert rows
        assert zoho_sandbox.calls == 1


def test_a_token_that_is_short_or_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state" / "mcp-token"
    token = token_of({}, file)
    assert len(token) >= 32
    assert token_of({}, file) == token
    assert token_of({TOKEN_VARIABLE: "x" * 40}, file) == "x" * 40
    with pytest.raises(ConfigurationError, match="at least 32"):
        token_of({TOKEN_VARIABLE: "short"}, file)
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        token_of({}, file)


def test_a_taken_port_is_said() -> None:
    with open_port(0) as taken, pytest.raises(ConfigurationError, match="cannot be used"):
        open_port(taken.getsockname()[1])
