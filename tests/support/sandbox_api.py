"""Calls of the sandbox's API on a store, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.dispatch import answer
from zoho_async.sandbox.api.router import Route, route
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ENCODER

_BODY: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def run(work: Coroutine[Any, Any, Any], *, write: bool) -> Any:
    """Run a coroutine without an event loop. A write never waits; a report gives way."""
    try:
        while work.send(None) is None and not write:
            pass
    except StopIteration as done:
        return done.value
    raise AssertionError("a write waited, or a report waits for something")


def status_of_missing(product: str) -> int:
    """The HTTP status for a record that does not exist."""
    return 400 if product == "billing" else 404


def route_of(call: ApiCall) -> Route | None:
    """The operation of a call, as the server finds it."""
    return route(call.product, call.method, call.parts)


class Api:
    """Calls to one product on a new store. ``sizes`` are counts of further sample records."""

    def __init__(
        self, product: str, sizes: Mapping[str, int] | None = None, today: date | None = None
    ) -> None:
        few = {f"{product}.contacts": 6, "contacts": 6, "invoices": 0, "items": 0, "projects": 0}
        self.store: Final = Store(SampleData(11, "10234695", few | dict(sizes or {}), today=today))
        self.product: Final = product
        self.schemas: Final = schemas(product)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, **params: str
    ) -> dict[str, Any]:
        """The body of the reply. Raises `ApiRefusal`."""
        sent = _BODY.decode(ENCODER.encode(body or {}))
        parts = tuple(path.strip("/").split("/"))
        call = ApiCall(method, parts, params, {}, sent, self.product)
        reply = answer(call, route_of(call), self.store, [self.store])
        return _BODY.decode(run(reply, write=method != "GET").content())

    def rows(self, path: str, key: str, **params: str) -> list[dict[str, Any]]:
        """A whole list. The list handler yields to the event loop between rows."""
        parts = tuple(path.strip("/").split("/"))
        call = ApiCall("GET", parts, params, {}, {}, self.product)
        reply = asyncio.run(answer(call, route_of(call), self.store, [self.store]))
        found: list[dict[str, Any]] = _BODY.decode(reply.content())[key]
        return found
