"""The rate limits as Zoho counts them, and the refusals of calls over them.

Model
    The limiter sees only arrivals. For each organization, and for the account if a call names no
    organization, it keeps the times of the last minute's calls, the calls of the day, and the
    concurrent calls. The day is the organization's calendar day, or has a fixed length. All
    products share it, or those in ``product_days`` have separate counts. A call over the
    minute's limit is refused and starts a block. During the block every call is refused, and each
    try makes the block longer.

Invariant
    Refused calls count neither for the minute nor for the day.

Why it is simple
    It is a list of times and comparisons. It shares no code with the scheduler that it checks, so
    that one mistake cannot hide in both.

Unknown
    Whether Zoho's minute is rolling or fixed, and whether products share the day. Both are
    available.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox.simulation.calendar import DayCalendar

Window: TypeAlias = Literal["rolling", "fixed"]
_DAY: Final = 86_400.0


class LimitRules(msgspec.Struct, kw_only=True):
    """The limits. Durations are in seconds.

    Raises `ConfigurationError` for a ``minute`` or ``day`` that is not above 0.

    Attributes:
        per_minute: calls per minute and organization.
        minute: length of the minute.
        window: whether the minute is rolling or fixed.
        phase: how much of a fixed minute is over at the start.
        per_day: calls per day and organization.
        product_days: calls per day of each product that has its own count, by product.
        day: length of a day; None is the organization's calendar day.
        day_left: length of the first day of a fixed length; None is a whole day.
        in_flight: concurrent calls per organization.
        block: length of a block.
        block_growth: how many blocks a try during a block adds to it.
        longest_block: the most that a block can last from the last try.
        minute_code: 44 blocks the organization, 43 blocks every organization of the account.
        retry_after: whether refusals have a ``Retry-After`` header.
    """

    per_minute: int = 100
    minute: float = 60.0
    window: Window = "rolling"
    phase: float = 0.0
    per_day: int = 10_000
    product_days: Mapping[str, int] = {}
    day: float | None = None
    day_left: float | None = None
    in_flight: int = 10
    block: float = 900.0
    block_growth: float = 0.5
    longest_block: float = 3600.0
    minute_code: int = 44
    retry_after: bool = True

    def __post_init__(self) -> None:
        for name, length in (("minute", self.minute), ("day", self.day)):
            if length is not None and not (math.isfinite(length) and length > 0):
                raise ConfigurationError(
                    f"{name} must be a number of seconds above 0, got {length}"
                )


class LimitRefusal(msgspec.Struct, frozen=True):
    """A refusal: its code, message and, if known, the seconds until the limit ends."""

    code: int
    message: str
    retry_after: float | None = None


class UsageCounter(msgspec.Struct, frozen=True, kw_only=True):
    """The current usage of an organization's limits. ``blocked_for`` is in seconds.

    ``product_days``: the day's calls of products that have their own count, which are not in
    ``day``.
    """

    minute: int
    day: int
    product_days: Mapping[str, int] = {}
    in_flight: int
    blocked_for: float


class AccountUsage:
    """The calls of one organization, or of the account."""

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.fixed_window = -1
        self.fixed_count = 0
        self.day_ends = float("-inf")
        self.day_count = 0
        #: The day's calls of products with a separate count. The others are in ``day_count``.
        self.product_counts: Counter[str] = Counter()
        self.in_flight = 0
        self.blocked_until = float("-inf")
        #: Highest concurrency, most calls in a minute, and refused calls.
        self.most_in_flight = 0
        self.most_in_minute = 0
        self.refused = 0


class RateLimiter:
    """Counts calls and refuses those over the limits.

    Days of a fixed length begin at ``started``. Without a ``calendar`` each day has 24 hours.
    """

    def __init__(
        self, rules: LimitRules, started: float, calendar: DayCalendar | None = None
    ) -> None:
        self.rules = rules
        self.started = started
        self.calendar = calendar
        self.accounts: dict[str, AccountUsage] = {}
        self.everyone_blocked_until = float("-inf")

    def account(self, name: str) -> AccountUsage:
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = AccountUsage()
        return found

    def arrive(self, name: str, now: float, product: str = "") -> LimitRefusal | None:
        """Count an arrival, or return its refusal. Call `leave` when a counted call is answered."""
        account = self.account(name)
        refused = self._refusal(name, now, product)
        if refused is not None:
            account.refused += 1
            return refused
        account.times.append(now)
        account.fixed_count += 1
        if product in self.rules.product_days:
            account.product_counts[product] += 1
        else:
            account.day_count += 1
        account.in_flight += 1
        used = len(account.times) if self.rules.window == "rolling" else account.fixed_count
        account.most_in_minute = max(account.most_in_minute, used)
        account.most_in_flight = max(account.most_in_flight, account.in_flight)
        return None

    def leave(self, name: str) -> None:
        """Record that an accepted call has its reply."""
        self.account(name).in_flight -= 1

    def quota(self, name: str, now: float, product: str = "") -> tuple[int, int, float]:
        """Return the daily limit, the calls left, and the seconds until the next day."""
        account = self.account(name)
        self._turn_day(name, now)
        limit, used = self._day(account, product)
        return limit, max(0, limit - used), account.day_ends - now

    def _day(self, account: AccountUsage, product: str) -> tuple[int, int]:
        """Return the daily limit of ``product``, and how many calls it has used."""
        own = self.rules.product_days.get(product)
        if own is None:
            return self.rules.per_day, account.day_count
        return own, account.product_counts[product]

    def usage(self, name: str, now: float) -> UsageCounter:
        """Return the usage at this moment."""
        account = self.account(name)
        self._turn_minute(account, now)
        self._turn_day(name, now)
        rolling = self.rules.window == "rolling"
        until = max(account.blocked_until, self.everyone_blocked_until)
        return UsageCounter(
            minute=len(account.times) if rolling else account.fixed_count,
            day=account.day_count,
            product_days=dict(account.product_counts),
            in_flight=account.in_flight,
            blocked_for=max(0.0, until - now),
        )

    def _refusal(self, name: str, now: float, product: str) -> LimitRefusal | None:
        rules, account = self.rules, self.account(name)
        blocked_until = max(account.blocked_until, self.everyone_blocked_until)
        if now < blocked_until:
            later = min(blocked_until + rules.block_growth * rules.block, now + rules.longest_block)
            return self._block(account, max(blocked_until, later), now)
        self._turn_minute(account, now)
        self._turn_day(name, now)
        used = len(account.times) if rules.window == "rolling" else account.fixed_count
        if used >= rules.per_minute:
            return self._block(account, now + rules.block, now)
        limit, today = self._day(account, product)
        if today >= limit:
            text = f"You have exceeded the maximum call rate limit of {limit:,} for a day."
            return LimitRefusal(45, text)
        if account.in_flight >= rules.in_flight:
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

    def _turn_day(self, name: str, now: float) -> None:
        account = self.account(name)
        if now >= account.day_ends:
            account.day_count = 0
            account.product_counts.clear()
        # Always computed, because the organization's time zone may have changed.
        account.day_ends = self._day_end(name, now)

    def _day_end(self, name: str, now: float) -> float:
        length = self.rules.day
        if length is None and self.calendar is not None:
            return self.calendar.day_end(name, now)
        length = length or _DAY
        first = self.started + (length if self.rules.day_left is None else self.rules.day_left)
        return first if now < first else first + length * (1 + (now - first) // length)
