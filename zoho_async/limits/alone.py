"""A worker's own share of the limits, for the time when the shared ledger is away.

Nothing is known of the others then. So the worker first waits until all that anybody may have sent
before has left the count (a window, and ``linger`` for what was on its way), and then sends no more
than its share of every limit. If the shares together are at most one, so are the calls. When the
ledger is back, what was sent meanwhile is entered there, as if it had just been.
"""

from __future__ import annotations

from heapq import heappush
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.limits import day as days
from zoho_async.limits import state
from zoho_async.limits.figures import Lane, Limits
from zoho_async.limits.gate import Gate
from zoho_async.limits.state import DRIFT, Denial, Ending, Usage

#: Seconds between two tries to reach the ledger.
AGAIN: Final = 1.0


class Alone:
    """What one worker sent without the ledger. Moments are its own monotonic time."""

    def __init__(self, share: float | None) -> None:
        self._share: Final = share
        self._usages: Final[dict[str, Usage]] = {}

    def take(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
        away: float,
    ) -> int | Denial:
        """A place, by a number below zero; ``away`` is for how long the ledger has been away."""
        own = part(limits, self._share)
        if own is None:
            return Denial("ledger", AGAIN)
        quiet = limits.window * DRIFT + limits.linger - away
        if quiet > 0:
            return Denial("ledger", min(quiet, AGAIN))
        usage, whole = self._usage(key), self._usage(account)
        answer = state.take(usage, whole, lane, own, clock.monotonic(), clock.time(), "")
        return answer if isinstance(answer, Denial) else -answer

    def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        usage, whole = self._usage(key), self._usage(account)
        now, wall = clock.monotonic(), clock.time()
        own = part(limits, self._share) or limits
        return state.settle(usage, whole, -place, ending, own, now, wall)

    def enter(
        self, key: str, account: str, usage: Usage, limits: Limits, clock: Clock, now: float
    ) -> bool:
        """Add to the ledger's ``usage`` at ``now`` what was sent without it; whether there was."""
        own = self._usages.get(key)
        if own is None or (own.day.used == 0 and not own.held):
            return False
        here = clock.monotonic()
        for until in own.held:
            if until > here:
                heappush(usage.held, now + until - here)
        for _ in own.open:  # sent by now; its ending will be entered too
            heappush(usage.held, now + limits.linger + limits.window * DRIFT)
        for _ in range(own.day.used):
            days.count(usage.day)
        for gate in (own.gate, self._usage(account).gate):
            _close(usage.gate, gate, now, here)
        return True

    def entered(self, key: str) -> None:
        """What was sent without the ledger stands in it now."""
        own = self._usages.get(key)
        if own is not None:
            self._usages[key] = Usage(open=own.open, serial=own.serial)

    def _usage(self, key: str) -> Usage:
        return self._usages.setdefault(key, Usage())


def part(limits: Limits, share: float | None) -> Limits | None:
    """The ``share`` of ``limits``; None where that is less than one call."""
    if share is None:
        return None
    limit = int(limits.limit * share)
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


def _close(gate: Gate, learnt: Gate, now: float, here: float) -> None:
    """Keep ``gate`` shut as long as the one that was closed meanwhile."""
    if learnt.opens > here:
        gate.closed = now
        gate.opens = max(gate.opens, now + learnt.opens - here)
        gate.strikes = max(gate.strikes, learnt.strikes)
