"""A reply that was not requested never becomes the answer to a call.

The server writes to raw sockets from a separate thread, so that its bytes are in the kernel's
buffer before the client's event loop has looked at it.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import pytest
from aiohttp.connector import Connection

from zoho_async.errors import NotConnected, Request
from zoho_async.http.transport import Transport

STRAY: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"


class Server:
    """Answers each request with its path; ``after`` goes out in the same segment as each answer."""

    def __init__(self, greeting: bytes, after: bytes) -> None:
        self.greeting = greeting
        self.after = after
        self.connections: list[socket.socket] = []
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def send(self, data: bytes) -> None:
        """Put ``data`` on the newest connection; it is in the client's buffer on return."""
        self.connections[-1].sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            connection.sendall(self.greeting)
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            held: bytes = b""
            while True:
                try:
                    more = connection.recv(65_536)
                except OSError:
                    return
                if not more:
                    return
                held = b"".join((held, more))
                while b"\r\n\r\n" in held:
                    head, _, held = held.partition(b"\r\n\r\n")
                    path = head.split(b" ")[1]
                    self.requests.append(path.decode())
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)
                    connection.sendall(answer + self.after)


@contextmanager
def serving(*, greeting: bytes = b"", after: bytes = b"") -> Generator[Server]:
    server = Server(greeting, after)
    try:
        yield server
    finally:
        server.close()


async def get(transport: Transport, server: Server, path: str) -> bytes:
    answer = await transport.send(
        Request("GET", path), f"{server.url}{path}", headers={}, read_timeout=60.0
    )
    return answer.body


async def turns() -> None:
    """Give the event loop the turns in which it reads what has come for the idle connection."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "extra",
    [
        STRAY,
        STRAY * 3,
        STRAY[:-3],
        STRAY[:20],
        b"\r\n",
        b"garbage",
        b"}",
        b"HTTP/1.1 100 C\r\n\r\n",
    ],
    ids=["one", "three", "most of one", "half a head", "a blank line", "garbage", "a tail", "1xx"],
)
@pytest.mark.parametrize("seen", [True, False], ids=["seen by the loop", "in the kernel"])
async def test_input_on_an_idle_connection_is_never_an_answer(extra: bytes, seen: bool) -> None:
    with serving() as server:
        transport = Transport(None, user_agent="test")
        assert await get(transport, server, "/1") == b"/1"
        server.send(extra)
        if seen:
            await turns()
        for path in ("/2", "/3", "/4"):
            assert await get(transport, server, path) == path.encode()
        await transport.close()
        assert server.requests == ["/1", "/2", "/3", "/4"]
        assert len(server.connections) == 2


@pytest.mark.parametrize("extra", [STRAY, STRAY[:20], STRAY[:-3]])
async def test_input_after_the_previous_answer_is_never_an_answer(extra: bytes) -> None:
    with serving(after=extra) as server:
        transport = Transport(None, user_agent="test")
        for path in ("/1", "/2", "/3"):
            assert await get(transport, server, path) == path.encode()
        await transport.close()
        assert server.requests == ["/1", "/2", "/3"]


class Late(aiohttp.TCPConnector):
    """Hands out a connection when something has come on it."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        assert connection.transport is not None
        select.select([connection.transport.get_extra_info("socket").fileno()], [], [], 10)
        return connection


async def test_a_server_that_sends_first_gets_no_request() -> None:
    with serving(greeting=STRAY) as server:
        async with Late() as connector:
            transport = Transport(connector, user_agent="test")
            with pytest.raises(NotConnected, match="before the request"):
                await get(transport, server, "/1")
            await transport.close()
        assert server.requests == []


async def test_many_dirty_idle_connections_fail_no_call() -> None:
    with serving() as server:
        transport = Transport(None, user_agent="test")
        await asyncio.gather(*(get(transport, server, f"/{n}") for n in range(8)))
        spoilt = list(server.connections)
        for connection in spoilt:
            connection.sendall(STRAY)
        answers = await asyncio.gather(*(get(transport, server, f"/b{n}") for n in range(8)))
        assert answers == [f"/b{n}".encode() for n in range(8)]
        await transport.close()
        assert len(server.requests) == 16


async def test_a_clean_connection_is_used_again() -> None:
    with serving() as server:
        transport = Transport(None, user_agent="test")
        for n in range(5):
            assert await get(transport, server, f"/{n}") == f"/{n}".encode()
            await turns()
        await transport.close()
        assert len(server.connections) == 1
