"""Send one HTTP request, and say whether it left this machine.

Model. The limits count requests, so a call to `Transport.send` must never become two. aiohttp
repeats GET, PUT and DELETE when a kept-alive connection turns out to be broken, follows redirects
(with the Authorization header), and adds credentials from ``~/.netrc``. All of that is off. The
exception's class says whether the request left this machine: `NotConnected` means no,
`ConnectionBroken` and `CallTimeout` mean perhaps.

Stray replies. HTTP/1.1 matches answers to requests by order alone: one reply that was not requested
would shift all later ones to the wrong calls. So before a request is written, its connection must
hold nothing unread, neither in aiohttp nor in the kernel. A connection that does is closed, and
another is taken. aiohttp checks this only when a connection is returned, not when it is taken
again.

Unknown. A stray reply that arrives after the request was written and before the true answer looks
like the answer. Only the id in the answer tells them apart.

Connections. There are `CONNECTIONS` at most, or what the caller's connector allows (the smaller of
its ``limit`` and ``limit_per_host``). A request first
takes a free one (`Transport.acquire`), so that it never waits within aiohttp, which would count
that wait as a failure to connect. A session that calls for hundreds of organizations often waits
for connections that are in use, which is not an error.
"""

from __future__ import annotations

import asyncio
import functools
import select
import ssl
import sys
import urllib.request
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import anyio
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from zoho_async.errors import (
    CallTimeout,
    ConfigurationError,
    ConnectionBroken,
    NotConnected,
    ReplyTooLong,
    Request,
    UnreadableReply,
)
from zoho_async.http.decompress import ACCEPTED, NotDecompressed, decompressor
from zoho_async.http.upload import MultipartForm
from zoho_async.regions import is_loopback

CONNECT_TIMEOUT: Final = 10.0
#: aiohttp's own default, and far below the number of files that a process may open.
CONNECTIONS: Final = 100
#: Longest time for an ordinary answer in seconds. Answers are small, so a slower one is a fault.
ANSWER_TIMEOUT: Final = 300.0
#: Largest body in bytes. No page or document of Zoho is larger, and it protects the memory.
MOST_BYTES: Final = 256 * 1024 * 1024
_PIECE: Final = 256 * 1024
_UNTYPED: Final = ("Content-Type",)

Body: TypeAlias = bytes | MultipartForm | None


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read to its end. Look up headers by their names in lower case.

    ``seconds`` is from sending to the last byte read, without any wait for the limits.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        """The charset of the media type in lower case, or ""."""
        given = self.headers.get("content-type", "").lower().partition("charset=")[2]
        return given.partition(";")[0].strip(' "')


class OpenResponse:
    """An HTTP answer whose head has arrived and whose body is on its way.

    Close it, whether read or not: a connection with an unread body is cut. Reading raises
    `ConnectionBroken` or `CallTimeout`, and `UnreadableReply` if the compression is broken or cut
    short, or the body exceeds ``MOST_BYTES``. Header names are not case-sensitive.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: Request,
        url: str,
        began: float,
        release: Callable[[], None],
    ) -> None:
        self._response: Final = response
        self._release: Callable[[], None] | None = release
        self._request: Final = request
        self._url: Final = url
        self._began: Final = began
        self._start = b""
        self.status: Final = response.status
        self.headers: Final = response.headers  # not case-sensitive
        self._compressed: Final = decompressor(response.headers.get("Content-Encoding", ""))
        self._size = 0

    async def peek(self, most: int) -> Answer:
        """Return the answer with the first ``most`` bytes of its body, which stay unread."""
        while len(self._start) < most and (more := await self._next(most - len(self._start))):
            self._start += more
        return self._answer(self._start)

    async def read(self) -> Answer:
        """Read the whole answer. Raises `ReplyTooLong` if it exceeds ``MOST_BYTES``."""
        content = self._response.content
        is_plain = self._compressed is None
        if (
            is_plain and content.is_eof() and content.exception() is None
        ):  # a small body has arrived already
            return self._answer(self._start + content.read_nowait())
        pieces, self._start = [self._start], b""
        size = len(pieces[0])
        while not (is_plain and content.at_eof()) and (piece := await self._next()):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise self._too_long()
        return self._answer(b"".join(pieces))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The unread rest of the body, in pieces as they arrive."""
        start, self._start = self._start, b""
        if start:
            yield start
        while piece := await self._next(_PIECE):
            yield piece

    def close(self) -> None:
        """Release the connection, or cut it if something on it is unread."""
        if not self._response.closed:  # it closes itself after its last byte
            self._response.close()
        if self._release is not None:
            self._release()
            self._release = None

    async def _next(self, most: int | None = None) -> bytes:
        """Return the next decompressed bytes, at most ``most``; empty at the end."""
        if self._compressed is None:
            return await self._read_raw(most)
        try:
            while not (plain := self._compressed.take(most or _PIECE)):
                if not (more := await self._read_raw()):
                    self._compressed.end()
                    return b""
                self._compressed.feed(more)
        except NotDecompressed as problem:
            raise UnreadableReply(self._request, str(problem), self.status) from None
        self._size += len(plain)
        if self._size > MOST_BYTES:
            raise self._too_long()
        return plain

    def _too_long(self) -> ReplyTooLong:
        text = f"the answer is longer than {MOST_BYTES:,} bytes"
        return ReplyTooLong(self._request, text, self.status)

    async def _read_raw(self, most: int | None = None) -> bytes:
        """As `_next`, but the bytes as they were sent."""
        content = self._response.content
        try:
            return await (content.readany() if most is None else content.read(most))
        except _ERRORS as error:
            raise _translate(error, self._request, self._url) from error

    def _answer(self, body: bytes) -> Answer:
        seconds = asyncio.get_running_loop().time() - self._began
        return Answer(self.status, self.headers, body, seconds)


