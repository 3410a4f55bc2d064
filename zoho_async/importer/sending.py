"""Send the planned writes of a job, a few at a time.

Model
-----
Workers take writes in the order of their rows and `commit` them. The first error that concerns all
writes (the limits, the token, the network) ends the taking: writes that Zoho may have received are
awaited, those that wait for the limits are withdrawn. `WriteSender.stop` does the same from
outside. So an orderly end leaves no write unknown.

After the last write, those with a lost answer are settled (`zoho_async.importer.settle`), and those
that are then known not to be at Zoho are sent again, until nothing more can be settled.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import anyio
import msgspec
from anyio import CancelScope, to_thread

from zoho_async.errors import ConfigurationError
from zoho_async.http.call import Budget
from zoho_async.importer.commit import commit
from zoho_async.importer.events import ImportEvent, ImportProgress, RowRefused, Settling
from zoho_async.importer.journal import WriteJournal
from zoho_async.importer.settle import WriteSettler, is_decidable
from zoho_async.importer.targets import target_of
from zoho_async.importer.writes import Job, JournaledWrite, carries
from zoho_async.session import Session
from zoho_async.wire.page import moment

#: The most writes in flight. Without a token, so many can need a person after a crash.
_WORKERS: Final = 8
#: The most times that one run sends a write whose answer is lost and that is not at Zoho.
_MOST_TRIES: Final = 5


class _Active(msgspec.Struct, frozen=True, eq=False):
    """A write that a worker commits. It is at Zoho, or on its way, once its budget is spent."""

    scope: CancelScope
    budget: Budget


class WriteSender:
    """Sends the writes of one job. ``report`` awaits each event."""

    def __init__(
        self,
        zoho: Session,
        journal: WriteJournal,
        job: Job,
        *,
        budget: Budget,
        settler: WriteSettler,
        report: Callable[[ImportEvent], Awaitable[None]],
        after: float | None,
    ) -> None:
        self._zoho: Final = zoho
        self._journal: Final = journal
        self._job: Final = job
        self._budget: Final = budget
        self._settler: Final = settler
        self._report: Final = report
        #: The newest creation that Zoho has answered, by its clock. None: no bound is known.
        self._after = after
        self._waiting: deque[JournaledWrite] = deque()
        self._active: set[_Active] = set()
        self._settling: CancelScope | None = None
        self._stopped = False
        self._failure: BaseException | None = None
        self._refused: set[int] = set()
        self._lost: set[int] = set()
        self._sent: Final[Counter[int]] = Counter()
        self._written: set[int] = set()
        self._of = 0

    def stop(self) -> None:
        """Send nothing more. What Zoho may have received is still awaited."""
        self._stopped = True
        self._waiting.clear()
        for one in self._active:
            if not one.budget.spent:
                one.budget.left = 0  # a call that was just admitted is not made
                one.scope.cancel()
        if self._settling is not None:
            self._settling.cancel()

    async def run(self) -> None:
        """Send and settle everything. Raises the first error that concerns all writes."""
        fresh = await self._journal.writes(self._job, ["planned", "not_written"])
        lost = await self._journal.writes(self._job, ["unknown"])
        self._of = len(fresh) + len(lost)
        self._lost = {one.number for one in lost}
        await self._send(await self._prove_room(fresh))
        while not self._stopped:
            lost = await self._journal.writes(self._job, ["unknown"])
            again = [one for one in lost if one.repeatable]
            again += await self._settle([one for one in lost if not one.repeatable])
            again = [one for one in again if self._sent[one.number] < _MOST_TRIES]
            if not again or self._stopped:
                return
            await self._send(again)

    async def _prove_room(self, writes: list[JournaledWrite]) -> list[JournaledWrite]:
        """Send one write at a time until a record is seen with its token; returns the rest.

        Raises `ConfigurationError` if Zoho does not keep the token: then no further write is sent.
        """
        target = await to_thread.run_sync(target_of, self._job.target)
        for place, write in enumerate(writes):
            room = write.room
            if room is None or await self._settler.is_proven(target, room) or self._stopped:
                return writes[place:]
            await self._send([write])
            ended = await self._journal.write(write.number)
            if ended.state == "written" and not ended.carried:
                record = await self._settler.record(target, ended.record)
                if record is None or carries(record, room, write.token) is not True:
                    raise ConfigurationError(
                        f"Zoho did not keep the token in {room.name}: make a custom field of type "
                        "text with this API name, or leave out --token-field"
                    )
                await self._journal.note_carried(write.number)
        return []

    # -- sending ----------------------------------------------------------------------------------

    async def _send(self, writes: Iterable[JournaledWrite]) -> None:
        self._waiting.extend(writes)
        async with anyio.create_task_group() as group:
            for _ in range(min(_WORKERS, len(self._waiting))):
                group.start_soon(self._work)
        if self._failure is not None:
            raise self._failure

    async def _work(self) -> None:
        while self._waiting and not self._stopped:
            write = self._waiting.popleft()
            active = _Active(CancelScope(), Budget(sys.maxsize, within=self._budget))
            self._active.add(active)
            try:
                with active.scope:
                    await self._commit(write, active.budget)
            except anyio.get_cancelled_exc_class():
                raise
            except Exception as error:
                if self._failure is None:
                    self._failure = error
                self.stop()
            finally:
                self._active.discard(active)

    async def _commit(self, write: JournaledWrite, budget: Budget) -> None:
        self._sent[write.number] += 1
        ended = await commit(
            self._zoho, self._journal, write.number, after=self._after, budget=budget
        )
        created = moment(ended.record.get("created_time"))
        if created is not None:
            self._after = max(self._after or created, created)
        with CancelScope(shield=True):
            await self._note(ended.write)

    async def _note(self, write: JournaledWrite) -> None:
        """Report a write that was sent or settled."""
        number = write.number
        places = {"written": self._written, "not_written": self._refused, "unknown": self._lost}
        for state, numbers in places.items():
            (numbers.add if write.state == state else numbers.discard)(number)
        if write.state == "not_written":
            await self._report(
                RowRefused(target=self._job.target, rows=write.rows, problem=write.problem)
            )
        await self._report(
            ImportProgress(
                target=self._job.target,
                done=len(self._written) + len(self._refused),
                of=self._of,
                refused=len(self._refused),
                unknown=len(self._lost),
            )
        )

    # -- settling ---------------------------------------------------------------------------------

    async def _settle(self, lost: list[JournaledWrite]) -> list[JournaledWrite]:
        """Settle the writes with a lost answer; returns those to send again."""
        decidable = [one for one in lost if is_decidable(one)]
        if decidable:
            seconds = max(self._settler.ready_in(one) for one in decidable)
            await self._report(
                Settling(target=self._job.target, writes=len(decidable), seconds=seconds)
            )
        if not lost:
            return []
        with CancelScope() as self._settling:
            settled = await self._settler.settle(lost)
            for one in settled:
                if one.state == "written":
                    await self._note(one)
            return [one for one in settled if one.state == "not_written"]
        return []
