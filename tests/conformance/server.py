"""A loopback server that answers one expected call at a time and reports its faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

import aiohttp
import msgspec
from aiohttp import web

TOKEN: Final = "1000.conformance"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A received request. ``files`` are names and contents, ``fields`` the other form fields."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    fields: Mapping[str, str]
    files: Mapping[str, bytes]


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request."""

    status: int
    content_type: str
    body: bytes


class Server:
    """Runs as a context manager; ``expect`` sets how the next request is judged and answered."""

    def __init__(self) -> None:
        self._judge: Callable[[Received], Answer] | None = None
        self._repeatedly = False
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.calls = 0

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_post("/oauth/v2/token", self._token)
        app.router.add_route("*", "/{path:.*}", self._call)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def expect(self, judge: Callable[[Received], Answer], *, repeatedly: bool = False) -> None:
        """Let ``judge`` answer the next request, or all further ones."""
        self._judge, self._repeatedly = judge, repeatedly

    async def _token(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": TOKEN, "expires_in": 3600})

    async def _call(self, request: web.Request) -> web.Response:
        judge = self._judge
        if not self._repeatedly:
            self._judge = None
        if judge is None:
            return web.json_response({"code": 5, "message": "not expected"}, status=404)
        self.calls += 1
        answer = judge(await _received(request))
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": answer.content_type} if answer.content_type else None,
        )


async def _received(request: web.Request) -> Received:
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    body = b""
    if request.content_type.startswith("multipart/"):
        async for part in await request.multipart():
            if isinstance(part, aiohttp.BodyPartReader):
                content = bytes(await part.read(decode=True))
                if part.filename is None:
                    fields[str(part.name)] = content.decode()
                else:
                    files[str(part.name)] = content
    else:
        body = await request.read()
    return Received(
        method=request.method,
        path=request.rel_url.raw_path,
        query=parse_qsl(
            request.rel_url.raw_query_string, keep_blank_values=True, strict_parsing=_some(request)
        ),
        headers=request.headers,
        body=body,
        fields=fields,
        files=files,
    )


def _some(request: web.Request) -> bool:
    return bool(request.rel_url.raw_query_string)
