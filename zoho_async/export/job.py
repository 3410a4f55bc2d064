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

Refresh. After all lists are read, the children of parents that have not changed are read again
(`zoho_async.export.details.writer`). So a refresh delays no new record of any list.

Failures. A failure of one list (a missing scope, for example) ends only that list. The summary has
the state of each list (`zoho_async.export.outcomes`), and the next run asks for a refused list
again. A failure that affects all lists (the day's quota, the network, the disk, the credentials)
ends the job with that exception. The summary is available then too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Final, TypeVar

import anyio
import anyio.to_thread
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
    ZohoError,
    first_failure,
)
from zoho_async.events import Exported
from zoho_async.export import incremental
from zoho_async.export.catalog import reads_of_parents, rows_of, single_reads
from zoho_async.export.checkpoint.copy import CheckpointCopy
from zoho_async.export.checkpoint.store import Checkpoint
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.destinations.base import Destination, OpenDestination, Origin
from zoho_async.export.details.fetcher import DetailFetcher, folder_of
from zoho_async.export.events import (
    ExportEvent,
    Planned,
    ResourceFailed,
    ResourceSummary,
    SinceMidnight,
    Summary,
)
from zoho_async.export.feed import ChangeFeed
from zoho_async.export.feed_pass import FeedPass
from zoho_async.export.feeds import (
    WantedFeed,
    event_of,
    expected_feeds,
    feed_pass_of,
    read_feeds,
    wanted_feeds,
)
from zoho_async.export.incremental import Margin
from zoho_async.export.options import ExportOptions, midnight
from zoho_async.export.part_end import settle
from zoho_async.export.plan import JobPlan, destination_of
from zoho_async.export.prover import Allowance
from zoho_async.export.reader import ListReader
from zoho_async.export.refusals import FirstList
from zoho_async.export.resource_store import writing
from zoho_async.export.shape import HashKey
from zoho_async.export.summary import SummaryBuilder, report_waiting
from zoho_async.export.write_queue import WriteQueue
from zoho_async.export.writer import ResourceWriter
from zoho_async.http.call import Budget
from zoho_async.session import Session

T = TypeVar("T")

_EVENTS_AHEAD: Final = 100


