"""Queue the pages of all lists of a job, and write them together.

While one write is on the disk, pages of all lists gather in the queue. The next transaction writes
as many of them as have gathered, at most `MOST`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.export.checkpoint.store import Checkpoint, ResourceState
from zoho_async.export.events import ExportEvent, Progress
from zoho_async.export.resource_store import writing
from zoho_async.export.writer import ResourceWriter
from zoho_async.wire import Page

T = TypeVar("T")

#: The largest number of pages in one transaction.
MOST: Final = 16


class Blocking(Protocol):
    """Runs blocking work off the event loop, one at a time, to its end."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class _QueuedPage(msgspec.Struct, frozen=True):
    writer: ResourceWriter
    page: Page[bytes]
    total: int | None


class WriteQueue:
    """The queue of one job, and the task (`run`) that writes its pages."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        blocking: Blocking,
        report: Callable[[ExportEvent], Awaitable[None]],
    ) -> None:
        self._checkpoint: Final = checkpoint
        self._blocking: Final = blocking
        self._report: Final = report
        send, receive = anyio.create_memory_object_stream[_QueuedPage | anyio.Event](MOST)
        self._send: Final[MemoryObjectSendStream[_QueuedPage | anyio.Event]] = send
        self._receive: Final[MemoryObjectReceiveStream[_QueuedPage | anyio.Event]] = receive

    async def put(self, writer: ResourceWriter, page: Page[bytes], total: int | None) -> None:
        """Queue a page. ``total`` is the list's count, for progress events."""
        await self._send.send(_QueuedPage(writer, page, total))

    async def flush(self) -> None:
        """Wait until all pages that were queued before are durable."""
        done = anyio.Event()
        await self._send.send(done)
        await done.wait()

    async def run(self) -> None:
        """Write pages until `close`. Raises what the destination raises."""
        with self._receive:
            async for first in self._receive:
                waiting = [first]
                while len(waiting) < MOST:
                    try:
                        waiting.append(self._receive.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                await self._write([one for one in waiting if isinstance(one, _QueuedPage)])
                for one in waiting:
                    if isinstance(one, anyio.Event):
                        one.set()

    def close(self) -> None:
        """Stop after the queued pages."""
        self._send.close()

    async def _write(self, pages: list[_QueuedPage]) -> None:
        if not pages:
            return
        after = await self._blocking(lambda: self._write_together(pages))
        for page, state in zip(pages, after, strict=True):
            await self._report(
                Progress(
                    resource=page.writer.facts.resource,
                    page=page.page.number,
                    rows=state.part.rows,
                    total=page.total,
                    bytes=state.part.size,
                )
            )

    def _write_together(self, pages: list[_QueuedPage]) -> list[ResourceState]:
        """Write ``pages`` in one transaction. Return the states after them, in the same order."""
        by_writer: dict[int, list[_QueuedPage]] = {}
        for page in pages:
            by_writer.setdefault(id(page.writer), []).append(page)
        after: dict[int, ResourceState] = {}
        with writing(self._checkpoint.name), self._checkpoint.database.transaction():
            for some in by_writer.values():
                states = some[0].writer.write_pages([page.page for page in some])
                after.update(zip(map(id, some), states, strict=True))
        return [after[id(page)] for page in pages]
