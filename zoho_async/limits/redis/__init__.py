"""The ledger in Redis, for programs on several machines.

**Compare and set.** The functions of `usage` decide here as in every ledger. They run at the
client, on the usage that Redis holds and at the server's time (``TIME``). One script writes the
result only if the usage has not changed since it was read. A worker that loses this race gets the
new usage in the same reply and decides again. One worker always wins, so there are no locks, and a
worker that dies does not hold up others.

**One script per operation.** A worker first decides on the usage that it wrote last, because often
no other worker has changed it. Then one script admits a call and one settles it. Each lost race
costs one script more. A call is never denied on usage that may be old: before a denial the worker
reads the usage with one script. A refusal by Zoho is noted on usage that was just read.

**The time of a decision** is never later than the time of its writing, so places are kept long
enough. Without a question to the server, it is the time of the last script plus the time that this
machine's clock counted since its answer (a thousandth less, because clocks drift). So it may be too
early by the time that the answer took. A reply must not be noted too early, so the place of its
call is kept longer by that uncertainty (``Ending.unsure``).

**Leases.** A sorted set holds the name of each worker and the time when its lease ends. Each script
renews the lease, and so does a task while the worker has open calls. If a worker has no lease,
others abandon its open calls, as if they were sent at that moment. A worker that was only stopped
(a stopped process, a frozen machine) cannot break this: it does not use a place that is older than
a lease (`Slot.stale`), so all that it sent was sent before its calls were abandoned. When it ends
such a call, the ending frees no place, whichever call has the number now. A reply counts in the
minute once more, which only keeps places longer.

**Faults.** If the answer of a script is lost, a place may be taken that no caller knows. It has
this worker's name but is not among its calls, so the worker's next operation gives it back. An
ending that cannot be written is kept and written later. While Redis is unreachable, nothing is
sent, or (``share``) only this worker's share of the limits. If the server lost its data, the script
notices. Then it gives no place until all calls that it may have forgotten have left the count, and
its clients enter again what they know of blocks and of the day. `epoch` proves this and says what
cannot be guaranteed.

Do not set the server's clock forward by hand, because the time that it skips counts as passed. A
clock that is set back by more than a minute is treated as a restart of the machine.

Modules: `script` runs in Redis, `connection` reaches it, and `rows` reads usages from what it
holds. `worker` decides and writes. `epoch` covers lost data and outages, `offline` counts calls
during an outage, and `subscriber` wakes waiters of other workers.
"""

from __future__ import annotations

from zoho_async.limits.redis.ledger import RedisLedger

__all__ = ["RedisLedger"]
