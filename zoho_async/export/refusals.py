"""Ask one list first if Zoho refused every list of an organization in the last run.

An organization whose subscription is over refuses all lists for the same reason. No document names
its code, so the reason is compared, not known. The next run asks one list. If that is refused for
the same reason, no other list is asked, and the state of all is that of a refusal that is known
(`zoho_async.export.outcomes`). Otherwise all lists are asked.

The list is one that was read before, if there is any, and another one each day. So an organization
that is open again is noticed, even if a list of it is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from zoho_async.errors import ReplyError, ZohoError
from zoho_async.export.reader import ListReader, refusal_of

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
