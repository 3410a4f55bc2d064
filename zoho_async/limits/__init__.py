"""The limits."""

from __future__ import annotations

from zoho_async.limits.figures import BlockScope, Lane, Limits, Quota, Refusal, Snapshot
from zoho_async.limits.ledger import MEMORY, Ledger, MemoryLedger
from zoho_async.limits.scheduler import Scheduler, scheduler
from zoho_async.limits.slot import Slot
from zoho_async.limits.sqlite import SqliteLedger

__all__ = [
    "MEMORY",
    "BlockScope",
    "Lane",
    "Ledger",
    "Limits",
    "MemoryLedger",
    "Quota",
    "Refusal",
    "Scheduler",
    "Slot",
    "Snapshot",
    "SqliteLedger",
    "scheduler",
]
