"""A session on a server that answers by hand."""

from __future__ import annotations

from tests.judges.raw_http import Server
from zoho_async import Credentials, Limits, Session
from zoho_async.limits import MemoryLedger


def connected(server: Server) -> Session:
    """One call at a time, so that calls arrive in a known order, and no limits."""
    return Session(
        Credentials("1000.A", "secret", "1000.refresh"),
        organization="77",
        api_url=server.url,
        accounts_url=server.url,
        limits=Limits(limit=100_000, burst=100_000, in_flight=1),
        ledger=MemoryLedger(),
    )
