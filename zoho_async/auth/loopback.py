"""A local page that receives the answer of the authorization page.

Model. The browser is sent to a redirect URI on this machine. Zoho compares that URI letter by
letter with those registered for the client, so the port cannot be chosen at random. `PORTS` are
fixed, and the first free one is used.

Invariant. At most one answer is taken, and only one with this login's ``state``. After that the
page listens no more.

Why it holds. It listens on loopback only, on both of its addresses: a browser that resolves
``localhost`` to the other one must not send our code to another program. ``state`` is compared in
constant time and forgotten when it was used, so a connection that was open before gets an error.
Any other request (a favicon, a port scan, a link on a foreign web page) gets an error page and
changes nothing: otherwise each web page could end a login. So a refusal without ``state`` does not
end it either; its page says how to.

The code is never shown, kept or logged, and the page tells browsers not to store anything.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from zoho_async.errors import AuthError, ConfigurationError

PATH: Final = "/callback"
#: The ports whose redirect URIs are registered, in the order in which they are tried.
PORTS: Final = (8976, 8977, 8978)

#: Seconds after which a connection that sends no request is closed. A browser sends at once.
_SLOWEST: Final = 10.0
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


def redirect_uri(port: int) -> str:
    """Return the address to register for the client in the API console."""
    return f"http://localhost:{port}{PATH}"


class Loopback:
    """The page at `redirect_uri`, as an async context manager. `answer` waits for the redirect.

    It listens on the first free port of ``ports``, which is then its ``port``. Entering raises
    `ConfigurationError` if all are in use.
    """

    def __init__(self, ports: Sequence[int], *, state: str) -> None:
        if not state:
            raise ConfigurationError("the state of a login must not be empty")
        self.port = ports[0]
        self._ports: Final = tuple(ports)
        self._state: str | None = state
        self._servers: list[asyncio.Server] = []
        self._query: asyncio.Future[dict[str, str]] | None = None

    @property
    def redirect_uri(self) -> str:
        """The address that this page is at."""
        return redirect_uri(self.port)

    async def __aenter__(self) -> Loopback:
        self._query = asyncio.get_running_loop().create_future()
        for port in self._ports:
            if await self._listen(port):
                self.port = port
                return self
        used = ", ".join(map(str, self._ports))
        plural = "s" if len(self._ports) > 1 else ""
        raise ConfigurationError(
            f"another program uses port{plural} {used}: end it, or choose a port with --port PORT "
            f"and register http://localhost:PORT{PATH} in the API console"
        )

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def answer(self, timeout: float) -> dict[str, str]:
        """Wait for the authorization page's answer, and return the query of the redirect.

        Its ``state`` is right. Raises `AuthError` if nothing comes in ``timeout`` seconds.
        """
        assert self._query is not None, "not entered"
        try:
            async with asyncio.timeout(timeout):
                return await self._query
        except TimeoutError:
            raise AuthError(
                f"no answer from the browser within {timeout / 60:.0f} minutes; start again"
            ) from None

    async def _listen(self, port: int) -> bool:
        """Listen on both loopback addresses. Returns False if another program uses the port."""
        for address in ("127.0.0.1", "::1"):
            try:
                server = await asyncio.start_server(self._serve, address, port)
            except OSError as problem:
                if address == "::1" and problem.errno not in _TAKEN:
                    continue  # a machine without IPv6
                self._close()
                return False
            self._servers.append(server)
        return True

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

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
        try:
            parts = urlsplit(rest.partition(" ")[0])
        except ValueError:
            return "400 Bad Request", "This address cannot be read."
        if method != "GET" or parts.path != PATH:
            return "404 Not Found", "This page does not exist."
        pairs = parse_qsl(parts.query)
        query = dict(pairs)
        if len(pairs) != len(query) or not self._use_state(query.get("state", "")):
            return "400 Bad Request", (
                "This answer does not belong to the login that is waiting. If you refused the "
                "login, press Ctrl-C in the terminal."
            )
        assert self._query is not None
        if not self._query.done():
            self._query.set_result(query)
        self._close()
        if query.get("error"):
            return "200 OK", "The login was refused. You can close this window."
        return "200 OK", "Go back to the terminal. You can close this window."

    def _use_state(self, given: str) -> bool:
        """Whether ``given`` is the state of this login, which then is used up."""
        if self._state is None or not hmac.compare_digest(given.encode(), self._state.encode()):
            return False
        self._state = None
        return True


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
