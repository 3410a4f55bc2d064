"""How long a call may wait for its server, watched by one timer for all calls of an event loop.

Timers of aiohttp's own, for every read and for the call as a whole, are set and cancelled four
times in a small call, which is a sixth of what it costs. Here a call only notes until when it may
wait, and one timer looks at all calls when the first of these moments has come. That is for
requests without a body: when a body has left and the silence begins, only aiohttp knows.

An event loop that stood still finds moments passed although what was waited for is here. So a call
is given up only when it is found late twice: in between, whoever was answered has been told.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

import aiohttp

#: Seconds between the two looks at a call that is late.
_AGAIN: Final = 0.001


class Source(Protocol):
    """What a call waits for: a connection for the head of an answer, a stream for its body."""

    def set_exception(self, exc: BaseException) -> None: ...


class Timeout:
    """The waits of one call, each of at most ``silence`` seconds, ``total`` (None: ever) in all.

    The present one is for ``source`` and may last until ``until``, a moment of the loop's time. It
    is given up by aiohttp's own exception for that.
    """

    __slots__ = ("_ends", "_of", "_silence", "found_late", "source", "until")

    def __init__(self, of: Timeouts, silence: float, total: float | None, began: float) -> None:
        self._of: Final = of
        self._silence: Final = silence
        self._ends: Final = math.inf if total is None else began + total
        self.source: Source | None = None
        self.until = math.inf
        self.found_late = math.inf

    def start(self, source: Source) -> None:
        """The call waits for ``source`` from now on."""
        self.source = source
        self.until = min(self._of.loop.time() + self._silence, self._ends)
        self._of.watch(self)

    def stop(self) -> None:
        """What it waited for is here, and it does not wait for more as yet."""
        self.until = math.inf

    def close(self) -> None:
        """It never waits again."""
        self._of.forget(self)


class Timeouts:
    """The waits of all calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Final = loop
        self._watched: Final[set[Timeout]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf

    def watch(self, timeout: Timeout) -> None:
        self._watched.add(timeout)
        if timeout.until < self._rings:
            self._ring_at(timeout.until)

    def forget(self, timeout: Timeout) -> None:
        self._watched.discard(timeout)

    def close(self) -> None:
        """Watch nobody any more."""
        self._watched.clear()
        self._ring_at(math.inf)

    def _ring_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = moment
        self._timer = None if moment == math.inf else self.loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        now = self.loop.time()
        following = math.inf
        for timeout in list(self._watched):
            if timeout.until > now:
                following = min(following, timeout.until)
            elif timeout.found_late != timeout.until:
                timeout.found_late = timeout.until
                following = now
            else:
                self._watched.discard(timeout)
                if timeout.source is not None:
                    timeout.source.set_exception(aiohttp.SocketTimeoutError("no answer in time"))
        self._ring_at(max(following, now + _AGAIN))
