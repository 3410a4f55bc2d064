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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoho_async.export.details.writer import DetailPlan
    from zoho_async.export.events import DetailWork
    from zoho_async.limits import Limits, Snapshot


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


def detail_calls(
    detail_plan: DetailPlan, records: int, only: DetailWork | None = None
) -> tuple[int, bool]:
    """Calls that the further questions about so many records take, and whether that is exact.

    Children may take more than a page. What is attached to a record takes a call for its read and
    one per document, and only its row or that read tells whether there is any. A
    batch read of which it is not known that it tells all is not counted on.
    ``only`` counts one kind of question.
    """
    calls, exact = 0, True
    if detail_plan.details is not None and only in (None, "details"):
        batches = detail_plan.details.batches
        most = batches.most if batches and not batches.proof else 1
        calls += math.ceil(records / most)
    if detail_plan.child is not None and only in (None, "children"):
        calls, exact = calls + records, False
    if detail_plan.documents is not None and only in (None, "files"):
        calls += records * (detail_plan.documents.printed is not None)
        exact = not detail_plan.documents.attachments and not detail_plan.documents.many_attachments
    return calls, exact


def days_needed(calls: int, today: Snapshot, limits: Limits) -> int | None:
    """Days on which ``calls`` bulk calls are made, this one included; None: that is not known."""
    left = bulk_left(today, limits)
    if left is None or calls <= left:
        return None if left is None else 1
    a_day = (today.day_limit or 0) - _reserved(today, limits)
    return 1 + math.ceil((calls - left) / a_day) if a_day > 0 else None


def bulk_left(today: Snapshot, limits: Limits) -> int | None:
    """Calls that bulk may still make this day, None where that is not known."""
    if today.day_remaining is None:
        return None
    return max(0, today.day_remaining - _reserved(today, limits))


def _reserved(today: Snapshot, limits: Limits) -> int:
    share = limits.reserve
    return int(share if share >= 1 else share * (today.day_limit or 0))


def estimated_seconds(calls: int, *, rate: float, burst: int) -> float:
    """How long ``calls`` calls take at ``rate`` calls a second after a burst of ``burst``."""
    if rate <= 0:
        return 0.0
    return max(0.0, (calls - burst) / rate)
