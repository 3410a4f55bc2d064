"""One request on the wire, and what became of it.

The limits count requests, so a call to `Transport.send` must never be two of them. aiohttp by
itself repeats GET, PUT and DELETE when a kept-alive connection turns out to be broken, follows
redirects (with the Authorization header), and adds credentials from ``~/.netrc``: all of that is
off. What remains is one question, answered by the exception's class: did the request leave this
machine? `NotConnected` says no; `ConnectionBroken` and `CallTimeout` say perhaps.

HTTP/1.1 tells answers apart by their order alone: one reply that was not asked for would shift all
later ones to the wrong calls. So before a request is written, its connection must hold nothing
unread, neither in aiohttp nor in the kernel; one that does is closed, and another is taken. aiohttp
looks at this only when a connection is given back, not when it is taken again. What cannot be seen
this way is a reply that arrives after the request was written and before the true answer: only the
id in the answer tells it from the true one.

Connections are `CONNECTIONS` at most, or what the caller's own connector allows. A request first
takes a place among them (`Transport.take`), so that it never waits within aiohttp, which would
count that wait as a failure to connect: a session that calls for hundreds of organizations has to
wait for connections that are in use, and that is nobody's fault.
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
    Request,
    UnreadableReply,
)
from zoho_async.http.decompress import ACCEPTED, NotDecompressed, decompressor
from zoho_async.http.upload import MultipartForm
from zoho_async.regions import is_loopback

CONNECT_TIMEOUT: Final = 10.0
#: As many as aiohttp opens by itself, and far from the files that a process may have open.
CONNECTIONS: Final = 100
#: An ordinary answer is small; one that is still dripping in after this long is a fault.
ANSWER_TIMEOUT: Final = 300.0
#: More than any page or document of Zoho's; a body that goes on past it would fill the memory.
MOST_BYTES: Final = 256 * 1024 * 1024
_PIECE: Final = 256 * 1024
_UNTYPED: Final = ("Content-Type",)

Body: TypeAlias = bytes | MultipartForm | None


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read to its end. Headers are asked for by their names in lower case.

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


class Opened:
    """An HTTP answer whose head is here and whose body is on its way.

    Close it, read or not: a connection with an unread body is cut. Reading raises
    `ConnectionBroken` or `CallTimeout`, and `UnreadableReply` for a body whose compression is
    broken, cut short or beyond ``MOST_BYTES``. Headers are asked for by their names in lower case.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: Request,
        url: str,
        began: float,
        give_back: Callable[[], None],
    ) -> None:
        self._response: Final = response
        self._give_back: Callable[[], None] | None = give_back
        self._request: Final = request
        self._url: Final = url
        self._began: Final = began
        self._start = b""
        self.status: Final = response.status
        self.headers: Final = response.headers  # finds names in whatever case
        self._compressed: Final = decompressor(response.headers.get("Content-Encoding", ""))
        self._size = 0

    async def peek(self, most: int) -> Answer:
        """The answer as far as its first ``most`` bytes, which stay to be read."""
        while len(self._start) < most and (more := await self._next(most - len(self._start))):
            self._start += more
        return self._answer(self._start)

    async def read(self) -> Answer:
        """The answer, read to its end. Raises `UnreadableReply` beyond ``MOST_BYTES``."""
        content = self._response.content
        is_plain = self._compressed is None
        if is_plain and content.is_eof() and content.exception() is None:  # a small one is all here
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
        """The body from where it was read to, in pieces as they come."""
        start, self._start = self._start, b""
        if start:
            yield start
        while piece := await self._next(_PIECE):
            yield piece

    def close(self) -> None:
        """Give the connection back, or cut it where something on it is unread."""
        if not self._response.closed:  # as it is once it was read to its end
            self._response.close()
        if self._give_back is not None:
            self._give_back()
            self._give_back = None

    async def _next(self, most: int | None = None) -> bytes:
        """What has come, ``most`` bytes of it at most; nothing at the end."""
        if self._compressed is None:
            return await self._sent(most)
        try:
            while not (plain := self._compressed.take(most or _PIECE)):
                if not (more := await self._sent()):
                    self._compressed.end()
                    return b""
                self._compressed.feed(more)
        except NotDecompressed as problem:
            raise UnreadableReply(self._request, str(problem), self.status) from None
        self._size += len(plain)
        if self._size > MOST_BYTES:
            raise self._too_long()
        return plain

    def _too_long(self) -> UnreadableReply:
        text = f"the answer is longer than {MOST_BYTES:,} bytes"
        return UnreadableReply(self._request, text, self.status)

    async def _sent(self, most: int | None = None) -> bytes:
        """As `_next`, of what was sent."""
        content = self._response.content
        try:
            return await (content.readany() if most is None else content.read(most))
        except _FAULTS as error:
            raise _as_ours(error, self._request, self._url) from error

    def _answer(self, body: bytes) -> Answer:
        seconds = asyncio.get_running_loop().time() - self._began
        return Answer(self.status, self.headers, body, seconds)


class _Broken(Exception):
    """Stands in for the exceptions upon which aiohttp would send the request again."""


class _Unread(Exception):
    """Something waits to be read on a connection, and nothing was written to it."""

    def __init__(self, *, was_used: bool) -> None:
        self.was_used: Final = was_used
        super().__init__()


#: What aiohttp and the sockets below it raise.
_FAULTS: Final = (_Broken, _Unread, aiohttp.ClientError, OSError)

#: For each connection that has carried a request: whether something waits to be read in the kernel.
_WAITING: Final[weakref.WeakKeyDictionary[asyncio.BaseProtocol, Callable[[], bool]]] = (
    weakref.WeakKeyDictionary()
)


