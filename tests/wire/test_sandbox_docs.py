"""The sandbox's page in the docs: its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
TEST, PROGRAM = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


async def test_the_program_runs() -> None:
    names: dict[str, Any] = {}
    exec(PROGRAM, names)
    await names["main"]()


@pytest.mark.long
def test_the_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_docs.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "zoho_async.pytest_plugin"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:looptime"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_options_of_the_command_are_there() -> None:
    from zoho_async.cli.app import app

    line = re.findall(r"zoho-async sandbox (.*)", TEXT)[0].split()
    command, bound, _ = app.parse_args(["sandbox", *line], print_error=False, exit_on_error=False)
    assert command.__name__ == "sandbox"
    assert bound.arguments["speed"] == 60
