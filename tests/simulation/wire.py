"""The server's side of HTTP/1.1, written by hand, so that it shares no code with the client.

A `Service` answers requests of one host: it takes effect when the request arrives, and says when
the reply begins. The faults of the link are applied here, because only the server's side knows
where a request ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import unquote

import msgspec

from tests.simulation.faults import Fault
from tests.simulation.network import ServerEnd

_REASONS: Final = {int(status): status.phrase for status in HTTPStatus}
_STRAY: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n"
_STRAY_BODY: Final = b'{"code":0,"message":"old"}'


class Request(msgspec.Struct, frozen=True):
    """A request as it arrived. Header names are in lower case.

    ``number`` counts the requests of its worker to this host. ``copied`` says that the network made
    a second one of a request that was sent once.
    """

    worker: str
    at: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    host: str
    number: int = 0
    copied: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A reply. ``after`` is the seconds from the request's arrival to the reply's first byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    after: float = 0.0


class Service(Protocol):
    """A server of one or more hosts. Its methods take no time."""

    def arrive(self, request: Request) -> Answer:
        """Let ``request`` take effect, and return its reply."""
        ...


class HttpServer:
    """One connection to a service."""

    def __init__(self, end: ServerEnd, service: Service) -> None:
        self._end: Final = end
        self._service: Final = service
        self._unread = b""
        self._open = True

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while self._open and (found := parse(self._unread)) is not None:
            head, headers, body, size = found
            self._unread = self._unread[size:]
            self._handle(head, headers, body)

    def closed(self) -> None:
        self._open = False

    def _handle(self, head: str, headers: dict[str, str], body: bytes) -> None:
        end = self._end
        link, network = end.link, end.network
        link.requests += 1
        number = link.requests
        method, target, _ = head.split(" ", 2)
        path, _, query = target.partition("?")
        fault = link.faults.get(("request", number)) if link.faults else None
        kind = "" if fault is None else fault.kind
        if kind == "duplicate" and method != "GET":
            kind = ""
        if kind and fault is not None:
            network.on_fault(fault, f"{method} {end.host}")
        if kind == "partition" and fault is not None:
            network.part(link, fault.seconds)
        if kind in ("cut_before", "lost_request"):
            self._open = False
            if kind == "cut_before":
                end.cut()
            return
        network.reach(link, "sent", number)
        request = Request(
            end.worker.name,
            network.loop.now,
            method,
            unquote(path),
            query,
            headers,
            body,
            end.host,
            number,
        )
        answer = self._service.arrive(request)
        if kind == "duplicate":
            self._service.arrive(msgspec.structs.replace(request, copied=True))
        network.reach(link, "arrived", number)
        self._reply(answer, kind, fault)
        network.reach(link, "replied", number, end.latest)
        if headers.get("connection", "").lower() == "close" and self._open:
            end.close(answer.after)
            self._open = False

    def _reply(self, answer: Answer, kind: str, fault: Fault | None) -> None:
        end, data, after = self._end, reply_bytes(answer), answer.after
        chance = end.link.random
        if kind in ("cut_after", "lost_reply"):
            self._open = False
            if kind == "cut_after":
                end.cut(after)
            return
        if kind == "cut_within":
            end.write(data[: chance.randrange(1, len(data))], after)
            end.cut(after)
            self._open = False
            return
        if kind == "late" and fault is not None:
            after += fault.seconds
        if kind == "bytewise":
            step = max(1, len(data) // 40)
            for start in range(0, len(data), step):
                end.write(data[start : start + step], after)
                after += 0.01 * chance.random()
        elif kind == "stray_reply":
            # The reply of another request, at once with the true one or after it.
            if chance.random() < 0.5:
                end.write(data + _STRAY + _STRAY_BODY, after)
            else:
                end.write(data, after)
                end.write(_STRAY + _STRAY_BODY, after + chance.random())
        elif kind == "stray_bytes":
            end.write(data, after)
            end.write(chance.choice((b"\r\n", b"HTTP/1.1 20", b"\0\xff")), after + chance.random())
        else:
            end.write(data, after)
        if kind == "cut_idle":
            end.cut(after + chance.random())
            self._open = False
        elif answer.headers.get("Connection", "").lower() == "close":
            end.close(after)
            self._open = False


def reply_bytes(answer: Answer) -> bytes:
    """Return the reply as bytes."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if "Content-Length" not in answer.headers:
        lines.append(f"Content-Length: {len(answer.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + answer.body


def parse(data: bytes) -> tuple[str, dict[str, str], bytes, int] | None:
    """Return the request line, the headers, the body and the size of the first whole request."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, *lines = data[:end].decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    start = end + 4
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunked(data, start, head, headers)
    size = start + int(headers.get("content-length", "0"))
    if len(data) < size:
        return None
    return head, headers, data[start:size], size


def _chunked(
    data: bytes, start: int, head: str, headers: dict[str, str]
) -> tuple[str, dict[str, str], bytes, int] | None:
    pieces: list[bytes] = []
    while (line := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line].split(b";")[0], 16)
        end = line + 2 + size + 2
        if len(data) < end:
            return None
        if size == 0:
            return head, headers, b"".join(pieces), end
        pieces.append(data[line + 2 : end - 2])
        start = end
    return None
