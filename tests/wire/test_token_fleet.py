"""A fleet that shares a store refreshes once, and once more if the refresher is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.token_worker import store_at
from zoho_async.auth import AccessToken, Credentials, store_key
from zoho_async.auth.lease import TokenState, complete
from zoho_async.sandbox import Sandbox

PROCESSES, TASKS = 8, 50


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "tokens.json")
        return
    with RedisServer() as server:
        yield server.url


def sandbox() -> Sandbox:
    return Sandbox(per_minute=10_000, in_flight=1_000, sizes={"books.items": 5})


def key_of(zoho: Sandbox) -> str:
    credentials = Credentials(zoho.client_id, zoho.client_secret, zoho.refresh_token)
    return store_key(zoho.accounts_url, credentials)


async def expire(zoho: Sandbox, place: str) -> None:
    """Leave a token in the store that ended long ago."""
    store = store_at(place, 25.0)
    old = AccessToken("1000.old", 3600.0, zoho.url)
    await store.change(key_of(zoho), partial(complete, holder="", token=old, took=7200.0))
    await store.close()


async def begin(zoho: Sandbox, place: str, lease: float) -> list[Process]:
    """The fleet, ready and waiting for the word."""
    fleet = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.token_worker", place, str(lease), str(TASKS)),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, **zoho.environment()},
        )
        for _ in range(PROCESSES)
    ]
    for process in fleet:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    return fleet


def give_the_word(fleet: list[Process]) -> None:
    for process in fleet:
        assert process.stdin is not None
        process.stdin.write(b"\n")


@pytest.mark.long
async def test_a_fleet_with_an_expired_token_asks_for_one(place: str) -> None:
    async with sandbox() as zoho:
        await expire(zoho, place)
        fleet = await begin(zoho, place, 25.0)
        give_the_word(fleet)
        told = [(await process.communicate())[0] for process in fleet]
        assert told == [b"50\n"] * PROCESSES
        assert zoho.token_requests == 1


@pytest.mark.long
async def test_a_refresher_that_is_killed_costs_one_more_request(place: str) -> None:
    async with sandbox() as zoho:
        await expire(zoho, place)
        fleet = await begin(zoho, place, 5.0)
        zoho.latency = 60.0
        store = store_at(place, 5.0)

        def holder(shared: TokenState, now: float) -> str:
            return shared.holder

        give_the_word(fleet)
        while not zoho.token_requests:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        refresher = await store.change(key_of(zoho), holder)
        os.kill(int(refresher.partition("-")[0]), signal.SIGKILL)
        zoho.latency = 0.0
        told = [(await process.communicate())[0] for process in fleet]
        assert sorted(told) == [b""] + [b"50\n"] * (PROCESSES - 1)
        assert zoho.token_requests == 2
        await store.close()
