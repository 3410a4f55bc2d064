"""The server of the benchmarks: prepared bytes written by a bare asyncio protocol.

A process of its own (``python -m benchmarks.server``), so that its CPU time is in nobody's figures.
It prints its port, answers until its standard input closes, and tells at ``/usage`` what it has
answered and what that cost it.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final, cast

import msgspec

from benchmarks.pages import prepare

_TARGET: Final = re.compile(rb"[A-Z]+ ([^ ?]*)(?:\?([^ ]*))? ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ORGANIZATION: Final = re.compile(rb"organization_id=(\d)(\d+)")
_PAGE: Final = re.compile(rb"(?:^|&)page=(\d+)")
_LIST: Final = re.compile(rb"/books/v3/(\w+)$")
_TOKEN: Final = (
    b'{"access_token":"1000.benchmark","expires_in":3600,"expires_in_sec":3600,'
    b'"api_domain":"https://www.zohoapis.com","token_type":"Bearer"}'
)


class _Answers:
    """Which bytes go with which request; a page that was made is kept, if it is the only one."""

    def __init__(self) -> None:
        self._templates, self._small = prepare()
        self._kept: dict[tuple[bytes, bytes], bytes] = {}
        self.given = 0

    def to(self, path: bytes, query: bytes) -> bytes:
        self.given += 1
        kept = self._kept.get((path, query))
        if kept is None:
            kept = _http(self._body(path, query))
            if len(self._kept) < 100 and path != b"/usage":
                self._kept[path, query] = kept
        return kept

    def _body(self, path: bytes, query: bytes) -> bytes:
        if path == b"/oauth/v2/token":
            return _TOKEN
        if path == b"/usage":
            return msgspec.json.encode({"answers": self.given, "cpu": time.process_time()})
        named, asked = _LIST.search(path), _ORGANIZATION.search(query)
        if named and asked and (template := self._templates.get(_key(asked[1], named[1]))):
            page = _PAGE.search(query)
            return template.page(int(page[1]) if page else 1, int(asked[2]))
        return self._small


def _key(kind: bytes, name: bytes) -> tuple[str, str]:
    return kind.decode(), name.decode()


def _http(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
        "X-Rate-Limit-Limit: 500000000\r\nX-Rate-Limit-Remaining: 499999999\r\n"
        f"X-Rate-Limit-Reset: 40000\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Reads requests, whole or in pieces, and answers each at once."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._transport.set_write_buffer_limits(high=1 << 24)

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(data) < whole:
                break
            asked = _TARGET.match(data)
            assert asked is not None, "not HTTP"
            self._transport.write(self._answers.to(asked[1], asked[2] or b""))
            data = data[whole:]
        self._waiting = data


class Served:
    """A running server, as its user sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def usage(self) -> tuple[int, float]:
        """Answers given so far, and the seconds of CPU that they took."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        wire = HTTPConnection(host, int(port))
        wire.request("GET", "/usage")
        told: dict[str, Any] = json.loads(wire.getresponse().read())
        wire.close()
        return told["answers"], told["cpu"]


@contextmanager
def served() -> Iterator[Served]:
    """A server in a process of its own, gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Served(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def _serve(answers: _Answers) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(_Answers()))
    else:
        uvloop.run(_serve(_Answers()))
