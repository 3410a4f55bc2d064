"""After the first export each run brings what changed since, and costs no more than that takes."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.export_databases import session
from zoho_async.errors import ConfigurationError
from zoho_async.export import (
    CheckpointRefused,
    Directory,
    Export,
    ExportOptions,
    Exports,
    NextPass,
    Origin,
    ResourceSummary,
    SinceMidnight,
    Summary,
    merge,
)
from zoho_async.export.capabilities import probe, save_capabilities
from zoho_async.export.catalog import exportable
from zoho_async.export.summary import SummaryBuilder
from zoho_async.http.call import Budget
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

SIZES = {"books.contacts": 450, "books.items": 200, "books.invoices": 600, "books.projects": 30}
IDS = {name: exportable()[name].row_id for name in SIZES}


def sandbox(**rules: object) -> Sandbox:
    return Sandbox(**({"sizes": SIZES, "minute": 1.0} | rules))  # type: ignore[arg-type]  # passed on


async def export(zoho: Session, to: Path, *names: str, **asked: Any) -> Summary:
    async with Export(zoho, names or tuple(SIZES), to=to, options=ExportOptions(**asked)) as job:
        return await job.wait()


def of(summary: Summary, resource: str) -> ResourceSummary:
    return next(one for one in summary.resources if one.resource == resource)


def changes(directory: Path, resource: str) -> list[Path]:
    return sorted((directory / f"{resource.replace('.', '/')}.changes").glob("*.jsonl"))


def held(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*.jsonl")}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_bytes().splitlines()]


def assert_current(server: Sandbox, directory: Path, *names: str) -> None:
    """MergeResult, the files hold the server's rows, byte for byte, each once."""
    merge(Directory(directory))
    for name in names or SIZES:
        path = directory / f"{name.replace('.', '/')}.jsonl"
        assert sorted(path.read_bytes().splitlines()) == sorted(server.truth(name)), name


async def test_a_run_without_changes_costs_one_call_a_list_and_writes_nothing(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path)
        before = held(tmp_path)
        for _ in range(2):
            calls = server.calls
            summary = await export(zoho, tmp_path)
            assert server.calls - calls == summary.calls == summary.least_calls == len(SIZES)
            assert (summary.done, summary.rows) == (True, 0)
        assert held(tmp_path) == before
        modes = {one.resource: one.mode for one in summary.resources}
        assert modes == dict.fromkeys(SIZES, "changed") | {"books.projects": "compared"}


async def test_the_next_run_brings_what_is_new_and_what_changed_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path)
        for name, field in (("contacts", "contact_name"), ("projects", "project_name")):
            collection = server.store().collection(name)
            collection.change(7, {field: "Changed"})
            collection.add({field: "Added"})
        calls = server.calls
        summary = await export(zoho, tmp_path)
        assert server.calls - calls == len(SIZES)
        for name in ("books.contacts", "books.projects"):
            one = of(summary, name)
            assert (one.new, one.changed, one.rows) == (1, 1, 2)
            (part,) = changes(tmp_path, name)
            assert part.name == Path(one.file).name
            names = {row["contact_name" if "contacts" in name else "project_name"]
                     for row in rows(part)}  # fmt: skip
            assert names == {"Changed", "Added"}
        assert of(summary, "books.invoices").rows == 0
        await export(zoho, tmp_path)
        assert len(changes(tmp_path, "books.contacts")) == 1  # the boundary's rows come once
        assert_current(server, tmp_path)


async def test_a_sweep_marks_what_was_deleted_and_only_that(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path)
        for name in SIZES:
            server.store().collection(name).remove(3)
        assert (await export(zoho, tmp_path)).rows == 0
        summary = await export(zoho, tmp_path, detect_deletions=True)
        assert {one.resource: one.deleted for one in summary.resources} == dict.fromkeys(SIZES, 1)
        for name in SIZES:
            (tombstone,) = rows(changes(tmp_path, name)[-1])
            assert tombstone.keys() == {IDS[name], "_deleted_time"}
        assert_current(server, tmp_path)
        again = await export(zoho, tmp_path, detect_deletions=True)
        assert sum(one.deleted for one in again.resources) == 0


async def test_a_record_that_the_list_lost_but_zoho_still_has_is_not_taken_for_deleted(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "projects")
        projects = server.store().collection("projects")
        hidden = projects.indexes
        projects.indexes = lambda: [one for one in hidden() if one != 5]  # type: ignore[method-assign]  # a list that hides a row
        projects.orders.clear()
        summary = await export(zoho, tmp_path, "projects", detect_deletions=True)
        assert of(summary, "books.projects").deleted == 0
        assert summary.calls == 2  # the list, and the question


async def test_a_refusal_to_answer_is_not_taken_for_a_deletion(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "projects")
        server.store().collection("projects").remove(4)
        server.faults.append(Fault(kind="code", path="*/projects/*", status=400, code=1000))
        summary = await export(zoho, tmp_path, "projects", detect_deletions=True)
        assert of(summary, "books.projects").deleted == 0
        server.faults.clear()
        summary = await export(zoho, tmp_path, "projects", detect_deletions=True)
        assert of(summary, "books.projects").deleted == 1


