"""What the activity log of Books shows, and when. How Zoho does it is unknown."""

from __future__ import annotations

import random
from datetime import date

import msgspec


class ActivityRules(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which changes the activity log shows, and when. By default each of them, at once.

    Attributes:
        late_days: days after which an entry appears, under the day of its change.
        hidden: operations that have no entries, such as ``deleted`` or ``updated``.
        lost: chance that a change has no entry, the same each time the log is read.
        repeats: every page is the first one, as was seen live.
    """

    late_days: int = 0
    hidden: tuple[str, ...] = ()
    lost: float = 0.0
    repeats: bool = False

    def shows(self, number: int, operation: str, day: str, today: str) -> bool:
        """Return whether the log shows entry ``number`` of ``day`` on the day ``today``."""
        if operation in self.hidden or random.Random(number).random() < self.lost:
            return False
        return (date.fromisoformat(today) - date.fromisoformat(day)).days >= self.late_days
