"""Filters by a span of days that is the same for every organization, such as ``Date.Today``.

Weeks, quarters and years depend on an organization's settings and fiscal year. The sandbox cannot
evaluate those filters and lets every row pass.
"""

from __future__ import annotations

import time
from typing import Final

from zoho_async.sandbox.data.seed import day

_DAY: Final = 86_400


def within(shown: str, word: str) -> bool | None:
    """Whether a date (``2026-06-09``) is in the named span now; None if the span is unknown."""
    now = int(time.time())
    today = day(now)
    match word.lower():
        case "today":
            return shown[:10] == today
        case "previousday":
            return shown[:10] == day(now - _DAY)
        case "thismonth":
            return shown[:7] == today[:7]
        case "previousmonth":
            return shown[:7] == _month_before(today)
        case _:
            return None


def is_relative(filter_by: str) -> bool:
    """Whether the rows of a filter change from day to day."""
    return within("", filter_by.rpartition(".")[2]) is not None


def _month_before(today: str) -> str:
    year, month = int(today[:4]), int(today[5:7])
    return f"{year}-{month - 1:02d}" if month > 1 else f"{year - 1}-12"
