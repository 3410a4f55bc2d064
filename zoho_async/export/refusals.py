"""Recognize refusals, and ask one list first if Zoho refused every list in the last run.

An organization whose subscription is over refuses all lists for the same reason. No document names
its code, so the reason is compared, not known. The next run asks one list. If that is refused for
the same reason, no other list is asked, and the state of all is that of a refusal that is known
(`zoho_async.export.outcomes`). Otherwise all lists are asked.

The list is one that was read before, if there is any, and another one each day. So an organization
that is open again is noticed, even if a list of it is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import anyio

from zoho_async.errors import ReplyError, ZohoError

if TYPE_CHECKING:
    from zoho_async.export.reader import ListReader

#: Statuses below 500 of a gateway that gave up, which say nothing about the list.
_PASSING: Final = (408, 499)
_DAY: Final = 86_400.0


class FirstList:
    """Chooses the list to ask first among ``readers``, and lets the others wait for its answer."""

    def __init__(self, readers: Sequence[ListReader], now: float) -> None:
        self._refusals: Final = {one.writer.state.runs.refusal for one in readers}
        self._first: ListReader | None = None
        self._answered: Final = anyio.Event()
        self._error: ReplyError | None = None
        if len(self._refusals) == 1 and "" not in self._refusals:
            known = [one for one in readers if one.writer.state.bookmark.finished] or readers
            self._first = known[int(now // _DAY) % len(known)]

    async def wait(self, reader: ListReader) -> ReplyError | None:
        """Wait until ``reader`` may ask. Return the error if Zoho refuses all lists again."""
        if self._first is None or reader is self._first:
            return None
        await self._answered.wait()
        reader.refused_with_all = self._error is not None
        return self._error

    def answer(self, reader: ListReader, error: ZohoError | None = None) -> None:
        """Note that ``reader`` got its first page, or that it failed."""
        if reader is not self._first or self._answered.is_set():
            return
        if isinstance(error, ReplyError) and refusal_of(error) in self._refusals:
            self._error = error
            reader.refused_with_all = True
        self._answered.set()


def reason_of(error: ZohoError) -> str | None:
    """Return what Zoho said when it refused a list, None for other errors."""
    if not isinstance(error, ReplyError) or not refusal_of(error):
        return None
    code = "" if error.code is None else f", code {error.code}"
    return f"HTTP {error.status}{code}: {error.message or 'no message'}"


def refusal_of(error: ZohoError) -> str:
    """Return the status and code that identify a refusal, "" for other errors."""
    if not isinstance(error, ReplyError) or error.status >= 500 or error.status in _PASSING:
        return ""
    return f"{error.status}/{error.code}"
