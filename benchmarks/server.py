"""The server of the benchmarks: prepared bytes, written by a bare asyncio protocol.

It runs in another process (``python -m benchmarks.server``), so that its CPU time is in no figure.
It prints its port and answers until its standard input closes. ``/usage`` returns the number of
answers and their CPU time.

The bytes come from the sandbox's own rows. The number of an organization says what its lists hold:
``organization("typed", 1_000_000)`` has lists of a million rows. One page is repeated, with its
page number written into the id of each row, so that no row occurs twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from zoho_async.sandbox import Sandbox

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
        f"Date: {formatdate(usegmt=True)}\r\n"
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
        self._transport = cast(asyncio.Transport, transport)  # not a subclass with uvloop
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
        counts: dict[str, Any] = json.loads(wire.getresponse().read())
        wire.close()
        return counts["answers"], counts["cpu"]


@contextmanager
def served() -> Iterator[Served]:
    """Run a server in another process until the end of the block."""
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


# -- prepared pages --------------------------------------------------------------------------------

PER_PAGE: Final = 200

#: ``typed``: as Zoho writes it. ``drifted``: one value of a wrong type in every row. ``plain``:
#: with null for every blank, so that a decoder that knows nothing of blanks can read it.
Kind: TypeAlias = Literal["typed", "drifted", "plain"]

_KINDS: Final[tuple[Kind, ...]] = ("typed", "drifted", "plain")
_LISTS: Final = {"invoices": "invoice_id", "projects": "project_id"}
_DRIFTS: Final = {"invoices": "balance", "projects": "rate"}
_NUMBER: Final = b"PPPPPPPP"  # the place of the page number in a template, eight digits


def organization(kind: Kind, rows: int) -> str:
    """The organization whose lists hold ``rows`` rows of this kind."""
    return f"{_KINDS.index(kind) + 1}{rows:08d}"


class Template:
    """One list's page, cut where its number goes."""

    def __init__(self, name: str, rows: list[bytes]) -> None:
        self._open = b'{"code":0,"message":"success","' + name.encode() + b'":['
        self._rows = [row.split(_NUMBER) for row in rows]
        self._whole = self._open + b",".join(rows)
        self._parts = self._whole.split(_NUMBER)

    def page(self, number: int, rows: int) -> bytes:
        """Page ``number`` of a list of ``rows``."""
        digits = b"%08d" % number
        here = max(0, min(PER_PAGE, rows - (number - 1) * PER_PAGE))
        if here == PER_PAGE:
            body = digits.join(self._parts)
        else:
            body = self._open + b",".join(digits.join(parts) for parts in self._rows[:here])
        more = b"true" if number * PER_PAGE < rows else b"false"
        return (
            body
            + b'],"page_context":{"page":%d,"per_page":%d,"has_more_page":' % (number, PER_PAGE)
            + more
            + b',"report_name":"A list","applied_filter":"Status.All","sort_column":"created_time",'
            b'"sort_order":"A","total":%d,"total_pages":%d}}' % (rows, -(-rows // PER_PAGE))
        )


def prepare() -> tuple[dict[tuple[str, str], Template], bytes]:
    """A template for each kind (its digit) of each list, and the reply to a small call."""
    return asyncio.run(_prepare())


async def _prepare() -> tuple[dict[tuple[str, str], Template], bytes]:
    sizes = {f"books.{name}": PER_PAGE for name in _LISTS}
    async with Sandbox(sizes=sizes) as sandbox:
        templates: dict[tuple[str, str], Template] = {}
        for name, row_id in _LISTS.items():
            rows = [
                _numbered(row, row_id, at)
                for at, row in enumerate(sandbox.truth(f"books.{name}"), 1)
            ]
            drifted = [_drifted(row, _DRIFTS[name]) for row in rows]
            plain = [row.replace(b':""', b":null") for row in rows]
            for kind, those in zip(_KINDS, (rows, drifted, plain), strict=True):
                digit = str(_KINDS.index(kind) + 1)
                templates[digit, name] = Template(name, those)
        contact = sandbox.truth("books.contacts")[0]
    return templates, b'{"code":0,"message":"success","contacts":[' + contact + b"]}"


def _numbered(row: bytes, row_id: str, at: int) -> bytes:
    own = msgspec.json.decode(row)[row_id].encode()
    return row.replace(own, b"460000" + _NUMBER + b"%05d" % at)


def _drifted(row: bytes, field: str) -> bytes:
    values: dict[str, Any] = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    values[field] = msgspec.Raw(b'{"odd":true}')
    return msgspec.json.encode(values)


# -- what the server itself costs ------------------------------------------------------------------


def strength(server: Served) -> str:
    """Describe the rate and cost of the server for small answers and for pages, in one line."""
    org = organization("typed", 200)
    rates = []
    for what, path, times in (
        ("small answers", "contacts", 3000),
        ("pages", f"invoices?organization_id={org}&per_page=200", 200),
    ):
        before = server.usage()[1]
        began = time.perf_counter()
        size = _ask(server.url, path, times)
        seconds = time.perf_counter() - began
        cost = (server.usage()[1] - before) / times * 1e6
        rates.append(
            f"{times / seconds:,.0f} {what} a second ({size:,} bytes, {cost:.0f} us of CPU)"
        )
    return f"{'the server':18} {', '.join(rates)}"


def _ask(url: str, path: str, times: int) -> int:
    """Request ``path`` that many times in sequence and return the size of one answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    request = f"GET /books/v3/{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    buffer = memoryview(bytearray(1 << 20))
    size = 0
    with socket.create_connection((host, int(port))) as wire:
        for _ in range(times):
            wire.sendall(request)
            size, whole = 0, 1
            while size < whole:
                size += wire.recv_into(buffer[size:])
                if whole == 1:
                    head, _, _ = bytes(buffer[:500]).partition(b"\r\n\r\n")
                    whole = len(head) + 4 + int(head.rpartition(b":")[2])
    return size


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(_Answers()))
    else:
        uvloop.run(_serve(_Answers()))