class _Broken(Exception):
    """Replaces the exceptions after which aiohttp would send the request again."""


class _Unread(Exception):
    """A connection has unread input. Nothing was written to it."""

    def __init__(self, *, was_used: bool) -> None:
        self.was_used: Final = was_used
        super().__init__()


#: The exceptions of aiohttp and its sockets.
_ERRORS: Final = (_Broken, _Unread, aiohttp.ClientError, OSError)

#: Per used connection: a function that says whether the kernel holds unread input for it.
_HAS_INPUT: Final[weakref.WeakKeyDictionary[asyncio.BaseProtocol, Callable[[], bool]]] = (
    weakref.WeakKeyDictionary()
)


class _Request(aiohttp.ClientRequest):
    """A request that is written only to a connection without unread input."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol, transport = conn.protocol, conn.transport
        if protocol is not None and transport is not None:
            is_waiting = _HAS_INPUT.get(protocol)
            was_used = is_waiting is not None
            if is_waiting is None:
                is_waiting = _HAS_INPUT[protocol] = _watch(transport)
            # A new TLS connection may still receive its session tickets.
            is_quiet = not was_used and transport.get_extra_info("ssl_object") is not None
            if _has_unread_input(protocol) or (not is_quiet and is_waiting()):
                raise _Unread(was_used=was_used)
        return await super().send(conn)


def _has_unread_input(protocol: ResponseHandler) -> bool:
    """Whether aiohttp has read more from a connection than its last answer."""
    # aiohttp starts the timer when bytes arrive and stops it with the answer. On an idle connection
    # the timer runs if part of a head has arrived, which `should_close` does not show.
    timer: object = getattr(protocol, "_read_timeout_handle", None)
    return protocol.should_close or timer is not None


def _watch(transport: asyncio.Transport) -> Callable[[], bool]:
    """Return a function that says whether input, or the end, waits to be read."""
    found = transport.get_extra_info("socket")
    if found is None:
        return lambda: False
    descriptor: int = found.fileno()
    if descriptor < 0:
        return lambda: True
    if sys.platform == "win32":
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))


async def _no_repeats(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await _on_clean_connection(request, handler)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(type(error).__name__) from error


async def _on_clean_connection(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Try connections until one has no unread input. aiohttp closes the others."""
    while True:
        try:
            return await handler(request)
        except _Unread as found:
            if not found.was_used:
                raise


def verifies_certificates(connector: aiohttp.BaseConnector) -> bool:
    """Whether ``connector`` checks certificates, or compares them with known ones."""
    given: object = getattr(connector, "_ssl", True)
    if isinstance(given, ssl.SSLContext):
        return given.verify_mode == ssl.CERT_REQUIRED and given.check_hostname
    return given is not False


def _most_connections(connector: aiohttp.BaseConnector) -> int:
    """Return how many connections the caller's ``connector`` allows; in aiohttp, 0 is no limit.

    Nearly all calls go to one host, so its limit per host is a limit of all.
    """
    given = (connector.limit, connector.limit_per_host)
    return min((limit for limit in given if limit), default=sys.maxsize)


