"""The ids of the rows that a walk has met, in 8 bytes a row where they come in order.

Zoho's ids are numbers of 18 or 19 digits that grow with time, and a walk in ``created_time`` order
meets them mostly ascending. So the ids that exceed all before them are kept as plain 64-bit
integers in one sorted array, where a look-up is a bisection and most pages need none. Whatever
comes out of order, or is no such number, goes into a set. In the worst order this is only that set.
"""

from __future__ import annotations

import operator
import re
from array import array
from bisect import bisect_left
from typing import Final

#: What an integer of 64 bits gives back unchanged: "007" and "7" are two ids.
_plain: Final = re.compile("[1-9][0-9]{0,18}").fullmatch


class Seen:
    """Remembers row ids. ``""`` is no id: it is new every time."""

    __slots__ = ("_ascending", "_largest", "_others")

    def __init__(self) -> None:
        self._ascending: Final = array("Q")
        self._largest = 0
        self._others: Final[set[str]] = set()

    def add_all(self, row_ids: list[str]) -> list[bool]:
        """Remember the ids of a page; for each, whether it was not there before."""
        if self._appended(row_ids):
            return [True] * len(row_ids)
        return [self.add(row_id) for row_id in row_ids]

    def add(self, row_id: str) -> bool:
        """Remember ``row_id``; whether it was not there before."""
        if not row_id:
            return True
        if _plain(row_id):
            number = int(row_id)
            if number > self._largest:
                self._ascending.append(number)
                self._largest = number
                return True
            place = bisect_left(self._ascending, number)
            if self._ascending[place] == number:
                return False
        if row_id in self._others:
            return False
        self._others.add(row_id)
        return True

    def _appended(self, row_ids: list[str]) -> bool:
        """Take ids that ascend beyond all before in one go; False if these do not."""
        if not row_ids or not all(map(_plain, row_ids)):
            return False
        numbers = list(map(int, row_ids))
        if not all(map(operator.lt, [self._largest, *numbers], numbers)):
            return False
        self._ascending.extend(numbers)
        self._largest = numbers[-1]
        return True

    def __len__(self) -> int:
        return len(self._ascending) + len(self._others)
