"""Fetch list pages and single records for an export, with the server's time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import NotFound, ReplyError
from zoho_async.events import Event
from zoho_async.export.catalog import list_operation
from zoho_async.http.transport import Answer
from zoho_async.limits import Lane
from zoho_async.operation import ListOperation
from zoho_async.paging import Pager, PageSource, RowsPage
from zoho_async.paging.completeness import Completeness
from zoho_async.paging.list_query import list_query
from zoho_async.paging.source import sent_at
from zoho_async.paging.times import RowTimes, times_of
from zoho_async.wire import Decoder, raw_page, read_envelope, row_id
from zoho_async.wire.text import untyped_object

T = TypeVar("T")

#: Zoho's codes for an unknown path and for an unknown record.
_NO_PATH: Final = 5
_NO_RECORD: Final = 1002


class DatedSource:
    """A page source that keeps the server's time of its first call since `forget`."""

    def __init__(self, zoho: PageSource, dates: list[float] | None = None) -> None:
        self._zoho: Final = zoho
        self._dates: Final[list[float]] = [] if dates is None else dates

    @property
    def moment(self) -> float | None:
        """A moment by Zoho's clock no later than that call, in seconds since 1970, if known."""
        return self._dates[0] if self._dates else None

    def forget(self) -> None:
        """Keep the time of the next call instead."""
        self._dates.clear()

    @property
    def organization(self) -> str | None:
        return self._zoho.organization

    @property
    def decoder(self) -> Decoder:
        return self._zoho.decoder

    @property
    def rate(self) -> float:
        return self._zoho.rate

    def with_options(self, *, lane: Lane, max_wait: float | None) -> DatedSource:
        return DatedSource(self._zoho.with_options(lane=lane, max_wait=max_wait), self._dates)

    async def fetch_page(
        self,
        operation: ListOperation[Any],
        read: Callable[[bytes], T],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> tuple[Answer, T]:
        answer, page = await self._zoho.fetch_page(operation, read, ids=ids, query=query)
        moment = sent_at(answer)
        if moment is not None and not self._dates:
            self._dates.append(moment)
        return answer, page

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        return self._zoho.start(work, name=name)

    def observe(self, event: Event) -> None:
        self._zoho.observe(event)


async def pages(
    zoho: PageSource,
    facts: OperationFacts,
    query: Mapping[str, object],
    first: int,
    ended: Callable[[Completeness | None], None],
) -> AsyncGenerator[RowsPage]:
    """Yield the pages of a list from page ``first`` on. Fetches ahead.

    At the end of the list, ``ended`` gets what the pages alone show about completeness.
    """
    pager = Pager(zoho, list_operation(facts), query=query)
    async with aclosing(pager.raw_pages(first=first)) as walk:
        async for page in walk:
            yield page
    ended(pager.completeness)


async def page_of(
    zoho: PageSource, facts: OperationFacts, query: Mapping[str, object], number: int
) -> RowsPage:
    """Fetch one page of a list, with its total if the list counts its rows."""
    return await page_below(zoho, facts, (), query, number, counting=True)


def is_repeated(before: RowsPage, page: RowsPage) -> bool:
    """Whether ``page`` repeats ``before``, as a server does that ignores page numbers."""
    same_context = page.context is not None and page.context == before.context
    return same_context and set(map(bytes, page.rows)) <= set(map(bytes, before.rows))


async def page_below(
    zoho: PageSource,
    facts: OperationFacts,
    ids: Sequence[str],
    query: Mapping[str, object],
    number: int,
    *,
    counting: bool = False,
) -> RowsPage:
    """Fetch one page of a child list of the records ``ids``."""
    operation = list_operation(facts)
    asked = list_query(operation, ids, query).page_query(number, counting=counting)
    _, page = await zoho.fetch_page(operation, partial(raw_page, operation), ids=ids, query=asked)
    ids = [row_id(operation, row) for row in page.rows]
    total = None if page.context is None else page.context.total
    return RowsPage(
        number, page.rows, ["" if one == "-1" else one for one in ids], page.context, total
    )


async def times_by_id(zoho: PageSource, reading: OperationFacts, identity: str) -> RowTimes | None:
    """Fetch a record by its id and return its times; None if it does not exist."""
    operation = list_operation(reading)
    record: list[RowTimes] = []

    def read(body: bytes) -> object:
        envelope = read_envelope(body)
        found = untyped_object(body).get(reading.key)
        record.append(times_of(msgspec.json.encode(found)))
        return envelope

    try:
        await zoho.fetch_page(operation, read, ids=(identity,))
    except ReplyError as error:
        if says_gone(error):
            return None
        raise
    return record[0] if record else RowTimes(None, None)


async def is_gone(zoho: PageSource, reading: OperationFacts, identity: str) -> bool:
    """Whether Zoho says that the record does not exist. Raises any other failure."""
    operation = list_operation(reading)
    try:
        await zoho.fetch_page(operation, read_envelope, ids=(identity,))
    except ReplyError as error:
        if says_gone(error):
            return True
        raise
    return False


def says_gone(error: ReplyError) -> bool:
    """Whether the error says that the record does not exist."""
    return error.code == _NO_RECORD or (isinstance(error, NotFound) and error.code != _NO_PATH)