class Transport:
    """An aiohttp session with our rules. Create it on the event loop that uses it.

    ``connector`` is the caller's own (it stays open when this closes), or None for a plain one.
    """

    def __init__(self, connector: aiohttp.BaseConnector | None, *, user_agent: str) -> None:
        self.connections: Final = CONNECTIONS if connector is None else _most_connections(connector)
        self._free: Final = anyio.Semaphore(self.connections)
        self._client: Final = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0),
            connector_owner=connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_no_repeats,),
            request_class=_Request,
            headers={
                "User-Agent": user_agent,
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED,
            },
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the sockets."""
        await self._client.close()

    async def acquire(self, seconds: float | None = None) -> bool:
        """Take a free connection. Returns False if none is free in so many seconds.

        Closing the answer of `open` releases it. Call `release` if no request was sent.
        """
        try:
            self._free.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(seconds):
                await self._free.acquire()
                return True
            return False
        return True

    def release(self) -> None:
        """Release a connection that was acquired."""
        self._free.release()

    async def send(
        self,
        request: Request,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body = None,
        read_timeout: float = 60.0,
        total_timeout: float | None = ANSWER_TIMEOUT,
        proxy: str | None = None,
    ) -> Answer:
        """Send once and read the answer to its end.

        ``read_timeout`` is the longest pause between two reads and ``total_timeout`` the longest
        time in all, in seconds. Raises `NotConnected` if nothing was sent, `ConnectionBroken` or
        `CallTimeout` if something may have been, `ReplyTooLong` for a body of more than
        ``MOST_BYTES``, `ConfigurationError` if the host's certificate cannot be trusted.
        """
        await self.acquire()
        opened = await self.open(
            request,
            url,
            headers=headers,
            body=body,
            read_timeout=read_timeout,
            total_timeout=total_timeout,
            proxy=proxy,
        )
        try:
            return await opened.read()
        finally:
            opened.close()

    async def open(
        self,
        request: Request,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body = None,
        read_timeout: float = 60.0,
        total_timeout: float | None = ANSWER_TIMEOUT,
        proxy: str | None = None,
    ) -> OpenResponse:
        """Send once and read the head of the answer. Raises as `send`.

        Call `acquire` first. An exception from a file's own source is raised unchanged.
        """
        began = asyncio.get_running_loop().time()
        try:
            response = await self._client.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body.body() if isinstance(body, MultipartForm) else body,
                timeout=_timeout(total_timeout, read_timeout),
                allow_redirects=False,
                # Without a body there is no type, and a form sets its own with its boundary.
                # aiohttp sets none for GET, and skipping it would cost a tenth of the call.
                skip_auto_headers=_UNTYPED if body is None and request.method != "GET" else None,
                proxy=proxy,
            )
        except BaseException as error:
            self.release()
            if not isinstance(error, _ERRORS):
                raise
            if isinstance(body, MultipartForm) and body.failure is not None:
                raise body.failure from None
            raise _translate(error, request, url) from error
        return OpenResponse(response, request, url, began, self.release)


@functools.lru_cache(64)
def _timeout(total: float | None, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT, sock_read=read)


def _translate(error: Exception, request: Request, url: str) -> Exception:
    """Turn an exception of aiohttp into one that says what happened to the request."""
    host = urlsplit(url).hostname
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return ConfigurationError(
                f"the certificate of {host} cannot be trusted; "
                "if a proxy opens TLS, install its certificate"
            )
        case (
            aiohttp.ClientConnectorError()
            | aiohttp.ConnectionTimeoutError()
            | aiohttp.ClientHttpProxyError()
        ):
            return NotConnected(request, f"no connection to {host} ({_name(error)})")
        case _Unread():
            return NotConnected(request, f"{host} sent data before the request")
        case TimeoutError():
            return CallTimeout(request, "no answer within the timeout")
        case _:
            return ConnectionBroken(request, f"the connection broke ({_name(error)})")


def _name(error: BaseException) -> str:
    """The class of an exception. Its text may hold a URL, so it is not used."""
    cause = error.__cause__ if isinstance(error, _Broken) and error.__cause__ else error
    return type(cause).__name__


def proxy_for(url: str) -> str | None:
    """The proxy for ``url`` from the environment's variables. Loopback never has one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
