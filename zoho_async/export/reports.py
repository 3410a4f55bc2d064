"""Export a report to a table: one row per line and period, closed periods once::

    from zoho_async.export import export_report

    done = await export_report(
        zoho, "profit_and_loss", to="books.duckdb", by="month",
        from_date=date(2026, 1, 1), to_date=date(2026, 12, 31), basis="accrual",
    )
    print(done.read, done.closed, done.rows)

Model
-----
The table of a report is a resource of the destination's checkpoint, named as the operation:
``books.reports.profit_and_loss``. It holds any number of periods, on any basis and with any
filters. Each period is written in one transaction: rows that are new or differ, deletion marks for
lines that are gone, the keys and digests of all rows, and the moment at which the period was read.

A period is *closed* if it was read after its last day had ended everywhere and ``closed_after``
more days had passed. A closed period is not read again. Each run reads the other periods again.

The first run writes a full part, later runs write stamped parts, as an export does.

Invariant
---------
The table has each period as one reply had it, after any kind of end. No rows of another period,
basis or filter than requested are written.

Why it holds
------------
Replies are compared with their requests (`zoho_async.reports.request`); what a reply does not
confirm is refused. A period that a part already has is not written to it again, because a full
part has no deletion marks: a run that continues a part reads such a period into a second part.
Fewer days of a calendar period never replace more days, unless ``full`` says so.

The moment of a read is the earlier one of two clocks, ours and that of Zoho's reply. The end of a
day is that in the last time zone, so no period closes early in any organization's time zone.

Unknown
-------
Whether the pages of a list that changes while it is read have each row once. An open period is read
again by the next run; choose ``closed_after`` so that a closed one no longer changes.
"""

from __future__ import annotations

import datetime as dt
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from zoho_async.clock import SYSTEM_CLOCK, Clock
from zoho_async.errors import ConfigurationError, first_failure
from zoho_async.events import Exported
from zoho_async.export import incremental
from zoho_async.export.catalog import rows_of
from zoho_async.export.checkpoint.records import digest
from zoho_async.export.checkpoint.store import Checkpoint, PeriodRead
from zoho_async.export.destinations.base import Destination, OpenDestination, Origin
from zoho_async.export.errors import CheckpointRefused, DestinationChanged
from zoho_async.export.options import ExportOptions, FormatName
from zoho_async.export.part_begin import open_store
from zoho_async.export.part_end import complete_part, settle
from zoho_async.export.plan import destination_of
from zoho_async.export.report_catalog import facts_of, report_named
from zoho_async.export.report_rows import TablePeriod, list_rows, tree_rows
from zoho_async.export.resource_store import ResourceStore, RunOptions, writing
from zoho_async.http.call import Budget
from zoho_async.reports import (
    Basis,
    Period,
    PeriodLength,
    ReportOperation,
    ReportOptions,
    report_rows,
    report_tree,
)
from zoho_async.reports.reading import split_options
from zoho_async.reports.request import basis_of, report_request
from zoho_async.session import Session

T = TypeVar("T")

#: Days after its end in which a period may change, by default.
CLOSED_AFTER: Final = 31

_DAY: Final = 86_400
#: How much later than in UTC a day ends in the last time zone.
_LAST_ZONE: Final = 12 * 3_600
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
#: Periods that are read at the same time. Their rows are in memory until they are written.
_AT_ONCE: Final = 4


class ReportTable(msgspec.Struct, frozen=True, kw_only=True):
    """What a run wrote to the table of a report.

    ``periods`` were requested: ``read`` of them were read, ``closed`` were not. ``rows`` were
    written, ``changed`` of them in place of others, and ``deleted`` rows were marked as deleted.
    ``rounded`` numbers have more digits than their columns hold; ``_exact`` has them.
    ``directory`` is the destination, ``file`` the file or table in it, ``calls`` the number of API
    calls.
    """

    report: str
    organization: str
    directory: str
    periods: int
    read: int
    closed: int
    rows: int = 0
    changed: int = 0
    deleted: int = 0
    rounded: int = 0
    calls: int = 0
    file: str = ""


