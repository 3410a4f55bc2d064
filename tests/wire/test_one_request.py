"""One call of the transport is one request on the wire, whatever the connection does."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from tests.support.counting_server import serving
from zoho_async.errors import (
    CallTimeout,
    ConnectionBroken,
    NotConnected,
    Request,
    TransportError,
)
from zoho_async.http.transport import Transport, proxy_for

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def _drop(number: int, writer: asyncio.StreamWriter) -> bool:
    return False


async def _answer_then_drop(number: int, writer: asyncio.StreamWriter) -> bool:
    if number == 1:
        writer.write(_OK)
        await writer.drain()
        return True
    return False


async def _send(transport: Transport, method: str, url: str) -> None:
    await transport.send(
        Request(method, "/x"), f"{url}/x", headers={}, body=None if method == "GET" else b"{}"
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_dropped_connection_counts_one_arrival(method: str) -> None:
    transport = Transport(None, user_agent="test")
    async with serving(_drop) as server:
        with pytest.raises(ConnectionBroken):
            await _send(transport, method, server.url)
        await transport.close()
        assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_kept_alive_connection_that_drops_counts_one_arrival_a_call(method: str) -> None:
    transport = Transport(None, user_agent="test")
    async with serving(_answer_then_drop) as server:
        await _send(transport, "GET", server.url)
        with pytest.raises(ConnectionBroken):
            await _send(transport, method, server.url)
        await transport.close()
        assert len(server.requests) == 2


async def test_a_redirect_is_not_followed_and_carries_no_token_away() -> None:
    async def elsewhere(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return True

    transport = Transport(None, user_agent="test")
    async with serving(elsewhere) as server:
        answer = await transport.send(
            Request("GET", "/x"), f"{server.url}/x", headers={"Authorization": "secret"}
        )
        await transport.close()
        assert answer.status == 302
        assert len(server.requests) == 1


async def test_a_silent_server_is_a_timeout_and_counts_one_arrival() -> None:
    hold = asyncio.Event()

    async def silent(number: int, writer: asyncio.StreamWriter) -> bool:
        await hold.wait()
        return False

    transport = Transport(None, user_agent="test")
    async with serving(silent) as server:
        with pytest.raises(CallTimeout):
            await transport.send(
                Request("GET", "/x"), f"{server.url}/x", headers={}, read_timeout=0.05
            )
        hold.set()
        await transport.close()
        assert len(server.requests) == 1


async def test_a_body_cut_short_is_a_broken_connection() -> None:
    async def cut(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        return False

    transport = Transport(None, user_agent="test")
    async with serving(cut) as server:
        with pytest.raises(ConnectionBroken):
            await _send(transport, "GET", server.url)
        await transport.close()


async def test_no_listener_raises_not_connected() -> None:
    async with serving(_drop) as server:
        url = server.url
    transport = Transport(None, user_agent="test")
    with pytest.raises(NotConnected, match=r"no connection to 127\.0\.0\.1"):
        await _send(transport, "POST", url)
    await transport.close()
    assert server.requests == []


def test_proxies_come_from_the_environment_and_never_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "www.zohoapis.in")
    assert proxy_for("https://www.zohoapis.com") == "http://proxy.example:3128"
    assert proxy_for("https://www.zohoapis.in") is None
    assert proxy_for("http://127.0.0.1:8080") is None
    assert proxy_for("http://localhost:8080") is None


def test_all_proxy_counts_if_it_is_an_http_proxy_and_no_other_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "http://every.example:3128")
    assert proxy_for("https://www.zohoapis.com") == "http://every.example:3128"
    assert proxy_for("http://127.0.0.1:8080") is None
    monkeypatch.setenv("NO_PROXY", "zohoapis.com")
    assert proxy_for("https://www.zohoapis.com") is None
    assert proxy_for("https://accounts.zoho.com") == "http://every.example:3128"
    monkeypatch.setenv("https_proxy", "http://one.example:3128")
    assert proxy_for("https://accounts.zoho.com") == "http://one.example:3128"
    monkeypatch.delenv("https_proxy")
    monkeypatch.setenv("ALL_PROXY", "socks5://every.example:1080")
    assert proxy_for("https://accounts.zoho.com") is None


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("address", ["127.0.0.1:PORT", "127.0.0.1:many", "[::1:9"])
async def test_the_password_of_a_proxy_is_in_no_traceback(address: str) -> None:
    async with await asyncio.start_server(_refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        given = f"http://me:pass-word@{address.replace('PORT', str(port))}"
        transport = Transport(None, user_agent="test")
        with pytest.raises(TransportError) as caught:
            await transport.send(
                Request("GET", "/"), "https://www.zohoapis.com/", headers={}, proxy=given
            )
        await transport.close()
    assert "pass-word" not in "".join(traceback.format_exception(caught.value))
