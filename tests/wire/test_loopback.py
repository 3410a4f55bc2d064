"""The local page that receives the redirect of a login."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import aiohttp
import pytest

from tests.support.ports import free_port
from zoho_async.auth.loopback import Loopback, redirect_uri
from zoho_async.errors import AuthError, ConfigurationError


async def test_only_the_answer_of_this_login_is_accepted() -> None:
    port = free_port()
    async with Loopback(port, state="ours") as page, aiohttp.ClientSession() as http:
        for url, status in (
            (f"http://127.0.0.1:{port}/", 404),
            (f"http://127.0.0.1:{port}/favicon.ico", 404),
            (f"{redirect_uri(port)}?code=1000.forged&state=theirs", 400),
            (f"{redirect_uri(port)}?code=1000.forged", 400),
        ):
            async with http.get(url) as reply:
                assert reply.status == status
        probe = await asyncio.open_connection("127.0.0.1", port)
        probe[1].write(b"no http at all")
        probe[1].close()
        async with http.get(f"{redirect_uri(port)}?code=1000.ours&state=ours") as reply:
            assert reply.status == 200
            assert "1000.ours" not in await reply.text()
            assert reply.headers["Cache-Control"] == "no-store"
        assert (await page.answer(5.0)).code == "1000.ours"


async def test_a_port_in_use_raises() -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match="--port"):
            async with Loopback(port, state="ours"):
                pass


async def test_no_answer_raises_after_the_timeout() -> None:
    async with Loopback(free_port(), state="ours") as page:
        with pytest.raises(AuthError, match="start again"):
            await page.answer(0.01)
