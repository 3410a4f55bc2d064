"""Read the times of a page's rows at once.

All rows are decoded in one call, with only their two times. That fails if a time has another form
than RFC 3339, is blank or has no offset. Then each row is read alone, by the rules of
`zoho_async.wire.page.moment`. Moments stay `datetime` until one is needed as a number, because a
comparison is cheap and a conversion is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.wire import Moment
from zoho_async.wire.page import RowTimes
from zoho_async.wire.text import UNDECODABLE

_Moments: TypeAlias = Sequence[datetime | None]


class _Times(msgspec.Struct, frozen=True, gc=False):
    created_time: Moment | None = None
    last_modified_time: Moment | None = None


class _Sent(msgspec.Struct, frozen=True, gc=False):
    created_time: object = None
    last_modified_time: object = None


_TIMES: Final = decoder_of(_Times)
_SENT: Final = decoder_of(_Sent)


class PageTimes:
    """The creation and modification times of ``rows``, None for a row without one."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        try:
            times = _TIMES.decode_lines(b"\n".join(rows))
        except UNDECODABLE:
            times = []
        if len(times) != len(rows):  # a row has line breaks, or one could not be decoded
            times = [_read_alone(row) for row in rows]
        self.created: Final[_Moments] = [one.created_time for one in times]
        self.modified: Final[_Moments] = [one.last_modified_time for one in times]

    def at(self, place: int) -> RowTimes:
        """The times of one row in seconds since 1970."""
        return RowTimes(seconds(self.created[place]), seconds(self.modified[place]))

    def there_since(self, *, narrowed: bool) -> _Moments:
        """The time since which each row is in its list (`RowTimes.there_since`)."""
        if narrowed:
            return self.modified
        if None not in self.created:
            return self.created
        both = zip(self.created, self.modified, strict=True)
        return [modified if created is None else created for created, modified in both]


def latest(moments: _Moments) -> float | None:
    """Return the latest moment in seconds since 1970, or None."""
    return seconds(max((one for one in moments if one is not None), default=None))


def count_before(moments: _Moments, since: float) -> int:
    """Return how many moments are before ``since``, in seconds since 1970."""
    known = [one for one in moments if one is not None]
    if not known or max(known).timestamp() < since:
        return len(known)
    return sum(one.timestamp() < since for one in known)


def ends(moments: _Moments) -> list[float | None]:
    """Return the first and the last moment, or None if they are not in ascending order.

    `zoho_async.paging.completeness.Borders` needs no more of a page.
    """
    known = [one for one in moments if one is not None]
    if not known or len(known) < len(moments) or known != sorted(known):
        return [None]
    return [known[0].timestamp(), known[-1].timestamp()]


def seconds(moment: datetime | None) -> float | None:
    """Convert to seconds since 1970."""
    return None if moment is None else moment.timestamp()


def _read_alone(row: bytes) -> _Times:
    try:
        sent = _SENT.decode(row)
    except UNDECODABLE:
        return _Times()
    return _Times(_moment(sent.created_time), _moment(sent.last_modified_time))


def _moment(text: object) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return parsed if parsed is not None and parsed.tzinfo is not None else None
