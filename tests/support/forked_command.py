"""The command in forks of one process, for tests that would start many interpreters."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parents[2]


class Ended(NamedTuple):
    """A run: its exit code and what it printed."""

    code: int
    out: str
    err: str


class ForkedCommand:
    """Runs ``zoho-async``, one run at a time, each in a new process without a new interpreter.

    ``flags`` are those of the one interpreter.
    """

    def __init__(self, *flags: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-m", "tests.support.export_command"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_HERE, bufsize=0,
        )  # fmt: skip

    def run(
        self, arguments: list[str], environ: Mapping[str, str], *, file_size: int | None = None
    ) -> Ended:
        """One run in ``environ``; it can write files of ``file_size`` bytes."""
        out, err = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        order = {
            "arguments": arguments,
            "environment": dict(environ),
            "out": str(out),
            "error": str(err),
            "file_size": file_size,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        assert self._process.stdout.readline().startswith(b"pid ")
        code = int(self._process.stdout.readline().split()[1])
        return Ended(code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()
