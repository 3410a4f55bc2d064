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
    async with Loopback([port], state="ours") as page, aiohttp.ClientSession() as http:
        for url, status in (
            (f"http://127.0.0.1:{port}/", 404),
            (f"http://127.0.0.1:{port}/favicon.ico", 404),
            (f"{redirect_uri(port)}?code=1000.forged&state=theirs", 400),
            (f"{redirect_uri(port)}?code=1000.forged", 400),
            (f"{redirect_uri(port)}?code=1000.forged&state=", 400),
            (f"{redirect_uri(port)}?error=access_denied", 400),
            (f"{redirect_uri(port)}?code=1000.forged&state=theirs&state=ours", 400),
            (f"http://127.0.0.1:{port}//[/callback", 400),
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
        assert (await page.answer(5.0))["code"] == "1000.ours"


async def test_the_state_works_once_and_then_the_page_is_closed() -> None:
    port = free_port()
    async with Loopback([port], state="ours") as page:
        # A connection that is open already when the answer comes.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{redirect_uri(port)}?code=1000.first&state=ours") as reply:
                assert reply.status == 200
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(f"http://127.0.0.1:{port}/favicon.ico")
        writer.write(b"GET /callback?code=1000.second&state=ours HTTP/1.1\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()
        assert (await page.answer(5.0))["code"] == "1000.first"


async def test_other_machines_cannot_reach_the_page() -> None:
    async with Loopback([free_port()], state="ours") as page:
        addresses = {each.getsockname()[0] for server in page._servers for each in server.sockets}
    assert addresses <= {"127.0.0.1", "::1"}
    assert addresses


async def test_a_busy_port_is_passed_over_for_the_next_registered_one() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        busy, free = other.getsockname()[1], free_port()
        async with Loopback([busy, free], state="ours") as page:
            assert page.redirect_uri == redirect_uri(free)
            async with aiohttp.ClientSession() as http:
                await http.get(f"{page.redirect_uri}?code=c&state=ours")
            assert (await page.answer(5.0))["code"] == "c"


async def test_a_port_in_use_raises() -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match="--port"):
            async with Loopback([port], state="ours"):
                pass


def test_an_empty_state_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="state"):
        Loopback([1], state="")


async def test_no_answer_raises_after_the_timeout() -> None:
    async with Loopback([free_port()], state="ours") as page:
        with pytest.raises(AuthError, match="start again"):
            await page.answer(0.01)
