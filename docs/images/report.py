"""Draws ``report.svg``: the plot of ``docs/examples/report.py``, on the sandbox's firm.

    python docs/images/report.py

The day is fixed, so that the picture changes only with the sample data or the program.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from zoho_async import Session
from zoho_async.cli.connect import SANDBOX_SEED, SANDBOX_SIZES
from zoho_async.export import Export
from zoho_async.export.destinations import DuckDb
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

HERE: Final = Path(__file__).parent
TODAY: Final = "2026-11-28"
LISTS: Final = ("contacts", "invoices", "credit_notes", "customer_payments")


async def export(file: Path) -> None:
    """Export the sample data of `TODAY`."""
    noon = datetime.fromisoformat(f"{TODAY}T12:00:00-03:00").timestamp()
    async with (
        Sandbox(seed=SANDBOX_SEED, sizes=SANDBOX_SIZES, wall_clock=lambda: noon) as sandbox,
        Session.from_env(sandbox.environment(), ledger=MemoryLedger()) as zoho,
        Export(zoho, LISTS, to=DuckDb(file)) as job,
    ):
        await job.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "books.duckdb")
        asyncio.run(export(file))
        program = HERE.parent / "examples" / "report.py"
        picture = HERE / "report.svg"
        command = [sys.executable, str(program), str(file), str(picture), TODAY]
        subprocess.run(command, check=True, env={**os.environ, "MPLCONFIGDIR": folder})


if __name__ == "__main__":
    main()