async def export_report(
    zoho: Session,
    report: str,
    *,
    to: str | PathLike[str] | Destination,
    from_date: dt.date | None = None,
    to_date: dt.date,
    by: PeriodLength | None = None,
    basis: Basis | None = None,
    extra_query: Mapping[str, str] | None = None,
    closed_after: int = CLOSED_AFTER,
    full: bool = False,
    format: FormatName | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> ReportTable:
    """Write a report to a table, with one row per line and period.

    The same call again reads the periods that are not closed, and writes what changed. What an
    interrupted call wrote stays, and the next one continues.

    Args:
        zoho: The session that sends the calls.
        report: A report, such as ``profit_and_loss`` or ``inventory.warehouse``.
        to: A destination, or what ``zoho-async export --to`` takes.
        from_date: First day. A report as of one day takes it with ``by`` only.
        to_date: Last day.
        by: Divide the days into months, quarters or years of the calendar. Otherwise they are one
            period, and each choice of days has its own rows.
        basis: Accounting basis. By default the organization's.
        extra_query: Filters, by Zoho's names. Each choice of filters has its own rows.
        closed_after: Days after the end of a period until it is closed. What is read later than
            that is not read again.
        full: Read closed periods again, too, and let fewer days of a period replace more.
        format: File format of a directory. By default that of its files, or JSON Lines.
        clock: The clock that says whether a period is closed.

    Raises:
        ConfigurationError: An unknown report, wrong dates, or a report that takes no dates.
        ReportMismatch: A reply is for another period, basis or filter, or does not say.
        CheckpointRefused: The destination holds another organization's data, rows that no export
            wrote, or more days of a period.
        ExportRunning: Another run writes to the destination.
        DestinationError: The destination cannot be written.
        ZohoError: What calls raise.
    """
    operation = report_named(report)
    options = ReportOptions(from_date=from_date, to_date=to_date, basis=basis)
    periods = table_periods(operation, options, extra_query or {}, by)
    if closed_after < 0:
        raise ConfigurationError(f"closed-after must be a number of days, got {closed_after}")
    if zoho.organization is None:
        raise ConfigurationError(
            "a table needs to know its organization: "
            "set ZOHO_ORGANIZATION_ID or Session(organization=...)"
        )
    destination = destination_of(to, ExportOptions(format=format))
    run = _Run(zoho, zoho.organization, operation, destination, clock)
    try:
        return await run.export(periods, closed_after=closed_after, full=full)
    finally:
        with anyio.CancelScope(shield=True):
            await run.close()


def table_periods(
    operation: ReportOperation[Any],
    options: ReportOptions,
    query: Mapping[str, str],
    length: PeriodLength | None,
) -> list[TablePeriod]:
    """Return the periods of a request. Raises `ConfigurationError` for one that cannot be made."""
    if operation.dates == "none":
        raise ConfigurationError(
            f"{operation.name} takes no dates, so its rows belong to no period of a table"
        )
    if options.to_date is None or options.allow_unconfirmed:
        raise ConfigurationError(
            "a table needs dates that the reply confirms: give from_date and to_date (or to_date), "
            "and no allow_unconfirmed"
        )
    try:
        periods = [
            TablePeriod(options=each, query=query, length=length)
            for each in split_options(operation, options, length)
        ]
        for period in periods:
            report_request(operation, period.options, query)
    except ValueError as wrong:
        raise ConfigurationError(str(wrong)) from None
    return periods


def is_closed(last: dt.date, read: float, closed_after: int) -> bool:
    """Whether a period that ends with the day ``last`` was closed at the moment ``read``."""
    end = (last.toordinal() + 1 - _EPOCH) * _DAY + _LAST_ZONE
    return read >= end + closed_after * _DAY


class _Rows(msgspec.Struct, frozen=True):
    """The rows of one period by their keys, and the moment at which they were read."""

    rows: dict[str, bytes]
    read: float


class _Run:
    """One run of one report."""

    def __init__(
        self,
        zoho: Session,
        organization: str,
        operation: ReportOperation[Any],
        destination: Destination,
        clock: Clock,
    ) -> None:
        self._budget: Final = Budget(sys.maxsize)
        self._zoho: Final = zoho.with_options(lane="bulk", max_wait=None, budget=self._budget)
        self._organization: Final = organization
        self._operation: Final = operation
        self._facts: Final = facts_of(operation)
        self._destination: Final = destination
        self._clock: Final = clock
        self._disk: Final = anyio.CapacityLimiter(1)
        self._lock: Final = threading.Lock()
        self._place: OpenDestination | None = None
        self._store: ResourceStore | None = None
        self._failed = False
        self._done = ReportTable(
            report=operation.name,
            organization=organization,
            directory=destination.name,
            periods=0,
            read=0,
            closed=0,
        )

    async def export(
        self, periods: Sequence[TablePeriod], *, closed_after: int, full: bool
    ) -> ReportTable:
        checkpoint = await self._blocking(self._open)
        state = checkpoint.state_of(self._facts.resource)
        before = {} if state is None else state.periods
        whole = full and before.keys() <= {period.key for period in periods}
        if not full:
            _refuse_fewer_days(self._operation.name, periods, before)
        store = await self._blocking(lambda: self._begin(checkpoint, full=whole))

        def is_needed(period: TablePeriod) -> bool:
            known = store.state.periods.get(period.key)
            if full or known is None or Period(known.first, known.last) != period.days:
                return True
            return not is_closed(period.last, known.read, closed_after)

        needed = [period for period in periods if is_needed(period)]
        written = store.state.periods
        again = [period for period in needed if _is_in_part(written.get(period.key), store)]
        await self._read_part(store, [period for period in needed if period not in again])
        if again:
            store = await self._blocking(lambda: self._begin(checkpoint, full=False))
            await self._read_part(store, again)
        done = replace(
            self._done,
            periods=len(periods),
            read=len(needed),
            closed=len(periods) - len(needed),
            calls=self._budget.spent,
            file=store.sink.name,
        )
        self._zoho.observe(
            Exported(
                resource=done.report,
                organization=done.organization,
                mode=store.state.part.mode,
                rows=done.rows,
                deleted=done.deleted,
                calls=done.calls,
            )
        )
        return done

    async def close(self) -> None:
        """Close the destination. Waits for a write under way."""
        await self._blocking(self._close)

    # -- parts ----------------------------------------------------------------------------------

    def _open(self) -> Checkpoint:
        name = self._destination.name
        with writing(name):
            self._place = place = self._destination.open()
            origin = Origin.of(self._organization, self._zoho.api_url)
            checkpoint = Checkpoint.open(place.database, origin, name=name)
        settle(checkpoint, place, rows_of)
        with writing(name):
            resource = self._facts.resource
            state = checkpoint.state_of(resource)
            if state is not None and state.status == "complete":  # the last run ended right there
                checkpoint.finish([resource])
            run = f"report {self._operation.name}"
            checkpoint.enter(run, incremental.stamp(self._clock.time()))
        return checkpoint

    def _begin(self, checkpoint: Checkpoint, *, full: bool) -> ResourceStore:
        """Begin a part, or continue an interrupted one."""
        assert self._place is not None
        if self._store is not None:
            self._store.close()
        try:
            store = open_store(
                checkpoint, self._place, self._facts, self._operation.name, RunOptions(full=full)
            )
        except DestinationChanged as changed:
            raise CheckpointRefused(
                f"{changed.cause}; remove it or choose another place; the next run reads all "
                f"periods of {changed.resource} that it is asked for"
            ) from None
        self._store = store
        return store

    async def _read_part(self, store: ResourceStore, periods: Sequence[TablePeriod]) -> None:
        """Read ``periods`` into a part and complete it."""
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(period: TablePeriod) -> None:
            async with limiter:
                read = await self._fetch(period)
                await self._blocking(lambda: self._write(store, period, read))

        try:
            async with anyio.create_task_group() as group:
                for period in periods:
                    group.start_soon(one, period)
        except BaseExceptionGroup as several:
            raise first_failure(several) from None
        await self._blocking(lambda: self._complete(store))

    async def _fetch(self, period: TablePeriod) -> _Rows:
        began = self._clock.time()
        if self._operation.tree:
            report = await report_tree(self._zoho, self._operation, period.options, period.query)
            page = report.pages[0]
            rows = tree_rows(report.sections, period, basis_of(page.context.extra))
            return _Rows(rows, began if page.date is None else min(began, page.date))
        pager = report_rows(self._zoho, self._operation, period.options, period.query)
        async with pager.raw_pages() as pages:
            found = [page async for page in pages]
        read = [began, *(page.date for page in found if page.date is not None)]
        plain = [row for page in found for row in page.rows]
        basis = basis_of(found[0].context.extra) if found else None
        return _Rows(list_rows(plain, self._operation.row_id, period, basis), min(read))

    def _write(self, store: ResourceStore, period: TablePeriod, read: _Rows) -> None:
        """Write the rows of a period that are new or changed, and mark those that are gone.

        After a write that failed, the store no longer agrees with the checkpoint, so none follows.
        """
        if self._failed:
            return
        self._failed = True
        with store.transaction():
            known = store.records.find_prefix(f"{period.key}/")
            digests = {key: digest(row) for key, row in read.rows.items()}
            is_full = store.state.part.mode == "full"
            keys = [key for key, one in digests.items() if is_full or known.get(key) != one]
            rows = [read.rows[key] for key in keys]
            changed = sum(known.get(key, digests[key]) != digests[key] for key in keys)
            gone = [key for key in known if key not in digests]
            store.records.add(
                {key: digests[key] for key in keys}, store.state.passes.current, unknown=False
            )
            offset = store.write(rows)
            entry = PeriodRead(
                first=period.days.first,
                last=period.last,
                read=read.read,
                part=store.state.part.name,
            )
            store.put(
                part=replace(store.state.part.with_rows(rows, changed), offset=offset),
                periods={**store.state.periods, period.key: entry},
            )
            store.mark_deleted(gone, incremental.zoho_time(self._clock.time()))
        self._failed = False
        self._done = replace(
            self._done,
            rows=self._done.rows + len(rows),
            changed=self._done.changed + changed,
            deleted=self._done.deleted + len(gone),
        )

    def _complete(self, store: ResourceStore) -> None:
        complete_part(store, incremental.zoho_time(self._clock.time()))
        assert self._place is not None
        resource = self._facts.resource
        with writing(store.place):
            store.put_rounded(self._place.finish().get(resource, {}))
            store.checkpoint.finish([resource])
        rounded = sum(store.state.part.rounded.values())
        self._done = replace(self._done, rounded=self._done.rounded + rounded)

    # -- the destination ------------------------------------------------------------------------

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
        if self._place is not None:
            self._place.close()

    async def _blocking(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread; the lock keeps `_close` from overtaking a write."""
        return await anyio.to_thread.run_sync(self._alone, work, limiter=self._disk)

    def _alone(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()


def _is_in_part(known: PeriodRead | None, store: ResourceStore) -> bool:
    return known is not None and known.part == store.state.part.name


def _refuse_fewer_days(
    report: str, periods: Sequence[TablePeriod], before: Mapping[str, PeriodRead]
) -> None:
    """Raise `CheckpointRefused` if fewer days of a calendar period would replace more."""
    for period in periods:
        known = before.get(period.key)
        if known is None:
            continue
        held, asked = Period(known.first, known.last), period.days
        starts_later = bool(asked.first and held.first and asked.first > held.first)
        if starts_later or period.last < known.last:
            raise CheckpointRefused(
                f"the table of {report} has {held}, and {asked} is only a part of it: "
                "ask for the whole period, or replace it with --full"
            )
