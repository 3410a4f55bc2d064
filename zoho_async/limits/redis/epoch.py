"""What a worker may send if Redis forgot, and while another worker cannot reach it: pure functions.

Model
-----
An *epoch* is a time for which Redis has forgotten nothing. It has an id, the ``run_id`` of the
server process that it began in, and its birth (the server's time). Redis keeps it next to the
usage, so that it is lost with the usage. It ends if it is missing (flushed, restarted empty,
evicted), or if another process holds it (restarted from a snapshot, failed over to a replica).

A *share* is what one worker may send if it cannot reach Redis. It is registered with the epoch.
A worker is *connected* while its lease lasts; then it has sent nothing that Redis does not know.

Invariant
---------
At most ``limit`` calls of all workers arrive in any ``window`` seconds.

1. No place is given before birth + `settled`: ``window`` + ``linger`` + lease.
2. A usage that is missing although it was written gives no place before the time of that writing +
   `settled`.
3. A worker sends alone from `quiet` after its last script that may have reached Redis, until
   ``alone`` seconds after that, and at most its share (`zoho_async.limits.redis.offline`).
4. Connected workers use the limit less the shares of registered workers that are not connected.
5. Before birth + `reach`, connected workers use the sum of their shares, if there are any shares.
6. A worker that sent alone is connected only after it has entered all that it sent.

Why it holds
------------
*A forgotten call.* It was admitted before the birth (rule 2: before the last writing). It is sent
within a lease of its admission, or not at all (`Slot.stale`). It arrives within ``linger`` of that
and leaves the count ``window`` later: before the first new place (rule 1).

*A worker that is cut off.* Let T be the server's time of its last script. The others find its lease
over at T + lease; they decide on what they read a third of a lease ago at most. From then on their
places fit into limit - share (rule 4). What they were given before is sent within a lease, arrives
within ``linger`` and has left the count ``window`` later. That is before T + `quiet`, and the
worker sends nothing alone before that (rule 3). Its last call alone has left the count `reach`
after T. Its registration holds as long.

*Several workers that are cut off.* Each has its share registered, and the shares are at most 1.

*A worker that comes back.* Until it is connected, the others leave its share to it. When it is, all
that it sent is in the count (rule 6), and the count is whole. So it does not matter who is first.

*Redis forgot while a worker is cut off.* Its registration may be forgotten, too. But it sends at
most its share, and the connected workers use no more than their own shares (rule 5) for as long as
any worker may send alone. What living workers remember of blocks and of the day they enter again
when they next ask (`merge`).

Unknown
-------
- An old master that goes on serving in a partition, while a replica was promoted: workers on either
  side do not see each other's calls. A replica's new epoch waits, but the old master does not know
  of it. `WAIT` and ``min-replicas-to-write`` on the server bound this; nothing here can.
- A call without a reply that arrives later than ``linger``.
- A command that Redis executes after the worker gave it up (10 seconds). It renews a lease that its
  owner takes for lost.
- A server's clock that is set forward: the time skipped counts as passed.
- All workers must use the same ``lease``, ``share`` rules and ``Limits``; a worker without a share
  in a fleet that uses shares knows of none that Redis forgot.
- A machine that sleeps: its clock does not count that time, so it may send alone for longer.
- A single worker that no longer exists keeps its share from the others until `reach` has passed,
  unless it signed off (`RedisLedger.close`).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from zoho_async.limits.models import Limits
from zoho_async.limits.redis.offline import share_of
from zoho_async.limits.usage import DRIFT


class Share(msgspec.Struct, frozen=True):
    """A registered share (0 to 1), its owner, and when its registration ends (server's time)."""

    owner: str
    share: float
    ends: float


class Epoch(msgspec.Struct, frozen=True):
    """A time for which Redis forgot nothing, since ``birth``, and the shares registered in it.

    ``birth`` is 0 if the server is known to have forgotten nothing.
    """

    id: str
    birth: float
    shares: tuple[Share, ...] = ()


def startup_wait(limits: Limits, lease: float) -> float:
    """Seconds after which nothing that was admitted before can still count."""
    return (limits.window + limits.linger + lease) * DRIFT


def offline_wait(limits: Limits, lease: float) -> float:
    """Seconds without Redis before a worker may send alone."""
    return (limits.window + limits.linger + 3 * lease) * DRIFT


def share_lifetime(limits: Limits, lease: float, max_offline: float) -> float:
    """Seconds after its last script in which a worker's calls alone may count."""
    return (offline_wait(limits, lease) + max_offline) * DRIFT + startup_wait(limits, lease)


def connected_limits(
    limits: Limits, epoch: Epoch, alive: Collection[str], now: float, lifetime: float
) -> Limits | None:
    """What connected workers may use together of ``limits``; None if that is less than a call.

    ``reached`` is the `reach` of this worker's settings.
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
