"""What one seed decides before the world starts: the plan.

A plan is plain data, so a failure is shrunk by removing parts of it (`shrink`). Each part of the
world draws its own chances from the seed and its name. So the rest of a plan acts as before when a
part is removed.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from tests.simulation.assumptions import ZONES
from tests.simulation.assumptions import draw as draw_assumptions
from tests.simulation.faults import CONNECT, DISK, WORKER, Fault, Phase

if TYPE_CHECKING:
    from tests.simulation.workloads import Workload

#: Changes of the clocks in the zones, as days: the nights before are worth meeting.
_CLOCK_CHANGES: Final = ((2027, 3, 14), (2027, 3, 28), (2027, 10, 31), (2027, 11, 7), (2027, 4, 4))


class WorkloadPlan(msgspec.Struct, frozen=True):
    """One workload: its name in the table, its workers, organizations and options."""

    kind: str
    workers: tuple[str, ...]
    organizations: tuple[str, ...] = ("10234695",)
    options: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """A world.

    - ``began``: the moment (seconds since 1970) at the loop's time 0.
    - ``longest``: virtual seconds after which the scenario must have ended.
    - ``clock_skew``: seconds that a worker's wall clock may be off.
    - ``assumptions``: how the simulated Zoho behaves, a `tests.simulation.assumptions.Assumptions`.
    """

    seed: int
    began: float = 1_790_000_000.0
    longest: float = 7 * 86400.0
    clock_skew: float = 0.0
    assumptions: dict[str, Any] = {}
    faults: tuple[Fault, ...] = ()
    workloads: tuple[WorkloadPlan, ...] = ()


def draw(seed: int, table: dict[str, Workload]) -> Plan:
    """Draw the plan of ``seed`` from the workloads in ``table``."""
    chance = random.Random(f"{seed}/plan")
    names = sorted(table)
    weights = [table[name].weight for name in names]
    count = chance.choice((1, 1, 1, 2))
    workloads: list[WorkloadPlan] = []
    faults: list[Fault] = []
    for kind in chance.choices(names, weights, k=count):
        workload = table[kind]
        mark = len(workloads) + 1
        one = WorkloadPlan(
            kind,
            tuple(f"{kind}{mark}.{n + 1}" for n in range(chance.randint(*workload.workers))),
            tuple(str(10_000 * mark + n) for n in range(chance.randint(*workload.organizations))),
            workload.draw(random.Random(f"{seed}/options/{mark}")),
        )
        workloads.append(one)
        faults += draw_faults(random.Random(f"{seed}/faults/{mark}"), workload, one)
    plan = Plan(
        seed,
        began=draw_start(chance),
        clock_skew=chance.choice((0.0, 0.0, 0.5, 30.0)),
        assumptions=msgspec.to_builtins(draw_assumptions(random.Random(f"{seed}/zoho"))),
        faults=tuple(faults),
        workloads=tuple(workloads),
    )
    # A plan from a file must equal the one that was drawn: JSON has lists only.
    return msgspec.json.decode(msgspec.json.encode(plan), type=Plan)


def draw_start(chance: random.Random) -> float:
    """Draw a moment: any, or up to two hours before a midnight, or the night of a clock change."""
    kind = chance.random()
    if kind < 0.4:
        begin = datetime(2026, 12, 1, tzinfo=UTC)
        return (begin + timedelta(seconds=chance.uniform(0, 365 * 86400))).timestamp()
    zone = ZoneInfo(chance.choice(ZONES))
    if kind < 0.8:
        day = datetime(2027, chance.randint(1, 12), chance.randint(1, 28), tzinfo=zone)
    else:
        day = datetime(*chance.choice(_CLOCK_CHANGES), tzinfo=zone)
        day += timedelta(hours=chance.choice((0, 2, 4, 24)))
    return day.timestamp() - chance.uniform(0, 7200)


def draw_faults(chance: random.Random, workload: Workload, plan: WorkloadPlan) -> list[Fault]:
    """Draw the faults of one workload: none, a few or many."""
    found: list[Fault] = []
    for _ in range(chance.choice((0, 2, 5, 10, 30))):
        kind = chance.choice(workload.faults)
        worker, host = chance.choice(plan.workers), chance.choice(workload.hosts)
        if kind in DISK:
            host = "disk"
        few = host.startswith("accounts.") or kind in CONNECT
        nth = 1 + int((5 if few else workload.requests) * chance.random() ** 2)
        seconds = chance.choice((0.1, 1.0, 5.0, 20.0, 61.0, 130.0, 400.0)) * chance.uniform(0.5, 1)
        if kind in WORKER:
            phases: tuple[Phase, ...] = ("", "connect", "sent", "arrived", "replied")
            phase = chance.choice(phases)
            at = 0.0 if phase else chance.choice((1.0, 60.0, 600.0)) * chance.random()
            found.append(Fault(kind, worker, host, nth, seconds, at, phase))
        else:
            found.append(Fault(kind, worker, host, nth, seconds))
    return found
