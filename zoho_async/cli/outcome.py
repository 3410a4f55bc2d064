"""The exit code of each error.

`zoho_async.export.outcomes` defines the codes and the states of lists.
"""

from __future__ import annotations

import signal
from typing import Final

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

__all__ = ["DONE", "FAILED", "INCOMPLETE", "INTERRUPTED", "QUOTA", "USAGE"]

INTERRUPTED: Final = 128 + signal.SIGINT


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
