"""The floors: aiohttp with plain msgspec, and raw sockets.

aiohttp reads with the same structs, on a page without blanks: no limits, token, retries or errors,
and fields that no struct names are dropped. The same client with orjson returns plain values. Raw
sockets show what the wire costs, with an HTTP parser that knows only this server's answers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import aiohttp
import msgspec

from benchmarks.contenders import AT_ONCE, Contender, Task
from zoho_async.books.types.invoices import Invoice


class Reply(msgspec.Struct):
    """The list as plain msgspec reads it."""

    invoices: list[Invoice]


class RawReply(msgspec.Struct):
    """The list's rows as bytes."""

    invoices: list[msgspec.Raw]


DECODER = msgspec.json.Decoder(Reply, float_hook=Decimal)
_RAW = msgspec.json.Decoder(RawReply)


@functools.cache
def _into(shape: Any) -> msgspec.json.Decoder[Any]:
    reply = msgspec.defstruct("FewReply", [("invoices", list[shape])])
    return msgspec.json.Decoder(reply, float_hook=Decimal)


class Floor(Contender):
    tasks: tuple[Task, ...] = ("page", "few", "blank", "lines", "calls")

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(headers=self.headers)

    async def _get(self, url: str) -> bytes:
        async with self._http.get(url) as reply:
            return await reply.read()

    async def page(self) -> Sequence[Any]:
        return DECODER.decode(await self._get(self.page_url)).invoices

    async def into(self, shape: type[msgspec.Struct]) -> Sequence[Any]:
        rows: Sequence[Any] = _into(shape).decode(await self._get(self.page_url)).invoices
        return rows

    async def lines(self, file: BinaryIO) -> None:
        rows = _RAW.decode(await self._get(self.page_url)).invoices
        file.write(b"".join([bytes(row) + b"\n" for row in rows]))

    async def _call(self) -> object:
        return msgspec.json.decode(await self._get(self.call_url))

    async def calls(self) -> object:
        return await asyncio.gather(*(self._call() for _ in range(AT_ONCE)))

    async def close(self) -> None:
        await self._http.close()


class Orjson(Floor):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        import orjson

        self._loads, self._dumps = orjson.loads, orjson.dumps
        await super().open()

    async def page(self) -> Sequence[Any]:
        rows: list[Any] = self._loads(await self._get(self.page_url))["invoices"]
        return rows

    async def lines(self, file: BinaryIO) -> None:
        rows = self._loads(await self._get(self.page_url))["invoices"]
        file.write(b"".join([self._dumps(row) + b"\n" for row in rows]))

    async def _call(self) -> object:
        return self._loads(await self._get(self.call_url))


# -- raw sockets -----------------------------------------------------------------------------------


class _Wire(asyncio.BufferedProtocol):
    """One connection: a request out, the body of its answer back."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._whole = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self._filled = self._whole = 0
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
            if end < 0:
                return
            length = self._buffer.rfind(b":", 0, end)
            self._start = end + 4
            self._whole = self._start + int(self._buffer[length + 1 : end])
        if self._filled >= self._whole:
            self._answer.set_result(bytes(self._view[self._start : self._whole]))


class Sockets(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        host, _, port = self.spec.url.removeprefix("http://").partition(":")
        loop = asyncio.get_running_loop()
        pairs = [
            await loop.create_connection(_Wire, host, int(port))
            for _ in range(AT_ONCE if self.spec.task == "calls" else 1)
        ]
        self._wires = [wire for _, wire in pairs]
        self._page, self._call = (
            f"GET {url.removeprefix(self.spec.url)} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: {self.headers['Authorization']}\r\n\r\n".encode()
            for url in (self.page_url, self.call_url)
        )

    async def page(self) -> Sequence[Any]:
        return DECODER.decode(await self._wires[0].ask(self._page)).invoices

    async def lines(self, file: BinaryIO) -> None:
        body = await self._wires[0].ask(self._page)
        # The rows of this server's page are known to be parted so, and by nothing else.
        start, end = body.index(b"["), body.rindex(b'],"page_context"')
        file.write(body[start + 1 : end].replace(b'},{"invoice_id"', b'}\n{"invoice_id"') + b"\n")

    async def calls(self) -> object:
        bodies = await asyncio.gather(*(wire.ask(self._call) for wire in self._wires))
        return [msgspec.json.decode(body) for body in bodies]

    async def close(self) -> None:
        for wire in self._wires:
            wire.transport.close()