class Export:
    """One export job. ``async with`` opens the destination, ``async for`` runs the job.

    ``resources`` are ``product.resource`` names, of Books if no product is named. If there are
    none, every list that takes the filters and that ``scopes`` (the token's, if known) allow is
    exported. ``to`` is a `Destination` or what `open_destination` takes: a directory,
    ``books.duckdb``, ``postgresql://user@host/name``. ``options`` say the rest.

    ``time_zone`` is the organization's, for a date in ``options.since``. If it is not given, one
    call reads it. ``margin`` allows for differences between clocks. ``one_of_several`` says that
    other organizations are exported too (`Exports`). If Zoho refuses the organization,
    its lists are refused, and the job does not fail. ``hash_key`` is the key of ``options.hash``,
    by default that of the environment or the profile.

    If ``max_calls`` or the day's quota is spent, the job ends with `BudgetSpent` or
    `DailyQuotaExceeded`, and the next run continues. ``until_done`` waits for the next day instead.

    Raises `ConfigurationError` (an unknown resource or filter, no organization) on creation;
    `CheckpointRefused`, `ExportRunning` or `DestinationError` on entering; and what calls raise
    on entering and while it runs.
    """

    def __init__(
        self,
        zoho: Session,
        resources: Sequence[str] = (),
        *,
        to: str | PathLike[str] | Destination,
        options: ExportOptions = ExportOptions(),  # noqa: B008 - a frozen value
        time_zone: str | None = None,
        scopes: Collection[str] | None = None,
        margin: Margin = Margin(),  # noqa: B008 - a frozen value
        clock: Clock = SYSTEM_CLOCK,
        one_of_several: bool = False,
        hash_key: HashKey | None = None,
    ) -> None:
        if zoho.organization is None:
            raise ConfigurationError(
                "an export needs to know its organization: "
                "set ZOHO_ORGANIZATION_ID or Session(organization=...)"
            )
        self.destination: Final = destination_of(to, options)
        self._plan = JobPlan.of(
            resources,
            options,
            self.destination,
            scopes=scopes,
            margin=margin,
            hash_key=hash_key,
        )
        self._time_zone = time_zone
        self._options: Final = options
        budget = Budget(sys.maxsize if options.max_calls is None else options.max_calls)
        self._budget: Final = budget
        self._one_of_several: Final = one_of_several
        self._zoho: Final = zoho.with_options(
            lane="bulk",
            max_wait=None,
            wait_for_reset=options.until_done,
            budget=budget,
        )
        self._organization: Final = zoho.organization
        self._clock: Final = clock
        self._disk: Final = anyio.CapacityLimiter(1)
        self._lock: Final = threading.Lock()
        self._deletions: Final = (
            DeletionDetector(
                {**single_reads(), **reads_of_parents()},
                options.max_deletion_checks,
                self._blocking,
                clock,
            )
            if options.detect_deletions or options.change_feed
            else None
        )
        self._readers: Final[list[ListReader]] = []
        self._feeds: Final[dict[str, ChangeFeed]] = {}
        self._summary_builder: Final = SummaryBuilder(
            self._zoho,
            self._organization,
            self._readers,
            budget=budget,
            feeds=self._feeds,
        )
        self._allowance: Final = Allowance(self._day)
        self._place: OpenDestination | None = None
        self._checkpoint: Checkpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._summary: Summary | None = None
        self._scope: Final = anyio.CancelScope()
        self._events: MemoryObjectReceiveStream[ExportEvent] | None = None

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that are exported, as ``product.resource``."""
        return tuple(facts.resource for facts in self._plan.lists)

    @property
    def calls(self) -> int:
        """The number of calls that were made so far."""
        return self._budget.spent

    async def plan(self) -> Planned:
        """Return the calls, time and days that this export takes, instead of running it.

        Writes nothing. An interrupted or finished run and most later runs are planned by the
        checkpoint alone. A first or full read makes the calls that a run makes before its first
        page, and asks for that page. The checkpoint is read as it is, also while an export runs. A
        DuckDB file cannot be read while another run has it open.

        Raises `CheckpointRefused`, `ExportRunning` or `DestinationError`, and what calls raise
        except a refusal of a list, which is in the plan.
        """
        if self._place is not None:
            raise RuntimeError("an Export is entered or planned, and only once; create another one")
        if self._options.since_day is not None:
            await self._start_of_day(self._options.since_day)
        copy = CheckpointCopy(self.destination)
        await self._blocking(partial(self._open, copy))
        try:
            wanted = await self._blocking(self._wanted_feeds)
            self._feeds.update(expected_feeds(wanted, self._clock.time()))
            await self._blocking(self._open_lists)
            async with anyio.create_task_group() as group:
                for reader in self._readers:
                    records = copy.records(reader.writer.state.number)
                    group.start_soon(self._plan_one, reader, records)
            return await self._summary_builder.planned(only=True)
        except BaseExceptionGroup as several:
            raise first_failure(several) from None
        finally:
            with anyio.CancelScope(shield=True):
                await self._blocking(self._close)

    async def _plan_one(self, reader: ListReader, records: int) -> None:
        try:
            await reader.plan(records)
        except (ReplyError, UnreadableReply) as error:
            if self._concerns_all(error):
                raise
            await reader.fail(error)

    @property
    def summary(self) -> Summary:
        """The summary of the run. Raises `RuntimeError` before its end."""
        if self._summary is None:
            raise RuntimeError("the export has not ended yet")
        return self._summary

    async def __aenter__(self) -> Export:
        if self._place is not None:
            raise RuntimeError("an Export can be entered only once; create another one")
        day = self._options.since_day
        first: list[ExportEvent] = [] if day is None else [await self._start_of_day(day)]
        await self._blocking(partial(self._open, self.destination))
        try:
            wanted = await self._blocking(self._wanted_feeds)
            self._feeds.update(
                await read_feeds(
                    self._zoho,
                    wanted,
                    self._clock,
                    budget=self._budget,
                    max_calls=self._options.max_calls,
                )
            )
            first += map(event_of, self._feeds.values())
            await self._blocking(self._open_lists)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._blocking(self._close)
            raise
        send, self._events = anyio.create_memory_object_stream[ExportEvent](_EVENTS_AHEAD)
        for event in first:
            send.send_nowait(event)
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

    async def _start_of_day(self, day: date) -> SinceMidnight:
        """Set the moment of a date in ``since``: midnight in the organization's time zone."""
        time_zone = self._time_zone or await self._read_time_zone()
        since = midnight(day, time_zone)
        if since is None:
            since, time_zone = datetime(day.year, day.month, day.day).astimezone(), None
        self._plan = self._plan.with_since(since)
        return SinceMidnight(organization=self._organization, since=since, time_zone=time_zone)

    async def _read_time_zone(self) -> str | None:
        """Read the organization's time zone with one call; None if Zoho does not tell it."""
        with suppress(ReplyError, UnreadableReply):
            for each in await self._zoho.organizations():
                if each.id == self._organization:
                    return each.time_zone
        return None

    # -- the job's own task -------------------------------------------------------------------

    async def _run(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        try:
            with self._scope:
                await self._summary_builder.begin()
                async with send:
                    await self._read_all(send)
                    await self._finish()
                    for reader in self._readers:  # a single file has its columns only now
                        await reader.report_schema(send.send)
        except BaseExceptionGroup as several:
            first = first_failure(several)
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
        assert self._checkpoint is not None
        write_queue = WriteQueue(self._checkpoint, self._blocking, send.send)
        async with anyio.create_task_group() as writes:
            writes.start_soon(write_queue.run)
            try:
                planned = _Barrier(len(self._readers), lambda: self._report_plan(send))
                first = FirstList(self._readers, self._clock.time())
                async with anyio.create_task_group() as watching:
                    if self._options.until_done:
                        watching.start_soon(
                            report_waiting,
                            self._summary_builder.today,
                            self._zoho.limits,
                            self._organization,
                            self._clock,
                            send.send,
                        )
                    async with anyio.create_task_group() as group:
                        for reader in self._readers:
                            group.start_soon(self._read, reader, write_queue, send, planned, first)
                    async with anyio.create_task_group() as group:  # after all that is new
                        for reader in self._readers:
                            if reader.refreshes and reader.failure is None:
                                work = partial(reader.refresh, send.send)
                                group.start_soon(
                                    self._attempt, reader, work, write_queue, send, first
                                )
                    watching.cancel_scope.cancel()
            finally:
                write_queue.close()

    async def _read(
        self,
        reader: ListReader,
        write_queue: WriteQueue,
        send: MemoryObjectSendStream[ExportEvent],
        planned: _Barrier,
        first: FirstList,
    ) -> None:
        async def wait_for_plan() -> None:
            first.answer(reader)
            await planned.passed()

        async def work() -> None:
            if refused := await first.wait(reader):
                raise refused
            await reader.run(send.send, write_queue, wait_for_plan)

        await self._attempt(reader, work, write_queue, send, first)
        if reader.planned is None:
            await planned.passed()

    async def _attempt(
        self,
        reader: ListReader,
        work: Callable[[], Awaitable[None]],
        write_queue: WriteQueue,
        send: MemoryObjectSendStream[ExportEvent],
        first: FirstList,
    ) -> None:
        """Do ``work`` of a list. Report its failure if it concerns only this list."""
        try:
            await work()
            if reader.writer.state.status == "complete":
                self._observe(reader.summary())
        except LimitError:
            await write_queue.flush()  # keep the pages that were fetched
            raise
        except (ReplyError, UnreadableReply) as error:
            if self._concerns_all(error):
                raise
            await write_queue.flush()
            await reader.fail(error)
            first.answer(reader, error)
            resource, state = reader.facts.resource, reader.state
            await send.send(
                ResourceFailed(resource=resource, error=error, allowed=reader.allowed, state=state)
            )

    def _concerns_all(self, error: ZohoError) -> bool:
        """Whether an error of one list ends the job."""
        organization = isinstance(error, OrganizationError) and not self._one_of_several
        return organization or isinstance(error, InvalidToken)

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
        checkpoint, place = self._checkpoint, self._place
        assert checkpoint is not None
        assert place is not None
        done = [one for one in self._readers if one.writer.state.status == "complete"]
        names = [one.facts.resource for one in done]

        def finish() -> None:
            with writing(place.name):
                rounded = place.finish()
                for one in done:
                    one.writer.store.put_rounded(rounded.get(one.facts.resource, {}))
                checkpoint.finish(names)

        await self._blocking(finish)

    # -- the destination ------------------------------------------------------------------------

    def _open(self, destination: Destination) -> None:
        origin = Origin.of(self._organization, self._zoho.api_url)
        name, restart = self.destination.name, self._options.restart
        try:
            with writing(name):
                self._place = place = destination.open()
                checkpoint = Checkpoint.open(place.database, origin, name=name, restart=restart)
            self._checkpoint = checkpoint
            settle(checkpoint, place, rows_of)
            with writing(name):
                checkpoint.enter(self._plan.name, incremental.stamp(self._clock.time()))
        except BaseException:
            self._close()
            raise

    def _open_lists(self) -> None:
        assert self._place is not None
        assert self._checkpoint is not None
        for facts in self._plan.lists:
            self._readers.append(self._reader(self._place, self._checkpoint, facts))

    def _reader(
        self, place: OpenDestination, checkpoint: Checkpoint, facts: OperationFacts
    ) -> ListReader:
        # A separate view, because the scheduler serves views in turns; its budget counts its calls.
        budget = Budget(sys.maxsize, within=self._budget)
        zoho = self._zoho.with_options(budget=budget)
        writer, detail_writer = self._plan.open_writers(
            checkpoint, place, facts, self._clock.time(), self._feeds.get(facts.product)
        )
        detail_fetcher = None
        if detail_writer is not None:
            folder = self._plan.folder
            detail_fetcher = DetailFetcher(
                zoho,
                detail_writer,
                blocking=self._blocking,
                clock=self._clock,
                folder=folder and folder_of(folder, facts.resource),
            )
        return ListReader(
            zoho,
            writer,
            self._options.filter,
            blocking=self._blocking,
            clock=self._clock,
            named=self._plan.named,
            accepted=facts.resource in self._plan.accepted,
            strict=self._options.strict,
            deletions=self._deletions if self._detects else None,
            detail_fetcher=detail_fetcher,
            feed_pass=self._feed_pass(writer),
            allowance=self._allowance,
            budget=budget,
        )

    @property
    def _detects(self) -> bool:
        """Whether records that a whole list lacks are checked. Filters leave records out."""
        options = self._options
        return options.detect_deletions or not (options.filter or options.since)

    def _feed_pass(self, writer: ResourceWriter) -> FeedPass | None:
        if not self._options.change_feed or self._deletions is None:
            return None
        feed = self._feeds.get(writer.facts.product)
        return feed_pass_of(feed, writer, self._deletions, self._blocking, self._clock)

    def _wanted_feeds(self) -> dict[str, WantedFeed]:
        assert self._checkpoint is not None
        if not self._options.change_feed:
            return {}
        states, now = self._checkpoint.states(), self._clock.time()
        return wanted_feeds(self._plan.lists, states, now)

    def _close(self) -> None:
        for reader in self._readers:
            reader.writer.store.close()
        if self._place is not None:
            self._place.close()

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
