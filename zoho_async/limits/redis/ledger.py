"""The ledger in Redis: each operation reads usage, decides on it, and writes the result."""

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
from zoho_async.limits import usage as usages
from zoho_async.limits.block import NEVER
from zoho_async.limits.ledger import ImmediateLedger, PendingSettlement
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.redis import epoch as epochs
from zoho_async.limits.redis.connection import (
    CachedUsage,
    Memory,
    RedisConnection,
    Settings,
    Unreachable,
)
from zoho_async.limits.redis.epoch import Epoch
from zoho_async.limits.redis.offline import RETRY_EVERY
from zoho_async.limits.redis.script import EPOCH, INITIALIZE, ScriptReply, sha_of, usage_key
from zoho_async.limits.usage import DRIFT, Denial, Ending, Usage

T = TypeVar("T")
#: What an operation writes if it is not denied. A refusal also changes the account.
_Writes: TypeAlias = Literal["nothing", "taken", "ended", "refused"]

#: How long the name of a worker is valid, in seconds.
LEASE: Final = 15.0
#: How long a worker may send its share without Redis, in seconds.
MAX_OFFLINE: Final = 600.0
#: If the server's clock is further back than this, in seconds, it was set back.
SET_BACK: Final = 60.0
#: Largest uncertainty of an ending, as a part of the window. It lowers the rate by this part.
UNSURE: Final = 1 / 2000


class _Row(msgspec.Struct, array_like=True):
    """The row of one key: its usage, and the server's time when it was written.

    ``epoch`` is the one in which it was written. ``born`` identifies the row among earlier rows of
    the key. ``lost`` is when an earlier row was written that is missing. ``base`` is the part of
    the day's hours that was counted in earlier rows.
    """

    now: float
    usage: Usage
    epoch: str = ""
    born: int = 0
    lost: float = NEVER
    base: dict[int, int] = {}


