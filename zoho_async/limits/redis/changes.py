"""Changes of a usage in Redis by compare and set.

Each operation decides on both usages and writes the result (`zoho_async.limits.redis` says why this
is safe). An ending is not written at once, but with the worker's next admission at that key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from zoho_async.clock import Clock
from zoho_async.errors import LedgerError
from zoho_async.limits import recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.ledger import PendingSettlement
from zoho_async.limits.models import Limits
from zoho_async.limits.redis.company import KeyCompany
from zoho_async.limits.redis.connection import CachedUsage, Settings
from zoho_async.limits.redis.rows import UsageReader, UsageView, encode
from zoho_async.limits.redis.script import ScriptReply, sha_of
from zoho_async.limits.usage import Denial

T = TypeVar("T")
#: What an operation writes with the pending endings if it is not denied.
_Writes: TypeAlias = Literal["nothing", "taken", "ended"]
#: Endings that are not written yet, with the clock by which they came.
_Endings: TypeAlias = Sequence[tuple[PendingSettlement, Clock]]

#: One in so many admissions leaves the places of its worker's endings to others that wait.
YIELDS: Final = 4


class UsageChanges(KeyCompany):
    """Decides and writes. ``server_time`` replaces the server's clock in tests."""

    def __init__(self, settings: Settings, server_time: Callable[[], float] | None = None) -> None:
        super().__init__(settings)
        self._reader: Final = UsageReader(self.connection)
        self._server_time: Final = server_time

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
        the others. Else a busy worker would keep all places in flight. A worker that keeps to its
        part of them need not: if all do, each of the others finds a place.
        """
        if writes == "taken" and endings and self._has_more_than_its_part(seen, endings):
            company = self.connection.company[endings[0][0].key]
            company.streak = (company.streak + 1) % YIELDS
            if not company.streak:
                answer = decide(seen)
                self._note_endings(seen, cached, endings)
                return answer, isinstance(answer, Denial)
        self._note_endings(seen, cached, endings)
        return decide(seen), False

    def _has_more_than_its_part(self, seen: UsageView, endings: _Endings) -> bool:
        """Return whether others listen, and one more call in flight is more than its part."""
        pending, usage = endings[0][0], seen.row.usage
        if not self._others_listen(pending.key):
            return False
        workers = 1 + self.connection.company[pending.key].listeners
        places = usage.concurrency.at(seen.now, pending.limits.in_flight) - len(usage.abandoned)
        own = sum(call.owner == self.connection.name for call in usage.open.values())
        return (own - len(endings) + 1) * workers > places

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

    def _is_usable(self, cached: CachedUsage) -> bool:
        """Return whether to write on ``cached``. Only reading shows which workers died."""
        shares = bool(cached.found.epoch.shares) or self._settings.share is not None
        newest = self._lease / 3 if shares else self._lease
        return cached.clock.monotonic() < cached.read + newest

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
