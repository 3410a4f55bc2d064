"""A fleet keeps its limits when Redis forgets, and the judges see it when it does not."""

from __future__ import annotations

import pytest

from tests.simulation.faults import Fault
from tests.simulation.plan import Plan, WorkloadPlan
from tests.simulation.runner import Outcome, run_one
from zoho_async.limits.redis import rows

CALLER = {"calls": 40, "lane": "bulk", "max_wait": None}
OPTIONS = {
    "callers": [CALLER, CALLER],
    "limits": {"limit": 60, "burst": 60},
    "redis": [{"kind": "restart", "at": 10.0, "seconds": 1.0}],
    "initialized": True,
}
WORKERS = ("one", "two")


def run(*faults: Fault) -> Outcome:
    workload = WorkloadPlan("limits", WORKERS, options=OPTIONS)
    return run_one(Plan(seed=3, faults=faults, workloads=(workload,)))


def test_a_fleet_keeps_its_limits_when_redis_restarts_empty() -> None:
    stop = Fault("stop", "two", seconds=30.0, at=5.0)
    outcome = run(stop)
    assert not outcome.violations
    assert outcome.calls == 160
    assert outcome.faults["redis restart"] == 1
    assert outcome.checks["P1 minute"] == 160


def test_calls_that_redis_forgot_are_seen_by_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.UsageView, "starts_in", lambda self, limits, lease: 0.0)
    outcome = run()
    assert "P1 minute" in {one.promise for one in outcome.violations}
