"""Which calls of this process are open, and in which event loop each of them runs.

A call that is open in an event loop which was closed, or is gone, never ends: nothing runs there
any more. What it may have sent was sent before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeAlias
from weakref import ref

#: The event loop of a call; None where there is none, and then nothing ends it.
Loop: TypeAlias = "ref[asyncio.AbstractEventLoop] | None"


def this_loop() -> Loop:
    """The running event loop."""
    try:
        return ref(asyncio.get_running_loop())
    except RuntimeError:
        return None


def ended(loop: Loop) -> bool:
    """Whether nothing can run in ``loop`` any more."""
    if loop is None:
        return False
    found = loop()
    return found is None or found.is_closed()


class OpenCalls:
    """The places that are open, by key and number."""

    __slots__ = ("_loops",)

    def __init__(self) -> None:
        self._loops: dict[str, dict[int, Loop]] = {}

    def add(self, key: str, place: int, loop: Loop) -> None:
        self._loops.setdefault(key, {})[place] = loop

    def discard(self, key: str, place: int) -> None:
        own = self._loops.get(key)
        if own is not None:
            own.pop(place, None)
            if not own:
                del self._loops[key]

    def lost(self, key: str, places: Iterable[int]) -> list[int]:
        """Those of ``places`` that no call of this process will end."""
        own = self._loops.get(key, {})
        return [place for place in places if place not in own or ended(own[place])]
