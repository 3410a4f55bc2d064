"""The cost of the client against the floor: replies over HTTP, and long lists.

`page`, `drift`, `lines` and `calls` time the contenders in turns. `growth` shows whether a row
costs the same in a list of a thousand and of a million.

What grows with a list is the read-ahead. Without limits, a long list is read twelve pages ahead and
a list of five pages one page ahead. Rows that wait for their reader then outlive the collector's
first passes and the processor's caches: of 25 us per row the collector takes 4.5 and the caches 3.
Zoho's own pace (1.3 calls per second, answered in a third) needs two pages in lists of any length.
So the records are read a second time at a pace that needs two pages and never makes a call wait.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import cast

import msgspec

from benchmarks.contenders import CONTENDERS, FLOOR, OURS, Spec, Task
from benchmarks.contenders.ours import UNLIMITED, session
from benchmarks.report import Reach, Table
from benchmarks.server import Kind, organization
from benchmarks.suites import Run
from benchmarks.timing import Figure, apart, memory, race
from zoho_async import Limits, Session
from zoho_async.books import invoices

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


def into(run: Run) -> Table:
    """A page as a struct of eight fields (`pager.into`), against all fields and against orjson."""
    url, orjson = run.server.url, "aiohttp + orjson"
    specs = [
        Spec(name=OURS, task="page", url=url),
        Spec(name=OURS, task="few", url=url),
        Spec(name=OURS, task="blank", url=url),
        Spec(name=FLOOR, task="few", url=url, kind="plain"),
        Spec(name=orjson, task="page", url=url),
    ]
    figures = race(specs, rounds=run.either(15, 3), times=10)
    names = [
        "zoho_async, all fields",
        "zoho_async, eight fields",
        "zoho_async, eight fields, some blank",
        f"{FLOOR}, eight fields",
        f"{orjson}, plain values",
    ]
    typed, few, blank, _, plain = figures
    table = Table(
        key="into",
        title="A page of 200 invoices as a struct of eight fields",
        columns=["who", "CPU us", "low", "high", "x all fields", f"x {orjson}"],
    )
    for name, figure in zip(names, figures, strict=True):
        low, high = min(figure.cpu) * 1e6, max(figure.cpu) * 1e6
        ratios = (figure.ratio(typed), None if plain.absent else figure.ratio(plain))
        table.add(name, figure.median * 1e6, low, high, *ratios)
    table.reach = [
        Reach("no blanks, to all fields", few.ratio(typed), 0.3, "x"),
        Reach("some blanks, to all fields", blank.ratio(typed), 0.55, "x"),
    ]
    if not plain.absent:
        table.reach.append(Reach(f"some blanks, to {orjson}", blank.ratio(plain), 1.0, "x"))
    return table


def drift(run: Run) -> Table:
    """The page with one drifted field in each row, against the page without."""
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

    The cost above the floor, in parts of the floor: 0.12 for aiohttp's timers (measured without
    them), about 0.2 for the limits, 0.1 for interpreting the reply and for the observer. The rest
    is the call and its headers, the connection, the token and the retry budget. It takes more time
    than its instructions suggest, because system calls in between evict it from the caches.
    """
    table, figures = _table(run, "calls", "One small call, ten at once", times=20)
    table.reach = [Reach("CPU to aiohttp's", figures[OURS].ratio(figures[FLOOR]), 1.3, "x")]
    return table


def compare(
    url: str, task: Task, *, rounds: int, times: int, only: frozenset[str] = frozenset()
) -> dict[str, Figure]:
    """Return the figures of the contenders with ``task``, or of those in ``only`` if given."""
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


# -- long lists ------------------------------------------------------------------------------------

_PACED = "records, two pages ahead"
#: Fifty bulk calls a second, of which a hundred million may come at once.
_PACE = Limits(limit=10**8, burst=10**8 - 1, in_flight=10**6, window=0.02, linger=0.02)


def growth(run: Run) -> Table:
    """CPU of a row and peak memory, by the number of rows."""
    sizes = (1_000, 10_000, 100_000) if run.quick else (1_000, 10_000, 100_000, 1_000_000)
    table = Table(
        key="growth",
        title="The cost of a row by the length of the list, rows thrown away",
        columns=["rows as", "rows", "CPU us a row", "peak MB", "rows a second"],
    )
    for form in ("records", "bytes", _PACED):
        points = []
        for size in sizes:
            # So that short lists are measured as long as longer ones.
            times = max(1, min(100, 50_000 // size))
            cpu, wall, peak = apart(
                "benchmarks.suites.replies", "measured", run.server.url, form, size, times
            )
            table.add(form, size, cpu * 1e6, peak, 1 / wall)
            points.append([size, cpu * 1e6, peak])
        table.series[form] = points
        low, high = min(p[1] for p in points), max(p[1] for p in points)
        table.reach.append(Reach(f"{form}: dearest to cheapest row", high / low, 1.1, "x"))
    return table


def measured(url: str, form: str, size: int, times: int) -> tuple[float, float, float]:
    """Seconds of CPU and wall for a row, and peak megabytes."""
    return asyncio.run(_measured(url, form, size, times))


async def _measured(url: str, form: str, size: int, times: int) -> tuple[float, float, float]:
    cpus, walls = [], []
    limits = _PACE if form == _PACED else UNLIMITED
    async with session(url, organization("typed", size), limits) as zoho:
        await _read(zoho.for_organization(organization("typed", 2_000)), form)
        for _ in range(times):
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            came = await _read(zoho, form)
            cpus.append((time.process_time() - cpu) / size)
            walls.append((time.perf_counter() - wall) / size)
            assert came == size, f"{came} rows of {size}"
    return statistics.median(cpus), statistics.median(walls), memory("VmHWM")


async def _read(zoho: Session, form: str) -> int:
    came = 0
    if form != "bytes":
        async for _ in invoices.list(zoho):
            came += 1
    else:
        async for page in invoices.list(zoho).raw_pages():
            came += len(page.rows)
    return came
