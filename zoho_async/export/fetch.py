"""Fetch list pages and single records for an export, with the server's time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.errors import ReplyError, says_gone
from zoho_async.export.catalog import list_operation
from zoho_async.export.details.operations import record_in, with_fields
from zoho_async.paging import Page, Pager, PageSource
from zoho_async.paging.completeness import Completeness
from zoho_async.paging.list_query import list_query
from zoho_async.paging.source import fetch_page
from zoho_async.wire import PageContext, raw_context, raw_page, read_envelope
from zoho_async.wire.page import RowTimes, times_of
from zoho_async.wire.text import untyped_object


async def pages(
    zoho: PageSource,
    facts: OperationFacts,
    query: Mapping[str, object],
    first: int,
    ended: Callable[[Completeness | None], None],
) -> AsyncGenerator[Page[bytes]]:
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
) -> Page[bytes]:
    """Fetch one page of a list, with its total if the list counts its rows."""
    return await page_below(zoho, facts, (), query, number, counting=True)


async def context_of(
    zoho: PageSource, facts: OperationFacts, query: Mapping[str, object]
) -> PageContext:
    """Fetch the page context of a list, without rows if ``query`` asks for the count alone."""
    operation = list_operation(facts)
    parameters = list_query(operation, (), query).page_query(1)
    _, context = await zoho.fetch_page(operation, raw_context, query=parameters)
    return context


def is_repeated(before: Page[bytes], page: Page[bytes]) -> bool:
    """Whether ``page`` repeats ``before``, as a server does that ignores page numbers."""
    same_context = page.has_more is not None and page.context == before.context
    return same_context and set(page.rows) <= set(before.rows)


async def page_below(
    zoho: PageSource,
    facts: OperationFacts,
    ids: Sequence[str],
    query: Mapping[str, object],
    number: int,
    *,
    counting: bool = False,
) -> Page[bytes]:
    """Fetch one page of a child list of the records ``ids``."""
    operation = list_operation(facts)
    children = list_query(operation, ids, query)
    asked = children.page_query(number, counting=counting)
    return await fetch_page(zoho, children, partial(raw_page, operation), asked, number)


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


async def record_by_id(
    zoho: PageSource, reading: OperationFacts, identity: str, row_id: str
) -> bytes | None:
    """Fetch a record as Zoho sent it, with its id as ``row_id``; None if it does not exist.

    Returns b"" if the reply has no record. Raises any other failure.
    """

    def read(body: bytes) -> bytes:
        read_envelope(body)
        try:
            row = record_in(reading, body, row_id)
        except msgspec.DecodeError:
            return b""
        return with_fields(row, {row_id: identity}) if row else b""

    try:
        _, row = await zoho.fetch_page(list_operation(reading), read, ids=(identity,))
    except ReplyError as error:
        if says_gone(error):
            return None
        raise
    return row
