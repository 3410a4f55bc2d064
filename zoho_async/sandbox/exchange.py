"""Between HTTP and the sandbox: what a request says, and how a reply is sent, or is not."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zoho_async.sandbox.replies import JSON_TYPE, ApiRefusal, Reply, invalid_field
from zoho_async.sandbox.request import ROWS
from zoho_async.sandbox.routes import organization_named

_BODY: Final = msgspec.json.Decoder(dict[str, Any] | list[dict[str, Any]], float_hook=Decimal)


def organization_of(request: web.BaseRequest) -> str | None:
    """The organization that a request names, or None; lists of organizations name none."""
    return organization_named(request.path, request.query, request.headers) or None


def body_of(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """A JSON object, or the one in the form field ``JSONString``; an empty body is an empty one.

    The rows of a list stand under ``[]``.
    """
    if request.content_type == "application/x-www-form-urlencoded":
        text = dict(parse_qsl(body.decode(errors="replace"))).get("JSONString")
        if text is None and request.method in ("POST", "PUT"):
            raise invalid_field("JSONString")
        body = (text or "").encode()
    elif request.content_type.startswith("multipart/"):
        return {}
    if not body.strip():
        return {}
    try:
        decoded = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiRefusal(400, 1038, "JSON is not well formed") from None
    return {ROWS: decoded} if isinstance(decoded, list) else decoded


def response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    return web.Response(status=reply.status, body=reply.content(), headers=headers)


def hang_up(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection without an answer; what is returned is never sent."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def slowly(request: web.BaseRequest, reply: Reply, seconds: float) -> web.StreamResponse:
    """Send a body in ten pieces, evenly over ``seconds``."""
    body = reply.content()
    answer = await _begun(request, reply, len(body))
    step = max(1, -(-len(body) // 10))
    for start in range(0, len(body), step):
        await answer.write(body[start : start + step])
        await asyncio.sleep(seconds / 10)
    await answer.write_eof()
    return answer


async def broken_off(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send half of a body, then close the connection."""
    body = reply.content()
    answer = await _begun(request, reply, len(body))
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer


async def _begun(request: web.BaseRequest, reply: Reply, length: int) -> web.StreamResponse:
    answer = web.StreamResponse(status=reply.status, headers=reply.headers)
    answer.content_type = JSON_TYPE.partition(";")[0]
    answer.content_length = length
    await answer.prepare(request)
    return answer
