"""Histories of edits, runs, kills and merges are searched for one that loses or repeats a row.

The list is a fake one, its time is held, every disk operation may be the last of its process. What
must hold after every completed run, of each way in which a list can be read:

- every record that was there, untouched, from the run's begin to its end is there once, as it is;
- one that was edited meanwhile is there no older than it was when the run began (so that every
  change arrives by the next run);
- nothing is there that never was, and after a sweep nothing that was gone before it began.

A list without a steady order may leave a run unproven; then the same holds after a later run that
is proven.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.examples import examples
from tests.support.list_in_memory import PER_PAGE, FakeZoho
from zoho_async.export import (
    Database,
    Directory,
    Export,
    ExportOptions,
    Margin,
    Sink,
    Table,
)
from zoho_async.export.catalog import exportable
from zoho_async.export.destinations.base import (
    OpenDestination,
    Query,
    RecordedContents,
    Rounded,
    Value,
)
from zoho_async.export.destinations.merge import merge
from zoho_async.session import Session

#: A list of each kind: filter and steady order; filter only; newest first only; neither.
KINDS = ("contacts", "items", "journals", "projects")

#: A failing history is reported without shrinking, which takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

#: Where there is one, a disk that is no disk: thousands of histories wait for it otherwise.
MEMORY = Path("/dev/shm")

MARGIN = Margin(start=2, row=1)


class Killed(Exception):
    """The process ended here."""


class Fuse:
    """Burns down with every operation of the disk."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class Mortal:
    """A directory whose process ends when the fuse does: before or after any operation."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        self._inner = Directory(path)
        self._fuse = fuse

    @property
    def name(self) -> str:
        return self._inner.name

    def open(self) -> OpenDestination:
        return MortalPlace(self._inner.open(), self._fuse)

    def read_only(self) -> AbstractContextManager[Query | None]:
        return self._inner.read_only()


class MortalPlace:
    def __init__(self, inner: OpenDestination, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse
        self.name = inner.name
        self.database = MortalDatabase(inner.database, fuse)

    def sink(self, table: Table, part: str) -> Sink:
        return MortalSink(self._inner.sink(table, part), self._fuse)

    def finish(self) -> Rounded:
        return self._inner.finish()

    def close(self) -> None:
        self._inner.close()


class MortalDatabase:
    def __init__(self, inner: Database, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        return self._inner.execute(sql, values)

    def insert(self, *arguments: Any) -> None:
        self._fuse.burn()
        self._inner.insert(*arguments)

    def upsert(self, *arguments: Any) -> None:
        self._fuse.burn()
        self._inner.upsert(*arguments)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._inner.transaction():
            yield
            self._fuse.burn()
        self._fuse.burn()

    def transaction(self) -> AbstractContextManager[None]:
        return self._transaction()


class MortalSink:
    def __init__(self, inner: Sink, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    @property
    def name(self) -> str:
        return self._inner.name

    def resume(self, mark: int) -> bool:
        self._fuse.burn()
        return self._inner.resume(mark)

    def write(self, rows: Sequence[bytes]) -> int:
        mark = self._inner.write(rows)
        self._fuse.burn()
        return mark

    def mark_deleted(self, ids: Sequence[str], when: str) -> int:
        mark = self._inner.mark_deleted(ids, when)
        self._fuse.burn()
        return mark

    def keep_as_part(self, part: str) -> None:
        self._fuse.burn()
        self._inner.keep_as_part(part)
        self._fuse.burn()

    def take_rounded(self) -> Mapping[str, int]:
        return self._inner.take_rounded()

    def discard(self) -> None:
        self._fuse.burn()
        self._inner.discard()

    def settle(self) -> None:
        self._fuse.burn()
        self._inner.settle()
        self._fuse.burn()

    def sizes(self) -> dict[str, int]:
        return self._inner.sizes()

    def find_missing(self, recorded: RecordedContents) -> str:
        return self._inner.find_missing(recorded)

    def close(self) -> None:
        self._inner.close()


class Edit(msgspec.Struct, frozen=True):
    """A change by others: ``insert``, ``edit`` or ``delete`` of the record at ``place``."""

    what: str
    place: int
    name: int

    def apply(self, zoho: FakeZoho) -> None:
        if self.what == "insert":
            zoho.insert(self.name)
        elif self.what == "edit":
            zoho.edit(self.place, self.name)
        else:
            zoho.delete(self.place)


EDITS = st.builds(
    Edit,
    what=st.sampled_from(["insert", "edit", "delete"]),
    place=st.integers(0, 20),
    name=st.integers(0, 30),
)
#: What happens before each of a run's calls: edits, and seconds that pass.
MEANWHILE = st.lists(st.tuples(st.lists(EDITS, max_size=2), st.integers(0, 3)), max_size=12)


def held(directory: Path, resource: str, row_id: str) -> dict[str, int]:
    """The current state by the files: ids and versions; each part holds a record once."""
    folder = directory / "books"
    parts = [
        folder / f"{resource}.jsonl",
        *sorted((folder / f"{resource}.changes").glob("*.jsonl")),
    ]
    state: dict[str, int] = {}
    for part in parts:
        rows = [json.loads(one) for one in part.read_bytes().splitlines()]
        assert len({row[row_id] for row in rows}) == len(rows), f"{part} repeats a record"
        for row in rows:
            if "_deleted_time" in row:
                del state[row[row_id]]
            else:
                state[row[row_id]] = row["version"]
    return state


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.runner = asyncio.Runner()
        self.base: dict[str, int] | None = None  # the list when the open run began
        self.seen_alive: set[str] = set()  # what was there while the open run lasted
        self.ever: dict[str, int] = {}

    @initialize(
        kind=st.sampled_from(KINDS),
        rows=st.lists(st.integers(0, 30), max_size=14),
        skew=st.integers(-5000, 5000),
    )
    def begin(self, kind: str, rows: list[int], skew: int) -> None:
        self.kind = kind
        self.row_id = exportable()[f"books.{kind}"].row_id
        self.zoho = FakeZoho(self.row_id)
        self.zoho.skew = skew
        for name in rows:
            self.zoho.insert(name)
            self.zoho.now += 1
        self._note()

    def _note(self) -> None:
        self.ever |= self.zoho.versions()

    @rule(edits=st.lists(EDITS, min_size=1, max_size=4))
    def others_edit(self, edits: list[Edit]) -> None:
        for edit in edits:
            edit.apply(self.zoho)
            self._note()

    @rule(seconds=st.integers(1, 1000))
    def time_passes(self, seconds: int) -> None:
        self.zoho.now += seconds

    @rule(
        meanwhile=MEANWHILE,
        fuse=st.none() | st.integers(0, 60),
        full=st.booleans(),
        detect_deletions=st.booleans(),
    )
    def run(
        self,
        meanwhile: list[tuple[list[Edit], int]],
        fuse: int | None,
        full: bool,
        detect_deletions: bool,
    ) -> None:
        steps = iter(meanwhile)
        detect_deletions = detect_deletions and not full  # they exclude each other

        def before_call() -> None:
            edits, seconds = next(steps, ((), 0))
            for edit in edits:
                edit.apply(self.zoho)
                self._note()
                self.seen_alive |= self.zoho.versions().keys()
            self.zoho.now += seconds

        self.zoho.before_call = before_call
        began = self.zoho.versions()
        if self.base is None:
            self.base, self.seen_alive = began, set()
        try:
            proven = self.runner.run(
                self._export(Fuse(fuse), full=full, detect_deletions=detect_deletions)
            )
        except Killed:
            return
        finally:
            self.zoho.before_call = lambda: None
        self._check(proven, gone_before=detect_deletions and proven is True, began=began)

    async def _export(self, fuse: Fuse, *, full: bool, detect_deletions: bool) -> bool | None:
        job = Export(
            cast("Session", self.zoho),
            [self.kind],
            to=Mortal(self.folder, fuse),
            options=ExportOptions(full=full, detect_deletions=detect_deletions),
            margin=MARGIN,
            clock=self.zoho,
        )
        async with job:
            summary = await job.wait()
        (one,) = summary.resources
        self.mode = one.mode
        return one.proven

    def _check(self, proven: bool | None, *, gone_before: bool, began: dict[str, int]) -> None:
        assert self.base is not None
        state, now = held(self.folder, self.kind, self.row_id), self.zoho.versions()
        assert not list(self.folder.rglob("*.part"))
        for one, version in state.items():
            assert version <= self.ever[one]
        if proven is False:
            assert self.kind != "contacts" or self.mode == "changed"
            return
        for one in self.base.keys() & now.keys():
            assert one in state, f"{one} is missed after {self.mode}"
            if self.base[one] == now[one] or one in began:
                assert state[one] >= self.base[one], f"{one} is older than it was"
        if gone_before and self.mode == "compared":
            assert state.keys() <= self.base.keys() | now.keys() | self.seen_alive
        self.base = None

    @precondition(lambda self: (self.folder / "books").exists())
    @rule()
    def merged(self) -> None:
        if not (self.folder / "books" / f"{self.kind}.jsonl").exists():
            return
        merge(Directory(self.folder))
        folder = self.folder / "books"
        assert not (folder / f"{self.kind}.changes").exists() or not list(
            (folder / f"{self.kind}.changes").glob("*.jsonl")
        )
        held(self.folder, self.kind, self.row_id)

    @rule()
    def a_quiet_sweep_holds_exactly_what_is_there(self) -> None:
        self.zoho.now += 1000
        # The first run may only end what was begun in the noise. One that reads the newest rows may
        # leave a doubt, which the next run resolves because it compares the whole list.
        self.runner.run(self._export(Fuse(None), full=False, detect_deletions=False))
        runs = (
            self.runner.run(self._export(Fuse(None), full=False, detect_deletions=False))
            for _ in "12"
        )
        assert any(proven is True for proven in runs)
        self.runner.run(self._export(Fuse(None), full=False, detect_deletions=True))
        merge(Directory(self.folder))
        assert held(self.folder, self.kind, self.row_id) == self.zoho.versions()
        self.base = None

    @rule()
    def a_run_without_changes_costs_least(self) -> None:
        self.zoho.now += 1000
        self.runner.run(self._export(Fuse(None), full=False, detect_deletions=False))
        self.zoho.now += 1000
        self.runner.run(self._export(Fuse(None), full=False, detect_deletions=False))
        self.base = None
        calls = self.zoho.calls
        self.zoho.now += 1000
        self.runner.run(self._export(Fuse(None), full=False, detect_deletions=False))
        pages = max(1, -(-len(self.zoho.rows) // PER_PAGE))
        times = sorted((row.modified for row in self.zoho.rows.values()), reverse=True)
        at_once = sum(time >= times[0] - 2 for time in times)
        # What our clock is behind is read again each time, and so is what has the watermark's time.
        if self.zoho.skew > -900 and at_once < PER_PAGE:
            assert self.zoho.calls - calls <= (pages if self.mode == "compared" else 1)

    def teardown(self) -> None:
        self.runner.close()
        shutil.rmtree(self.folder)


def searched(number: int, steps: int) -> settings:
    return settings(max_examples=number, stateful_step_count=steps, deadline=None, phases=PHASES)


def test_no_history_loses_a_row_or_writes_one_twice() -> None:
    run_state_machine_as_test(Histories, settings=searched(examples(10), 10))


@pytest.mark.long
def test_no_history_among_many_loses_a_row_or_writes_one_twice() -> None:
    run_state_machine_as_test(Histories, settings=searched(100, 20))
