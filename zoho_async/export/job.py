"""Export resources of one organization, in parallel, to one destination::

    async with Export(zoho, ["invoices", "contacts"], to="backup") as job:
        async for event in job:
            print(event)
    print(job.summary.rows)

The first run reads everything. Each later run reads what changed since
(`zoho_async.export.incremental`). A run that was interrupted continues where it ended.

Tasks. One task of the session runs the job. In it, an anyio task group reads the resources in
parallel. `WriteQueue` writes their pages together. Events go through a bounded stream: if the
caller stops reading them, the job waits. Leaving the block early cancels the task and waits for it.
A write under way finishes, nothing more is sent, and the checkpoint stays valid.

Failures. A failure of one list (a missing scope, for example) ends only that list. The summary has
the state of each list (`zoho_async.export.outcomes`), and the next run asks for a refused list
again. A failure that affects all lists (the day's quota, the network, the disk, the credentials)
ends the job with that exception. The summary is available then too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import (
    BudgetSpent,
    ConfigurationError,
    DailyLimitReply,
    DailyQuotaExceeded,
    InvalidToken,
    LimitError,
    OrganizationError,
    ReplyError,
    SessionClosed,
    UnreadableReply,
)
from zoho_async.events import Exported
from zoho_async.export import incremental
from zoho_async.export.catalog import (
    all_lists,
    check_filters,
    check_since,
    children,
    exportable,
    reads_of_parents,
    resolve,
    row_facts,
    single_reads,
)
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.details.fetcher import DetailFetcher, folder_of
from zoho_async.export.details.operations import details_of, document_sources
from zoho_async.export.details.writer import DetailPlan, DetailWriter, QueuedRecords
from zoho_async.export.estimate import bulk_left, days_needed, estimated_seconds
from zoho_async.export.events import (
    ExportEvent,
    Planned,
    ResourceFailed,
    ResourceSummary,
    Status,
    Summary,
    WaitingForReset,
)
from zoho_async.export.incremental import Margin
from zoho_async.export.outcomes import DONE, INCOMPLETE, worst
from zoho_async.export.part_begin import open_store
from zoho_async.export.part_end import settle
from zoho_async.export.prover import Allowance
from zoho_async.export.reader import ListReader
from zoho_async.export.resource_store import RunOptions, writing
from zoho_async.export.write_queue import WriteQueue
from zoho_async.export.writer import ResourceWriter
from zoho_async.http.call import Budget
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Seconds between two checks whether the day's calls are used up.
_POLL_SECONDS: Final = 1.0
#: Seconds until the wait is reported again, if Zoho named no reset.
_REPORT_AGAIN: Final = 3600.0


class SummaryBuilder:
    """Builds the plan and the summary of one run of ``readers``, which may still grow."""

    def __init__(
        self,
        zoho: Session,
        organization: str,
        readers: Sequence[ListReader],
        *,
        budget: Budget | None,
        clock: Clock,
    ) -> None:
        self._zoho: Final = zoho
        self._organization: Final = organization
        self._readers: Final = readers
        self._budget: Final = budget
        self._clock: Final = clock
        self._started = time.monotonic()
        self._before: Snapshot | None = None

    async def begin(self) -> None:
        """Start counting calls and time."""
        self._started = time.monotonic()
        self._before = await self._zoho.snapshot()

    async def planned(self) -> Planned:
        """Return the plan, once each reader has planned or failed."""
        ahead = [reader.planned for reader in self._readers if reader.planned is not None]
        calls = sum(one.calls for one in ahead)
        made = sum(reader.pages for reader in self._readers)
        limits = self._zoho.limits
        today = await self._zoho.snapshot()
        return Planned(
            resources=tuple(ahead),
            rows=sum(one.rows or 0 for one in ahead),
            calls=calls,
            seconds=estimated_seconds(calls, rate=self._zoho.rate, burst=limits.burst),
            exact=all(reader.exact for reader in self._readers),
            days=days_needed(calls - made, today, limits),
        )

    async def report_waiting(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        """Report once a day that its calls are used up, until cancelled."""
        quiet_until = 0.0
        while True:
            today = await self._zoho.snapshot()
            now = self._clock.monotonic()
            if bulk_left(today, self._zoho.limits) == 0 and now >= quiet_until:
                wait = today.day_reset_in
                quiet_until = now + (_REPORT_AGAIN if wait is None else wait)
                await send.send(WaitingForReset(organization=self._organization, seconds=wait))
            await anyio.sleep(_POLL_SECONDS)

    async def summary(self, directory: str) -> Summary:
        """What the run did, into ``directory``."""
        resources = tuple(reader.summary() for reader in self._readers)
        statuses: list[Status] = [one.status for one in resources]
        # If no list could be read, that is reported each time.
        read = INCOMPLETE if statuses and {"failed", "not allowed"} >= set(statuses) else DONE
        admitted, refused = await self._since()
        # Lists of the user count against the account's limits, not the organization's.
        own = sum(reader.pages for reader in self._readers if reader.facts.per_user)
        made = own + admitted
        if self._budget is not None:  # calls admitted too late were not sent
            made = self._budget.calls - self._budget.left
        return Summary(
            organization=self._organization,
            directory=directory,
            resources=resources,
            done=_is_done(statuses),
            rows=sum(one.rows for one in resources),
            rows_new=sum(one.rows_new for one in resources),
            calls=made,
            least_calls=sum(one.least_calls for one in resources),
            refused=refused,
            seconds=time.monotonic() - self._started,
            records=sum(one.records for one in resources),
            files=sum(one.files for one in resources),
            exit_code=worst([read, *(one.exit_code for one in resources)]),
        )

    async def _since(self) -> tuple[int, int]:
        """Return the calls admitted since `begin`, and how many of them Zoho refused."""
        before, after = self._before, await self._zoho.snapshot()
        if before is None:
            return 0, 0
        return after.admitted - before.admitted, after.refused - before.refused


def _is_done(statuses: Sequence[Status]) -> bool:
    """Whether every allowed list is complete, and at least one is allowed."""
    return "done" in statuses and {"done", "not allowed"} >= set(statuses)


T = TypeVar("T")

_EVENTS_AHEAD: Final = 100


class Export:
    """One export job. ``async with`` opens the destination, ``async for`` runs the job.

    ``resources`` are ``product.resource`` names, of Books if no product is named. If there are
    none, every list that takes the filters and that ``scopes`` (the token's, if known) allow is
    exported. ``to`` is a `Destination` or what `open_destination` takes: a directory,
    ``books.duckdb``, ``postgresql://user@host/name``. ``filters`` apply to every list. ``since``
    (an aware datetime) leaves out records that were last modified before it.

    ``full`` reads everything again. ``restart`` does so too, and gives up what an interrupted run
    left. ``detect_deletions`` reads each list whole, and checks each known record that is missing
    from it, with at most ``max_deletion_checks`` calls. ``margin`` allows for differences between
    clocks.

    ``details`` fetches each new or changed record in full, and writes that instead of the list's
    row. ``files`` saves its documents: to the directory that it names, or, if it is True, next to
    the rows (``books/invoices.files/<id>.pdf``). If an earlier run did not ask for one of them, all
    records of the list are read again. Later runs keep fetching full records without ``details``
    (except with ``restart``). A run without ``files`` leaves the documents of its records to the
    next run that has it.

    ``strict`` counts every list that is not proven complete as incomplete. ``accept_short`` names
    lists that may count more records than are found. A full read that lacks known records and is
    not proven replaces nothing: the old rows stay, and the new ones are kept as changes.
    ``accept_shorter`` lets it replace them. All three hold for this run only.

    ``max_calls`` is the largest number of calls of this run. If it or the day's quota is spent, the
    job ends with `BudgetSpent` or `DailyQuotaExceeded`, and the next run continues. ``until_done``
    waits for the next day instead.

    Raises `ConfigurationError` (an unknown resource or filter, no organization) on creation;
    `CheckpointRefused`, `ExportRunning` or `DestinationError` on entering; and what calls raise
    while it runs.
    """

    def __init__(
        self,
        zoho: Session,
        resources: Sequence[str] = (),
        *,
        to: str | PathLike[str] | Destination,
        filters: Mapping[str, str] | None = None,
        since: datetime | None = None,
        scopes: Collection[str] | None = None,
        full: bool = False,
        restart: bool = False,
        detect_deletions: bool = False,
        max_deletion_checks: int | None = None,
        details: bool = False,
        files: bool | str | PathLike[str] = False,
        max_calls: int | None = None,
        until_done: bool = False,
        strict: bool = False,
        accept_short: Collection[str] = (),
        accept_shorter: bool = False,
        margin: Margin = Margin(),  # noqa: B008 - a frozen value
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if zoho.organization is None:
            raise ConfigurationError(
                "an export needs to know its organization: "
                "set ZOHO_ORGANIZATION_ID or Session(organization=...)"
            )
        self.destination: Final[Destination] = (
            open_destination(to) if isinstance(to, str | PathLike) else to
        )
        self._filters: Final = dict(filters or {})
        self._named: Final = bool(resources)
        self._lists: Final = _lists(resources, self._filters, since, scopes)
        self._options: Final = RunOptions(
            full=full,
            restart=restart,
            detect_deletions=detect_deletions,
            accept_shorter=accept_shorter,
            since=None if since is None else since.timestamp(),
            narrowed=bool(self._filters),
            margin=margin,
        )
        self._strict: Final = strict
        self._accepted: Final = {facts.resource for facts in accepted(accept_short)}
        self._details: Final = details
        self._folder: Final = _folder(files, self.destination)
        self._until_done: Final = until_done
        budgeted = None if max_calls is None else Budget(max_calls)
        self._zoho: Final = zoho.with_options(
            lane="bulk",
            max_wait=None,
            wait_for_reset=until_done,
            budget=budgeted,
        )
        self._organization: Final = zoho.organization
        self._clock: Final = clock
        self._disk: Final = anyio.CapacityLimiter(1)
        self._lock: Final = threading.Lock()
        self._deletions: Final = (
            DeletionDetector(
                {**single_reads(), **reads_of_parents()}, max_deletion_checks, self._blocking, clock
            )
            if detect_deletions
            else None
        )
        self._readers: Final[list[ListReader]] = []
        self._summary_builder: Final = SummaryBuilder(
            self._zoho, self._organization, self._readers, budget=budgeted, clock=clock
        )
        self._allowance: Final = Allowance(self._day)
        self._state: Checkpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._summary: Summary | None = None
        self._scope: Final = anyio.CancelScope()
        self._events: MemoryObjectReceiveStream[ExportEvent] | None = None

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that are exported, as ``product.resource``."""
        return tuple(facts.resource for facts in self._lists)

    @property
    def summary(self) -> Summary:
        """The summary of the run. Raises `RuntimeError` before its end."""
        if self._summary is None:
            raise RuntimeError("the export has not ended yet")
        return self._summary

    async def __aenter__(self) -> Export:
        if self._task is not None:
            raise RuntimeError("an Export can be entered only once; create another one")
        await self._blocking(self._open)
        send, self._events = anyio.create_memory_object_stream[ExportEvent](_EVENTS_AHEAD)
        self._task = self._zoho.start(self._run(send), name="export")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None and self._events is not None:
            # Cancel the scope, not the task: a write under way finishes.
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # the caller left early and does not want it
            self._events.close()

    def __aiter__(self) -> AsyncIterator[ExportEvent]:
        return self

    async def __anext__(self) -> ExportEvent:
        try:
            return await self._stream().receive()
        except anyio.EndOfStream:
            await self.wait()
            raise StopAsyncIteration from None

    async def wait(self) -> Summary:
        """Run to the end and ignore unread events. Raises what ended the job early."""
        async for _ in self._stream():
            pass
        assert self._task is not None
        await asyncio.wait([self._task])
        if self._task.cancelled():
            raise SessionClosed
        self._task.result()
        return self.summary

    def _stream(self) -> MemoryObjectReceiveStream[ExportEvent]:
        if self._events is None:
            raise RuntimeError("enter the export with `async with` first")
        return self._events

    # -- the job's own task -------------------------------------------------------------------

    async def _run(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        try:
            with self._scope:
                await self._summary_builder.begin()
                async with send:
                    await self._read_all(send)
                await self._finish()
        except BaseExceptionGroup as several:
            first = _first(several)
            if isinstance(first, DailyQuotaExceeded | DailyLimitReply | BudgetSpent):
                for reader in self._readers:
                    reader.stopped = True
            raise first from None  # the first failure cancelled the others
        finally:
            with anyio.CancelScope(shield=True):
                send.close()
                await self._blocking(self._close)
                self._summary = await self._summary_builder.summary(self.destination.name)

    async def _read_all(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        assert self._state is not None
        write_queue = WriteQueue(self._state, self._blocking, send.send)
        async with anyio.create_task_group() as writes:
            writes.start_soon(write_queue.run)
            try:
                planned = _Barrier(len(self._readers), lambda: self._report_plan(send))
                async with anyio.create_task_group() as watching:
                    if self._until_done:
                        watching.start_soon(self._summary_builder.report_waiting, send)
                    async with anyio.create_task_group() as group:
                        for reader in self._readers:
                            group.start_soon(self._read, reader, write_queue, send, planned)
                    watching.cancel_scope.cancel()
            finally:
                write_queue.close()

    async def _read(
        self,
        reader: ListReader,
        write_queue: WriteQueue,
        send: MemoryObjectSendStream[ExportEvent],
        planned: _Barrier,
    ) -> None:
        try:
            await reader.run(send.send, write_queue, planned.passed)
            self._observe(reader.summary())
        except LimitError:
            await write_queue.flush()  # keep the pages that were fetched
            raise
        except (ReplyError, UnreadableReply) as error:
            if isinstance(error, OrganizationError | InvalidToken):
                raise
            await write_queue.flush()
            await reader.fail(error)
            resource, state = reader.facts.resource, reader.state
            await send.send(
                ResourceFailed(resource=resource, error=error, allowed=reader.allowed, state=state)
            )
            if reader.planned is None:
                await planned.passed()

    def _observe(self, done: ResourceSummary) -> None:
        self._zoho.observe(
            Exported(
                resource=done.resource,
                organization=self._organization,
                mode=done.mode,
                rows=done.rows,
                deleted=done.deleted,
                calls=done.calls,
            )
        )

    async def _report_plan(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        await send.send(await self._summary_builder.planned())

    async def _finish(self) -> None:
        """End the run: each list is complete, refused or failed."""
        state = self._state
        assert state is not None
        done = [one for one in self._readers if one.writer.state.status == "complete"]
        names = [one.facts.resource for one in done]
        await self._blocking(lambda: state.finish(names))

    # -- the destination ------------------------------------------------------------------------

    def _open(self) -> None:
        place = Origin(self._organization, _host(self._zoho.api_url))
        name = self.destination.name
        try:
            with writing(name):
                database = self.destination.open(place)
                state = Checkpoint.open(database, place, name=name, restart=self._options.restart)
            self._state = state
            settle(state, self.destination, row_facts())
            with writing(name):
                state.enter(self._run_name(), incremental.stamp(self._clock.time()))
            for facts in self._lists:
                self._readers.append(self._reader(state, facts))
        except BaseException:
            self._close()
            raise

    def _reader(self, state: Checkpoint, facts: OperationFacts) -> ListReader:
        request = self._request_of(facts)
        detail_plan = self._detail_plan_of(facts.resource, state.state_of(facts.resource))
        zoho = self._zoho.with_options()  # a separate view: the scheduler serves views in turns
        policy = None if detail_plan is None else QueuedRecords(detail_plan)
        store = open_store(state, self.destination, facts, request, self._options, policy)
        detail_fetcher = None
        if detail_plan is not None:
            detail_fetcher = DetailFetcher(
                zoho,
                DetailWriter(store, detail_plan),
                blocking=self._blocking,
                clock=self._clock,
                folder=self._folder and folder_of(self._folder, facts.resource),
            )
        return ListReader(
            zoho,
            ResourceWriter(store),
            self._filters,
            blocking=self._blocking,
            clock=self._clock,
            named=self._named,
            accepted=facts.resource in self._accepted,
            strict=self._strict,
            deletions=self._deletions,
            detail_fetcher=detail_fetcher,
            allowance=self._allowance,
        )

    def _detail_plan_of(self, resource: str, before: ResourceState | None) -> DetailPlan | None:
        """Return what is fetched per record in addition to its row, if anything.

        ``before`` is the state of an earlier run. What it fetched per record is fetched in this run
        too, unless everything is exported again from the start.
        """
        child = children().get(resource)
        if child is not None:
            return DetailPlan(child=child)
        earlier = (
            before
            if before is not None and not self._options.restart
            else ResourceState(name=resource)
        )
        details = details_of(resource) if self._details or earlier.details.full_records else None
        documents = (
            document_sources(resource)
            if self._folder is not None or earlier.details.documents
            else None
        )
        return DetailPlan(details=details, documents=documents) if details or documents else None

    def _close(self) -> None:
        for reader in self._readers:
            reader.writer.store.close()
        self.destination.close()

    def _run_name(self) -> str:
        request = {"resources": sorted(self.resources), "filters": sorted(self._filters.items())}
        return msgspec.json.encode(request).decode()

    def _request_of(self, facts: OperationFacts) -> str:
        request = {
            "list": facts.name,
            "order": facts.order,
            "filters": sorted(self._filters.items()),
            "since": self._options.since,
        }
        return msgspec.json.encode(request).decode()

    async def _day(self) -> int | None:
        return (await self._zoho.snapshot()).day_limit

    async def _blocking(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread. An anyio cancellation waits for its end.

        Cancelling the task itself does not, so the lock keeps `_close` from overtaking a write.
        """
        return await anyio.to_thread.run_sync(self._alone, work, limiter=self._disk)

    def _alone(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()


def accepted(names: Collection[str]) -> list[OperationFacts]:
    """Return the lists called ``names``. Raises `UnknownResource`."""
    return resolve(list(names), all_lists()) if names else []


def _lists(
    names: Sequence[str],
    filters: Mapping[str, str],
    since: datetime | None,
    scopes: Collection[str] | None,
) -> list[OperationFacts]:
    """Return the lists called ``names``. Raises `ConfigurationError` for a request that cannot be
    made.
    """
    if since is not None and since.tzinfo is None:
        raise ConfigurationError(f"since must have a UTC offset, got {since}")
    lists = resolve(names, all_lists() if names else exportable(), filters=filters, scopes=scopes)
    if since is not None and not names:
        lists = [facts for facts in lists if incremental.asks_changes(facts)]
    check_filters(filters, lists)
    if since is not None:
        check_since(lists)
    return lists


def _folder(files: bool | str | PathLike[str], destination: Destination) -> Path | None:
    """Return the folder for documents, if any. Raises `ConfigurationError` if none is named."""
    if not isinstance(files, bool):
        return Path(files)
    if not files:
        return None
    if not isinstance(destination, Directory):
        raise ConfigurationError(f"{destination.name} cannot hold files: name a directory for them")
    return destination.path


def _first(failure: BaseException) -> BaseException:
    """Return the first failure of a task group, at any depth; any other failure as it is."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    group = cast("BaseExceptionGroup[BaseException]", failure)
    return _first(group.exceptions[0])


class _Barrier:
    """Opens after ``expected`` callers have arrived; the last one first runs ``then``."""

    def __init__(self, expected: int, then: Callable[[], Awaitable[None]]) -> None:
        self._missing = expected
        self._then: Final = then
        self._open: Final = anyio.Event()

    async def passed(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            await self._then()
            self._open.set()
        await self._open.wait()


def _host(url: str) -> str:
    """Return the host without its port, which differs for each sandbox."""
    return urlsplit(url).hostname or url
