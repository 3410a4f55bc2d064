"""The ledger in Redis: its settings, and one worker per event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.fork import Process, never_close
from zoho_async.limits.ledger import ImmediateLedger
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.redis.connection import Settings, Unreachable
from zoho_async.limits.redis.script import EPOCH, INITIALIZE
from zoho_async.limits.redis.worker import RedisWorker, may_wait
from zoho_async.limits.usage import DRIFT, Denial, Ending

#: How long the name of a worker is valid, in seconds.
LEASE: Final = 15.0
#: How long a worker may send its share without Redis, in seconds.
MAX_OFFLINE: Final = 600.0


class RedisLedger:
    """Usage in the Redis server at ``url``, shared by all workers that use the same server.

    Needs the extra ``redis``, Redis 7 or newer without a cluster, and the right to run ``INFO``
    unless ``durable``.

    A server that is new or lost its data (restarted, flushed, failed over) gives no place until all
    earlier calls have left the count: ``window`` + ``linger`` + ``lease``, 105 seconds by default.
    `initialize` skips this wait for a server that is known to be new.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL of the server.
        share: The part of the limits (0 to 1) that this worker may use while it cannot reach
            Redis. None sends nothing then. The shares of all workers must not exceed 1 together.
            Give all workers a share, or none.
        lease: How long the calls of a dead worker stay open, in seconds. Must be the same in all
            workers.
        max_offline: How long a worker may send its share, in seconds. The others leave the share
            to it for that long, unless it was closed. So call `close`.
        durable: The server never loses a write, so a restart does not matter.

    Raises `ConfigurationError` for invalid values. Operations raise `LedgerError` if Redis cannot
    be used.
    """

    poll: float | None = 1.0
    is_shared = True
    immediate: ImmediateLedger | None = None

    def __init__(
        self,
        url: str,
        *,
        share: float | None = None,
        lease: float = LEASE,
        max_offline: float = MAX_OFFLINE,
        durable: bool = False,
    ) -> None:
        if share is not None and not 0 < share <= 1:
            raise ConfigurationError(f"share must be above 0 and at most 1, got {share}")
        if not lease > 0:
            raise ConfigurationError(f"lease must be above 0 seconds, got {lease}")
        if not max_offline >= 0:
            raise ConfigurationError(f"max_offline must be at least 0 seconds, got {max_offline}")
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigurationError(
                "the URL of a Redis ledger must begin with redis://, rediss:// or unix://"
            )
        self._settings: Final = Settings(url, share, lease, max_offline, durable)
        self._lease: Final = lease
        self._workers: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, RedisWorker]] = (
            WeakKeyDictionary()
        )
        self._process: Final = Process()
        #: Replaces the server's clock in tests.
        self._time: Callable[[], float] | None = None

    def lease(self, limits: Limits) -> float:
        """Return the length of a lease, which asking for a place renews."""
        return self._lease / DRIFT

    async def initialize(self) -> None:
        """Mark the server as new, so that its first calls do not wait.

        This is safe only if no program called for any of its organizations in the last two minutes
        (``window`` + ``linger`` + ``lease``): in a test, or before the first deployment. Raises
        `LedgerError` if Redis cannot be used.
        """
        connection = self._worker().connection
        durable = "1" if self._settings.durable else ""
        try:
            await connection.check()
            await connection.execute("EVAL", INITIALIZE, 1, EPOCH, durable, uuid.uuid4().hex)
        except Unreachable as error:
            raise LedgerError(f"cannot initialize the Redis ledger: {error}") from None
        connection.cache.clear()

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock, product: str = ""
    ) -> int | Denial:
        worker = self._worker(clock)
        run = worker.connection.run
        taking = run(worker.take(key, account, lane, limits, clock, product))

        def give_back(taken: asyncio.Task[int | Denial]) -> None:
            if not taken.cancelled() and taken.exception() is None:
                place = taken.result()
                if not isinstance(place, Denial):
                    run(worker.settle(key, account, place, Ending("unsent"), limits, clock))

        try:
            return await asyncio.shield(taking)
        except BaseException:
            taking.add_done_callback(give_back)
            raise

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        worker = self._worker(clock)
        settling = worker.settle(key, account, place, ending, limits, clock)
        if may_wait(ending) and place > 0:
            return await settling  # it is written later, and nothing is awaited
        return await asyncio.shield(worker.connection.run(settling))

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        return await self._worker(clock).snapshot(key, account, limits, clock)

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._worker().connection.subscriber.add(key, wake)

    async def close(self) -> None:
        """Finish pending work and close this loop's connections. The next call opens new ones.

        Signs off this worker's share, if Redis knows all its calls.
        """
        self._check_process()
        worker = self._workers.pop(asyncio.get_running_loop(), None)
        if worker is not None:
            await worker.close()

    def _check_process(self) -> None:
        """Forget the parent's workers in a forked process."""
        if self._process.changed():
            for worker in self._workers.values():
                never_close(worker)
            self._workers.clear()

    def _worker(self, clock: Clock | None = None) -> RedisWorker:
        self._check_process()
        loop = asyncio.get_running_loop()
        worker = self._workers.get(loop)
        if worker is None:
            worker = self._workers[loop] = RedisWorker(self._settings, self._time)
        if clock is not None:
            worker.connection.clock = clock
        return worker
