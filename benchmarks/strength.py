"""What the server can do: asked by a plain socket that throws the answers away."""

from __future__ import annotations

import socket
import time

from benchmarks.pages import organization
from benchmarks.server import Served


def strength(server: Served) -> str:
    """A line that tells the server's own rate and cost for small answers and for pages."""
    org = organization("typed", 200)
    told = []
    for what, path, times in (
        ("small answers", "contacts", 3000),
        ("pages", f"invoices?organization_id={org}&per_page=200", 200),
    ):
        before = server.usage()[1]
        began = time.perf_counter()
        size = _ask(server.url, path, times)
        seconds = time.perf_counter() - began
        cost = (server.usage()[1] - before) / times * 1e6
        told.append(
            f"{times / seconds:,.0f} {what} a second ({size:,} bytes, {cost:.0f} us of CPU)"
        )
    return f"{'the server':18} {', '.join(told)}"


def _ask(url: str, path: str, times: int) -> int:
    """Ask so often, one after the other; the size of one answer."""
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
