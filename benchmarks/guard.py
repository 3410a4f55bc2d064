"""Whether the client has become slower, for a machine that is noisy: ratios, never times.

Contenders take turns and of each the best round counts: noise only ever adds. The bounds are half
again what holds on a quiet machine, so that what trips them is a change of the code.
"""

from __future__ import annotations

import asyncio

from benchmarks.contenders import FLOOR, OURS, Spec, Task
from benchmarks.report import Reach
from benchmarks.server import Served
from benchmarks.suites.over_http import compare
from benchmarks.workers import race

_JSON = "httpx + json"
_ONLY = frozenset({FLOOR, OURS, _JSON})


def guard(server: Served) -> int:
    """Print each ratio and its bound; 1 where one was passed."""
    found = [*_http(server), *_drift(server), *asyncio.run(_slot())]
    for each in found:
        print(each)
    return 0 if all(each.reached for each in found) else 1


def _http(server: Served) -> list[Reach]:
    bounds: dict[Task, tuple[float, float]] = {
        "page": (2.4, 1.4),
        "lines": (2.4, 0.4),
        "calls": (3.0, 0.4),
    }
    found = []
    for task, (floor, json) in bounds.items():
        figures = compare(server.url, task, rounds=7, times=10, only=_ONLY)
        ours = figures[OURS].best
        found.append(Reach(f"{task}, to the floor", ours / figures[FLOOR].best, floor, "x"))
        found.append(Reach(f"{task}, to {_JSON}", ours / figures[_JSON].best, json, "x"))
    return found


def _drift(server: Served) -> list[Reach]:
    specs = [Spec(name=OURS, task="page", url=server.url, kind=k) for k in ("typed", "drifted")]
    fits, drifts = race(specs, rounds=5, times=5)
    return [Reach("page with drift, to the page without", drifts.best / fits.best, 6.0, "x")]


async def _slot() -> list[Reach]:
    """A slot against a fixed piece of Python, and against itself with many waiting."""
    from benchmarks.measure import in_turns
    from benchmarks.suites.slots import crowd_of, limiter_of, once_of, repeated

    figures = await in_turns(
        [
            ("python", _python),
            ("slot", repeated(once_of(limiter_of(10**6, 10**6), "interactive"), 2_000)),
            ("a thousand", crowd_of(once_of(limiter_of(100, 100), "interactive"), 1_000)),
            ("ten thousand", crowd_of(once_of(limiter_of(100, 100), "interactive"), 10_000)),
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
