"""When a row says that its record was made and changed last."""

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
    """When a row says that it was created and last modified; seconds since 1970, None: not told."""

    created: float | None
    modified: float | None

    def there_since(self, *, narrowed: bool) -> float | None:
        """Since when the row is known to be in its list, as it is; ``narrowed`` by a filter."""
        return self.modified if narrowed or self.created is None else self.created


def times_of(row: bytes | msgspec.Raw) -> RowTimes:
    """The times of a row's own bytes."""
    try:
        times = _TIMES.decode(row)
    except msgspec.DecodeError:
        return RowTimes(None, None)
    return RowTimes(moment(times.created_time), moment(times.last_modified_time))


def moment(text: object) -> float | None:
    """``2026-06-09T09:45:19-0400`` as seconds since 1970; None for what is no moment.

    A moment without an offset is nobody's time, and so is none.
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
