"""The ids of the rows that a walk has met, in 8 bytes a row where they come in order.

Zoho's ids are numbers of 18 or 19 digits that grow with time, and a walk in `created_time` order
meets them mostly ascending. So the ids that exceed all before them are kept as plain 64-bit
integers in one sorted array, where a look-up is a bisection and most rows need none. Whatever comes
out of order, or is no such number, goes into a set. In the worst order this is only that set.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

#: Numbers of up to so many digits fit into 64 bits.
_DIGITS: Final = 19


class Seen:
    """Remembers row ids. ``""`` is no id: it is new every time."""

    __slots__ = ("_ascending", "_largest", "_others")

    def __init__(self) -> None:
        self._ascending: Final = array("Q")
        self._largest = -1
        self._others: Final[set[str]] = set()

    def add(self, row_id: str) -> bool:
        """Remember ``row_id``; whether it was not there before."""
        if not row_id:
            return True
        # Only what an integer gives back unchanged is kept as one: "007" and "7" are two ids.
        if row_id.isascii() and row_id.isdigit() and row_id[0] != "0" and len(row_id) <= _DIGITS:
            number = int(row_id)
            if number > self._largest:
                self._ascending.append(number)
                self._largest = number
                return True
            place = bisect_left(self._ascending, number)
            if place < len(self._ascending) and self._ascending[place] == number:
                return False
        if row_id in self._others:
            return False
        self._others.add(row_id)
        return True

    def __len__(self) -> int:
        return len(self._ascending) + len(self._others)
