"""The end of a command: the exit code of each error, Ctrl-C and SIGTERM.

`zoho_async.export.outcomes` defines the codes and the states of lists. The first signal stops the
work, the second ends the process at once. That is safe, because the checkpoint of an export is
always consistent on disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final, TypeVar

from zoho_async.errors import (
    BudgetSpent,
    ConfigurationError,
    DailyLimitReply,
    DailyQuotaExceeded,
    InvalidClient,
    InvalidGrant,
    InvalidRedirect,
    InvalidScope,
    InvalidToken,
    OrganizationError,
)
from zoho_async.export import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.outcomes import DONE, FAILED, INCOMPLETE, QUOTA, USAGE

__all__ = [
    "DONE",
    "FAILED",
    "INCOMPLETE",
    "INTERRUPTED",
    "QUOTA",
    "USAGE",
    "Interrupted",
    "exit_code",
    "interruptible",
]

T = TypeVar("T")

INTERRUPTED: Final = 128 + signal.SIGINT

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR: Final = b"\x1b[?25h\n"


class Interrupted(Exception):
    """The signal ``number`` interrupted the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number: Final = number

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as in shells."""
        return 128 + self.number


def exit_code(error: BaseException, *, began: bool = False) -> int:
    """The exit code for ``error``. ``began`` says that work was done before it."""
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, DailyQuotaExceeded | DailyLimitReply | BudgetSpent):
        return QUOTA
    wrong = (
        ConfigurationError,
        InvalidClient,
        InvalidGrant,
        InvalidRedirect,
        InvalidScope,
        InvalidToken,
        OrganizationError,
        CheckpointRefused,
        ExportRunning,
    )
    if isinstance(error, wrong) or (isinstance(error, DestinationError) and not began):
        return USAGE
    return FAILED


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
