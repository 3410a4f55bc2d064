"""Formats counts, sizes and durations."""

from __future__ import annotations

import math


def count(number: int, noun: str = "") -> str:
    """``1,500 rows``, ``1 row``."""
    text = f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text


def size(number: int) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def seconds(number: float) -> str:
    """``8 s``, ``1 min 05 s``, ``2 h 10 min``."""
    whole = math.ceil(number)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
