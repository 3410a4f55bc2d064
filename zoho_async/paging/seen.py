"""The ids of the rows that a walk has met, at little more than their own digits' cost.

Zoho's ids are numbers of 18 or 19 digits that grow with time, and a walk in ``created_time`` order
meets them mostly ascending. So a page whose ids ascend beyond all such pages before is kept as one
text, and whether an id stands in one of those is found by the pages' first ids, without a set of
strings (a sixth of the memory, and quicker). The ids of every other page go into a set: in the
worst order this is only that set. The order is that of text, which is right for any ids.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from typing import Final

_BETWEEN: Final = "\n"


class SeenIds:
    """Remembers row ids. ``""`` is no id: it is new every time."""

    __slots__ = ("_firsts", "_largest", "_others", "_pages")

    def __init__(self) -> None:
        self._pages: Final[list[str]] = []
        self._firsts: Final[list[str]] = []
        self._largest = ""
        self._others: Final[set[str]] = set()

    def add_all(self, row_ids: list[str]) -> list[bool]:
        """Remember the ids of a page; for each, whether it was not there before."""
        if self._appended(row_ids):
            return [True] * len(row_ids)
        return [self._add(row_id) for row_id in row_ids]

    def _appended(self, row_ids: list[str]) -> bool:
        """Take ids that ascend beyond all pages taken so; False if these do not."""
        if not all(map(operator.lt, [self._largest, *row_ids], row_ids)):
            return False
        text = _BETWEEN.join(["", *row_ids, ""])
        if not self._others.isdisjoint(row_ids) or text.count(_BETWEEN) != len(row_ids) + 1:
            return False
        if row_ids:
            self._pages.append(text)
            self._firsts.append(row_ids[0])
            self._largest = row_ids[-1]
        return True

    def _add(self, row_id: str) -> bool:
        if not row_id:
            return True
        if row_id in self._others or self._on_a_page(row_id):
            return False
        self._others.add(row_id)
        return True

    def _on_a_page(self, row_id: str) -> bool:
        if row_id > self._largest or _BETWEEN in row_id:
            return False
        page = bisect_right(self._firsts, row_id) - 1
        return page >= 0 and f"{_BETWEEN}{row_id}{_BETWEEN}" in self._pages[page]
