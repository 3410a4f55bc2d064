"""Pages that arrive while others land come down together, in their order."""

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
from zoho_async.export.writer import MOST, Sheet, WriteQueue

T = TypeVar("T")


class Slow:
    """A disk that takes until somebody lets it go on; it counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.free = anyio.Event()

    async def __call__(self, work: Callable[[], T], /) -> T:
        self.asked += 1
        await self.free.wait()
        return await anyio.to_thread.run_sync(work)


def sheet(page: int) -> Sheet:
    data, ids = rows(*range(page * 10, page * 10 + 10))
    return Sheet(number=page, rows=data, ids=ids)


async def test_pages_that_came_meanwhile_land_in_one_transaction(tmp_path: Path) -> None:
    run, disk, told = Run(tmp_path), Slow(), list[ExportEvent]()
    landing = run.landing()

    async def tell(event: ExportEvent) -> None:
        told.append(event)

    lander = WriteQueue(run.state, disk, tell)
    async with anyio.create_task_group() as group:
        group.start_soon(lander.run)
        await lander.put(landing, sheet(1), None)
        await anyio.wait_all_tasks_blocked()
        for page in range(2, 2 + MOST):
            await lander.put(landing, sheet(page), None)
        with pytest.raises(TimeoutError), anyio.fail_after(0):
            await lander.put(landing, sheet(99), None)  # the queue is full: reading waits
        disk.free.set()
        await lander.landed()
        lander.close()
    assert disk.asked == 2
    assert run.part.read_bytes() == text(*range(10, 10 * (MOST + 2)))
    assert [event.rows for event in told if isinstance(event, Progress)] == [
        10 * page for page in range(1, MOST + 2)
    ]
    landing.close()
    run.close()


async def test_a_landing_that_fails_ends_the_landing_and_says_why(tmp_path: Path) -> None:
    run, disk = Run(tmp_path), Slow()
    disk.free.set()
    landing = run.landing()
    run.database.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON _zoho_resource"
        " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )

    async def tell(event: ExportEvent) -> None:
        raise AssertionError("nothing landed")

    lander = WriteQueue(run.state, disk, tell)
    await lander.put(landing, sheet(1), None)
    with pytest.raises(DestinationError, match="disk full"):
        await lander.run()
    lander.close()
    landing.close()
    run.close()
