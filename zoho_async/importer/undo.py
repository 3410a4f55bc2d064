"""Delete the records that an import created and that were not changed since.

Model
-----
Each record is read. It is deleted only if its last modification is the one that Zoho answered when
it was created; a write that was settled by its token counts with the record's creation. Everything
else is kept, and listed with the reason. Updates are not undone: the values before them are not
known.

The deletes are writes of a job in the same journal. An undo that was interrupted is run again: it
settles the lost deletes, reads each record again, and a second delete does no harm. Until then, the
import is refused if a record that it has as written was or may have been deleted. A record that is
gone counts as deleted, and the journal notes that its row is no longer at Zoho: the same import can
then write it again.

Unknown. A change between the reading of a record and its deletion is not seen, nor one within the
second of its creation.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from anyio import to_thread

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError
from zoho_async.http.call import Budget
from zoho_async.importer.events import ImportEvent
from zoho_async.importer.job import journal_path
from zoho_async.importer.journal import WriteJournal, open_journal
from zoho_async.importer.sending import WriteSender
from zoho_async.importer.settle import WriteSettler
from zoho_async.importer.targets import WriteTarget, target_of
from zoho_async.importer.writes import Intent, Job, JournaledWrite
from zoho_async.session import Session

_CHANGED: Final = "it was changed after the import"
_UNKNOWN: Final = "it is not known whether it was written; run the import again to find out"
_UNDATED: Final = "Zoho does not say when it was changed"


class KeptRecord(msgspec.Struct, frozen=True):
    """A record that was not deleted, and why. ``record`` is "" if its id is not known."""

    row: int
    record: str
    reason: str


class UndoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an undo. ``to_delete`` records would be deleted by a run without ``plan``."""

    job: str
    target: str
    deleted: int
    to_delete: int
    kept: tuple[KeptRecord, ...]
    calls: int


async def undo_import(
    zoho: Session,
    job: str,
    *,
    journal: str | os.PathLike[str] | None = None,
    plan: bool = False,
    settle_wait: float = 300.0,
    clock: Clock = SYSTEM_CLOCK,
) -> UndoSummary:
    """Delete the records that the import ``job`` created and that were not changed since.

    ``journal`` and ``settle_wait`` are those of the import. With ``plan``, nothing is deleted.
    Raises `ConfigurationError` for an unknown job and a resource without a delete, and what calls
    raise.
    """
    budget = Budget(sys.maxsize)
    view = zoho.with_options(lane="bulk", max_wait=None, budget=budget)
    path = journal if journal is not None else journal_path(zoho)
    async with open_journal(path, clock=clock) as opened:
        undo = await _Undo.of(view, opened, job)
        settler = WriteSettler(view, opened, wait=settle_wait, clock=clock)
        if not plan:
            await undo.settle_earlier(settler)
        await undo.look(settler)
        if not plan:
            await undo.run(budget, settler)
        return undo.summary(budget.spent)


class _Undo:
    def __init__(self, zoho: Session, journal: WriteJournal, job: Job, target: WriteTarget) -> None:
        self._zoho: Final = zoho
        self._journal: Final = journal
        self._job: Final = job
        self._target: Final = target
        self._kept: list[KeptRecord] = []
        self._chosen: list[JournaledWrite] = []
        self._deleted = 0

    @classmethod
    async def of(cls, zoho: Session, journal: WriteJournal, id: str) -> _Undo:
        job = await journal.find_job(id)
        if job is None or job.organization != zoho.organization:
            raise ConfigurationError(f"the journal has no job {id!r} of this organization")
        target = await to_thread.run_sync(target_of, job.target)
        if target.delete is None or target.get is None:
            raise ConfigurationError(f"records of {job.target} cannot be deleted one by one")
        return cls(zoho, journal, job, target)

    async def settle_earlier(self, settler: WriteSettler) -> None:
        """Find out what became of the lost deletes of an undo that was interrupted."""
        deletes = await self._journal.undo_deletes(self._job)
        await settler.settle([one for one in deletes if one.state == "unknown"])

    async def look(self, settler: WriteSettler) -> None:
        """Read each created record, and choose those to delete."""
        for write in await self._journal.writes(self._job, ["written", "unknown"]):
            if not write.operation.endswith(".create"):
                continue
            if write.state == "unknown":
                self._kept.append(KeptRecord(write.row, "", _UNKNOWN))
                continue
            record = await settler.record(self._target, write.record)
            if record is None:
                await self._journal.undo(write.number)
                self._deleted += 1
            elif reason := _reason_to_keep(write, record):
                self._kept.append(KeptRecord(write.row, write.record, reason))
            else:
                self._chosen.append(write)

    async def run(self, budget: Budget, settler: WriteSettler) -> None:
        """Delete the chosen records."""
        delete = self._target.delete
        assert delete is not None
        intents = [
            Intent(operation=delete.name, rows=one.rows, ids=(one.record,)) for one in self._chosen
        ]
        own = await self._journal.job(
            source=f"undo {self._job.id} {secrets.token_hex(8)}",
            name=f"undo of {self._job.name}",
            target=self._job.target,
            organization=self._job.organization,
        )
        await self._journal.plan(own, intents)
        sender = WriteSender(
            self._zoho,
            self._journal,
            own,
            budget=budget,
            settler=settler,
            report=_ignore,
            after=None,
        )
        try:
            await sender.run()
        finally:
            ended = {one.row: one for one in await self._journal.writes(own)}
            for write in self._chosen:
                await self._note(write, ended[write.row])
            self._chosen = []

    async def _note(self, write: JournaledWrite, delete: JournaledWrite) -> None:
        if delete.state == "written":
            await self._journal.undo(write.number)
            self._deleted += 1
        else:
            reason = delete.problem or "not deleted yet"
            self._kept.append(KeptRecord(write.row, write.record, reason))

    def summary(self, calls: int) -> UndoSummary:
        return UndoSummary(
            job=self._job.id,
            target=self._job.target,
            deleted=self._deleted,
            to_delete=len(self._chosen),
            kept=tuple(sorted(self._kept, key=lambda one: one.row)),
            calls=calls,
        )


async def _ignore(event: ImportEvent) -> None:
    """Report nothing."""


def _reason_to_keep(write: JournaledWrite, record: Mapping[str, Any]) -> str:
    """Why ``record`` must not be deleted, "" if it may."""
    modified = record.get("last_modified_time")
    expected = write.modified or record.get("created_time")
    if not modified or not expected:
        return _UNDATED
    return "" if modified == expected else _CHANGED
