"""A fair queue: callers are served round-robin, and the calls of one caller in order.

A caller with ten thousand waiting calls gets as many turns as one with three. Pushing, popping and
discarding take constant time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Final, TypeAlias

from zoho_async.limits.slot import Slot

Verdict: TypeAlias = Slot | Exception | None


class Waiter(asyncio.Future[Verdict]):
    """One call to be admitted.

    Its result is its slot, None if it is its turn to ask the ledger, or the exception to raise. It
    is a future, and does not hold one, because a second object per waiter makes garbage collection
    slow with a hundred thousand waiters.

    ``product``: the product that it calls. ``patient``: if the day is spent, it waits for the next
    one. ``waited``: it has slept. ``deadline`` is on the scheduler's clock (monotonic), infinite
    without a limit.
    """

    __slots__ = ("caller", "deadline", "patient", "product", "since", "waited")

    def __init__(
        self,
        caller: Hashable,
        since: float,
        deadline: float,
        patient: bool,
        product: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(loop=loop)
        self.caller: Final = caller
        self.since: Final = since
        self.deadline: Final = deadline
        self.patient: Final = patient
        self.product: Final = product
        self.waited = False

    @property
    def given(self) -> Slot | None:
        """The slot that it was given, if any. Its task may not have seen it yet."""
        if not self.done() or self.cancelled():
            return None
        verdict = self.result()
        return verdict if isinstance(verdict, Slot) else None

    def resolve(self, verdict: Verdict) -> bool:
        """Wake it. Returns False if it was cancelled or woken before."""
        if self.done():
            return False
        self.set_result(verdict)
        return True


class FairQueue:
    """The waiters of one lane, in the order in which they are served."""

    __slots__ = ("_callers", "_count")

    def __init__(self) -> None:
        # OrderedDict, because it removes the first entry in constant time.
        self._callers: Final[OrderedDict[Hashable, OrderedDict[Waiter, None]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiter]:
        for own in self._callers.values():
            yield from own

    def of(self, caller: Hashable) -> int:
        """Return how many calls of ``caller`` wait."""
        own = self._callers.get(caller)
        return len(own) if own else 0

    def push(self, waiter: Waiter) -> None:
        own = self._callers.get(waiter.caller)
        if own is None:
            own = self._callers[waiter.caller] = OrderedDict()
        own[waiter] = None
        self._count += 1

    def first(self) -> Waiter | None:
        """Return the waiter that `pop` would return. Removes cancelled waiters."""
        while self._callers:
            waiter = next(iter(next(iter(self._callers.values()))))
            if not waiter.done():
                return waiter
            self.pop()
        return None

    def pop(self) -> Waiter | None:
        """Remove and return the next waiter. Its caller goes to the end of the round."""
        if not self._callers:
            return None
        caller, own = next(iter(self._callers.items()))
        waiter, _ = own.popitem(last=False)
        self._count -= 1
        if own:
            self._callers.move_to_end(caller)
        else:
            del self._callers[caller]
        return waiter

    def discard(self, waiter: Waiter) -> None:
        """Remove ``waiter``, if it is still there."""
        own = self._callers.get(waiter.caller)
        if own is None or waiter not in own:
            return
        del own[waiter]
        self._count -= 1
        if not own:
            del self._callers[waiter.caller]
