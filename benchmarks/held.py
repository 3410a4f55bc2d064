"""An event loop whose time is held: it passes only when everybody waits, and then at once.

A day takes seconds and everything in between takes no time at all, which is what "no client cost"
means. Nothing that waits for a socket or a thread may run on it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Where its time begins, in seconds.
START: Final = 1_000_000.0


class _Selector(selectors.DefaultSelector):
    """Instead of sleeping it moves the hand."""

    moved = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing that time brings")
        self.moved += max(0.0, timeout)
        return super().select(0)


class HeldLoop(asyncio.SelectorEventLoop):
    """`asyncio.run` on it with `run`."""

    def __init__(self) -> None:
        self._hand = _Selector()
        super().__init__(self._hand)

    def time(self) -> float:
        return self._hand.moved


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in held time."""
    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        return runner.run(main)
