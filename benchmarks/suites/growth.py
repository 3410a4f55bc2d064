"""Whether a row costs the same in a list of a thousand and of a million, its rows thrown away.

What grows is how far the reading looks ahead. Where no limit holds, as here, a long list is read
twelve pages ahead and a list of five pages one, and records that wait for their reader outlive the
collector's first looks at them, and the processor's caches: of 25 us a row the collector then takes
4.5 and the caches 3. Zoho's own pace (1.3 calls a second, answered in a third) asks for two
pages, in lists of any length. So the records are read a second time at a pace that asks for as
many, and never makes a call wait.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

from benchmarks.apart import apart
from benchmarks.contenders.ours import UNLIMITED, session
from benchmarks.pages import organization
from benchmarks.report import Reach, Table
from benchmarks.suites import Run
from benchmarks.worker import memory
from zoho_async import Limits, Session
from zoho_async.books import invoices

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
