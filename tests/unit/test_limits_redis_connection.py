"""The connection to Redis without a server: bounds of its time, and what its answers mean."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest
from redis import exceptions as of_redis

from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import ConfigurationError
from zoho_async.limits.redis.connection import CachedUsage, RedisConnection, Settings
from zoho_async.limits.redis.epoch import Epoch, Share
from zoho_async.limits.redis.script import Message, parse_message, parse_reply
from zoho_async.limits.usage import DRIFT


@pytest.fixture
async def connection() -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(Settings("redis://127.0.0.1:1", None, 5.0, 60.0, durable=False))
    yield connection
    await connection.client.aclose()


def answering(connection: RedisConnection, *answers: Any) -> AsyncMock:
    """Have the client answer so."""
    execute = AsyncMock(side_effect=answers)
    client: Any = connection.client
    client.execute_command = execute
    return execute


@pytest.mark.parametrize("rate", [1 / DRIFT, 1.0, DRIFT])
@pytest.mark.parametrize("moment", [0.0, 999.0, 1000.0, 1000.5, 1001.0, 5000.0])
def test_the_servers_time_is_between_its_bounds(rate: float, moment: float) -> None:
    """The script ran at some moment between sending and answer, and clocks drift either way."""
    cached = CachedUsage(
        Mock(), time=50.0, changed=50.0, since=1000.0, until=1001.0, read=0.0, known=0.0,
        together=True, clock=SYSTEM_CLOCK,
    )  # fmt: skip
    for ran in (1000.0, 1000.3, 1001.0):
        truth = 50.0 + (moment - ran) * rate
        assert cached.latest(moment) >= truth - 1e-9
        if moment >= 1001.0:
            assert cached.earliest(moment) <= truth + 1e-9


async def test_a_notice_to_other_workers_may_fail(connection: RedisConnection) -> None:
    """They ask for themselves, so no error of it may end an admission."""
    errors = [of_redis.NoPermissionError(), of_redis.ConnectionError(), of_redis.ResponseError()]
    sent = answering(connection, *errors)
    for _ in errors:
        await connection.publish("key", b"")
    assert sent.await_count == 3


async def test_a_server_is_checked_once(connection: RedisConnection) -> None:
    """Without a policy in its answer, it is one that evicts nothing."""
    asked = answering(connection, {"run_id": "r"}, {"maxmemory": 100})
    await connection.check()
    await connection.check()
    assert [[str(part).upper() for part in call.args] for call in asked.await_args_list] == [
        ["INFO", "SERVER"],
        ["INFO", "MEMORY"],
    ]


async def test_a_server_without_a_run_id_is_refused(connection: RedisConnection) -> None:
    answering(connection, {}, {})
    with pytest.raises(ConfigurationError, match=r"^INFO of Redis has no run_id.*durable=True"):
        await connection.check()


def test_each_part_of_an_answer_of_the_script_is_read() -> None:
    answer = [
        0, b"1700000000.5", b"", b"own", b"account", [b"a", b"b"], b"epoch", b"12.5",
        [[b"a", b"0.25", b"99.0"]], b"3.5", b"4.5",
    ]  # fmt: skip
    reply = parse_reply(answer, 1.0, 2.0)
    assert (reply.time, reply.since, reply.until) == (1_700_000_000.5, 1.0, 2.0)
    assert (reply.registered, reply.over) == (False, None)
    assert msgspec.structs.astuple(reply.found or Mock()) == (
        b"own",
        b"account",
        frozenset({"a", "b"}),
        Epoch("epoch", 12.5, (Share("a", 0.25, 99.0),)),
        3.5,
        4.5,
    )
    assert parse_reply([*answer[:2], b"1", *answer[3:9], b"", b""], 1.0, 2.0).registered
    assert parse_reply([*answer[:2], b"1.25", *answer[3:]], 1.0, 2.0).over == 1.25


@pytest.mark.parametrize(("flags", "alone", "wakes"), [("aw", False, True), ("o-", True, False)])
def test_a_published_usage_is_read(flags: str, alone: bool, wakes: bool) -> None:
    message = parse_message(f"12.5 epoch {flags} own usage".encode())
    assert message == Message(12.5, "epoch", alone, wakes, b"own usage")


@pytest.mark.parametrize("data", [b"", b"an older one", b"of an earlier version", b"1 \xff o- x"])
def test_another_message_on_the_channel_is_no_usage(data: bytes) -> None:
    """Any program with access to the server can publish there."""
    assert parse_message(data) is None
