"""The workloads of the simulation: what workers do with the package.

A workload is built of the package's public surface. `TABLE` has one row for each; its functions
get the world and the workload's own part of the plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.faults import CONNECT, LINK, WORKER
from tests.simulation.loop import Worker
from tests.simulation.plan import WorkloadPlan

if TYPE_CHECKING:
    from tests.simulation.world import World

API: Final = "www.zohoapis.com"
ACCOUNTS: Final = "accounts.zoho.com"


def _nothing(world: World, plan: WorkloadPlan) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Workload:
    """One kind of workload.

    - ``draw`` returns the options, as plain JSON values.
    - ``run`` is what one worker does, from its start to its end. A worker that was killed starts
      again: ``worker.life`` is one more then. What ``run`` returns or raises is in
      ``world.results``. Its errors must be of the package, or the run fails.
    - ``prepare`` runs once before the workers start, and ``judge`` after all have ended.
    - ``workers`` and ``organizations`` are the least and the most of them. No other workload uses
      the same organizations.
    - ``requests`` is about how many requests a worker sends to each of ``hosts``: there the faults
      are placed. ``faults`` are the kinds that make sense.
    - ``weight`` is how often it is drawn, in proportion to the other workloads.
    """

    draw: Callable[[random.Random], dict[str, Any]]
    run: Callable[[World, Worker, WorkloadPlan], Coroutine[Any, Any, object]]
    prepare: Callable[[World, WorkloadPlan], None] = _nothing
    judge: Callable[[World, WorkloadPlan], None] = _nothing
    workers: tuple[int, int] = (1, 1)
    organizations: tuple[int, int] = (1, 1)
    hosts: tuple[str, ...] = (API, ACCOUNTS)
    requests: int = 500
    faults: tuple[str, ...] = (*CONNECT, *LINK, *WORKER)
    weight: float = 1.0


#: Modules of this folder, each with a ``TABLE`` of its workloads by name.
MODULES: Final = ("calls", "exports", "imports", "limits", "probe", "reads", "tokens")


def table() -> dict[str, Workload]:
    """Return all workloads by name."""
    found: dict[str, Workload] = {}
    for name in MODULES:
        rows: dict[str, Workload] = import_module(f"tests.simulation.workloads.{name}").TABLE
        found |= rows
    return found
