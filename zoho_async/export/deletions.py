"""Finding records that were deleted: lists never show them, so their absence must be asked about.

A swept resource is read whole and compared (`modes`). Records that were known and not met in the
whole list are *candidates*: deleted, or hidden (another filter, a list that missed them). Each is
asked for by its own read, and only an answer that says that there is no such record makes it gone;
whatever else comes back leaves it as it is. The gone are marked in the destination and forgotten.

One call a candidate, so the sweep has a budget for the whole job: what it does not reach is asked
about by the next sweep. Where a resource has no read of single records nothing can be confirmed,
and nothing is marked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from zoho_async.clock import Clock
from zoho_async.description import OperationFacts
from zoho_async.errors import (
    InvalidToken,
    LimitError,
    MissingScope,
    OrganizationError,
    ReplyError,
)
from zoho_async.export import incremental
from zoho_async.export.events import DetectingDeletions, ExportEvent
from zoho_async.export.fetch import is_gone
from zoho_async.export.writer import Blocking, ResourceWriter
from zoho_async.paging import PageSource

#: Questions after which what was found is written down.
_AT_ONCE: Final = 20


class DeletionDetector:
    """The sweep of one job. ``reads`` are the single reads by resource; ``budget`` the calls."""

    def __init__(
        self,
        reads: Mapping[str, OperationFacts],
        budget: int | None,
        blocking: Blocking,
        clock: Clock,
    ) -> None:
        self._reads: Final = reads
        self._left = budget
        self._blocking: Final = blocking
        self._clock: Final = clock
        self._calls: Final[dict[str, int]] = {}

    def calls(self, resource: str) -> int:
        """The calls that were made for single records of ``resource``."""
        return self._calls.get(resource, 0)

    async def run(
        self,
        writer: ResourceWriter,
        zoho: PageSource,
        report: Callable[[ExportEvent], Awaitable[None]],
    ) -> None:
        """Ask about every record that ``writer``'s read did not meet, within the budget."""
        resource = writer.facts.resource
        read = self._reads.get(resource)
        if read is None:
            return
        while some := await self._blocking(writer.unseen):
            for start in range(0, len(some), _AT_ONCE):
                asked = some[start : start + _AT_ONCE]
                if self._left is not None:
                    asked = asked[: self._left]
                    self._left -= len(asked)
                if not asked:
                    return
                gone = [one for one in asked if await self._is_gone(zoho, read, one)]
                await self._note(writer, asked[-1], gone)
                await report(
                    DetectingDeletions(
                        resource=resource,
                        asked=self.calls(resource),
                        gone=writer.position.deleted,
                    )
                )

    async def _note(self, writer: ResourceWriter, last: str, gone: list[str]) -> None:
        when = incremental.zoho_time(self._clock.time())
        await self._blocking(lambda: writer.mark_checked(last, gone, when))

    async def _is_gone(self, zoho: PageSource, read: OperationFacts, identity: str) -> bool:
        if identity.startswith("#"):  # a row that had no id: nobody can ask for it
            return False
        self._calls[read.resource] = self.calls(read.resource) + 1
        try:
            return await is_gone(zoho, read, identity)
        except ReplyError as error:
            ends_all = (LimitError, OrganizationError, InvalidToken, MissingScope)
            if isinstance(error, ends_all):
                raise
            return False
