"""Fetch one page from a session, with its number and its date."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import msgspec

from zoho_async.errors import UnconfirmedFilter
from zoho_async.events import Event, Unconfirmed
from zoho_async.http.transport import Answer
from zoho_async.limits import Lane
from zoho_async.operation import ListOperation
from zoho_async.paging.filters import unconfirmed
from zoho_async.paging.list_query import ListQuery
from zoho_async.wire import Decoder, Page

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


async def fetch_page(
    zoho: PageSource,
    list_query: ListQuery[Any],
    read: Callable[[bytes], Page[R]],
    query: Mapping[str, object],
    number: int,
) -> Page[R]:
    """Fetch page ``number``, and decode its body with ``read`` (raises `Unreadable`).

    Raises the errors of the session.
    """
    answer, page = await zoho.fetch_page(
        list_query.operation, read, ids=list_query.ids, query=query
    )
    return msgspec.structs.replace(
        page, number=number, date=sent_at(answer), seconds=answer.seconds
    )


def report_unconfirmed(zoho: PageSource, list_query: ListQuery[Any], page: Page[Any]) -> None:
    """Warn, and send an event, if the reply does not confirm a filter of the list."""
    operation = list_query.operation
    names = [each for each in unconfirmed(list_query.query, page) if each not in operation.required]
    if not names or operation.checks_filters:
        return
    path, filters = list_query.path, ", ".join(names)
    text = f"{path}: Zoho's reply does not confirm {filters}; it may have ignored the filter"
    zoho.observe(Unconfirmed(path=path, organization=zoho.organization, filters=tuple(names)))
    warnings.warn(text, UnconfirmedFilter, stacklevel=2)


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
