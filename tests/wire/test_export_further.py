"""Exports of what lists leave out: records in full, lists below records, documents."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from zoho_async import description
from zoho_async.errors import BudgetSpent, ConfigurationError, DailyQuotaExceeded
from zoho_async.export import (
    DetailsPlanned,
    DetailsProgress,
    Directory,
    Export,
    ExportEvent,
    ExportOptions,
    Planned,
    Summary,
    WaitingForReset,
    merge,
)
from zoho_async.export.catalog import (
    EXCLUDED,
    KEY,
    all_lists,
    children,
    exportable,
    is_excluded,
    row_facts,
)
from zoho_async.export.destinations.duckdb import DuckDb
from zoho_async.export.destinations.formats import Parquet
from zoho_async.export.destinations.sqlite import Sqlite
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

SIZES = {"books.contacts": 12, "books.items": 230, "books.invoices": 30, "books.sales_orders": 5}


def sandbox(**rules: object) -> Sandbox:
    return Sandbox(**({"sizes": SIZES, "minute": 0.5} | rules))  # type: ignore[arg-type]  # passed on


@asynccontextmanager
async def session(server: Sandbox) -> AsyncGenerator[Session]:
    minute = server.client_minute
    limits = Limits(window=minute, linger=minute / 2, reserve=0)
    async with Session.from_env(server.environment(), limits=limits, ledger=MemoryLedger()) as zoho:
        yield zoho


async def export(
    zoho: Session, to: Path | Directory, *names: str, **asked: Any
) -> tuple[list[ExportEvent], Summary]:
    async with Export(zoho, names, to=to, options=ExportOptions(**asked)) as job:
        events = [event async for event in job]
    return events, job.summary


def held(directory: Path) -> dict[str, bytes]:
    """Every file that an export left, but for its state."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".zoho-export" not in path.parts
    }


def rows(directory: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / name).read_bytes().splitlines()]


#: A full read of invoices counts the debit notes, which the list leaves out.
COUNT = 1


def asked(server: Sandbox, since: int = 0) -> Counter[str]:
    """How often each path was asked for."""
    return Counter(each.path for each in server.arrivals[since:])


# -- details --------------------------------------------------------------------------------------


