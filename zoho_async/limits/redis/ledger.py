"""Usage in Redis: each operation as a decision on what is there, and its writing."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.fork import Process, never_close
from zoho_async.limits import usage as state
from zoho_async.limits.block import NEVER
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.redis import epoch as epochs
from zoho_async.limits.redis.connection import (
    Away,
    CachedUsage,
    Memory,
    Owed,
    RedisConnection,
    Settings,
)
from zoho_async.limits.redis.epoch import Epoch
from zoho_async.limits.redis.merge import merge
from zoho_async.limits.redis.offline import AGAIN
from zoho_async.limits.redis.script import EPOCH, INITIALIZE, ScriptReply, name, sha_of
from zoho_async.limits.usage import DRIFT, Denial, Ending, Usage

T = TypeVar("T")
#: What an operation writes if it is not denied: a refusal concerns the account too.
_Writes: TypeAlias = Literal["nothing", "taken", "ended", "refused"]

#: Seconds that a worker's name is good for.
LEASE: Final = 15.0
#: Seconds that a worker may send its share without Redis.
ALONE: Final = 600.0
#: A server's clock further back than this, in seconds, was set back.
SET_BACK: Final = 60.0
#: What part of the window an ending may be unsure by, which costs as much of the rate.
UNSURE: Final = 1 / 2000


class _Row(msgspec.Struct, array_like=True):
    """What Redis holds of one key: its usage, and the server's time when it was written.

    ``epoch`` is the one that it was written in, ``born`` names this row apart from earlier ones of
    the same key, ``lost`` is when an earlier one that is missing was written, and ``base`` is what
    of the day's hours was counted in earlier ones.
    """

    now: float
    usage: Usage
    epoch: str = ""
    born: int = 0
    lost: float = NEVER
    base: dict[int, int] = {}


class _Seen(msgspec.Struct):
    """What a decision is made of: both usages at ``now``, which may be early by ``unsure``.

    ``time`` is the server's. It is before ``now`` if its clock was set back.
    """

    row: _Row
    whole: _Row
    epoch: Epoch
    alive: frozenset[str]
    time: float
    now: float
    unsure: float

    @property
    def usages(self) -> tuple[Usage, Usage]:
        return self.row.usage, self.whole.usage

    def starts_in(self, limits: Limits, lease: float) -> float:
        """Seconds for which no place is given, because calls may have been forgotten."""
        since = max(self.epoch.birth, self.row.lost, self.whole.lost)
        return max(0.0, since + epochs.settled(limits, lease) - self.time)


class RedisLedger:
    """Usage in the Redis server at ``url``, shared by all workers that name the same one.

    A server that is new or that forgot (restarted, flushed, failed over) gives no place until all
    that may have been sent before has left the count: ``window`` + ``linger`` + ``lease``, 105
    seconds by default. `initialize` skips that for a server that is known to be new. ``durable``
    declares that the server never loses a write, so that a restart does not matter.

    ``share`` is the part of the limits (0 to 1) that this worker may use while it cannot reach
    Redis; None sends nothing then. All workers' shares together must not exceed 1, and either all
    workers have one or none has. A worker sends alone for ``alone`` seconds at most, and waits
    then. The others leave its share to it for so long, unless it was closed: so call `close`.

    ``lease`` is how long a worker that died keeps its calls to itself, in seconds; it must be the
    same in all workers. Needs the extra ``redis``; Redis 7 or newer, no cluster, and the right to
    run ``INFO`` unless ``durable``. Raises `ConfigurationError` for values that cannot work;
    operations raise `LedgerError` if Redis cannot be used.
    """

    poll: float | None = 1.0

    def __init__(
        self,
        url: str,
        *,
        share: float | None = None,
        lease: float = LEASE,
        alone: float = ALONE,
        durable: bool = False,
    ) -> None:
        if share is not None and not 0 < share <= 1:
            raise ConfigurationError(f"share must be above 0 and at most 1, got {share}")
        if not lease > 0:
            raise ConfigurationError(f"lease must be a number of seconds, got {lease}")
        if not alone >= 0:
            raise ConfigurationError(f"alone must be a number of seconds, got {alone}")
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigurationError("the URL of a Redis ledger begins with redis:// or rediss://")
        self._settings: Final = Settings(url, share, lease, alone, durable)
        self._lease: Final = lease
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(_Row)
        self._links: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, RedisConnection]] = (
            WeakKeyDictionary()
        )
        self._process: Final = Process()
        #: The time that the server takes for its own, None for its clock's; tests hold it.
        self._time: Callable[[], float] | None = None

    def lease(self, limits: Limits) -> float:
        """Asking renewed the lease, so it lasts at least so long from then."""
        return self._lease / DRIFT

    async def initialize(self) -> None:
        """Mark the server as one that forgot nothing, so that its first calls need not wait.

        This is safe only if no call was made for the organizations that it counts in the last two
        minutes (``window`` + ``linger`` + ``lease``), by any program: in a test, or before the
        first deployment. Raises `LedgerError` if Redis cannot be used.
        """
        link = self._link()
        durable = "1" if self._settings.durable else ""
        try:
            await link.check()
            await link.execute("EVAL", INITIALIZE, 1, EPOCH, durable, uuid.uuid4().hex)
        except Away as error:
            raise LedgerError(f"the Redis ledger cannot be initialized: {error}") from None
        link.known.clear()

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        link = self._link(clock)
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
        link = self._link(clock)
        return await asyncio.shield(
            link.run(self._settle(link, key, account, place, ending, limits, clock))
        )

    async def look(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        link = self._link(clock)

        def view(seen: _Seen) -> Snapshot:
            snapshot = state.view(*seen.usages, limits, seen.now, seen.now)
            return msgspec.structs.replace(snapshot, starts_in=seen.starts_in(limits, self._lease))

        try:
            if link.away is not None:
                await self._return(link)
            return await self._change(link, key, account, limits, clock, view, "nothing")
        except Away as error:
            raise LedgerError(f"the limits kept in Redis cannot be read: {error}") from None

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._link().news.add(key, wake)

    async def close(self) -> None:
        """Finish what was begun and close this loop's connections. A later call opens new ones.

        A share is signed off, if Redis knows of all that was sent.
        """
        self._check_process()
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is None:
            return
        if link.away is None and link.owed:
            await self._pay(link)
        await link.close()
        if link.registered and link.away is None and not link.owed:
            await link.sign_off()
        await link.client.aclose()

    # -- one operation ------------------------------------------------------------------------

    async def _take(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        def decide(seen: _Seen) -> int | Denial:
            wait = seen.starts_in(limits, self._lease)
            if wait > 0:
                return Denial("ledger_new", wait)
            given = epochs.connected(
                limits, seen.epoch, {*seen.alive, link.name}, seen.time, self._reach(limits)
            )
            if given is None:
                return Denial("ledger", AGAIN)
            return state.take(*seen.usages, lane, given, seen.now, seen.now, link.name)

        link.reach = max(link.reach, self._reach(limits))
        try:
            if link.away is not None:
                if self._settings.share is not None:
                    return await self._take_alone(link, key, account, lane, limits, clock)
                await self._return(link)
            answer = await self._change(link, key, account, limits, clock, decide, "taken")
        except Away:
            self._keep(link)
            return Denial("ledger", AGAIN)
        if not isinstance(answer, Denial):
            # Nothing ran since it was written, so no other run took it for a place unknown.
            link.mine[key].add(answer)
        self._keep(link)
        return answer

    async def _take_alone(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        """A place of this worker's share, if Redis has been away for long enough, and not longer.

        The keeper looks whether it is back.
        """
        self._keep(link)
        async with link.returning:
            now = clock.monotonic()
            quiet = epochs.quiet(limits, self._lease)
            begins = max(link.away or now, link.answered) + quiet
            ends = link.heard + quiet + self._settings.alone
            kept = link.registered and self._reach(limits) <= link.reach
            if link.away is None or not kept or not begins <= now <= ends:
                return Denial("ledger", min(abs(begins - now) + 0.01, AGAIN))
            memories = (self._recall(link, key, now), self._recall(link, account, now))
            return link.alone.take(key, account, lane, limits, clock, memories)

    async def _settle(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        place: int,
        ending: Ending,
        limits: Limits,
        clock: Clock,
    ) -> float:
        alone = 0.0
        if place < 0:
            async with link.returning:
                alone = link.alone.settle(key, account, place, ending, limits, clock)
                if link.away is not None or ending.how == "unsent":
                    return alone
                link.alone.entered(key)  # what follows enters this one

        def decide(seen: _Seen) -> float:
            told = msgspec.structs.replace(ending, unsure=seen.unsure)
            return state.settle(*seen.usages, place, told, limits, seen.now, seen.now, link.name)

        came = clock.monotonic()
        writes: _Writes = "ended" if ending.refusal is None else "refused"
        try:
            if link.away is not None:
                raise Away
            blocked_for = await self._change(link, key, account, limits, clock, decide, writes)
        except Away:
            link.owed.append(Owed(key, account, place, ending, limits, clock, came))
            self._keep(link)
            return alone
        link.mine[key].discard(place)
        if not link.mine[key]:
            del link.mine[key]
        return blocked_for

    async def _change(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        limits: Limits,
        clock: Clock,
        decide: Callable[[_Seen], T],
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
                    known = _read_now(await self._ask(link, key, account, ()), clock)
                seen, moved, moved_whole = self._see(link, key, account, known, fresh, limits)
                answer = decide(seen)
                denied = isinstance(answer, Denial)
                if denied and not fresh:
                    known, fresh = None, True  # it may be old
                    continue
                if writes == "nothing" or (denied and not (moved or moved_whole)):
                    return answer
                own = self._encoder.encode(seen.row)
                whole = b""
                if account != key and (moved_whole or writes == "refused"):
                    whole = self._encoder.encode(seen.whole)
                wakes = "" if writes == "taken" else "1"
                before = known.found
                given = (sha_of(before.own), sha_of(before.whole), own, whole, wakes)
                reply = await self._ask(link, key, account, given, before.epoch.id)
                # The script may have run, its answer been lost, and the library have asked again.
                if reply.found is None or reply.found.own == own:
                    self._remember(link, key, account, known, reply, seen, own, whole)
                    return answer
                known, fresh = _read_now(reply, clock), True

    async def _ask(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        given: tuple[str | bytes, ...],
        epoch: str | None = None,
    ) -> ScriptReply:
        held = None if self._time is None else self._time()
        return await link.ask(key, account, given, link.epoch if epoch is None else epoch, held)

    def _good(self, known: CachedUsage, clock: Clock, limits: Limits, writes: _Writes) -> bool:
        """Whether to decide on what was ``known``: others' deaths are seen by reading alone."""
        now = clock.monotonic()
        if known.clock is not clock or now >= known.read + self._lease / 3:
            return False
        if writes == "ended":
            return _bounds(known, now)[1] <= limits.window * UNSURE
        return writes == "taken"

    def _remember(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        known: CachedUsage,
        reply: ScriptReply,
        seen: _Seen,
        own: bytes,
        whole: bytes,
    ) -> None:
        """Keep what was written for the next decision, and in case the server forgets."""
        found = msgspec.structs.replace(
            known.found,
            own=own,
            whole=own if account == key else whole or known.found.whole,
            own_lost=None,
            whole_lost=None if whole or account == key else known.found.whole_lost,
        )
        link.known[key] = CachedUsage(
            found, reply.time, reply.since, reply.until, known.read, known.clock
        )
        link.remember(key, Memory(own, seen.row.born, reply.time, reply.until))
        if account != key and found.whole:
            link.remember(account, Memory(found.whole, seen.whole.born, reply.time, reply.until))

    # -- what Redis holds, and what it should ---------------------------------------------------

    def _see(
        self,
        link: RedisConnection,
        key: str,
        account: str,
        known: CachedUsage,
        fresh: bool,
        limits: Limits,
    ) -> tuple[_Seen, bool, bool]:
        """Both usages as of now; whether something in them must be written in any case."""
        found = known.found
        now, unsure = (known.time, 0.0) if fresh else _bounds(known, known.clock.monotonic())
        row, moved = self._read(
            link, key, found.own, found.own_lost, found.epoch, now, known, limits
        )
        whole, moved_whole = row, False
        if account != key:
            whole, moved_whole = self._read(
                link, account, found.whole, found.whole_lost, found.epoch, now, known, limits
            )
            row.now = whole.now = max(row.now, whole.now)
        if fresh:
            moved |= self._tidy(link, key, row, {*found.alive, link.name}, limits)
        return _Seen(row, whole, found.epoch, found.alive, now, row.now, unsure), moved, moved_whole

    def _read(
        self,
        link: RedisConnection,
        key: str,
        packed: bytes,
        lost: float | None,
        epoch: Epoch,
        now: float,
        known: CachedUsage,
        limits: Limits,
    ) -> tuple[_Row, bool]:
        """The usage as Redis gave it, brought to ``now``; whether it was changed otherwise."""
        row, changed = self._row(key, packed, lost, epoch, now), False
        set_back = now < row.now - SET_BACK
        if set_back:
            state.shift(row.usage, now - row.now)
            row.now = now
        row.now = max(row.now, now)
        if packed and row.epoch != epoch.id:
            self._migrate(row, epoch, now, limits)
            changed = True
        memory = link.remembered.get(key)
        if memory is not None and memory.born != row.born:
            self._enter_again(link, key, row, memory, known)
            changed = True
        return row, changed or set_back

    def _row(self, key: str, packed: bytes, lost: float | None, epoch: Epoch, now: float) -> _Row:
        if not packed:
            number = _number()
            missing = NEVER if lost is None else lost
            return _Row(now, Usage(serial=number), epoch.id, number, missing)
        try:
            return self._decoder.decode(packed)
        except msgspec.MsgspecError as error:
            raise LedgerError(
                f"the limits that Redis keeps in {name(key)} cannot be read ({error}); delete "
                "the key once no call was made for two minutes"
            ) from None

    def _migrate(self, row: _Row, epoch: Epoch, now: float, limits: Limits) -> None:
        """Bring a row of an earlier epoch into this one, by the clock of the server of this one.

        What came after it was written is missing. No worker's open calls are known; those who live
        enter theirs again.
        """
        if now < row.now:
            state.shift(row.usage, now - row.now)
            row.now = now
        state.bury(row.usage, _gone, limits, row.now)
        row.usage.serial = row.born = _number()
        row.epoch, row.base = epoch.id, dict(row.usage.day.hours)

    def _enter_again(
        self, link: RedisConnection, key: str, row: _Row, memory: Memory, known: CachedUsage
    ) -> None:
        """Enter what this worker remembers of a usage that was lost or set back."""
        passed = max(0.0, known.clock.monotonic() - memory.until) / DRIFT
        usage = self._decoder.decode(memory.packed).usage
        merge(row.usage, row.base, usage, row.now - memory.time - passed, row.now)
        for place in link.mine.get(key, ()):
            row.usage.open.setdefault(place, state.LoggedCall(row.now, link.name))

    def _recall(self, link: RedisConnection, key: str, now: float) -> Usage | None:
        """What this worker remembers of a usage, by its own clock."""
        memory = link.remembered.get(key)
        if memory is None:
            return None
        usage = self._decoder.decode(memory.packed).usage
        state.shift(usage, memory.until - memory.time)
        return usage

    def _tidy(
        self, link: RedisConnection, key: str, row: _Row, alive: set[str], limits: Limits
    ) -> bool:
        """Give back unknown places, and abandon those of workers that are gone.

        True if there were any. That must be written: what it comes to depends on the moment.
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

    def _reach(self, limits: Limits) -> float:
        return epochs.reach(limits, self._lease, self._settings.alone)

    # -- while calls are open, or Redis is away -------------------------------------------------

    def _keep(self, link: RedisConnection) -> None:
        """Have the lease renewed, and what is owed paid, while there is need."""
        if (link.keeper is None or link.keeper.done()) and self._needed(link):
            link.keeper = asyncio.get_running_loop().create_task(
                self._renew(link), name="zoho_async lease"
            )

    def _needed(self, link: RedisConnection) -> bool:
        """A share is kept for a worker whose last script is known, so that one renews always."""
        return bool(link.mine or link.owed or self._settings.share is not None)

    async def _renew(self, link: RedisConnection) -> None:
        while self._needed(link):
            await asyncio.sleep(min(AGAIN, self._lease / 3))
            with suppress(Away, LedgerError, ConfigurationError):
                await self._beat(link)

    async def _beat(self, link: RedisConnection) -> None:
        """Renew the lease, or see whether Redis is back, and write what could not be written."""
        if link.away is not None:
            await self._return(link)
        else:
            await self._ask(link, "", "", ())
        await self._pay(link)

    async def _return(self, link: RedisConnection) -> None:
        """Come back to a Redis that was away, with all that was sent without it. Raises `Away`.

        No script here renews the lease but the last one: until then the others leave this worker's
        share to it.
        """
        await link.ping()
        async with link.returning:
            if link.away is None:
                return
            for key, sender in link.alone.senders():

                def enter(seen: _Seen, key: str = key, account: str = sender.account) -> None:
                    link.alone.enter(
                        key, account, seen.row.usage, link.clock, seen.now, self._lease
                    )

                await self._change(
                    link, key, sender.account, sender.limits, link.clock, enter, "ended"
                )
                link.alone.entered(key)
            link.known.clear()
            link.away = None
            try:
                await self._ask(link, "", "", ())
            except BaseException:
                link.away = link.clock.monotonic()  # the lease may have been renewed
                raise

    async def _pay(self, link: RedisConnection) -> None:
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
                never_close(link)
            self._links.clear()

    def _link(self, clock: Clock | None = None) -> RedisConnection:
        self._check_process()
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = RedisConnection(self._settings)
        if clock is not None:
            link.clock = clock
        return link


def _gone(owner: str) -> bool:
    return False


def _number() -> int:
    """What the places of a new row are counted from, so that no number is given twice."""
    return random.getrandbits(50)


def _read_now(reply: ScriptReply, clock: Clock) -> CachedUsage:
    """What ``reply`` gave, to decide on."""
    if reply.found is None:
        raise LedgerError("Redis wrote what it was not asked to write")
    return CachedUsage(reply.found, reply.time, reply.since, reply.until, reply.until, clock)


def _bounds(known: CachedUsage, monotonic: float) -> tuple[float, float]:
    """The earliest that it may be at the server by this machine's clock, and how much later."""
    earliest = known.time + max(0.0, monotonic - known.until) / DRIFT
    latest = known.time + max(0.0, monotonic - known.since) * DRIFT
    return earliest, latest - earliest
