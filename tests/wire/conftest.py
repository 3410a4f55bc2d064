"""What several tests of the wire arrange."""

from __future__ import annotations

import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.answering_server import AnsweringServer


@pytest.fixture
async def server(aiohttp_server: AiohttpServer) -> AnsweringServer:
    """A server that takes anything and says done."""
    server = AnsweringServer()
    await server.open(aiohttp_server)
    return server
