"""Which failure may be tried again, and when.

A read may be repeated after anything that another try can mend. A write may be repeated only when
it certainly did not take effect: it never left this machine, or Zoho refused it for its limits or
its token before running it. Whether a broken or timed-out write happened is not known, Zoho has no
idempotency key, and booking an invoice twice is worse than an exception: `AmbiguousWrite`. What an
answer says about this is decided in `zoho_async.http.verdict`; here are the failures without an
answer.

Three brakes keep retries from making an outage worse: at most ``tries``; full jitter on doubling
delays, so that callers do not return in step; and a `RetryBudget` for each organization, so that
what retries send stays a tenth of what is called for. Refusals for the limits spend no budget:
the scheduler's gates pace them, and they cost Zoho nothing. A *bulk* call is never given up for a
refusal, because it may wait as long as it takes; an interactive one has ``tries`` for these too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import (
    CallTimeout,
    ConnectionBroken,
    NotConnected,
    RateLimited,
    ReplyError,
    TransportError,
    UnreadableReply,
)
from zoho_async.http.verdict import Verdict, verdict_of

_UNSENT: Final = Verdict(may_have_run=False, again="unsent")
_BROKEN: Final = Verdict(may_have_run=True, again="soon")
#: No ``Retry-After`` is believed beyond a day, in seconds.
_LONGEST_WAIT: Final = 86_400.0


def verdict(error: ReplyError | TransportError) -> Verdict:
    """Whether the call that ended in ``error`` may have run, and whether another try may help."""
    match error:
        case ReplyError():
            found = verdict_of(error.status, error.said)
            if found.again == "block" and not isinstance(error, RateLimited):
                return Verdict(found.may_have_run, "never")  # nothing would pace another try
            return found
        case NotConnected():
            return _UNSENT
        case UnreadableReply():
            return verdict_of(200 if error.status is None else error.status, "nothing")
        case CallTimeout() | ConnectionBroken() | TransportError():
            return _BROKEN


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``tries`` in all; before retry n up to ``base`` x 2^(n-1) s, ``cap`` at most."""

    tries: int = 4
    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait after failed ``attempt`` (the first is 1): full jitter."""
        return draw() * min(self.cap, self.base * 2.0 ** min(attempt - 1, 16))


def asked_wait(error: ReplyError | TransportError) -> float:
    """Seconds that the server asked to wait before another try (``Retry-After``), else 0."""
    asked = error.retry_after if isinstance(error, ReplyError) else None
    return min(asked or 0.0, _LONGEST_WAIT)


class RetryBudget:
    """How many retries one organization may still send.

    Each call earns a tenth of a retry, and ten a minute come by themselves; ten can be saved up.
    """

    CAPACITY: Final = 10.0
    PER_CALL: Final = 0.1
    PER_SECOND: Final = 10.0 / 60.0

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._saved = self.CAPACITY
        self._at = clock.monotonic()

    @property
    def full(self) -> bool:
        """Whether a new budget would be the same."""
        self._earn(0.0)
        return self._saved >= self.CAPACITY

    def called(self) -> None:
        """A call was made (its retries do not count)."""
        if self._saved < self.CAPACITY:
            self._earn(self.PER_CALL)

    def spend(self) -> float:
        """Take one retry. Returns 0 when there was one, else the seconds until there will be."""
        self._earn(0.0)
        if self._saved >= 1.0:
            self._saved -= 1.0
            return 0.0
        return (1.0 - self._saved) / self.PER_SECOND

    def _earn(self, more: float) -> None:
        now = self._clock.monotonic()
        earned = (now - self._at) * self.PER_SECOND + more
        self._saved = min(self.CAPACITY, self._saved + earned)
        self._at = now
