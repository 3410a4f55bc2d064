"""The limits that all callers of one process have agreed on for one organization.

Callers may come with different `Limits`. Each of them says what the organization may be sent, so
all of them hold: field by field, the stricter figure applies. It applies from the moment that a
caller comes until it leaves, in every thread and event loop that uses the same ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import reduce
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from zoho_async.limits.ledger import Ledger
from zoho_async.limits.models import BlockScope, Limits

_WIDEST_FIRST: Final[tuple[BlockScope, ...]] = ("account", "code", "organization")


def stricter(one: Limits, other: Limits) -> Limits:
    """What keeps both ``one`` and ``other``."""
    if one == other:
        return one
    limit, window = min(one.limit, other.limit), max(one.window, other.window)
    day = min((day for day in (one.day, other.day) if day is not None), default=None)
    scopes = {one.block_scope, other.block_scope}
    return msgspec.structs.replace(
        one,
        limit=limit,
        burst=min(one.burst, other.burst, limit),
        window=window,
        linger=max(one.linger, other.linger),
        in_flight=min(one.in_flight, other.in_flight),
        day=day,
        reserve=_reserve(one.reserve, other.reserve, day),
        block_scope=next(scope for scope in _WIDEST_FIRST if scope in scopes),
        pace="even" if "even" in (one.pace, other.pace) else "full",
    )


def _reserve(one: float, other: float, day: int | None) -> float:
    """The larger reserve: each is a share of the day if it is below 1, else a number of calls."""
    share, number = sorted((one, other))
    if (share < 1) == (number < 1):
        return number
    return share if day is None else max(number, share * day)


class SharedLimits:
    """The limits of one organization, and whose they are. ``limits`` is read by any thread."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._callers: Final[WeakKeyDictionary[object, Limits]] = WeakKeyDictionary()
        self.limits: Limits | None = None

    def join(self, caller: object, limits: Limits) -> None:
        """``caller`` comes, or has other limits than before."""
        with self._lock:
            if self._callers.get(caller) is not limits:
                self._callers[caller] = limits
                self._agree(self._callers.values())

    def leave(self, caller: object) -> None:
        with self._lock:
            if self._callers.pop(caller, None) is not None:
                self._agree(self._callers.values())

    def _agree(self, every: Iterable[Limits]) -> None:
        figures = list(every)
        if figures:
            self.limits = reduce(stricter, figures)


_AGREED: Final[WeakKeyDictionary[Ledger, WeakValueDictionary[str, SharedLimits]]] = (
    WeakKeyDictionary()
)
_LOCK: Final = threading.Lock()


def shared_limits(ledger: Ledger, key: str) -> SharedLimits:
    """What the callers of ``key`` that use ``ledger`` have agreed on."""
    with _LOCK:
        known = _AGREED.get(ledger)
        if known is None:
            known = _AGREED[ledger] = WeakValueDictionary()
        found = known.get(key)
        if found is None:
            found = known[key] = SharedLimits()
        return found
