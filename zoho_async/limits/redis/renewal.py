"""What a worker does while it has open calls or cannot reach Redis.

A task writes the endings that no admission took along, renews the lease while calls are open, and
enters what was sent offline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.limits.redis.changes import UsageChanges
from zoho_async.limits.redis.connection import Unreachable
from zoho_async.limits.redis.offline import RETRY_EVERY
from zoho_async.limits.redis.rows import UsageView


class LeaseRenewal(UsageChanges):
    """The task of one worker that renews its lease."""

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
