"""The options of an import, the same for the command and for Python.

The command reads them from `ImportOptions`; the text under each option is its help text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from zoho_async.errors import ConfigurationError

Repeated: TypeAlias = Literal["refuse", "skip", "write"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How rows become records, and when the import ends.

    Raises `ConfigurationError` for values that make no sense.
    """

    match: str | None = None
    """Column or field that finds existing records, such as ``email``: found records are updated,
    others created. A unique custom field (``cf_code``) is written as an upsert."""

    group_by: str | None = None
    """Column whose equal values make rows one document: its line items."""

    token_field: str | None = None
    """Unique custom field (``cf_token``) that gets a token per record, by which a lost answer is
    settled. Default: an empty reference number."""

    token_in_notes: bool = False
    """Put the token into the notes if the record has no other room for it."""

    repeated: Repeated = "refuse"
    """What to do with rows that an earlier file wrote with the same content: ``refuse`` (the
    default), ``skip`` or ``write``."""

    skip_errors: bool = False
    """Import the rows without errors. Default: one wrong cell, and nothing is written."""

    settle_wait: float = 300.0
    """Seconds to wait before a write whose answer was lost and that is not found counts as not
    written. Default: 300, in addition to the time that a request may be on its way."""

    max_calls: int | None = None
    """The most API calls of this run. It then ends with code 3; run the same command again to
    continue."""

    until_done: bool = False
    """If the day's calls are used up, wait for the next day and continue."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.settle_wait) and self.settle_wait >= 0):
            raise ConfigurationError(f"settle-wait must be at least 0, got {self.settle_wait}")
        if self.max_calls is not None and self.max_calls < 1:
            raise ConfigurationError(f"max-calls must be at least 1, got {self.max_calls}")
        if self.token_field is not None and not self.token_field.startswith("cf_"):
            raise ConfigurationError(
                f"token-field must be the API name of a custom field, such as cf_token, got "
                f"{self.token_field}"
            )
