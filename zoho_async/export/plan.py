"""How many calls a list takes and how long the limits make them last.

A page holds at most ``per_page`` rows, and an empty list still takes a call to be known empty, so
``max(1, ceil(rows / per_page))`` is the least for ``rows`` rows. Where Zoho counts the rows the
plan is exact. Where it does not, a list that seems to end on its first page takes one page more
that proves the end, and of a longer one only the next page is certain.

Bulk calls pass a token bucket that is full at the start (``burst``) and refills steadily, so that
``calls`` of them take as long as the refilling of all but the first ``burst``.
"""

from __future__ import annotations

import math


def least_calls(rows: int, per_page: int) -> int:
    """The fewest calls that can bring ``rows`` rows."""
    return max(1, math.ceil(rows / per_page))


def calls_ahead(
    total: int | None, *, per_page: int, page: int, rows: int, more: bool | None
) -> tuple[int, bool]:
    """Calls from page ``page`` (just read, with ``rows`` rows) on, and whether that is exact.

    ``more`` is the page's ``has_more_page``, None where the list says nothing of pages.
    """
    if total is not None:
        return max(1, math.ceil(total / per_page) - page + 1), True
    if more is None and rows < per_page:
        return 1, True
    return 2, more is False


def estimated_seconds(calls: int, *, rate: float, burst: int) -> float:
    """How long ``calls`` calls take at ``rate`` calls a second after a burst of ``burst``."""
    if rate <= 0:
        return 0.0
    return max(0.0, (calls - burst) / rate)
