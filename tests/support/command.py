"""The command in this process, and a sandbox that serves it from another thread."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from zoho_async.cli.app import run
from zoho_async.sandbox import Sandbox


@contextmanager
def serving(made: Sandbox) -> Generator[Sandbox]:
    """Serve ``made`` from another thread."""
    told: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with made:
            told.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop = told.result()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


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
