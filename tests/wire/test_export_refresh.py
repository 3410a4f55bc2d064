"""Exports that read the children of unchanged parents again, because children change alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from zoho_async.errors import BudgetSpent, ConfigurationError
from zoho_async.export import (
    DetailsPlanned,
    Export,
    ExportEvent,
    ExportOptions,
    Planned,
    Summary,
)
from zoho_async.export.catalog import KEY
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

COMMENTS = "invoices.comments"
#: Invoices of the sandbox that were changed lately; the others were changed long ago.
RECENT = 5
#: The calls of a whole read of the parents: a page, and the count of debit notes.
WHOLE = 2


@asynccontextmanager
async def sandbox(invoices: int = 12) -> AsyncGenerator[tuple[Sandbox, Session]]:
    sizes = {"books.contacts": 4, "books.items": 4, "books.invoices": invoices}
    async with Sandbox(sizes=sizes, minute=0.5) as server:
        minute = server.client_minute
        limits = Limits(window=minute, linger=minute / 2, reserve=0)
        environment = server.environment()
        async with Session.from_env(environment, limits=limits, ledger=MemoryLedger()) as zoho:
            for index in list(server.store().collection("books.invoices").indexes())[:RECENT]:
                touch(server, index)
            yield server, zoho


def touch(server: Sandbox, index: int) -> None:
    server.store().collection("books.invoices").change(index, {"reference_number": "touched"})


def recent(server: Sandbox) -> list[str]:
    """The ids of the invoices that were changed lately."""
    invoices = server.store().collection("books.invoices")
    return [invoices.id(index) for index in list(invoices.indexes())[:RECENT]]


async def export(
    zoho: Session, to: Path, *names: str, **asked: Any
) -> tuple[list[ExportEvent], Summary]:
    options = ExportOptions(**asked)
    async with Export(zoho, names or [COMMENTS], to=to, options=options) as job:
        events = [event async for event in job]
    return events, job.summary


def rows(directory: Path) -> list[dict[str, Any]]:
    """Every row that was written, in the order of the parts."""
    folder = directory / "books"
    files = [
        folder / f"{COMMENTS}.jsonl",
        *sorted((folder / f"{COMMENTS}.changes").glob("*.jsonl")),
    ]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def asked(server: Sandbox, since: int) -> list[str]:
    """The invoices whose comments were read, in order."""
    return [one.path.split("/")[-2] for one in server.arrivals[since:] if "comments" in one.path]


async def comment(zoho: Session, invoice: str, text: str) -> None:
    await zoho.request("POST", f"/invoices/{invoice}/comments", body={"description": text})


async def test_a_comment_leaves_its_invoice_alone_and_is_exported_all_the_same(
    tmp_path: Path,
) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before = rows(tmp_path)
        lists = server.truth("books.invoices")
        await comment(zoho, recent(server)[2], "fresh")
        assert server.truth("books.invoices") == lists  # the list shows nothing of it
        await export(zoho, tmp_path)
        new = rows(tmp_path)[len(before) :]
        assert [row["description"] for row in new] == ["fresh"]


async def test_a_refresh_reads_the_children_of_parents_changed_lately_and_writes_no_row_twice(
    tmp_path: Path,
) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before, calls, arrived = rows(tmp_path), server.calls, len(server.arrivals)
        events, summary = await export(zoho, tmp_path)
        assert rows(tmp_path) == before
        assert sorted(asked(server, arrived)) == sorted(recent(server))
        assert summary.calls == server.calls - calls == 1 + RECENT
        (one,) = summary.resources
        assert (one.calls, one.records, one.refreshed) == (1 + RECENT, RECENT, RECENT)
        assert (one.new, one.changed, one.deleted, one.status) == (0, 0, 0, "done")
        plan = next(event for event in events if isinstance(event, Planned))
        assert (plan.calls, plan.resources[0].detail_calls) == (1 + RECENT, RECENT)
        work = [event for event in events if isinstance(event, DetailsPlanned)]
        assert [(one.work, one.records, one.calls) for one in work] == [("refresh", RECENT, RECENT)]


async def test_a_child_removed_without_its_parent_gets_a_tombstone(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before = rows(tmp_path)
        gone = next(row for row in before if row["invoice_id"] == recent(server)[0])
        path = f"/invoices/{gone['invoice_id']}/comments/{gone['comment_id']}"
        await zoho.request("DELETE", path)
        _, summary = await export(zoho, tmp_path)
        (tombstone,) = rows(tmp_path)[len(before) :]
        assert (tombstone[KEY], "_deleted_time" in tombstone) == (gone[KEY], True)
        assert summary.resources[0].deleted == 1


@pytest.mark.parametrize(("days", "calls"), [(0, 1), ("all", WHOLE + 12), (1, 1 + RECENT)])
async def test_how_many_days_are_refreshed_is_an_option(
    tmp_path: Path, days: Any, calls: int
) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before = server.calls
        _, summary = await export(zoho, tmp_path, refresh_children=days)
        assert summary.calls == server.calls - before == calls


async def test_a_full_export_reads_all_children_whatever_the_option_is(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before = server.calls
        await export(zoho, tmp_path, full=True, refresh_children=0)
        assert server.calls - before == WHOLE + 12


def test_a_negative_number_of_days_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="refresh-children"):
        ExportOptions(refresh_children=-1)


async def test_changed_parents_come_before_the_refresh(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        last = list(server.store().collection("books.invoices").indexes())[-1]
        touch(server, last)
        changed = server.store().collection("books.invoices").id(last)
        arrived = len(server.arrivals)
        _, summary = await export(zoho, tmp_path)
        order = asked(server, arrived)
        assert (order[0], sorted(order[1:])) == (changed, sorted(recent(server)))
        (one,) = summary.resources
        assert (one.records, one.refreshed) == (1 + RECENT, RECENT)


async def test_an_interrupted_refresh_is_continued_after_what_is_new(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before, arrived = rows(tmp_path), len(server.arrivals)
        for invoice in recent(server):
            await comment(zoho, invoice, f"for {invoice}")
        arrived = len(server.arrivals)
        with pytest.raises(BudgetSpent):
            await export(zoho, tmp_path, max_calls=3)
        done = asked(server, arrived)
        assert len(done) == 2
        last = list(server.store().collection("books.invoices").indexes())[-1]
        touch(server, last)
        changed = server.store().collection("books.invoices").id(last)
        arrived = len(server.arrivals)
        _, summary = await export(zoho, tmp_path, max_calls=5)
        order = asked(server, arrived)
        assert order[0] == changed  # the list was read again, and what is new came first
        assert sorted([*done, *order[1:]]) == sorted(recent(server))
        assert (summary.calls, summary.exit_code) == (5, 0)
        new = [row["description"] for row in rows(tmp_path)[len(before) :]]
        assert sorted(new) == sorted(f"for {invoice}" for invoice in recent(server))


async def test_a_refresh_does_not_keep_another_list_from_being_read(tmp_path: Path) -> None:
    names = (COMMENTS, "invoices", "contacts")
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path, *names)
        for _ in range(2):  # an interrupted refresh does not, either
            with pytest.raises(BudgetSpent):
                await export(zoho, tmp_path, *names, max_calls=4)
            paths = [one.path.rpartition("/")[2] for one in server.arrivals[-4:]]
            assert sorted(paths) == ["comments", "contacts", "invoices", "invoices"]


async def test_a_smaller_refresh_continues_the_wider_one_and_a_wider_one_begins(
    tmp_path: Path,
) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        with pytest.raises(BudgetSpent):
            await export(zoho, tmp_path, max_calls=3)
        with pytest.raises(BudgetSpent):
            await export(zoho, tmp_path, max_calls=WHOLE + 2, refresh_children="all")
        arrived = len(server.arrivals)
        _, summary = await export(zoho, tmp_path)
        assert len(asked(server, arrived)) == len(set(asked(server, arrived))) == 10
        assert summary.calls == 1 + 10


async def test_a_refused_parent_keeps_its_children_and_is_asked_for_again(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before = rows(tmp_path)
        path = f"*/{recent(server)[1]}/comments"
        server.faults.append(Fault(kind="code", path=path, status=400, code=1000, times=1))
        for passed_over in (1, 0):
            _, summary = await export(zoho, tmp_path)
            (one,) = summary.resources
            assert (one.status, one.passed_over) == ("done", passed_over)
            assert one.refreshed == RECENT - passed_over
        assert rows(tmp_path) == before


async def test_the_children_of_a_parent_that_is_gone_are_marked_deleted(tmp_path: Path) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        before, name = rows(tmp_path), recent(server)[3]
        lost = {row[KEY] for row in before if row["invoice_id"] == name}
        path = f"*/{name}/comments"
        server.faults.append(Fault(kind="code", path=path, status=404, code=1002, times=1))
        _, summary = await export(zoho, tmp_path)
        new = rows(tmp_path)[len(before) :]
        assert {row[KEY] for row in new if "_deleted_time" in row} == lost != set()
        assert summary.resources[0].deleted == len(lost)


def test_an_option_of_days_becomes_a_moment() -> None:
    def since(now: float, **options: Any) -> float | None:
        return ExportOptions(**options).refresh_since(now)

    day = 86_400.0
    assert since(100 * day) == 70 * day
    assert since(10 * day) == 0.0
    assert since(100 * day, refresh_children=0) is None
    assert since(100 * day, refresh_children="all") == 0.0


@pytest.mark.parametrize("damage", ["more", "gone"])
async def test_a_killed_refresh_loses_and_doubles_nothing(tmp_path: Path, damage: str) -> None:
    async with sandbox() as (server, zoho):
        await export(zoho, tmp_path)
        for invoice in recent(server):
            await comment(zoho, invoice, f"for {invoice}")
        with pytest.raises(BudgetSpent):
            await export(zoho, tmp_path, max_calls=4)
        (spool,) = (tmp_path / "books").rglob("*.part")
        if damage == "more":  # the process died within a write
            spool.write_bytes(spool.read_bytes() + b'{"_key":"half')
        else:
            spool.unlink()
        _, summary = await export(zoho, tmp_path)
        assert (summary.exit_code, summary.resources[0].mode == "full") == (0, damage == "gone")
        texts = [row["description"] for row in rows(tmp_path)]
        assert all(texts.count(f"for {invoice}") == 1 for invoice in recent(server))


@pytest.mark.parametrize("name", ["books.sqlite", "books.duckdb"])
async def test_a_database_holds_what_a_refresh_found(tmp_path: Path, name: str) -> None:
    async with sandbox() as (server, zoho):
        to = tmp_path / name
        await export(zoho, to)
        for invoice in recent(server):
            await comment(zoho, invoice, f"for {invoice}")
        with pytest.raises(BudgetSpent):
            await export(zoho, to, max_calls=4)
        _, summary = await export(zoho, to)
        assert (summary.resources[0].new, summary.resources[0].refreshed) == (2, 2)
        with closing(sqlite3.connect(to) if name.endswith("e") else duckdb.connect(to)) as database:
            query = "SELECT description FROM books_invoices_comments WHERE description LIKE 'for %'"
            texts = [text for (text,) in database.execute(query).fetchall()]
        assert sorted(texts) == sorted(f"for {invoice}" for invoice in recent(server))
