"""Read requests, and send replies as the active fault requires."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.api.context import ROWS
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid_field
from zoho_async.sandbox.simulation.clock import SandboxClock
from zoho_async.sandbox.simulation.faults import Fault

_BODY: Final = decoder_of(dict[str, Any] | list[dict[str, Any]], float_hook=Decimal)
#: SO_LINGER with a timeout of 0: closing resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)
_FLOOD: Final = b" " * 16_384
_STRAY_BODY: Final = b'{"code":0,"message":"success"}'
_STRAY: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_STRAY_BODY), _STRAY_BODY)
)


def parse_body(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body or of its form field ``JSONString``; {} if it is empty.

    A form without that field may have ids (``invoice_ids=1,2``). A body that is a list is returned
    under the key ``[]``. ``null`` is an empty body: clients send it with calls that need none.
    """
    if request.content_type == "application/x-www-form-urlencoded":
        fields = dict(parse_qsl(body.decode(errors="replace")))
        text = fields.get("JSONString")
        ids: dict[str, Any] = {name: each for name, each in fields.items() if name.endswith("_ids")}
        if text is None and ids:
            return ids
        if text is None and request.method in ("POST", "PUT"):
            raise invalid_field("JSONString")
        body = (text or "").encode()
    elif request.content_type.startswith("multipart/"):
        return {}
    if body.strip() in (b"", b"null"):
        return {}
    try:
        decoded = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiRefusal(400, 1038, "JSON is not well formed") from None
    return {ROWS: decoded} if isinstance(decoded, list) else decoded


async def send(
    request: web.BaseRequest, reply: ApiReply, fault: Fault | None, clock: SandboxClock
) -> web.StreamResponse:
    """Send a reply in the way that the fault requires."""
    match fault.kind if fault is not None else "":
        case "drop_unread" | "drop" | "drop_undone":
            return hang_up(request)
        case "reset" | "reset_undone":
            return hang_up(request, reset=True)
        case "silent":
            await _wait_while_connected(request, fault.seconds if fault else 0.0, clock)
            return hang_up(request)
        case "slow":
            return await _send_slowly(request, reply, fault.seconds if fault else 0.0, clock)
        case "broken_body":
            return await _send_half(request, reply)
        case "endless":
            return await _send_endless(request, reply)
        case "stray":
            return await _send_with_stray(request, reply)
        case _:
            return response(reply)


def response(reply: ApiReply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    return web.Response(status=reply.status, body=reply.content(), headers=headers)


def hang_up(request: web.BaseRequest, *, reset: bool = False) -> web.StreamResponse:
    """Close or reset the connection without a reply. The returned response is never sent."""
    transport = request.transport
    if transport is not None and reset:
        made: socket.socket | None = transport.get_extra_info("socket")
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    elif transport is not None:
        transport.close()
    return web.Response()


async def _send_slowly(
    request: web.BaseRequest, reply: ApiReply, seconds: float, clock: SandboxClock
) -> web.StreamResponse:
    """Send a body in ten chunks, spread evenly over ``seconds``."""
    body = reply.content()
    answer = await _start(request, reply, len(body))
    step = max(1, -(-len(body) // 10))
    with contextlib.suppress(OSError):  # the client may have disconnected
        for start in range(0, len(body), step):
            await answer.write(body[start : start + step])
            await clock.sleep(seconds / 10)
        await answer.write_eof()
    return answer


async def _send_half(request: web.BaseRequest, reply: ApiReply) -> web.StreamResponse:
    """Send half of a body, then close the connection."""
    body = reply.content()
    answer = await _start(request, reply, len(body))
    await answer.write(body[: len(body) // 2])
    hang_up(request)
    return answer


async def _send_endless(request: web.BaseRequest, reply: ApiReply) -> web.StreamResponse:
    """Send a body without its last byte, then spaces until the client disconnects."""
    answer = await _start(request, reply, None)
    with contextlib.suppress(OSError):
        await answer.write(reply.content()[:-1])
        while not _is_closed(request):
            await answer.write(_FLOOD)
            await asyncio.sleep(0.001)
    return answer


async def _send_with_stray(request: web.BaseRequest, reply: ApiReply) -> web.StreamResponse:
    """Send a reply and, after it, a second reply without a request."""
    answer = response(reply)
    await answer.prepare(request)
    await answer.write_eof()
    if request.transport is not None:
        request.transport.write(_STRAY)
    return answer


async def _wait_while_connected(
    request: web.BaseRequest, seconds: float, clock: SandboxClock
) -> None:
    """Wait ``seconds``, or until the client disconnects."""
    end = clock.now() + seconds
    while clock.now() < end and not _is_closed(request):
        await clock.sleep(min(end - clock.now(), 0.05 * clock.speed))


def _is_closed(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _start(
    request: web.BaseRequest, reply: ApiReply, length: int | None
) -> web.StreamResponse:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    answer = web.StreamResponse(status=reply.status, headers=headers)
    answer.content_length = length
    if length is None:
        answer.enable_chunked_encoding()
    await answer.prepare(request)
    return answer
