"""Mutation score of the package: ``python -m tests.mutation --seed 1 --mutants 400``.

Model
    A mutant is the package with one small change (mutmut's operators). Tests that pass with the
    change would also pass with a bug there. The score is the share of mutants that a test notices.

What counts
    A mutant is killed if a test fails with it that passes without it, or does not end in time.
    Every other mutant survives: also an equivalent one, one that no test runs, and one whose tests
    take longer than ``--seconds``. So the score is a lower bound.

Which tests
    One run of the tests of `POOL` records the lines that each runs. A mutant is tried with the
    tests that run its statement, the fastest first. ``long`` tests are left out, and those that
    take more than a second of CPU time.

The working tree stays as it is: all happens in a copy, by default in ``mutants/``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

from tests.mutation.draw import SCOPE, Mutant, draw, modules, shares, source, write
from tests.mutation.session import Order, Ran, Verdict

ROOT: Final = Path(__file__).parents[2]
SCORE: Final = Path(__file__).parent / "score.json"
#: The tests that mutants of each package are tried with. Proofs with processes, columns,
#: destinations and the command have their own code and take long.
POOL: Final[Mapping[str, Sequence[str]]] = {
    "limits": ("unit/test_limits_[!t]*", "unit/test_lazy_names"),
    "paging": ("unit/test_paging*", "unit/test_completeness", "property/test_paging_plan"),
    "auth": (
        "unit/test_auth*", "unit/test_lazy_names", "unit/test_token_stores", "unit/test_profiles",
        "wire/test_auth_grants", "wire/test_login_device", "wire/test_loopback",
    ),
    "http": (
        "unit/test_retry", "unit/test_call", "unit/test_verdict", "unit/test_targets",
        "unit/test_session", "unit/test_names", "unit/test_errors", "wire/test_one_request",
        "wire/test_compressed", "wire/test_files", "wire/test_uploads", "wire/test_stray_replies",
    ),
    "export": (
        "unit/test_export_cost", "unit/test_export_d[io]*", "unit/test_export_in_order",
        "unit/test_export_modes", "unit/test_export_w*", "unit/test_completeness",
        "wire/test_change_feed", "wire/test_export_job", "wire/test_export_changes",
        "wire/test_export_change_feed",
    ),
}  # fmt: skip
#: Test files per run that records lines. What is recorded is kept if a later run ends early.
BATCH: Final = 6


class Entry(TypedDict):
    """A mutant and what became of it."""

    package: str
    module: str
    line: int
    change: str
    state: str
    test: str


def pool(root: Path, package: str) -> list[str]:
    """Return the test files that mutants of a package are tried with."""
    tests = root / "tests"
    found = [path for name in POOL[package] for path in sorted(tests.glob(f"{name}.py"))]
    return [path.relative_to(root).as_posix() for path in found]


def copy(root: Path, work: Path) -> None:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("zoho_async", "tests", "docs"):
        shutil.rmtree(work / name, ignore_errors=True)
        shutil.copytree(root / name, work / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(root / name, work)


def run(work: Path, order: Order) -> Any:
    """Run a session in the copy, and return its answer."""
    answer = Path(order["answer"])
    answer.unlink(missing_ok=True)
    (work / "order.json").write_text(json.dumps(order), "utf-8")
    subprocess.run(
        [sys.executable, "-m", "tests.mutation.session", "order.json"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(work), "PYTHONHASHSEED": "0"},
    )
    if not answer.exists():
        raise SystemExit("pytest ended before the tests ran; its error is above")
    return json.loads(answer.read_text("utf-8"))


def digest(paths: Iterable[Path]) -> str:
    """Return a digest of the content of files."""
    result = hashlib.sha256()
    for path in paths:
        result.update(path.as_posix().encode() + path.read_bytes())
    return result.hexdigest()


def record(work: Path, files: Sequence[str], measured: list[str], *, again: bool) -> dict[str, Ran]:
    """Return the lines that each test runs.

    Tests run again if their file or a measured module changed. With ``again`` they do not: what
    they ran before is taken, and only new tests run.
    """
    stored = work / "lines.json"
    of: dict[str, Any] = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    package = [work / module for module in measured]
    wanted = {name: digest([*package, work / name]) for name in files}
    stale = [name for name in wanted if of.get(name, {}).get("digest") != wanted[name]]
    for batch in (stale[at : at + BATCH] for at in range(0, len(stale), BATCH)):
        print(f"recording the lines of {batch[0]} to {batch[-1]}", file=sys.stderr, flush=True)
        kept = {name: of[name]["tests"] if again and name in of else {} for name in batch}
        order = Order(
            tests=batch,
            lines_of=measured,
            known=[test for tests in kept.values() for test in tests],
            mutants={},
            seconds={},
            answer=str(work / "answer.json"),
        )
        ran: dict[str, Ran] = run(work, order)
        for name in batch:
            own = {test: each for test, each in ran.items() if test.startswith(name + "::")}
            of[name] = {"digest": wanted[name], "tests": {**kept[name], **own}}
        stored.write_text(json.dumps(of), "utf-8")
    return {test: each for name in wanted for test, each in of[name]["tests"].items()}


def concerned(mutant: Mutant, tests: Mapping[str, Ran], seconds: float) -> list[str]:
    """Return the tests that run the mutant's statement, fastest first, as far as the time goes."""
    for first, last in (mutant.lines, mutant.body):
        wanted = set(range(first, last + 1))
        found = [
            nodeid
            for nodeid, ran in tests.items()
            if ran["passed"] and not wanted.isdisjoint(ran["lines"].get(mutant.module, ()))
        ]
        if found:
            break
    result: list[str] = []
    left = seconds
    for nodeid in sorted(found, key=lambda each: (tests[each]["seconds"], each)):
        left -= tests[nodeid]["seconds"]
        if result and left < 0:
            break
        result.append(nodeid)
    return result


