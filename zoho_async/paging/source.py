"""Fetch one page from a session and decode it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from zoho_async.events import Event
from zoho_async.http.transport import Answer
from zoho_async.limits import Lane
from zoho_async.operation import ListOperation
from zoho_async.paging.list_query import ListQuery
from zoho_async.paging.times import RowTimes
from zoho_async.wire import Decoder, PageContext

T = TypeVar("T")
R = TypeVar("R")


class PageSource(Protocol):
    """The part of a `Session` that paging uses."""

    @property
    def organization(self) -> str | None: ...

    @property
    def decoder(self) -> Decoder: ...

    @property
    def rate(self) -> float: ...

    def with_options(self, *, lane: Lane, max_wait: float | None) -> PageSource: ...

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]: ...

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]: ...

    def observe(self, event: Event) -> None: ...


class Sheet(msgspec.Struct, Generic[R], frozen=True):
    """A decoded page: its rows, its context and the undocumented keys of the reply."""

    rows: list[R]
    context: PageContext | None
    extra: Callable[[], dict[str, Any]]


class RowReading(msgspec.Struct, Generic[R], frozen=True):
    """Functions that decode a body (raises `Unreadable`) and return the ids of rows.

    An id is "" for a row without one. ``times`` returns the times of a row, and is left out if the
    reader checks completeness itself.
    """

    sheet: Callable[[bytes], Sheet[R]]
    ids: Callable[[list[R]], list[str]]
    times: Callable[[R], RowTimes] | None = None


class FetchedPage(msgspec.Struct, Generic[R], frozen=True):
    """A fetched page. ``seconds`` is the duration of the call without waits for the limits.

    ``made`` is a time by Zoho's clock just before Zoho made the page, None if unknown.
    """

    sheet: Sheet[R]
    seconds: float
    made: float | None = None


async def fetch(
    zoho: PageSource,
    list_query: ListQuery[Any],
    reading: RowReading[R],
    query: Mapping[str, object],
) -> FetchedPage[R]:
    """Fetch and decode one page. Raises the errors of the session."""
    answer, sheet = await zoho.fetch_page(
        list_query.operation, reading.sheet, ids=list_query.ids, query=query
    )
    return FetchedPage(sheet, answer.seconds, sent_at(answer))


def reply_date(answer: Answer) -> float | None:
    """The time of a reply by the server's clock, or None without a ``Date`` header."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def sent_at(answer: Answer) -> float | None:
    """A time by the server's clock that is not after the moment the call was sent."""
    date = reply_date(answer)
    return None if date is None else date - answer.seconds
