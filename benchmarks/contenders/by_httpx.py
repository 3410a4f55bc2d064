"""httpx with plain JSON and with pydantic, as most people would begin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import httpx

from benchmarks.contenders import AT_ONCE, Contender, Task


class Json(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
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


class ExactJson(Json):
    tasks: tuple[Task, ...] = ("page",)

    async def open(self) -> None:
        from benchmarks.contenders.exact import make_exact

        self._exact = make_exact
        await super().open()

    async def page(self) -> Sequence[Any]:
        reply = await self._http.get(self.page_url)
        rows = json.loads(reply.content, parse_float=Decimal)["invoices"]
        return [self._exact(row) for row in rows]


class Pydantic(Json):
    tasks: tuple[Task, ...] = ("page",)
    exact = False

    async def open(self) -> None:
        from pydantic import TypeAdapter, create_model

        from benchmarks.contenders.exact import model

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
