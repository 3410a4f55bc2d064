"""One worker: the operations of one event loop on the usages in Redis.

Each operation reads both usages, decides on them, and writes the result (`zoho_async.limits.redis`
says why this is safe). While calls are open or Redis is unreachable, a task renews the lease,
enters what was sent offline, and writes pending endings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.limits import recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.ledger import PendingSettlement
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.redis import epoch as epochs
from zoho_async.limits.redis.connection import CachedUsage, RedisConnection, Settings, Unreachable
from zoho_async.limits.redis.offline import RETRY_EVERY
from zoho_async.limits.redis.rows import UsageReader, UsageView, encode
from zoho_async.limits.redis.script import ScriptReply, sha_of
from zoho_async.limits.usage import Denial, Ending

T = TypeVar("T")
#: What an operation writes if it is not denied. A refusal also changes the account.
_Writes: TypeAlias = Literal["nothing", "taken", "ended", "refused"]

#: Largest uncertainty of an ending, as a part of the window. It lowers the rate by this part.
UNSURE: Final = 1 / 2000


class RedisWorker:
    """The worker of one event loop. ``server_time`` replaces the server's clock in tests."""

    def __init__(self, settings: Settings, server_time: Callable[[], float] | None = None) -> None:
        self.connection: Final = RedisConnection(settings)
        self._reader: Final = UsageReader(self.connection)
        self._settings: Final = settings
        self._lease: Final = settings.lease
        self._server_time: Final = server_time

    async def take(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        def decide(seen: UsageView) -> int | Denial:
            wait = seen.starts_in(limits, self._lease)
            if wait > 0:
                return Denial("ledger_new", wait)
            given = epochs.connected_limits(
                limits,
                seen.epoch,
                {*seen.alive, self.connection.name},
                seen.time,
                self._share_lifetime(limits),
            )
            if given is None:
                return Denial("ledger", RETRY_EVERY)
            return usages.take(*seen.usages, lane, given, seen.now, seen.now, self.connection.name)

        self.connection.share_lifetime = max(
            self.connection.share_lifetime, self._share_lifetime(limits)
        )
        try:
            if self.connection.unreachable_since is not None:
                if self._settings.share is not None:
                    return await self._take_offline(key, account, lane, limits, clock)
                await self.reconnect()
            answer = await self._change(key, account, limits, clock, decide, "taken")
        except Unreachable:
            self.start_renewal()
            return Denial("ledger", RETRY_EVERY)
        if not isinstance(answer, Denial):
            # No other task ran since it was written, so none has given it back as unknown.
            self.connection.open_places[key].add(answer)
        self.start_renewal()
        return answer

    async def _take_offline(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
    ) -> int | Denial:
        """Take a place of this worker's share, within the time that it may send offline.

        The renewal task checks whether Redis is back.
        """
        self.start_renewal()
        connection = self.connection
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
                self._reader.remembered(key),
                self._reader.remembered(account),
            )
            return connection.offline.take(key, account, lane, limits, clock, memories)

    async def settle(
        self,
        key: str,
        account: str,
        place: int,
        ending: Ending,
        limits: Limits,
        clock: Clock,
    ) -> float:
        blocked_offline = 0.0
        if place < 0:
            async with self.connection.reconnect_lock:
                blocked_offline = self.connection.offline.settle(
                    key, account, place, ending, limits, clock
                )
                if self.connection.unreachable_since is not None or ending.how == "unsent":
                    return blocked_offline
                self.connection.offline.forget(key)  # the change below enters this call

        def decide(seen: UsageView) -> float:
            timed = msgspec.structs.replace(ending, unsure=seen.unsure)
            return usages.settle(
                *seen.usages, place, timed, limits, seen.now, seen.now, self.connection.name
            )

        came = clock.monotonic()
        writes: _Writes = "ended" if ending.refusal is None else "refused"
        try:
            if self.connection.unreachable_since is not None:
                raise Unreachable
            blocked_for = await self._change(key, account, limits, clock, decide, writes)
        except Unreachable:
            pending = PendingSettlement(key, account, place, ending, limits, came)
            self.connection.pending.append((pending, clock))
            self.start_renewal()
            return blocked_offline
        self.connection.open_places[key].discard(place)
        if not self.connection.open_places[key]:
            del self.connection.open_places[key]
        return blocked_for

    async def snapshot(self, key: str, account: str, limits: Limits, clock: Clock) -> Snapshot:
        """Return the usage now. Raises `LedgerError` if Redis cannot be reached."""

        def view(seen: UsageView) -> Snapshot:
            snapshot = usages.to_snapshot(*seen.usages, limits, seen.now, seen.now)
            return msgspec.structs.replace(snapshot, starts_in=seen.starts_in(limits, self._lease))

        try:
            if self.connection.unreachable_since is not None:
                await self.reconnect()
            return await self._change(key, account, limits, clock, view, "nothing")
        except Unreachable as error:
            raise LedgerError(f"cannot read the limits in Redis: {error}") from None

    async def close(self) -> None:
        """Finish pending work, close the connection, and sign off if Redis knows all calls."""
        connection = self.connection
        if connection.unreachable_since is None and connection.pending:
            await self.write_pending()
        await connection.close()
        is_known = connection.unreachable_since is None and not connection.pending
        if connection.registered and is_known:
            await connection.sign_off()
        await connection.client.aclose()

    async def _change(
        self,
        key: str,
        account: str,
        limits: Limits,
        clock: Clock,
        decide: Callable[[UsageView], T],
        writes: _Writes,
    ) -> T:
        """Apply ``decide`` to both usages, write the result, and return the answer."""
        async with self.connection.lock(key):
            # Removed, so that it is not used again if something fails.
            cached = self.connection.cache.pop(key, None)
            if cached is not None and not self._is_usable(cached, clock, limits, writes):
                cached = None
            fresh = cached is None
            while True:
                if cached is None:
                    cached = _read_now(await self._ask(key, account, ()), clock)
                seen, moved, account_moved = self._reader.read(key, account, cached, fresh, limits)
                answer = decide(seen)
                denied = isinstance(answer, Denial)
                if denied and not fresh:
                    cached, fresh = None, True  # the usage may be old
                    continue
                if writes == "nothing" or (denied and not (moved or account_moved)):
                    return answer
                own = encode(seen.row)
                account_row = b""
                if account != key and (account_moved or writes == "refused"):
                    account_row = encode(seen.account_row)
                wake = "" if writes == "taken" else "1"
                before = cached.found
                given = (sha_of(before.own), sha_of(before.account), own, account_row, wake)
                reply = await self._ask(key, account, given, before.epoch.id)
                # If the answer was lost, the library may have run the script twice.
                if reply.found is None or reply.found.own == own:
                    self._reader.remember(key, account, cached, reply, seen, own, account_row)
                    return answer
                cached, fresh = _read_now(reply, clock), True

    async def _ask(
        self,
        key: str,
        account: str,
        given: tuple[str | bytes, ...],
        epoch: str | None = None,
    ) -> ScriptReply:
        held = None if self._server_time is None else self._server_time()
        return await self.connection.ask(
            key, account, given, self.connection.epoch if epoch is None else epoch, held
        )

    def _is_usable(
        self, cached: CachedUsage, clock: Clock, limits: Limits, writes: _Writes
    ) -> bool:
        """Return whether to decide on ``cached``. Only reading shows which workers died."""
        now = clock.monotonic()
        if cached.clock is not clock or now >= cached.read + self._lease / 3:
            return False
        if writes == "ended":
            return cached.bounds(now)[1] <= limits.window * UNSURE
        return writes == "taken"

    def _share_lifetime(self, limits: Limits) -> float:
        return epochs.share_lifetime(limits, self._lease, self._settings.max_offline)

    # -- while calls are open or Redis is unreachable----------------------------------------------

    def start_renewal(self) -> None:
        """Start the task that renews the lease and writes pending endings, if needed."""
        renewal = self.connection.renewal
        if (renewal is None or renewal.done()) and self._needs_renewal():
            self.connection.renewal = asyncio.get_running_loop().create_task(
                self._renew(), name="zoho_async lease"
            )

    def _needs_renewal(self) -> bool:
        """Return whether to renew. A worker with a share always does."""
        has_work = bool(self.connection.open_places or self.connection.pending)
        return has_work or self._settings.share is not None

    async def _renew(self) -> None:
        while self._needs_renewal():
            await asyncio.sleep(min(RETRY_EVERY, self._lease / 3))
            with suppress(Unreachable, LedgerError, ConfigurationError):
                await self.heartbeat()

    async def heartbeat(self) -> None:
        """Renew the lease or check whether Redis is back, and write pending endings."""
        if self.connection.unreachable_since is not None:
            await self.reconnect()
        else:
            await self._ask("", "", ())
        await self.write_pending()

    async def reconnect(self) -> None:
        """Enter all offline calls into a Redis that is back. Raises `Unreachable`.

        Only the last script renews the lease. Until then the others do not use this worker's share.
        """
        await self.connection.ping()
        async with self.connection.reconnect_lock:
            if self.connection.unreachable_since is None:
                return
            for key, sender in self.connection.offline.senders():

                def enter(seen: UsageView, key: str = key, account: str = sender.account) -> None:
                    self.connection.offline.enter(
                        key, account, seen.row.usage, self.connection.clock, seen.now, self._lease
                    )

                await self._change(
                    key, sender.account, sender.limits, self.connection.clock, enter, "ended"
                )
                self.connection.offline.forget(key)
            self.connection.cache.clear()
            self.connection.unreachable_since = None
            try:
                await self._ask("", "", ())
            except BaseException:
                # The lease may have been renewed.
                self.connection.unreachable_since = self.connection.clock.monotonic()
                raise

    async def write_pending(self) -> None:
        """Write the endings that could not be written when they came."""
        for _ in range(len(self.connection.pending)):
            pending, clock = self.connection.pending.pop(0)
            late = clock.monotonic() - pending.came
            ending = recovery.delay(pending.ending, late)
            key, account, limits = pending.key, pending.account, pending.limits
            settling = self.settle(key, account, pending.place, ending, limits, clock)
            await asyncio.shield(self.connection.run(settling))


def _read_now(reply: ScriptReply, clock: Clock) -> CachedUsage:
    """Return the usage that ``reply`` contains."""
    if reply.found is None:
        raise LedgerError("Redis answered a read as if it were a write")
    return CachedUsage(reply.found, reply.time, reply.since, reply.until, reply.until, clock)
