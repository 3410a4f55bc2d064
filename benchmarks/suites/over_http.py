"""What reading a reply costs: the contenders over HTTP, in turns."""

from __future__ import annotations

import statistics
from typing import cast

import msgspec

from benchmarks.contenders import CONTENDERS, FLOOR, OURS, Spec, Task
from benchmarks.pages import Kind
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.workers import Figure, race

_COLUMNS = [
    "who",
    "CPU us",
    "low",
    "high",
    "wall us",
    "x floor",
    "x ours",
    "peak MB",
    "over imports MB",
    "gives instead",
]
_ALIKE = (FLOOR, "raw sockets + msgspec")  # the same work with less care: no peers


def page(run: Run) -> Table:
    """A typed page, from the socket to structs with Decimals, blanks, dates and ``extra``."""
    table, figures = _table(
        run, "page", "A typed page of 200 invoices, socket to records", times=10
    )
    ours, peers = figures[OURS], _peers(figures)
    exact = [each for each in peers if not each.weaker]
    faster = ", ".join(f"{each.ratio(figures[FLOOR]):.2g}x {each.name}" for each in peers)
    table.notes.append(f"how much faster the floor itself is: than {faster}")
    table.reach = [
        Reach("CPU to the floor's", ours.ratio(figures[FLOOR]), 1.6, "x"),
        *(Reach(f"CPU to {each.name}'s", ours.ratio(each), 0.4, "x") for each in peers),
        *(
            Reach(f"CPU to {each.name}'s, equal values", ours.ratio(each), 0.25, "x")
            for each in exact
        ),
    ]
    return table


def drift(run: Run) -> Table:
    """The page with one drifted field in every row beside the page without."""
    specs = [
        Spec(name=OURS, task="page", url=run.server.url, kind=kind) for kind in ("typed", "drifted")
    ]
    fits, drifts = race(specs, rounds=run.either(11, 3), times=run.either(10, 5))
    drifts.name = "zoho_async, one drifted field a row"
    table = Table(
        key="drift", title="The page with one field that does not fit in each row", columns=_COLUMNS
    )
    for figure in (fits, drifts):
        _add(table, figure, floor=fits, ours=fits)
    table.reach = [
        Reach("CPU to the page without drift", drifts.ratio(fits), 6.0, "x"),
        Reach("longest hold", max(drifts.wall) * 1e3, 50.0, " ms"),
    ]
    return table


def lines(run: Run) -> Table:
    """The rows' own bytes to a JSON Lines file, no sync on either side."""
    table, figures = _table(run, "lines", "The page as lines of a file", times=10)
    ours = figures[OURS]
    table.reach = [
        Reach("CPU to the floor's", ours.ratio(figures[FLOOR]), 1.2, "x"),
        *(Reach(f"CPU to {each.name}'s", ours.ratio(each), 0.2, "x") for each in _peers(figures)),
    ]
    return table


def calls(run: Run) -> Table:
    """One small call through session, limits, token, retry and observer; ten at once.

    What stands in the way of 1.3, in parts of the floor: aiohttp's timers for the server's silence
    and for the whole call 0.12 (measured by doing without them); the limits, which count the call
    in and out and heed the day's headers, about 0.2; what the answer means and the observer 0.1;
    the rest is the call and its headers, its connection, the token and the retries' budget. In time
    it is more than in instructions: between two system calls all of it runs in caches that the
    other has filled.
    """
    table, figures = _table(run, "calls", "One small call, ten at once", times=20)
    table.reach = [Reach("CPU to aiohttp's", figures[OURS].ratio(figures[FLOOR]), 1.3, "x")]
    return table


def compare(
    url: str, task: Task, *, rounds: int, times: int, only: frozenset[str] = frozenset()
) -> dict[str, Figure]:
    """The figures of everybody who has ``task`` (of ``only`` those, if it names any)."""
    specs, figures = [], {}
    for name, entry in CONTENDERS.items():
        if only and name not in only:
            continue
        try:
            has_it = task in entry.load().tasks
        except ImportError as missing:
            figures[name] = Figure(name=name, absent=str(missing))
            continue
        if has_it:
            kind: Kind = "plain" if name in _ALIKE and task == "page" else "typed"
            specs.append(Spec(name=name, task=task, url=url, kind=kind, uvloop=entry.uvloop))
    return {each.name: each for each in race(specs, rounds=rounds, times=times)} | figures


def _table(run: Run, task: Task, title: str, *, times: int) -> tuple[Table, dict[str, Figure]]:
    before = run.server.usage()
    figures = compare(run.server.url, task, rounds=run.either(15, 3), times=times)
    after = run.server.usage()
    table = Table(key=task, title=title, columns=_COLUMNS)
    for figure in figures.values():
        _add(table, figure, floor=figures[FLOOR], ours=figures[OURS])
    each = (after[1] - before[1]) / (after[0] - before[0])
    table.notes.append(f"the server spent {each * 1e6:.0f} us of CPU on each answer")
    return table, figures


def _add(table: Table, figure: Figure, *, floor: Figure, ours: Figure) -> None:
    if figure.absent:
        table.add(figure.name, *(None,) * 8, f"absent: {figure.absent}")
        return
    table.add(
        figure.name,
        figure.median * 1e6,
        min(figure.cpu) * 1e6,
        max(figure.cpu) * 1e6,
        statistics.median(figure.wall) * 1e6,
        figure.ratio(floor),
        figure.ratio(ours),
        figure.memory,
        figure.over,
        ", ".join(figure.weaker) or ("" if table.key == "calls" else "equal values"),
    )
    rounds = cast(dict[str, object], table.series.setdefault("rounds", {}))
    rounds[figure.name] = msgspec.to_builtins(figure)


def _peers(figures: dict[str, Figure]) -> list[Figure]:
    ours = (OURS, "zoho_async on uvloop")
    return [
        each for name, each in figures.items() if name not in (*_ALIKE, *ours) and not each.absent
    ]
