"""Pure functions: what a worker may send if Redis lost its data or another worker is offline.

Model
-----
An *epoch* is a time in which Redis has lost no data. It has an id, the ``run_id`` of the server
process that it began in, and its birth (the server's time). Redis keeps it next to the usage, so
both are lost together. An epoch ends if it is missing (flushed, restarted empty, evicted), or if
another process holds it (restarted from a snapshot, failed over to a replica).

A *share* is what one worker may send while it cannot reach Redis. It is registered with the epoch.
A worker is *connected* while its lease lasts. Then Redis knows all calls that it sent.

Invariant
---------
At most ``limit`` calls of all workers arrive in any ``window`` seconds.

1. No place is given before birth + `startup_wait`: ``window`` + ``linger`` + lease.
2. If a usage is missing although it was written, it gives no place before the time of that writing
   + `startup_wait`.
3. A worker sends offline from `offline_wait` after its last script that may have reached Redis,
   until ``max_offline`` seconds after that, and at most its share
   (`zoho_async.limits.redis.offline`).
4. Connected workers use the limit less the shares of registered workers that are not connected.
5. Before birth + `share_lifetime`, connected workers use the sum of their shares, if there are any
   shares.
6. A worker that sent offline is connected only after it has entered all that it sent.

Why it holds
------------
*A forgotten call.* It was admitted before the birth (rule 2: before the last writing). It is sent
within a lease of its admission, or not at all (`Slot.stale`). It arrives within ``linger`` of that
and leaves the count ``window`` later: before the first new place (rule 1).

*A worker that is offline.* Let T be the server's time of its last script. The others see its lease
end at T + lease; they decide on data that is at most a third of a lease old, if any share is
registered. The script refuses to write if that changed since the data was read. From then on their
places fit into limit - share (rule 4). Their earlier calls are sent within a lease, arrive within
``linger`` and have left the count ``window`` later. That is before T + `offline_wait`, and the
worker sends nothing offline before that (rule 3). Its last offline call has left the count
`share_lifetime` after T. Its registration lasts as long.

*Several workers that are offline.* Each has registered its share, and the shares are at most 1.

*A worker that comes back.* Until it is connected, the others do not use its share. When it is
connected, all its calls are in the count (rule 6), and the count is complete. So it does not matter
which worker is first.

*Redis lost its data while a worker is offline.* The registration of the worker may be lost too. But
it sends at most its share, and the connected workers use only their own shares (rule 5) for as long
as any worker may send offline. Live workers enter again what they remember of blocks and of the day
when they next ask (`restore`).

Unknown
-------
- An old master that still serves clients in a partition after a replica was promoted. Workers on
  either side do not see each other's calls. The replica's new epoch waits, but the old master does
  not know of it. `WAIT` and ``min-replicas-to-write`` on the server bound this; nothing here can.
- A call without a reply that arrives later than ``linger``.
- A command that Redis runs after the worker gave it up (10 seconds). It renews a lease that its
  owner takes for lost.
- A server's clock that is set forward: the time that it skips counts as passed.
- All workers must use the same ``lease``, ``share`` rules and ``Limits``. A worker without a share
  in a fleet with shares does not know of shares that Redis lost.
- A machine that sleeps: its clock does not count that time, so it may send offline for longer.
- A worker that was killed keeps its share from the others until `share_lifetime` has passed. A
  worker that signs off (`RedisLedger.close`) does not.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from zoho_async.limits import recovery
from zoho_async.limits.block import Block
from zoho_async.limits.daily_quota import DailyQuota
from zoho_async.limits.models import Limits
from zoho_async.limits.product_days import ProductDays
from zoho_async.limits.redis.offline import share_of
from zoho_async.limits.usage import DRIFT, Usage


class Share(msgspec.Struct, frozen=True):
    """A registered share (0 to 1), its owner, and when its registration ends (server's time)."""

    owner: str
    share: float
    ends: float


class Epoch(msgspec.Struct, frozen=True):
    """A time since ``birth`` in which Redis lost no data, and the shares registered in it.

    ``birth`` is 0 if the server is known to have lost nothing.
    """

    id: str
    birth: float
    shares: tuple[Share, ...] = ()


def startup_wait(limits: Limits, lease: float) -> float:
    """Return the seconds after which earlier calls have left the count."""
    return (limits.window + limits.linger + lease) * DRIFT


def offline_wait(limits: Limits, lease: float) -> float:
    """Return the seconds without Redis before a worker may send offline."""
    return (limits.window + limits.linger + 3 * lease) * DRIFT


def share_lifetime(limits: Limits, lease: float, max_offline: float) -> float:
    """Return the seconds after a worker's last script in which its offline calls may count."""
    return (offline_wait(limits, lease) + max_offline) * DRIFT + startup_wait(limits, lease)


def connected_limits(
    limits: Limits, epoch: Epoch, alive: Collection[str], now: float, lifetime: float
) -> Limits | None:
    """Return the limits of all connected workers together, or None if that is under one call.

    ``lifetime`` is the `share_lifetime` of this worker's settings.
    """
    shares = [each for each in epoch.shares if each.ends > now]
    if not shares:
        return limits
    living = sum(int(limits.limit * each.share) for each in shares if each.owner in alive)
    away = sum(int(limits.limit * each.share) for each in shares if each.owner not in alive)
    places = living if now < epoch.birth + lifetime else limits.limit - away
    if places >= limits.limit:
        return limits
    return share_of(limits, places / limits.limit, places)


def restore(usage: Usage, base: dict[int, int], memory: Usage, passed: float, now: float) -> None:
    """Enter a worker's ``memory`` of a usage that Redis lost into ``usage``.

    Several workers remember the same calls, each up to its own last writing. So counts are not
    added up. For each hour, the highest count that any worker remembers is the ``base``, and calls
    since then are added to it. Entering the same memory twice changes nothing.

    The minute is not entered, because no place is given until all its calls have left the count.

    The moments of ``memory`` are moved by ``passed`` seconds.
    """
    recovery.shift_clock(memory, passed)
    _merge_block(usage.block, memory.block)
    sent = max(0, usage.day.used - sum(base.values()))
    _merge_day(usage.day, base, memory.day, now)
    if memory.products is not None:
        usage.products = usage.products or ProductDays()
        usage.products.merge(memory.products, sent, now)
    usage.slowest = max(usage.slowest, memory.slowest)


def _merge_block(block: Block, memory: Block) -> None:
    if memory.opens > block.opens:
        block.closed = max(block.closed, memory.closed)
        block.opens = memory.opens
        block.strikes = max(block.strikes, memory.strikes)


def _merge_day(day: DailyQuota, base: dict[int, int], memory: DailyQuota, now: float) -> None:
    for each in (day, memory):
        each.pass_time(now, now, 0)
    sent = max(0, day.used - sum(base.values()))
    for hour, calls in memory.hours.items():
        if calls > base.get(hour, 0):
            day.hours[hour] = day.hours.get(hour, 0) + calls - base.get(hour, 0)
            base[hour] = calls
    day.used = sum(day.hours.values())
    if day.limit is None:
        day.limit = memory.limit
    if memory.left is not None:
        left = memory.left - sent
        day.left = left if day.left is None else min(day.left, left)
    if memory.reset_at is not None and (day.predicted or not memory.predicted):
        known = 0.0 if day.reset_at is None or day.predicted else day.reset_at
        day.reset_at, day.predicted = max(memory.reset_at, known), memory.predicted
    day.renewed = max(day.renewed, memory.renewed)
    if memory.spent:
        day.spent = True
        day.refused = max(day.refused, memory.refused)
    day.probe_at = max(day.probe_at, memory.probe_at)