def join(earlier: Sequence[Entry], now: Sequence[Entry], *, again: bool) -> list[Entry]:
    """Return all that is known of a draw: what was tried now replaces what was known of it."""
    modules_now = {entry["module"] for entry in now}
    tried = {(entry["module"], entry["change"]) for entry in now}
    kept = [
        entry
        for entry in earlier
        if (
            entry["state"] != "survived" or (entry["module"], entry["change"]) not in tried
            if again
            else entry["module"] not in modules_now
        )
    ]
    return sorted((*kept, *now), key=lambda entry: (entry["module"], entry["line"]))


def score(seed: int, commit: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the figures of a draw."""

    def counts(of: Sequence[Entry]) -> dict[str, int]:
        states = [entry["state"] for entry in of]
        return {
            "mutants": len(states),
            "killed": len(states) - states.count("survived"),
            "timeout": states.count("timeout"),
            "survived": states.count("survived"),
        }

    return {
        "seed": seed,
        "commit": commit,
        **counts(entries),
        "by_package": {
            package: counts([entry for entry in entries if entry["package"] == package])
            for package in SCOPE
        },
        "survivors": [
            {"module": entry["module"], "line": entry["line"], "change": entry["change"]}
            for entry in entries
            if entry["state"] == "survived"
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the draw (1)")
    parser.add_argument("--mutants", type=int, default=405, help="mutants to draw (405)")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the paths of modules")
    parser.add_argument("--again", action="store_true", help="try only the survivors again")
    parser.add_argument("--seconds", type=float, default=6, help="CPU time of tests per mutant (6)")
    parser.add_argument("--work", type=Path, default=ROOT / "mutants", help="the copy (mutants/)")
    parser.add_argument("--write", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if options.write:
        options.write = options.write.resolve()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()

    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    copy(ROOT, work)
    os.chdir(work)  # mutmut reads its settings from pyproject.toml
    stored = Path(f"verdicts-{options.seed}.json")
    earlier: list[Entry] = json.loads(stored.read_text("utf-8")) if stored.exists() else []
    survived = {(each["module"], each["change"]) for each in earlier if each["state"] == "survived"}
    packages = modules(work)
    codes = {module: (work / module).read_text("utf-8") for module in packages}
    drawn = shares({module: code.count("\n") for module, code in codes.items()}, options.mutants)
    wanted = [module for module in drawn if any(part in module for part in options.only)]
    if options.again:
        wanted = [module for module in wanted if module in {each for each, _ in survived}]
    pools = {package: pool(work, package) for package in {packages[module] for module in wanted}}
    files = sorted({file for pooled in pools.values() for file in pooled})
    ran = record(work, files, sorted(packages), again=options.again)
    tests = {
        package: {test: each for test, each in ran.items() if test.partition("::")[0] in pooled}
        for package, pooled in pools.items()
    }
    mutants: list[Mutant] = []
    for module in wanted:
        each = source(packages[module], module, codes[module])
        code, own = write(each, draw(each, drawn[module], options.seed))
        (work / module).write_text(code, "utf-8")
        mutants += own
    if options.again:
        mutants = [each for each in mutants if (each.module, each.change) in survived]
    chosen = {each.key: concerned(each, tests[each.package], options.seconds) for each in mutants}
    order = Order(
        tests=sorted({test.partition("::")[0] for ids in chosen.values() for test in ids}),
        lines_of=[],
        known=[],
        mutants=chosen,
        seconds={test: each["seconds"] for test, each in ran.items()},
        answer=str(work / "answer.json"),
    )
    verdicts: dict[str, Verdict] = run(work, order)
    now = [
        Entry(
            package=each.package,
            module=each.module,
            line=each.line,
            change=each.change,
            **verdicts[each.key],
        )
        for each in mutants
        if each.key in verdicts  # a run that was ended has tried only some
    ]
    entries = join(earlier, now, again=options.again)
    stored.write_text(json.dumps(entries, indent=1), "utf-8")
    figures = score(options.seed, commit, entries)
    if options.write:
        text = json.dumps(figures, indent=2, ensure_ascii=False)
        options.write.write_text(text + "\n", "utf-8")
    for survivor in figures["survivors"]:
        print(f"{survivor['module']}:{survivor['line']}: {survivor['change']}")
    print(f"{figures['killed']} of {figures['mutants']} killed, {figures['timeout']} by time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
