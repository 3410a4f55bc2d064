"""The connection of one event loop to Redis: its client, its worker's name, and its caches.

The connection runs scripts and raises errors. It does not know what usage means.
"""

from __future__ import annotations

import asyncio
import math
import uuid
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.limits.ledger import PendingSettlement
from zoho_async.limits.redis import script
from zoho_async.limits.redis.offline import OfflineShare
from zoho_async.limits.redis.script import ScriptReply, ScriptResult
from zoho_async.limits.redis.subscriber import Subscriber
from zoho_async.limits.usage import DRIFT

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Usages that a worker remembers, for its next decision or if the server loses its data.
REMEMBERED: Final = 1024
#: Errors of a Redis that cannot write, by the start of their message. They have no class.
CANNOT_NOW: Final = ("MISCONF", "NOREPLICAS", "READONLY")


class Unreachable(Exception):
    """Redis cannot be reached now."""


class CachedUsage(msgspec.Struct, frozen=True):
    """The usage in Redis after this worker's last script for a key, or as published since then.

    ``time`` (of the script) and ``changed`` (of the usage) are the server's. The others are by
    ``clock``: the script ran between ``since`` and ``until``, ``read`` is when the live workers
    were last read, and ``known`` when the usage was. ``together``: both were read together.
    """

    found: ScriptResult
    time: float
    changed: float
    since: float
    until: float
    read: float
    known: float
    together: bool
    clock: Clock

    def earliest(self, monotonic: float) -> float:
        """Return a time at the server that is not later than the one at ``monotonic``."""
        return self.time + max(0.0, monotonic - self.until) / DRIFT

    def latest(self, monotonic: float) -> float:
        """Return a time at the server that is not earlier than the one at ``monotonic``."""
        passed = monotonic - self.since
        return self.time + (passed * DRIFT if passed > 0 else passed / DRIFT)


class Company(msgspec.Struct):
    """What is known of other workers at a key.

    ``until``: others count as active until then (by the event loop). ``listeners``: the workers
    that listened to the key when this one last wrote. ``in_flight``: the calls in flight then.
    ``streak``: this worker's admissions since it last left places to others. ``asked``: when it
    last asked for the endings of others.
    """

    until: float = -math.inf
    listeners: int = 0
    in_flight: int = 0
    streak: int = 0
    asked: float = -math.inf


class Memory(msgspec.Struct, frozen=True):
    """A usage as this worker wrote it last.

    It was written at ``time`` by the server, ``until`` by the clock. ``born`` identifies the row.
    """

    packed: bytes
    born: int
    time: float
    until: float


class Settings(msgspec.Struct, frozen=True):
    """The settings of a ledger; see `RedisLedger`."""

    url: str
    share: float | None
    lease: float
    max_offline: float
    durable: bool


