"""Waits that end when their owner is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, TypeVar

from zoho_async.errors import SessionClosed

T = TypeVar("T")


class Closing:
    """Ends with `SessionClosed` whatever is waited for through it, once it is closed."""

    def __init__(self) -> None:
        self._waits: Final[set[asyncio.Timeout]] = set()

    async def wait(self, work: Awaitable[T]) -> T:
        """What ``work`` gives. Raises what it raises, and `SessionClosed`."""
        scope = asyncio.timeout(None)
        self._waits.add(scope)
        try:
            async with scope:
                return await work
        except TimeoutError:
            if scope.expired():
                raise SessionClosed from None
            raise
        finally:
            self._waits.discard(scope)

    def close(self) -> None:
        """End the waits, in their tasks."""
        for scope in self._waits:
            with suppress(RuntimeError):  # it is ending already
                scope.reschedule(0.0)
