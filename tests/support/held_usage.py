"""The usage of one organization, on a clock that the test sets."""

from __future__ import annotations

from tests.support.held_clock import HeldClock
from zoho_async.limits import Lane, Limits
from zoho_async.limits.usage import Denial, Usage, take


class HeldUsage(HeldClock):
    """Our usage of an organization and of its account."""

    def __init__(self, limits: Limits | None = None, *, ahead: float = 0.0) -> None:
        super().__init__(ahead=ahead)
        self.limits = limits or Limits()
        self.usage = Usage()
        self.account = Usage()

    def take(self, lane: Lane = "interactive") -> int | Denial:
        return take(self.usage, self.account, lane, self.limits, self.now, self.time(), "")

    def place(self, lane: Lane = "interactive") -> int:
        answer = self.take(lane)
        assert not isinstance(answer, Denial), answer
        return answer

    def denied(self, lane: Lane = "interactive") -> Denial:
        answer = self.take(lane)
        assert isinstance(answer, Denial)
        return answer
