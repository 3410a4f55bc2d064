"""A slot: the permission to send one request, and how that request ended."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any, Protocol

import msgspec

from zoho_async.clock import Clock
from zoho_async.limits.models import Quota, Refusal
from zoho_async.limits.usage import Ending


class Settler(Protocol):
    """A scheduler, as slots see it."""

    clock: Clock

    def settle(self, place: int, ending: Ending) -> Coroutine[Any, Any, None] | None:
        """Note how a call ended. Returns None if that is done, else what is to be awaited."""
        ...


class Slot(msgspec.Struct, eq=False):  # a struct, because it is faster to create
    """The permission to send one request.

    Call `sent` right before the request is written, then one of `replied`, `lost` and `unsent`.
    Only the first of these has an effect. It takes effect even if awaiting it is cancelled. If the
    slot is `stale`, do not send: call `unsent` and ask for a new slot.
    """

    _settler: Settler
    _place: int
    _good_until: float = math.inf
    _sent: float | None = None
    _settled: bool = False

    @property
    def stale(self) -> bool:
        """Whether the slot is too old to be used.

        This happens if the process was stopped. Other processes may have taken it for dead, and
        count the call as one that arrives earlier than it now would.
        """
        return self._settler.clock.monotonic() > self._good_until

    def sent(self) -> None:
        """Note that the request is about to be written. From now on it may arrive."""
        self._sent = self._settler.clock.monotonic()

    async def replied(self, *, quota: Quota | None = None, refusal: Refusal | None = None) -> None:
        """End the slot with a reply. The place is free a ``window`` from now."""
        if not self._settled:
            self._settled = True
            since = 0.0 if self._sent is None else self._settler.clock.monotonic() - self._sent
            ending = Ending("replied", since, quota, refusal)
            settling = self._settler.settle(self._place, ending)
            if settling is not None:
                await settling

    async def lost(self) -> None:
        """End the slot without a reply. The place is kept ``linger`` longer."""
        if not self._settled:
            self._settled = True
            since = 0.0 if self._sent is None else self._settler.clock.monotonic() - self._sent
            settling = self._settler.settle(self._place, Ending("lost", since))
            if settling is not None:
                await settling

    async def unsent(self) -> None:
        """End the slot without a request. The place is free at once."""
        if not self._settled:
            self._settled = True
            settling = self._settler.settle(self._place, Ending("unsent"))
            if settling is not None:
                await settling
