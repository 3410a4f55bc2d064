"""Exports from a list server: the session, the clock, and what the destination holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import currently_in_test_context, note

from tests.judges.list_server import CONTACTS, INVOICES, ITEMS, ListServer
from zoho_async import Credentials, Limits, Session, ZohoError
from zoho_async.export import Directory, Export, ExportOptions, ResourceSummary, merge
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger

EXPORTED = {INVOICES: "books.invoices", CONTACTS: "books.contacts", ITEMS: "books.items"}


def tell(words: str) -> None:
    """What happened, for the report of a failed example; plain tests print it."""
    if currently_in_test_context():
        note(words)
    else:
        print(words)


def session(server: ListServer) -> Session:
    """One call at a time, so that the adversary's moves depend on its seed alone."""
    return Session(
        Credentials.from_env(server.environment()),
        organization=server.organization,
        api_url=server.url,
        accounts_url=server.url,
        limits=Limits(limit=100_000, burst=100_000, in_flight=1),
        ledger=MemoryLedger(),
        retry=Policy(base=0.001),
    )


class ServerClock:
    """The server's own clock; who waits by it moves it on."""

    def __init__(self, server: ListServer) -> None:
        self._server = server

    def monotonic(self) -> float:
        return self._server.now

    def time(self) -> float:
        return self._server.now

    async def sleep(self, seconds: float) -> None:
        self._server.pass_time(seconds)


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(work)


def held(directory: Path, resource: str) -> set[str]:
    """The ids that the destination holds, deleted ones left out."""
    if not any(directory.rglob("*.jsonl")):
        return set()
    merge(Directory(directory))
    file = directory / f"{resource.replace('.', '/')}.jsonl"
    rows = [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
    name = next(one.row_id for one, known in EXPORTED.items() if known == resource)
    return {str(row.get(name) or "") for row in rows} - {""}


async def export(server: ListServer, to: Path, **options: Any) -> ResourceSummary | None:
    async with session(server) as zoho:
        clock = ServerClock(server)
        job = Export(
            zoho, [EXPORTED[server.resource]], to=to, clock=clock, options=ExportOptions(**options)
        )
        try:
            async with job:
                summary = await job.wait()
        except ZohoError as error:
            tell(f"{type(error).__name__}: {error}")
            return None
    return summary.resources[0]
