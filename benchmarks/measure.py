"""Timing in turns within one process, for what needs no server."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

#: Does its work once; returns how many repetitions of the measured thing that was.
Work: TypeAlias = Callable[[], Awaitable[int]]


class Times:
    """CPU seconds of one repetition, a round each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cpu: list[float] = []

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    def ratio(self, other: Times) -> float:
        """Median of the ratios within a round."""
        return statistics.median(a / b for a, b in zip(self.cpu, other.cpu, strict=True))


async def in_turns(work: Sequence[tuple[str, Work]], *, rounds: int) -> list[Times]:
    """Time each ``rounds`` times, in turns A B C A B C, after one round that does not count."""
    times = [Times(name) for name, _ in work]
    for number in range(rounds + 1):
        for taken, (_, do) in zip(times, work, strict=True):
            gc.collect()
            began = time.process_time()
            repetitions = await do()
            spent = (time.process_time() - began) / repetitions
            if number:
                taken.cpu.append(spent)
    return times
