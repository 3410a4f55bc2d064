"""The command in this process, and a sandbox that serves it from another thread."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.parsed_options import describe_once
from zoho_async.cli.app import run
from zoho_async.sandbox import serve_in_thread

#: Serves a sandbox from another thread, because the command has its own event loop.
serving: Final = serve_in_thread

describe_once()


class Command:
    """Runs ``zoho-async`` with the environment of a sandbox: exit code, stdout and stderr."""

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in {**environ, "ZOHO_ASYNC_LEDGER": str(home / "limits.sqlite")}.items():
            monkeypatch.setenv(name, value)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["zoho-async", *arguments])
        code = run()
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    def json(self, *arguments: str) -> dict[str, Any]:
        """The object of ``--json``; its exit code is that of the process."""
        code, out, _ = self(*arguments, "--json")
        told: dict[str, Any] = json.loads(out)
        assert told["exit_code"] == code
        return told
