"""A worker's own share of the limits, for the time when the shared ledger is away.

Nothing is known of the others then. So the worker first waits until all that any of them may have
sent before has left the count, and all of them have seen that it is gone. Then it sends no more
than its share of every limit, and not for longer than its share is kept for it. What the ledger
knew of a block or of the day still holds. When the ledger is back, all that was sent meanwhile is
entered there before this worker counts as connected. Why the times are long enough is in
`zoho_async.limits.redis.epoch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappush
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.limits import daily_quota as days
from zoho_async.limits import usage as usages
from zoho_async.limits.block import Block
from zoho_async.limits.daily_quota import Day
from zoho_async.limits.models import Lane, Limits
from zoho_async.limits.usage import DRIFT, Denial, Ending, Usage

#: Seconds between two tries to reach the ledger.
RETRY_EVERY: Final = 1.0


class Sender(msgspec.Struct, frozen=True):
    """Whose calls were sent without the ledger, and by which limits."""

    account: str
    limits: Limits


class OfflineShare:
    """What one worker sent without the ledger. Moments are its own monotonic time."""

    def __init__(self, share: float | None) -> None:
        self._share: Final = share
        self._usages: Final[dict[str, Usage]] = {}
        self._senders: Final[dict[str, Sender]] = {}

    def take(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
        memories: tuple[Usage | None, Usage | None] = (None, None),
    ) -> int | Denial:
        """A place, by a number below zero.

        ``memories`` are what is remembered of the usage and of the account's, by this clock.
        """
        known, account_usage = memories
        own = self._own_share(limits, known)
        if own is None:
            return Denial("ledger", RETRY_EVERY)
        for each, memory in ((key, known), (account, account_usage)):
            if memory is not None and each not in self._usages:
                self._usages[each] = self._start_offline(memory)
        self._senders[key] = Sender(account, limits)
        answer = usages.take(
            self._usage(key),
            self._usage(account),
            lane,
            own,
            clock.monotonic(),
            clock.time(),
            "",
        )
        return answer if isinstance(answer, Denial) else -answer

    def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        usage, account_usage = self._usage(key), self._usage(account)
        now, wall = clock.monotonic(), clock.time()
        own = share_of(limits, self._share) or limits
        return usages.settle(usage, account_usage, -place, ending, own, now, wall)

    def senders(self) -> Iterator[tuple[str, Sender]]:
        """Those of whom something was sent that the ledger does not know."""
        yield from tuple(self._senders.items())

    def enter(
        self, key: str, account: str, usage: Usage, clock: Clock, now: float, lease: float
    ) -> None:
        """Add to the ledger's ``usage`` at ``now`` what was sent without it."""
        own, sender = self._usages.get(key), self._senders.get(key)
        if own is None or sender is None:
            return
        here, limits = clock.monotonic(), sender.limits
        for until in own.held:
            if until > here:
                heappush(usage.held, now + (until - here) * DRIFT)
        for _ in own.open:  # sent within a lease from now; its ending will be entered too
            heappush(usage.held, now + lease + limits.linger + limits.window * DRIFT)
        for _ in range(own.day.used):
            days.count(usage.day)
        for block in (own.block, self._usage(account).block):
            _close(usage.block, block, now, here)

    def entered(self, key: str) -> None:
        """What was sent without the ledger is in it now."""
        own = self._usages.pop(key, None)
        self._senders.pop(key, None)
        if own is not None and own.open:
            self._usages[key] = Usage(open=own.open, serial=own.serial)

    def _usage(self, key: str) -> Usage:
        return self._usages.setdefault(key, Usage())

    def _own_share(self, limits: Limits, known: Usage | None) -> Limits | None:
        """This worker's share, of the day's calls that are left as far as is known."""
        if limits.day is not None and known is not None:
            left = max(1, limits.day - known.day.used)
            limits = msgspec.structs.replace(limits, day=left)
        return share_of(limits, self._share)

    def _start_offline(self, memory: Usage) -> Usage:
        """What holds without the ledger of a usage that it kept."""
        day = memory.day
        left = None if day.left is None else int(max(0, day.left) * (self._share or 0))
        return Usage(
            block=memory.block,
            day=Day(
                limit=day.limit,
                left=left,
                reset_at=day.reset_at,
                renewed=day.renewed,
                spent=day.spent,
                refused=day.refused,
                probe_at=day.probe_at,
            ),
        )


def share_of(limits: Limits, share: float | None, places: int | None = None) -> Limits | None:
    """The ``share`` of ``limits``; None if that is less than one call.

    ``places`` is the calls in a ``window``, if that is known exactly.
    """
    if share is None:
        return None
    limit = int(limits.limit * share) if places is None else places
    day = None if limits.day is None else int(limits.day * share)
    if limit < 1 or day == 0:
        return None
    return msgspec.structs.replace(
        limits,
        limit=limit,
        burst=max(1, min(limit, int(limits.burst * share))),
        in_flight=max(1, int(limits.in_flight * share)),
        day=day,
    )


def _close(block: Block, learnt: Block, now: float, here: float) -> None:
    """Keep ``gate`` shut as long as the one that was closed meanwhile."""
    if learnt.opens > here:
        block.closed = now
        block.opens = max(block.opens, now + learnt.opens - here)
        block.strikes = max(block.strikes, learnt.strikes)
