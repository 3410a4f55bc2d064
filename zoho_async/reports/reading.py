"""Read reports: rows through a `Pager`, sections as a `ReportTree`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import anyio
import msgspec

from zoho_async.errors import Request, UnreadableReply, first_failure
from zoho_async.events import Event
from zoho_async.http.transport import Answer
from zoho_async.limits import Lane
from zoho_async.operation import ListOperation
from zoho_async.paging import Pager
from zoho_async.paging.source import PageSource
from zoho_async.reports.periods import PeriodLength, split_period
from zoho_async.reports.request import (
    ReportOperation,
    ReportOptions,
    ReportRequest,
    checked,
    period_of,
    report_request,
    unconfirmed,
)
from zoho_async.reports.tree import ReportNode, ReportTree, joined_sections
from zoho_async.session import Session
from zoho_async.wire import Decoder, Page, Record

T = TypeVar("T")


class ReportRow(Record, frozen=True, kw_only=True):
    """A row of a report whose fields are unknown: ``extra`` has its values, by Zoho's names."""


class _CheckedSource:
    """A session whose replies are compared with the request of a report before they are read."""

    def __init__(self, zoho: PageSource, request: ReportRequest[Any]) -> None:
        self._zoho: Final = zoho
        self._request: Final = request
        self.context: Mapping[str, Any] = {}

    @property
    def organization(self) -> str | None:
        return self._zoho.organization

    @property
    def decoder(self) -> Decoder:
        return self._zoho.decoder

    @property
    def rate(self) -> float:
        return self._zoho.rate

    def with_options(self, *, lane: Lane, max_wait: float | None) -> PageSource:
        return _CheckedSource(self._zoho.with_options(lane=lane, max_wait=max_wait), self._request)

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        def read_checked(body: bytes) -> T:
            reply = checked(self._request, body)
            self.context = reply.context
            return read(reply.body)

        return await self._zoho.fetch_page(operation, read_checked, ids=ids, query=query)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        return self._zoho.start(work, name=name)

    def observe(self, event: Event) -> None:
        self._zoho.observe(event)


def report_rows(
    zoho: Session,
    operation: ReportOperation[T],
    options: ReportOptions,
    query: Mapping[str, object | None],
) -> Pager[T]:
    """Return the rows of a report. Raises `ValueError` for dates that it does not take."""
    request = report_request(operation, options, query)
    return Pager(_CheckedSource(zoho, request), operation, query=request.query)


async def report_value(
    zoho: Session,
    operation: ReportOperation[T],
    options: ReportOptions,
    query: Mapping[str, object | None],
) -> T:
    """Return a report that is one object. Raises as `report_tree` does."""
    page = await report_rows(zoho, operation, options, query)
    if not page.rows:
        raise UnreadableReply(
            Request("GET", operation.path, zoho.organization), f"the reply has no {operation.key!r}"
        )
    return page.rows[0]


async def report_tree(
    zoho: Session,
    operation: ReportOperation[ReportNode],
    options: ReportOptions,
    query: Mapping[str, object | None],
    *,
    periods: PeriodLength | None = None,
) -> ReportTree:
    """Read a report with sections; with ``periods``, one call per period at the same time.

    Raises `ReportMismatch` if a reply answers another request, `ValueError` for wrong dates, and
    the errors of `Session.call`.
    """
    requests = [
        report_request(operation, each, query)
        for each in split_options(operation, options, periods)
    ]
    replies: dict[int, tuple[Page[ReportNode], Mapping[str, Any]]] = {}

    async def read(number: int, request: ReportRequest[ReportNode]) -> None:
        replies[number] = await _one_tree(zoho, request)

    try:
        async with anyio.create_task_group() as group:
            for number, request in enumerate(requests):
                group.start_soon(read, number, request)
    except BaseExceptionGroup as several:
        raise first_failure(several) from None
    pages = tuple(replies[number][0] for number in range(len(requests)))
    contexts = [replies[number][1] for number in range(len(requests))]
    return ReportTree(
        name=operation.name,
        periods=tuple(map(period_of, requests, contexts)),
        sections=joined_sections([page.rows for page in pages]),
        pages=pages,
        unconfirmed=tuple(
            dict.fromkeys(
                name
                for request, context in zip(requests, contexts, strict=True)
                for name in unconfirmed(request, context)
            )
        ),
    )


async def _one_tree(
    zoho: Session, request: ReportRequest[ReportNode]
) -> tuple[Page[ReportNode], Mapping[str, Any]]:
    source = _CheckedSource(zoho, request)
    page = await Pager(source, request.operation, query=request.query)
    return page, source.context


def split_options(
    operation: ReportOperation[Any], options: ReportOptions, length: PeriodLength | None
) -> list[ReportOptions]:
    """The options of each call. A report as of a day is read as of each period's last day."""
    if length is None:
        return [options]
    if options.from_date is None or options.to_date is None:
        raise ValueError("periods needs from_date and to_date")
    one_day = operation.dates == "day"
    return [
        msgspec.structs.replace(
            options, from_date=None if one_day else each.first, to_date=each.last
        )
        for each in split_period(options.from_date, options.to_date, length)
    ]
