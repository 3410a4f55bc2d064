"""The rate-limit scheduler: never more calls than an organization's limits allow, never fewer.

**What Zoho may count.** The documents say 100 calls a minute and not what a minute is. So it may
be fixed (any 60 s that start at a full minute, or anywhere) or rolling (the last 60 s); if no 60
s at all hold more than ``limit`` arrivals, no alignment of a fixed minute does either. A call
counts when it *arrives*, which we do not see: it lies between the moment we send the request and
the moment we have its reply. Refused calls may count; here they do.

**The invariant.** At any moment, the calls that may still arrive or may have arrived in the last
``window`` seconds are at most ``limit``. The minute's log keeps a place for each of them:

- A call takes its place before it is sent, so before it arrives.
- Once its reply is here it has arrived, no matter when. It leaves the last ``window`` seconds at
  the latest ``window`` after *now*: that is when its place is free again.
- Without a reply (cancelled, timed out, broken, killed) it may still be on its way, for
  ``linger`` seconds after it was sent and no longer. Its place is free at sent + ``linger`` +
  ``window``.
- A call that was never sent gives its place back at once.

**Why that is enough.** Suppose ``limit + 1`` calls arrive within one window, the first at time a
and the last at z < a + ``window``. Take the one of them that was admitted last, at time t. Each
of the others was admitted before t and arrived at a or later, so its place was not free before a
+ ``window``; and the last one arrives after it is sent, so t <= z < a + ``window``. So at t all
``limit`` others held a place, and a log of ``limit`` places let in one more: it does not.
Nothing was said about latency: it may be anything, change at any time, and reorder what it
likes; only the promise about abandoned calls needs their delay to stay within ``linger``. A
place is kept a thousandth longer than ``window``, which pays for two clocks that run apart.

**Who else may send.** A call belongs to a worker, and one that died or stood still too long is
given up by the others: its calls are without a reply, sent as late as that moment. That is true of
what was sent before. What is admitted and not yet sent could still be sent later, so a place that
is older than its ledger's lease is not sent but asked for anew (`Slot.stale`). When such a worker
reports in the end, a reply counts again from then and no place is freed. Calls of an event loop
that was closed, which nothing will end, are given up in the same way.

**Why a token bucket alone is not.** One of capacity 100 that refills with 100 a minute lets 100
go at once and then one more every 0.6 s: 199 in its first minute. One that is safe (burst +
refill = limit) still fails as soon as latency varies: calls sent evenly arrive in a bunch. So
the log is the guarantee, and the bucket (bulk calls only) merely spreads calls over the minute. The
bucket is one for all who share the ledger: in any t seconds they are admitted at most ``burst`` +
t x (limit - burst) / window bulk calls together, however many processes they are. So with bulk work
waiting, ``burst`` places of every minute but the first are left to interactive calls. With ``burst
= limit`` there is no bucket.

**The steady rate** with work waiting is the least of three: (limit - burst) / window for paced
bulk; limit / (window + latency), because a place is kept for the latency too; in_flight /
latency. By default 80 calls a minute; 100 x 60 / (60 + latency) for a job that has the
organization to itself. A waiter is woken at the moment that the ledger names, or by the reply that
it waits for, whichever process that came to; what is lost is the waking itself.

**What is not known**, and what is done about it: how long a block lasts (a gate with
`Retry-After`, else 15 minutes doubling to an hour, no probes, then a slow start: `gate`; these are
seconds of Zoho's, and no shorter ``window`` shortens them); what cap in flight holds at the moment
(`crowd`), and how long a call without a reply is at work (`state`); when the day starts, and
whether a 45 is the day's (`day`); what others in the organization send (ten calls a minute are left
to them, the day's headers and refusals tell of the rest); whether a killed process's calls arrived
(they count as if they were still on their way: `state`), what a Redis that lost its data had
counted (it waits until that no longer matters: `zoho_async.limits.redis.epoch`). Who goes first,
and how waiting costs nothing, is in `scheduler`; where the usage is kept, for one process or many,
in `ledger`, `sqlite` and `redis`. Under which name an organization is counted is in `keys`, and
whose `Limits` hold in `agreed`.
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
    "Quota",
    "RedisLedger",
    "Refusal",
    "Scheduler",
    "Slot",
    "Snapshot",
    "SqliteLedger",
    "scheduler",
]

#: What few programs need is loaded when it is asked for: an import of the package stays light.
_LATER: Final = {"RedisLedger": "redis", "SqliteLedger": "sqlite"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
