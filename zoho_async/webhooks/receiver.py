"""Receive webhooks with aiohttp, or with any ASGI framework.

A receiver answers 200 only after the delivery is on the disk. It answers 401 for a missing or wrong
signature, 400 for a body that is not an event, 405 for another method, 408 for a body that takes
too long, 413 for one that is too long, and 503 for too many requests at once, a full queue or a
disk that fails, so that Zoho sends again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import anyio

from zoho_async.errors import ConfigurationError
from zoho_async.webhooks.events import ProductName, UnreadableWebhook, parse
from zoho_async.webhooks.queue import QueueFull, WebhookQueue
from zoho_async.webhooks.signature import (
    BodyType,
    Delivery,
    WrongSignature,
    check_settings,
    unsigned,
    verify,
)

if TYPE_CHECKING:
    from aiohttp import web

#: The longest body, in bytes. A record is seldom longer than 100 kB.
MAX_BODY: Final = 1024 * 1024
_LOGGER: Final = logging.getLogger("zoho_async.webhooks")

Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
_Answer: TypeAlias = tuple[HTTPStatus, str]
_METHODS: Final = ("POST", "PUT", "DELETE")


class Receiver:
    """Checks the requests of one webhook, and queues what comes from Zoho."""

    def __init__(
        self,
        queue: WebhookQueue,
        product: ProductName,
        *,
        secret: str | Sequence[str] = (),
        query_names: Iterable[str] = (),
        body_type: BodyType = "json",
        max_body: int = MAX_BODY,
        body_timeout: float = 10.0,
        max_requests: int = 100,
        insecure: bool = False,
    ) -> None:
        """Receive the webhooks of ``product``.

        Args:
            queue: The queue that takes the deliveries.
            product: The product that sends them.
            secret: As in `verify`: one secret, or several while it is being changed. Read it from
                the environment or a secret store.
            query_names: As in `verify`.
            body_type: As in `verify`.
            max_body: The longest body, in bytes.
            body_timeout: The longest time that a body may take, in seconds.
            max_requests: The most requests whose bodies are received at the same time.
            insecure: Accept requests without a signature. Everyone who can reach the address can
                then send events, so each record is read from the API. Do not use a change whose
                source is ``unconfirmed``: it cannot be read.

        Raises `ConfigurationError` for a secret or names that no webhook can have, and for a secret
        together with ``insecure``.
        """
        if insecure:
            if secret:
                raise ConfigurationError("give a secret or insecure=True, not both")
        else:
            check_settings(secret, query_names)
        self._queue: Final = queue
        self._product: Final[ProductName] = product
        self._secret: Final = secret
        self._query_names: Final = frozenset(query_names)
        self._body_type: Final[BodyType] = body_type
        self._max_body: Final = max_body
        self._body_timeout: Final = body_timeout
        self._max_requests: Final = max_requests
        self._insecure: Final = insecure
        self._requests = 0

    async def receive(
        self, *, method: str, headers: Mapping[str, str], query: str, body: AsyncIterable[bytes]
    ) -> _Answer:
        """Check a request and queue it. Returns the status and the text of the answer."""
        if method not in _METHODS:
            return HTTPStatus.METHOD_NOT_ALLOWED, "send webhooks with POST, PUT or DELETE"
        if self._requests >= self._max_requests:
            return HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once"
        self._requests += 1
        try:
            with anyio.fail_after(self._body_timeout):
                content = await self._read(body)
        except TimeoutError:
            return HTTPStatus.REQUEST_TIMEOUT, f"the body took over {self._body_timeout:g} s"
        finally:
            self._requests -= 1
        if content is None:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self._max_body} bytes"
        try:
            delivery = self._delivery(headers, query, content)
            parse(delivery, self._product)
            await self._queue.put(delivery, self._product)
        except WrongSignature as problem:
            return HTTPStatus.UNAUTHORIZED, str(problem)
        except UnreadableWebhook as problem:
            return HTTPStatus.BAD_REQUEST, str(problem)
        except QueueFull as problem:
            return HTTPStatus.SERVICE_UNAVAILABLE, str(problem)
        except sqlite3.Error as problem:
            _LOGGER.error("a webhook cannot be stored and is refused: %s", problem)
            return HTTPStatus.SERVICE_UNAVAILABLE, "the webhook cannot be stored now"
        return HTTPStatus.OK, "ok"

    async def _read(self, body: AsyncIterable[bytes]) -> bytes | None:
        """The whole body; None if it is too long."""
        content = bytearray()
        async for chunk in body:
            if len(content) + len(chunk) > self._max_body:
                return None
            content += chunk
        return bytes(content)

    def _delivery(self, headers: Mapping[str, str], query: str, body: bytes) -> Delivery:
        if self._insecure:
            return unsigned(query=query, body=body, body_type=self._body_type)
        return verify(
            self._secret,
            headers=headers,
            query=query,
            body=body,
            query_names=self._query_names,
            body_type=self._body_type,
        )


def aiohttp_handler(receiver: Receiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler of aiohttp for all methods: ``app.router.add_route("*", "/hooks", handler)``.

    Serve it on the loopback interface behind a proxy that ends TLS:
    ``web.run_app(app, host="127.0.0.1")``.
    """
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        status, text = await receiver.receive(
            method=request.method,
            headers=request.headers,
            query=request.url.raw_query_string,
            body=request.content.iter_any(),
        )
        answer = web.Response(status=status, text=text)
        if status is not HTTPStatus.OK:
            answer.force_close()  # the rest of a refused body is not read
        return answer

    return handle


def asgi_app(receiver: Receiver) -> AsgiApp:
    """An ASGI application, to mount in FastAPI or Starlette: ``app.mount("/hooks", asgi_app(r))``.

    Start the server with one worker process, because one process can open the queue.
    """

    async def app(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            raise ValueError(f"webhooks come over HTTP, not {scope['type']}")
        headers = _headers(cast(Iterable[tuple[bytes, bytes]], scope["headers"]))
        query = cast(bytes, scope.get("query_string", b"")).decode("latin-1")
        try:
            status, text = await receiver.receive(
                method=scope["method"], headers=headers, query=query, body=_body(receive)
            )
        except _Disconnected:
            return
        await send(
            {
                "type": "http.response.start",
                "status": int(status),
                "headers": [(b"content-type", b"text/plain; charset=utf-8")],
            }
        )
        await send({"type": "http.response.body", "body": text.encode()})

    return app


class _Disconnected(Exception):
    """The sender went away before the end of the body."""


async def _body(receive: Callable[[], Awaitable[Message]]) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Disconnected
        yield cast(bytes, message.get("body", b""))
        more = bool(message.get("more_body"))


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The headers by name in lower case. Repeated ones are joined by commas, as HTTP says."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found
