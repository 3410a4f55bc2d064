"""The usages in Redis as rows, and what a worker does to a row before it decides on it.

A row that was written is decoded, and brought to the server's time. A row that is missing, or of an
earlier epoch, gets what this worker remembers of it. Calls of dead workers are abandoned.
"""

from __future__ import annotations

import random
from typing import Final

import msgspec

from zoho_async.errors import LedgerError
from zoho_async.limits import recovery
from zoho_async.limits import usage as usages
from zoho_async.limits.block import NEVER
from zoho_async.limits.models import Limits
from zoho_async.limits.redis import epoch as epochs
from zoho_async.limits.redis.connection import CachedUsage, Memory, RedisConnection
from zoho_async.limits.redis.epoch import Epoch
from zoho_async.limits.redis.script import ScriptReply, ScriptResult, usage_key
from zoho_async.limits.usage import DRIFT, Ending, Usage

#: If the server's clock is further back than this, in seconds, it was set back.
SET_BACK: Final = 60.0


class UsageRow(msgspec.Struct, array_like=True):
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


class UsageView(msgspec.Struct):
    """The input of a decision: both usages at ``now``.

    ``time`` is the server's. It is before ``now`` if its clock was set back. ``blocked_for``: what
    the endings that were noted in it returned.
    """

    row: UsageRow
    account_row: UsageRow
    epoch: Epoch
    alive: frozenset[str]
    time: float
    now: float
    blocked_for: float = 0.0

    @property
    def usages(self) -> tuple[Usage, Usage]:
        return self.row.usage, self.account_row.usage

    def starts_in(self, limits: Limits, lease: float) -> float:
        """Return the seconds without a place, because Redis may have lost calls."""
        since = max(self.epoch.birth, self.row.lost, self.account_row.lost)
        return max(0.0, since + epochs.startup_wait(limits, lease) - self.time)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(UsageRow)


