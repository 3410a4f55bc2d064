"""The return value of list functions: await it for one page, iterate it for every row."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

import msgspec

from zoho_async.operation import ListOperation
from zoho_async.paging.completeness import Completeness
from zoho_async.paging.list_query import list_query
from zoho_async.paging.lookahead import OrderedPage, Walk
from zoho_async.paging.source import PageSource, RowReading, Sheet, fetch
from zoho_async.paging.times import CREATED, MODIFIED, RowTimes, moment, times_of
from zoho_async.wire import PageContext, Record, raw_page, row_id

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Generic[T_co]):
    """One page of a list. Iteration and ``len()`` are those of its ``rows``.

    ``context`` is Zoho's ``page_context``, empty if Zoho sent none. ``number`` counts from 1.
    """

    __slots__ = ("_extra", "context", "number", "rows")

    def __init__(
        self,
        rows: list[T_co],
        context: PageContext | None,
        number: int,
        extra: Callable[[], dict[str, Any]],
    ) -> None:
        self.rows: Final = rows
        self.context: Final = PageContext() if context is None else context
        self.number: Final = number
        self._extra: Final = extra

    @property
    def extra(self) -> dict[str, Any]:
        """The undocumented keys of the reply that held this page."""
        return self._extra()

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Page {self.number} of {len(self.rows)} rows>"


class RowsPage(msgspec.Struct, frozen=True):
    """A page of rows as raw bytes, including repeated rows.

    ``ids`` are the ids of ``rows``, "" for a row without one. ``total`` is the number of rows in
    the whole list, None if Zoho did not count them.
    """

    number: int
    rows: list[msgspec.Raw]
    ids: list[str]
    context: PageContext | None
    total: int | None


class _Iteration:
    """The common part of row and page iterators: one walk and its end."""

    def __init__(self, walk: Walk[Any]) -> None:
        self._walk: Final = walk

    async def aclose(self) -> None:
        """End the iteration and cancel look-ahead. No more calls are sent."""
        await self._walk.aclose()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class RowIterator(_Iteration, Generic[T_co]):
    """The rows of a list, each once. Leaving the loop ends the fetching.

    Several tasks may share one iterator; each row goes to one of them. After an exception the
    iterator can be used again and continues where it stopped. Use ``async with`` if the iterator
    may outlive its loop.
    """

    def __init__(self, walk: Walk[Any], rows: Callable[[OrderedPage[Any]], Iterator[T_co]]) -> None:
        super().__init__(walk)
        self._rows_of: Final = rows
        self._rows: Iterator[T_co] = iter(())

    def __aiter__(self) -> RowIterator[T_co]:
        return self

    async def __aenter__(self) -> RowIterator[T_co]:
        return self

    async def __anext__(self) -> T_co:
        for row in self._rows:
            return row
        async with self._walk.turn:
            while True:
                # Another task may have fetched the page while this one waited for the lock.
                for row in self._rows:
                    return row
                page = await self._walk.next()
                if page is None:
                    raise StopAsyncIteration
                self._rows = self._rows_of(page)

    async def aclose(self) -> None:
        self._rows = iter(())
        await super().aclose()


class PageIterator(_Iteration, Generic[T_co]):
    """The pages of a list, in order. Otherwise like `RowIterator`."""

    def __init__(self, walk: Walk[Any], page: Callable[[OrderedPage[Any]], T_co]) -> None:
        super().__init__(walk)
        self._page_of: Final = page

    def __aiter__(self) -> PageIterator[T_co]:
        return self

    async def __aenter__(self) -> PageIterator[T_co]:
        return self

    async def __anext__(self) -> T_co:
        async with self._walk.turn:
            page = await self._walk.next()
        if page is None:
            raise StopAsyncIteration
        return self._page_of(page)


class Pager(Generic[T_co]):
    """A list: ``await`` it for one page, or use ``async for`` to get every row.

    ``await`` returns the page that the parameters name, in Zoho's order. ``async for`` yields every
    row from that page (or the first) to the end of the list, each id once. Pages are fetched ahead
    within the organization's limits, in the order in which rows move least during edits. The
    caller's ``sort_column`` or ``sort_order`` overrides this order; then rows that move while the
    list is read may be missed. Each ``await`` and each loop sends new calls.

    More ids than one call takes are read in batches, and the rows are joined. Both forms raise the
    errors of `Session.call`. An error of a page is raised after the rows before it.

    After a complete loop, ``completeness`` tells whether it returned every row
    (`zoho_async.paging.completeness`). With ``Session(strict=True)`` the loop raises
    `IncompleteList` at its end unless this is proven.
    """

    def __init__(
        self,
        zoho: PageSource,
        operation: ListOperation[T_co],
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
    ) -> None:
        self._zoho: Final = zoho
        self._query: Final = list_query(operation, ids, query)
        self._completeness: Completeness | None = None

    @property
    def completeness(self) -> Completeness | None:
        """The completeness of the last loop that reached its end; None before that."""
        return self._completeness

    def _ended(self, completeness: Completeness) -> None:
        self._completeness = completeness

    def __repr__(self) -> str:
        return f"<Pager of {self._query.operation.name}>"

    def __await__(self) -> Generator[Any, None, Page[T_co]]:
        return self._one_page().__await__()

    async def _one_page(self) -> Page[T_co]:
        query = self._query
        if query.batches:
            return await self._joined_batches()
        fetched = await fetch(self._zoho, query, self._records(), query.query)
        sheet = fetched.sheet
        return Page(sheet.rows, sheet.context, query.first, sheet.extra)

    async def _joined_batches(self) -> Page[T_co]:
        """The replies to all batches of ids as one page."""
        async with self.pages() as pages:
            found = [page async for page in pages]
        extra: dict[str, Any] = {}
        for page in reversed(found):
            extra |= page.extra
        rows = [row for page in found for row in page.rows]
        return Page(rows, found[0].context, 1, lambda: extra)

    def __aiter__(self) -> RowIterator[T_co]:
        return RowIterator(self._walk(self._records()), lambda page: iter(page.fresh))

    def pages(self) -> PageIterator[Page[T_co]]:
        """The same rows page by page. The first page is returned even if the list is empty."""
        return PageIterator(
            self._walk(self._records()),
            lambda page: Page(page.fresh, page.context, page.number, page.extra),
        )

    def raw(self) -> RowIterator[bytes]:
        """The same rows as the bytes that Zoho sent, not decoded."""
        walk = self._walk(self._raw_rows(times=times_of))
        return RowIterator(walk, lambda page: map(bytes, page.fresh))

    def raw_pages(self, *, first: int = 1) -> PageIterator[RowsPage]:
        """Pages of raw rows from page ``first`` on, for exports. Repeated rows are kept.

        The first page is returned even if it is empty.
        """
        return PageIterator(
            self._walk(self._raw_rows(), first, whole=True),
            lambda page: RowsPage(page.number, page.rows, page.ids, page.context, page.total),
        )

    def _walk(
        self, reading: RowReading[Any], first: int | None = None, *, whole: bool = False
    ) -> Walk[Any]:
        first = first or self._query.first
        return Walk(self._zoho, self._query, reading, first, whole=whole, ended=self._ended)

    def _records(self) -> RowReading[T_co]:
        """Rows as records."""
        operation, decoder = self._query.operation, self._zoho.decoder

        def sheet(body: bytes) -> Sheet[T_co]:
            page = decoder.page(operation, body)
            return Sheet(page.rows, page.context, lambda: page.extra)

        id_of = _id_of(operation)
        times = _times_of(operation)
        return RowReading(
            sheet, lambda rows: [str(row_id or "") for row_id in map(id_of, rows)], times
        )

    def _raw_rows(
        self, times: Callable[[msgspec.Raw], RowTimes] | None = None
    ) -> RowReading[msgspec.Raw]:
        """Rows as their bytes."""
        operation = self._query.operation

        def sheet(body: bytes) -> Sheet[msgspec.Raw]:
            page = raw_page(operation, body)
            return Sheet(page.rows, page.context, dict)

        return RowReading(sheet, lambda rows: [row_id(operation, row) for row in rows], times)


def _id_of(operation: ListOperation[T]) -> Callable[[T], object]:
    """A function that returns the id of a record, from its field or from ``extra``."""
    return _field_of(operation, operation.row_id)


def _times_of(operation: ListOperation[T]) -> Callable[[T], RowTimes]:
    created, modified = _field_of(operation, CREATED), _field_of(operation, MODIFIED)
    return lambda row: RowTimes(moment(created(row)), moment(modified(row)))


def _field_of(operation: ListOperation[T], name: str) -> Callable[[T], object]:
    if not name:
        return lambda _: None
    sent: tuple[str, ...] = getattr(operation.row, "__struct_encode_fields__", ())
    if name in sent:
        fields: tuple[str, ...] = getattr(operation.row, "__struct_fields__", ())
        return operator.attrgetter(fields[sent.index(name)])
    return lambda row: row.extra.get(name) if isinstance(row, Record) else None
