"""One page: asked of a session, and read."""

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
    """What paging needs of a `Session`."""

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
    """A page's rows as they came, and what came with them."""

    rows: list[R]
    context: PageContext | None
    extra: Callable[[], dict[str, Any]]


class RowReading(msgspec.Struct, Generic[R], frozen=True):
    """How a walk reads bodies: into a sheet (raises `Unreadable`), and rows' ids ("": none).

    ``times`` are those of a row, None where the reader judges completeness itself.
    """

    sheet: Callable[[bytes], Sheet[R]]
    ids: Callable[[list[R]], list[str]]
    times: Callable[[R], RowTimes] | None = None


class FetchedPage(msgspec.Struct, Generic[R], frozen=True):
    """A page that came in ``seconds``, any wait for the limits left out.

    ``made`` is a moment by Zoho's clock at which it was not made yet; None: not told.
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
    """One page, decoded. Raises what the session raises."""
    answer, sheet = await zoho.fetch_page(
        list_query.operation, reading.sheet, ids=list_query.ids, query=query
    )
    return FetchedPage(sheet, answer.seconds, sent_at(answer))


def reply_date(answer: Answer) -> float | None:
    """The moment of a reply by the clock of the one who sent it, if it tells."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def sent_at(answer: Answer) -> float | None:
    """A moment by the sender's clock that is no later than the one when the call was sent."""
    date = reply_date(answer)
    return None if date is None else date - answer.seconds
