"""Put old faults back, and see how soon the simulation notices.

``python -m tests.simulation.put_back`` puts each fault of `old_faults` back,
one at a time. The kept seeds run first, then new ones, until a world breaks a promise. The same
world must keep all promises without the fault; otherwise it does not count.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from tests.simulation.plan import Plan
from tests.simulation.promises import PROMISES
from tests.simulation.runner import load_modules, run_all, run_one

from tests.simulation import plan as plans
from tests.simulation import seeds, workloads
from tests.simulation.old_faults import OLD_FAULTS, OldFault, put_back

FILE: Final = Path(__file__).with_name("put_back.json")
#: The time of the simulation in CI, in seconds.
BUDGET: Final = 480.0


class Noticed(msgspec.Struct, frozen=True):
    """How the simulation noticed a fault: at which seed, after how many worlds and seconds."""

    name: str
    words: str
    seed: int
    worlds: int
    seconds: float
    promise: str
    sentence: str


def notice(
    fault: OldFault,
    table: dict[str, workloads.Workload],
    *,
    seconds: float,
    first: int,
    processes: int,
) -> Noticed | None:
    """Run worlds with ``fault`` until one breaks a promise that it keeps without it."""
    began, worlds = time.monotonic(), 0
    drawn = itertools.chain(seeds.read(), itertools.count(first))

    def drawn_in_time() -> Iterator[Plan]:
        for seed in drawn:
            if time.monotonic() - began > seconds:
                return
            yield plans.draw(seed, table)

    while True:
        with put_back(fault), closing(run_all(drawn_in_time(), processes=processes)) as running:
            for outcome in running:
                worlds += 1
                broken = next((one for one in outcome.violations if one.promise in PROMISES), None)
                if broken is not None:
                    break
            else:
                return None
        after = round(time.monotonic() - began, 1)
        if not run_one(plans.draw(outcome.seed, table)).violations:
            seed, words = outcome.seed, fault.words
            return Noticed(fault.name, words, seed, worlds, after, broken.promise, broken.sentence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every fault was noticed within the budget, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.put_back", description=__doc__
    )
    names = [fault.name for fault in OLD_FAULTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=BUDGET, help="the most per fault (480)")
    parser.add_argument("--processes", type=int, default=1, help="worlds at once (1)")
    parser.add_argument("--first", type=int, default=1_000_000, help="the first new seed")
    parser.add_argument("--figures", type=Path, help=f"write the result as JSON, to {FILE.name}")
    parser.add_argument("--only", help="comma-separated names of the workloads to draw from")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown fault {sorted(unknown)[0]!r}; choose from {', '.join(names)}")
    table = workloads.table()
    if options.only:
        table = {name: table[name] for name in options.only.split(",")}
    load_modules(plans.draw(seed, table) for seed in (seeds.read()[:8] or range(8)))
    found: list[Noticed] = []
    for fault in OLD_FAULTS:
        if options.names and fault.name not in options.names:
            continue
        limits = {"seconds": options.seconds, "first": options.first}
        one = notice(fault, table, **limits, processes=options.processes)
        if one is None:
            print(f"{fault.name}: not noticed in {options.seconds:g} s", flush=True)
            continue
        found.append(one)
        print(
            f"{one.name}: {one.seconds} s, {one.worlds} worlds, seed {one.seed}: "
            f"{one.promise}: {one.sentence}",
            flush=True,
        )
        if options.figures:
            options.figures.write_bytes(
                msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
            )
    return 0 if len(found) == (len(options.names) or len(OLD_FAULTS)) else 1


if __name__ == "__main__":
    sys.exit(main())
