"""Make a failing plan smaller, as long as it breaks the same promise.

Model. A candidate is the plan without some part, or with a part replaced by its default. Larger
parts are tried first: workloads, halves of the faults, workers, single faults, then assumptions
and numbers. A candidate that breaks the promise replaces the plan. The end is a plan of which no
single part can be left out, or the end of the budget of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import msgspec

from tests.simulation.assumptions import Assumptions
from tests.simulation.plan import Plan, WorkloadPlan

#: Runs after which shrinking ends.
MOST_RUNS: Final = 200
#: Numbers of a plan are not made smaller than this.
_SMALLEST: Final = 1


def shrink(
    plan: Plan,
    breaks: Callable[[Plan], bool],
    *,
    most_runs: int = MOST_RUNS,
    progress: Callable[[int, Plan], None] = lambda _runs, _plan: None,
) -> Plan:
    """Return the smallest plan found for which ``breaks`` is true. It is true for ``plan``."""
    runs = 0
    changed = True
    while changed and runs < most_runs:
        changed = False
        for smaller in candidates(plan):
            runs += 1
            if breaks(smaller):
                plan, changed = smaller, True
                progress(runs, plan)
                break
            if runs >= most_runs:
                break
    return plan


def candidates(plan: Plan) -> Iterator[Plan]:
    """Return smaller plans, the smallest ones first."""
    replace = msgspec.structs.replace
    if len(plan.workloads) > 1:
        for one in plan.workloads:
            rest = tuple(other for other in plan.workloads if other is not one)
            yield _without_orphans(replace(plan, workloads=rest))
    faults = plan.faults
    if faults:
        yield replace(plan, faults=())
        size = len(faults) // 2
        while size:
            for start in range(0, len(faults), size):
                yield replace(plan, faults=faults[:start] + faults[start + size :])
            size //= 2
    for place, one in enumerate(plan.workloads):
        for smaller in _smaller_workloads(one):
            changed = (*plan.workloads[:place], smaller, *plan.workloads[place + 1 :])
            yield _without_orphans(replace(plan, workloads=changed))
    for assumptions in _plainer(plan.assumptions, msgspec.to_builtins(Assumptions())):
        yield replace(plan, assumptions=assumptions)
    if plan.clock_skew:
        yield replace(plan, clock_skew=0.0)


def _without_orphans(plan: Plan) -> Plan:
    """Drop the faults of workers that are gone."""
    workers = {name for one in plan.workloads for name in one.workers}
    faults = tuple(fault for fault in plan.faults if fault.worker in workers)
    return msgspec.structs.replace(plan, faults=faults)


def _smaller_workloads(plan: WorkloadPlan) -> Iterator[WorkloadPlan]:
    replace = msgspec.structs.replace
    if len(plan.workers) > 1:
        yield replace(plan, workers=plan.workers[: len(plan.workers) // 2])
        for name in plan.workers:
            yield replace(plan, workers=tuple(one for one in plan.workers if one != name))
    if len(plan.organizations) > 1:
        yield replace(plan, organizations=plan.organizations[:1])
    for name, value in plan.options.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > _SMALLEST:
            yield replace(plan, options=plan.options | {name: max(_SMALLEST, value // 2)})
            yield replace(plan, options=plan.options | {name: value - 1})


def _plainer(given: dict[str, Any], plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return ``given`` with one part replaced by its default, whole groups first."""
    for name, default in plain.items():
        if name in given and given[name] != default:
            yield given | {name: default}
    for name, default in plain.items():
        value = given.get(name)
        if isinstance(default, dict) and isinstance(value, dict) and value != default:
            inner_value, inner_default = (
                cast("dict[str, Any]", value),
                cast("dict[str, Any]", default),
            )
            for inner in _plainer(inner_value, inner_default):
                yield given | {name: inner}