class UsageReader:
    """Reads rows, with what one worker knows of them."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection: Final = connection

    def read(
        self,
        key: str,
        account: str,
        cached: CachedUsage,
        fresh: bool,
        limits: Limits,
    ) -> tuple[UsageView, bool, bool]:
        """Return both usages as of now, and for each whether it must be written in any case."""
        found = cached.found
        now = cached.earliest(cached.clock.monotonic())
        row, moved = self._read_row(
            key, found.own, found.own_lost, found.epoch, now, cached, limits
        )
        account_row, account_moved = row, False
        if account != key:
            account_row, account_moved = self._read_row(
                account,
                found.account,
                found.account_lost,
                found.epoch,
                now,
                cached,
                limits,
            )
            row.now = account_row.now = max(row.now, account_row.now)
        if fresh or cached.together:
            moved |= self._abandon_lost_calls(
                key, row, {*found.alive, self._connection.name}, limits
            )
        return (
            UsageView(row, account_row, found.epoch, found.alive, now, row.now),
            moved,
            account_moved,
        )

    def _read_row(
        self,
        key: str,
        packed: bytes,
        lost: float | None,
        epoch: Epoch,
        now: float,
        cached: CachedUsage,
        limits: Limits,
    ) -> tuple[UsageRow, bool]:
        """Return the usage in Redis, brought to ``now``, and whether it was changed otherwise."""
        row, changed = self._row(key, packed, lost, epoch, now), False
        set_back = now < row.now - SET_BACK
        if set_back:
            recovery.shift_clock(row.usage, now - row.now)
            row.now = now
        row.now = max(row.now, now)
        if packed and row.epoch != epoch.id:
            self._migrate(row, epoch, now, limits)
            changed = True
        memory = self._connection.memories.get(key)
        if memory is not None and memory.born != row.born:
            self._restore(key, row, memory, cached)
            changed = True
        return row, changed or set_back

    def _row(
        self, key: str, packed: bytes, lost: float | None, epoch: Epoch, now: float
    ) -> UsageRow:
        if not packed:
            number = _number()
            missing = NEVER if lost is None else lost
            return UsageRow(now, Usage(serial=number), epoch.id, number, missing)
        try:
            return _DECODER.decode(packed)
        except msgspec.MsgspecError as error:
            raise LedgerError(
                f"cannot read the limits in the Redis key {usage_key(key)} ({error}); stop all "
                "calls for two minutes, then delete the key"
            ) from None

    def _migrate(self, row: UsageRow, epoch: Epoch, now: float, limits: Limits) -> None:
        """Move a row of an earlier epoch into this one, by the clock of this epoch's server.

        Changes after the row was written are missing. Open calls are not known; live workers enter
        theirs again.
        """
        if now < row.now:
            recovery.shift_clock(row.usage, now - row.now)
            row.now = now
        recovery.expire_dead_owners(row.usage, _none_alive, limits, row.now)
        if row.usage.others is not None:
            row.usage.others.begin_again()
        row.usage.serial = row.born = _number()
        row.epoch, row.base = epoch.id, dict(row.usage.day.hours)

    def _restore(self, key: str, row: UsageRow, memory: Memory, cached: CachedUsage) -> None:
        """Enter this worker's memory of a usage that was lost or set back."""
        passed = max(0.0, cached.clock.monotonic() - memory.until) / DRIFT
        usage = _DECODER.decode(memory.packed).usage
        epochs.restore(row.usage, row.base, usage, row.now - memory.time - passed, row.now)
        recovery.carry_others(row.usage, usage)
        # The counter of these calls is not that of calls admitted now, so it is no certain reading.
        row.usage.unsure_until = max(row.usage.unsure_until, row.now)
        call = usages.LoggedCall(row.now, self._connection.name, row.usage.replied)
        for place in self._connection.open_places.get(key, ()):
            row.usage.open.setdefault(place, call)

    def remembered(self, key: str) -> Usage | None:
        """Return this worker's memory of a usage, by its own clock."""
        memory = self._connection.memories.get(key)
        if memory is None:
            return None
        usage = _DECODER.decode(memory.packed).usage
        recovery.shift_clock(usage, memory.until - memory.time)
        return usage

    def _abandon_lost_calls(self, key: str, row: UsageRow, alive: set[str], limits: Limits) -> bool:
        """Give back unknown places, and abandon those of dead workers.

        Returns whether there were any. Then the row must be written, because the result depends on
        the time.
        """
        usage, name = row.usage, self._connection.name
        open_places = self._connection.open_places.get(key, ())
        unknown = [
            number
            for number, pending in usage.open.items()
            if pending.owner == name and number not in open_places
        ]
        for place in unknown:
            ending = Ending("unsent")
            usages.settle(
                usage, usage, place, ending, limits, row.now, row.now, self._connection.name
            )
        return recovery.expire_dead_owners(usage, alive.__contains__, limits, row.now) or bool(
            unknown
        )

    def remember(
        self,
        key: str,
        account: str,
        cached: CachedUsage,
        reply: ScriptReply,
        seen: UsageView,
        own: bytes,
        account_row: bytes,
    ) -> None:
        """Keep what was written, for the next decision and if the server loses it."""
        alive, shares = reply.live or (cached.found.alive, cached.found.epoch.shares)
        found = ScriptResult(
            own,
            own if account == key else account_row or cached.found.account,
            alive,
            msgspec.structs.replace(cached.found.epoch, shares=shares),
            None,
            None if account_row or account == key else cached.found.account_lost,
        )
        written = CachedUsage(
            found,
            time=reply.time,
            changed=reply.time,
            since=reply.since,
            until=reply.until,
            read=cached.read if reply.live is None else reply.since,
            known=reply.since,
            together=reply.live is not None,
            clock=cached.clock,
        )
        self._connection.keep(key, written)
        self._connection.remember(key, Memory(own, seen.row.born, reply.time, reply.until))
        if account != key and found.account:
            self._connection.remember(
                account, Memory(found.account, seen.account_row.born, reply.time, reply.until)
            )


def encode(row: UsageRow) -> bytes:
    """Return what Redis keeps of ``row``."""
    return _ENCODER.encode(row)


def _none_alive(owner: str) -> bool:
    return False


def _number() -> int:
    """Return a random start for the numbers of places, so that none is given twice."""
    return random.getrandbits(50)
