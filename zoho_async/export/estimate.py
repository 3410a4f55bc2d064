"""Estimate how many calls a list takes, and how long the limits make them last.

A page holds at most ``per_page`` rows, and an empty list takes one call, so ``rows`` rows take at
least ``max(1, ceil(rows / per_page))`` calls. The plan is exact if Zoho counts the rows. If not, a
list that seems to end on its first page takes one more page, which proves its end unless the first
page is full; for a longer list only the next page is certain.

How long calls take follows from the limits of bulk calls (`zoho_async.limits`): so many in a
minute, the first of them at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoho_async.export.details.writer import DetailPlan
    from zoho_async.export.events import DetailWork
    from zoho_async.limits import Limits, Snapshot


def least_calls(rows: int, per_page: int) -> int:
    """Return the smallest number of calls that can bring ``rows`` rows."""
    return max(1, math.ceil(rows / per_page))


def calls_ahead(
    total: int | None, *, per_page: int, page: int, rows: int, more: bool | None
) -> tuple[int, bool]:
    """Return the calls from page ``page`` (just read, with ``rows`` rows) on, and whether that is
    exact.

    ``more`` is the page's ``has_more_page``, None if the list does not say.
    """
    if total is not None:
        return max(1, math.ceil(total / per_page) - page + 1), True
    if more is None and rows < per_page:
        return 1, True
    return 2, more is False and rows < per_page


def detail_calls(
    detail_plan: DetailPlan, records: int, only: DetailWork | None = None
) -> tuple[int, bool]:
    """Return the calls for the details of so many records, and whether that is exact.

    Children may take more than one page. Attachments take a call for the record's read and one per
    document, and only the row or that read says whether there are any. A batch read that is not
    known to return full records is not counted on. ``only`` counts one kind of work.
    """
    calls, exact = 0, True
    if detail_plan.details is not None and only in (None, "details"):
        batches = detail_plan.details.batches
        most = batches.most if batches and not batches.proof else 1
        calls += math.ceil(records / most)
    if detail_plan.child is not None and only in (None, "children", "refresh"):
        calls, exact = calls + records, False
    if detail_plan.documents is not None and only in (None, "files"):
        calls += records * (detail_plan.documents.printed is not None)
        exact = not detail_plan.documents.attachments and not detail_plan.documents.many_attachments
    return calls, exact


def days_needed(calls: int, today: Snapshot, limits: Limits) -> int | None:
    """Return the days that ``calls`` bulk calls take, today included; None if not known."""
    left = bulk_left(today, limits)
    if left is None or calls <= left:
        return None if left is None else 1
    a_day = (today.day_limit or 0) - _reserved(today, limits)
    return 1 + math.ceil((calls - left) / a_day) if a_day > 0 else None


def bulk_left(today: Snapshot, limits: Limits) -> int | None:
    """Return the bulk calls left today, None if not known."""
    if today.day_remaining is None:
        return None
    return max(0, today.day_remaining - _reserved(today, limits))


def _reserved(today: Snapshot, limits: Limits) -> int:
    share = limits.reserve
    return int(share if share >= 1 else share * (today.day_limit or 0))


def estimated_seconds(calls: int, limits: Limits) -> float:
    """Return the seconds that so many bulk calls take at least, if none was made lately."""
    full_minutes = max(0, calls - 1) // limits.bulk_limit
    others = calls - full_minutes * limits.bulk_limit
    at_once = limits.burst if full_minutes else limits.head_start
    return full_minutes * limits.window + max(0.0, (others - at_once) / limits.rate)
