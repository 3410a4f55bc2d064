"""zoho_async as its users have it: session, token, limits, retries, observer; only the limits are
set so high that they never wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from benchmarks.contenders import AT_ONCE, Contender, Task
from zoho_async import Credentials, Limits, Session
from zoho_async.books import invoices
from zoho_async.events import Event
from zoho_async.limits import MemoryLedger

UNLIMITED = Limits(limit=10**8, burst=10**8, in_flight=10**6, window=0.001, linger=0.001)


def session(url: str, organization: str, limits: Limits = UNLIMITED) -> Session:
    """A session that no limit holds up, its events heard."""
    heard: list[int] = [0]

    def observer(event: Event) -> None:
        heard[0] += 1

    return Session(
        Credentials("1000.CLIENT", "secret", "1000.refresh"),
        organization=organization,
        api_url=url,
        accounts_url=url,
        limits=limits,
        ledger=MemoryLedger(),
        observer=observer,
    )


class Ours(Contender):
    tasks: tuple[Task, ...] = ("page", "few", "blank", "lines", "calls")

    async def open(self) -> None:
        self._zoho = session(self.spec.url, self.organization)

    async def page(self) -> Sequence[Any]:
        return (await invoices.list(self._zoho, per_page=200)).rows

    async def into(self, shape: type[msgspec.Struct]) -> Sequence[Any]:
        return (await invoices.list(self._zoho, per_page=200).into(shape)).rows

    async def lines(self, file: BinaryIO) -> None:
        async for page in invoices.list(self._zoho, per_page=200).raw_pages():
            file.write(b"".join([bytes(row) + b"\n" for row in page.rows]))

    async def calls(self) -> object:
        ask = self._zoho.request
        return await asyncio.gather(*(ask("GET", "/contacts") for _ in range(AT_ONCE)))

    async def close(self) -> None:
        await self._zoho.aclose()
