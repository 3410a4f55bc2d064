"""The runner: the same seed gives the same world, failures are found, shrunk and shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.simulation import plan as plans
from tests.simulation import workloads
from tests.simulation.__main__ import main
from tests.simulation.faults import Fault
from tests.simulation.figures import Figures
from tests.simulation.plan import Plan, WorkloadPlan
from tests.simulation.runner import Outcome, run_all, run_one
from tests.simulation.shrink import candidates, shrink

KILL = Fault("kill", "probe1.1", "www.zohoapis.com", 15, 5.0, phase="arrived")
PROBE = WorkloadPlan("probe", ("probe1.1", "probe1.2"), ("10000",), {"calls": 30, "at_once": 4})


def test_a_seed_gives_the_same_world_in_every_process() -> None:
    plan = Plan(7, faults=(KILL,), workloads=(PROBE,))
    first, second = run_all(iter([plan, plan]), processes=2)
    assert first.calls > 60
    assert first.faults == {"kill": 1}
    assert not first.violations
    assert first.digest == second.digest
    again = (
        "import msgspec, sys; from tests.simulation.plan import Plan;"
        "from tests.simulation.runner import run_one;"
        "print(run_one(msgspec.json.decode(sys.argv[1], type=Plan)).digest)"
    )
    found = subprocess.run(
        [sys.executable, "-c", again, msgspec.json.encode(plan).decode()],
        env=os.environ | {"PYTHONHASHSEED": "4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == first.digest


def test_a_plan_is_a_function_of_its_seed_and_survives_json() -> None:
    table = workloads.table()
    for seed in range(50):
        plan = plans.draw(seed, table)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
        assert plans.draw(seed, table) == plan


def test_a_plan_is_shrunk_to_what_breaks_the_promise() -> None:
    others = tuple(Fault("late", "probe1.2", "www.zohoapis.com", n) for n in range(1, 20))
    crowded = {"crowd": {"steady": 5.0, "burst": 3, "every": 300.0}}
    plan = Plan(7, faults=(*others, KILL), workloads=(PROBE,), assumptions=crowded)
    smallest = shrink(plan, lambda one: KILL in one.faults)
    assert smallest.faults == (KILL,)
    assert smallest.workloads[0].workers == ("probe1.1",)
    assert smallest.workloads[0].options == {"calls": 1, "at_once": 1}
    assert not any(KILL in one.faults for one in candidates(smallest))


def test_a_worker_that_waits_forever_breaks_the_promise_that_all_ends() -> None:
    fault = Fault("stop", "probe1.1", "www.zohoapis.com", 3, 1e9, phase="sent")
    found = run_one(Plan(7, faults=(fault,), workloads=(PROBE,)))
    assert [one.promise for one in found.violations] == ["P5"]
    assert any("probe1.1" in line for line in found.violations[0].evidence)


def test_a_run_that_checked_nothing_fails() -> None:
    figures = Figures()
    figures.add(Outcome(1, faults={"kill": 1}, checks={"P5": 1}))
    assert "fault never met: stop" in figures.unmet()
    assert "fault never met: kill" not in figures.unmet()
    assert "promise never checked: P4 once" in figures.unmet()


def test_the_command_replays_a_plan_and_prints_its_story(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(Plan(7, workloads=(PROBE,))))
    assert main(["--plan", str(file), "--story"]) == 0
    printed = capfd.readouterr().out
    assert "all promises held" in printed
    assert "GET /books/contacts/" in printed
