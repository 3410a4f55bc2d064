"""Usage in Redis: each operation as a decision on what stands there, and its writing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError
from zoho_async.fork import Process, keep
from zoho_async.limits import state
from zoho_async.limits.alone import AGAIN
from zoho_async.limits.figures import Lane, Limits, Snapshot
from zoho_async.limits.redis.link import Away, Known, Link, Owed
from zoho_async.limits.redis.script import Reply, name, sha_of
from zoho_async.limits.state import DRIFT, Denial, Ending, Usage

T = TypeVar("T")
#: What an operation writes where it is not denied: a refusal concerns the account too.
_Writes: TypeAlias = Literal["nothing", "taken", "ended", "refused"]
#: What makes a decision of the usage, the account's, the moment, and by how much that may be early.
_Decide: TypeAlias = Callable[[Usage, Usage, float, float], T]

#: Seconds that a worker's name is good for.
LEASE: Final = 15.0
#: A server's clock further back than this, in seconds, was set back.
SET_BACK: Final = 60.0
#: What part of the window an ending may be unsure by, which costs as much of the rate.
UNSURE: Final = 1 / 2000


class _Row(msgspec.Struct, array_like=True):
    """What Redis holds of one key: its usage, and the server's time when it was written."""

    now: float
    usage: Usage


