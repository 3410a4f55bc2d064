"""The part of HTTP/1.1 that a judge needs, on raw sockets.

Model: one connection carries one request after another. A request has two moments: its first byte
and its last byte, both by ``time.monotonic``, which all processes of a machine share. Each lies
between the moment the client sends and the moment it reads the reply.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote, urlsplit

_LARGEST = 1 << 20


@dataclass(frozen=True)
class Request:
    """A request as it arrived. Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    first_byte: float
    last_byte: float

    @property
    def organization(self) -> str:
        """The organization that the request names, or ""."""
        for name, value in self.headers.items():
            if name.startswith("x-com-zoho-") and name.endswith("-organizationid"):
                return value
        return self.query.get("organization_id", "")


@dataclass(frozen=True)
class Reply:
    """A reply: JSON, or bytes as they are; ``headers`` win over the usual ones.

    ``date`` is the moment in the ``Date`` header, seconds since 1970; None sends no such header.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    date: float | None = None

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if self.date is not None:
            headers["Date"] = formatdate(self.date, usegmt=True)
        headers |= self.headers
        lines = [f"HTTP/1.1 {self.status} Judged", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


Answer = Callable[[Request], Awaitable["Reply | None"]]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None at the end of the connection."""
    first = await reader.read(1)
    if not first:
        return None
    first_byte = time.monotonic()
    head = first + await reader.readuntil(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = request_line.split(" ", 2)
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunked(reader)
    else:
        body = await reader.readexactly(min(_LARGEST, int(headers.get("content-length") or 0)))
    parts = urlsplit(target)
    return Request(
        method=method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body,
        first_byte=first_byte,
        last_byte=time.monotonic(),
    )


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return body


class Server:
    """Serves ``answer`` on a free port of loopback, on a thread and event loop that it owns.

    Clients may therefore block, or run event loops that come and go. ``answer`` runs on the
    server's loop; None closes the connection without a reply. Synchronous ``with`` starts and ends
    it; `call` runs a function on the server's thread.
    """

    def __init__(self, answer: Answer, *, port: int = 0) -> None:
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self._handlers: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.failure: BaseException | None = None

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def call(self, function: Callable[[], object]) -> None:
        """Run ``function`` on the server's thread, between two requests, and wait for its end."""
        done = threading.Event()

        def run() -> None:
            try:
                function()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket)
        await self._over.wait()
        server.close()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            while (request := await read_request(reader)) is not None:
                reply = await self._answer(request)
                if reply is None:
                    break
                writer.write(reply.encoded())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the judge ends
        except Exception as error:  # a fault of the judge fails its test
            self.failure = self.failure or error
        finally:
            self._handlers.discard(handler)
            writer.transport.abort()


def token_reply() -> Reply:
    """The accounts server's answer to a refresh token."""
    return Reply(
        body={"access_token": "1000.judge", "token_type": "Bearer", "expires_in": 3600},
        date=time.time(),
    )


def is_token_request(request: Request) -> bool:
    return request.path.startswith("/oauth/")
