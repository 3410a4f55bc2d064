"""Timing in turns, so that a machine whose speed drifts treats all contenders alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

#: A contender does its work once.
Contender: TypeAlias = Callable[[], Awaitable[object]]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """CPU time of one round of a contender: median, smallest and largest, in microseconds."""

    name: str
    median: float
    low: float
    high: float
    ratio: float


async def in_turns(
    contenders: Sequence[tuple[str, Contender]], *, rounds: int, inner: int
) -> list[Figure]:
    """Time each contender ``rounds`` times, ``inner`` repetitions each, in turns A B C A B C.

    Ratios are those of the medians to the first contender's.
    """
    times: dict[str, list[float]] = {name: [] for name, _ in contenders}
    for _, work in contenders:
        await work()
    for _ in range(rounds):
        for name, work in contenders:
            gc.collect()
            began = time.process_time()
            for _ in range(inner):
                await work()
            times[name].append((time.process_time() - began) / inner * 1e6)
    floor = statistics.median(times[contenders[0][0]])
    return [
        Figure(
            name=name,
            median=statistics.median(taken),
            low=min(taken),
            high=max(taken),
            ratio=statistics.median(taken) / floor,
        )
        for name, taken in times.items()
    ]
