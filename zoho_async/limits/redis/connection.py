"""One event loop's way to Redis: its connections, its name there, and what it knows.

The link asks the script and says when it can not. It knows nothing of what the usage means.
"""

from __future__ import annotations

import asyncio
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

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Usages that a worker remembers, in case the server forgets or nobody else changes them.
REMEMBERED: Final = 1024
#: How the errors begin that the library has no class for, while Redis cannot write.
CANNOT_NOW: Final = ("MISCONF", "NOREPLICAS", "READONLY")


class Unreachable(Exception):
    """Redis cannot be reached now."""


class CachedUsage(msgspec.Struct, frozen=True):
    """What was in Redis after this worker's last script for a key.

    ``time`` is the server's; the others are by the ``clock``: ``since`` and ``until`` are those of
    that script, ``read`` is when it last saw who is alive.
    """

    found: ScriptResult
    time: float
    since: float
    until: float
    read: float
    clock: Clock


class Memory(msgspec.Struct, frozen=True):
    """A usage as this worker wrote it last: when, by the server and by the ``clock``.

    ``born`` is the row's.
    """

    packed: bytes
    born: int
    time: float
    until: float


class Settings(msgspec.Struct, frozen=True):
    """How a ledger uses its server: see `RedisLedger`."""

    url: str
    share: float | None
    lease: float
    max_offline: float
    durable: bool


class RedisConnection:
    """One event loop's connections, and what its worker has open."""

    def __init__(self, settings: Settings) -> None:
        self.client: Final = _client(settings.url)
        self.name: Final = uuid.uuid4().hex
        self.subscriber: Final = Subscriber(self.client)
        self.open_places: Final[defaultdict[str, set[int]]] = defaultdict(set)
        self.memories: Final[OrderedDict[str, Memory]] = OrderedDict()
        self.cache: Final[dict[str, CachedUsage]] = {}
        self.pending: Final[list[tuple[PendingSettlement, Clock]]] = []
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.renewal: asyncio.Task[None] | None = None
        #: The moment (by `clock`) of the last script that failed, until Redis knows all again.
        self.unreachable_since: float | None = None
        #: Held while Redis is told what was sent without it.
        self.reconnect_lock: Final = asyncio.Lock()
        self.offline: Final = OfflineShare(settings.share)
        self.clock: Clock = SYSTEM_CLOCK
        #: When the last script that was answered was begun and when it had its answer, and whether
        #: the share is registered.
        self.last_asked = 0.0
        self.last_answered = 0.0
        self.registered = False
        #: The longest that any organization's calls alone may count, in seconds.
        self.share_lifetime = 0.0
        self.epoch = ""
        #: Scripts that were run; for those who count them.
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
        """Keep what was just written under ``key``."""
        self.memories[key] = memory
        self.memories.move_to_end(key)
        if len(self.memories) > REMEMBERED:
            oldest, _ = self.memories.popitem(last=False)
            self.cache.pop(oldest, None)

    async def ask(
        self,
        key: str,
        account: str,
        given: tuple[str | bytes, ...],
        epoch: str,
        held: float | None,
    ) -> ScriptReply:
        """The script's answer. Raises `Away`, `LedgerError`, and `ConfigurationError`.

        ``epoch`` is the one that ``given`` was made in, ``held`` the time that tests have the
        server take for its own.
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
        """Whether the shares are too many for longer than one that just died may be the reason."""
        if reply.over is None:
            self._over_since = None
            return False
        if self._over_since is None:
            self._over_since = reply.until
        return reply.until > self._over_since + 2 * self._settings.lease

    async def evaluate(
        self, source: str, sha: str, keys: tuple[str, ...], arguments: tuple[object, ...]
    ) -> list[Any]:
        """What a script gives. Raises `Away`, `LedgerError`, and `ConfigurationError`."""
        from redis import exceptions as of_redis

        given = (len(keys), *keys, *arguments)
        await self.check()
        try:
            answer: list[Any] = await self.execute("EVALSHA", sha, *given)
        except of_redis.NoScriptError:
            answer = await self.execute("EVAL", source, *given)
        return answer

    async def ping(self) -> None:
        """Raises `Away` if Redis cannot be reached; changes nothing there."""
        await self.execute("PING")

    async def execute(self, *command: object) -> Any:
        """What Redis answers. Raises `Away`, `LedgerError`, and `ConfigurationError`."""
        from redis import exceptions as of_redis

        # What the library says of its results' types is all there could be.
        client = cast(Any, self.client)
        try:
            return await client.execute_command(*command)
        except of_redis.NoScriptError:
            raise
        except of_redis.AuthenticationError:
            raise ConfigurationError(
                "Redis refuses the ledger: its user or password is wrong"
            ) from None
        except of_redis.NoPermissionError as error:
            raise ConfigurationError(f"Redis refuses the ledger: {error}") from None
        except (of_redis.ConnectionError, of_redis.TimeoutError, OSError) as error:
            self.cache.clear()
            raise Unreachable(f"Redis is away ({type(error).__name__})") from None
        except of_redis.RedisError as error:
            if not str(error).startswith(CANNOT_NOW) and not isinstance(error, _cannot_now()):
                raise LedgerError(f"Redis refuses the ledger: {error}") from None
            self.cache.clear()
            await client.connection_pool.disconnect(False)
            raise Unreachable(f"Redis cannot write now ({type(error).__name__})") from None

    async def check(self) -> None:
        """Whether this server may keep the ledger, at the start and in each new epoch."""
        if self._settings.durable or self._checked:
            return
        try:
            server = await self.execute("INFO", "server")
            memory = await self.execute("INFO", "memory")
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}; without INFO a restart of Redis from an older snapshot cannot be "
                "noticed: allow it (ACL: +info), or declare the server durable with "
                "RedisLedger(url, durable=True) if it never loses a write"
            ) from None
        if not server.get("run_id"):
            raise ConfigurationError(
                "the server's INFO names no run_id, so a restart cannot be noticed; use another "
                "server, or declare it durable with RedisLedger(url, durable=True)"
            )
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if memory.get("maxmemory") and policy != "noeviction":
            if policy.startswith("allkeys"):
                raise ConfigurationError(
                    f"Redis may evict the ledger (maxmemory-policy {policy}): set it to "
                    "noeviction, or use another server"
                )
            warnings.warn(
                f"Redis may evict usage of the ledger (maxmemory-policy {policy}), which then "
                "waits; set maxmemory-policy to noeviction",
                RuntimeWarning,
                stacklevel=2,
            )
        self._checked = True

    async def sign_off(self) -> None:
        """End the lease and the share's registration: all that was sent is known to Redis."""
        keys = (script.WORKERS, script.EPOCH)
        with suppress(Unreachable, LedgerError, ConfigurationError):
            await self.execute("EVAL", script.SIGN_OFF, len(keys), *keys, self.name)

    async def close(self) -> None:
        """Finish what was begun and end the tasks."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.subscriber.close()
        if self.renewal is not None:
            self.renewal.cancel()
            await asyncio.gather(self.renewal, return_exceptions=True)


def _cannot_now() -> tuple[type[Exception], ...]:
    """What Redis says while it fails over or cannot write: it is as good as away."""
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
            "a Redis ledger needs the extra: pip install 'zoho-async[redis]'"
        ) from None
    try:
        # One more try is for a connection that died while nobody used it. (Untyped in the library.)
        client: Redis = cast(Any, Redis).from_url(
            url, socket_timeout=5.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 1)
        )
        return client
    except ValueError:
        # The library's own words may quote a part of the URL, which may be the password.
        raise ConfigurationError("the URL of the Redis ledger cannot be read") from None
