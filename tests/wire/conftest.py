"""What several tests of the wire arrange."""

from __future__ import annotations

import pytest
from pytest_aiohttp.plugin import AiohttpServer

from tests.wire.desk import Desk


@pytest.fixture
async def desk(aiohttp_server: AiohttpServer) -> Desk:
    """A server that takes anything and says done."""
    desk = Desk()
    await desk.open(aiohttp_server)
    return desk
