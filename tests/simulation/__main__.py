"""Run the simulation: ``python -m tests.simulation --minutes 8 --processes 2``.

Or replay one seed, shrink it and print its story: ``python -m tests.simulation --seed 17``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.simulation import plan as plans
from tests.simulation import seeds, workloads
from tests.simulation.figures import Figures
from tests.simulation.plan import Plan
from tests.simulation.runner import Outcome, load_modules, run_all, run_one
from tests.simulation.shrink import shrink


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed, shrink it if it fails")
    parser.add_argument("--plan", type=Path, help="replay the plan in this JSON file")
    parser.add_argument("--story", action="store_true", help="print the story even if all is well")
    parser.add_argument("--no-shrink", action="store_true", help="do not shrink a failure")
    parser.add_argument("--minutes", type=float, help="run old and new seeds for so long")
    parser.add_argument("--calls", type=int, help="run until so many calls were simulated")
    parser.add_argument("--processes", type=int, default=1, help="worlds at once (default 1)")
    parser.add_argument("--first", type=int, help="the first new seed (default: by the clock)")
    parser.add_argument("--figures", help="write the figures as JSON to this file")
    parser.add_argument("--keep", action="store_true", help="write seeds.txt again, by coverage")
    parser.add_argument("--only", help="comma-separated names of the workloads to draw from")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all promises held and all was met, 1 if not, 130 if interrupted."""
    options = parse(arguments)
    table = workloads.table()
    if options.only:
        table = {name: table[name] for name in options.only.split(",")}
    if options.plan is not None:
        return replay(msgspec.json.decode(options.plan.read_bytes(), type=Plan), options)
    if options.seed is not None:
        return replay(plans.draw(options.seed, table), options)
    if options.minutes is None and options.calls is None:
        sys.exit("say --seed, --plan, --minutes or --calls")
    return campaign(table, options)


def replay(plan: Plan, options: argparse.Namespace) -> int:
    """Run one plan twice, shrink it if it breaks a promise, and print its story."""
    first, second = run_one(plan), run_one(plan)
    print(f"seed {plan.seed}: {first.calls} calls, digest {first.digest}")
    if first.digest != second.digest:
        print(f"not the same twice: {second.digest}")
        return 1
    if not first.violations:
        if options.story:
            print_story(run_one(plan, story=True))
        print("all promises held")
        return 0
    promise = first.violations[0].promise
    if not options.no_shrink:
        print(f"shrinking, as long as {promise} breaks ...")

        def breaks(smaller: Plan) -> bool:
            return any(one.promise == promise for one in run_one(smaller).violations)

        def progress(runs: int, smaller: Plan) -> None:
            parts = sum(len(one.workers) for one in smaller.workloads), len(smaller.faults)
            print(f"  run {runs}: {parts[0]} workers, {parts[1]} faults", flush=True)

        plan = shrink(plan, breaks, progress=progress)
    print_story(run_one(plan, story=True))
    print(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
    return 1


def print_story(outcome: Outcome) -> None:
    """Print the story, then what is broken."""
    for line in outcome.story:
        print(line)
    print_violations(outcome)


def print_violations(outcome: Outcome) -> None:
    for one in outcome.violations:
        print(f"seed {outcome.seed} breaks {one.promise}: {one.sentence}")
        for line in one.evidence:
            print(f"    {line}")


def campaign(table: dict[str, workloads.Workload], options: argparse.Namespace) -> int:
    """Run the kept seeds and new ones until the budget ends."""
    first = int(time.time()) * 1000 if options.first is None else options.first
    kept = seeds.read()
    print(f"{len(kept)} kept seeds, then new ones from {first}", flush=True)
    load_modules(table)
    figures, coverage = Figures(), seeds.Coverage()
    until = None if options.minutes is None else time.monotonic() + 60 * options.minutes

    def drawn() -> Iterator[Plan]:
        for seed in itertools.chain(kept, itertools.count(first)):
            late = until is not None and time.monotonic() > until
            enough = options.calls is not None and figures.calls >= options.calls
            if late or enough:
                return
            yield plans.draw(seed, table)

    status, shown = 0, 0.0
    running = run_all(drawn(), processes=options.processes)
    try:
        for outcome in running:
            figures.add(outcome)
            coverage.add(outcome.seed, outcome.coverage)
            if outcome.violations:
                status = 1
                print_violations(outcome)
                print(f"    replay: python -m tests.simulation --seed {outcome.seed}", flush=True)
            if figures.seconds - shown > 10:
                shown = figures.seconds
                print(figures.line(), flush=True)
    except KeyboardInterrupt:
        status = 130
        print("interrupted", flush=True)
    finally:
        running.close()
    print(figures.line(), flush=True)
    if status == 0 and (unmet := figures.unmet()) and not options.only:
        status = 1
        print("\n".join(unmet))
    if options.figures:
        figures.write(options.figures, first_seed=first, kept_seeds=len(kept))
    if options.keep:
        seeds.write(coverage.seeds)
        print(f"kept {len(coverage.seeds)} seeds for {len(coverage.reached)} situations")
    return status


if __name__ == "__main__":
    sys.exit(main())
