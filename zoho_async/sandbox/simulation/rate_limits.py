"""The judge of the limits: what Zoho counts, and what it answers when too much came.

The judge sees arrivals only. It keeps, for every organization (and for the account, for calls that
name none), the times of what arrived in the last minute, the calls of the day, and those that are
being answered now. It is deliberately naive: a list of times and comparisons. Nothing here is
shared with the scheduler that it judges, so that one mistake cannot hide in both.

Whether Zoho's minute is rolling or fixed is not known, so both can be played. What is over the
minute's limit is refused and starts a block; while it lasts everything is refused, and trying
makes it longer. Refused calls count neither for the minute nor for the day.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError

Window: TypeAlias = Literal["rolling", "fixed"]


class LimitRules(msgspec.Struct, kw_only=True):
    """The limits that are played; lengths are in seconds.

    ``minute_code`` is 44 (blocks its organization) or 43 (blocks every organization of the
    account). A try during a block moves its end ``block_growth`` blocks further, up to
    ``longest_block`` from then. ``phase`` is how much of a fixed minute is over at the start,
    ``day_left`` how long the first day lasts (None: a whole one). Raises `ConfigurationError` for a
    minute or day without a length.
    """

    per_minute: int = 100
    minute: float = 60.0
    window: Window = "rolling"
    phase: float = 0.0
    per_day: int = 10_000
    day: float = 86_400.0
    day_left: float | None = None
    in_flight: int = 10
    block: float = 900.0
    block_growth: float = 0.5
    longest_block: float = 3600.0
    minute_code: int = 44
    retry_after: bool = True

    def __post_init__(self) -> None:
        for name, length in (("minute", self.minute), ("day", self.day)):
            if not (math.isfinite(length) and length > 0):
                raise ConfigurationError(f"{name} must be seconds above 0, got {length}")


class LimitRefusal(msgspec.Struct, frozen=True):
    """A refusal: its code, message and, where known, the seconds until it ends."""

    code: int
    message: str
    retry_after: float | None = None


class UsageCounter(msgspec.Struct, frozen=True, kw_only=True):
    """How far an organization's limits are used now; ``blocked_for`` is in seconds."""

    minute: int
    day: int
    in_flight: int
    blocked_for: float


class AccountUsage:
    """What one organization (or the account itself) has used."""

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.fixed_window = -1
        self.fixed_count = 0
        self.day_number = 0
        self.day_count = 0
        self.flying = 0
        self.blocked_until = float("-inf")
        #: The most that ever was in flight, in one minute as played, and refused.
        self.most_in_flight = 0
        self.most_in_minute = 0
        self.refused = 0


class RateLimiter:
    """Counts arrivals and says which to refuse. ``started`` is when its first day began."""

    def __init__(self, rules: LimitRules, started: float) -> None:
        self.rules = rules
        self.started = started
        self.accounts: dict[str, AccountUsage] = {}
        self.everyone_blocked_until = float("-inf")

    def account(self, name: str) -> AccountUsage:
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = AccountUsage()
        return found

    def arrive(self, name: str, now: float) -> LimitRefusal | None:
        """Count or refuse an arrival: None counts it and lets it in (call `leave` when it is answered)."""
        account = self.account(name)
        refused = self._refusal(account, now)
        if refused is not None:
            account.refused += 1
            return refused
        account.times.append(now)
        account.fixed_count += 1
        account.day_count += 1
        account.flying += 1
        used = len(account.times) if self.rules.window == "rolling" else account.fixed_count
        account.most_in_minute = max(account.most_in_minute, used)
        account.most_in_flight = max(account.most_in_flight, account.flying)
        return None

    def leave(self, name: str) -> None:
        """The call that was let in has its answer."""
        self.account(name).flying -= 1

    def quota(self, name: str, now: float) -> tuple[int, int, float]:
        """The day's limit, what remains of it, and the seconds until the next day."""
        account = self.account(name)
        self._turn_day(account, now)
        remaining = max(0, self.rules.per_day - account.day_count)
        return self.rules.per_day, remaining, self._day_end(account.day_number) - now

    def usage(self, name: str, now: float) -> UsageCounter:
        """What is used of the limits at this moment."""
        account = self.account(name)
        self._turn_minute(account, now)
        self._turn_day(account, now)
        rolling = self.rules.window == "rolling"
        until = max(account.blocked_until, self.everyone_blocked_until)
        return UsageCounter(
            minute=len(account.times) if rolling else account.fixed_count,
            day=account.day_count,
            in_flight=account.flying,
            blocked_for=max(0.0, until - now),
        )

    def _refusal(self, account: AccountUsage, now: float) -> LimitRefusal | None:
        rules = self.rules
        blocked_until = max(account.blocked_until, self.everyone_blocked_until)
        if now < blocked_until:
            later = min(blocked_until + rules.block_growth * rules.block, now + rules.longest_block)
            return self._block(account, max(blocked_until, later), now)
        self._turn_minute(account, now)
        self._turn_day(account, now)
        used = len(account.times) if rules.window == "rolling" else account.fixed_count
        if used >= rules.per_minute:
            return self._block(account, now + rules.block, now)
        if account.day_count >= rules.per_day:
            text = f"You have exceeded the maximum call rate limit of {rules.per_day:,} for a day."
            return LimitRefusal(45, text)
        if account.flying >= rules.in_flight:
            return LimitRefusal(1070, "You have exceeded the maximum number of concurrent calls.")
        return None

    def _block(self, account: AccountUsage, until: float, now: float) -> LimitRefusal:
        if self.rules.minute_code == 43:
            self.everyone_blocked_until = until
            text = "You have been blocked for some time, as too many calls came within a minute."
        else:
            account.blocked_until = until
            text = "The maximum number of calls per minute for this organization was exceeded."
        wait = until - now if self.rules.retry_after else None
        return LimitRefusal(self.rules.minute_code, text, wait)

    def _turn_minute(self, account: AccountUsage, now: float) -> None:
        while account.times and account.times[0] <= now - self.rules.minute:
            account.times.popleft()
        number = int((now - self.started + self.rules.phase) // self.rules.minute)
        if number != account.fixed_window:
            account.fixed_window, account.fixed_count = number, 0

    def _turn_day(self, account: AccountUsage, now: float) -> None:
        end = self._day_end(account.day_number)
        if now >= end:
            account.day_number += 1 + int((now - end) // self.rules.day)
            account.day_count = 0

    def _day_end(self, number: int) -> float:
        first = self.rules.day if self.rules.day_left is None else self.rules.day_left
        return self.started + first + number * self.rules.day
