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
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import (
    CallTimeout,
    ConnectionBroken,
    NotAuthorized,
    NotConnected,
    RateLimited,
    ReplyError,
    ReplyTooLong,
    TooManyInFlight,
    TransportError,
    UnreadableReply,
    ZohoError,
)
from zoho_async.events import Observer, Retried
from zoho_async.http.call import Call
from zoho_async.http.verdict import Verdict, next_step, verdict_of

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
    #: The sum of what was earned may be short by so much. Without it, a wait could be too short to
    #: move the clock, and then be asked for again and again.
    ROUNDING: Final = 1e-6

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
        if self._saved > 1.0 - self.ROUNDING:
            self._saved = max(0.0, self._saved - 1.0)
            return 0.0
        return (1.0 - self._saved) / self.PER_SECOND

    def _earn(self, more: float) -> None:
        now = self._clock.monotonic()
        earned = (now - self._at) * self.PER_SECOND + more
        self._saved = min(self.CAPACITY, self._saved + earned)
        self._at = now


class Retries:
    """The retries of one client: their delays, and a budget per organization.

    ``wait`` awaits a sleep, which the end of the client cuts short.
    """

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        observer: Observer | None,
        wait: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> None:
        self._policy: Final = policy
        self._clock: Final = clock
        self._observer: Final = observer
        self._wait: Final = wait
        self._budgets: dict[str | None, RetryBudget] = {}

    def deposit(self, organization: str | None) -> None:
        """Add what a call of ``organization`` earns."""
        self._budget(organization).deposit()

    def forget(self, organization: str | None) -> bool:
        """Drop the budget of ``organization`` if it equals a new one. Returns whether it did."""
        if not self._budget(organization).full:
            return False
        del self._budgets[organization]
        return True

    async def wait(self, call: Call, error: TransportError | ReplyError, attempt: int) -> None:
        """Return when it is time for another try. Raises ``error`` if no try is left."""
        step = next_step(call.kind, verdict(error))
        if call.is_spent and (step != "raise" or isinstance(error, NotAuthorized)):
            error.add_note(
                "The call was not tried again: a file in it comes from an iterator, which can be "
                "read only once. Pass its path or its bytes instead."
            )
            raise error
        patient = call.options.lane == "bulk"
        given_up = attempt >= self._policy.tries and not (patient and step == "after_block")
        wanted = 0.0 if step == "after_block" else retry_after(error)
        if step == "raise" or given_up or _exceeds_max_wait(call, error, wanted):
            raise error
        if step != "after_block":
            while seconds := self._budget(call.request.organization).withdraw():
                if not patient:
                    raise error
                await self._wait(anyio.sleep(seconds))
        # The scheduler's block paces all refusals except "too many at once".
        paced = step == "after_block" and not isinstance(error, TooManyInFlight)
        delay = 0.0 if paced else wanted + self._policy.delay(attempt)
        if self._observer is not None:
            self._observer(
                Retried(
                    method=call.request.method,
                    path=call.request.path,
                    organization=call.request.organization,
                    attempt=attempt,
                    delay=delay,
                    cause=type(error).__name__,
                )
            )
        await self._wait(anyio.sleep(delay))

    def _budget(self, organization: str | None) -> RetryBudget:
        budget = self._budgets.get(organization)
        if budget is None:
            budget = self._budgets[organization] = RetryBudget(self._clock)
        return budget


def _exceeds_max_wait(call: Call, error: ZohoError, wait: float) -> bool:
    """Whether the server asks for a longer wait than the caller allows."""
    if call.options.max_wait is None or wait <= call.options.max_wait:
        return False
    error.add_note(f"Zoho asked to wait {wait:.0f} s, longer than max_wait.")
    return True
