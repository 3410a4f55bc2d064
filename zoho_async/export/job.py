"""A bulk export: resources of one organization, side by side, into one destination::

    async with Export(zoho, ["invoices", "contacts"], to="backup") as job:
        async for event in job:
            print(event)
    print(job.summary.rows)

The first run reads everything; the same again reads what changed since (`modes`), and so on for
years. A run that was interrupted goes on.

One task of the session runs the job; inside it the resources run side by side in an anyio task
group, their pages come down together (`lander`), and what they tell comes out through a bounded
stream (a reader that stops, stops the job). Leaving the block early cancels the task and waits for
it: pages that are landing land, nothing else is sent, and the state stands.

What ends one list ends only that list (a missing scope, say): the others go on, the run is over
when they are complete, and the summary says in which state it left each
(`zoho_async.export.outcomes`). The next run asks for a refused list again. What would end them all
(the day's quota, the network, the disk, the credentials) ends the job with that exception; the
summary is there then too.
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
    check_filters,
    check_since,
    children,
    every,
    exportable,
    reads_of_parents,
    resolve,
    single_reads,
    written,
)
from zoho_async.export.checkpoint.store import ResourceState, State
from zoho_async.export.deletions import DeletionDetector
from zoho_async.export.destinations.base import Destination, Origin
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.details.fetcher import DetailFetcher, folder_of
from zoho_async.export.details.operations import details_of, papers_of
from zoho_async.export.details.writer import DetailWriter, Further
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
from zoho_async.export.prover import Allowance
from zoho_async.export.reader import ListReader
from zoho_async.export.writer import ResourceWriter, RunOptions, WriteQueue, settle, writing
from zoho_async.http.call import Budget
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Seconds between two looks at whether the day's calls are used up.
_LOOK: Final = 1.0
#: Seconds after which it is told again where nobody named the reset.
_UNNAMED: Final = 3600.0


class SummaryBuilder:
    """Counts one run of ``readings``, which may still be added to."""

    def __init__(
        self,
        zoho: Session,
        organization: str,
        readings: Sequence[ListReader],
        *,
        budget: Budget | None,
        clock: Clock,
    ) -> None:
        self._zoho: Final = zoho
        self._organization: Final = organization
        self._readings: Final = readings
        self._budget: Final = budget
        self._clock: Final = clock
        self._started = time.monotonic()
        self._before: Snapshot | None = None

    async def begin(self) -> None:
        """Count from here."""
        self._started = time.monotonic()
        self._before = await self._zoho.snapshot()

    async def planned(self) -> Planned:
        """What lies ahead, once every reading has planned or failed."""
        ahead = [reading.planned for reading in self._readings if reading.planned is not None]
        calls = sum(one.calls for one in ahead)
        made = sum(reading.pages for reading in self._readings)
        limits = self._zoho.limits
        today = await self._zoho.snapshot()
        return Planned(
            resources=tuple(ahead),
            rows=sum(one.rows or 0 for one in ahead),
            calls=calls,
            seconds=estimated_seconds(calls, rate=self._zoho.rate, burst=limits.burst),
            exact=all(reading.exact for reading in self._readings),
            days=days_needed(calls - made, today, limits),
        )

    async def tell_parking(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        """Say once a day that its calls are used up; goes on until it is cancelled."""
        told_until = 0.0
        while True:
            today = await self._zoho.snapshot()
            now = self._clock.monotonic()
            if bulk_left(today, self._zoho.limits) == 0 and now >= told_until:
                wait = today.day_reset_in
                told_until = now + (_UNNAMED if wait is None else wait)
                await send.send(WaitingForReset(organization=self._organization, seconds=wait))
            await anyio.sleep(_LOOK)

    async def summary(self, directory: str) -> Summary:
        """What the run did, into ``directory``."""
        resources = tuple(reading.summary() for reading in self._readings)
        statuses: list[Status] = [one.status for one in resources]
        # If no list at all could be read, that is news each time.
        read = INCOMPLETE if statuses and {"failed", "not allowed"} >= set(statuses) else DONE
        admitted, refused = await self._since()
        # Lists of the user rather than the organization go by the account's own limits.
        own = sum(reading.pages for reading in self._readings if reading.facts.per_user)
        made = own + admitted
        if self._budget is not None:  # what was admitted too late was not sent
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
        """Calls admitted for the organization since `begin`, and refused of them."""
        before, after = self._before, await self._zoho.snapshot()
        if before is None:
            return 0, 0
        return after.admitted - before.admitted, after.refused - before.refused


def _is_done(statuses: Sequence[Status]) -> bool:
    """Whether everything that may be read is complete, and something may."""
    return "done" in statuses and {"done", "not allowed"} >= set(statuses)


T = TypeVar("T")

_EVENTS_AHEAD: Final = 100


class Export:
    """One export job; ``async with`` holds its destination, ``async for`` runs it.

    ``resources`` are ``product.resource`` (Books where no product is named); none means every list
    that takes the filters and that ``scopes`` (those of the token, where known) allow. ``to`` is
    what `open_destination` takes (a directory, ``books.duckdb``, ``postgresql://user@host/name``)
    or a `Destination`. ``filters`` go to every list; ``since`` (aware) to its filter by
    last modification, so that nothing older is read.

    ``full`` reads everything anew; ``restart`` does, and gives up what an interrupted run left
    instead of going on with it. ``detect_deletions`` reads the lists whole, and asks about each
    known record that is in none of them whether it was deleted, with ``max_deletion_checks`` calls
    at most. ``margin`` is what is allowed for clocks.

    ``details`` reads each new or changed record in full, which takes the place of the list's row.
    ``files`` saves its documents: into the directory that it names, or, where it is True, beside
    the rows (``books/invoices.files/<id>.pdf``). Where an earlier run was not asked for one of
    them, the list is read anew for all its records. What is held in full stays so without being
    asked again (but for ``restart``), and a run without ``files`` leaves the documents of what it
    brings to the next run with.

    ``strict`` counts every list that is not proven complete as incomplete, ``accept_short`` names
    lists that may count more records than are found. A full read that lacks records and is not
    proven replaces nothing: what was there stays, and what was read is kept as changes;
    ``accept_shorter`` lets it replace. All three are for this run. ``summary.exit_code`` tells what
    came of it.

    ``max_calls`` is the most calls that this run may make; where it or the day's quota is spent,
    the job ends with `BudgetSpent` or `DailyQuotaExceeded` and can be gone on with. ``until_done``
    waits for the next day instead.

    Raises `ConfigurationError` (an unknown resource or filter, no organization) when made;
    `CheckpointRefused`, `ExportRunning` or `DestinationError` on entering; and while running what
    calls raise.
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
        self._asked: Final = RunOptions(
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
        self._sweep: Final = (
            DeletionDetector(
                {**single_reads(), **reads_of_parents()}, max_deletion_checks, self._blocking, clock
            )
            if detect_deletions
            else None
        )
        self._readings: Final[list[ListReader]] = []
        self._tally: Final = SummaryBuilder(
            self._zoho, self._organization, self._readings, budget=budgeted, clock=clock
        )
        self._allowance: Final = Allowance(self._day)
        self._state: State | None = None
        self._task: asyncio.Task[None] | None = None
        self._summary: Summary | None = None
        self._scope: Final = anyio.CancelScope()
        self._events: MemoryObjectReceiveStream[ExportEvent] | None = None

    @property
    def resources(self) -> tuple[str, ...]:
        """What is exported, as ``product.resource``."""
        return tuple(facts.resource for facts in self._lists)

    @property
    def summary(self) -> Summary:
        """What the run did. Raises `RuntimeError` before its end."""
        if self._summary is None:
            raise RuntimeError("the export has not ended yet")
        return self._summary

    async def __aenter__(self) -> Export:
        if self._task is not None:
            raise RuntimeError("an export is entered once; make another one")
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
            # The scope's cancellation, not the task's: it lets a page that is landing land.
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # who left early did not ask for it
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
        """Run to the end, past events that were not read. Raises what ended the job early."""
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
                await self._tally.begin()
                async with send:
                    await self._read_all(send)
                await self._finish()
        except BaseExceptionGroup as several:
            first = _first(several)
            if isinstance(first, DailyQuotaExceeded | DailyLimitReply | BudgetSpent):
                for reading in self._readings:
                    reading.stopped = True
            raise first from None  # the first failure ended the others
        finally:
            with anyio.CancelScope(shield=True):
                send.close()
                await self._blocking(self._close)
                self._summary = await self._tally.summary(self.destination.name)

    async def _read_all(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        assert self._state is not None
        lander = WriteQueue(self._state, self._blocking, send.send)
        async with anyio.create_task_group() as landing:
            landing.start_soon(lander.run)
            try:
                planned = _Gate(len(self._readings), lambda: self._tell_plan(send))
                async with anyio.create_task_group() as watching:
                    if self._until_done:
                        watching.start_soon(self._tally.tell_parking, send)
                    async with anyio.create_task_group() as group:
                        for reading in self._readings:
                            group.start_soon(self._read, reading, lander, send, planned)
                    watching.cancel_scope.cancel()
            finally:
                lander.close()

    async def _read(
        self,
        reading: ListReader,
        lander: WriteQueue,
        send: MemoryObjectSendStream[ExportEvent],
        planned: _Gate,
    ) -> None:
        try:
            await reading.run(send.send, lander, planned.passed)
            self._observe(reading.summary())
        except LimitError:
            await lander.landed()  # what was paid for is kept
            raise
        except (ReplyError, UnreadableReply) as error:
            if isinstance(error, OrganizationError | InvalidToken):
                raise
            await lander.landed()
            await reading.fail(error)
            resource, state = reading.facts.resource, reading.state
            await send.send(
                ResourceFailed(resource=resource, error=error, allowed=reading.allowed, state=state)
            )
            if reading.planned is None:
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

    async def _tell_plan(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        await send.send(await self._tally.planned())

    async def _finish(self) -> None:
        """The run is over: each list is complete, or Zoho refused it or failed on it."""
        state = self._state
        assert state is not None
        done = [one for one in self._readings if one.landing.position.stand == "complete"]
        names = [one.facts.resource for one in done]
        await self._blocking(lambda: state.finish(names))

    # -- the destination ------------------------------------------------------------------------

    def _open(self) -> None:
        place = Origin(self._organization, _host(self._zoho.api_url))
        name = self.destination.name
        try:
            with writing(name):
                database = self.destination.open(place)
                state = State.open(database, place, name=name, restart=self._asked.restart)
            self._state = state
            settle(state, self.destination, written())
            with writing(name):
                state.enter(self._run_name(), incremental.stamp(self._clock.time()))
            for facts in self._lists:
                self._readings.append(self._reading(state, facts))
        except BaseException:
            self._close()
            raise

    def _reading(self, state: State, facts: OperationFacts) -> ListReader:
        request = self._request_of(facts)
        further = self._further_of(facts.resource, state.position(facts.resource))
        zoho = self._zoho.with_options()  # a view of its own: callers take turns by view
        if further is None:
            landing, following = (
                ResourceWriter(state, self.destination, facts, request, self._asked),
                None,
            )
        else:
            landing = DetailWriter(state, self.destination, facts, request, self._asked, further)
            following = DetailFetcher(
                zoho,
                landing,
                blocking=self._blocking,
                clock=self._clock,
                folder=self._folder and folder_of(self._folder, facts.resource),
            )
        landing.open()
        return ListReader(
            zoho,
            landing,
            self._filters,
            blocking=self._blocking,
            clock=self._clock,
            named=self._named,
            accepted=facts.resource in self._accepted,
            strict=self._strict,
            sweep=self._sweep,
            following=following,
            allowance=self._allowance,
        )

    def _further_of(self, resource: str, before: ResourceState | None) -> Further | None:
        """What is asked of each record besides its row, if anything; ``before`` it was asked too.

        What a place holds in full it goes on to hold in full, unless all is begun afresh.
        """
        child = children().get(resource)
        if child is not None:
            return Further(child=child)
        held = (
            before
            if before is not None and not self._asked.restart
            else ResourceState(name=resource)
        )
        details = details_of(resource) if self._details or held.details else None
        papers = papers_of(resource) if self._folder is not None or held.papers else None
        return Further(details=details, papers=papers) if details or papers else None

    def _close(self) -> None:
        for reading in self._readings:
            reading.landing.close()
        self.destination.close()

    def _run_name(self) -> str:
        asked = {"resources": sorted(self.resources), "filters": sorted(self._filters.items())}
        return msgspec.json.encode(asked).decode()

    def _request_of(self, facts: OperationFacts) -> str:
        asked = {
            "list": facts.name,
            "order": facts.order,
            "filters": sorted(self._filters.items()),
            "since": self._asked.since,
        }
        return msgspec.json.encode(asked).decode()

    async def _day(self) -> int | None:
        return (await self._zoho.snapshot()).day_limit

    async def _blocking(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread. An anyio cancellation waits for its end.

        Cancelling the task itself does not, so the lock keeps `_close` from overtaking a landing.
        """
        return await anyio.to_thread.run_sync(self._alone, work, limiter=self._disk)

    def _alone(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()


def accepted(names: Collection[str]) -> list[OperationFacts]:
    """The lists that ``names`` mean. Raises `UnknownResource`."""
    return resolve(list(names), every()) if names else []


def _lists(
    names: Sequence[str],
    filters: Mapping[str, str],
    since: datetime | None,
    scopes: Collection[str] | None,
) -> list[OperationFacts]:
    """What is meant by ``names``. Raises `ConfigurationError` for what cannot be asked."""
    if since is not None and since.tzinfo is None:
        raise ConfigurationError(f"since must say its offset from UTC, {since} does not")
    lists = resolve(names, every() if names else exportable(), filters=filters, scopes=scopes)
    if since is not None and not names:
        lists = [facts for facts in lists if incremental.asks_changes(facts)]
    check_filters(filters, lists)
    if since is not None:
        check_since(lists)
    return lists


def _folder(files: bool | str | PathLike[str], destination: Destination) -> Path | None:
    """Where documents go, None for nowhere. Raises `ConfigurationError` where nobody said."""
    if not isinstance(files, bool):
        return Path(files)
    if not files:
        return None
    if not isinstance(destination, Directory):
        raise ConfigurationError(
            f"{destination.name} has no place for files: name a directory for them"
        )
    return destination.path


def _first(failure: BaseException) -> BaseException:
    """The first failure of a task group, however deep; any other failure as it is."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    group = cast("BaseExceptionGroup[BaseException]", failure)
    return _first(group.exceptions[0])


class _Gate:
    """Opens when ``expected`` callers have come; the last one first does what ``then`` says."""

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
    """The host that the state names, without its port: a sandbox gets another each time."""
    return urlsplit(url).hostname or url
