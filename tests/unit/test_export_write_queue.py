"""Pages that arrive during a write are written together, in their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from tests.support.export_run import Run, rows, text
from zoho_async.export.errors import DestinationError
from zoho_async.export.events import ExportEvent, Progress
from zoho_async.export.writer import MOST, WriteQueue
from zoho_async.wire import Page

T = TypeVar("T")


class SlowDisk:
    """A disk that blocks until it is released. Counts its calls."""

    def __init__(self) -> None:
        self.asked = 0
        self.free = anyio.Event()

    async def __call__(self, work: Callable[[], T], /) -> T:
        self.asked += 1
        await self.free.wait()
        return await anyio.to_thread.run_sync(work)


def page_of(number: int) -> Page[bytes]:
    data, ids = rows(*range(number * 10, number * 10 + 10))
    return Page(number=number, rows=data, ids=ids)


async def test_pages_that_wait_are_written_in_one_transaction(tmp_path: Path) -> None:
    run, disk, events = Run(tmp_path), SlowDisk(), list[ExportEvent]()
    writer = run.writer()

    async def report(event: ExportEvent) -> None:
        events.append(event)

    write_queue = WriteQueue(run.state, disk, report)
    async with anyio.create_task_group() as group:
        group.start_soon(write_queue.run)
        await write_queue.put(writer, page_of(1), None)
        await anyio.wait_all_tasks_blocked()
        for page in range(2, 2 + MOST):
            await write_queue.put(writer, page_of(page), None)
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await write_queue.put(writer, page_of(99), None)  # the queue is full: reading waits
        disk.free.set()
        await write_queue.flush()
        write_queue.close()
    assert disk.asked == 2
    assert run.part.read_bytes() == text(*range(10, 10 * (MOST + 2)))
    assert [event.rows for event in events if isinstance(event, Progress)] == [
        10 * page for page in range(1, MOST + 2)
    ]
    writer.close()
    run.close()


async def test_a_failing_write_ends_the_queue_and_says_why(tmp_path: Path) -> None:
    run, disk = Run(tmp_path), SlowDisk()
    disk.free.set()
    writer = run.writer()
    run.database.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON _zoho_resource"
        " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )

    async def report(event: ExportEvent) -> None:
        raise AssertionError("nothing was written")

    write_queue = WriteQueue(run.state, disk, report)
    await write_queue.put(writer, page_of(1), None)
    with pytest.raises(DestinationError, match="disk full"):
        await write_queue.run()
    write_queue.close()
    writer.close()
    run.close()