class RedisLedger:
    """Usage in the Redis server at ``url``, shared by everyone who names the same one.

    ``share`` is the part of the limits (0 to 1) that this worker may use while Redis is away; None
    sends nothing then. All workers' shares together must not exceed 1. ``lease`` is how long a
    worker that died keeps its calls to itself, in seconds. Needs the extra ``redis``; Redis 7 or
    newer, no cluster. Raises `ConfigurationError` for a URL or share that cannot be.
    """

    poll: float | None = 1.0

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
        self._links: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Link]] = WeakKeyDictionary()
        self._process: Final = Process()
        #: What is made of the server's time; tests hold it.
        self._time: Callable[[float], float] = float

    def lease(self, limits: Limits) -> float:
        """Asking renewed the lease, so it lasts at least so long from then."""
        return self._lease / DRIFT

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

        def view(usage: Usage, whole: Usage, now: float, _unsure: float) -> Snapshot:
            return state.view(usage, whole, limits, now, now)

        try:
            return await self._change(link, key, account, limits, clock, view, "nothing")
        except Away as error:
            raise ConfigurationError(f"the limits kept in Redis cannot be read: {error}") from None

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._link().news.add(key, wake)

    async def close(self) -> None:
        """Finish what was begun and close this loop's connections. A later call opens new ones."""
        self._check_process()
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is None:
            return
        if link.owed:
            await self._pay(link)
        await link.close()
        await link.client.aclose()

    # -- one operation ------------------------------------------------------------------------

    async def _take(
        self, link: Link, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        def decide(usage: Usage, whole: Usage, now: float, _unsure: float) -> int | Denial:
            return state.take(usage, whole, lane, limits, now, now, link.name)

        try:
            answer = await self._change(link, key, account, limits, clock, decide, "taken")
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
        link: Link,
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

        def decide(usage: Usage, whole: Usage, now: float, unsure: float) -> float:
            told = msgspec.structs.replace(ending, unsure=unsure)
            return state.settle(usage, whole, place, told, limits, now, now, link.name)

        came = clock.monotonic()
        writes: _Writes = "ended" if ending.refusal is None else "refused"
        try:
            blocked_for = await self._change(link, key, account, limits, clock, decide, writes)
        except Away:
            if place < 0:
                return alone
            link.owed.append(Owed(key, account, place, ending, limits, clock, came))
            self._keep(link)
            return 0.0
        link.mine[key].discard(place)
        if not link.mine[key]:
            del link.mine[key]
        return blocked_for

    async def _change(
        self,
        link: Link,
        key: str,
        account: str,
        limits: Limits,
        clock: Clock,
        decide: _Decide[T],
        writes: _Writes,
    ) -> T:
        """What ``decide`` makes of the usage of ``key`` and ``account``, once it is written."""
        async with link.lock(key):
            # Taken out: whatever goes wrong, nothing is decided on it again.
            known = link.known.pop(key, None)
            if known is not None and not self._good(known, clock, limits, writes):
                known = None
            fresh = known is None
            while True:
                if known is None:
                    known = _seen(await self._ask(link, key, account, (), clock), clock)
                now, unsure = (known.time, 0.0) if fresh else _bounds(known, clock.monotonic())
                row, moved = self._read(link, key, known.own, now)
                whole = row
                if account != key:
                    whole, _ = self._read(link, account, known.whole, row.now)
                    row.now = whole.now = max(row.now, whole.now)
                if fresh:
                    moved |= self._tidy(link, key, row, {*known.alive, link.name}, limits)
                    link.alone.enter(key, account, row.usage, limits, clock, row.now)
                answer = decide(row.usage, whole.usage, row.now, unsure)
                denied = isinstance(answer, Denial)
                if denied and not fresh:
                    known, fresh = None, True  # it may be old
                    continue
                if writes == "nothing" or (denied and not moved):
                    return answer
                own = self._encoder.encode(row)
                wholly = b""
                if writes == "refused" and account != key:
                    wholly = self._encoder.encode(whole)
                tells = "" if writes == "taken" else "1"
                given = (sha_of(known.own), sha_of(known.whole), own, wholly, tells)
                reply = await self._ask(link, key, account, given, clock)
                # The script may have run, its answer been lost, and the library have asked again.
                if reply.written or reply.own == own:
                    if fresh and not denied:
                        link.alone.entered(key)
                    stands = own if account == key else wholly or known.whole
                    link.remember(key, _seen(reply, clock, own, stands, known))
                    return answer
                known, fresh = _seen(reply, clock), True

    async def _ask(
        self, link: Link, key: str, account: str, given: tuple[str | bytes, ...], clock: Clock
    ) -> Reply:
        return await link.ask(key, account, given, clock.monotonic, self._time)

    def _good(self, known: Known, clock: Clock, limits: Limits, writes: _Writes) -> bool:
        """Whether to decide on what was ``known``: others' deaths are seen by reading alone."""
        now = clock.monotonic()
        if known.clock is not clock or now >= known.read + self._lease / 3:
            return False
        if writes == "ended":
            return _bounds(known, now)[1] <= limits.window * UNSURE
        return writes == "taken"

    def _read(self, link: Link, key: str, found: bytes, now: float) -> tuple[_Row, bool]:
        """The usage as Redis gave it, brought to ``now``; whether its moments were moved."""
        packed = found or link.remembered.get(key)
        if not packed:
            return _Row(now, Usage()), False
        try:
            row = self._decoder.decode(packed)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the limits that Redis keeps in {name(key)} cannot be read ({error}); delete "
                "the key once no call was made for two minutes"
            ) from None
        set_back = now < row.now - SET_BACK
        if set_back:
            state.shift(row.usage, now - row.now)
            row.now = now
        row.now = max(row.now, now)
        return row, set_back

    def _tidy(self, link: Link, key: str, row: _Row, alive: set[str], limits: Limits) -> bool:
        """Give back places that nobody knows of, and abandon those of workers that are gone.

        True when there were any. That must be written: what it comes to depends on the moment.
        """
        usage, mine = row.usage, link.mine.get(key, ())
        unknown = [
            number
            for number, one in usage.open.items()
            if one.owner == link.name and number not in mine
        ]
        for place in unknown:
            ending = Ending("unsent")
            state.settle(usage, usage, place, ending, limits, row.now, row.now, link.name)
        return state.bury(usage, alive.__contains__, limits, row.now) or bool(unknown)

    # -- while calls are open -------------------------------------------------------------------

    def _keep(self, link: Link) -> None:
        """Have the lease renewed, and what is owed paid, until nothing is open."""
        if link.keeper is None or link.keeper.done():
            link.keeper = asyncio.get_running_loop().create_task(
                self._renew(link), name="zoho_async lease"
            )

    async def _renew(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while link.mine or link.owed:
            await asyncio.sleep(min(AGAIN, self._lease / 3))
            try:
                await link.ask("", "", (), loop.time, self._time)
            except (Away, ConfigurationError):
                continue
            await self._pay(link)

    async def _pay(self, link: Link) -> None:
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

    def _check_process(self) -> None:
        """A forked process must not use its parent's connections, nor its name."""
        if self._process.changed():
            for link in self._links.values():
                keep(link)
            self._links.clear()

    def _link(self) -> Link:
        self._check_process()
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = Link(self._url, self._share, self._lease)
        return link


def _seen(
    reply: Reply, clock: Clock, own: bytes = b"", whole: bytes = b"", before: Known | None = None
) -> Known:
    """What ``reply`` gave, or what was written after ``before``."""
    if before is None:
        own, whole, read, alive = reply.own, reply.whole, reply.until, reply.alive
    else:
        read, alive = before.read, before.alive
    return Known(own, whole, reply.time, reply.since, reply.until, read, alive, clock)


def _bounds(known: Known, monotonic: float) -> tuple[float, float]:
    """The earliest that it may be at the server by this machine's clock, and how much later."""
    earliest = known.time + max(0.0, monotonic - known.until) / DRIFT
    latest = known.time + max(0.0, monotonic - known.since) * DRIFT
    return earliest, latest - earliest
