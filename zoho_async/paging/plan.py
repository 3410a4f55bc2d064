"""Decide which page to fetch next, and whether the list is at its end.

Model
-----
A list is a sequence of pages numbered from 1. The reader gets them in order. Look-ahead fetches
some early, and they may arrive in any order. Zoho gives three signs of the end, and none is
reliable alone:

- ``has_more_page`` is the regular sign. It has been observed false with rows left, and a server
  may send true forever.
- An empty page is past the end, unless the page itself or the total says that there is more.
- ``total``, if a list counts its rows, tells in advance which page is the last.

A short page alone proves nothing. A list without numbered pages has a known number of replies: one,
or one per batch of ids.

Invariants
----------
They hold for every order of arrivals; the property tests check them.

1. *No row is missed* if at least one of the signs is right.

   - A full read of a list without a total accepts a false ``has_more_page`` only after the next
     page is empty or brings no new rows.
   - A total is accepted only if that many rows were read. Otherwise it is dropped, and the other
     rules decide.
   - A filtered read that ends on a short page is accepted at once. It is small and frequent, and
     the next one overlaps it.
   - An empty page between others does not end the list while a sign says that there is more. If the
     page before it announced more, two empty pages in a row are needed.

2. *Every walk ends.* After the first sign of the end, pages are read only while they bring new
   rows. If ``has_more_page`` is always true, three pages in a row without new rows end the walk,
   whatever the total says. A page with rows but no new ones, and with the same context as the page
   before it, comes from a server that ignores the page number, and ends the walk at once.

3. *Few calls go past the end.* With a correct total there are none. Without one, a page is known to
   exist only if an earlier page announced it. A guess may go one page further, or 5 % of the
   arrived pages, plus the page that a full read needs to check the end. A page announced only by an
   empty page is never fetched ahead.

4. *A slow reader stops the fetching.* No page is fetched more than ``depth`` ahead of the reader,
   and ``depth`` is at most `MOST_AHEAD`.

Depth
-----
By Little's law, ``rate x latency`` calls are in flight while the limits are fully used; one more
waits. An export reads the whole list anyway, and gains from more look-ahead if calls are allowed in
bursts. It uses `MOST_AHEAD` from the start, two more than may be in flight.

Unknown
-------
Whether ``total`` counts rows that a filter hides, and whether every list with a ``page_context``
respects ``page``. Both cost only calls.
"""

from __future__ import annotations

import math
import sys
from typing import Final

#: The most pages that are requested but not yet read. Bounds the memory.
MOST_AHEAD: Final = 12

#: The number of consecutive pages without new rows that ends a list which announces more.
_REPEATS: Final = 3

#: One guess past the end is allowed per this many arrived pages.
_GUESS_SHARE: Final = 20


def depth(rate: float, latency: float) -> int:
    """The number of pages to fetch ahead, at ``rate`` calls per second of ``latency`` seconds."""
    busy = rate * latency
    if not math.isfinite(busy):
        return MOST_AHEAD
    return max(1, min(MOST_AHEAD, math.ceil(busy) + 1))


class PagePlan:
    """The state of one walk through a list, from page ``first`` on.

    ``per_page`` is the requested page size. ``complete`` means that the read must check its end.
    ``parts`` is the number of replies of a list without numbered pages, None for numbered pages.
    Call `arrived` for each page in any order, and `read` for each page in list order.
    """

    __slots__ = (
        "_arrived",
        "_complete",
        "_ended",
        "_first",
        "_known",
        "_last",
        "_missing",
        "_pages_without_new",
        "_parts",
        "_per_page",
        "_promised_more",
        "done",
        "next_page",
    )

    def __init__(
        self, *, first: int, per_page: int, complete: bool, parts: int | None = None
    ) -> None:
        self.next_page = first  # the page that the reader gets next
        self.done = False
        self._first: Final = first
        self._per_page = per_page
        self._complete = complete
        self._parts: Final = parts
        self._arrived = 0
        self._known = first  # the last page that exists, as far as was said
        self._ended: int | None = None  # the page that claimed to be the last
        self._last: int | None = None  # the last page by the total, while that is believed
        self._missing = 0  # rows that the total still promises
        self._pages_without_new = 0
        self._promised_more = False  # the page before, which had rows, said that more follows

    def counted(self, total: int, per_page: int | None = None) -> None:
        """Set the total of the whole list, and the page size if Zoho sent one."""
        if per_page is not None and per_page > 0:
            self._per_page = per_page
        self._last = math.ceil(total / self._per_page)
        self._missing = total - (self._first - 1) * self._per_page

    def arrived(self, page: int, *, rows: int, has_more: bool) -> None:
        """Record that page ``page`` arrived, perhaps ahead of the reader."""
        self._arrived += 1
        if rows == 0:
            if not has_more:
                self._ended = page - 1
        elif has_more:
            self._known = max(self._known, page + 1)
            if self._ended is not None and self._ended < page:
                self._ended = None
        else:
            self._known = max(self._known, page)
            if page == self._known:
                self._ended = page

    def horizon(self, depth: int) -> int:
        """The last page that may be requested now, at most ``depth`` pages ahead."""
        if self.done:
            return self.next_page - 1
        ahead = min(self.next_page + depth - 1, self.limit)
        if self._last is None and self._parts is None:
            guess = max(1, self._arrived // _GUESS_SHARE) + (1 if self._complete else 0)
            ahead = min(ahead, self._known + guess)
        return max(self.next_page, ahead)

    @property
    def limit(self) -> int:
        """The last page worth fetching, as far as is known. Later pages can be cancelled."""
        if self._parts is not None:
            return max(self.next_page, self._parts)
        if self._last is not None:
            return max(self.next_page, self._last)
        return sys.maxsize if self._ended is None else max(self.next_page, self._ended + 1)

    def read(self, *, rows: int, new: int, has_more: bool | None, repeats: bool = False) -> None:
        """Record that the reader has page ``next_page``, and decide whether the list ends.

        ``new`` of its ``rows`` are new. A reply without a page context has ``has_more`` None; a
        short first page is then the whole list. ``repeats`` means that the page equals the one
        before it.
        """
        page = self.next_page
        self.next_page += 1
        self._missing -= new
        self._pages_without_new = 0 if new else self._pages_without_new + 1
        if self._parts is not None:
            self.done = page >= self._parts
            return
        alone = has_more is None and page == self._first and rows < self._per_page
        promised = bool(has_more) or (self._last is not None and page < self._last)
        over = repeats or self._pages_without_new >= _REPEATS
        empty, doubted = rows == 0 and not promised, self._promised_more
        self._promised_more = bool(has_more) and rows > 0
        if empty and doubted and not over:
            return
        if alone or over or empty:
            self.done = True
        elif self._last is None or not self._total_decides(page, bool(has_more)):
            self.done = self._ends(rows, new, bool(has_more))

    def _total_decides(self, page: int, has_more: bool) -> bool:
        """Whether the total still decides after ``page``. It must be right at its last page.

        A wrong total is dropped, and the end of the list must be checked.
        """
        assert self._last is not None
        if page < self._last:
            return True
        if not has_more and self._missing <= 0:
            self.done = True
            return True
        self._last = None
        self._complete = True
        return False

    def _ends(self, rows: int, new: int, has_more: bool) -> bool:
        """Whether a page with rows ends a list without a total."""
        if has_more:
            return False
        if new == 0:
            return True
        return not self._complete and rows < self._per_page
