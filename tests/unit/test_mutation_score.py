"""The mutation runner kills a planted mutant and keeps an equivalent one; draws follow the seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="mutmut needs os.fork and is in the extra dev")

from tests.mutation.__main__ import SCORE, Entry, concerned, join, score
from tests.mutation.draw import SCOPE, Source, change, draw, shares, source, write
from tests.mutation.session import Order, Ran, Verdict

ROOT = Path(__file__).parents[2]
CODE = '''
def larger(a: int, b: int) -> int:
    """The larger of two numbers. Of equal ones either is right."""
    if a > b:
        return a
    return b


def count_down(start: int) -> int:
    while start > 0:
        start -= 1
    return start
'''
TESTS = """
from planted import count_down, larger


def test_the_larger_one_wins():
    assert larger(1, 2) == 2
    assert larger(2, 1) == 2
    assert larger(2, 2) == 2


def test_a_count_ends():
    assert count_down(3) == 0


def test_not_to_be_trusted(tmp_path_factory):
    import os
    assert "MUTANT_UNDER_TEST" not in os.environ
"""


def test_a_planted_mutant_is_killed_and_an_equivalent_one_survives(tmp_path: Path) -> None:
    """Also an endless loop is killed, and a test that fails without a mutant kills none."""
    planted = source("limits", "planted.py", CODE)
    code, mutants = write(planted, planted.mutations)
    (tmp_path / "planted.py").write_text(code)
    (tmp_path / "test_planted.py").write_text(TESTS)
    names = ("test_not_to_be_trusted", "test_the_larger_one_wins", "test_a_count_ends")
    tests = [f"test_planted.py::{name}" for name in names]
    order = Order(
        tests=["test_planted.py"],
        lines_of=[],
        known=[],
        mutants={mutant.key: tests for mutant in mutants},
        seconds=dict.fromkeys(tests, -0.3),  # so a limit of one second of CPU time
        answer="answer.json",
    )
    (tmp_path / "order.json").write_text(json.dumps(order))
    subprocess.run(
        [sys.executable, "-m", "tests.mutation.session", "order.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        check=True,
        capture_output=True,
    )
    verdicts: dict[str, Verdict] = json.loads((tmp_path / "answer.json").read_text())
    states = {mutant.change: verdicts[mutant.key]["state"] for mutant in mutants}
    assert states == {
        "> b  ->  >= b": "survived",
        "> 0  ->  >= 0": "killed",
        "0  ->  1": "killed",
        "start -= 1  ->  start = 1": "timeout",
        "start -= 1  ->  start += 1": "timeout",
        "1  ->  2": "killed",
    }
    assert {verdict["test"] for verdict in verdicts.values()} == {"", tests[2]}


def test_a_draw_depends_on_the_seed_and_not_on_other_functions() -> None:
    planted = source("limits", "planted.py", CODE)
    longer = source("limits", "planted.py", "def another() -> int:\n    return 1 + 1\n" + CODE)
    all_of_them = len(longer.mutations)

    def changes(each: Source, count: int, seed: int) -> list[str]:
        return [change(each.tree, mutation) for mutation in draw(each, count, seed)]

    assert changes(planted, 3, 1) == changes(planted, 3, 1)
    assert len({tuple(changes(planted, 3, seed)) for seed in range(20)}) > 5
    for count in range(all_of_them):
        kept = [
            each
            for each in changes(longer, count, 1)
            if each not in {"1  ->  2", "1 + 1  ->  1 - 1"}
        ]
        assert [
            each for each in changes(planted, len(planted.mutations), 1) if each in kept
        ] == kept
    assert shares({"a": 10, "b": 10, "c": 11}, 4) == {"a": 1, "b": 1, "c": 2}


def test_a_mutant_is_tried_with_the_tests_that_run_its_statement() -> None:
    planted = source("limits", "planted.py", CODE)
    _, mutants = write(planted, planted.mutations)
    tests = {
        "slow": Ran(seconds=9.0, passed=True, lines={"planted.py": [2, 3, 4]}),
        "fast": Ran(seconds=0.1, passed=True, lines={"planted.py": [4, 5]}),
        "broken": Ran(seconds=0.1, passed=False, lines={"planted.py": [4]}),
        "elsewhere": Ran(seconds=0.1, passed=True, lines={"planted.py": [10, 11]}),
    }
    assert mutants[0].line == 4
    assert concerned(mutants[0], tests, 15) == ["fast", "slow"]
    assert concerned(mutants[0], tests, 5) == ["fast"]


def test_the_written_figures_add_up() -> None:
    """Equivalent mutants are survivors; a timeout is a kill."""
    figures = json.loads(SCORE.read_text())
    parts = figures["by_package"].values()
    for key in ("mutants", "killed", "timeout", "survived"):
        assert figures[key] == sum(part[key] for part in parts)
    assert set(figures["by_package"]) == set(SCOPE)
    assert figures["killed"] + figures["survived"] == figures["mutants"]
    assert len(figures["survivors"]) == figures["survived"]


def test_a_survivor_that_is_tried_again_replaces_itself_alone() -> None:
    def entry(line: int, state: str, module: str = "a.py") -> Entry:
        return Entry(package="auth", module=module, line=line, change="", state=state, test="")

    earlier = [entry(1, "killed"), entry(2, "survived"), entry(1, "survived", "b.py")]
    again = join(earlier, [entry(2, "timeout")], again=True)
    assert again == [entry(1, "killed"), entry(2, "timeout"), entry(1, "survived", "b.py")]
    assert join(earlier, [entry(3, "killed")], again=False) == [entry(3, "killed"), earlier[2]]
    figures = score(1, "", again)
    assert (figures["mutants"], figures["killed"], figures["timeout"]) == (3, 2, 1)
    assert figures["survivors"] == [{"module": "b.py", "line": 1, "change": ""}]
