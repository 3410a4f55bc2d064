"""An export into each destination: all of it, then every change, and what vanished is marked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.support import export_databases
from tests.support.export_databases import (
    IDS,
    NAMES,
    SIZES,
    Rows,
    Target,
    assert_current,
    export,
    sandbox,
    session,
    table,
)
from zoho_async.errors import ConfigurationError
from zoho_async.export import (
    CheckpointRefused,
    Directory,
    Export,
    ExportRunning,
    Exports,
    Origin,
    merge,
    open_destination,
)
from zoho_async.export.capabilities import probe, save_capabilities
from zoho_async.export.catalog import exportable

target, postgresql = export_databases.target, export_databases.postgresql

#: What does not depend on the engine runs with one of them in a plain run, and with each in a long.
SLOW = [pytest.param(kind, marks=pytest.mark.long) for kind in ("duckdb", "postgresql")]


@pytest.fixture(params=["sqlite", *SLOW])
def one_target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    return export_databases.make_target(request, tmp_path)


def gone(target: Target) -> set[str]:
    return {
        row[IDS[name]]
        for name in NAMES
        for row in table(target, name)
        if row["_deleted_time"] is not None
    }


async def test_a_database_holds_the_current_state_after_every_run(target: Target) -> None:
    async with sandbox() as zoho, session(zoho) as one:
        assert await export(one, target.to) == sum(SIZES.values())
        assert_current(target, zoho)
        invoices = zoho.store().collection("invoices")
        invoices.change(7, {"reference_number": "CHANGED"})
        invoices.add({"reference_number": "ADDED"})
        assert await export(one, target.to) == 2
        assert_current(target, zoho)
        assert gone(target) == set()


@pytest.mark.parametrize("how", ["full", pytest.param("restart", marks=pytest.mark.long)])
async def test_what_vanished_is_marked_by_the_next_full_read_and_kept(
    target: Target, how: str
) -> None:
    async with sandbox() as zoho, session(zoho) as one:
        await export(one, target.to)
        invoices, contacts = (zoho.store().collection(name) for name in ("invoices", "contacts"))
        before = {name: set(zoho.truth(name)) for name in NAMES}
        for index in (0, 11, 219):
            invoices.remove(index)
        contacts.remove(39)
        vanished = {
            msgspec.json.decode(row)[IDS[name]]
            for name in NAMES
            for row in before[name] - set(zoho.truth(name))
        }
        assert len(vanished) == 4
        await export(one, target.to)
        assert gone(target) == set()  # a list that is asked for changes does not tell
        await export(one, target.to, **{how: True})
        assert gone(target) == vanished
        assert_current(target, zoho)
        await export(one, target.to, **{how: True})
        assert gone(target) == vanished


async def test_a_sweep_marks_what_was_deleted(one_target: Target) -> None:
    target = one_target
    async with sandbox() as zoho, session(zoho) as one:
        await export(one, target.to)
        zoho.store().collection("invoices").remove(5)
        await export(one, target.to, detect_deletions=True)
        assert len(gone(target)) == 1
        assert_current(target, zoho)


async def test_a_probe_is_remembered_in_a_database(one_target: Target) -> None:
    target = one_target
    async with sandbox() as zoho, session(zoho) as one:
        async with Export(one, NAMES, to=target.to) as job:
            facts = exportable()[job.resources[0]]
            await job.wait()
        found = await probe(one, facts)
        wrong = msgspec.structs.replace(
            found,
            capabilities=msgspec.structs.replace(found.capabilities, changes=False, newest=False),
        )
        place = Origin("10234695", "127.0.0.1")
        save_capabilities(open_destination(target.to), place, [wrong])
        async with Export(one, NAMES, to=target.to) as job:
            summary = await job.wait()
        assert {each.resource: each.mode for each in summary.resources} == {
            facts.resource: "compared",
            next(name for name in NAMES if name != facts.resource): "changed",
        }


async def test_two_exports_into_one_database_are_one_too_many(target: Target) -> None:
    async with sandbox() as zoho, session(zoho) as one:
        async with Export(one, NAMES, to=target.to):
            with pytest.raises(ExportRunning, match="another export is running into"):
                await export(one, target.to)
        with pytest.raises(CheckpointRefused, match="choose another place"):
            await export(one.for_organization("20345678"), target.to)


async def test_each_organization_has_a_separate_database(target: Target, tmp_path: Path) -> None:
    async with sandbox(organizations=["20345678"]) as zoho, session(zoho) as one:
        ids = [each.id for each in await one.organizations()]
        assert len(ids) == 2
        for _ in range(2):
            async with Exports(one, ids, NAMES, to=target.to) as jobs:
                await jobs.follow(lambda _: None)
        assert jobs.summary.done
    for each in ids:
        truth = {msgspec.json.decode(row)["invoice_id"] for row in zoho.truth("invoices", each)}
        assert {row["invoice_id"] for row in _of_organization(target, tmp_path, each)} == truth


def _of_organization(target: Target, folder: Path, organization: str) -> Rows:
    if target.kind == "postgresql":
        return target.ask(f"SELECT invoice_id FROM zoho_{organization}.books_invoices")
    make = {"sqlite": export_databases.sqlite_target, "duckdb": export_databases.duckdb_target}
    beside = folder / f"books-{organization}.{target.kind}"
    moved = beside.with_name(f"books.{target.kind}")
    beside.rename(moved)
    return make[target.kind](folder).ask("SELECT invoice_id FROM books_invoices")


@pytest.mark.parametrize("form", ["jsonl.gz", "jsonl.zst", "csv", "parquet", "parquet --flatten"])
async def test_a_directory_of_any_form_takes_exports_changes_and_merges(
    form: str, tmp_path: Path
) -> None:
    name, _, flatten = form.partition(" ")
    async with sandbox() as zoho, session(zoho) as one:
        to = open_destination(tmp_path, name, bool(flatten))
        assert await export(one, to) == sum(SIZES.values())
        invoices = zoho.store().collection("invoices")
        invoices.change(7, {"reference_number": "CHANGED"})
        invoices.remove(3)
        assert (
            await export(one, str(tmp_path), detect_deletions=True) == 1
        )  # the form is remembered
        again = open_destination(tmp_path)
        assert isinstance(again, Directory)
        (merged,) = merge(again)
        assert (merged.rows, merged.changes) == (219, 1)
        truth = {msgspec.json.decode(row)["invoice_id"] for row in zoho.truth("invoices")}
        assert len(truth) == 219
        with pytest.raises(CheckpointRefused, match=f"--format {form}"):
            await export(one, open_destination(tmp_path, "jsonl"))


def test_a_form_that_is_remembered_is_not_asked_for_again(tmp_path: Path) -> None:
    open_destination(tmp_path, "parquet", True).open().close()
    for asked in (None, "parquet"):
        open_destination(tmp_path, asked, asked is not None).open().close()
    with pytest.raises(CheckpointRefused, match="--format parquet --flatten"):
        open_destination(tmp_path, "parquet").open()
    with pytest.raises(ConfigurationError, match="a workbook is a file"):
        open_destination(tmp_path, "xlsx")
