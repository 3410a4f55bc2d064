"""A local page that receives the answer of the authorization page.

It listens on loopback only, on both of its addresses: a browser that resolves ``localhost`` to the
other one must not send our code to another program. It waits for one answer. A request without our
``state`` is not that answer and changes nothing. The code is never shown, kept or logged, and the
page tells browsers not to store anything.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from zoho_async.auth.grants import Redirect, read_redirect
from zoho_async.errors import AuthError, ConfigurationError

PATH: Final = "/callback"

#: Seconds after which a connection that sends no request is closed. A browser sends at once.
_SLOWEST: Final = 10.0
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


def redirect_uri(port: int) -> str:
    """Return the address to register for the client in the API console."""
    return f"http://localhost:{port}{PATH}"


class Loopback:
    """The page at `redirect_uri`, as an async context manager. `answer` waits for the redirect.

    Entering raises `ConfigurationError` if the port is in use.
    """

    def __init__(self, port: int, *, state: str) -> None:
        self._port: Final = port
        self._state: Final = state
        self._servers: list[asyncio.Server] = []
        self._query: asyncio.Future[dict[str, str]] | None = None

    async def __aenter__(self) -> Loopback:
        self._query = asyncio.get_running_loop().create_future()
        for address in ("127.0.0.1", "::1"):
            try:
                server = await asyncio.start_server(self._serve, address, self._port)
            except OSError as problem:
                if address == "::1" and problem.errno not in _TAKEN:
                    continue  # a machine without IPv6
                await self.__aexit__()
                raise ConfigurationError(
                    f"port {self._port} cannot be used; choose another with --port, and register "
                    f"{redirect_uri(self._port)} with that port in the API console"
                ) from None
            self._servers.append(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def answer(self, timeout: float) -> Redirect:
        """Wait for the authorization page's answer.

        Raises what `read_redirect` raises, and `AuthError` if nothing comes in ``timeout`` seconds.
        """
        assert self._query is not None, "not entered"
        try:
            async with asyncio.timeout(timeout):
                query = await self._query
        except TimeoutError:
            raise AuthError(
                f"no answer from the browser within {timeout / 60:.0f} minutes; start again"
            ) from None
        return read_redirect(query, state=self._state)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SLOWEST):
                head = await reader.readuntil(b"\r\n\r\n")
                status, text = self._receive(head)
                writer.write(_page(status, text))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # a port scan or a broken connection, not a browser
        finally:
            writer.close()

    def _receive(self, head: bytes) -> tuple[str, str]:
        """Take the query if this is the answer. Return the status and the text to show."""
        method, _, rest = head.decode("latin-1").partition(" ")
        parts = urlsplit(rest.partition(" ")[0])
        if method != "GET" or parts.path != PATH:
            return "404 Not Found", "This page does not exist."
        query = dict(parse_qsl(parts.query))
        if not hmac.compare_digest(query.get("state", "").encode(), self._state.encode()):
            return "400 Bad Request", "This answer does not belong to the login that is waiting."
        if self._query is not None and not self._query.done():
            self._query.set_result(query)
        if query.get("error"):
            return "200 OK", "The login was refused. You can close this window."
        return "200 OK", "Go back to the terminal. You can close this window."


def _page(status: str, text: str) -> bytes:
    body = (
        "<!doctype html><meta charset=utf-8><title>zoho-async</title>"
        f"<p id=message>{escape(text)}</p>"
    ).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
        "Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
