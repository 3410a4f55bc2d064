"""One request on the wire, and what became of it.

The limits count requests, so a call to `Transport.send` must never be two of them. aiohttp by
itself repeats GET, PUT and DELETE when a kept-alive connection turns out to be broken, follows
redirects (with the Authorization header), and adds credentials from ``~/.netrc``: all of that is
off. What remains is one question, answered by the exception's class: did the request leave this
machine? `NotConnected` says no; `ConnectionBroken` and `CallTimeout` say perhaps.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from zoho_async.errors import (
    CallTimeout,
    ConfigurationError,
    ConnectionBroken,
    NotConnected,
    Request,
    UnreadableReply,
)
from zoho_async.regions import is_loopback

CONNECT_TIMEOUT: Final = 10.0
#: An ordinary answer is small; one that is still dripping in after this long is a fault.
ANSWER_TIMEOUT: Final = 300.0
#: More than any page or document of Zoho's; a body that goes on past it would fill the memory.
MOST_BYTES: Final = 256 * 1024 * 1024

#: Multipart forms are used up by sending, so a body may be given as a function that makes it.
Body: TypeAlias = bytes | Callable[[], aiohttp.FormData] | None


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read to its end. Header names are lower case.

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


class _Broken(Exception):
    """Stands in for the exceptions upon which aiohttp would send the request again."""


async def _never_again(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(type(error).__name__) from error


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
        self._client: Final = aiohttp.ClientSession(
            connector=connector,
            connector_owner=connector is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_never_again,),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
        )

    async def close(self) -> None:
        """Close the sockets."""
        await self._client.close()

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
        timeout = aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT, sock_read=silence)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._client.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body() if callable(body) else body,
                timeout=timeout,
                allow_redirects=False,
                # What has no body has no type either; a form brings its own with its boundary.
                skip_auto_headers=("Content-Type",) if body is None else None,
                proxy=proxy,
            ) as response:
                content = await _content(request, response)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, names, content, loop.time() - began)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConfigurationError(
                f"the certificate of {urlsplit(url).hostname} cannot be trusted; "
                "a proxy that opens TLS needs its own certificate installed"
            ) from error
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
        ) as error:
            host = urlsplit(url).hostname
            raise NotConnected(request, f"no connection to {host} ({_name(error)})") from error
        except TimeoutError as error:
            raise CallTimeout(request, "no answer in time") from error
        except (_Broken, aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise ConnectionBroken(request, f"the connection broke ({_name(error)})") from error


async def _content(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """The whole body."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise UnreadableReply(
                request, f"the answer is longer than {MOST_BYTES:,} bytes", response.status
            )
    return b"".join(pieces)


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
