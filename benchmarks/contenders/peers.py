"""Other clients: httpx, requests, zohopy and pyzohoapi.

Each imports its library when it opens, so that no worker pays for another's imports. requests and
pyzohoapi make calls one after the other. zohopy and pyzohoapi know only Zoho's hosts, so their URLs
are changed.

The exact variants of httpx convert values as a careful user would: the types of fields by name,
applied to plain values or given to pydantic.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec

from benchmarks.contenders import AT_ONCE, Contender, Task
from zoho_async.books.types.invoices import Invoice
from zoho_async.wire.shape import Shape, fields_of

if TYPE_CHECKING:
    from pydantic import BaseModel


# -- httpx -----------------------------------------------------------------------------------------


class HttpxJson(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        import httpx

        self._http = httpx.AsyncClient(headers=self.headers)

    async def page(self) -> Sequence[Any]:
        rows: list[Any] = (await self._http.get(self.page_url)).json()["invoices"]
        return rows

    async def lines(self, file: BinaryIO) -> None:
        rows = await self.page()
        file.write(b"".join([json.dumps(row).encode() + b"\n" for row in rows]))

    async def _call(self) -> object:
        return (await self._http.get(self.call_url)).json()

    async def calls(self) -> object:
        return await asyncio.gather(*(self._call() for _ in range(AT_ONCE)))

    async def close(self) -> None:
        await self._http.aclose()


class ExactJson(HttpxJson):
    tasks: tuple[Task, ...] = ("page",)

    async def open(self) -> None:

        self._exact = make_exact
        await super().open()

    async def page(self) -> Sequence[Any]:
        reply = await self._http.get(self.page_url)
        rows = json.loads(reply.content, parse_float=Decimal)["invoices"]
        return [self._exact(row) for row in rows]


class Pydantic(HttpxJson):
    tasks: tuple[Task, ...] = ("page",)
    exact = False

    async def open(self) -> None:
        from pydantic import TypeAdapter, create_model

        row: Any = model(exact=self.exact)
        reply: Any = create_model("Reply", invoices=(list[row], ...))
        self._reply = TypeAdapter(reply)
        await super().open()

    async def page(self) -> Sequence[Any]:
        reply: Any = self._reply.validate_json((await self._http.get(self.page_url)).content)
        rows: list[Any] = reply.invoices
        return rows


class ExactPydantic(Pydantic):
    exact = True


# -- requests --------------------------------------------------------------------------------------


class RequestsJson(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        import requests

        self._http = requests.Session()
        self._http.headers.update(self.headers)

    async def page(self) -> Sequence[Any]:
        rows: list[Any] = self._http.get(self.page_url, timeout=30).json()["invoices"]
        return rows

    async def lines(self, file: BinaryIO) -> None:
        rows = await self.page()
        file.write(b"".join([json.dumps(row).encode() + b"\n" for row in rows]))

    async def calls(self) -> object:
        return [self._http.get(self.call_url, timeout=30).json() for _ in range(AT_ONCE)]

    async def close(self) -> None:
        self._http.close()


# -- zohopy ----------------------------------------------------------------------------------------


class Zohopy(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        import zohopy.config
        from zohopy._client import AsyncZohoClient
        from zohopy.config import DataCenter, ZohoConfig
        from zohopy.products.books.contacts import AsyncContacts
        from zohopy.products.books.invoices import AsyncInvoices

        for hosts in (zohopy.config._API_URLS, zohopy.config._ACCOUNTS_URLS):
            hosts[DataCenter.US] = self.spec.url
        config = ZohoConfig(
            client_id="1000.CLIENT",
            client_secret="secret",
            refresh_token="1000.refresh",
            organization_id=self.organization,
            data_center=DataCenter.US,
        )
        self._client = AsyncZohoClient(config)
        self._invoices = AsyncInvoices(self._client)
        self._contacts = AsyncContacts(self._client)

    async def page(self) -> Sequence[Any]:
        rows: list[Any] = (await self._invoices.list(per_page=200))["invoices"]
        return rows

    async def lines(self, file: BinaryIO) -> None:
        rows = await self.page()
        file.write(b"".join([json.dumps(row).encode() + b"\n" for row in rows]))

    async def calls(self) -> object:
        return await asyncio.gather(*(self._contacts.list() for _ in range(AT_ONCE)))

    async def close(self) -> None:
        await self._client.close()


# -- pyzohoapi -------------------------------------------------------------------------------------


class Pyzohoapi(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        from pyzohoapi import ZohoBooks

        self._books = ZohoBooks(
            self.organization,
            client_id="1000.CLIENT",
            client_secret="secret",
            refresh_token="1000.refresh",
        )
        self._books._endpoint = self.api
        self._books._oauth = f"{self.spec.url}/oauth/v2"

    async def page(self) -> Sequence[Any]:
        return [row.to_python() for row in self._books.Invoice(per_page="200").Iter(raw=True)]

    async def lines(self, file: BinaryIO) -> None:
        rows = await self.page()
        import simplejson

        file.write(
            b"".join([simplejson.dumps(row, use_decimal=True).encode() + b"\n" for row in rows])
        )

    async def calls(self) -> object:
        return [self._books.get("contacts", "") for _ in range(AT_ONCE)]


# -- exact values ----------------------------------------------------------------------------------

_CONVERT: dict[Any, Callable[[Any], Any]] = {
    Decimal: Decimal,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
}


def make_exact(row: dict[str, Any], struct: type[msgspec.Struct] = Invoice) -> dict[str, Any]:
    """``row`` with exact values in place of JSON's, blanks as ``None``. Floats come as Decimal."""
    for name, convert in _converters(struct).items():
        value = row.get(name)
        if value == "":
            row[name] = None
        elif convert is not None and value is not None:
            row[name] = convert(value)
    return row


@functools.cache
def _converters(struct: type[msgspec.Struct]) -> dict[str, Callable[[Any], Any] | None]:
    return {name: _converter(field.shape) for name, field in fields_of(struct).items()}


def _converter(shape: Shape) -> Callable[[Any], Any] | None:
    if shape.struct is not None:
        return functools.partial(make_exact, struct=shape.struct)
    if shape.element is not None:
        inside = _converter(shape.element)
        return None if inside is None else lambda values: [inside(each) for each in values]
    return _CONVERT.get(shape.plain[0])


def _blank(value: Any) -> Any:
    return None if value == "" else value


@functools.cache
def model(*, exact: bool, struct: type[msgspec.Struct] = Invoice) -> type[BaseModel]:
    """A pydantic model of the same fields; money is float unless ``exact``."""
    from pydantic import BeforeValidator, ConfigDict, create_model

    fields: dict[str, Any] = {}
    for name, field in fields_of(struct).items():
        annotation: Any = _annotation(field.shape, exact) | None
        if exact or annotation != str | None:
            annotation = Annotated[annotation, BeforeValidator(_blank)]
        fields[name] = (annotation, None)
    config = ConfigDict(extra="allow", protected_namespaces=())
    return create_model(struct.__name__, __config__=config, **fields)


def _annotation(shape: Shape, exact: bool) -> Any:
    if shape.struct is not None:
        return model(exact=exact, struct=shape.struct)
    if shape.element is not None:
        return list[_annotation(shape.element, exact)]  # type: ignore[misc] # a type made at run time
    return float if shape.plain[0] is Decimal and not exact else shape.plain[0]
