"""Read the creation and modification times of rows."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from zoho_async._msgspec import decoder_of

MODIFIED: Final = "last_modified_time"
CREATED: Final = "created_time"


class _Times(msgspec.Struct):
    created_time: object = None
    last_modified_time: object = None


_TIMES: Final = decoder_of(_Times)


class RowTimes(msgspec.Struct, frozen=True):
    """The creation and modification time of a row in seconds since 1970, None if missing."""

    created: float | None
    modified: float | None

    def there_since(self, *, narrowed: bool) -> float | None:
        """The time since which the row is in its list. ``narrowed`` means a filtered list."""
        return self.modified if narrowed or self.created is None else self.created


def times_of(row: bytes | msgspec.Raw) -> RowTimes:
    """The times in the raw bytes of a row."""
    try:
        times = _TIMES.decode(row)
    except msgspec.DecodeError:
        return RowTimes(None, None)
    return RowTimes(moment(times.created_time), moment(times.last_modified_time))


def moment(text: object) -> float | None:
    """Convert ``2026-06-09T09:45:19-0400`` to seconds since 1970, or None if invalid.

    A time without an offset is ambiguous, so it is invalid.
    """
    if isinstance(text, datetime):
        return text.timestamp() if text.tzinfo is not None else None
    if not isinstance(text, str) or not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.timestamp() if parsed.tzinfo is not None else None
