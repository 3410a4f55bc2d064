"""A judge of Zoho's minute: it counts the calls of all clients, and blocks the organization.

It imports nothing of the package. It knows both meanings of a minute: ``rolling`` (the last 60 s)
and ``fixed`` (60 s that begin every 60 s). The call that exceeds ``limit`` is refused and blocks
the organization for ``block`` seconds, in which every call is refused.

``count`` is the counter that replies show as limit minus remaining. Clicks of people count in the
minute, but not there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Minute:
    """The minute of one organization. Moments are in seconds."""

    kind: str = "rolling"
    limit: int = 100
    window: float = 60.0
    block: float = 900.0
    blocks: list[float] = field(default_factory=list[float])
    refused: int = 0
    worst: int = 0
    count: int = 0
    _recent: deque[float] = field(default_factory=deque[float])
    _blocked_until: float = float("-inf")

    def arrive(self, moment: float, *, click: bool = False) -> bool:
        """Count a call. Returns whether it is admitted."""
        if moment < self._blocked_until:
            self.refused += 1
            return False
        recent = self._recent
        if self.kind == "rolling":
            while recent and recent[0] <= moment - self.window:
                recent.popleft()
        elif recent and recent[0] // self.window != moment // self.window:
            recent.clear()
        if len(recent) >= self.limit:
            self.refused += 1
            self.blocks.append(moment)
            self._blocked_until = moment + self.block
            return False
        recent.append(moment)
        self.worst = max(self.worst, len(recent))
        self.count += not click
        return True
