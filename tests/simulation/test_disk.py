"""The simulated disk keeps what a disk promises, and nothing more."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.disk import Disk
from tests.simulation.faults import Fault
from tests.simulation.loop import Worker
from tests.simulation.plan import Plan
from tests.simulation.world import World
from zoho_async import files

Work = Callable[[Path], Coroutine[Any, Any, None]]


class Run:
    """Some workers on one disk. Each does its steps as on a thread."""

    def __init__(self, seed: int, *faults: Fault) -> None:
        self.world = World(Plan(seed=seed, faults=faults))
        self.disk = Disk(self.world, seed, faults)
        self.errors: list[BaseException] = []

    def __enter__(self) -> Path:
        return self.disk.root

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.disk.close()
        self.world.close()

    def do(self, *steps: Callable[[], object]) -> None:
        """Let a worker do each step, in its own thread."""

        async def work(worker: Worker) -> None:
            for step in steps:
                try:
                    await self.world.loop.run_in_executor(None, step)
                except OSError as error:
                    self.errors.append(error)

        async def main() -> None:
            worker = self.world.spawn("one", work)
            while not worker.dead and worker.task is not None and not worker.task.done():
                await self.world.loop.create_task(_pause(self.world))

        with self.disk.installed():
            self.world.run(main)


async def _pause(world: World) -> None:
    future = world.loop.create_future()
    world.loop.call_later(1.0, future.set_result, None)
    await future


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def power_at(nth: int) -> Fault:
    return Fault("power", "one", nth=nth)


def replaced(seed: int, nth: int) -> dict[str, bytes]:
    """What is left of a file that is replaced while the machine loses power."""
    run = Run(seed, power_at(nth))
    with run as root:
        path = root / "below" / "tokens.json"
        run.do(
            lambda: files.write_private(path, b"old"), lambda: files.write_private(path, b"newer")
        )
        return contents(path.parent) if path.parent.is_dir() else {}


def test_a_replaced_file_is_whole_after_every_end_of_the_machine() -> None:
    seen = set[bytes | None]()
    for nth in range(1, 40):
        for seed in range(4):
            seen.add(replaced(seed, nth).get("tokens.json"))
    assert seen == {None, b"old", b"newer"}


def test_without_the_sync_of_the_directory_a_rename_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk sees what the package's code would lose."""
    found = set[bytes | None]()

    def nothing(directory: Path) -> None:
        pass

    monkeypatch.setattr(files, "sync_directory", nothing)
    for seed in range(12):
        run = Run(seed)
        with run as root:
            path = root / "a"
            run.do(partial(files.replace_file, path, b"new"))
            run.disk.lose_power(power_at(0))
            found.add(contents(root).get("a"))
    assert found == {None, b"new"}


def test_without_the_sync_of_the_content_a_file_is_torn() -> None:
    found = set[bytes | None]()
    for seed in range(40):
        run = Run(seed)
        with run as root:

            def write(path: Path = root / "a") -> None:
                draft = files.DraftFile(path)
                draft.write(b"0123456789")
                draft._flush()
                files.sync_directory(path.parent)

            run.do(write)
            run.disk.lose_power(power_at(0))
            found.add(contents(root).get("a"))
    assert {b"", b"0123456789"} < found
    assert len(found) > 4


def appended(seed: int, nth: int, kind: str) -> tuple[int, bytes]:
    """How many bytes a worker knew as written, and what the file then holds."""
    run = Run(seed, Fault(kind, "one", nth=nth, seconds=5.0))
    known = 0
    with run as root:
        file = files.AppendedFile(root / "rows.jsonl")

        def append() -> None:
            nonlocal known
            known += file.append(b"0123456789")

        run.do(lambda: file.reopen(0), append, append, append)
        return known, contents(root).get("rows.jsonl", b"")


@pytest.mark.parametrize("kind", ["power", "disk_kill", "disk_full", "disk_error"])
def test_appended_rows_that_are_known_as_written_survive(kind: str) -> None:
    for nth in range(1, 14):
        for seed in range(3):
            known, content = appended(seed, nth, kind)
            assert len(content) >= known or known == 0
            assert content[:known] == (b"0123456789" * 3)[:known]


@pytest.fixture
def folder() -> Iterator[Run]:
    run = Run(1, Fault("lock_held", "one", nth=1, seconds=3.0))
    yield run
    run.close()


def test_a_lock_that_another_program_holds_is_waited_for(folder: Run) -> None:
    entered: list[float] = []

    def hold() -> None:
        with files.locked(folder.disk.root / "lock"):
            entered.append(folder.world.loop.now)

    folder.do(hold)
    assert len(entered) == 1
    assert entered[0] >= 1003.0
    assert not folder.disk.open_files()


def test_a_worker_that_dies_with_a_lock_frees_it() -> None:
    run = Run(1, Fault("disk_kill", "one", nth=5))
    with run as root:
        held: list[bool] = []

        def hold() -> None:
            with files.locked(root / "lock"):
                held.append(True)
                os.listdir(root)
                files.replace_file(root / "a", b"1")

        run.do(hold)
        run.do(hold)
        assert held == [True, True]
        assert contents(root)["a"] == b"1"
