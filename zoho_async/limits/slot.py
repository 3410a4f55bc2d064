"""The right to send one request, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeAlias

from zoho_async.clock import Clock
from zoho_async.limits.models import Quota, Refusal
from zoho_async.limits.usage import Ending

#: What is to be awaited.
Settling: TypeAlias = Coroutine[Any, Any, None]


class Settler(Protocol):
    """Who takes slots back."""

    clock: Clock

    def settle(self, place: int, ending: Ending) -> Settling: ...


class Slot:
    """One admission: one request on the wire.

    Call `sent` right before the request is written, and then exactly one of `replied`, `lost` and
    `unsent`; whatever comes after the first of them does nothing. All may be awaited in a shielded
    cancel scope, and take effect even where the wait for them is cancelled. One that is `stale`
    must not be sent but given back by `unsent`.
    """

    __slots__ = ("_good_until", "_place", "_sent", "_settled", "_settler")

    def __init__(self, settler: Settler, place: int, good_until: float = math.inf) -> None:
        self._settler: Final = settler
        self._place: Final = place
        self._good_until: Final = good_until
        self._sent: float | None = None
        self._settled = False

    @property
    def stale(self) -> bool:
        """Whether so much time has passed since the admission that it no longer holds.

        That takes a process that stood still: those who share the ledger may have taken it for
        dead, and count the call as one that arrives sooner than it now would.
        """
        return self._settler.clock.monotonic() > self._good_until

    def sent(self) -> None:
        """The request is about to be written: from here on it may arrive."""
        self._sent = self._settler.clock.monotonic()

    def replied(self, *, quota: Quota | None = None, refusal: Refusal | None = None) -> Settling:
        """A reply came, with these figures: the place is free again a ``window`` from now."""
        return self._settle(Ending("replied", self._since_sent(), quota, refusal))

    def lost(self) -> Settling:
        """It was sent and nobody will read a reply: the place waits ``linger`` longer."""
        return self._settle(Ending("lost", self._since_sent()))

    def unsent(self) -> Settling:
        """It was never sent: the place is free at once, as if it had never been taken."""
        return self._settle(Ending("unsent"))

    def _settle(self, ending: Ending) -> Settling:
        if self._settled:
            return _settled_before()
        self._settled = True
        return self._settler.settle(self._place, ending)

    def _since_sent(self) -> float:
        """Seconds; a caller that forgot to say when it sent is taken to have sent just now."""
        return 0.0 if self._sent is None else self._settler.clock.monotonic() - self._sent


async def _settled_before() -> None:
    """Nothing is left to do."""
