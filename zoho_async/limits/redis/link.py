"""One event loop's way to Redis: its connections, its name there, and what it knows.

The link asks the script and says when it can not. It knows nothing of what the usage means.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError
from zoho_async.limits.alone import Alone
from zoho_async.limits.figures import Limits
from zoho_async.limits.redis import script
from zoho_async.limits.redis.news import News
from zoho_async.limits.redis.script import Reply
from zoho_async.limits.state import Ending

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Usages that a worker remembers, in case the server forgets or nobody else changes them.
REMEMBERED: Final = 1024


class Away(Exception):
    """Redis cannot be reached now."""


class Owed(msgspec.Struct):
    """An ending that could not be written, and when it came (this machine's monotonic time)."""

    key: str
    account: str
    place: int
    ending: Ending
    limits: Limits
    clock: Clock
    came: float


class Known(msgspec.Struct, frozen=True):
    """What stood in Redis after this worker's last script for a key.

    ``time`` is the server's; the others are by the ``clock``: ``since`` and ``until`` are those of
    that script, ``read`` is when it last saw who is ``alive``.
    """

    own: bytes
    whole: bytes
    time: float
    since: float
    until: float
    read: float
    alive: frozenset[str]
    clock: Clock


class Link:
    """One event loop's connections, and what its worker has open."""

    def __init__(self, url: str, share: float | None, lease: float) -> None:
        self.client: Final = _client(url)
        self.name: Final = uuid.uuid4().hex
        self.news: Final = News(self.client)
        self.mine: Final[defaultdict[str, set[int]]] = defaultdict(set)
        self.remembered: Final[OrderedDict[str, bytes]] = OrderedDict()
        self.known: Final[dict[str, Known]] = {}
        self.owed: Final[list[Owed]] = []
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.keeper: asyncio.Task[None] | None = None
        #: Since when Redis cannot be reached (the loop's time), and what was sent without it.
        self.away_since: float | None = None
        self.alone: Final = Alone(share)
        #: Scripts that were run; for those who count them.
        self.asked = 0
        self._lease: Final = lease
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

    def remember(self, key: str, known: Known) -> None:
        """Keep what was just written under ``key``."""
        self.known[key] = known
        self.remembered[key] = known.own
        self.remembered.move_to_end(key)
        if len(self.remembered) > REMEMBERED:
            oldest, _ = self.remembered.popitem(last=False)
            self.known.pop(oldest, None)

    async def ask(
        self,
        key: str,
        account: str,
        arguments: tuple[str | bytes, ...],
        monotonic: Callable[[], float],
        time: Callable[[float], float],
    ) -> Reply:
        """The script's answer. Raises `Away`, and `ConfigurationError` where Redis says no.

        ``monotonic`` is this machine's time, ``time`` makes something of the server's.
        """
        from redis import exceptions as of_redis

        keys = (script.name(key), script.name(account), script.WORKERS)
        given = (3, *keys, self.name, self._lease, script.KEPT, *arguments)
        # What the library says of its results' types is all there could be.
        execute = cast(Any, self.client).execute_command
        since = monotonic()
        self.asked += 1
        try:
            try:
                answer: list[Any] = await execute("EVALSHA", script.SCRIPT_SHA, *given)
            except of_redis.NoScriptError:
                answer = await execute("EVAL", script.SCRIPT, *given)
        except of_redis.AuthenticationError:
            raise ConfigurationError(
                "Redis refuses the ledger: its user or password is wrong"
            ) from None
        except (of_redis.ConnectionError, of_redis.TimeoutError, OSError) as error:
            self.known.clear()
            if self.away_since is None:
                self.away_since = asyncio.get_running_loop().time()
            raise Away(f"Redis is away ({type(error).__name__})") from None
        except of_redis.RedisError as error:
            raise ConfigurationError(f"Redis refuses the ledger: {error}") from None
        self.away_since = None
        moment = time(int(answer[1]) + int(answer[2]) / 1e6)
        return script.understood(answer, since, monotonic(), moment)

    async def close(self) -> None:
        """Finish what was begun and end the tasks."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.news.close()
        if self.keeper is not None:
            self.keeper.cancel()
            await asyncio.gather(self.keeper, return_exceptions=True)


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
