"""The figures of a run: what was simulated, what was met, and what was broken."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final, get_args

import msgspec

from tests.simulation.faults import CONNECT, DISK, LINK, WORKER
from tests.simulation.promises import PROMISES
from tests.simulation.runner import Outcome
from tests.simulation.workloads.limits import Kind as RedisFault

#: Kinds of faults that a run must meet.
KINDS: Final = (
    *CONNECT,
    *LINK,
    *WORKER,
    *DISK,
    *(f"redis {kind}" for kind in get_args(RedisFault)),
)


class Figures:
    """The sums of all outcomes."""

    def __init__(self) -> None:
        self._began: Final = time.monotonic()
        self.worlds = self.calls = 0
        self.organization_seconds = self.cpu_seconds = 0.0
        self.faults: Final[Counter[str]] = Counter()
        self.departures: Final[Counter[str]] = Counter()
        self.checks: Final[Counter[str]] = Counter()
        self.counts: Final[Counter[str]] = Counter()
        self.broken: Final[list[dict[str, Any]]] = []

    def add(self, outcome: Outcome) -> None:
        """Add one world."""
        self.worlds += 1
        self.calls += outcome.calls
        self.organization_seconds += outcome.organization_seconds
        self.cpu_seconds += outcome.cpu_seconds
        self.faults.update(outcome.faults)
        self.departures.update(outcome.departures)
        self.checks.update(outcome.checks)
        self.counts.update(outcome.counts)
        for one in outcome.violations:
            self.broken.append(
                {"seed": outcome.seed, "promise": one.promise, "sentence": one.sentence}
            )

    @property
    def seconds(self) -> float:
        """Real seconds since the start."""
        return time.monotonic() - self._began

    def line(self) -> str:
        """Return one line of progress."""
        minutes = max(self.seconds, 0.001) / 60
        return (
            f"{self.seconds:6.0f} s  {self.worlds} worlds  {self.calls:,} calls"
            f" ({self.calls / minutes:,.0f} a minute,"
            f" {self.calls / max(self.cpu_seconds, 0.001):,.0f} a CPU second)"
            f"  {self.organization_seconds / 3600:,.0f} organization-hours"
            f"  {sum(self.faults.values()):,} faults  {len(self.broken)} violations"
        )

    def unmet(self) -> list[str]:
        """Return what the run did not reach: promises without a check, faults that never hit."""
        found = [f"promise never checked: {name}" for name in PROMISES if not self.checks[name]]
        return found + [f"fault never met: {kind}" for kind in KINDS if not self.faults[kind]]

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as plain values."""
        return {
            "calls": self.calls,
            "organization_hours": round(self.organization_seconds / 3600, 1),
            "seeds": self.worlds,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "calls_per_minute": round(self.calls * 60 / max(self.seconds, 0.001)),
            "faults": dict(sorted(self.faults.items())),
            "departures": dict(sorted(self.departures.items())),
            "promises": {
                name: {
                    "sentence": one.sentence,
                    "checks": self.checks[name],
                    "violations": sum(broken["promise"] == name for broken in self.broken),
                }
                for name, one in PROMISES.items()
            },
            "counts": dict(sorted(self.counts.items())),
            "violations": self.broken,
            "unmet": self.unmet(),
        }

    def write(self, path: str, **more: object) -> None:
        """Write the figures as JSON."""
        data = msgspec.json.format(msgspec.json.encode(self.as_dict() | more), indent=2)
        with open(path, "wb") as file:
            file.write(data + b"\n")
