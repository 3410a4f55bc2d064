"""The return value of list functions: await it for one page, iterate it for every row."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from zoho_async.operation import ListOperation
from zoho_async.paging.completeness import Completeness
from zoho_async.paging.filters import refuse_cancelled
from zoho_async.paging.list_query import list_query
from zoho_async.paging.lookahead import Walk
from zoho_async.paging.source import PageSource, fetch_page, report_unconfirmed
from zoho_async.wire import OwnShape, Page, raw_page

R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class _Iteration(Generic[T_co]):
    """The common part of row and page iterators: one walk and its end."""

    def __init__(self, walk: Walk[T_co]) -> None:
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


class RowIterator(_Iteration[T_co]):
    """The rows of a list, each once. Leaving the loop ends the fetching.

    Several tasks may share one iterator; each row goes to one of them. After an exception the
    iterator can be used again and continues where it stopped. Use ``async with`` if the iterator
    may outlive its loop.
    """

    def __init__(self, walk: Walk[T_co]) -> None:
        super().__init__(walk)
        self._rows: Iterator[T_co] = iter(())

    def __aiter__(self) -> RowIterator[T_co]:
        return self

    async def __aenter__(self) -> RowIterator[T_co]:
        return self

    async def __anext__(self) -> T_co:
        for row in self._rows:
            return row
        async with self._walk.lock:
            while True:
                # Another task may have fetched the page while this one waited for the lock.
                for row in self._rows:
                    return row
                page = await self._walk.next()
                if page is None:
                    raise StopAsyncIteration
                self._rows = iter(page.rows)

    async def aclose(self) -> None:
        self._rows = iter(())
        await super().aclose()


class PageIterator(_Iteration[T_co]):
    """The pages of a list, in order. Otherwise like `RowIterator`."""

    def __aiter__(self) -> PageIterator[T_co]:
        return self

    async def __aenter__(self) -> PageIterator[T_co]:
        return self

    async def __anext__(self) -> Page[T_co]:
        async with self._walk.lock:
            page = await self._walk.next()
        if page is None:
            raise StopAsyncIteration
        return page


class Pager(Generic[T_co]):
    """A list: ``await`` it for one page, or use ``async for`` to get every row.

    ``await`` returns the page that the parameters name, in Zoho's order. ``async for`` yields every
    row from that page (or the first) to the end of the list, each id once. Pages are fetched ahead
    within the organization's limits, in the order in which rows move least during edits. The
    caller's ``sort_column`` or ``sort_order`` overrides this order; then rows that move while the
    list is read may be missed. Each ``await`` and each loop sends new calls.

    More ids than one call takes are read in batches, and the rows are joined. Both forms raise the
    errors of `Session.call`. An error of a page is raised after the rows before it.

    If Zoho's reply does not confirm a filter, an `UnconfirmedFilter` warning and an `Unconfirmed`
    event are sent, because Zoho ignores some filters. Filters that are known to cancel each other
    raise `CancelledFilter` before anything is sent.

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
        read: Callable[[bytes], Page[T_co]] | None = None,
    ) -> None:
        self._zoho: Final = zoho
        self._query: Final = list_query(operation, ids, query)
        refuse_cancelled(operation.product.name, operation.path, self._query.query)
        self._own_read: Final = read
        self._raw: Final = partial(raw_page, operation)
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
        page = await fetch_page(self._zoho, query, self._read, query.query, query.first)
        report_unconfirmed(self._zoho, query, page)
        return page

    async def _joined_batches(self) -> Page[T_co]:
        """The replies to all batches of ids as one page."""
        async with self.pages() as pages:
            found = [page async for page in pages]
        extra: dict[str, Any] = {}
        for page in reversed(found):
            extra |= page.extra
        return msgspec.structs.replace(
            found[0],
            rows=[row for page in found for row in page.rows],
            ids=[identity for page in found for identity in page.ids],
            read_times=lambda: [times for page in found for times in page.read_times()],
            read_extra=lambda: extra,
        )

    def __aiter__(self) -> RowIterator[T_co]:
        return RowIterator(self._walk(self._read))

    def into(self, shape: type[R]) -> Pager[R]:
        """The same list with each row as your own `msgspec.Struct` or dataclass.

        Only the fields of ``shape`` are decoded. Ids and completeness do not depend on it. ``""``
        stays ``""`` in a field that takes text. In any other field it is ``None``, or the field's
        default if it takes no ``None``. Values are converted if nothing gets lost.

        Example:
            A list of a few fields::

                class Open(msgspec.Struct):
                    invoice_number: str
                    balance: Decimal | None = None

                async for invoice in zoho.books.invoices.list().into(Open):
                    print(invoice.invoice_number, invoice.balance)

        Args:
            shape: The class of the rows. A field that Zoho may leave out needs a default.

        Raises:
            TypeError: ``shape`` is no struct or dataclass, or JSON cannot fill one of its fields.
            ShapeError: When the list is read, a row does not fit. The error names the field.
        """
        query = self._query
        operation = cast(ListOperation[R], msgspec.structs.replace(query.operation, row=shape))
        read = OwnShape(shape, query.operation).page
        return Pager(self._zoho, operation, ids=query.ids, query=query.query, read=read)

    def pages(self) -> PageIterator[T_co]:
        """The same rows page by page. The first page is returned even if the list is empty."""
        return PageIterator(self._walk(self._read))

    def raw(self) -> RowIterator[bytes]:
        """The same rows as the bytes that Zoho sent, not decoded."""
        return RowIterator(self._walk(self._raw))

    def raw_pages(self, *, first: int = 1) -> PageIterator[bytes]:
        """Pages of raw rows from page ``first`` on, for exports. Repeated rows are kept.

        The first page is returned even if it is empty.
        """
        return PageIterator(self._walk(self._raw, first, for_export=True))

    def _read(self, body: bytes) -> Page[T_co]:
        if self._own_read is not None:
            return self._own_read(body)
        return self._zoho.decoder.page(self._query.operation, body)

    def _walk(
        self,
        read: Callable[[bytes], Page[R]],
        first: int | None = None,
        *,
        for_export: bool = False,
    ) -> Walk[R]:
        first = first or self._query.first
        return Walk(self._zoho, self._query, read, first, for_export=for_export, ended=self._ended)