class _Request(aiohttp.ClientRequest):
    """A request that is written to a connection on which nothing waits to be read."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        protocol, transport = conn.protocol, conn.transport
        if protocol is not None and transport is not None:
            is_waiting = _WAITING.get(protocol)
            was_used = is_waiting is not None
            if is_waiting is None:
                is_waiting = _WAITING[protocol] = _watch(transport)
            # A new TLS connection may still get its session tickets.
            is_quiet = not was_used and transport.get_extra_info("ssl_object") is not None
            if _has_heard(protocol) or (not is_quiet and is_waiting()):
                raise _Unread(was_used=was_used)
        return await super().send(conn)


def _has_heard(protocol: ResponseHandler) -> bool:
    """Whether aiohttp has read more from a connection than its last answer."""
    # It starts the timer when bytes come, and ends it with the answer. On an idle connection the
    # timer runs if half of a head has come, which `should_close` does not show.
    timer: object = getattr(protocol, "_read_timeout_handle", None)
    return protocol.should_close or timer is not None


def _watch(transport: asyncio.Transport) -> Callable[[], bool]:
    """Make a function that says whether something, or the end, waits to be read."""
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


async def _never_again(
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
    """Try connections until one holds nothing unread; those that do are closed by aiohttp."""
    while True:
        try:
            return await handler(request)
        except _Unread as found:
            if not found.was_used:
                raise


def verifies(connector: aiohttp.BaseConnector) -> bool:
    """Whether ``connector`` checks the certificates of those it speaks to (or knows them)."""
    given: object = getattr(connector, "_ssl", True)
    if isinstance(given, ssl.SSLContext):
        return given.verify_mode == ssl.CERT_REQUIRED and given.check_hostname
    return given is not False


class Transport:
    """An aiohttp session under our rules; made on the event loop that uses it.

    ``connector`` is the caller's own (it stays open when this closes), or None for a plain one.
    """

    def __init__(self, connector: aiohttp.BaseConnector | None, *, user_agent: str) -> None:
        allowed = CONNECTIONS if connector is None else connector.limit
        self.connections: Final = allowed or sys.maxsize
        self._places: Final = anyio.Semaphore(self.connections)
        self._client: Final = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0),
            connector_owner=connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_never_again,),
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

    async def take(self, seconds: float | None = None) -> bool:
        """Take a place among the connections; False if none is free in so many seconds.

        The answer that `open` gives returns it when it is closed, and `give_back` where none was
        asked for.
        """
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(seconds):
                await self._places.acquire()
                return True
            return False
        return True

    def give_back(self) -> None:
        """Another may have the place that was taken."""
        self._places.release()

    async def send(
        self,
        request: Request,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body = None,
        silence: float = 60.0,
        total: float | None = ANSWER_TIMEOUT,
        proxy: str | None = None,
    ) -> Answer:
        """Send once and read the answer to its end.

        ``silence`` is the longest pause between two reads and ``total`` the longest time in all,
        in seconds. Raises `NotConnected` when nothing was sent, `ConnectionBroken` or `CallTimeout`
        when it may have been, `UnreadableReply` for a body of more than ``MOST_BYTES``,
        `ConfigurationError` when the host's certificate is not to be trusted.
        """
        await self.take()
        opened = await self.open(
            request, url, headers=headers, body=body, silence=silence, total=total, proxy=proxy
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
        silence: float = 60.0,
        total: float | None = ANSWER_TIMEOUT,
        proxy: str | None = None,
    ) -> Opened:
        """Send once and read the head of the answer; raises as `send`.

        A place among the connections was taken for it. What a file's own source raised comes as it
        is.
        """
        began = asyncio.get_running_loop().time()
        try:
            response = await self._client.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body.body() if isinstance(body, MultipartForm) else body,
                timeout=_timeout(total, silence),
                allow_redirects=False,
                # What has no body has no type either; a form brings its own with its boundary. A
                # GET is given none, and to say so would cost a tenth of the call.
                skip_auto_headers=_UNTYPED if body is None and request.method != "GET" else None,
                proxy=proxy,
            )
        except BaseException as error:
            self.give_back()
            if not isinstance(error, _FAULTS):
                raise
            if isinstance(body, MultipartForm) and body.failure is not None:
                raise body.failure from None
            raise _as_ours(error, request, url) from error
        return Opened(response, request, url, began, self.give_back)


@functools.lru_cache(64)
def _timeout(total: float | None, silence: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT, sock_read=silence)


def _as_ours(error: Exception, request: Request, url: str) -> Exception:
    """What an exception of aiohttp's tells of the request."""
    host = urlsplit(url).hostname
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return ConfigurationError(
                f"the certificate of {host} cannot be trusted; "
                "a proxy that opens TLS needs its own certificate installed"
            )
        case (
            aiohttp.ClientConnectorError()
            | aiohttp.ConnectionTimeoutError()
            | aiohttp.ClientHttpProxyError()
        ):
            return NotConnected(request, f"no connection to {host} ({_name(error)})")
        case _Unread():
            return NotConnected(request, f"{host} sent something before it was asked")
        case TimeoutError():
            return CallTimeout(request, "no answer in time")
        case _:
            return ConnectionBroken(request, f"the connection broke ({_name(error)})")


def _name(error: BaseException) -> str:
    """What an exception is called; its text might hold a URL."""
    cause = error.__cause__ if isinstance(error, _Broken) and error.__cause__ else error
    return type(cause).__name__


def proxy_for(url: str) -> str | None:
    """The proxy that the environment's variables name for ``url``; never one for loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
