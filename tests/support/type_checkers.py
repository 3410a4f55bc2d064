"""Run mypy and pyright on one test file, which holds the types and mistakes that they must find.

A mistake that a checker does not find is an unused ``type: ignore``, which fails the check.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check_with_mypy(file: str) -> None:
    from mypy import api

    config = ["--config-file", str(ROOT / "pyproject.toml"), "--warn-unused-ignores"]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
    said, errors, code = api.run([*config, *cache, "--no-error-summary", file])
    assert (said, errors, code) == ("", "", 0)


def check_with_pyright(file: str) -> None:
    """Skips if pyright is not installed."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, file]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("0 errors, 0 warnings, "), ran.stdout
