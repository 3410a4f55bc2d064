"""All ledgers on simulated time: files and servers take no time here.

The file ledger works at once instead of in a thread. The Redis ledger uses a blocking client on a
real server. Neither reports changes of others, so waiters poll.
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
from zoho_async.limits.redis.worker import RedisWorker

P = ParamSpec("P")
T = TypeVar("T")


class InlineFile(SqliteLedger):
    """The ledger in a file, without threads."""

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
    """The client that a connection needs, on a blocking client."""

    def __init__(self, url: str) -> None:
        self.ordinary = cast(Any, redis.Redis).from_url(url)

    async def execute_command(self, *command: object) -> Any:
        await asyncio.sleep(0)  # a caller may be cancelled here
        return self.ordinary.execute_command(*command)

    async def aclose(self) -> None:
        self.ordinary.close()


class BlockingRedis(RedisLedger):
    """The ledger on a real server, with the event loop's time."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lease=3600.0)
        self.client = BlockingClient(url)
        self.client.ordinary.flushall()
        self._time = lambda: asyncio.get_running_loop().time()
        epoch = {"id": "first", "birth": "-100000"}  # long before the loop's clock begins
        epoch["run_id"] = self.client.ordinary.info("server")["run_id"]
        self.client.ordinary.hset("zoho_async:1:epoch", mapping=epoch)

    def _worker(self, clock: Clock | None = None) -> RedisWorker:
        worker = super()._worker(clock)
        worker.connection.client = cast(Any, self.client)  # type: ignore[misc] # in its place
        return worker

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return _nothing


@contextmanager
def ledger_of(kind: str, url: str) -> Iterator[Ledger]:
    """Open a new ledger: memory, file, or redis on the server at ``url``."""
    if kind == "memory":
        yield MemoryLedger()
    elif kind == "redis":
        yield BlockingRedis(url)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield InlineFile(Path(folder, "limits.db"))


def _nothing() -> None:
    pass
