"""The command: ``python -m benchmarks``.

``--guard`` fails a change that makes the client clearly slower. Contenders take turns and the best
round of each counts, because noise only adds. See `guard`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.contenders import FLOOR, OURS, Spec, Task
from benchmarks.report import Reach, Table, about, printed
from benchmarks.server import Served, served
from benchmarks.suites import SUITES, Run
from benchmarks.suites.replies import compare
from benchmarks.timing import apart, race

_ABOUT = """\
Measure zoho_async against the floor (aiohttp with plain msgspec) and against its peers.

Each contender is a process, and they take turns. Figures are CPU time of one piece of work: the
median, the smallest and the largest round, and ratios within a round. Before timing, the rows of
each contender are compared with the floor's. Times depend on the machine, ratios less so: leave
the machine idle during a run.
"""
_EXAMPLES = """\
  python -m benchmarks                                all tables
  python -m benchmarks --quick                        two minutes, few rounds
  python -m benchmarks --only page --only calls       some tables
  python -m benchmarks --only page --json out.json    measure one again, keep the others
  python -m benchmarks --json out.json --plots docs/benchmarks
  python -m benchmarks --plots docs/benchmarks --from out.json     draw without measuring
  python -m benchmarks --quick --guard                fail if a ratio is too high (for CI)
"""


class Results(msgspec.Struct):
    """A run, as written by ``--json``."""

    about: dict[str, str]
    tables: list[Table]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write. Return 1 if ``--guard`` found a ratio that is too high."""
    given = _parser().parse_args(argv)
    if given.since is not None:
        results = _read(given.since)
    else:
        results = Results(about(), [])
        for name, value in results.about.items():
            print(f"{name:18} {value}")
        with served() as server:
            print(_strength(server))
            if given.guard:
                return guard(server)
            if given.only and given.json and given.json.exists():
                results.tables = _read(given.json).tables
            for name in given.only or SUITES:
                _put(results, _measure(name, Run(server, quick=given.quick)))
                if given.json:
                    _write(results, given.json)
    if given.plots:
        from benchmarks.plots import draw

        for path in draw(results.tables, given.plots):
            print(f"drawn: {path}")
    return 0


def _put(results: Results, table: Table) -> None:
    """Add ``table`` or replace the older one, in the order of `SUITES`."""
    order = list(SUITES)
    kept = [each for each in results.tables if each.key != table.key]
    results.tables = sorted([*kept, table], key=lambda each: order.index(each.key))


def _read(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def _write(results: Results, path: Path) -> None:
    """Write after each table, so that an interrupted run keeps its results."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def _measure(name: str, run: Run) -> Table:
    began = time.monotonic()
    table = SUITES[name].load()(run)
    print(f"\n[{name}] {printed(table)}\n  ({time.monotonic() - began:.0f} s)", flush=True)
    return table


def _strength(server: Served) -> str:
    """The speed of the server, for a client that only reads."""
    from benchmarks.server import strength

    return strength(server)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, SUITES))
    tables = "\n".join(
        f"  {name:{width}}  {entry.says} (~{entry.seconds} s)" for name, entry in SUITES.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=_ABOUT,
        epilog=f"tables:\n{tables}\n\nexamples:\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few rounds and small sizes")
    add(
        "--only",
        action="append",
        choices=list(SUITES),
        metavar="NAME",
        help="measure this table (repeatable)",
    )
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all figures to FILE; with --only, update it",
    )
    add("--plots", type=Path, metavar="FOLDER", help="draw the plots of README as SVG")
    add("--from", dest="since", type=Path, metavar="FILE", help="read figures from a --json file")
    add(
        "--guard",
        action="store_true",
        help="check ratios against generous bounds in a minute, for CI",
    )
    return parser


# -- the guard -------------------------------------------------------------------------------------

_JSON = "httpx + json"
_ONLY = frozenset({FLOOR, OURS, _JSON})


def guard(server: Served) -> int:
    """Print each ratio and its bound. Return 1 if one is above its bound."""
    found = [*_http(server), *_into(server), *_drift(server), *_export(server)]
    found += asyncio.run(_slot())
    for each in found:
        print(each)
    return 0 if all(each.reached for each in found) else 1


def _http(server: Served) -> list[Reach]:
    bounds: dict[Task, tuple[float, float]] = {
        "page": (2.1, 1.2),
        "lines": (2.6, 0.3),
        "calls": (2.6, 0.35),
    }
    found = []
    for task, (floor, json) in bounds.items():
        figures = compare(server.url, task, rounds=7, times=10, only=_ONLY)
        ours = figures[OURS].best
        found.append(Reach(f"{task}, to the floor", ours / figures[FLOOR].best, floor, "x"))
        found.append(Reach(f"{task}, to {_JSON}", ours / figures[_JSON].best, json, "x"))
    return found


def _into(server: Served) -> list[Reach]:
    tasks: tuple[Task, ...] = ("page", "few", "blank")
    specs = [Spec(name=OURS, task=task, url=server.url) for task in tasks]
    every, few, blank = (each.best for each in race(specs, rounds=5, times=10))
    return [
        Reach("eight fields, to all fields", few / every, 0.5, "x"),
        Reach("eight fields of which some are blank, to all fields", blank / every, 0.75, "x"),
    ]


def _drift(server: Served) -> list[Reach]:
    specs = [Spec(name=OURS, task="page", url=server.url, kind=k) for k in ("typed", "drifted")]
    fits, drifts = race(specs, rounds=5, times=5)
    return [Reach("page with drift, to the page without", drifts.best / fits.best, 6.0, "x")]


def _export(server: Served) -> list[Reach]:
    """An export to JSON Lines against rows that are only copied."""
    best = {
        who: min(apart("benchmarks.suites.destinations", who, server.url, 20_000)[0] for _ in "123")
        for who in ("exported", "written_without_us")
    }
    ratio = best["exported"] / best["written_without_us"]
    return [Reach("an export to JSON Lines, to rows copied", ratio, 8.0, "x")]


async def _slot() -> list[Reach]:
    """A slot against a fixed piece of Python, and against itself with many calls waiting."""
    from benchmarks.suites.overhead import limiter_of, once_of, repeated, waiting_of
    from benchmarks.timing import in_turns

    figures = await in_turns(
        [
            ("python", _python),
            ("slot", repeated(once_of(limiter_of(10**6, 10**6), "interactive"), 2_000)),
            ("a thousand", waiting_of(once_of(limiter_of(100, 100), "interactive"), 1_000)),
            ("ten thousand", waiting_of(once_of(limiter_of(100, 100), "interactive"), 10_000)),
        ],
        rounds=3,
    )
    python, slot, few, many = (min(each.cpu) for each in figures)
    return [
        Reach("a free slot, to 100 turns of an empty loop", slot / python, 14.0, "x"),
        Reach("a slot with 10,000 waiting, to 1,000", many / few, 1.8, "x"),
    ]


async def _python() -> int:
    for _ in range(2_000):
        for _ in range(100):
            pass
    return 2_000


if __name__ == "__main__":
    sys.exit(main())
