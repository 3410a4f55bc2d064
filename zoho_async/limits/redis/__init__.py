"""The ledger in Redis, for programs on several machines.

**One code path.** The functions of `state` decide here as in every ledger. They run at the client,
on the usage as Redis holds it and at the server's time (``TIME``), and what they make of it is
written only if the usage is still what they read (compare and set, in one script). Whoever lost
that race got the new usage with the refusal and decides anew; somebody always wins, so nobody locks
and a worker that dies holds up nobody.

**One script a call.** What this worker wrote last still stands there unless somebody else wrote
since, so it decides on that first: one script admits and one settles. Each time that somebody else
was faster costs one script more. Nobody is turned away on what may be old: before a denial Redis is
asked, which writes nothing and makes one script too. A refusal of Zoho's is noted on what was just
read.

**The time of a decision** is never later than that of its writing, which can only keep places
longer. Without a question to the server it is the time of the last script, and what this machine's
clock counted since its answer (a thousandth less, for clocks that run apart). It may so be early by
the answer's way back, and a reply must not be taken for earlier than it was: the place of its call
is kept for as much longer as the two bounds lie apart (``Ending.unsure``).

**Leases.** Each worker's name stands in a sorted set with the time when its lease ends, renewed by
each of its scripts and, while it has calls open, by a task. Whoever finds open calls of a worker
without a lease counts them as on their way, sent as late as that moment. A worker that merely stood
still (a stopped process, a frozen machine) is fenced where it can do harm: a place that it was
given longer ago than a lease is stale and is not sent (`Slot.stale`), so what it sent it sent
before anybody buried it, and the count is right. When it ends a call that was buried, the ending
finds no open place of this worker's and frees none, whoever has that number now; a reply counts in
the minute once more, which can only keep places longer.

**What may break.** A script whose answer is lost may have taken a place that no caller knows of: it
carries this worker's name but is not among its calls, so the worker's next look gives it back. An
ending that cannot be written is kept and written later. While Redis is away nothing is sent, or
(``share``) what this worker's own share of the limits allows. A server that forgot is noticed by
the script itself, gives no place until all that it may have forgotten has left the count, and is
told what its clients know of blocks and of the day. Why that is enough, and what cannot be
promised, is in `epoch`.

The server's clock should not be set forward by hand: the time skipped counts as passed. One set
back by more than a minute is treated as another start of a machine.

`script` is what Redis runs, `link` the way there, `epoch` what holds after a loss or an outage,
`merge` what is entered again, `news` how waiting workers hear of each other's replies, `ledger` the
rest.
"""

from __future__ import annotations

from zoho_async.limits.redis.ledger import RedisLedger

__all__ = ["RedisLedger"]
