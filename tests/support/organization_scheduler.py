"""A scheduler of one organization, on the clock of the event loop."""

from __future__ import annotations

from zoho_async.clock import LoopClock
from zoho_async.events import Observer
from zoho_async.limits import Ledger, Limits, MemoryLedger, Scheduler, scheduler


def organization_scheduler(
    limits: Limits | None = None,
    ledger: Ledger | None = None,
    *,
    key: str = "api/1",
    observer: Observer | None = None,
) -> Scheduler:
    """Return a scheduler. Without a ``ledger`` it has an empty one in memory."""
    return scheduler(
        key,
        account="api/@me",
        limits=limits or Limits(),
        ledger=MemoryLedger() if ledger is None else ledger,
        clock=LoopClock(),
        observer=observer,
    )
