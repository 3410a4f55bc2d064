"""Collect the evidence that one walk read its list completely (see `completeness`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from zoho_async.paging.completeness import CLOCKS, Completeness, Pass, is_certain, missing, verdict
from zoho_async.paging.list_query import ListQuery
from zoho_async.paging.source import FetchedPage
from zoho_async.paging.times import RowTimes

R = TypeVar("R")


class Evidence:
    """Counts the certain records of a walk through ``list_query`` from page ``first`` on.

    A walk that does not start at the first page is no full pass and is not checked.
    """

    def __init__(self, list_query: ListQuery[Any], first: int) -> None:
        self._query: Final = list_query
        self._begins: Final = first == 1
        self._pass = Pass()
        self._met = 0
        self._short = False
        self._complete_so_far = bool(list_query.parts)

    @property
    def completeness(self) -> Completeness:
        return verdict((self._pass,), self._met) if self._begins else "uncheckable"

    @property
    def missing(self) -> int:
        """The list's total minus the number of rows read."""
        return missing((self._pass,), self._met) if self._begins else 0

    def page(
        self,
        number: int,
        fetched: FetchedPage[R],
        total: int | None,
        ids: Sequence[str],
        new: Sequence[bool],
        times: Callable[[R], RowTimes] | None,
    ) -> None:
        """Add the next page. ``new`` marks rows that were not read before.

        ``total`` is the total of the first page.
        """
        self._met += sum(new)
        if self._query.parts is not None:
            self._unpaged(fetched)
            return
        if number == 1:
            self._first(fetched, total, ids, new)
        else:
            self._later(number, fetched, ids, new, times)

    def _first(
        self, fetched: FetchedPage[Any], total: int | None, ids: Sequence[str], new: Sequence[bool]
    ) -> None:
        context, rows = fetched.sheet.context, fetched.sheet.rows
        per_page = self._query.per_page
        if context is not None and context.per_page is not None:
            per_page = min(per_page, context.per_page)
        self._short = len(rows) < per_page and not (context and context.has_more_page)
        since = None if fetched.made is None else fetched.made - CLOCKS
        certain = sum(new)
        named = certain
        if self._query.operation.row_id:
            named = sum(one and bool(identity) for one, identity in zip(new, ids, strict=True))
        self._pass = Pass(total=total, since=since, certain=named, nameless=certain - named)

    def _later(
        self,
        number: int,
        fetched: FetchedPage[R],
        ids: Sequence[str],
        new: Sequence[bool],
        times: Callable[[R], RowTimes] | None,
    ) -> None:
        context, rows = fetched.sheet.context, fetched.sheet.rows
        if number == 2 and self._short and not rows and not (context and context.has_more_page):
            self._pass = msgspec.structs.replace(self._pass, closed=True)
        if self._pass.total is None or times is None:
            return
        narrowed = self._query.narrowed
        certain = sum(
            bool(identity)
            and is_certain(self._pass, time=times(row).there_since(narrowed=narrowed))
            for row, identity in itertools.compress(zip(rows, ids, strict=True), new)
        )
        self._pass = msgspec.structs.replace(self._pass, certain=self._pass.certain + certain)

    def _unpaged(self, fetched: FetchedPage[Any]) -> None:
        """Add a reply of a list without numbered pages: complete unless it says otherwise."""
        context, rows = fetched.sheet.context, fetched.sheet.rows
        more = context is not None and bool(context.has_more_page)
        # A full or an empty reply may have been cut off.
        cut = not self._query.batches and len(rows) >= self._query.per_page
        silent = not self._query.batches and not rows and context is None
        self._complete_so_far = self._complete_so_far and not (more or cut or silent)
        self._pass = msgspec.structs.replace(self._pass, closed=self._complete_so_far)
