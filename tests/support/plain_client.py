"""A client without limits or retries: plain aiohttp, for tests of the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from zoho_async.sandbox import Sandbox


class Answer(msgspec.Struct, frozen=True):
    """A raw reply. ``json`` decodes its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> Any:
        return self.json["code"]


class PlainClient:
    """Calls of a sandbox's API with a token that was fetched once."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession, token: str) -> None:
        self.sandbox = sandbox
        self.http = http
        self.token = token

    async def call(
        self,
        method: str,
        path: str,
        *,
        organization: str | None = "",
        token: str | None = None,
        json: object = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        **query: str | int,
    ) -> Answer:
        """Send one request. ``organization`` defaults to the sandbox's; None omits it."""
        named = self.sandbox.organization if organization == "" else organization
        params = {name: str(value) for name, value in query.items()}
        if named is not None:
            params["organization_id"] = named
        async with self.http.request(
            method,
            f"{self.sandbox.url}/books/v3{path}",
            params=params,
            json=json,
            data=data,
            headers={"Authorization": f"Zoho-oauthtoken {token or self.token}", **(headers or {})},
            allow_redirects=False,
        ) as reply:
            return Answer(reply.status, reply.headers, await reply.read())

    async def get(self, path: str, **query: str | int) -> Answer:
        return await self.call("GET", path, **query)  # type: ignore[arg-type] # only filters here

    async def rows(self, resource: str, **query: str | int) -> list[bytes]:
        """All rows of a list as bytes, read page by page."""
        found: list[bytes] = []
        page = 1
        while True:
            answer = await self.get(f"/{resource}", page=page, **query)
            envelope = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
            found += [
                bytes(row)
                for row in msgspec.json.decode(envelope[resource], type=list[msgspec.Raw])
            ]
            if not answer.json["page_context"]["has_more_page"]:
                return found
            page += 1


async def token_of(
    sandbox: Sandbox, http: aiohttp.ClientSession, **changes: str
) -> tuple[int, dict[str, Any]]:
    """Ask for an access token; ``changes`` replace parameters."""
    form = {
        "grant_type": "refresh_token",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "refresh_token": sandbox.refresh_token,
        **changes,
    }
    async with http.post(f"{sandbox.accounts_url}/oauth/v2/token", data=form) as reply:
        return reply.status, await reply.json()


@asynccontextmanager
async def raw(sandbox: Sandbox) -> AsyncIterator[PlainClient]:
    """The sandbox, started, and a raw client of it."""
    async with sandbox, aiohttp.ClientSession() as http:
        _, token = await token_of(sandbox, http)
        yield PlainClient(sandbox, http, token["access_token"])
