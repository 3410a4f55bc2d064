"""A compact set of the row ids that a walk has read.

Zoho's ids are numbers of 18 or 19 digits that grow with time, and a walk in ``created_time`` order
reads them mostly ascending. A page whose ids ascend beyond all such pages before it is stored as
one text, and an id is looked up by the first ids of these pages. This takes a sixth of the memory
of a set of strings and is faster. The ids of all other pages go into a set, so the worst case is an
ordinary set. Ids are ordered as text, which is correct for any ids.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from typing import Final

_BETWEEN: Final = "\n"


class SeenIds:
    """A set of row ids. ``""`` means "no id" and is always new."""

    __slots__ = ("_firsts", "_largest", "_others", "_pages")

    def __init__(self) -> None:
        self._pages: Final[list[str]] = []
        self._firsts: Final[list[str]] = []
        self._largest = ""
        self._others: Final[set[str]] = set()

    def add_all(self, row_ids: list[str]) -> list[bool]:
        """Add the ids of a page. For each, return whether it is new."""
        if self._appended(row_ids):
            return [True] * len(row_ids)
        return [self._add(row_id) for row_id in row_ids]

    def _appended(self, row_ids: list[str]) -> bool:
        """Append ids that ascend beyond all appended pages; return False for other ids."""
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
