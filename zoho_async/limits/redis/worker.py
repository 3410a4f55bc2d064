"""One worker: the operations of one event loop on the usages in Redis.

`changes` writes them, `company` knows the other workers, and `renewal` keeps the lease.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.limits import usage as usages
from zoho_async.limits.ledger import PendingSettlement
from zoho_async.limits.models import Lane, Limits, Snapshot
from zoho_async.limits.redis import epoch as epochs
from zoho_async.limits.redis.company import APART
from zoho_async.limits.redis.connection import Unreachable
from zoho_async.limits.redis.offline import RETRY_EVERY
from zoho_async.limits.redis.renewal import LeaseRenewal
from zoho_async.limits.redis.rows import UsageView
from zoho_async.limits.usage import Denial, Ending

#: Reasons that may end for all workers at the same moment.
_TOGETHER: Final = ("minute", "bulk", "in_flight", "slow_start", "pace")


class RedisWorker(LeaseRenewal):
    """The worker of one event loop. ``server_time`` replaces the server's clock in tests."""

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

    def _share_lifetime(self, limits: Limits) -> float:
        return epochs.share_lifetime(limits, self._lease, self._settings.max_offline)


def may_wait(ending: Ending) -> bool:
    """Return whether ``ending`` may be written later.

    A refusal must stop other workers, and a call that was not sent has no reply to hold up.
    """
    return ending.how == "replied" and ending.refusal is None
