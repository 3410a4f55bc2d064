"""Fixtures that most tests share: a mocked wire and credentials."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import Generator, Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings
from yarl import URL

from zoho_async.auth import Credentials

# The tests start some hundred interpreters. Without bytecode each compiles all that it imports,
# and pytest rewrites each test module again, which is half of the suite's CPU time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# the duration of an example depends on the machine, not on the code
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Unset the event loop: a plugin that asks for one in a sync test would leave it open."""
    asyncio.set_event_loop(None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Keep what all tests import out of each garbage collection, which would walk through it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 makes responses without the stream writer that aiohttp 3.14 needs."""

    def __init__(self, method: str, url: URL, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            kwargs["stream_writer"] = Mock(output_size=0)
        super().__init__(method, url, **kwargs)


@pytest.fixture(autouse=True)
def no_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the profiles of the user who runs the tests."""
    folder = tmp_path_factory.getbasetemp() / "no-profiles"
    monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(folder / "profiles.json"))


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """A wire that answers only what the test says."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", _Response)
    with aioresponses() as wire:
        yield wire


@pytest.fixture
def credentials() -> Credentials:
    return Credentials("1000.CLIENT", "the-secret", "1000.refresh")
