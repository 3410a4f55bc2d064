"""The ledger in Redis, for programs on several machines.

**Compare and set.** The functions of `usage` decide here as in every ledger. They run at the
client, on the usage that Redis holds and at the server's time (``TIME``). One script writes the
result only if the usage has not changed since it was read. A worker that loses this race gets the
new usage in the same reply and decides again. One worker always wins, so there are no locks, and a
worker that dies does not hold up others.

**One script per call.** A reply goes to its caller at once. Its ending is written with the
worker's next admission at that key, so one script settles a call and admits the next. If no call
follows, a task writes it: after a quarter of a second if half of the calls in flight are open, else
after a third of a lease, or when another worker waits for it. Until then the call counts as open,
which only keeps places longer. A refusal by Zoho, a lost call and a call that was not sent are
written at once.

**Hearing other workers.** A worker decides on the usage that it wrote last, or that another worker
published since (`subscriber`). If both are old, the comparison fails: the race costs one script
more. A call is denied without a script only while the server has confirmed the subscription, else
the worker reads the usage first. Workers that wait for the same moment ask at random times after
it, so one of them takes the place and the others hear of it.

**The time of a decision** is never later than the time of its writing, so places are kept long
enough. Without a question to the server, it is the time of the last script plus the time that this
machine's clock counted since its answer (a thousandth less, because clocks drift). So it may be too
early by the time that the answer took. A reply must not be noted too early, so the place of its
call is kept from the latest moment at which the reply can have come, by the server's time
(``Ending.unsure``).

**Leases.** A sorted set holds the name of each worker and the time when its lease ends. Each script
renews the lease. If none ran for a third of a lease while calls are open, a task renews it. A
worker without open calls needs no lease. If a worker has no lease,
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
holds. `worker` has the operations, `changes` decides and writes, `company` knows the other workers,
and `renewal` keeps the lease. `epoch` covers lost data and outages, `offline` counts calls
during an outage, and `subscriber` wakes waiters of other workers.
"""

from __future__ import annotations

from zoho_async.limits.redis.ledger import RedisLedger

__all__ = ["RedisLedger"]
