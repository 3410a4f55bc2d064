"""The ledger in Redis, for programs on several machines.

**One code path.** The functions of `state` decide here as in every ledger. They run at the client,
on the usage as Redis holds it and at the server's time (``TIME``), and what they make of it is
written only if the usage is still what they read (compare and set, in one script). Whoever lost
that race got the new usage with the refusal and decides anew; somebody always wins, so nobody locks
and a worker that dies holds up nobody. The time of a decision is at or before that of its writing,
which can only keep places longer.

**Leases.** Each worker's name stands in a sorted set with the time when its lease ends, renewed by
each of its scripts and, while it has calls open, by a task. Whoever finds open calls of a worker
without a lease counts them as on their way, sent as late as that moment.

**What may break.** A script whose answer is lost may have taken a place that nobody knows of: it
carries this worker's name but is not among its calls, so the worker's next look gives it back. An
ending that cannot be written is kept and written later. While Redis is away nothing is sent, or
(``share``) what this worker's own share of the limits allows, once a minute has passed in which
what all others sent has left the count; what it sent so is entered when Redis is back. Shares hold
if Redis is away for everybody: those who still reach it do not know of the others. A server that
forgot its usage (a restart without persistence) is told what its clients last knew.

The server's clock should not be set forward by hand: the time skipped counts as passed. One set
back by more than a minute is met like another start of a machine.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError
from zoho_async.limits import state
from zoho_async.limits.alone import AGAIN, Alone
from zoho_async.limits.figures import Lane, Limits, Snapshot
from zoho_async.limits.state import Denial, Ending, Usage

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")
_Writes: TypeAlias = Literal["nothing", "usage", "both"]

_PREFIX: Final = "zoho_async:1"
#: Seconds that a worker's name is good for, and that usage is kept after the last call.
LEASE: Final = 15.0
KEPT: Final = 2 * 86_400
#: A server's clock further back than this, in seconds, was set back.
SET_BACK: Final = 60.0
#: Usages that a worker remembers in case the server forgets.
REMEMBERED: Final = 1024

#: KEYS: an organization's usage, its account's, the leases. ARGV: this worker's name, the lease in
#: seconds, the lifetime of usage in seconds, and to write something: SHA-1 of the usage that it was
#: made from, the new usage, and the same of the account ("" where it stays).
_SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
if ARGV[1] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[2]), ARGV[1])
end
local own = redis.call('GET', KEYS[1]) or ''
local whole = redis.call('GET', KEYS[2]) or ''
if ARGV[4] then
  local same = redis.sha1hex(own) == ARGV[4]
  if ARGV[7] ~= '' then same = same and redis.sha1hex(whole) == ARGV[6] end
  if same then
    redis.call('SET', KEYS[1], ARGV[5], 'EX', ARGV[3])
    if ARGV[7] ~= '' then redis.call('SET', KEYS[2], ARGV[7], 'EX', ARGV[3]) end
    return {1}
  end
end
return {0, time[1], time[2], own, whole, redis.call('ZRANGEBYSCORE', KEYS[3], now, '+inf')}
"""
_SCRIPT_SHA: Final = sha1(_SCRIPT.encode()).hexdigest()


class Away(Exception):
    """Redis cannot be reached now."""


class _Row(msgspec.Struct, array_like=True):
    """What Redis holds of one key: its usage, and the server's time when it was written."""

    now: float
    usage: Usage


class _Owed(msgspec.Struct):
    """An ending that could not be written, and when it came (this machine's monotonic time)."""

    key: str
    account: str
    place: int
    ending: Ending
    limits: Limits
    clock: Clock
    came: float


