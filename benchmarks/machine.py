"""The machine and the versions that a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

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
