"""How the command ends: which exit code a failure means.

The codes and what a list's state means for an export are in `zoho_async.export.outcomes`.
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
    """The process was asked to stop by the signal ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number: Final = number

    @property
    def exit_code(self) -> int:
        """As shells have it: 128 and the signal's number."""
        return 128 + self.number


def exit_code(error: BaseException, *, began: bool = False) -> int:
    """The exit code that ``error`` means; ``began`` says that there was work done before it."""
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
