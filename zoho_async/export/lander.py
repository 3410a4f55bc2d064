"""Bringing pages down, as many at once as came while the last ones landed.

A transaction costs the destination about the same for one page and for ten, and the slower it is,
the more pages arrive meanwhile. So pages queue up here, from all resources of a job, and whenever
the last landing is done everything that waits lands in one transaction. Where landing is fast, that
is one page a transaction; where it is slow, up to `MOST`. The queue is bounded by the same number,
so that memory is too: when it is full, reading waits.

Pages of one resource land in the order in which they were put.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from zoho_async.export.events import ExportEvent, Progress
from zoho_async.export.landing import Landing, Sheet, writing
from zoho_async.export.state import Position, State

T = TypeVar("T")

#: Pages that land together at most.
MOST: Final = 16


class Blocking(Protocol):
    """Runs blocking work off the event loop, one at a time, to its end."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class _Page(msgspec.Struct, frozen=True):
    landing: Landing
    sheet: Sheet
    total: int | None


class Lander:
    """The queue of one job, and the task (`run`) that lands what is in it."""

    def __init__(
        self, state: State, blocking: Blocking, tell: Callable[[ExportEvent], Awaitable[None]]
    ) -> None:
        self._state: Final = state
        self._blocking: Final = blocking
        self._tell: Final = tell
        send, receive = anyio.create_memory_object_stream[_Page | anyio.Event](MOST)
        self._send: Final[MemoryObjectSendStream[_Page | anyio.Event]] = send
        self._receive: Final[MemoryObjectReceiveStream[_Page | anyio.Event]] = receive

    async def put(self, landing: Landing, sheet: Sheet, total: int | None) -> None:
        """Queue a page; ``total`` is what its list counts, for those who watch."""
        await self._send.send(_Page(landing, sheet, total))

    async def landed(self) -> None:
        """Wait until everything that was put before is durable."""
        done = anyio.Event()
        await self._send.send(done)
        await done.wait()

    async def run(self) -> None:
        """Land until `close`. Raises what the destination raises."""
        with self._receive:
            async for first in self._receive:
                waiting = [first]
                while len(waiting) < MOST:
                    try:
                        waiting.append(self._receive.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                await self._land([one for one in waiting if isinstance(one, _Page)])
                for one in waiting:
                    if isinstance(one, anyio.Event):
                        one.set()

    def close(self) -> None:
        """Nothing more will be put."""
        self._send.close()

    async def _land(self, pages: list[_Page]) -> None:
        if not pages:
            return
        after = await self._blocking(lambda: self._together(pages))
        for page, position in zip(pages, after, strict=True):
            await self._tell(
                Progress(
                    resource=page.landing.facts.resource,
                    page=page.sheet.number,
                    rows=position.rows,
                    total=page.total,
                    bytes=position.bytes,
                )
            )

    def _together(self, pages: list[_Page]) -> list[Position]:
        """Land ``pages`` in one transaction; the positions after them, in the same order."""
        by_landing: dict[int, list[_Page]] = {}
        for page in pages:
            by_landing.setdefault(id(page.landing), []).append(page)
        after: dict[int, Position] = {}
        with writing(self._state.name), self._state.database.transaction():
            for some in by_landing.values():
                positions = some[0].landing.land([page.sheet for page in some])
                after.update(zip(map(id, some), positions, strict=True))
        return [after[id(page)] for page in pages]
