"""A session with the list server of the judges, and its clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.judges.list_server import ListServer
from zoho_async import Credentials, Limits, Session
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger


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
