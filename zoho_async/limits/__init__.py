"""The rate-limit scheduler. It sends as many calls as an organization's limits allow, and no more.

Model
-----
Zoho documents 100 calls a minute, but not what a minute is. It may be fixed (60 s that start at any
moment) or rolling (the last 60 s). If no 60 s at all hold more than ``limit`` arrivals, every fixed
minute is safe too.

A call counts when it *arrives*. We cannot see that moment: it lies between sending the request and
receiving its reply. Refused calls may count, so here they do.

Each call takes a *place* in the log of the minute:

- It takes the place before it is sent, so before it arrives.
- Once its reply is here, it has arrived. The place is free ``window`` after *now*.
- Without a reply (cancelled, timed out, broken, killed) the call may still be on its way, for at
  most ``linger`` seconds after it was sent. The place is free at sent + ``linger`` + ``window``.
- A call that was never sent gives its place back at once.

Invariant
---------
At any moment, the calls that may still arrive or may have arrived in the last ``window`` seconds
are at most ``limit``.

Why it holds
------------
Suppose that ``limit + 1`` calls arrive within one window, the first at time a and the last at
z < a + ``window``. Take the one that was admitted last, at time t. It is sent after t, so t <= z.
Each of the others was admitted before t and arrived at a or later, so its place is taken until
a + ``window`` at least. Therefore all ``limit`` others hold a place at t. But a log of ``limit``
places is then full and admits no call, which is a contradiction.

The argument does not use latency. Latency may change at any time and may reorder calls. Only
abandoned calls need an assumption: that they arrive within ``linger``. A place is kept a thousandth
longer than ``window``, which covers two clocks that drift apart.

*Several processes.* Each call belongs to a worker. If a worker dies or is stopped for too long, the
others abandon its calls, as if they were sent at that moment. That is right for calls that were
sent before. A call that is admitted but not yet sent could be sent later, so a place that is older
than the ledger's lease is not used (`Slot.stale`); the caller asks for a new one. If a stopped
worker reports a reply later, the reply counts again from then and frees no place. Calls of a closed
event loop are abandoned in the same way.

Why a token bucket is not enough
--------------------------------
A bucket with capacity 100 and a refill of 100 a minute sends 199 calls in its first minute. A safe
bucket (burst + refill = limit) still fails if latency varies, because calls that are sent evenly
may arrive in a bunch. So the log is the guarantee. The bucket only spreads bulk calls over the
minute.

Bulk calls
----------
All workers of one ledger share the part of the minute that bulk calls may use:

- In any ``window`` at most limit - burst bulk calls are admitted. So ``burst`` places are always
  left to interactive calls, unless a worker has ``burst = limit``: its calls are not counted here.
- Of these, the first limit / 2 go at once. The others are spread evenly, at (limit - burst) /
  window; after a late one, the next may come half an interval early. With ``burst = limit`` there
  is neither.
- While other clients of the organization are heard, both figures are smaller: `others`.

A short job does not wait for the pace, and the risk is no larger for it: calls that fit into one
window are in one window, however they are spread. Two programs that do not share a ledger and start
in the same moment send limit / 2 calls each, which is the whole limit.

A bulk call counts for a ``window`` from its *admission*, not from its reply like a place of the
log. Counted from the reply, the rate would fall with the latency.

Steady rate
-----------
With work waiting, the rate is the smallest of three: (limit - burst) / window for bulk calls with a
bucket; limit / (window + latency), because a place is also kept during the latency;
in_flight / latency. The default gives 80 calls a minute. A job that has the organization to itself
gets 100 x 60 / (60 + latency). A waiter is woken at the moment that the ledger names, or by the
reply that it waits for, in whichever process that reply arrives.

Unknown
-------
- How long a block lasts: `block`. These are Zoho's seconds, and a shorter ``window`` does not
  shorten them.
- The current limit of calls in flight: `concurrency`. How long a call without a reply keeps Zoho
  busy: `usage`.
- How long the day is when the clocks change, and whether a 45 means the day: `daily_quota`.
- Whether products share the day. They do until replies show otherwise: `product_days`.
- What others in the organization send. Ten calls a minute are left to them from the start. Other
  clients are heard by Zoho's counter of the day's calls, with a delay: `others`. People are not.
- Whether the calls of a killed process arrived. They count as if they were on their way: `usage`.
- What a Redis that lost its data had counted. It waits until that no longer matters:
  `zoho_async.limits.redis.epoch`.

Modules
-------
`lane` is the loop in which calls wait, `scheduler` decides which of two lanes goes first, and
`pace` spreads bulk calls. `others` hears other clients. `ledger`, `sqlite` and `redis` keep the
usage, for one process or many. `keys` decides under which name an organization is counted.
`shared_limits` decides which `Limits` apply.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from zoho_async.limits.ledger import MEMORY, Ledger, MemoryLedger
from zoho_async.limits.models import (
    PLANS,
    BlockScope,
    Lane,
    Limits,
    Pace,
    Plan,
    PlanName,
    ProductQuota,
    Quota,
    Refusal,
    Snapshot,
)
from zoho_async.limits.scheduler import Scheduler, scheduler
from zoho_async.limits.slot import Slot

if TYPE_CHECKING:
    from zoho_async.limits.redis import RedisLedger
    from zoho_async.limits.sqlite import SqliteLedger

__all__ = [
    "MEMORY",
    "PLANS",
    "BlockScope",
    "Lane",
    "Ledger",
    "Limits",
    "MemoryLedger",
    "Pace",
    "Plan",
    "PlanName",
    "ProductQuota",
    "Quota",
    "RedisLedger",
    "Refusal",
    "Scheduler",
    "Slot",
    "Snapshot",
    "SqliteLedger",
    "scheduler",
]

#: Loaded on first use, so that importing the package stays fast.
_LATER: Final = {"RedisLedger": "redis", "SqliteLedger": "sqlite"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
