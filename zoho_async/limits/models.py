"""The values that callers of the limits use: limits, quota, refusals, snapshots."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.limits.midnight import zone_of

PlanName: TypeAlias = Literal[
    "free", "standard", "professional", "premium", "elite", "ultimate", "custom"
]


class Plan(msgspec.Struct, frozen=True):
    """Calls a day (None: known from headers only) and calls in flight."""

    day: int | None
    in_flight: int


PLANS: Final[dict[PlanName, Plan]] = {
    "free": Plan(1_000, 5),
    "standard": Plan(2_000, 10),
    "professional": Plan(5_000, 10),
    "premium": Plan(10_000, 10),
    "elite": Plan(10_000, 10),
    "ultimate": Plan(10_000, 10),
    "custom": Plan(None, 10),
}


#: Calls that Zoho admits in a minute, of all clients together.
ZOHO_LIMIT: Final = 100

Lane: TypeAlias = Literal["interactive", "bulk"]
BlockScope: TypeAlias = Literal["code", "organization", "account"]
Pace: TypeAlias = Literal["full", "even"]
RefusalKind: TypeAlias = Literal["organization", "account", "day", "in_flight"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one organization. Zoho documents 100 calls a minute and 10 in flight.

    Attributes:
        limit: Calls in any ``window`` seconds. The default leaves ten of Zoho's 100 to people and
            programs that share the organization.
        burst: Places of every minute that are left to interactive calls, and bulk calls that may go
            together when they are spread evenly. Use ``burst = limit`` for a job that has the
            organization to itself.
        window: Seconds of a minute. Shorter than 60 only for a sandbox with a shorter minute. It
            does not change how long blocks and pauses last.
        linger: The longest time that a request may be on its way after it was sent, in seconds.
        in_flight: Calls in flight (the free plan has 5).
        day: Calls a day, of each product if each has its own daily quota. None: known from headers
            only.
        reserve: What bulk calls leave of the day: a share if below 1, else a number of calls.
        block_scope: Which calls a block stops. ``code``: as its code says (43 the account, 44 the
            organization). Else always ``account`` or ``organization``.
        pace: ``even`` spreads bulk calls over the rest of the day, if the day is known.
        time_zone: The organization's time zone, such as ``America/New_York``. Its day ends at
            midnight there. None: known from `Session.organizations` or from headers.
        total: Calls of all clients together in any ``window``, once another client was heard
            (`zoho_async.limits.others`). None: 80, and 65 for a day after a block. With a ``limit``
            above 100, 80 and 65 % of it.

    Raises `ConfigurationError` for invalid values.
    """

    limit: int = 90
    burst: int = 10
    window: float = 60.0
    linger: float = 30.0
    in_flight: int = 10
    day: int | None = None
    reserve: float = 0.05
    block_scope: BlockScope = "code"
    pace: Pace = "full"
    time_zone: str | None = None
    total: int | None = None

    @classmethod
    def for_plan(
        cls,
        plan: PlanName,
        *,
        limit: int = 90,
        burst: int = 10,
        reserve: float = 0.05,
        pace: Pace = "full",
    ) -> Limits:
        """Return the limits of a Zoho plan. ``custom`` takes its day from headers.

        Raises `ConfigurationError` for an unknown plan.
        """
        found = PLANS.get(plan)
        if found is None:
            raise ConfigurationError(f"plan must be one of {', '.join(PLANS)}, got {plan!r}")
        return cls(
            limit=limit,
            burst=burst,
            reserve=reserve,
            pace=pace,
            day=found.day,
            in_flight=found.in_flight,
        )

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigurationError(f"limit must be at least 1 call, got {self.limit}")
        if not 1 <= self.burst <= self.limit:
            raise ConfigurationError(
                f"burst must be between 1 and limit ({self.limit}), got {self.burst}"
            )
        if not (math.isfinite(self.window) and self.window > 0):
            raise ConfigurationError(f"window must be above 0 seconds, got {self.window}")
        if not (math.isfinite(self.linger) and self.linger >= 0):
            raise ConfigurationError(f"linger must be at least 0 seconds, got {self.linger}")
        if self.in_flight < 1:
            raise ConfigurationError(f"in_flight must be at least 1 call, got {self.in_flight}")
        if self.day is not None and self.day < 1:
            raise ConfigurationError(f"day must be at least 1 call or None, got {self.day}")
        if not (math.isfinite(self.reserve) and self.reserve >= 0):
            raise ConfigurationError(f"reserve must be at least 0, got {self.reserve}")
        if self.total is not None and self.total < 1:
            raise ConfigurationError(f"total must be at least 1 call or None, got {self.total}")
        if self.block_scope not in ("code", "organization", "account"):
            raise ConfigurationError(
                f"block_scope must be code, organization or account, got {self.block_scope!r}"
            )
        if self.pace not in ("full", "even"):
            raise ConfigurationError(f"pace must be full or even, got {self.pace!r}")
        if self.time_zone is not None and zone_of(self.time_zone) is None:
            raise ConfigurationError(
                f"time_zone must be a name such as America/New_York, got {self.time_zone!r}; if "
                "this computer has no time zones, install tzdata"
            )

    @property
    def bulk_limit(self) -> int:
        """Bulk calls in any ``window`` seconds. The other places are left to interactive calls."""
        return self.limit - self.burst or self.limit

    @property
    def head_start(self) -> int:
        """Bulk calls in any ``window`` seconds that do not wait for the even pace."""
        return self.limit if self.burst == self.limit else min(self.limit // 2, self.bulk_limit)

    @property
    def rate(self) -> float:
        """Bulk calls a second in the long run, if replies take no time."""
        return self.bulk_limit / self.window

    @property
    def capacity(self) -> int:
        """Calls of all clients that are admitted in any ``window``. A sandbox may admit more."""
        return max(ZOHO_LIMIT, self.limit)

    def total_for(self, *, careful: bool) -> int:
        """Return the calls of all clients together in any ``window``, while others are known.

        ``careful``: there was a block lately.
        """
        total = self.capacity * 80 // 100 if self.total is None else self.total
        return min(total, self.capacity * 65 // 100) if careful else total


class Quota(msgspec.Struct, frozen=True):
    """The daily quota in the headers of a reply. ``reset`` is in seconds from now."""

    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


_KINDS: Final[dict[int, RefusalKind]] = {43: "account", 45: "day", 1070: "in_flight"}


class Refusal(msgspec.Struct, frozen=True):
    """A call that Zoho refused for its limits: the ``code``, and ``Retry-After`` in seconds."""

    code: int | None = None
    retry_after: float | None = None

    @property
    def kind(self) -> RefusalKind:
        """The limit that was exceeded. An unknown code blocks the organization."""
        return "organization" if self.code is None else _KINDS.get(self.code, "organization")


class ProductQuota(msgspec.Struct, frozen=True, kw_only=True):
    """The daily quota of a product that has its own, in calls. None: not known.

    ``reset_in`` is in seconds from now, ``resets_at`` in the organization's local time.
    """

    used: int
    limit: int | None
    remaining: int | None
    reset_in: float | None
    resets_at: datetime | None


def fewest_left(quotas: Iterable[ProductQuota]) -> ProductQuota:
    """Return the quota with the fewest calls left. A quota that is not known comes last."""
    return min(quotas, key=lambda each: math.inf if each.remaining is None else each.remaining)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The limits and usage of one organization at one moment. Durations are in seconds from now.

    ``next_place_in`` is 0 if a place is free, and None if that depends on replies. ``starts_in`` is
    above 0 while a shared ledger gives no place because it is new or lost its data. The ``day_``
    figures are None if not known, and ``day_resets_at`` is in the organization's local time.
    ``products`` has the quota of each product, if Zoho counts the day of each product separately;
    then the ``day_`` figures are those of the product with the fewest calls left, but ``day_used``
    is of all products.
    ``others`` is the calls a minute of other clients, None if not known.
    ``waiting``, ``admitted``, ``refused`` and ``waited_seconds`` are
    of this event loop; all others are of all processes that share the ledger.
    """

    minute_used: int
    limit: int
    next_place_in: float | None
    in_flight: int
    cap: int
    day_used: int
    day_limit: int | None
    day_remaining: int | None
    day_reset_in: float | None
    blocked_for: float
    day_resets_at: datetime | None = None
    starts_in: float = 0.0
    others: float | None = None
    products: dict[str, ProductQuota] = {}
    waiting: dict[Lane, int] = {}
    admitted: int = 0
    refused: int = 0
    waited_seconds: float = 0.0

    def for_products(self, *products: str) -> Snapshot:
        """Return the snapshot with ``day_`` figures of these products (such as ``inventory``).

        Of several, those of the product with the fewest calls left.
        """
        quotas = [self.products[name] for name in products if name in self.products]
        if not quotas:
            return self
        own = fewest_left(quotas)
        return msgspec.structs.replace(
            self,
            day_used=own.used,
            day_limit=own.limit,
            day_remaining=own.remaining,
            day_reset_in=own.reset_in,
            day_resets_at=own.resets_at,
        )
