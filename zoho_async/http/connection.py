"""Write each request once, to a connection without unread input, and name what happened to it.

Model. The limits count requests, so one call of `zoho_async.http.transport.Transport` must never
become two. aiohttp repeats GET, PUT and DELETE when a kept-alive connection turns out to be broken,
follows redirects (with the Authorization header), and adds credentials from ``~/.netrc``. All of
that is off. The exception's class says whether the request left this machine: `NotConnected` means
no, `ConnectionBroken` and `CallTimeout` mean perhaps.

Stray replies. HTTP/1.1 matches answers to requests by order alone: one reply that was not requested
would shift all later ones to the wrong calls. So before a request is written, its connection must
hold nothing unread, neither in aiohttp nor in the kernel. A connection that does is closed, and
another is taken. aiohttp checks this only when a connection is returned, not when it is taken
again.

Unknown. A stray reply that arrives after the request was written and before the true answer looks
like the answer. Only the id in the answer tells them apart.
"""

from __future__ import annotations

import asyncio
import select
import sys
import weakref
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from zoho_async.errors import (
    CallTimeout,
    ConfigurationError,
    ConnectionBroken,
    NotConnected,
    Request,
)


class _Broken(Exception):
    """Replaces the exceptions after which aiohttp would send the request again."""


class _Unread(Exception):
    """A connection has unread input. Nothing was written to it."""

    def __init__(self, *, was_used: bool) -> None:
        self.was_used: Final = was_used
        super().__init__()


#: The exceptions of aiohttp and its sockets.
ERRORS: Final = (_Broken, _Unread, aiohttp.ClientError, OSError)

#: Per used connection: a function that says whether the kernel holds unread input for it.
_HAS_INPUT: Final[weakref.WeakKeyDictionary[asyncio.BaseProtocol, Callable[[], bool]]] = (
    weakref.WeakKeyDictionary()
)


class CleanRequest(aiohttp.ClientRequest):
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


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The middleware that sends each request at most once."""
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


def translate(error: Exception, request: Request, url: str) -> Exception:
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
