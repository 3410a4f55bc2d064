"""A silent server ends a call after the timeout, not earlier and not later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.counting_server import serving
from zoho_async.errors import CallTimeout, Request
from zoho_async.http.transport import Transport

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
_GET = Request("GET", "/x")


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    own = Transport(None, user_agent="test")
    yield own
    await own.close()


async def test_a_body_that_stops_is_a_timeout(transport: Transport) -> None:
    hold = asyncio.Event()

    async def stopping(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(_HEAD + b"{")
        await writer.drain()
        await hold.wait()
        return False

    async with serving(stopping) as server:
        with pytest.raises(CallTimeout):
            await transport.send(_GET, f"{server.url}/x", headers={}, read_timeout=0.05)
        hold.set()


async def test_an_answer_that_drips_forever_is_a_timeout(transport: Transport) -> None:
    given_up = asyncio.Event()

    async def dripping(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not given_up.is_set():
            writer.write(b"{")
            await asyncio.sleep(0.01)
        return False

    async with serving(dripping) as server:
        with pytest.raises(CallTimeout):
            await transport.send(
                _GET, f"{server.url}/x", headers={}, read_timeout=5.0, total_timeout=0.1
            )
        given_up.set()


async def test_one_timeout_fails_no_other_call(transport: Transport) -> None:
    asked, over, hold = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def first_silent(number: int, writer: asyncio.StreamWriter) -> bool:
        asked.set()
        if number > 1:
            await over.wait()
            writer.write(_HEAD + b"{    }")
            await writer.drain()
            return True
        await hold.wait()
        return False

    async with serving(first_silent) as server:
        hasty = asyncio.create_task(
            transport.send(_GET, f"{server.url}/x", headers={}, read_timeout=0.5)
        )
        await asked.wait()
        others = [
            asyncio.create_task(
                transport.send(_GET, f"{server.url}/x", headers={}, read_timeout=60.0)
            )
            for _ in range(3)
        ]
        with pytest.raises(CallTimeout):
            await hasty
        over.set()
        bodies = [answer.body for answer in await asyncio.gather(*others)]
        assert bodies == [b"{    }"] * 3
        hold.set()
