"""Import rows into one resource::

    async with Import(zoho, "books.contacts", rows, match="email") as job:
        async for event in job:
            print(event)
    print(job.summary.created)

The whole source is checked before the first write: the mapping of its columns, types, required
fields, allowed values, and names of other records. Every write goes through the journal
(`zoho_async.importer.journal`), so a run that was interrupted continues where it ended: run the
same import again.

Tasks. One task of the session runs the job. Events go through a bounded stream: if the caller stops
reading them, the job waits. Leaving the block early sends nothing more, awaits what Zoho may have
received, and withdraws the rest.

Failures. A record that Zoho refuses is a problem of its row, and the others continue. What affects
all writes (the day's quota, the network, the credentials) ends the job with that exception. The
summary is available then too.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, SessionClosed, first_failure
from zoho_async.export.estimate import days_needed, estimated_seconds
from zoho_async.export.outcomes import DONE, INCOMPLETE
from zoho_async.export.summary import report_waiting
from zoho_async.http.call import Budget
from zoho_async.importer.documents import (
    CellProblem,
    RowDocument,
    documents_of,
    rows_together,
    wanted_names,
)
from zoho_async.importer.errors_file import write_errors
from zoho_async.importer.events import ImportEvent, ImportPlan, ImportSummary, WrongRows
from zoho_async.importer.files import ImportSource, read_file, source_of
from zoho_async.importer.journal import WriteJournal, open_journal
from zoho_async.importer.lookups import Lookups
from zoho_async.importer.mapping import ColumnMapping, map_columns
from zoho_async.importer.matching import Matched, Matcher
from zoho_async.importer.options import ImportOptions
from zoho_async.importer.sending import WriteSender
from zoho_async.importer.settle import WriteSettler, newest
from zoho_async.importer.targets import WriteTarget, target_of
from zoho_async.importer.writes import Intent, Job, JournaledWrite
from zoho_async.limits import Snapshot
from zoho_async.runtime import state_directory
from zoho_async.session import Session

_EVENTS_AHEAD: Final = 100
_AT_ZOHO: Final = ("written", "unknown", "sent")


class _Checked(msgspec.Struct, kw_only=True):
    """The checked source: what to write, and what the journal has already."""

    plan: ImportPlan
    intents: list[Intent]
    before: dict[int, JournaledWrite]
    unchanged: int
    skipped: int
    problems: list[CellProblem]


class Import:
    """One import. ``async with`` opens the journal, ``async for`` runs the job.

    ``target`` is a resource with a create, such as ``books.contacts``. ``rows`` is a file (CSV,
    XLSX, JSON Lines, Parquet) or mappings of columns to values. ``match`` and the other options are
    those of `ImportOptions`. ``mapping`` says which column goes to which field; by default the
    names of the columns say it. ``journal`` is the file of the write journal, by default one per
    organization in the user's state directory. ``sheet`` names the sheet of a workbook.

    ``decisions`` settle unknown writes by hand: the id of the record by the row, or "" if a person
    made sure that it is not at Zoho.

    Raises `ConfigurationError` on creation and on entering, and `WrongRows` and what calls raise
    while it runs. If ``max_calls`` or the day's quota is spent, the job ends with `BudgetSpent` or
    `DailyQuotaExceeded`, and the next run continues.
    """

    def __init__(
        self,
        zoho: Session,
        target: str,
        rows: str | os.PathLike[str] | Iterable[Mapping[str, Any]],
        *,
        match: str | None = None,
        options: ImportOptions = ImportOptions(),  # noqa: B008 - a frozen value
        mapping: Mapping[str, str] | None = None,
        journal: str | os.PathLike[str] | None = None,
        sheet: str | None = None,
        decisions: Mapping[int, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if zoho.organization is None:
            raise ConfigurationError(
                "an import needs to know its organization: "
                "set ZOHO_ORGANIZATION_ID or Session(organization=...)"
            )
        if match is not None:
            options = replace(options, match=match)
        self._resource: Final = target
        self._given: Final = rows
        self._sheet: Final = sheet
        self._options: Final = options
        self._mapping: Final = mapping
        self._organization: Final = zoho.organization
        self._path: Final = Path(journal) if journal is not None else journal_path(zoho)
        self._decisions: Final = dict(decisions or {})
        self._clock: Final = clock
        most = sys.maxsize if options.max_calls is None else options.max_calls
        self._budget: Final = Budget(most)
        self._zoho: Final = zoho.with_options(
            lane="bulk",
            max_wait=None,
            wait_for_reset=options.until_done,
            budget=self._budget,
        )
        self._stack: Final = AsyncExitStack()
        self._journal: WriteJournal | None = None
        self._source: ImportSource | None = None
        self._job: Job | None = None
        self._checked: _Checked | None = None
        self._sender: WriteSender | None = None
        self._scope: Final = anyio.CancelScope()
        self._task: asyncio.Task[None] | None = None
        self._events: MemoryObjectReceiveStream[ImportEvent] | None = None
        self._summary: ImportSummary | None = None

    @property
    def summary(self) -> ImportSummary:
        """The summary of the run. Raises `RuntimeError` before its end."""
        if self._summary is None:
            raise RuntimeError("the import has not ended yet")
        return self._summary

    @property
    def source(self) -> ImportSource:
        """The rows of the source. Raises `RuntimeError` before they were read."""
        if self._source is None:
            raise RuntimeError("enter the import with `async with` first")
        return self._source

    async def plan(self) -> ImportPlan:
        """Check the source and return what the import will write, instead of running it.

        Makes the calls that look up records, and no write. Raises as the run does, except
        `WrongRows`: problems are in the plan.
        """
        if self._source is not None:
            raise RuntimeError("an Import is entered or planned, and only once; create another one")
        async with self._stack:
            await self._open()
            return (await self._check()).plan

    async def write_errors(self, path: str | os.PathLike[str]) -> int:
        """Write the rows that have problems to a CSV file, and return their number.

        Use it after the plan or the run. Correct the cells and import the file: its three first
        columns are left out. Raises `ConfigurationError`.
        """
        problems: Sequence[CellProblem] = ()
        if self._summary is not None:
            problems = self._summary.problems
        elif self._checked is not None:
            problems = self._checked.problems
        source, group = self.source, self._options.group_by

        def write() -> int:
            return write_errors(path, source, problems, rows_together(source, group))

        return await to_thread.run_sync(write)

    async def __aenter__(self) -> Import:
        if self._source is not None:
            raise RuntimeError("an Import can be entered only once; create another one")
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        send, self._events = anyio.create_memory_object_stream[ImportEvent](_EVENTS_AHEAD)
        self._task = self._zoho.start(self._run(send), name="import")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None or self._events is None:
            return
        self._events.close()  # what is still reported has no reader
        if self._sender is not None:
            self._sender.stop()
        else:
            self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # the caller left early and does not want it
            await self._stack.aclose()

    def __aiter__(self) -> AsyncIterator[ImportEvent]:
        return self

    async def __anext__(self) -> ImportEvent:
        try:
            return await self._stream().receive()
        except anyio.EndOfStream:
            await self.wait()
            raise StopAsyncIteration from None

    async def wait(self) -> ImportSummary:
        """Run to the end and ignore unread events. Raises what ended the job early."""
        async for _ in self._stream():
            pass
        assert self._task is not None
        await asyncio.wait([self._task])
        if self._task.cancelled():
            raise SessionClosed
        self._task.result()
        return self.summary

    def _stream(self) -> MemoryObjectReceiveStream[ImportEvent]:
        if self._events is None:
            raise RuntimeError("enter the import with `async with` first")
        return self._events

    # -- opening and checking ---------------------------------------------------------------------

    async def _open(self) -> None:
        given = self._given
        if isinstance(given, str | os.PathLike):
            self._source = await to_thread.run_sync(partial(read_file, given, self._sheet))
        else:
            self._source = await to_thread.run_sync(source_of, list(given))
        self._journal = await self._stack.enter_async_context(
            open_journal(self._path, clock=self._clock)
        )

    async def _check(self) -> _Checked:
        """Check every row, and decide what to write. Writes nothing to Zoho."""
        assert self._journal is not None
        source, options = self.source, self._options
        target = await to_thread.run_sync(target_of, self._resource)
        if target.create is None or "{" in target.create.path:
            raise ConfigurationError(f"{self._resource} has no create, so nothing can be imported")
        mapping = map_columns(self._resource, target.create.body, source.columns, self._mapping)
        group = options.group_by
        if group is not None and group not in source.columns:
            raise ConfigurationError(f"--group-by names no column of the file: {group!r}")
        matcher = Matcher(self._zoho, target, mapping, options)
        lookups = Lookups(target.product)
        await lookups.load(self._zoho, await to_thread.run_sync(wanted_names, source, mapping))
        documents, problems = await to_thread.run_sync(
            documents_of, source, mapping, lookups, group
        )
        self._job = await self._journal.job(
            source=source.digest,
            name=source.name,
            target=self._resource,
            organization=self._organization,
        )
        before = {
            one.row: one for one in await self._journal.writes(self._job) if one.state in _AT_ZOHO
        }
        deleted = {one.ids for one in await self._journal.undo_deletes(self._job)}
        if any((one.record,) in deleted for one in before.values()):
            raise ConfigurationError(
                "an undo of this import was interrupted: run "
                f"`zoho-async import --undo {self._job.id}` again, then the import"
            )
        fresh = [one for one in documents if not _is_written(one, before)]
        fresh, skipped, repeated = await self._without_repeated(fresh)
        matched = await matcher.match(fresh)
        # What is written needs no correction: a customer may have another name by now.
        ended = {row for one in before.values() for row in one.rows}
        problems = [one for one in problems if one.row not in ended]
        problems += repeated + matched.problems
        problems.sort(key=lambda one: one.row)
        plan = await self._plan_of(target, mapping, matched, before, skipped, problems, documents)
        self._checked = _Checked(
            plan=plan,
            intents=matched.intents,
            before=before,
            unchanged=len(matched.unchanged),
            skipped=skipped,
            problems=problems,
        )
        return self._checked

    async def _without_repeated(
        self, documents: Sequence[RowDocument]
    ) -> tuple[list[RowDocument], int, list[CellProblem]]:
        """Take out the documents that an earlier file wrote, as the options say."""
        assert self._journal is not None
        assert self._job is not None
        if self._options.match is not None or self._options.repeated == "write":
            return list(documents), 0, []
        found = await self._journal.written_before(self._job, {one.content for one in documents})
        if self._options.repeated == "skip":
            # Two equal rows are two records, of which the earlier file may have written one.
            left = {content: len(before) for content, before in found.items()}
            fresh: list[RowDocument] = []
            for one in documents:
                if left.get(one.content):
                    left[one.content] -= 1
                else:
                    fresh.append(one)
            return fresh, len(documents) - len(fresh), []
        kept = [one for one in documents if one.content not in found]
        problems = [
            CellProblem(
                one.rows[0],
                "",
                f"has the content of row {before.row} of job {before.job}, which was written; "
                "--repeated skip leaves such rows out, --repeated write writes them again",
            )
            for one in documents
            for before in found.get(one.content, [])[:1]
        ]
        return kept, 0, problems

    async def _plan_of(
        self,
        target: WriteTarget,
        mapping: ColumnMapping,
        matched: Matched,
        before: Mapping[int, JournaledWrite],
        skipped: int,
        problems: Sequence[CellProblem],
        documents: Collection[RowDocument],
    ) -> ImportPlan:
        unknown = sum(one.state == "unknown" for one in before.values())
        calls = len(matched.intents)
        limits = self._zoho.limits
        return ImportPlan(
            target=self._resource,
            rows=len(self.source.rows),
            documents=len(documents),
            creates=calls - matched.updates,
            updates=matched.updates,
            unchanged=len(matched.unchanged),
            written=len(before) - unknown,
            unknown=unknown,
            skipped=skipped,
            problems=tuple(problems),
            calls=calls,
            calls_made=self._budget.spent,
            seconds=estimated_seconds(calls, limits) if calls else 0.0,
            days=days_needed(calls, await self._today(), limits),
            without_token=sum(_lacks_token(one) for one in matched.intents),
            mapping=dict(mapping.names),
        )

    # -- the job's own task -----------------------------------------------------------------------

    async def _run(self, send: MemoryObjectSendStream[ImportEvent]) -> None:
        started, before = time.monotonic(), await self._zoho.snapshot()

        async def report(event: ImportEvent) -> None:
            try:
                await send.send(event)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the caller has left

        try:
            async with anyio.create_task_group() as watching:
                if self._options.until_done:
                    watching.start_soon(
                        report_waiting,
                        self._today,
                        self._zoho.limits,
                        self._organization,
                        self._clock,
                        report,
                    )
                try:
                    with self._scope:
                        await self._prepare(report)
                    if self._sender is not None:
                        await self._sender.run()
                finally:
                    watching.cancel_scope.cancel()
        except BaseExceptionGroup as several:
            raise first_failure(several) from None
        finally:
            with anyio.CancelScope(shield=True):
                send.close()
                refused = (await self._zoho.snapshot()).refused - before.refused
                self._summary = await self._summarize(time.monotonic() - started, refused)

    async def _today(self) -> Snapshot:
        """Return the usage, with the daily quota of the resource's product."""
        return (await self._zoho.snapshot()).for_products(self._resource.partition(".")[0])

    async def _prepare(self, report: Callable[[ImportEvent], Awaitable[None]]) -> None:
        """Check the source, plan the writes in the journal, and make the sender."""
        checked = await self._check()
        await report(checked.plan)
        if checked.problems and not self._options.skip_errors:
            raise WrongRows(tuple(checked.problems))
        journal, job = self._journal, self._job
        assert journal is not None
        assert job is not None
        await journal.plan(job, checked.intents)
        await self._decide(journal, checked.before)
        settler = WriteSettler(
            self._zoho, journal, wait=self._options.settle_wait, clock=self._clock
        )
        after = None
        if any(one.operation.endswith(".create") for one in checked.intents):
            after = await newest(self._zoho, await to_thread.run_sync(target_of, self._resource))
        self._sender = WriteSender(
            self._zoho,
            journal,
            job,
            budget=self._budget,
            settler=settler,
            report=report,
            after=after,
        )

    async def _decide(self, journal: WriteJournal, before: Mapping[int, JournaledWrite]) -> None:
        """Note what a person found out about unknown writes. Raises `ConfigurationError`."""
        for row, record in self._decisions.items():
            write = before.get(row)
            if write is None or write.state != "unknown":
                raise ConfigurationError(f"row {row} has no unknown write to decide about")
            if record:
                await journal.confirm(write.number, record=record)
            else:
                await journal.refuse(write.number, "a person made sure that it is not at Zoho")

    async def _summarize(self, seconds: float, refused: int) -> ImportSummary:
        journal, job, checked = self._journal, self._job, self._checked
        writes = await journal.writes(job) if journal is not None and job is not None else []
        problems = list(checked.problems) if checked is not None else []
        problems += [
            CellProblem(one.row, "", one.problem) for one in writes if one.state == "not_written"
        ]
        written = [one for one in writes if one.state == "written"]
        updated = sum(_is_update(one) for one in written)
        unknown = tuple(one for one in writes if one.state in ("unknown", "sent"))
        remaining = sum(one.state == "planned" for one in writes)
        checked_all = checked is not None
        done = checked_all and not (problems or unknown or remaining)
        return ImportSummary(
            organization=self._organization,
            target=self._resource,
            job="" if job is None else job.id,
            rows=len(self.source.rows),
            created=len(written) - updated,
            updated=updated,
            unchanged=checked.unchanged if checked is not None else 0,
            skipped=checked.skipped if checked is not None else 0,
            problems=tuple(sorted(problems, key=lambda one: one.row)),
            unknown=unknown,
            remaining=remaining,
            calls=self._budget.spent,
            refused=refused,
            seconds=seconds,
            done=done,
            exit_code=DONE if done else INCOMPLETE,
        )


def journal_path(zoho: Session, environ: Mapping[str, str] | None = None) -> Path:
    """Return the journal of the session's organization in the user's state directory."""
    host = urlsplit(zoho.api_url).netloc
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{host}-{zoho.organization}")
    folder = state_directory(os.environ if environ is None else environ)
    return folder / "imports" / f"{name}.sqlite"


def _is_written(document: RowDocument, before: Mapping[int, JournaledWrite]) -> bool:
    """Whether the journal has this very document as written, or perhaps written."""
    write = before.get(document.rows[0])
    return write is not None and write.digest == document.content


def _is_update(write: JournaledWrite) -> bool:
    return write.operation.endswith((".update", ".upsert"))


def _lacks_token(intent: Intent) -> bool:
    return intent.operation.endswith(".create") and intent.room is None
