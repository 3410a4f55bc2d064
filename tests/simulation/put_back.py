"""Put old faults back, and see how soon the simulation notices.

``python -m tests.simulation.put_back`` puts each fault of `old_faults` back, one at a time. Worlds
are drawn from the workloads that use the replaced function, until one breaks a promise that the
same world keeps without the fault. The kept seed of a fault runs first, then new ones.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from tests.simulation import plan as plans
from tests.simulation import workloads
from tests.simulation.old_faults import OLD_FAULTS, OldFault, put_back
from tests.simulation.promises import PROMISES
from tests.simulation.runner import Outcome, load_modules, run_all, run_one

FILE: Final = Path(__file__).with_name("put_back.json")
#: The time of the simulation in CI on one processor, in seconds.
BUDGET: Final = 480.0


class Noticed(msgspec.Struct, frozen=True):
    """How the simulation noticed a fault: at which seed, after how many worlds and seconds.

    ``seconds`` are those of one processor, so they do not depend on what else the machine does.
    """

    name: str
    words: str
    workloads: tuple[str, ...]
    seed: int
    worlds: int
    seconds: float
    promise: str
    sentence: str


def notice(fault: OldFault, options: argparse.Namespace) -> Noticed | None:
    """Run worlds with ``fault`` until one breaks a promise that it keeps without it."""
    table = {name: one for name, one in workloads.table().items() if name in fault.workloads}
    load_modules(table)
    known = [] if fault.seed is None else [fault.seed]
    drawn = (
        plans.draw(seed, table) for seed in itertools.chain(known, itertools.count(options.first))
    )
    worlds, seconds = 0, 0.0
    while seconds < options.seconds:
        with put_back(fault), closing(run_all(drawn, processes=options.processes)) as running:
            for outcome in running:
                worlds += 1
                seconds += outcome.cpu_seconds
                if broken(outcome) or seconds >= options.seconds:
                    break
        kept = broken(run_one(plans.draw(outcome.seed, table))) if broken(outcome) else {}
        for promise, sentence in broken(outcome).items():
            if promise not in kept:
                return Noticed(
                    name=fault.name,
                    words=fault.words,
                    workloads=fault.workloads,
                    seed=outcome.seed,
                    worlds=worlds,
                    seconds=round(seconds, 1),
                    promise=promise,
                    sentence=sentence[:200],
                )
    print(f"{fault.name}: not noticed in {worlds} worlds, {seconds:.1f} s", flush=True)
    return None


def broken(outcome: Outcome) -> dict[str, str]:
    """Return the promises that ``outcome`` breaks, with a sentence of each."""
    return {one.promise: one.sentence for one in outcome.violations if one.promise in PROMISES}


def save(path: Path, found: Sequence[Noticed]) -> None:
    """Put what was ``found`` into the file, in the order of `OLD_FAULTS`. Others stay."""
    known: dict[str, Noticed] = {}
    if path.exists():
        old = msgspec.json.decode(path.read_bytes(), type=list[Noticed])
        known = {one.name: one for one in old}
    known |= {one.name: one for one in found}
    rows = [known[fault.name] for fault in OLD_FAULTS if fault.name in known]
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")


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
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown fault {sorted(unknown)[0]!r}; choose from {', '.join(names)}")
    found: list[Noticed] = []
    wanted = [fault for fault in OLD_FAULTS if not options.names or fault.name in options.names]
    for fault in wanted:
        one = notice(fault, options)
        if one is not None:
            found.append(one)
            print(
                f"{one.name}: {one.seconds} s, {one.worlds} worlds, seed {one.seed}: "
                f"{one.promise}: {one.sentence}",
                flush=True,
            )
        if options.figures:
            save(options.figures, found)
    return 0 if len(found) == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
