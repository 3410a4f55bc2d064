"""Which page may be asked for next, and whether the list is at its end.

The model. A list is pages numbered from 1; the reader gets them in order, look-ahead fetches some
before their turn, and they may arrive in any order. Zoho says three things about the end, none of
which can be trusted alone:

- ``has_more_page`` is the rule. It has been seen false with rows left, and a server may say true
  for ever.
- an empty page is past the end, unless it says itself that there is more, or the total does.
- ``total``, where a list counts its rows, says in advance which page is the last.

A short page says nothing by itself. Where nothing is numbered, nothing has to be believed: a list
that comes at once is one answer, and ids in batches are as many answers as there are batches.

What holds, for every history of arrivals (the property tests walk through them):

1. *Nothing is missed* as long as one of the witnesses is right. A full read of a list without a
   total believes a false ``has_more_page`` only after the following page was empty or brought
   nothing new; a total is believed only if that many rows came, and otherwise forgotten, so that
   the read goes on by the other rules. A read narrowed by a filter that ends on a short page is
   believed at once: it is small, made often, and the next one overlaps it.
   An empty page among others (rows that were filtered out after they had been numbered, a server
   that had nothing for a moment) ends nothing as long as a witness speaks for more. If the page
   before it said that more follows, two empty pages in a row are needed to end the list.
2. *It ends.* A page is read beyond the end's first witness only while it brings rows that were not
   there before; under an eternal ``has_more_page`` three pages in a row that bring none are one
   server that repeats itself, or has nothing, and end the walk, whatever a total says. A page with
   rows of which none is new, in the context of the page before it, is a server that ignores which
   page is asked for, and ends the walk at once.
3. *Little is spent past the end.* With a total nothing is, as long as it is right. Without one,
   only the page that an arrived page promised is known to exist. A guess may go beyond it by one
   page, or by 5 % of the pages that arrived; and in a full read by the page that must be read
   anyway to check the end. What an empty page promises is asked for in its turn, never ahead.
4. *A slow reader stops the fetching*: no page further than ``depth`` from the reader's turn is
   asked for, and the depth never exceeds `MOST_AHEAD`.

How deep to look ahead is Little's law: ``rate x latency`` calls are on their way when the limits
are kept busy, and one more waits for its turn. A reader who means to read the whole list (an
export) loses nothing by more, and gains where places come in bursts rather than evenly: it has
`MOST_AHEAD` from the start, two more than may be in flight.

What is not known: whether ``total`` counts what a filter hides, and whether every list that has a
``page_context`` honours ``page``. Both only cost calls.
"""

from __future__ import annotations

import math
import sys
from typing import Final

#: The most pages that are asked for and not yet read, for memory's sake.
MOST_AHEAD: Final = 12

#: Pages in a row without a single new row that end a list which claims to go on.
_REPEATS: Final = 3

#: One page in so many that arrived may be spent on a guess past the end.
_GUESS_SHARE: Final = 20


def depth(rate: float, latency: float) -> int:
    """How many pages to have under way, at ``rate`` calls a second of ``latency`` seconds each."""
    busy = rate * latency
    if not math.isfinite(busy):
        return MOST_AHEAD
    return max(1, min(MOST_AHEAD, math.ceil(busy) + 1))


class PagePlan:
    """The state of one walk through a list, from page ``first`` on.

    ``per_page`` is the page size asked for. ``complete`` marks a read that must prove its end.
    ``parts`` is the number of answers that make up a list without numbered pages: one, or one for
    each batch of ids; None for numbered pages. Tell it of pages as they `arrived`, in any order,
    and as they were `read`, in turn.
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
        "turn",
    )

    def __init__(
        self, *, first: int, per_page: int, complete: bool, parts: int | None = None
    ) -> None:
        self.turn = first  # the page that the reader gets next
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
        """Zoho counted ``total`` rows in the whole list (and says how many stand on a page)."""
        if per_page is not None and per_page > 0:
            self._per_page = per_page
        self._last = math.ceil(total / self._per_page)
        self._missing = total - (self._first - 1) * self._per_page

    def arrived(self, page: int, *, rows: int, has_more: bool) -> None:
        """Page number ``page`` came, perhaps before its turn."""
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
        """The last page that may be asked for now, ``depth`` pages ahead at most."""
        if self.done:
            return self.turn - 1
        ahead = min(self.turn + depth - 1, self.limit)
        if self._last is None and self._parts is None:
            guess = max(1, self._arrived // _GUESS_SHARE) + (1 if self._complete else 0)
            ahead = min(ahead, self._known + guess)
        return max(self.turn, ahead)

    @property
    def limit(self) -> int:
        """The last page worth having, as far as is known: what is under way beyond it is waste."""
        if self._parts is not None:
            return max(self.turn, self._parts)
        if self._last is not None:
            return max(self.turn, self._last)
        return sys.maxsize if self._ended is None else max(self.turn, self._ended + 1)

    def read(self, *, rows: int, fresh: int, has_more: bool | None, repeats: bool = False) -> None:
        """The reader has page ``turn``: ``fresh`` of its ``rows`` are new. Decides on the end.

        ``has_more`` is None where the page says nothing of pages: a short first page is then the
        whole list. ``repeats`` says that it is the page before it once more.
        """
        page = self.turn
        self.turn += 1
        self._missing -= fresh
        self._pages_without_new = 0 if fresh else self._pages_without_new + 1
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
            self.done = self._ends(rows, fresh, bool(has_more))

    def _total_decides(self, page: int, has_more: bool) -> bool:
        """Whether the total still decides after ``page``; at its last page it must have been right.

        A total that was wrong is forgotten, and then the end must be proved.
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

    def _ends(self, rows: int, fresh: int, has_more: bool) -> bool:
        """Whether a page with rows ends a list of unknown length."""
        if has_more:
            return False
        if fresh == 0:
            return True
        return not self._complete and rows < self._per_page
