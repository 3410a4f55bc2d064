"""One worker: the operations of one event loop on the usages in Redis.

Each operation decides on both usages and writes the result (`zoho_async.limits.redis` says why this
is safe). An ending is not written at once, but with the worker's next admission at that key. A task
writes the endings that no admission took along, renews the lease while calls are open, and enters
what was sent offline.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
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
from zoho_async.limits.redis.script import REQUEST, ScriptReply, sha_of
from zoho_async.limits.usage import Denial, Ending

T = TypeVar("T")
#: What an operation writes with the pending endings if it is not denied.
_Writes: TypeAlias = Literal["nothing", "taken", "ended"]
#: Endings that are not written yet, with the clock by which they came.
_Endings: TypeAlias = Sequence[tuple[PendingSettlement, Clock]]

#: How long an ending waits for the next admission if half of the calls in flight are open, in
#: seconds. Longer than it takes to read a page.
SOON: Final = 0.25
#: How long other workers count as active at a key after their last change, in seconds.
COMPANY: Final = 20.0
#: The waiters of a key ask within so many seconds per worker that waits there, and at most 1 s.
APART: Final = 0.1
#: One in so many admissions leaves the places of its worker's endings to others that wait.
YIELDS: Final = 4
#: Reasons that may end for all workers at the same moment.
_TOGETHER: Final = ("minute", "bulk", "in_flight", "slow_start", "pace")


class RedisWorker:
    """The worker of one event loop. ``server_time`` replaces the server's clock in tests."""

    def __init__(self, settings: Settings, server_time: Callable[[], float] | None = None) -> None:
        self.connection: Final = RedisConnection(settings)
        self._reader: Final = UsageReader(self.connection)
        self._settings: Final = settings
        self._lease: Final = settings.lease
        self._server_time: Final = server_time
        self._due_at = 0.0
        self._hurry: Final = asyncio.Event()
        self.connection.subscriber.requested = self._requested
        self.connection.subscriber.stagger = lambda key: self._stagger(key, APART)

    async def take(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
        product: str = "",
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
            return usages.take(
                *seen.usages, lane, given, seen.now, seen.now, self.connection.name, product
            )

        self.connection.share_lifetime = max(
            self.connection.share_lifetime, self._share_lifetime(limits)
        )
        try:
            if self.connection.unreachable_since is not None:
                if self._settings.share is not None:
                    return await self._take_offline(key, account, lane, limits, clock, product)
                await self.reconnect()
            answer = await self._change(key, account, limits, clock, decide, "taken")
        except Unreachable:
            self.start_renewal()
            return Denial("ledger", RETRY_EVERY)
        if not isinstance(answer, Denial):
            # No other task ran since it was written, so none has given it back as unknown.
            self.connection.open_places[key].add(answer)
        self.start_renewal()
        if isinstance(answer, Denial):
            self.connection.subscriber.keep(key)  # so that asking again costs no script
            if answer.wait is None:
                self._ask_for_endings(key)
            if answer.wait is not None and answer.reason in _TOGETHER:
                answer = msgspec.structs.replace(
                    answer, wait=answer.wait + self._stagger(key, APART)
                )
        return answer

    async def _take_offline(
        self,
        key: str,
        account: str,
        lane: Lane,
        limits: Limits,
        clock: Clock,
        product: str,
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
            return connection.offline.take(key, account, lane, limits, clock, memories, product)

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
                self.connection.offline.forget(key)  # the ending enters this call
        pending = PendingSettlement(key, account, place, ending, limits, clock.monotonic())
        self.connection.pending.setdefault(key, []).append((pending, clock))
        try:
            if self.connection.unreachable_since is not None:
                return blocked_offline
            if may_wait(ending):
                self._write_first_quota(key, ending)
                return blocked_offline
            return await self._write_endings(key)
        except Unreachable:
            return blocked_offline
        finally:
            self._set_due(key)
            self.start_renewal()

    def _write_first_quota(self, key: str, ending: Ending) -> None:
        """Write the first figure of the daily quota at once: it must not miss calls of others."""
        if ending.quota is not None and key not in self.connection.quota_known:
            self.connection.quota_known.add(key)
            self.connection.run(self._write_first(key))

    async def _write_first(self, key: str) -> None:
        with suppress(Unreachable, LedgerError, ConfigurationError):
            await self._write_endings(key)

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
        await connection.finish()
        if connection.unreachable_since is None:
            with suppress(Unreachable):
                await self.write_pending()
        await connection.subscriber.close()
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
            if cached is not None:
                cached = self._update(key, account, cached)
            if cached is not None and (writes == "nothing" or cached.clock is not clock):
                cached = None
            fresh = cached is None
            while True:
                if cached is None:
                    cached = _read_now(await self._ask(key, account, ()), clock)
                seen, moved, account_moved = self._reader.read(key, account, cached, fresh, limits)
                endings = self._endings(key, account)
                answer, must_write = self._decide(seen, cached, endings, decide, writes)
                must_write = must_write or moved or account_moved
                busy = len(seen.row.usage.open) + len(seen.row.usage.abandoned)
                self.connection.company[key].in_flight = busy
                denied = isinstance(answer, Denial)
                certain = self._knows(key, cached, answer) if denied else self._is_usable(cached)
                if not fresh and not certain:
                    cached, fresh = None, True
                    continue
                if writes == "nothing" or (denied and not must_write):
                    self.connection.keep(key, cached)
                    return answer
                own = encode(seen.row)
                account_row = b""
                refused = any(each.ending.refusal is not None for each, _ in endings)
                if account != key and (account_moved or refused):
                    account_row = encode(seen.account_row)
                before = cached.found
                given = (
                    sha_of(before.own),
                    sha_of(before.account),
                    own,
                    account_row,
                    "1" if endings or writes != "taken" else "",
                    str(len(before.epoch.shares)),
                    "1" if clock.monotonic() >= cached.read + self._lease / 3 else "",
                )
                reply = await self._ask(key, account, given, before.epoch.id)
                # If the answer was lost, the library may have run the script twice.
                if reply.found is None or reply.found.own == own:
                    self._reader.remember(key, account, cached, reply, seen, own, account_row)
                    self._forget_endings(key, endings)
                    self._note_listeners(key, reply)
                    return answer
                cached, fresh = _read_now(reply, clock), True
                if reply.found.own != before.own:
                    self._note_company(key)
                    await asyncio.sleep(self._stagger(key))
                    newer = self._update(key, account, cached)
                    fresh = newer is cached
                    cached = newer

    def _decide(
        self,
        seen: UsageView,
        cached: CachedUsage,
        endings: _Endings,
        decide: Callable[[UsageView], T],
        writes: _Writes,
    ) -> tuple[T, bool]:
        """Note the pending endings and decide. Returns the answer, and whether to write a denial.

        If others wait for the places of these endings, every `YIELDS`-th admission leaves them to
        the others. Else a busy worker would keep all places in flight.
        """
        if writes == "taken" and endings and self._others_listen(endings[0][0].key):
            company = self.connection.company[endings[0][0].key]
            company.streak = (company.streak + 1) % YIELDS
            if not company.streak:
                answer = decide(seen)
                self._note_endings(seen, cached, endings)
                return answer, isinstance(answer, Denial)
        self._note_endings(seen, cached, endings)
        return decide(seen), False

    def _note_endings(self, seen: UsageView, cached: CachedUsage, endings: _Endings) -> None:
        """Note ``endings`` in ``seen``, at the time when they came."""
        for pending, clock in endings:
            late = clock.monotonic() - pending.came
            came_at = cached.latest(cached.clock.monotonic() - late)
            ending = msgspec.structs.replace(
                recovery.delay(pending.ending, late), unsure=max(0.0, came_at - (seen.now - late))
            )
            blocked_for = usages.settle(
                *seen.usages,
                pending.place,
                ending,
                pending.limits,
                seen.now,
                seen.now,
                self.connection.name,
            )
            seen.blocked_for = max(seen.blocked_for, blocked_for)

    def _endings(self, key: str, account: str) -> _Endings:
        pending = self.connection.pending.get(key, ())
        return [each for each in pending if each[0].account == account]

    def _forget_endings(self, key: str, written: _Endings) -> None:
        """Forget the endings that Redis has now."""
        if not written:
            return
        connection = self.connection
        places = connection.open_places[key]
        places.difference_update(pending.place for pending, _ in written)
        if not places:
            del connection.open_places[key]
        # Others may have come while the script ran.
        known = {id(each) for each in written}
        left = [each for each in connection.pending[key] if id(each) not in known]
        connection.due.pop(key, None)
        if left:
            connection.pending[key] = left
            self._set_due(key)
        else:
            del connection.pending[key]

    def _update(self, key: str, account: str, cached: CachedUsage) -> CachedUsage | None:
        """Return ``cached``, or the usage that was heard since, or None if that is not enough."""
        heard = self.connection.subscriber.heard(key)
        if heard is None:
            return cached
        message, came = heard
        found = cached.found
        if message.own == found.own:
            return msgspec.structs.replace(cached, known=max(cached.known, came))
        if message.time <= cached.changed:
            return cached
        self._note_company(key)
        if message.epoch != found.epoch.id or not message.alone:
            return None
        account_row = message.own if account == key else found.account
        found = msgspec.structs.replace(found, own=message.own, account=account_row, own_lost=None)
        return msgspec.structs.replace(
            cached, found=found, changed=message.time, known=came, together=False
        )

    def _knows(self, key: str, cached: CachedUsage, denial: object) -> bool:
        """Return whether no change since ``cached`` was missed, so that a denial is certain.

        If the end of the wait is not known, a subscription that broke unnoticed must not matter.
        """
        known = isinstance(denial, Denial) and denial.wait is not None
        recent = known or cached.clock.monotonic() < cached.known + self._lease / 3
        return recent and self.connection.subscriber.knows(key, cached.known)

    def _note_company(self, key: str) -> None:
        """Another worker changed ``key``: listen to it."""
        company = self.connection.company[key]
        company.until = asyncio.get_running_loop().time() + COMPANY
        self.connection.subscriber.keep(key)

    def _note_listeners(self, key: str, reply: ScriptReply) -> None:
        company = self.connection.company[key]
        company.listeners = reply.listeners - self.connection.subscriber.listens(key)
        if company.listeners > 0:
            self._note_company(key)

    def _has_company(self, key: str) -> bool:
        company = self.connection.company.get(key)
        return company is not None and asyncio.get_running_loop().time() < company.until

    def _others_listen(self, key: str) -> bool:
        return self._has_company(key) and self.connection.company[key].listeners > 0

    def _stagger(self, key: str, least: float = 0.0) -> float:
        """Return a random time to wait, so that few of the workers that wait ask in vain.

        On average, it is longer than the time of a script, or ``least``, for each of them.
        """
        if not self._has_company(key):
            return 0.0
        others = max(1, self.connection.company[key].listeners)
        apart = max(least, 4 * (self.connection.last_answered - self.connection.last_asked))
        return random.uniform(0.0, min(1.0, apart * others))

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

    def _is_usable(self, cached: CachedUsage) -> bool:
        """Return whether to write on ``cached``. Only reading shows which workers died."""
        shares = bool(cached.found.epoch.shares) or self._settings.share is not None
        newest = self._lease / 3 if shares else self._lease
        return cached.clock.monotonic() < cached.read + newest

    def _share_lifetime(self, limits: Limits) -> float:
        return epochs.share_lifetime(limits, self._lease, self._settings.max_offline)

    # -- while calls are open or Redis is unreachable ----------------------------------------------

    def start_renewal(self) -> None:
        """Start the task that renews the lease and writes pending endings, if needed."""
        renewal = self.connection.renewal
        if (renewal is None or renewal.done()) and self._needs_renewal():
            self.connection.renewal = asyncio.get_running_loop().create_task(
                self._renew(), name="zoho_async lease"
            )

    def _needs_renewal(self) -> bool:
        """Return whether to renew. A worker with a share always does, until it is closed."""
        if self.connection.closing:
            return False
        has_work = bool(self.connection.open_places or self.connection.pending)
        return has_work or self._settings.share is not None

    def _set_due(self, key: str) -> None:
        """Set when to write the pending endings of ``key`` if no admission takes them along."""
        connection = self.connection
        pending = connection.pending.get(key)
        if not pending:
            return
        most = pending[-1][0].limits.in_flight // 2
        few = len(pending) <= most and connection.company[key].in_flight <= most
        self._hasten(key, self._lease / 3 if few else min(SOON, self._lease / 3))

    def _hasten(self, key: str, delay: float) -> None:
        """Write the pending endings of ``key`` within ``delay`` seconds."""
        due = asyncio.get_running_loop().time() + delay
        self.connection.due[key] = due = min(due, self.connection.due.get(key, due))
        if due < self._due_at:
            self._hurry.set()

    def _ask_for_endings(self, key: str) -> None:
        """Have the other workers that listen to ``key`` write their endings."""
        company, now = self.connection.company[key], asyncio.get_running_loop().time()
        if self._has_company(key) and now >= company.asked + SOON:
            company.asked = now
            self.connection.run(self.connection.publish(key, REQUEST))

    def _requested(self, key: str) -> None:
        """Another worker waits for replies."""
        self._note_company(key)
        if key in self.connection.pending:
            self._hasten(key, self._stagger(key))

    def _renewal_wait(self) -> float:
        """Return the seconds until the lease must be renewed, by this worker's last script."""
        passed = self.connection.clock.monotonic() - self.connection.last_asked
        return max(0.0, self._lease / 3 - passed)

    async def _renew(self) -> None:
        connection = self.connection
        while self._needs_renewal():
            try:
                if connection.unreachable_since is not None:
                    await self.heartbeat()
                await self._write_when_due()
            except (Unreachable, LedgerError, ConfigurationError):
                await asyncio.sleep(min(RETRY_EVERY, self._lease / 3))

    async def _write_when_due(self) -> None:
        """Write pending endings when they are due, and renew the lease when no script did."""
        loop, connection = asyncio.get_running_loop(), self.connection
        while self._needs_renewal() and connection.unreachable_since is None:
            self._hurry.clear()
            self._due_at = min([loop.time() + self._renewal_wait(), *connection.due.values()])
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due_at):
                    await self._hurry.wait()
                continue
            due = [key for key, at in connection.due.items() if at <= loop.time()]
            if not due and not self._renewal_wait():
                due = list(connection.due)[:1]  # a script that renews the lease, too
                if not due:
                    await self._ask("", "", ())
            await self._write_due(due)

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
        """Write all endings that are not written yet. Raises `Unreachable`."""
        await self._write_due(list(self.connection.pending))

    async def _write_due(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.connection.due[key] = asyncio.get_running_loop().time() + RETRY_EVERY
            try:
                await asyncio.shield(self.connection.run(self._write_endings(key)))
            finally:
                if key not in self.connection.pending:
                    self.connection.due.pop(key, None)

    async def _write_endings(self, key: str) -> float:
        """Write the pending endings of ``key``. Returns for how long nothing may be sent."""
        blocked_for = 0.0
        while pending := self.connection.pending.get(key):
            last, clock = pending[0]
            written = await self._change(
                key, last.account, last.limits, clock, lambda seen: seen.blocked_for, "ended"
            )
            blocked_for = max(blocked_for, written)
        return blocked_for


def may_wait(ending: Ending) -> bool:
    """Return whether ``ending`` may be written later.

    A refusal must stop other workers, and a call that was not sent has no reply to hold up.
    """
    return ending.how == "replied" and ending.refusal is None


def _read_now(reply: ScriptReply, clock: Clock) -> CachedUsage:
    """Return the usage that ``reply`` contains."""
    if reply.found is None:
        raise LedgerError("Redis answered a read as if it were a write")
    return CachedUsage(
        reply.found,
        time=reply.time,
        changed=reply.time,
        since=reply.since,
        until=reply.until,
        read=reply.since,
        known=reply.since,
        together=True,
        clock=clock,
    )
