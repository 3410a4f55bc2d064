"""A server on loopback that records each request and answers as the test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import BodyPartReader, web
from pytest_aiohttp.plugin import AiohttpServer

from zoho_async import Credentials, Limits, Session
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Part:
    """A field of a form. Files have a name."""

    filename: str | None
    content_type: str
    content: bytes


@dataclass
class Taken:
    """A raw request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    parts: dict[str, Part] = field(default_factory=dict[str, Part])


class AnsweringServer:
    """Answers token requests, and others with the next of ``answers`` (the last one repeats)."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.answers: Sequence[web.Response | Answering] = [done()]
        self.is_hungry = True
        self.url = ""

    @property
    def last(self) -> Taken:
        return self.taken[-1]

    async def open(self, start: AiohttpServer) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/oauth/v2/token", self._token)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.url = str((await start(app)).make_url("")).rstrip("/")

    def session(self) -> Session:
        """A session that retries at once, with a minute of six seconds."""
        return Session(
            Credentials("a", "b", "c"),
            organization=1,
            api_url=self.url,
            accounts_url=self.url,
            limits=Limits(window=6.0),
            ledger=MemoryLedger(),
            retry=Policy(base=0.0),
        )

    async def _token(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": "1000.t", "expires_in": 3600})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        taken = Taken(
            request.method, unquote(request.path), dict(request.query), dict(request.headers)
        )
        self.taken.append(taken)
        if self.is_hungry:
            await _read(request, taken)
        answer, *rest = self.answers
        self.answers = rest or [answer]
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer(request)


async def _read(request: web.Request, taken: Taken) -> None:
    if request.content_type != "multipart/form-data":
        taken.body = await request.read()
        return
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        taken.parts[part.name or ""] = Part(
            part.filename, part.headers.get("Content-Type", ""), bytes(await part.read())
        )


def done(**beside: object) -> web.Response:
    """A minimal success."""
    return web.json_response({"code": 0, "message": "done", **beside})


def refused() -> web.Response:
    """Too many concurrent calls: this one did not run and may be retried."""
    return web.json_response({"code": 1070, "message": "too many"}, status=429)
