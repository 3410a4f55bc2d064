"""Find records that were deleted. Lists do not show them, so each missing record is checked.

Model. The whole list is read. Known records that it did not show are *candidates*: they are
deleted, hidden by a filter, or were missed. Each candidate is fetched by its id. Only a reply that
says "no such record" counts as deleted. Deleted records are marked in the destination and removed
from the record index.

A reply that has the record shows its current content. The record index has only the digest of what
was written. If the two differ, the record is written as the reply has it, with the fields of a full
record. So a record that leaves the list is written once more, and then when it changes. Parents
whose children are exported are not written.

Each candidate costs one call, so the job has a limit for them. The next detection checks the rest.
If a resource has no read of single records, nothing can be confirmed and nothing is marked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
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
from zoho_async.export.catalog import children
from zoho_async.export.events import DetectingDeletions, ExportEvent
from zoho_async.export.fetch import record_by_id
from zoho_async.export.write_queue import Blocking
from zoho_async.export.writer import ResourceWriter
from zoho_async.paging import PageSource

#: Records that are checked before the results are written.
_AT_ONCE: Final = 20


class DeletionDetector:
    """Detects deleted records for one job. ``reads`` are the reads of single records.

    ``budget`` is the largest number of calls, None for no limit.
    """

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
        """The calls made for single records of ``resource``."""
        return self._calls.get(resource, 0)

    async def run(
        self,
        writer: ResourceWriter,
        zoho: PageSource,
        report: Callable[[ExportEvent], Awaitable[None]],
    ) -> None:
        """Check every record that the read of ``writer`` did not show, within the limit."""
        resource = writer.facts.resource
        read = self._reads.get(resource)
        if read is None:
            return
        while some := await self._blocking(writer.store.find_unseen):
            for start in range(0, len(some), _AT_ONCE):
                batch = some[start : start + _AT_ONCE]
                if self._left is not None:
                    batch = batch[: self._left]
                    self._left -= len(batch)
                if not batch:
                    return
                found = [(one, await self._record(writer, zoho, one)) for one in batch]
                await self._note(writer, batch[-1], found)
                await report(
                    DetectingDeletions(
                        resource=resource,
                        asked=self.calls(resource),
                        gone=writer.state.part.deleted,
                    )
                )

    async def confirm(
        self,
        writer: ResourceWriter,
        zoho: PageSource,
        ids: Sequence[str],
        report: Callable[[ExportEvent], Awaitable[None]],
    ) -> None:
        """Check the records ``ids``, within the limit. Mark those deleted that do not exist."""
        resource = writer.facts.resource
        asked = list(ids) if resource in self._reads else []
        if self._left is not None:
            asked = asked[: self._left]
            self._left -= len(asked)
        for start in range(0, len(asked), _AT_ONCE):
            batch = asked[start : start + _AT_ONCE]
            gone = [one for one in batch if await self._record(writer, zoho, one) is None]
            when = incremental.zoho_time(self._clock.time())
            await self._blocking(partial(writer.mark_gone, gone, when))
            deleted = writer.state.part.deleted
            await report(
                DetectingDeletions(resource=resource, asked=self.calls(resource), gone=deleted)
            )

    async def _note(
        self, writer: ResourceWriter, last: str, found: Sequence[tuple[str, bytes | None]]
    ) -> None:
        when = incremental.zoho_time(self._clock.time())
        gone = [one for one, record in found if record is None]
        written = writer.facts.resource not in children()
        alive = {one: record for one, record in found if record and written}
        await self._blocking(lambda: writer.mark_checked(last, gone, when, alive))

    async def _record(
        self, writer: ResourceWriter, zoho: PageSource, identity: str
    ) -> bytes | None:
        """Return a record, None if it was deleted, b"" if the reply does not say."""
        if identity.startswith("#"):  # a row without an id cannot be fetched
            return b""
        facts = writer.facts
        read = self._reads[facts.resource]
        self._calls[read.resource] = self.calls(read.resource) + 1
        try:
            return await record_by_id(zoho, read, identity, facts.row_id)
        except ReplyError as error:
            ends_all = (LimitError, OrganizationError, InvalidToken, MissingScope)
            if isinstance(error, ends_all):
                raise
            return b""
