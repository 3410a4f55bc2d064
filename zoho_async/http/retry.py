"""Decide which failed calls are tried again, and when.

Model. A read is repeated after any failure that another try can mend. A write is repeated only if
it certainly did not take effect: it never left this machine, or Zoho refused it before running it,
because of its limits or its token.

Why writes differ. After a broken or timed-out write it is not known whether it took effect, and
Zoho has no idempotency key. A second invoice is worse than an exception, so the call ends with
`AmbiguousWrite`. `zoho_async.http.verdict` decides what an answer says about this; this module
covers the failures without an answer.

Three brakes keep retries from making an outage worse:

- at most ``tries`` per call
- doubling delays with full jitter, so that callers do not return together
- a `RetryBudget` per organization, so that retries stay a tenth of all calls

Refusals because of the limits spend no budget: the scheduler's block paces them, and they cost Zoho
nothing. A *bulk* call never gives up after such a refusal, because it may wait without limit; an
interactive call has ``tries`` for these too.
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
    ReplyTooLong,
    TransportError,
    UnreadableReply,
)
from zoho_async.http.verdict import Verdict, verdict_of

_UNSENT: Final = Verdict(may_have_run=False, again="unsent")
_BROKEN: Final = Verdict(may_have_run=True, again="soon")
#: Longest accepted ``Retry-After``: a day, in seconds.
_LONGEST_WAIT: Final = 86_400.0


def verdict(error: ReplyError | TransportError) -> Verdict:
    """Decide whether a failed call may have run, and whether another try may help."""
    match error:
        case ReplyError():
            found = verdict_of(error.status, error.status_in_body)
            if found.again == "block" and not isinstance(error, RateLimited):
                return Verdict(found.may_have_run, "never")  # no block would pace another try
            return found
        case NotConnected():
            return _UNSENT
        case ReplyTooLong():
            return Verdict(may_have_run=True, again="never")
        case UnreadableReply():
            return verdict_of(200 if error.status is None else error.status, "nothing")
        case CallTimeout() | ConnectionBroken() | TransportError():
            return _BROKEN


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``tries`` in all. Retry n waits up to ``base`` x 2^(n-1) seconds, at most ``cap``."""

    tries: int = 4
    base: float = 0.5
    cap: float = 30.0

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait after failed ``attempt`` (the first is 1), with full jitter."""
        return draw() * min(self.cap, self.base * 2.0 ** min(attempt - 1, 16))


def retry_after(error: ReplyError | TransportError) -> float:
    """Seconds that the server asked to wait before another try (``Retry-After``), or 0."""
    given = error.retry_after if isinstance(error, ReplyError) else None
    return min(given or 0.0, _LONGEST_WAIT)


class RetryBudget:
    """How many retries one organization may still send.

    Each call earns a tenth of a retry, and every minute adds ten. At most ten are saved.
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
        """Whether this budget equals a new one."""
        self._earn(0.0)
        return self._saved >= self.CAPACITY

    def deposit(self) -> None:
        """Add what a call earns. Its retries earn nothing."""
        if self._saved < self.CAPACITY:
            self._earn(self.PER_CALL)

    def withdraw(self) -> float:
        """Take one retry. Returns 0 on success, else the seconds until one is available."""
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