class _View(msgspec.Struct):
    """The input of a decision: both usages at ``now``, which may be early by ``unsure``.

    ``time`` is the server's. It is before ``now`` if its clock was set back.
    """

    row: _Row
    account_row: _Row
    epoch: Epoch
    alive: frozenset[str]
    time: float
    now: float
    unsure: float

    @property
    def usages(self) -> tuple[Usage, Usage]:
        return self.row.usage, self.account_row.usage

    def starts_in(self, limits: Limits, lease: float) -> float:
        """Return the seconds without a place, because Redis may have lost calls."""
        since = max(self.epoch.birth, self.row.lost, self.account_row.lost)
        return max(0.0, since + epochs.startup_wait(limits, lease) - self.time)


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
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(_Row)
        self._connections: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, RedisConnection]] = (
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
        connection = self._connection()
        durable = "1" if self._settings.durable else ""
        try:
            await connection.check()
            await connection.execute("EVAL", INITIALIZE, 1, EPOCH, durable, uuid.uuid4().hex)
        except Unreachable as error:
            raise LedgerError(f"cannot initialize the Redis ledger: {error}") from None
        connection.cache.clear()

    async def take(
        self, key: str, account: str, lane: Lane, limits: Limits, clock: Clock
    ) -> int | Denial:
        connection = self._connection(clock)
        taking = connection.run(self._take(connection, key, account, lane, limits, clock))

        def give_back(taken: asyncio.Task[int | Denial]) -> None:
            if not taken.cancelled() and taken.exception() is None:
                place = taken.result()
                if not isinstance(place, Denial):
                    connection.run(
                        self._settle(
                            connection, key, account, place, Ending("unsent"), limits, clock
                        )
                    )

        try:
            return await asyncio.shield(taking)
        except BaseException:
            taking.add_done_callback(give_back)
            raise

    async def settle(
        self, key: str, account: str, place: int, ending: Ending, limits: Limits, clock: Clock
    ) -> float:
        connection = self._connection(clock)
        return await asyncio.shield(
            connection.run(self._settle(connection, key, account, place, ending, limits, clock))
        )

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        connection = self._connection(clock)

        def view(seen: _View) -> Snapshot:
            snapshot = usages.to_snapshot(*seen.usages, limits, seen.now, seen.now)
            return msgspec.structs.replace(snapshot, starts_in=seen.starts_in(limits, self._lease))

        try:
            if connection.unreachable_since is not None:
                await self._reconnect(connection)
            return await self._change(connection, key, account, limits, clock, view, "nothing")
        except Unreachable as error:
            raise LedgerError(f"cannot read the limits in Redis: {error}") from None

    def watch(self, key: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._connection().subscriber.add(key, wake)

    async def close(self) -> None:
        """Finish pending work and close this loop's connections. The next call opens new ones.

        Signs off this worker's share, if Redis knows all its calls.
        """
        self._check_process()
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is None:
            return
        if connection.unreachable_since is None and connection.pending:
            await self._write_pending(connection)
        await connection.close()
        if (
            connection.registered
            and connection.unreachable_since is None
            and not connection.pending
        ):
            await connection.sign_off()
        await connection.client.aclose()

    # -- one operation ----------------------------------------------------------------------------

    async def _take(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        def decide(seen: _View) -> int | Denial:
            wait = seen.starts_in(limits, self._lease)
            if wait > 0:
                return Denial("ledger_new", wait)
            given = epochs.connected_limits(
                limits,
                seen.epoch,
                {*seen.alive, connection.name},
                seen.time,
                self._share_lifetime(limits),
            )
            if given is None:
                return Denial("ledger", RETRY_EVERY)
            return usages.take(*seen.usages, lane, given, seen.now, seen.now, connection.name)

        connection.share_lifetime = max(connection.share_lifetime, self._share_lifetime(limits))
        try:
            if connection.unreachable_since is not None:
                if self._settings.share is not None:
                    return await self._take_offline(connection, key, account, lane, limits, clock)
                await self._reconnect(connection)
            answer = await self._change(connection, key, account, limits, clock, decide, "taken")
        except Unreachable:
            self._start_renewal(connection)
            return Denial("ledger", RETRY_EVERY)
        if not isinstance(answer, Denial):
            # No other task ran since it was written, so none has given it back as unknown.
            connection.open_places[key].add(answer)
        self._start_renewal(connection)
        return answer

    async def _take_offline(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        """Take a place of this worker's share, within the time that it may send offline.

        The renewal task checks whether Redis is back.
        """
        self._start_renewal(connection)
        async with connection.reconnect_lock:
            now = clock.monotonic()
            offline_wait = epochs.offline_wait(limits, self._lease)
            begins = (
                max(connection.unreachable_since or now, connection.last_answered) + offline_wait
            )
            ends = connection.last_asked + offline_wait + self._settings.max_offline
            kept = (
                connection.registered and self._share_lifetime(limits) <= connection.share_lifetime
            )
            if connection.unreachable_since is None or not kept or not begins <= now <= ends:
                return Denial("ledger", min(abs(begins - now) + 0.01, RETRY_EVERY))
            memories = (
                self._remembered(connection, key, now),
                self._remembered(connection, account, now),
            )
            return connection.offline.take(key, account, lane, limits, clock, memories)

    async def _settle(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        place: int,
        ending: Ending,
        limits: Limits,
        clock: Clock,
    ) -> float:
        blocked_offline = 0.0
        if place < 0:
            async with connection.reconnect_lock:
                blocked_offline = connection.offline.settle(
                    key, account, place, ending, limits, clock
                )
                if connection.unreachable_since is not None or ending.how == "unsent":
                    return blocked_offline
                connection.offline.forget(key)  # the change below enters this call

        def decide(seen: _View) -> float:
            timed = msgspec.structs.replace(ending, unsure=seen.unsure)
            return usages.settle(
                *seen.usages, place, timed, limits, seen.now, seen.now, connection.name
            )

        came = clock.monotonic()
        writes: _Writes = "ended" if ending.refusal is None else "refused"
        try:
            if connection.unreachable_since is not None:
                raise Unreachable
            blocked_for = await self._change(
                connection, key, account, limits, clock, decide, writes
            )
        except Unreachable:
            pending = PendingSettlement(key, account, place, ending, limits, came)
            connection.pending.append((pending, clock))
            self._start_renewal(connection)
            return blocked_offline
        connection.open_places[key].discard(place)
        if not connection.open_places[key]:
            del connection.open_places[key]
        return blocked_for

    async def _change(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        limits: Limits,
        clock: Clock,
        decide: Callable[[_View], T],
        writes: _Writes,
    ) -> T:
        """Apply ``decide`` to both usages, write the result, and return the answer."""
        async with connection.lock(key):
            # Removed, so that it is not used again if something fails.
            cached = connection.cache.pop(key, None)
            if cached is not None and not self._is_usable(cached, clock, limits, writes):
                cached = None
            fresh = cached is None
            while True:
                if cached is None:
                    cached = _read_now(await self._ask(connection, key, account, ()), clock)
                seen, moved, account_moved = self._decode(
                    connection, key, account, cached, fresh, limits
                )
                answer = decide(seen)
                denied = isinstance(answer, Denial)
                if denied and not fresh:
                    cached, fresh = None, True  # the usage may be old
                    continue
                if writes == "nothing" or (denied and not (moved or account_moved)):
                    return answer
                own = self._encoder.encode(seen.row)
                account_row = b""
                if account != key and (account_moved or writes == "refused"):
                    account_row = self._encoder.encode(seen.account_row)
                wake = "" if writes == "taken" else "1"
                before = cached.found
                given = (sha_of(before.own), sha_of(before.account), own, account_row, wake)
                reply = await self._ask(connection, key, account, given, before.epoch.id)
                # If the answer was lost, the library may have run the script twice.
                if reply.found is None or reply.found.own == own:
                    self._remember(connection, key, account, cached, reply, seen, own, account_row)
                    return answer
                cached, fresh = _read_now(reply, clock), True

    async def _ask(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        given: tuple[str | bytes, ...],
        epoch: str | None = None,
    ) -> ScriptReply:
        held = None if self._time is None else self._time()
        return await connection.ask(
            key, account, given, connection.epoch if epoch is None else epoch, held
        )

    def _is_usable(
        self, cached: CachedUsage, clock: Clock, limits: Limits, writes: _Writes
    ) -> bool:
        """Return whether to decide on ``cached``. Only reading shows which workers died."""
        now = clock.monotonic()
        if cached.clock is not clock or now >= cached.read + self._lease / 3:
            return False
        if writes == "ended":
            return _bounds(cached, now)[1] <= limits.window * UNSURE
        return writes == "taken"

    def _remember(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        cached: CachedUsage,
        reply: ScriptReply,
        seen: _View,
        own: bytes,
        account_row: bytes,
    ) -> None:
        """Keep what was written, for the next decision and if the server loses it."""
        found = msgspec.structs.replace(
            cached.found,
            own=own,
            account=own if account == key else account_row or cached.found.account,
            own_lost=None,
            account_lost=None if account_row or account == key else cached.found.account_lost,
        )
        connection.cache[key] = CachedUsage(
            found, reply.time, reply.since, reply.until, cached.read, cached.clock
        )
        connection.remember(key, Memory(own, seen.row.born, reply.time, reply.until))
        if account != key and found.account:
            connection.remember(
                account, Memory(found.account, seen.account_row.born, reply.time, reply.until)
            )

    # -- rows -------------------------------------------------------------------------------------

    def _decode(
        self,
        connection: RedisConnection,
        key: str,
        account: str,
        cached: CachedUsage,
        fresh: bool,
        limits: Limits,
    ) -> tuple[_View, bool, bool]:
        """Return both usages as of now, and for each whether it must be written in any case."""
        found = cached.found
        now, unsure = (cached.time, 0.0) if fresh else _bounds(cached, cached.clock.monotonic())
        row, moved = self._read(
            connection, key, found.own, found.own_lost, found.epoch, now, cached, limits
        )
        account_row, account_moved = row, False
        if account != key:
            account_row, account_moved = self._read(
                connection,
                account,
                found.account,
                found.account_lost,
                found.epoch,
                now,
                cached,
                limits,
            )
            row.now = account_row.now = max(row.now, account_row.now)
        if fresh:
            moved |= self._abandon_lost_calls(
                connection, key, row, {*found.alive, connection.name}, limits
            )
        return (
            _View(row, account_row, found.epoch, found.alive, now, row.now, unsure),
            moved,
            account_moved,
        )

    def _read(
        self,
        connection: RedisConnection,
        key: str,
        packed: bytes,
        lost: float | None,
        epoch: Epoch,
        now: float,
        cached: CachedUsage,
        limits: Limits,
    ) -> tuple[_Row, bool]:
        """Return the usage in Redis, brought to ``now``, and whether it was changed otherwise."""
        row, changed = self._row(key, packed, lost, epoch, now), False
        set_back = now < row.now - SET_BACK
        if set_back:
            usages.shift_clock(row.usage, now - row.now)
            row.now = now
        row.now = max(row.now, now)
        if packed and row.epoch != epoch.id:
            self._migrate(row, epoch, now, limits)
            changed = True
        memory = connection.memories.get(key)
        if memory is not None and memory.born != row.born:
            self._restore(connection, key, row, memory, cached)
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
                f"cannot read the limits in the Redis key {usage_key(key)} ({error}); stop all "
                "calls for two minutes, then delete the key"
            ) from None

    def _migrate(self, row: _Row, epoch: Epoch, now: float, limits: Limits) -> None:
        """Move a row of an earlier epoch into this one, by the clock of this epoch's server.

        Changes after the row was written are missing. Open calls are not known; live workers enter
        theirs again.
        """
        if now < row.now:
            usages.shift_clock(row.usage, now - row.now)
            row.now = now
        usages.expire_dead_owners(row.usage, _none_alive, limits, row.now)
        row.usage.serial = row.born = _number()
        row.epoch, row.base = epoch.id, dict(row.usage.day.hours)

    def _restore(
        self, connection: RedisConnection, key: str, row: _Row, memory: Memory, cached: CachedUsage
    ) -> None:
        """Enter this worker's memory of a usage that was lost or set back."""
        passed = max(0.0, cached.clock.monotonic() - memory.until) / DRIFT
        usage = self._decoder.decode(memory.packed).usage
        epochs.restore(row.usage, row.base, usage, row.now - memory.time - passed, row.now)
        for place in connection.open_places.get(key, ()):
            row.usage.open.setdefault(place, usages.LoggedCall(row.now, connection.name))

    def _remembered(self, connection: RedisConnection, key: str, now: float) -> Usage | None:
        """Return this worker's memory of a usage, by its own clock."""
        memory = connection.memories.get(key)
        if memory is None:
            return None
        usage = self._decoder.decode(memory.packed).usage
        usages.shift_clock(usage, memory.until - memory.time)
        return usage

    def _abandon_lost_calls(
        self, connection: RedisConnection, key: str, row: _Row, alive: set[str], limits: Limits
    ) -> bool:
        """Give back unknown places, and abandon those of dead workers.

        Returns whether there were any. Then the row must be written, because the result depends on
        the time.
        """
        usage, open_places = row.usage, connection.open_places.get(key, ())
        unknown = [
            number
            for number, pending in usage.open.items()
            if pending.owner == connection.name and number not in open_places
        ]
        for place in unknown:
            ending = Ending("unsent")
            usages.settle(usage, usage, place, ending, limits, row.now, row.now, connection.name)
        return usages.expire_dead_owners(usage, alive.__contains__, limits, row.now) or bool(
            unknown
        )

    def _share_lifetime(self, limits: Limits) -> float:
        return epochs.share_lifetime(limits, self._lease, self._settings.max_offline)

    # -- while calls are open or Redis is unreachable----------------------------------------------

    def _start_renewal(self, connection: RedisConnection) -> None:
        """Start the task that renews the lease and writes pending endings, if needed."""
        if (connection.renewal is None or connection.renewal.done()) and self._needs_renewal(
            connection
        ):
            connection.renewal = asyncio.get_running_loop().create_task(
                self._renew(connection), name="zoho_async lease"
            )

    def _needs_renewal(self, connection: RedisConnection) -> bool:
        """Return whether to renew. A worker with a share always does."""
        return bool(
            connection.open_places or connection.pending or self._settings.share is not None
        )

    async def _renew(self, connection: RedisConnection) -> None:
        while self._needs_renewal(connection):
            await asyncio.sleep(min(RETRY_EVERY, self._lease / 3))
            with suppress(Unreachable, LedgerError, ConfigurationError):
                await self._heartbeat(connection)

    async def _heartbeat(self, connection: RedisConnection) -> None:
        """Renew the lease or check whether Redis is back, and write pending endings."""
        if connection.unreachable_since is not None:
            await self._reconnect(connection)
        else:
            await self._ask(connection, "", "", ())
        await self._write_pending(connection)

    async def _reconnect(self, connection: RedisConnection) -> None:
        """Enter all offline calls into a Redis that is back. Raises `Unreachable`.

        Only the last script renews the lease. Until then the others do not use this worker's share.
        """
        await connection.ping()
        async with connection.reconnect_lock:
            if connection.unreachable_since is None:
                return
            for key, sender in connection.offline.senders():

                def enter(seen: _View, key: str = key, account: str = sender.account) -> None:
                    connection.offline.enter(
                        key, account, seen.row.usage, connection.clock, seen.now, self._lease
                    )

                await self._change(
                    connection, key, sender.account, sender.limits, connection.clock, enter, "ended"
                )
                connection.offline.forget(key)
            connection.cache.clear()
            connection.unreachable_since = None
            try:
                await self._ask(connection, "", "", ())
            except BaseException:
                # The lease may have been renewed.
                connection.unreachable_since = connection.clock.monotonic()
                raise

    async def _write_pending(self, connection: RedisConnection) -> None:
        """Write the endings that could not be written when they came."""
        for _ in range(len(connection.pending)):
            pending, clock = connection.pending.pop(0)
            late = clock.monotonic() - pending.came
            quota = pending.ending.quota
            if quota is not None and quota.reset is not None:
                quota = msgspec.structs.replace(quota, reset=max(0.0, quota.reset - late))
            ending = msgspec.structs.replace(
                pending.ending, since_sent=pending.ending.since_sent + late, quota=quota
            )
            key, account, limits = pending.key, pending.account, pending.limits
            settling = self._settle(connection, key, account, pending.place, ending, limits, clock)
            await asyncio.shield(connection.run(settling))

    def _check_process(self) -> None:
        """Forget the parent's connections and its name in a forked process."""
        if self._process.changed():
            for connection in self._connections.values():
                never_close(connection)
            self._connections.clear()

    def _connection(self, clock: Clock | None = None) -> RedisConnection:
        self._check_process()
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            connection = self._connections[loop] = RedisConnection(self._settings)
        if clock is not None:
            connection.clock = clock
        return connection


def _none_alive(owner: str) -> bool:
    return False


def _number() -> int:
    """Return a random start for the numbers of places, so that none is given twice."""
    return random.getrandbits(50)


def _read_now(reply: ScriptReply, clock: Clock) -> CachedUsage:
    """Return the usage that ``reply`` contains."""
    if reply.found is None:
        raise LedgerError("Redis answered a read as if it were a write")
    return CachedUsage(reply.found, reply.time, reply.since, reply.until, reply.until, clock)


def _bounds(cached: CachedUsage, monotonic: float) -> tuple[float, float]:
    """Return the earliest possible time at the server, and how much later it may be."""
    earliest = cached.time + max(0.0, monotonic - cached.until) / DRIFT
    latest = cached.time + max(0.0, monotonic - cached.since) * DRIFT
    return earliest, latest - earliest
