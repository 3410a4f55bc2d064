"""Whether a row costs the same in a list of a thousand and of a million, its rows thrown away.

What grows is Python's collector: a list of five pages ends before it has looked at the whole heap
once. So the records are read a second time after ``gc.freeze()``, which takes what was imported out
of its sight, as a service does that starts and then serves. Of 30 us a row the collector takes 6 in
a long list: 1.2 for the youngest objects, 2.7 for those that outlived one look (pages are fetched
ahead, so rows live on for a while), 2.1 for the whole heap, once in 12,000 rows.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

from benchmarks.apart import apart
from benchmarks.contenders.ours import session
from benchmarks.pages import organization
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.worker import memory
from zoho_async import Session
from zoho_async.books import invoices

_FROZEN = "records, after gc.freeze()"


def growth(run: Run) -> Table:
    """CPU of a row and peak memory, by the number of rows."""
    sizes = (1_000, 10_000, 100_000) if run.quick else (1_000, 10_000, 100_000, 1_000_000)
    table = Table(
        key="growth",
        title="The cost of a row by the length of the list, rows thrown away",
        columns=["rows as", "rows", "CPU us a row", "peak MB", "rows a second"],
    )
    for form in ("records", "bytes", _FROZEN):
        points = []
        for size in sizes[::2] if form == _FROZEN else sizes:
            # So that short lists are measured as long as longer ones.
            times = max(1, min(100, 50_000 // size))
            cpu, wall, peak = apart(
                "benchmarks.suites.growth", "measured", run.server.url, form, size, times
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
    if form == _FROZEN:
        gc.collect()
        gc.freeze()
    async with session(url, organization("typed", size)) as zoho:
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
