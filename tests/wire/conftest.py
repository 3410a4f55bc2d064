"""What several tests of the wire arrange."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.answering_server import AnsweringServer
from tests.support.command import Command
from zoho_async.sandbox import Sandbox


@pytest.fixture
async def server(aiohttp_server: AiohttpServer) -> AnsweringServer:
    """A server that takes anything and says done."""
    server = AnsweringServer()
    await server.open(aiohttp_server)
    return server


@pytest.fixture
def command(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command with the test's own ``sandbox``, in an empty directory and 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Command(sandbox.environment(), tmp_path, monkeypatch, capsys)
