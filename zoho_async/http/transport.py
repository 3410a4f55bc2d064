"""Send one HTTP request and read its answer, on one of a limited number of connections.

A request never becomes two, and gets no other request's answer (`zoho_async.http.connection`).

There are `CONNECTIONS` connections at most, or what the caller's connector allows (the smaller of
its ``limit`` and ``limit_per_host``). A request first takes a free one (`Transport.acquire`), so
that it never waits within aiohttp, which would count that wait as a failure to connect. A session
that calls for hundreds of organizations often waits for connections that are in use, which is not
an error.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import anyio
import msgspec
from yarl import URL

from zoho_async.errors import ReplyTooLong, Request, UnreadableReply
from zoho_async.http.connection import ERRORS, CleanRequest, send_once, translate
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
#: Bytes that aiohttp reads ahead. A page is about 500 kB. With aiohttp's own 64 kB, the socket is
#: paused and resumed for each piece, which costs a fifth of receiving a page.
_READ_AHEAD: Final = 256 * 1024
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
        except ERRORS as error:
            raise translate(error, self._request, self._url) from error

    def _answer(self, body: bytes) -> Answer:
        seconds = asyncio.get_running_loop().time() - self._began
        return Answer(self.status, self.headers, body, seconds)


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
            middlewares=(send_once,),
            request_class=CleanRequest,
            headers={
                "User-Agent": user_agent,
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED,
            },
            auto_decompress=False,
            read_bufsize=_READ_AHEAD,
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
            if not isinstance(error, ERRORS):
                raise
            if isinstance(body, MultipartForm) and body.failure is not None:
                raise body.failure from None
            # aiohttp's texts may show the address of the proxy with its password.
            has_password = proxy is not None and "@" in proxy
            raise translate(error, request, url) from (None if has_password else error)
        return OpenResponse(response, request, url, began, self.release)


@functools.lru_cache(64)
def _timeout(total: float | None, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT, sock_read=read)


def proxy_for(url: str) -> str | None:
    """The proxy for ``url`` from the environment's variables. Loopback never has one.

    ``ALL_PROXY`` counts if it is an HTTP proxy. Often it is a SOCKS proxy for other programs.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    known = urllib.request.getproxies()
    every = known.get("all", "")
    is_http = every.partition("://")[0].lower() in ("http", "https")
    return known.get(parts.scheme) or (every if is_http else None)