class _Link:
    """One event loop's connections, and what its worker has open."""

    def __init__(self, client: Redis, share: float | None) -> None:
        self.client: Final = client
        self.name: Final = uuid.uuid4().hex
        self.mine: Final[defaultdict[str, set[int]]] = defaultdict(set)
        self.locks: Final[WeakValueDictionary[str, asyncio.Lock]] = WeakValueDictionary()
        self.remembered: Final[OrderedDict[str, bytes]] = OrderedDict()
        self.owed: Final[list[_Owed]] = []
        self.tasks: Final[set[asyncio.Task[Any]]] = set()
        self.keeper: asyncio.Task[None] | None = None
        #: Since when Redis cannot be reached (the loop's time), and what was sent without it.
        self.away_since: float | None = None
        self.alone: Final = Alone(share)

    def lock(self, key: str) -> asyncio.Lock:
        found = self.locks.get(key)
        if found is None:
            found = self.locks[key] = asyncio.Lock()
        return found

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name="zoho_async limits")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class RedisLedger:
    """Usage in the Redis server at ``url``, shared by everyone who names the same one.

    ``share`` is the part of the limits (0 to 1) that this worker may use while Redis is away; None
    sends nothing then. All workers' shares together must not exceed 1. ``lease`` is how long a
    worker that died keeps its calls to itself, in seconds. Needs the extra ``redis``; Redis 7 or
    newer, no cluster. Raises `ConfigurationError` for a URL or share that cannot be.
    """

    poll: float | None = 0.05

    def __init__(self, url: str, *, share: float | None = None, lease: float = LEASE) -> None:
        if share is not None and not 0 < share <= 1:
            raise ConfigurationError(f"share must be above 0 and at most 1, got {share}")
        if not lease > 0:
            raise ConfigurationError(f"lease must be a number of seconds, got {lease}")
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigurationError("the URL of a Redis ledger begins with redis:// or rediss://")
        self._url: Final = url
        self._share: Final = share
        self._lease: Final = lease
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(_Row)
        self._links: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Link]] = (
            WeakKeyDictionary()
        )
        #: What is made of the server's time; tests hold it.
        self._time: Callable[[float], float] = float

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        link = self._link()
        taking = link.run(self._take(link, key, account, lane, limits, clock))

        def give_back(taken: asyncio.Task[int | Denial]) -> None:
            if not taken.cancelled() and taken.exception() is None:
                place = taken.result()
                if not isinstance(place, Denial):
                    link.run(
                        self._settle(link, key, account, place, Ending("unsent"), limits, clock)
                    )

        try:
            return await asyncio.shield(taking)
        except BaseException:
            taking.add_done_callback(give_back)
            raise

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        link = self._link()
        return await asyncio.shield(
            link.run(self._settle(link, key, account, place, ending, limits, clock))
        )

    async def look(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        link = self._link()

        def view(usage: Usage, whole: Usage, now: float) -> Snapshot:
            return state.view(usage, whole, limits, now, now)

        try:
            return await self._change(link, key, account, limits, clock, view, "nothing")
        except Away as error:
            raise ConfigurationError(f"the limits kept in Redis cannot be read: {error}") from None

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Other workers do not tell; waiters poll."""
        return _nothing

    async def close(self) -> None:
        """Finish what was begun and close this loop's connections. A later call opens new ones."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is None:
            return
        if link.keeper is not None:
            link.keeper.cancel()
            await asyncio.gather(link.keeper, return_exceptions=True)
        while link.tasks:
            await asyncio.gather(*link.tasks, return_exceptions=True)
        if link.owed:
            await self._pay(link)
        await link.client.aclose()

    # -- one operation ------------------------------------------------------------------------

    async def _take(
        self, link: _Link, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        def decide(usage: Usage, whole: Usage, now: float) -> int | Denial:
            return state.take(usage, whole, lane, limits, now, now, link.name)

        try:
            answer = await self._change(link, key, account, limits, clock, decide, "usage")
        except Away:
            since = link.away_since
            away = 0.0 if since is None else asyncio.get_running_loop().time() - since
            return link.alone.take(key, account, lane, limits, clock, away)
        if not isinstance(answer, Denial):
            # Nothing ran since it was written, so nobody took it for a place unknown.
            link.mine[key].add(answer)
            self._keep(link)
        return answer

    async def _settle(
        self,
        link: _Link,
        key: str,
        account: str,
        place: int,
        ending: Ending,
        limits: Limits,
        clock: Clock,
    ) -> float:
        alone = 0.0
        if place < 0:
            alone = link.alone.settle(key, account, place, ending, limits, clock)
            if link.away_since is not None or ending.how == "unsent":
                return alone
        seen = False

        def decide(usage: Usage, whole: Usage, now: float) -> float:
            nonlocal seen
            if seen and place not in usage.open:
                return 0.0  # it was written, though the answer to that was lost
            seen = place in usage.open
            return state.settle(usage, whole, place, ending, limits, now, now)

        came = clock.monotonic()
        try:
            writes: _Writes = "both" if ending.refusal is not None else "usage"
            blocked_for = await self._change(link, key, account, limits, clock, decide, writes)
        except Away:
            if place < 0:
                return alone
            link.owed.append(_Owed(key, account, place, ending, limits, clock, came))
            self._keep(link)
            return 0.0
        self._settled(link, key, place)
        return blocked_for

    def _settled(self, link: _Link, key: str, place: int) -> None:
        link.mine[key].discard(place)
        if not link.mine[key]:
            del link.mine[key]

    async def _change(
        self,
        link: _Link,
        key: str,
        account: str,
        limits: Limits,
        clock: Clock,
        decide: Callable[[Usage, Usage, float], T],
        writes: _Writes,
    ) -> T:
        """What ``decide`` makes of the usage of ``key`` and ``account``, once it is written."""
        async with link.lock(key):
            arguments: tuple[str | bytes, ...] = ()
            answer: T | None = None
            while True:
                reply = await self._ask(link, key, account, arguments)
                if reply[0]:
                    link.alone.entered(key)
                    return cast(T, answer)
                row = self._read(link, key, reply[3], self._moment(reply))
                whole = row
                if account != key:
                    whole = self._read(link, account, reply[4], row.now)
                    row.now = whole.now = max(row.now, whole.now)
                self._tidy(link, key, row, {name.decode() for name in reply[5]}, limits)
                link.alone.enter(key, account, row.usage, limits, clock, row.now)
                answer = decide(row.usage, whole.usage, row.now)
                if writes == "nothing":
                    return answer
                packed = self._encoder.encode(row)
                arguments = (_sha1(reply[3]), packed, "", "")
                if writes == "both" and account != key:
                    arguments = (
                        _sha1(reply[3]),
                        packed,
                        _sha1(reply[4]),
                        self._encoder.encode(whole),
                    )
                self._remember(link, key, packed)

    def _read(self, link: _Link, key: str, found: bytes, now: float) -> _Row:
        """The usage as Redis gave it, brought to ``now``."""
        packed = found or link.remembered.get(key)
        if not packed:
            return _Row(now, Usage())
        try:
            row = self._decoder.decode(packed)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the limits that Redis keeps in {_name(key)} cannot be read ({error}); delete "
                "the key once no call was made for two minutes"
            ) from None
        if now < row.now - SET_BACK:
            state.shift(row.usage, now - row.now)
            row.now = now
        row.now = max(row.now, now)
        return row

    def _tidy(self, link: _Link, key: str, row: _Row, alive: set[str], limits: Limits) -> None:
        """Give back places that nobody knows of, and abandon those of workers that are gone."""
        usage, mine = row.usage, link.mine.get(key, ())
        for place in [
            number
            for number, one in usage.open.items()
            if one.owner == link.name and number not in mine
        ]:
            state.settle(usage, usage, place, Ending("unsent"), limits, row.now, row.now)
        if usage.open:
            alive.add(link.name)
            state.bury(usage, alive.__contains__, limits, row.now)

    def _remember(self, link: _Link, key: str, packed: bytes) -> None:
        link.remembered[key] = packed
        link.remembered.move_to_end(key)
        if len(link.remembered) > REMEMBERED:
            link.remembered.popitem(last=False)

    # -- the wire -----------------------------------------------------------------------------

    async def _ask(
        self, link: _Link, key: str, account: str, arguments: tuple[str | bytes, ...]
    ) -> list[Any]:
        """The script's answer. Raises `Away`, and `ConfigurationError` where Redis says no."""
        from redis import exceptions as of_redis

        names = (_name(key), _name(account), f"{_PREFIX}:workers")
        given = (3, *names, link.name, self._lease, KEPT, *arguments)
        # What the library says of its results' types is all there could be.
        execute = cast(Any, link.client).execute_command
        try:
            try:
                reply: list[Any] = await execute("EVALSHA", _SCRIPT_SHA, *given)
            except of_redis.NoScriptError:
                reply = await execute("EVAL", _SCRIPT, *given)
        except of_redis.AuthenticationError as error:
            raise ConfigurationError(f"Redis refuses the ledger: {error}") from None
        except (of_redis.ConnectionError, of_redis.TimeoutError, OSError) as error:
            if link.away_since is None:
                link.away_since = asyncio.get_running_loop().time()
            raise Away(f"Redis is away ({type(error).__name__})") from None
        except of_redis.RedisError as error:
            raise ConfigurationError(f"Redis refuses the ledger: {error}") from None
        link.away_since = None
        return reply

    def _moment(self, reply: list[Any]) -> float:
        return self._time(int(reply[1]) + int(reply[2]) / 1e6)

    # -- while calls are open -------------------------------------------------------------------

    def _keep(self, link: _Link) -> None:
        """Have the lease renewed, and what is owed paid, until nothing is open."""
        if link.keeper is None or link.keeper.done():
            link.keeper = asyncio.get_running_loop().create_task(
                self._renew(link), name="zoho_async lease"
            )

    async def _renew(self, link: _Link) -> None:
        while link.mine or link.owed:
            await asyncio.sleep(min(AGAIN, self._lease / 3))
            try:
                await self._ask(link, "", "", ())
            except (Away, ConfigurationError):
                continue
            await self._pay(link)

    async def _pay(self, link: _Link) -> None:
        """Write the endings that could not be written when they came."""
        for _ in range(len(link.owed)):
            one = link.owed.pop(0)
            late = one.clock.monotonic() - one.came
            quota = one.ending.quota
            if quota is not None and quota.reset is not None:
                quota = msgspec.structs.replace(quota, reset=max(0.0, quota.reset - late))
            ending = msgspec.structs.replace(
                one.ending, since_sent=one.ending.since_sent + late, quota=quota
            )
            paying = self._settle(
                link, one.key, one.account, one.place, ending, one.limits, one.clock
            )
            await asyncio.shield(link.run(paying))

    def _link(self) -> _Link:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = _Link(_client(self._url), self._share)
        return link


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
    except ValueError as error:
        raise ConfigurationError(f"the URL of the Redis ledger cannot be read: {error}") from None


def _name(key: str) -> str:
    return f"{_PREFIX}:usage:{key}"


def _sha1(text: bytes) -> str:
    return sha1(text).hexdigest()


def _nothing() -> None:
    pass
