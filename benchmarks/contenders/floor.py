"""The floor: aiohttp and plain msgspec with the same structs, on a page without blanks.

No limits, no token, no retries, no errors, nothing kept of what has no field. And the same with
orjson, which gives plain values.
"""

from __future__ import annotations

import asyncio
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


class Floor(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(headers=self.headers)

    async def _get(self, url: str) -> bytes:
        async with self._http.get(url) as reply:
            return await reply.read()

    async def page(self) -> Sequence[Any]:
        return DECODER.decode(await self._get(self.page_url)).invoices

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
