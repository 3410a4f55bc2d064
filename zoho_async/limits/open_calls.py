"""The open calls of this process, and the event loop in which each of them runs.

If the event loop of an open call was closed or is gone, the call never ends, because nothing runs
there any more. Anything that it sent was sent before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeAlias
from weakref import ref

#: The event loop of a call; None for a call outside of any loop.
Loop: TypeAlias = "ref[asyncio.AbstractEventLoop] | None"


def this_loop() -> Loop:
    """Return the running event loop, or None."""
    try:
        return ref(asyncio.get_running_loop())
    except RuntimeError:
        return None


def ended(loop: Loop) -> bool:
    """Return whether nothing can run in ``loop`` any more."""
    if loop is None:
        return False
    found = loop()
    return found is None or found.is_closed()


class OpenCalls:
    """The open places, by key and number."""

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
        """Return those of ``places`` that no call of this process will end."""
        own = self._loops.get(key, {})
        return [place for place in places if place not in own or ended(own[place])]