async def test_rows_are_the_records_in_full_for_one_call_each(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        events, summary = await export(zoho, tmp_path, "invoices", details=True)
        assert summary.calls == server.calls == 1 + COUNT + 30
        assert (summary.rows, summary.records, summary.done) == (30, 30, True)
        plan = next(event for event in events if isinstance(event, Planned))
        assert (plan.calls, plan.exact, plan.days) == (32, True, 1)
        assert plan.resources[0].detail_calls == 30
        further = next(event for event in events if isinstance(event, DetailsPlanned))
        assert (further.records, further.calls, further.exact) == (30, 30, True)
        last = [event for event in events if isinstance(event, DetailsProgress)][-1]
        assert (last.asked, last.of, last.rows) == (30, 30, 30)
        written = rows(tmp_path, "books/invoices.jsonl")
        ids = [json.loads(row)["invoice_id"] for row in server.truth("books.invoices")]
        assert [row["invoice_id"] for row in written] == ids
        assert all(row["line_items"] for row in written)
        reply = await zoho.request("GET", f"/invoices/{ids[7]}")
        assert json.loads(json.dumps(reply["invoice"], default=float)) == written[7]


async def test_details_come_by_batches_where_the_description_names_them(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        events, summary = await export(zoho, tmp_path, "items", details=True)
        assert summary.calls == 2 + 3
        plan = next(event for event in events if isinstance(event, Planned))
        assert (plan.calls, plan.exact) == (summary.calls, True)
        assert len(rows(tmp_path, "books/items.jsonl")) == 230


async def test_a_batch_that_tells_no_more_than_the_list_is_tried_once_and_not_believed(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        _, summary = await export(zoho, tmp_path, "sales_orders", details=True)
        assert summary.calls == 1 + 1 + 5
        assert all("line_items" in row for row in rows(tmp_path, "books/sales_orders.jsonl"))


async def test_only_new_and_changed_records_are_asked_for_again(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "invoices", details=True)
        before = server.calls
        _, summary = await export(zoho, tmp_path, "invoices", details=True)
        assert (server.calls - before, summary.records) == (1, 0)
        invoices = server.store().collection("books.invoices")
        index = list(invoices.indexes())[4]
        invoices.change(index, {"reference_number": "changed"})
        before = server.calls
        _, summary = await export(zoho, tmp_path, "invoices", details=True)
        assert server.calls - before == 2
        (one,) = summary.resources
        assert (one.records, one.new, one.changed) == (1, 0, 1)
        (part,) = (tmp_path / "books/invoices.changes").iterdir()
        (row,) = rows(tmp_path, str(part))
        assert (row["reference_number"], bool(row["line_items"])) == ("changed", True)


async def test_a_record_deleted_before_its_details_were_read_is_not_there(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        invoices = server.store().collection("books.invoices")
        async with Export(
            zoho, ["invoices"], to=tmp_path, options=ExportOptions(details=True)
        ) as job:
            async for event in job:
                if isinstance(event, DetailsPlanned):
                    invoices.remove(list(invoices.indexes())[-1])
        assert job.summary.done
        assert len(rows(tmp_path, "books/invoices.jsonl")) == 29
        before = server.calls
        await export(zoho, tmp_path, "invoices", details=True)
        assert server.calls - before == 1


async def test_a_record_deleted_between_two_runs_of_a_batch_is_confirmed_gone(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        items = server.store().collection("books.items")
        gone = list(items.indexes())[100]
        async with Export(zoho, ["items"], to=tmp_path, options=ExportOptions(details=True)) as job:
            async for event in job:
                if isinstance(event, DetailsPlanned):
                    name = items.id(gone)
                    items.remove(gone)
        assert job.summary.done
        left = {row["item_id"] for row in rows(tmp_path, "books/items.jsonl")}
        assert (len(left), name in left) == (229, False)
        assert asked(server)[f"/books/v3/items/{name}"] == 1


async def test_details_asked_for_later_are_read_of_all_records_and_from_then_on(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        place = tmp_path / "later"
        await export(zoho, tmp_path / "at once", "invoices", details=True)
        await export(zoho, place, "invoices")
        with pytest.raises(BudgetSpent):
            await export(zoho, place, "invoices", details=True, max_calls=11)
        _, summary = await export(zoho, place, "invoices")
        assert 0 < summary.records < 30
        assert held(place) == held(tmp_path / "at once")
        invoices = server.store().collection("books.invoices")
        invoices.change(next(iter(invoices.indexes())), {"reference_number": "touched"})
        _, summary = await export(zoho, place, "invoices")
        assert (summary.records, summary.calls) == (1, 2)
        (part,) = (place / "books/invoices.changes").iterdir()
        assert [row["line_items"] != [] for row in rows(place, str(part))] == [True]


async def test_details_asked_for_later_give_a_database_the_columns_that_they_need(
    tmp_path: Path,
) -> None:
    def told(name: str, table: str) -> list[list[tuple[str, object]]]:
        with closing(sqlite3.connect(tmp_path / name)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(f"SELECT * FROM {table}").fetchall()
        return sorted(
            sorted((key, row[key]) for key in row.keys() if row[key] is not None)  # noqa: SIM118
            for row in found
        )

    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path / "once.sqlite", "invoices", details=True)
        await export(zoho, tmp_path / "later.sqlite", "invoices")
        await export(zoho, tmp_path / "later.sqlite", "invoices", details=True)
        for table in ("books_invoices", "books_invoices__line_items"):
            assert len(told("once.sqlite", table)) >= 30
            assert told("later.sqlite", table) == told("once.sqlite", table)


# -- children --------------------------------------------------------------------------------------


async def test_children_are_read_through_their_parents_and_carry_their_ids(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        names = ("invoices.comments", "contacts.contact_persons", "projects.users")
        _, summary = await export(zoho, tmp_path, *names)
        assert summary.done
        found = rows(tmp_path, "books/contacts.contact_persons.jsonl")
        parents = {json.loads(row)["contact_id"] for row in server.truth("books.contacts")}
        assert {row["contact_id"] for row in found} == parents
        assert all(row[KEY] == f"{row['contact_id']}/{row['contact_person_id']}" for row in found)
        users = rows(tmp_path, "books/projects.users.jsonl")
        assert len({row[KEY] for row in users}) == len(users)
        before = server.calls
        await export(zoho, tmp_path, *names, refresh_children=0)
        assert server.calls - before == 3


async def test_a_changed_parent_brings_its_new_children_and_tells_of_those_gone(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "invoices.comments")
        first = rows(tmp_path, "books/invoices.comments.jsonl")[0]
        parent = first["invoice_id"]
        await zoho.request("POST", f"/invoices/{parent}/comments", body={"description": "fresh"})
        await zoho.request("DELETE", f"/invoices/{parent}/comments/{first['comment_id']}")
        invoices = server.store().collection("books.invoices")
        invoices.change(next(iter(invoices.indexes())), {"reference_number": "touched"})
        before = server.calls
        _, summary = await export(zoho, tmp_path, "invoices.comments", refresh_children=0)
        assert server.calls - before == 2
        (one,) = summary.resources
        assert (one.new, one.changed, one.deleted) == (1, 0, 1)
        (part,) = (tmp_path / "books/invoices.comments.changes").iterdir()
        told = rows(tmp_path, str(part))
        assert {row.get("description") for row in told} == {"fresh", None}
        assert [row[KEY] for row in told if "_deleted_time" in row] == [first[KEY]]


async def test_a_sweep_tells_of_the_children_of_a_deleted_parent(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "invoices.comments")
        invoices = server.store().collection("books.invoices")
        index = next(iter(invoices.indexes()))
        name = invoices.id(index)
        all_rows = rows(tmp_path, "books/invoices.comments.jsonl")
        lost = {row[KEY] for row in all_rows if row["invoice_id"] == name}
        invoices.remove(index)
        _, summary = await export(zoho, tmp_path, "invoices.comments", detect_deletions=True)
        (part,) = (tmp_path / "books/invoices.comments.changes").iterdir()
        assert {row[KEY] for row in rows(tmp_path, str(part))} == lost
        assert summary.resources[0].deleted == len(lost) > 0


async def test_a_parent_with_pages_of_children_is_gone_on_with_after_an_end_between_them(
    tmp_path: Path,
) -> None:
    async with sandbox(sizes={"books.invoices": 1}, minute=0.1) as server, session(server) as zoho:
        (row,) = server.truth("books.invoices")
        path = f"/invoices/{json.loads(row)['invoice_id']}/comments"
        for number in range(205):
            await zoho.request("POST", path, body={"description": f"comment {number}"})
        with pytest.raises(BudgetSpent):
            await export(zoho, tmp_path, "invoices.comments", max_calls=2 + COUNT)
        assert len(rows(tmp_path, "books/invoices.comments.jsonl.part")) == 200
        _, summary = await export(zoho, tmp_path, "invoices.comments", max_calls=2)
        told = rows(tmp_path, "books/invoices.comments.jsonl")
        assert len({row[KEY] for row in told}) == len(told) == summary.rows > 205


async def test_a_parent_whose_children_are_refused_is_skipped_and_reported(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        server.faults.append(Fault(kind="code", path="*/comments", status=400, code=1000, after=3))
        _, summary = await export(zoho, tmp_path, "invoices.comments")
        (one,) = summary.resources
        assert (one.status, one.passed_over, one.records) == ("done", 1, 29)
        before = server.calls
        await export(zoho, tmp_path, "invoices.comments", refresh_children=0)
        assert server.calls - before == 1


async def test_a_detail_that_is_refused_ends_its_list_and_no_other_and_is_asked_for_again(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path / "lists", "invoices")
        refused = rows(tmp_path / "lists", "books/invoices.jsonl")[20]["invoice_id"]
        server.faults.append(
            Fault(kind="code", path=f"*/invoices/{refused}", status=400, code=1000, times=1)
        )
        _, summary = await export(zoho, tmp_path, "invoices", "contacts", details=True)
        assert [one.status for one in summary.resources] == ["failed", "done"]
        before = asked(server)
        _, summary = await export(zoho, tmp_path, "invoices", "contacts", details=True)
        assert summary.done
        again = [path for path in asked(server) - before if "/invoices/" in path]
        assert len(again) == 10  # the 20 before it were kept
        assert len(rows(tmp_path, "books/invoices.jsonl")) == 30


async def test_a_merge_makes_the_current_state_of_details_and_children(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        names = ("invoices", "invoices.comments")
        await export(zoho, tmp_path / "old", *names, details=True)
        (first, *_) = rows(tmp_path / "old", "books/invoices.comments.jsonl")
        path = f"/invoices/{first['invoice_id']}/comments"
        await zoho.request("POST", path, body={"description": "fresh"})
        await zoho.request("DELETE", f"{path}/{first['comment_id']}")
        invoices = server.store().collection("books.invoices")
        invoices.change(next(iter(invoices.indexes())), {"reference_number": "touched"})
        await export(zoho, tmp_path / "old", *names, details=True)
        merge(Directory(tmp_path / "old"))
        await export(zoho, tmp_path / "new", *names, details=True)
        for name in names:
            old, new = (sorted(map(repr, rows(tmp_path / age, f"books/{name}.jsonl")))
                        for age in ("old", "new"))  # fmt: skip
            assert old == new


async def test_columns_are_those_of_records_in_full(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        place = Directory(tmp_path, Parquet())
        await export(zoho, place, "invoices", "invoices.comments", details=True)
        table = pyarrow.parquet.read_table(tmp_path / "books/invoices.parquet")
        assert table.num_rows == 30
        assert all(line["rate"] is not None for line in table["line_items"][0].as_py())
        comments = pyarrow.parquet.read_table(tmp_path / "books/invoices.comments.parquet")
        assert {KEY, "invoice_id", "comment_id"} <= set(comments.column_names)


def test_every_list_of_the_four_products_can_be_exported_or_has_a_reason() -> None:
    beyond = set()
    for product in PRODUCTS:
        for facts in description.load(product).operations:
            if facts.answer != "list" or facts.resource.endswith(".reports"):
                continue  # a report depends on its period
            if is_excluded(facts):
                beyond.add(facts.name.partition(".")[2])
                continue
            name = facts.resource
            if not facts.name.endswith(".list"):
                name += f".{facts.name.rpartition('.')[2].removeprefix('list_')}"
            assert row_facts()[name].path == facts.path, name
            if name in children():
                parents = children()[name].parents
                assert (all_lists()[name].path, parents.top_level) == (parents.path, True)
    assert beyond == set(EXCLUDED)
    assert all(EXCLUDED.values())


@pytest.mark.long
async def test_every_list_is_exported_from_a_sandbox_that_plays_all_of_them(
    tmp_path: Path,
) -> None:
    async with sandbox(sizes=dict.fromkeys(exportable(), 2), minute=0.2) as server:
        async with session(server) as zoho:
            _, summary = await export(zoho, tmp_path, *all_lists())
        failed = {one.resource: one.error for one in summary.resources if one.status != "done"}
        assert failed == {}
        assert len(summary.resources) == len(all_lists())
        assert sum(one.rows > 0 for one in summary.resources) > len(all_lists()) * 0.9


# -- call totals ----------------------------------------------------------------------------------


async def test_the_least_calls_include_details_children_and_documents(tmp_path: Path) -> None:
    names = ("invoices", "items", "invoices.comments")
    async with sandbox() as server, session(server) as zoho:
        ids = [json.loads(row)["invoice_id"] for row in server.truth("books.invoices")]
        await attach(server, zoho, ids[3], "receipt.png")
        before = server.calls
        _, summary = await export(zoho, tmp_path, *names, details=True, files=True)
        made = {one.resource: one.calls for one in summary.resources}
        least = {one.resource: one.least_calls for one in summary.resources}
        lists, full, printed, attached = 1, 30, 30, 1 + 1  # to see what is attached, and the file
        assert least["books.invoices"] == lists + full + printed + attached
        assert least["books.invoices.comments"] == lists + 30
        over = {name: made[name] - least[name] for name in made}
        assert over == {"books.invoices": COUNT, "books.items": 0, "books.invoices.comments": COUNT}
        assert summary.least_calls == sum(least.values())
        assert summary.calls == sum(made.values()) == server.calls - before


async def test_calls_that_bring_nothing_are_not_among_the_least(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        _, summary = await export(zoho, tmp_path, "sales_orders", details=True)  # tries a batch
        assert (summary.calls, summary.least_calls) == (1 + 1 + 5, 1 + 5)


# -- documents ------------------------------------------------------------------------------------


async def test_documents_of_new_and_changed_records_are_saved_under_their_numbers_and_ids(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        rows = [json.loads(row) for row in server.truth("books.invoices")]
        ids = [row["invoice_id"] for row in rows]
        await attach(server, zoho, ids[3], "../receipt of May.png")
        _, summary = await export(zoho, tmp_path, "invoices", files=True)
        assert (summary.files, summary.calls) == (
            31,
            1 + COUNT + 30 + 1 + 1,
        )  # one to see what is attached
        folder = tmp_path / "books/invoices.files"
        names = {f"{row['invoice_number']}-{row['invoice_id']}.pdf" for row in rows}
        assert {path.name for path in folder.glob("*.pdf")} == names
        assert all(path.read_bytes().startswith(b"%PDF") for path in folder.glob("*.pdf"))
        (attached,) = (folder / ids[3]).iterdir()
        _, line, name = attached.name.partition("_")
        assert (line, name, attached.read_bytes()) == ("_", "receipt of May.png", b"picture")
        for path in folder.glob("*.pdf"):  # as version 0.1.0 named them
            path.rename(path.with_name(f"{path.stem.rpartition('-')[2]}.pdf"))
        before = server.calls
        _, summary = await export(zoho, tmp_path, "invoices", files=True)
        assert (server.calls - before, summary.files) == (1, 0)
        invoices = server.store().collection("books.invoices")
        for number in ("IN/7", "IN/8"):
            invoices.change(list(invoices.indexes())[3], {"invoice_number": number})
            _, summary = await export(zoho, tmp_path, "invoices", files=True)
            assert summary.files == 1  # what was attached is there already
        assert list((folder / ids[3]).iterdir()) == [attached]
        names = {f"{one}.pdf" for one in ids if one != ids[3]} | {f"IN-8-{ids[3]}.pdf"}
        assert {path.name for path in folder.glob("*.pdf")} == names


async def attach(server: Sandbox, zoho: Session, invoice: str, name: str) -> None:
    from zoho_async.books import invoices
    from zoho_async.http.upload import Upload

    await invoices.add_attachment(zoho, invoice, attachment=Upload(Path(name).name, b"picture"))
    server.arrivals.clear()


def test_a_database_takes_no_files_unless_a_directory_is_named(tmp_path: Path) -> None:
    async def make() -> None:
        async with sandbox() as server, session(server) as zoho:
            place = Sqlite(tmp_path / "all.sqlite")
            with pytest.raises(ConfigurationError, match="name a directory"):
                Export(zoho, ["invoices"], to=place, options=ExportOptions(files=True))
            options = ExportOptions(files_to=tmp_path / "files")
            async with Export(zoho, ["invoices"], to=place, options=options) as job:
                await job.wait()
            assert len(list((tmp_path / "files").rglob("*.pdf"))) == 30

    asyncio.run(make())


# -- ends and beginnings --------------------------------------------------------------------------

ALL = ("invoices", "items", "invoices.comments", "contacts.contact_persons")


async def test_a_run_makes_no_more_calls_than_its_budget_and_the_next_continues(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path / "whole", *ALL, details=True, files=True)
        whole = server.calls
        runs = 0
        while True:
            runs += 1
            before = server.calls
            try:
                await export(zoho, tmp_path / "parts", *ALL, details=True, files=True, max_calls=17)
            except BudgetSpent:
                assert server.calls - before == 17
            else:
                break
        assert runs > whole / 17
        assert server.refused == 0
        assert held(tmp_path / "parts") == held(tmp_path / "whole")
        # finished lists and written records were not requested again
        assert server.calls - whole <= whole + runs * len(ALL) * 2


async def test_the_days_quota_ends_a_run_unless_it_is_to_wait(tmp_path: Path) -> None:
    async with sandbox(per_day=20) as server, session(server) as zoho:
        with pytest.raises(DailyQuotaExceeded):
            await export(zoho, tmp_path, "invoices", details=True)
        assert server.calls <= 21
        assert 0 < len(rows(tmp_path, "books/invoices.jsonl.part")) < 30


@pytest.mark.long
async def test_a_quota_exhausted_twice_is_waited_for_and_costs_no_row(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path / "whole", *ALL, details=True)
        calls = server.calls
    day = 8.0  # far longer than a slow machine takes for a day's calls
    async with sandbox(
        per_day=calls // 3 + 2, day=86_400.0, minute=60.0, speed=86_400 / day
    ) as server:
        async with session(server) as zoho:
            events, summary = await export(
                zoho, tmp_path / "days", *ALL, details=True, until_done=True
            )
        plan = next(event for event in events if isinstance(event, Planned))
        assert plan.days == 3
        assert sum(isinstance(event, WaitingForReset) for event in events) >= 2
        assert summary.done
    assert held(tmp_path / "days") == held(tmp_path / "whole")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
async def test_a_database_holds_the_same_after_many_ends_as_after_one_run(
    tmp_path: Path, kind: str
) -> None:
    names = ("invoices", "invoices.comments", "contacts.contact_persons")
    make: Any = {"sqlite": Sqlite, "duckdb": DuckDb}[kind]
    async with sandbox() as server, session(server) as zoho:
        for place, max_calls in (("whole", None), ("parts", 40)):
            for touched in range(2):  # a first run, and one that brings changes
                while True:
                    to = make(tmp_path / f"{place}.{kind}")
                    options = ExportOptions(details=True, max_calls=max_calls)
                    job = Export(zoho, names, to=to, options=options)
                    try:
                        async with job:
                            await job.wait()
                    except BudgetSpent:
                        continue
                    break
                invoices = server.store().collection("books.invoices")
                for index in list(invoices.indexes())[: 20 * (1 - touched)]:
                    invoices.change(index, {"reference_number": f"touched for {place}"})
    whole, parts = tables(tmp_path, "whole", kind), tables(tmp_path, "parts", kind)
    assert {name: len(rows) for name, rows in whole.items()} == {
        name: len(rows) for name, rows in parts.items()
    }
    assert ids(whole) == ids(parts)
    assert len(whole["books_invoices"]) == 30
    assert len(whole["books_invoices__line_items"]) >= 30
    assert whole["books_invoices_comments"]


Tables = dict[str, list[tuple[Any, ...]]]


def ids(tables: Tables) -> dict[str, list[Any]]:
    return {name: [row[0] for row in rows] for name, rows in tables.items()}


def tables(folder: Path, place: str, kind: str) -> Tables:
    """The rows of every table of records."""
    asked = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
        "duckdb": "SELECT table_name FROM duckdb_tables()",
    }[kind]
    connect: Any = {"sqlite": sqlite3.connect, "duckdb": duckdb.connect}[kind]
    with closing(connect(str(folder / f"{place}.{kind}"))) as database:
        names = [name for (name,) in database.execute(asked).fetchall() if "books_" in name]
        return {
            name: sorted(database.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
            for name in names
        }


async def test_documents_asked_for_later_are_saved_of_all_records(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        place = tmp_path / "later"
        await export(zoho, tmp_path / "at once", "invoices", files=True)
        await export(zoho, place, "invoices")
        with pytest.raises(BudgetSpent):
            await export(zoho, place, "invoices", files=True, max_calls=12)
        await export(zoho, place, "invoices", files=True)
        assert held(place) == held(tmp_path / "at once")


async def test_documents_of_what_runs_without_them_brought_are_saved_once_by_the_next_with(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        _, summary = await export(zoho, tmp_path, "invoices", files=True)
        assert summary.files >= 30
        invoices = server.store().collection("books.invoices")
        index = next(iter(invoices.indexes()))
        for text in ("once", "and again"):
            invoices.change(index, {"reference_number": text})
            _, summary = await export(zoho, tmp_path, "invoices")
            assert (summary.rows_new, summary.files, summary.calls) == (1, 0, 1)
        since = len(server.arrivals)
        events, summary = await export(zoho, tmp_path, "invoices", files=True)
        (planned,) = (event for event in events if isinstance(event, Planned))
        assert planned.resources[0].detail_calls >= 1
        assert summary.rows_new == 0 < summary.files
        assert asked(server, since)[f"/books/v3/invoices/{invoices.id(index)}"] == 1
        assert sum(asked(server, since).values()) == summary.calls < 5
