"""What importing costs, each in an interpreter of its own, in turns.

Everything is compiled beforehand, into a folder of this run, whatever the environment says about
compiled files: installed packages are compiled once, and then imported ten thousand times.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.report import Reach, Table
from benchmarks.suites import Run

_TIMED = """
import sys, time
cpu, wall = time.process_time(), time.perf_counter()
{work}
print(time.process_time() - cpu, time.perf_counter() - wall, len(sys.modules))
"""
_FLOOR = "import aiohttp, msgspec"
_FIRST = "from zoho_async import Session"
_CALL = """
import asyncio
from zoho_async import Credentials, Session
from zoho_async.books import contacts

async def main():
    credentials = Credentials("1000.CLIENT", "secret", "1000.refresh")
    async with Session(credentials, organization=1, api_url="{url}", accounts_url="{url}") as zoho:
        await contacts.list(zoho)

asyncio.run(main())
"""
_BOOKS = """
import importlib, pkgutil
import zoho_async.books as books
for each in pkgutil.iter_modules(books.__path__, "zoho_async.books."):
    importlib.import_module(each.name)
"""
_NOTHING = "pass"


def imports(run: Run) -> Table:
    """CPU and wall milliseconds of imports, and of everything up to the first reply."""
    works = {
        "aiohttp and msgspec (the floor)": _FLOOR,
        "zoho_async": "import zoho_async",
        "zoho_async with Session": _FIRST,
        "zoho_async.books.invoices": "from zoho_async.books import invoices",
        "all of zoho_async.books": _BOOKS,
        "import, connect, first call answered": _CALL.replace("{url}", run.server.url),
        "httpx": "import httpx",
        "requests": "import requests",
        "zohopy": "import zohopy.products.books",
        "pyzohoapi": "import pyzohoapi",
    }
    figures: dict[str, list[tuple[float, float, int]]] = {name: [] for name in works}
    with tempfile.TemporaryDirectory() as compiled:
        for number in range(run.either(9, 3) + 1):
            for name, work in works.items():
                found = _measured(work, compiled)
                if number and found is not None:  # the first is for the compiled files
                    figures[name].append(found)
    table = Table(
        key="imports",
        title="Imports, each in a new interpreter",
        columns=["what", "CPU ms", "low", "high", "wall ms", "modules"],
    )
    for name, each in figures.items():
        if not each:
            table.add(f"{name} (absent)", *(None,) * 5)
            continue
        cpu = [one[0] * 1e3 for one in each]
        wall = statistics.median(one[1] for one in each) * 1e3
        table.add(name, statistics.median(cpu), min(cpu), max(cpu), wall, each[0][2])

    def over(name: str) -> float:
        floor = figures["aiohttp and msgspec (the floor)"]
        return statistics.median(a[0] - b[0] for a, b in zip(figures[name], floor, strict=True))

    table.reach = [
        Reach("zoho_async over the floor", over("zoho_async with Session") * 1e3, 15.0, " ms"),
        Reach(
            "one resource over zoho_async's floor",
            over("zoho_async.books.invoices") * 1e3,
            40.0,
            " ms",
        ),
        Reach("all of Books", over("all of zoho_async.books") * 1e3, 1000.0, " ms"),
    ]
    table.notes.append("compiled beforehand: what is measured is loading")
    return table


def _measured(work: str, compiled: str) -> tuple[float, float, int] | None:
    code = _TIMED.replace("{work}", work)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    if done.returncode:
        return None
    cpu, wall, modules = done.stdout.split()
    return float(cpu), float(wall), int(modules)
