"""A worker's share of the limits, for the time when Redis cannot be reached.

During an outage a worker knows nothing of the others. So it first waits until all their earlier
calls have left the count, and until all of them have noticed that it is gone. Then it sends at most
its share of each limit, and only as long as the others leave that share to it. What Redis knew of a
block or of the day still applies. When Redis is back, all calls of the outage are entered before
the worker counts as connected. `zoho_async.limits.redis.epoch` explains why these times are long
enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappush
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.limits import usage as usages
from zoho_async.limits.block import Block
from zoho_async.limits.daily_quota import DailyQuota
from zoho_async.limits.models import Lane, Limits
from zoho_async.limits.product_days import ProductDays
from zoho_async.limits.usage import DRIFT, Denial, Ending, Usage

#: Seconds between two attempts to reach Redis.
RETRY_EVERY: Final = 1.0


class Sender(msgspec.Struct, frozen=True):
    """The account and the limits of calls that were sent offline."""

    account: str
    limits: Limits


class OfflineShare:
    """The calls that one worker sent offline. Moments are its own monotonic time."""

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
        product: str = "",
    ) -> int | Denial:
        """Take a place. Its number is below zero.

        ``memories`` are the remembered usages of the organization and of its account, by this
        clock.
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
            product,
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
        """Yield the keys with calls that Redis does not know."""
        yield from tuple(self._senders.items())

    def enter(
        self, key: str, account: str, usage: Usage, clock: Clock, now: float, lease: float
    ) -> None:
        """Add the calls that were sent offline to the ``usage`` in Redis, at ``now``."""
        own, sender = self._usages.get(key), self._senders.get(key)
        if own is None or sender is None:
            return
        here, limits = clock.monotonic(), sender.limits
        moments = [now + (until - here) * DRIFT for until in own.held if until > here]
        # Calls that are open were sent within a lease from now; their endings are entered too.
        moments += [now + lease + limits.linger + limits.window * DRIFT] * len(own.open)
        for moment in moments:
            heappush(usage.held, moment)
        if usage.others is not None:
            usage.others.begin_again()  # else these calls look like others
        if moments:
            arrived = max(moments) - limits.window * DRIFT
            usage.unsure_until = max(usage.unsure_until, arrived)
        for until in own.bulk:
            if until > here:
                heappush(usage.bulk, now + until - here)
        for _ in range(own.day.used):
            usage.day.count(now)
        if usage.products is not None:
            days = {} if own.products is None else own.products.days
            # Without own days, this worker does not know which products it called.
            calls = {name: day.used for name, day in days.items()} or {"": own.day.used}
            for product, used in calls.items():
                for _ in range(used):
                    usage.products.count(product, now)
        for block in (own.block, self._usage(account).block):
            _extend_block(usage.block, block, now, here)

    def forget(self, key: str) -> None:
        """Forget the offline calls of ``key``, which are in Redis now."""
        own = self._usages.pop(key, None)
        self._senders.pop(key, None)
        if own is not None and own.open:
            self._usages[key] = Usage(open=own.open, serial=own.serial)

    def _usage(self, key: str) -> Usage:
        return self._usages.setdefault(key, Usage())

    def _own_share(self, limits: Limits, known: Usage | None) -> Limits | None:
        """Return this worker's share of the limits, and of the calls left today if known."""
        if limits.day is not None and known is not None:
            left = max(1, limits.day - known.day.used)
            limits = msgspec.structs.replace(limits, day=left)
        return share_of(limits, self._share)

    def _start_offline(self, memory: Usage) -> Usage:
        """Return the usage to start an outage with, from the usage in Redis."""
        products = memory.products
        if products is not None:
            days = {name: self._start_day(day) for name, day in products.days.items()}
            products = ProductDays(pairs=products.pairs, days=days)
        return Usage(block=memory.block, day=self._start_day(memory.day), products=products)

    def _start_day(self, day: DailyQuota) -> DailyQuota:
        known = day.reported_left()
        left = None if known is None else int(max(0, known) * (self._share or 0))
        return DailyQuota(
            limit=day.limit,
            left=left,
            reset_at=day.reset_at,
            predicted=day.predicted,
            renewed=day.renewed,
            spent=day.spent,
            refused=day.refused,
            probe_at=day.probe_at,
        )


def share_of(limits: Limits, share: float | None, places: int | None = None) -> Limits | None:
    """Return the ``share`` of ``limits``, or None if that is under one call.

    ``places`` is the calls in a ``window``, if known exactly.
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


def _extend_block(block: Block, other: Block, now: float, here: float) -> None:
    """Extend ``block`` by a block that began during the outage."""
    if other.opens > here:
        block.closed = now
        block.opens = max(block.opens, now + other.opens - here)
        block.strikes = max(block.strikes, other.strikes)
