"""What one seed decides before the world starts."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.simulation.faults import Fault


class WorkloadPlan(msgspec.Struct, frozen=True):
    """One workload: its name in the table of workloads, its workers, and its own options."""

    kind: str
    workers: tuple[str, ...]
    options: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """A world.

    - ``began``: the moment (seconds since 1970) at the loop's time 0.
    - ``longest``: virtual seconds after which the scenario must have ended.
    - ``clock_skew``: seconds that a worker's wall clock may be off.
    - ``assumptions``: how the simulated Zoho behaves, in its own terms.
    """

    seed: int
    began: float = 1_790_000_000.0
    longest: float = 7 * 86400.0
    clock_skew: float = 0.0
    assumptions: dict[str, Any] = {}
    faults: tuple[Fault, ...] = ()
    workloads: tuple[WorkloadPlan, ...] = ()
