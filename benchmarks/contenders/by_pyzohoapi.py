"""pyzohoapi, which is not asynchronous. It knows Zoho's hosts only, so its two URLs are changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import simplejson
from pyzohoapi import ZohoBooks

from benchmarks.contenders import AT_ONCE, Contender, Task


class Pyzohoapi(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
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
        file.write(
            b"".join([simplejson.dumps(row, use_decimal=True).encode() + b"\n" for row in rows])
        )

    async def calls(self) -> object:
        return [self._books.get("contacts", "") for _ in range(AT_ONCE)]