async def test_a_sweep_asks_about_no_more_records_than_it_may(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "projects")
        for index in range(5):
            server.store().collection("projects").remove(index)
        deleted = [
            of(
                await export(
                    zoho, tmp_path, "projects", detect_deletions=True, max_deletion_checks=2
                ),
                name,
            ).deleted
            for name in ["books.projects"] * 3
        ]
        assert deleted == [2, 2, 1]
        assert_current(server, tmp_path, "books.projects")


async def test_what_changed_before_since_is_never_asked_for(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        truth = [json.loads(row) for row in server.truth("books.invoices")]
        times = sorted(datetime.fromisoformat(row["last_modified_time"]) for row in truth)
        since = times[len(times) // 2]
        summary = await export(zoho, tmp_path, "invoices", since=since)
        wanted = [row for row in truth if datetime.fromisoformat(row["last_modified_time"]) >= since
                  - timedelta(seconds=1)]  # fmt: skip
        assert summary.rows == len(wanted)
        assert summary.calls == -(-len(wanted) // 200)
        assert (await export(zoho, tmp_path, "invoices", since=since)).calls == 1
        with pytest.raises(CheckpointRefused, match="asked for differently"):
            await export(zoho, tmp_path, "invoices")
        with pytest.raises(ConfigurationError, match="projects cannot be filtered"):
            Export(zoho, ["projects"], to=tmp_path, options=ExportOptions(since=since))
        with pytest.raises(ConfigurationError, match="offset"):
            ExportOptions(since=datetime(2026, 1, 1))


async def since_day(zoho: Session, to: Path, day: date) -> tuple[SinceMidnight, Summary]:
    async with Export(zoho, ["invoices"], to=to, options=ExportOptions(since=day)) as job:
        events = [event async for event in job]
    assert isinstance(events[0], SinceMidnight)
    return events[0], job.summary


async def test_a_date_is_midnight_in_the_time_zone_of_the_organization(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        times = sorted(
            datetime.fromisoformat(json.loads(row)["last_modified_time"])
            for row in server.truth("books.invoices")
        )
        day = times[len(times) // 2].astimezone(ZoneInfo("America/Sao_Paulo")).date()
        start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("America/Sao_Paulo"))
        event, summary = await since_day(zoho, tmp_path, day)
        assert (event.since, event.time_zone) == (start, "America/Sao_Paulo")
        assert summary.rows == sum(time >= start for time in times)
        assert summary.calls == server.calls == 1 + -(-summary.rows // 200)


async def test_a_date_is_midnight_here_if_the_time_zone_cannot_be_read(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        server.faults.append(
            Fault(
                kind="code", path="*/organizations", status=401, code=57, message="No.", times=None
            )
        )
        event, summary = await since_day(zoho, tmp_path, date(2026, 1, 31))
        assert (event.since, event.time_zone) == (datetime(2026, 1, 31).astimezone(), None)
        assert summary.done


async def test_the_calls_of_several_organizations_add_up(tmp_path: Path) -> None:
    async with sandbox(organizations=["20345678"]) as server, session(server) as zoho:
        every = await zoho.organizations()
        own = server.calls
        options = ExportOptions(since=date(2026, 1, 31))
        async with Exports(zoho, every, ["invoices"], to=tmp_path, options=options) as jobs:
            await jobs.follow(lambda _: None)
        assert own + jobs.summary.calls == server.calls
        names = ["contacts", "invoices", "organizations"]
        before = server.calls
        async with Exports(zoho, every, names, to=tmp_path / "more") as jobs:
            await jobs.follow(lambda _: None)
        assert jobs.summary.calls == server.calls - before
        assert sum(one.calls for one in jobs.summary.resources) == server.calls - before


async def test_no_call_is_forgotten_if_another_organization_starts_meanwhile() -> None:
    async with sandbox(organizations=["20345678"]) as server, session(server) as zoho:
        budget = Budget(100)
        view = zoho.with_options(budget=budget)
        builder = SummaryBuilder(view, "10234695", [], budget=budget, feeds={})
        await builder.begin()
        await view.request("GET", "/contacts")
        await zoho.for_organization("20345678").snapshot()  # idle schedulers are dropped here
        assert (await builder.summary("out")).calls == 1


async def test_a_filter_that_does_nothing_is_noticed_and_not_used_again(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "contacts")
        contacts = server.store().collection("contacts")
        type(contacts.resource).ignored |= {"last_modified_time"}
        try:
            first = of(await export(zoho, tmp_path, "contacts"), "books.contacts")
            contacts.change(9, {"contact_name": "Changed"})
            second = of(await export(zoho, tmp_path, "contacts"), "books.contacts")
        finally:
            type(contacts.resource).ignored -= {"last_modified_time"}
        assert (first.mode, first.rows) == ("changed", 0)
        assert second.mode in ("newest", "compared")
        assert (second.rows, second.changed) == (1, 1)


async def test_a_probe_tells_which_filters_work_and_later_runs_go_by_it(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        lists = exportable()
        contacts = server.store().collection("contacts")
        works = await probe(zoho, lists["books.contacts"])
        assert (works.capabilities.changes, works.capabilities.newest, works.calls) == (
            True,
            True,
            3,
        )
        assert (await probe(zoho, lists["books.projects"])).calls == 0
        type(contacts.resource).ignored |= {"last_modified_time"}
        try:
            broken = await probe(zoho, lists["books.contacts"])
        finally:
            type(contacts.resource).ignored -= {"last_modified_time"}
        assert (broken.capabilities.changes, broken.mode, broken.calls) == (False, "newest", 2)
        place = Origin("10234695", "127.0.0.1")
        save_capabilities(Directory(tmp_path), place, [broken])
        await export(zoho, tmp_path, "contacts")
        contacts.change(9, {"contact_name": "Changed"})
        calls = server.calls
        summary = await export(zoho, tmp_path, "contacts")
        assert (summary.resources[0].mode, summary.rows) == ("newest", 1)
        assert server.calls - calls == 1


async def test_rows_deleted_while_a_list_is_read_cost_no_other_row(tmp_path: Path) -> None:
    async with sandbox(latency=0.02) as server, session(server) as zoho:
        contacts = server.store().collection("books.contacts")
        job = Export(zoho, ["contacts"], to=tmp_path)
        looks = 0
        async with job:
            async for event in job:
                looks += isinstance(event, NextPass)
                if server.calls == 1 or not looks:
                    for index in list(contacts.indexes())[:3]:
                        contacts.remove(index)
        assert looks == 1
        written = (tmp_path / "books/contacts.jsonl").read_bytes().splitlines()
        assert len(written) == len(set(written))
        assert set(server.truth("books.contacts")) <= set(written)


async def test_organizations_export_side_by_side_each_into_its_own_directory(
    tmp_path: Path,
) -> None:
    async with sandbox(organizations=["20345678"]) as server, session(server) as zoho:
        ids = [each.id for each in await zoho.organizations()]
        events: list[object] = []
        async with Exports(zoho, ids, ["invoices", "projects"], to=tmp_path) as jobs:
            await jobs.follow(events.append)
        assert (jobs.summary.done, jobs.summary.rows) == (True, 2 * 630)
        assert len(jobs.summary.resources) == 4
        for each in ids:
            written = (tmp_path / each / "books/invoices.jsonl").read_bytes().splitlines()
            assert written == server.truth("books.invoices", each)


# -- others at work -----------------------------------------------------------------------------


FIELDS = {
    "books.contacts": "contact_name",
    "books.items": "name",
    "books.invoices": "reference_number",
    "books.projects": "project_name",
}


class Writers:
    """Others who insert, edit and delete, seeded; ``untouched`` are the rows that they leave."""

    def __init__(self, server: Sandbox, seed: int) -> None:
        self.chance = random.Random(seed)
        self.collections = {name: server.store().collection(name) for name in SIZES}
        self.edits = 0

    def edit(self) -> None:
        name = self.chance.choice(list(SIZES))
        collection = self.collections[name]
        index = self.chance.choice(collection.indexes())
        what = self.chance.random()
        self.edits += 1
        if what < 0.35:
            collection.add({"name" if name == "books.items" else "notes": f"new {self.edits}"})
        elif what < 0.7:
            collection.change(index, {FIELDS[name]: f"edit {self.chance.randrange(10**6)}"})
        else:
            collection.remove(index)

    async def work(self, edits: int) -> None:
        for _ in range(edits):
            self.edit()
            await asyncio.sleep(0)  # between any two, pages are read


async def written_during(server: Sandbox, zoho: Session, to: Path, seed: int, edits: int) -> int:
    """Exports while others write; what must hold is asserted. How many calls were made."""
    writers = Writers(server, seed)
    before = {name: set(server.truth(name)) for name in SIZES}
    working = asyncio.create_task(writers.work(edits))
    summary = await export(zoho, to)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    merge(Directory(to))
    for name in SIZES:
        path = to / f"{name.replace('.', '/')}.jsonl"
        written = path.read_bytes().splitlines()
        ids = [json.loads(row)[IDS[name]] for row in written]
        assert len(ids) == len(set(ids))
        throughout = before[name] & set(server.truth(name))
        if of(summary, name).proven is not False:
            assert throughout <= set(written), name
    await export(zoho, to)
    summary = await export(zoho, to, detect_deletions=True)
    assert summary.done
    assert_current(server, to)
    return summary.calls


async def test_what_others_write_during_a_run_costs_no_row_and_arrives_by_the_next(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await written_during(server, zoho, tmp_path, seed=1, edits=300)


@pytest.mark.long
async def test_thousands_of_edits_during_runs_cost_no_row(tmp_path: Path) -> None:
    large = {"books.contacts": 2_000, "books.items": 900, "books.invoices": 3_000,
             "books.projects": 450}  # fmt: skip
    busy = sandbox(sizes=large, latency=(0.0, 0.005), minute=0.3)
    async with busy as server, session(server) as zoho:
        for seed in (2, 3):
            await written_during(server, zoho, tmp_path, seed=seed, edits=1_200)
