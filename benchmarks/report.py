"""Tables: columns, rows, and the targets of each; and the machine that they were made on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

Cell: TypeAlias = str | float | int | None


class Reach(msgspec.Struct, frozen=True):
    """One thing that a table is to show: ``found`` against ``limit`` (at most, in ``unit``)."""

    what: str
    found: float
    limit: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether it holds."""
        return self.found <= self.limit

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "MISSED"
        return f"{verdict}: {self.what}: {self.found:.4g}{self.unit} (at most {self.limit:g})"


class Table(msgspec.Struct, kw_only=True):
    """One suite's figures. ``columns`` head ``rows``; ``series`` are the points of its plot."""

    key: str
    title: str
    columns: list[str]
    rows: list[list[Cell]] = []
    reach: list[Reach] = []
    notes: list[str] = []
    series: dict[str, Any] = {}

    def add(self, *cells: Cell) -> None:
        self.rows.append(list(cells))

    def cell(self, name: str, column: str) -> Cell:
        """The figure in ``column`` of the row called ``name``."""
        at = self.columns.index(column)
        return next(row[at] for row in self.rows if row[0] == name)


def printed(table: Table) -> str:
    """``table`` as text."""
    lines = [[*table.columns], *([_text(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
    texts = [_line(line, widths, table.rows) for line in lines]
    verdicts = [f"  {each}" for each in table.reach]
    notes = [f"  {note}" for note in table.notes]
    return "\n".join([table.title, *texts, *verdicts, *notes])


def _line(cells: Sequence[str], widths: Sequence[int], rows: Sequence[Sequence[Cell]]) -> str:
    numeric = [all(not isinstance(row[at], str) for row in rows) for at in range(len(widths))]
    padded = [
        f"{cell:>{width}}" if number else f"{cell:<{width}}"
        for cell, width, number in zip(cells, widths, numeric, strict=True)
    ]
    return "  " + "  ".join(padded).rstrip()


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case float():
            return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
        case int():
            return f"{cell:,}"
        case str():
            return cell


# -- the machine -----------------------------------------------------------------------------------

_PACKAGES = (
    *("aiohttp", "msgspec", "aiolimiter", "anyio", "orjson", "httpx", "pydantic", "requests"),
    *("zohopy", "pyZohoAPI", "pyrate-limiter", "uvloop"),
)


def about() -> dict[str, str]:
    """What a reader needs to know to judge the figures."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{os.cpu_count()} x {_processor()}",
        "load at the start": " ".join(f"{each:.2f}" for each in os.getloadavg()),
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
