"""Handles Ctrl-C and SIGTERM: the first stops the work, the second ends the process at once.

Ending at once is safe. The checkpoint of an export is always consistent on disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final, TypeVar

from zoho_async.cli.outcome import Interrupted

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR: Final = b"\x1b[?25h\n"


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``. A signal cancels it; `Interrupted` is raised when it has ended."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work)
    caught: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if caught:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)
        caught.append(number)
        loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise Interrupted(caught[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
