"""What Zoho's plans allow an organization: calls a day, and calls at once.

From Zoho's documents; the minute is the same for all. Contracts differ (1,000, 7,500 and 45,000 a
day were seen whatever the plan), so a day that the headers of replies tell of holds where it is
smaller, and ``custom`` leaves the day to them alone.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

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
