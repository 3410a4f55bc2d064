"""A list's parts hold every row once, however often and by whomever a task is done."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from zoho_async.export.catalog import exportable
from zoho_async.integrations.dask import Partition, PartitionStore, _export_partition
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.session import Session

pytest.importorskip("fsspec")
parquet = pytest.importorskip("pyarrow.parquet")

SIZES = {"books.contacts": 230, "books.projects": 20}
FIRST, SECOND, THIRD = "20261121T020000Z", "20261122T020000Z", "20261123T020000Z"


class Task:
    """One list in a separate store, and the sandbox that serves it."""

    def __init__(self, server: Sandbox, zoho: Session, resource: str) -> None:
        self.server = server
        self.resource = resource
        self.facts = exportable()[resource]
        self.parts = PartitionStore(
            f"memory://{uuid.uuid4().hex}", {}, server.organization, self.facts
        )
        self._zoho = zoho

    async def run(self, run: str) -> tuple[Partition, int]:
        """Do the task of ``run``; its part and the calls that it took."""
        before = self.server.calls
        part = await _export_partition(self.parts, run, self._zoho)
        return part, self.server.calls - before

    def names(self) -> list[str]:
        return [name.rpartition("/")[2] for name in self.parts._partition_files()]

    def ids(self) -> list[str]:
        """The ids of all rows in all parts."""
        found: list[str] = []
        for name in self.parts._partition_files():
            with self.parts._files.open(name, "rb") as file:
                table = parquet.read_table(file, columns=[self.facts.row_id])
            found += table[self.facts.row_id].to_pylist()
        return sorted(found)

    def there(self) -> list[str]:
        """The ids that the sandbox has."""
        rows = map(json.loads, self.server.truth(self.resource))
        return sorted(row[self.facts.row_id] for row in rows)


@asynccontextmanager
async def task(resource: str) -> AsyncGenerator[Task]:
    async with Sandbox(sizes=SIZES, minute=1.0) as server:
        limits = Limits(window=1.0, linger=0.5)
        environ = server.environment()
        async with Session.from_env(environ, limits=limits, ledger=MemoryLedger()) as zoho:
            yield Task(server, zoho, resource)


async def test_the_first_part_holds_all_and_each_later_one_what_changed() -> None:
    async with task("books.contacts") as one:
        assert (await one.run(FIRST))[0].mode == "full"
        assert one.ids() == one.there()
        contacts = one.server.store().collection("contacts")
        contacts.change(7, {"contact_name": "Changed"})
        contacts.add({"contact_name": "Added"})
        part, calls = await one.run(SECOND)
        assert (part.mode, part.rows, calls) == ("changed", 2, 1)
        assert (await one.run(THIRD))[0].path == ""  # nothing changed, so it leaves no file
        assert one.names() == [f"{FIRST}.parquet", f"{SECOND}.parquet"]
        changed = json.loads(one.server.truth("books.contacts")[7])["contact_id"]
        assert one.ids() == sorted([*one.there(), changed])


async def test_a_list_that_cannot_tell_changes_is_replaced_whole() -> None:
    async with task("books.projects") as one:
        await one.run(FIRST)
        one.server.store().collection("projects").remove(3)
        part, _ = await one.run(SECOND)
        assert (part.mode, part.rows) == ("full", 19)
        assert one.names() == [f"{SECOND}.parquet"]
        assert one.ids() == one.there()


async def test_a_task_that_is_done_again_makes_no_call() -> None:
    async with task("books.contacts") as one:
        first = await one.run(FIRST)
        assert await one.run(FIRST) == (first[0], 0)


async def test_a_task_that_is_done_twice_at_once_leaves_one_part() -> None:
    async with task("books.contacts") as one:
        parts = await asyncio.gather(*(one.run(FIRST) for _ in range(4)))
        assert len({msgspec.json.encode(part) for part, _ in parts}) == 1
        assert one.names() == [f"{FIRST}.parquet"]
        assert one.ids() == one.there()
        assert one.parts._files_present() == [one.parts.path(FIRST)]


async def test_what_a_killed_worker_left_half_done_is_no_part_and_goes_with_the_next_run() -> None:
    async with task("books.contacts") as one:
        await one.run(FIRST)
        with one.parts._files.open(one.parts._temporary_prefix(FIRST) + "killed", "wb") as file:
            file.write(b"half of it")
        assert one.names() == [f"{FIRST}.parquet"]
        one.server.store().collection("contacts").change(7, {"contact_name": "Changed"})
        await one.run(SECOND)
        assert one.parts._files_present() == [one.parts.path(FIRST), one.parts.path(SECOND)]


async def test_a_worker_that_comes_back_after_the_next_run_leaves_nothing() -> None:
    async with task("books.contacts") as one:
        await one.run(FIRST)
        one.server.store().collection("contacts").change(7, {"contact_name": "Changed"})
        await one.run(THIRD)
        late, _ = await one.run(SECOND)
        assert (late.path, late.rows) == ("", 0)
        assert one.names() == [f"{FIRST}.parquet", f"{THIRD}.parquet"]


async def test_parts_that_do_not_follow_each_other_have_the_list_read_whole_again() -> None:
    async with task("books.contacts") as one:
        contacts = one.server.store().collection("contacts")
        await one.run(FIRST)
        contacts.change(7, {"contact_name": "Changed"})
        await one.run(SECOND)
        _replace(one, FIRST, since=42.0)  # as a stalled worker might have
        part, _ = await one.run(THIRD)
        assert (part.mode, part.rows) == ("full", 230)
        assert one.names() == [f"{THIRD}.parquet"]
        assert one.ids() == one.there()


def _replace(one: Task, run: str, *, since: float) -> None:
    """Have the part of ``run`` say that it leads to another watermark."""
    files: Any = one.parts._files
    with files.open(one.parts.path(run), "rb") as file:
        table = parquet.read_table(file)
    part = one.parts.find(run)
    assert part is not None
    told = msgspec.structs.replace(
        part, bookmark=msgspec.structs.replace(part.bookmark, watermark=since)
    )
    notes = {b"zoho_async": msgspec.json.encode(told)}
    with files.open(one.parts.path(run), "wb") as file:
        parquet.write_table(table.replace_schema_metadata(notes), file)
