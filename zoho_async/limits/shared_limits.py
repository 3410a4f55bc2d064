"""The limits that all callers of one process share for one organization.

Callers may come with different `Limits`. All of them apply: each field takes the strictest value.
It applies from the moment that a caller joins until it leaves, in every thread and event loop that
uses the same ledger.
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
    """Return limits that satisfy both ``one`` and ``other``."""
    if one == other:
        return one
    limit, window = min(one.limit, other.limit), max(one.window, other.window)
    day, total = _smaller(one.day, other.day), _smaller(one.total, other.total)
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
        time_zone=_time_zone(one.time_zone, other.time_zone),
        total=total,
    )


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _time_zone(one: str | None, other: str | None) -> str | None:
    """Return the zone that is known. An organization has one, so of two none is sure."""
    if one is None or other is None:
        return one or other
    return one if one == other else None


def _reserve(one: float, other: float, day: int | None) -> float:
    """Return the larger reserve: a share of the day if below 1, else a number of calls."""
    share, number = sorted((one, other))
    if (share < 1) == (number < 1):
        return number
    return share if day is None else max(number, share * day)


class SharedLimits:
    """The limits of one organization, by caller. Any thread may read ``limits``."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._callers: Final[WeakKeyDictionary[object, Limits]] = WeakKeyDictionary()
        self.limits: Limits | None = None

    def join(self, caller: object, limits: Limits) -> None:
        """Add ``caller``, or replace the limits that it had."""
        with self._lock:
            if self._callers.get(caller) is not limits:
                self._callers[caller] = limits
                self._update(self._callers.values())

    def leave(self, caller: object) -> None:
        with self._lock:
            if self._callers.pop(caller, None) is not None:
                self._update(self._callers.values())

    def _update(self, all_limits: Iterable[Limits]) -> None:
        figures = list(all_limits)
        if figures:
            self.limits = reduce(stricter, figures)


_SHARED: Final[WeakKeyDictionary[Ledger, WeakValueDictionary[str, SharedLimits]]] = (
    WeakKeyDictionary()
)
_LOCK: Final = threading.Lock()


def shared_limits(ledger: Ledger, key: str) -> SharedLimits:
    """Return the limits that callers of ``key`` share in ``ledger``."""
    with _LOCK:
        known = _SHARED.get(ledger)
        if known is None:
            known = _SHARED[ledger] = WeakValueDictionary()
        found = known.get(key)
        if found is None:
            found = known[key] = SharedLimits()
        return found