class RedisConnection:
    """The connection of one event loop, and the open calls of its worker."""

    def __init__(self, settings: Settings) -> None:
        self.client: Final = _client(settings.url)
        self.name: Final = uuid.uuid4().hex
        # A ledger brings its clock later.
        self.subscriber: Final = Subscriber(self.client, lambda: self.clock.monotonic())  # noqa: PLW0108
        self.open_places: Final[defaultdict[str, set[int]]] = defaultdict(set)
        self.memories: Final[OrderedDict[str, Memory]] = OrderedDict()
        self.cache: Final[dict[str, CachedUsage]] = {}
        #: What this worker knows of the other workers at a key.
        self.company: Final[defaultdict[str, Company]] = defaultdict(Company)
        #: The endings that are not written yet, by key, and when to write them (by the loop).
        self.pending: Final[dict[str, list[tuple[PendingSettlement, Clock]]]] = {}
        self.due: Final[dict[str, float]] = {}
        #: The keys for which this worker wrote figures of the daily quota.
        self.quota_known: Final[set[str]] = set()
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.renewal: asyncio.Task[None] | None = None
        #: Whether the renewal task must end. Up to Python 3.11, a command may swallow `cancel`:
        #: `asyncio.wait_for` does if the command was just sent.
        self.closing = False
        #: When the last script failed (by `clock`); None once Redis has all usage again.
        self.unreachable_since: float | None = None
        #: Held while calls that were sent offline are entered into Redis.
        self.reconnect_lock: Final = asyncio.Lock()
        self.offline: Final = OfflineShare(settings.share)
        self.clock: Clock = SYSTEM_CLOCK
        #: When the last answered script began and ended, and whether the share is registered.
        self.last_asked = 0.0
        self.last_answered = 0.0
        self.registered = False
        #: The longest time that offline calls of any organization may count, in seconds.
        self.share_lifetime = 0.0
        self.epoch = ""
        #: Number of scripts that were run, for benchmarks.
        self.scripts_run = 0
        self._settings: Final = settings
        self._checked = False
        self._over_since: float | None = None
        self._locks: Final[WeakValueDictionary[str, asyncio.Lock]] = WeakValueDictionary()

    def lock(self, key: str) -> asyncio.Lock:
        found = self._locks.get(key)
        if found is None:
            found = self._locks[key] = asyncio.Lock()
        return found

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name="zoho_async limits")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def remember(self, key: str, memory: Memory) -> None:
        """Keep the usage that was just written under ``key``."""
        self.memories[key] = memory
        self.memories.move_to_end(key)
        if len(self.memories) > REMEMBERED:
            oldest, _ = self.memories.popitem(last=False)
            self.company.pop(oldest, None)
            self.quota_known.discard(oldest)

    def keep(self, key: str, cached: CachedUsage) -> None:
        """Keep the usage for the next decision."""
        self.cache[key] = cached
        if len(self.cache) > REMEMBERED:
            del self.cache[next(iter(self.cache))]

    async def ask(
        self,
        key: str,
        account: str,
        given: tuple[str | bytes, ...],
        epoch: str,
        held: float | None,
    ) -> ScriptReply:
        """Run the script. Raises `Unreachable`, `LedgerError`, and `ConfigurationError`.

        ``given`` was made in ``epoch``. Tests set the server's time with ``held``.
        """
        own = self._settings
        share = "" if own.share is None or not self.share_lifetime else repr(own.share)
        arguments = (
            self.name,
            "" if self.unreachable_since is not None else own.lease,
            script.KEPT,
            "" if held is None else f"{held:.6f}",
            "1" if own.durable else "",
            epoch,
            uuid.uuid4().hex,
            share,
            self.share_lifetime,
            *given,
        )
        keys = (script.usage_key(key), script.usage_key(account), script.WORKERS, script.EPOCH)
        since = self.clock.monotonic()
        self.scripts_run += 1
        try:
            answer = await self.evaluate(
                script.SCRIPT, script.SCRIPT_SHA, (*keys, script.WRITTEN), arguments
            )
        except Unreachable:
            self.unreachable_since = self.clock.monotonic()
            raise
        reply = script.parse_reply(answer, since, self.clock.monotonic())
        if self._is_over(reply):
            raise ConfigurationError(
                f"the shares of all workers together must not exceed 1, got {reply.over:.3g}; "
                "give each worker a smaller share"
            )
        self.last_asked, self.last_answered = since, reply.until
        self.registered = reply.registered
        if reply.found is not None and reply.found.epoch.id != self.epoch:
            self._checked = not self.epoch
            self.epoch = reply.found.epoch.id
            self.cache.clear()
        return reply

    def _is_over(self, reply: ScriptReply) -> bool:
        """Return whether the shares exceed 1 for too long to be caused by a dead worker."""
        if reply.over is None:
            self._over_since = None
            return False
        if self._over_since is None:
            self._over_since = reply.until
        return reply.until > self._over_since + 2 * self._settings.lease

    async def evaluate(
        self, source: str, sha: str, keys: tuple[str, ...], arguments: tuple[object, ...]
    ) -> list[Any]:
        """Run a script. Raises `Unreachable`, `LedgerError`, and `ConfigurationError`."""
        from redis import exceptions as of_redis

        given = (len(keys), *keys, *arguments)
        await self.check()
        try:
            answer: list[Any] = await self.execute("EVALSHA", sha, *given)
        except of_redis.NoScriptError:
            answer = await self.execute("EVAL", source, *given)
        return answer

    async def publish(self, key: str, data: bytes) -> None:
        """Send ``data`` to the workers that listen to ``key``, if Redis can be reached."""
        with suppress(Unreachable, LedgerError, ConfigurationError):
            await self.execute("PUBLISH", script.usage_key(key), data)

    async def ping(self) -> None:
        """Raise `Unreachable` if Redis cannot be reached. Changes nothing."""
        await self.execute("PING")

    async def execute(self, *command: object) -> Any:
        """Run a command. Raises `Unreachable`, `LedgerError`, and `ConfigurationError`."""
        from redis import exceptions as of_redis

        # The library types the result as a union of everything.
        client = cast(Any, self.client)
        try:
            return await client.execute_command(*command)
        except of_redis.NoScriptError:
            raise
        except of_redis.AuthenticationError:
            raise ConfigurationError(
                "Redis refuses the login of the ledger: check user and password in its URL"
            ) from None
        except of_redis.NoPermissionError as error:
            raise ConfigurationError(f"Redis refuses a command of the ledger: {error}") from None
        except (of_redis.ConnectionError, of_redis.TimeoutError, OSError) as error:
            self.cache.clear()
            raise Unreachable(f"Redis cannot be reached ({type(error).__name__})") from None
        except of_redis.RedisError as error:
            if not str(error).startswith(CANNOT_NOW) and not isinstance(error, _cannot_now()):
                raise LedgerError(f"Redis failed: {error}") from None
            self.cache.clear()
            await client.connection_pool.disconnect(False)
            raise Unreachable(f"Redis cannot write now ({type(error).__name__})") from None

    async def check(self) -> None:
        """Check that the server is fit for the ledger, at the start and in each new epoch."""
        if self._settings.durable or self._checked:
            return
        try:
            server = await self.execute("INFO", "server")
            memory = await self.execute("INFO", "memory")
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}; the ledger needs INFO to notice a restart from an older snapshot: "
                "allow it (ACL: +info), or use RedisLedger(url, durable=True) if the server never "
                "loses a write"
            ) from None
        if not server.get("run_id"):
            raise ConfigurationError(
                "INFO of Redis has no run_id, so the ledger cannot notice a restart: use "
                "another server, or RedisLedger(url, durable=True) if it never loses a write"
            )
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if memory.get("maxmemory") and policy != "noeviction":
            if policy.startswith("allkeys"):
                raise ConfigurationError(
                    f"Redis may evict the ledger (maxmemory-policy {policy}): set it to "
                    "noeviction, or use another server"
                )
            warnings.warn(
                f"Redis may evict the ledger's usage (maxmemory-policy {policy}), and calls then "
                "wait: set maxmemory-policy to noeviction",
                RuntimeWarning,
                stacklevel=2,
            )
        self._checked = True

    async def sign_off(self) -> None:
        """End the lease and the registration of the share. Redis must know all calls."""
        keys = (script.WORKERS, script.EPOCH)
        with suppress(Unreachable, LedgerError, ConfigurationError):
            await self.execute("EVAL", script.SIGN_OFF, len(keys), *keys, self.name)

    async def finish(self) -> None:
        """End the renewal task, and finish the operations that have begun."""
        self.closing = True
        if self.renewal is not None:
            self.renewal.cancel()
            await asyncio.gather(self.renewal, return_exceptions=True)
        while begun := tuple(self.tasks):
            await asyncio.gather(*begun, return_exceptions=True)
            # From CPython 3.12 on, gather does not yield if all are done, so that their callbacks,
            # which remove them, may not have run.
            self.tasks.difference_update(begun)


def _cannot_now() -> tuple[type[Exception], ...]:
    """Return the errors of a Redis that fails over or cannot write, which counts as unreachable."""
    from redis import exceptions as of_redis

    return (
        of_redis.ReadOnlyError,
        of_redis.ClusterDownError,
        of_redis.MasterDownError,
        of_redis.TryAgainError,
        of_redis.OutOfMemoryError,
    )


def _client(url: str) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigurationError(
            "RedisLedger needs the extra redis: pip install 'zoho-async[redis]'"
        ) from None
    try:
        # Retry once, for a connection that died while it was idle. (Untyped in the library.)
        client: Redis = cast(Any, Redis).from_url(
            url, socket_timeout=5.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 1)
        )
        return client
    except ValueError:
        # The library's message may quote a part of the URL, which may be the password.
        raise ConfigurationError(
            "the URL of the Redis ledger is not valid; expected redis://host:port/number"
        ) from None
