"""zohopy's asynchronous client. It knows Zoho's hosts only, so its table of hosts is changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import zohopy.config
from zohopy._client import AsyncZohoClient
from zohopy.config import DataCenter, ZohoConfig
from zohopy.products.books.contacts import AsyncContacts
from zohopy.products.books.invoices import AsyncInvoices

from benchmarks.contenders import AT_ONCE, Contender, Task


class Zohopy(Contender):
    tasks: tuple[Task, ...] = ("page", "lines", "calls")

    async def open(self) -> None:
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
