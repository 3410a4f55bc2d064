"""Export many organizations in one process, and start the sandbox.

Exports: two hundred organizations with a list each, to JSON Lines, as fast as 80 pages a minute
allow each of them. The event loop's holds are measured as in `benchmarks.suites.overhead`, by the
CPU time of its thread, without and with the time of Python's collector.

Sandbox: a new interpreter imports and starts it, and asks for one page.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from typing import Final

import msgspec

from benchmarks.contenders.ours import session
from benchmarks.report import Reach, Table
from benchmarks.server import PER_PAGE, organization
from benchmarks.suites import Run
from benchmarks.suites.overhead import Collector, heart
from benchmarks.timing import apart, memory
from zoho_async import Limits
from zoho_async.export import Exports
from zoho_async.export.events import ExportEvent

_PAGES: Final = 80  # a minute, of each organization


class _Found(msgspec.Struct):
    """Seconds of CPU and of the wall, rows, the loop's longest hold in seconds, and megabytes."""

    cpu: float
    wall: float
    rows: int
    held: float
    held_with_collector: float
    peak: float


def organizations(run: Run) -> Table:
    """CPU, memory and holds of the event loop while many organizations are exported."""
    count, pages = run.either(200, 20), run.either(_PAGES, 10)
    done = apart("benchmarks.suites.organizations", "exported", run.server.url, count, pages)
    found = msgspec.convert(done, _Found)
    table = Table(
        key="organizations",
        title=f"{count} organizations at {_PAGES} pages a minute each, to JSON Lines, one process",
        columns=["what", "figure"],
    )
    table.add("rows", found.rows)
    table.add("seconds", found.wall)
    table.add("CPU us a row", found.cpu / found.rows * 1e6)
    table.add("cores used", found.cpu / found.wall)
    table.add(
        "pages a minute of each organization", found.rows / PER_PAGE / count / found.wall * 60
    )
    table.add("longest hold, ms", found.held * 1e3)
    table.add("longest hold with Python's collector, ms", found.held_with_collector * 1e3)
    table.add("peak MB", found.peak)
    table.reach = [
        Reach("cores used", found.cpu / found.wall, 1.0),
        Reach("longest hold of the event loop", found.held * 1e3, 20.0, " ms"),
    ]
    table.notes.append("each page is durable: with fewer pages a minute, the disk is the limit")
    return table


def exported(url: str, count: int, pages: int) -> dict[str, float]:
    """Export ``count`` organizations with lists of ``pages`` pages; call it in another process."""
    found: dict[str, float] = msgspec.to_builtins(asyncio.run(_exported(url, count, pages)))
    return found


async def _exported(url: str, count: int, pages: int) -> _Found:
    limits = Limits(limit=_PAGES)
    ids = [organization("typed", pages * PER_PAGE - each) for each in range(count)]
    collector, holds = Collector(), [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        async with session(url, ids[0], limits) as zoho:
            beats = asyncio.create_task(heart(holds, collector))
            cpu, wall = time.process_time(), time.perf_counter()
            async with Exports(zoho, ids, ["projects"], to=folder) as job:
                await job.follow(_ignore)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            beats.cancel()
            collector.close()
            rows = job.summary.rows
    assert rows == sum(pages * PER_PAGE - each for each in range(count))
    return _Found(cpu, wall, rows, holds[0], holds[1], memory("VmHWM"))


def _ignore(event: ExportEvent) -> None:
    """Take an event, as a program that shows none."""


# -- the sandbox -----------------------------------------------------------------------------------

_FLOOR: Final = "import aiohttp.web"
_ANSWER: Final = """
import asyncio, aiohttp
from zoho_async.sandbox import Sandbox

async def main():
    async with Sandbox() as zoho, aiohttp.ClientSession(zoho.url) as http:
        given = {"grant_type": "refresh_token", "refresh_token": zoho.refresh_token,
                 "client_id": zoho.client_id, "client_secret": zoho.client_secret}
        async with http.post("/oauth/v2/token", data=given) as reply:
            token = (await reply.json())["access_token"]
        headers = {"Authorization": f"Zoho-oauthtoken {token}"}
        asked = f"/books/v3/invoices?organization_id={zoho.organization}"
        async with http.get(asked, headers=headers) as reply:
            assert len((await reply.json())["invoices"]) == 200

asyncio.run(main())
"""
_COMMAND: Final = "from zoho_async.cli import app"


def sandbox(run: Run) -> Table:
    """The time from a new interpreter to the sandbox's first page."""
    table = Table(
        key="sandbox",
        title="A new interpreter: to the sandbox's first page of invoices, and what imports take",
        columns=["what", "seconds", "CPU s"],
    )
    works = {
        "import aiohttp.web": _FLOOR,
        "sandbox, to the first page": _ANSWER,
        "import the command": _COMMAND,
    }
    best = dict.fromkeys(works, (9900000000.0, 9900000000.0))
    for _ in range(run.either(7, 3)):
        for name, work in works.items():
            best[name] = min(best[name], _started(work))
    for name, (wall, cpu) in best.items():
        table.add(name, wall, cpu)
    table.reach = [Reach("to the first page", best["sandbox, to the first page"][0], 0.3, " s")]
    table.notes.append("the best of the rounds")
    return table


def _started(work: str) -> tuple[float, float]:
    """Seconds of the wall and of CPU of a new interpreter that does ``work``."""
    timed = f"{work}\nimport time; print(time.process_time())"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", timed], stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - began, float(done.stdout)
