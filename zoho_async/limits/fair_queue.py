"""Who is next: callers take turns, each caller's calls in their order.

One caller with ten thousand calls waiting gets as many turns as one with three. Putting in, taking
the next and dropping out cost the same however many wait.
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

    It results in its slot, in None for its turn to ask, or in why it has neither. It is a future
    and does not have one, because Python's collector goes through all who wait, again and again,
    while a hundred thousand come.

    ``patient`` waits for the next day where this one is used up; ``waited`` says that it slept.
    ``deadline`` is on the scheduler's clock (monotonic), infinite for one that waits forever.
    """

    __slots__ = ("caller", "deadline", "patient", "since", "waited")

    def __init__(
        self,
        caller: Hashable,
        since: float,
        deadline: float,
        patient: bool,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(loop=loop)
        self.caller: Final = caller
        self.since: Final = since
        self.deadline: Final = deadline
        self.patient: Final = patient
        self.waited = False

    @property
    def given(self) -> Slot | None:
        """The slot that was given to it, which it may not have seen yet."""
        if not self.done() or self.cancelled():
            return None
        verdict = self.result()
        return verdict if isinstance(verdict, Slot) else None

    def resolve(self, verdict: Verdict) -> bool:
        """Wake it; False for one that was cancelled or woken before."""
        if self.done():
            return False
        self.set_result(verdict)
        return True


class FairQueue:
    """The waiters of one lane."""

    __slots__ = ("_callers", "_count")

    def __init__(self) -> None:
        # Ordered dicts and not lists or plain dicts: their first entry goes at constant cost.
        self._callers: Final[OrderedDict[Hashable, OrderedDict[Waiter, None]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Waiter]:
        for own in self._callers.values():
            yield from own

    def of(self, caller: Hashable) -> int:
        """How many calls of ``caller`` wait."""
        own = self._callers.get(caller)
        return len(own) if own else 0

    def push(self, waiter: Waiter) -> None:
        own = self._callers.get(waiter.caller)
        if own is None:
            own = self._callers[waiter.caller] = OrderedDict()
        own[waiter] = None
        self._count += 1

    def first(self) -> Waiter | None:
        """Whom `pop` would give; those who were cancelled and have yet to leave are taken out."""
        while self._callers:
            waiter = next(iter(next(iter(self._callers.values()))))
            if not waiter.done():
                return waiter
            self.pop()
        return None

    def pop(self) -> Waiter | None:
        """The next waiter, taken out; its caller goes to the end of the round."""
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
        """Take ``waiter`` out, if it is still there."""
        own = self._callers.get(waiter.caller)
        if own is None or waiter not in own:
            return
        del own[waiter]
        self._count -= 1
        if not own:
            del self._callers[waiter.caller]
