"""Views of a span of days, as ``Date.Today``: those that mean the same in every organization.

Weeks and quarters begin where an organization's settings say, and years with its fiscal year: what
those views hold is not known here, and they let every row through.
"""

from __future__ import annotations

import time
from typing import Final

from zoho_async.sandbox.data.seed import day

_DAY: Final = 86_400


def within(shown: str, word: str) -> bool | None:
    """Whether a date (``2026-06-09``) is in the span of that name now; None where nobody knows."""
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
    """Whether a view means other rows tomorrow."""
    return within("", filter_by.rpartition(".")[2]) is not None


def _month_before(today: str) -> str:
    year, month = int(today[:4]), int(today[5:7])
    return f"{year}-{month - 1:02d}" if month > 1 else f"{year - 1}-12"
