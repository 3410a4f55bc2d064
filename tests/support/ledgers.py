"""Every ledger on simulated time: what it waits for in the real world takes no time here.

The file's work is done at once instead of in a thread, and Redis (a real server) is asked by a
client that blocks; neither tells of others' changes, so that waiters look by themselves.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import redis

from zoho_async.clock import Clock
from zoho_async.limits import Ledger, MemoryLedger, RedisLedger, SqliteLedger

P = ParamSpec("P")
T = TypeVar("T")


class InlineFile(SqliteLedger):
    """The ledger in a file, without its threads."""

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return _nothing

    async def close(self) -> None:
        self._file.close()


class BlockingClient:
    """What a link asks of its client, on the ordinary one."""

    def __init__(self, url: str) -> None:
        self.ordinary = cast(Any, redis.Redis).from_url(url)

    async def execute_command(self, *command: object) -> Any:
        await asyncio.sleep(0)  # where a caller may be cancelled
        return self.ordinary.execute_command(*command)

    async def aclose(self) -> None:
        self.ordinary.close()


class BlockingRedis(RedisLedger):
    """The ledger on a real server, at the loop's time."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lease=3600.0)
        self.client = BlockingClient(url)
        self.client.ordinary.flushall()
        self._time = lambda: asyncio.get_running_loop().time()
        epoch = {"id": "first", "birth": "0"}
        epoch["run_id"] = self.client.ordinary.info("server")["run_id"]
        self.client.ordinary.hset("zoho_async:1:epoch", mapping=epoch)

    def _connection(self, clock: Clock | None = None) -> Any:
        connection = super()._connection(clock)
        connection.client = cast(Any, self.client)  # type: ignore[misc] # in its place
        return connection

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return _nothing


@contextmanager
def ledger_of(kind: str, url: str) -> Iterator[Ledger]:
    """A new ledger of a ``kind``: memory, file, or redis on the server at ``url``."""
    if kind == "memory":
        yield MemoryLedger()
    elif kind == "redis":
        yield BlockingRedis(url)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield InlineFile(Path(folder, "limits.db"))


def _nothing() -> None:
    pass
