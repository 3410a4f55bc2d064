"""What callers of the limits say and read: the limits, Zoho's own figures, refusals, a snapshot."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError

PlanName: TypeAlias = Literal[
    "free", "standard", "professional", "premium", "elite", "ultimate", "custom"
]


class Plan(msgspec.Struct, frozen=True):
    """Calls a day (None: told by headers alone) and calls in flight."""

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


Lane: TypeAlias = Literal["interactive", "bulk"]
BlockScope: TypeAlias = Literal["code", "organization", "account"]
Pace: TypeAlias = Literal["full", "even"]
RefusalKind: TypeAlias = Literal["organization", "account", "day", "in_flight"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one organization may be sent. Zoho documents 100 calls a minute and 10 at once.

    ``limit`` calls in any ``window`` seconds (90 by default: ten are left to people and programs
    that share the organization). Bulk calls come evenly, at most ``burst`` together, and leave
    ``burst`` places to interactive ones; ``burst = limit`` is for a job that has the organization
    to itself. ``linger`` is the longest that a request may still be on its way after it was sent,
    in seconds. ``in_flight`` calls at once (the free plan has 5). ``day`` calls a day, where known
    (headers tell it otherwise), of which bulk leaves ``reserve``: a share when below 1, else a
    number of calls. ``block_scope`` says whom a block closes: by its code (43 the account, 44 the
    organization), or always the one or the other.

    ``pace`` "even" spreads bulk calls over what is left of the day, where the day is known.

    ``window`` is shorter than 60 only against a sandbox whose minute is as short. Blocks and pauses
    last as long as Zoho says or is known to make them, whatever it is.
    Raises `ConfigurationError` for values that cannot work.
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
        """The limits of a plan of Zoho's by its name; ``custom`` learns its day from headers.

        Raises `ConfigurationError` for a plan that does not exist.
        """
        found = PLANS.get(plan)
        if found is None:
            raise ConfigurationError(f"plan {plan!r} is none of {', '.join(PLANS)}")
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
            raise ConfigurationError(f"window must be a number of seconds, got {self.window}")
        if not (math.isfinite(self.linger) and self.linger >= 0):
            raise ConfigurationError(f"linger must be a number of seconds, got {self.linger}")
        if self.in_flight < 1:
            raise ConfigurationError(f"in_flight must be at least 1 call, got {self.in_flight}")
        if self.day is not None and self.day < 1:
            raise ConfigurationError(f"day must be at least 1 call or None, got {self.day}")
        if not (math.isfinite(self.reserve) and self.reserve >= 0):
            raise ConfigurationError(f"reserve must be a share or a number, got {self.reserve}")
        if self.block_scope not in ("code", "organization", "account"):
            raise ConfigurationError(
                f"block_scope must be code, organization or account, got {self.block_scope!r}"
            )
        if self.pace not in ("full", "even"):
            raise ConfigurationError(f"pace must be full or even, got {self.pace!r}")

    @property
    def rate(self) -> float:
        """Steady bulk calls a second when replies take no time."""
        return (self.limit - self.burst or self.limit) / self.window


class Quota(msgspec.Struct, frozen=True):
    """The day's quota as a reply's headers give it; ``reset`` in seconds from now."""

    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


_KINDS: Final[dict[int, RefusalKind]] = {43: "account", 45: "day", 1070: "in_flight"}


class Refusal(msgspec.Struct, frozen=True):
    """Zoho refused a call for its limits: its ``code``, and ``Retry-After`` in seconds."""

    code: int | None = None
    retry_after: float | None = None

    @property
    def kind(self) -> RefusalKind:
        """Which budget refused; a code that says nothing better blocks the organization."""
        return "organization" if self.code is None else _KINDS.get(self.code, "organization")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One organization's limits at one moment; every duration is in seconds from now.

    ``next_place_in`` is 0 when a place is free and None when that depends on replies to come.
    ``starts_in`` is above 0 while a shared ledger that is new or lost usage gives no place.
    The ``day_`` figures are None where nothing is known. ``waiting``, ``admitted``, ``refused``
    and ``waited_seconds`` are of this event loop, everything else of all who share the ledger.
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
    starts_in: float = 0.0
    waiting: dict[Lane, int] = {}
    admitted: int = 0
    refused: int = 0
    waited_seconds: float = 0.0
