"""requests with plain JSON; calls go one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import requests

from benchmarks.contenders import AT_ONCE, Contender, Task


class Json(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
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
