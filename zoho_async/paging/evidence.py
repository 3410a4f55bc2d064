"""Collect the evidence that one walk read its list completely (see `completeness`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from zoho_async.paging.completeness import CLOCKS, Completeness, Pass, is_certain, missing, verdict
from zoho_async.paging.list_query import ListQuery
from zoho_async.wire import Page


class Evidence:
    """Counts the certain records of a walk through ``list_query`` from page ``first`` on.

    A walk that does not start at the first page is no full pass and is not checked. Without
    ``with_times``, the times of rows are not read and are no evidence.
    """

    def __init__(self, list_query: ListQuery[Any], first: int, *, with_times: bool) -> None:
        self._with_times: Final = with_times
        self._query: Final = list_query
        self._begins: Final = first == 1
        self._pass = Pass()
        self._records = 0
        self._short = False
        self._complete_so_far = bool(list_query.parts)

    @property
    def completeness(self) -> Completeness:
        return verdict((self._pass,), self._records) if self._begins else "uncheckable"

    @property
    def missing(self) -> int:
        """The list's total minus the number of rows read."""
        return missing((self._pass,), self._records) if self._begins else 0

    def page(self, page: Page[Any], total: int | None, new: Sequence[bool]) -> None:
        """Add the next page. ``new`` marks rows that were not read before.

        ``total`` is the total of the first page.
        """
        self._records += sum(new)
        if self._query.parts is not None:
            self._unpaged(page)
        elif page.number == 1:
            self._first(page, total, new)
        else:
            self._later(page, new)

    def _first(self, page: Page[Any], total: int | None, new: Sequence[bool]) -> None:
        sent = page.context.per_page
        per_page = self._query.per_page if sent is None else min(self._query.per_page, sent)
        self._short = len(page.rows) < per_page and not page.has_more
        since = None if page.date is None else page.date - CLOCKS
        certain = sum(new)
        named = certain
        if self._query.operation.row_id:
            named = sum(one and bool(identity) for one, identity in zip(new, page.ids, strict=True))
        self._pass = Pass(total=total, since=since, certain=named, without_id=certain - named)

    def _later(self, page: Page[Any], new: Sequence[bool]) -> None:
        if page.number == 2 and self._short and not page.rows and not page.has_more:
            self._pass = msgspec.structs.replace(self._pass, closed=True)
        if self._pass.total is None or not self._with_times:
            return
        narrowed = self._query.narrowed
        certain = sum(
            bool(identity) and is_certain(self._pass, time=times.there_since(narrowed=narrowed))
            for times, identity in itertools.compress(
                zip(page.read_times(), page.ids, strict=True), new
            )
        )
        self._pass = msgspec.structs.replace(self._pass, certain=self._pass.certain + certain)

    def _unpaged(self, page: Page[Any]) -> None:
        """Add a reply of a list without numbered pages: complete unless it says otherwise."""
        # A full or an empty reply may have been cut off.
        cut = not self._query.batches and len(page.rows) >= self._query.per_page
        silent = not self._query.batches and not page.rows and page.has_more is None
        self._complete_so_far = self._complete_so_far and not (page.has_more or cut or silent)
        self._pass = msgspec.structs.replace(self._pass, closed=self._complete_so_far)
