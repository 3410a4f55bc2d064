"""Many ids in calls of few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batches_of(ids: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """``ids`` in their order, at most ``most`` at a time."""
    for start in range(0, len(ids), most):
        yield ids[start : start + most]
