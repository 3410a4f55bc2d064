"""An export has every record, also those that a list leaves out by default."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_databases import session
from zoho_async.errors import BudgetSpent, CancelledFilter, UnconfirmedFilter
from zoho_async.events import Event, Unconfirmed
from zoho_async.export import (
    Directory,
    Export,
    ExportEvent,
    ExportOptions,
    FilterUnconfirmed,
    RecordsLeftOut,
    Summary,
    merge,
)
from zoho_async.export.capabilities import probe
from zoho_async.export.catalog import exportable
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

LISTS = ("books.chart_of_accounts", "books.bank_transactions", "books.invoices", "books.taxes")
SIZES = {"books.invoices": 250, "books.chart_of_accounts": 30}


def sandbox(**rules: object) -> Sandbox:
    return Sandbox(**({"sizes": SIZES, "minute": 1.0} | rules))  # type: ignore[arg-type]  # passed on


async def export(
    zoho: Session, to: Path, *names: str, **asked: Any
) -> tuple[Summary, list[ExportEvent]]:
    events: list[ExportEvent] = []
    async with Export(zoho, names or LISTS, to=to, options=ExportOptions(**asked)) as job:
        events += [event async for event in job]
    return job.summary, events


def hide_some(server: Sandbox) -> None:
    """Give each list records that its default leaves out."""
    store = server.store()
    store.collection("chart_of_accounts").change(3, {"is_active": False})
    store.collection("invoices").change(7, {"type": "debit_note"})
    store.collection("taxes").change(2, {"status": "inactive"})


def assert_all(server: Sandbox, to: Path, *names: str) -> None:
    merge(Directory(to))
    for name in names or LISTS:
        row_id = exportable()[name].row_id
        lines = (to / f"{name.replace('.', '/')}.jsonl").read_bytes().splitlines()
        found = [json.loads(one)[row_id] for one in lines]
        assert sorted(found) == sorted(json.loads(one)[row_id] for one in server.truth(name)), name


async def test_the_sandbox_leaves_out_what_zoho_leaves_out() -> None:
    async with sandbox() as server, session(server) as zoho:
        hide_some(server)
        for name in LISTS:
            rows = await shown(zoho, name)
            assert len(rows) < len(server.truth(name)), name


async def shown(zoho: Session, name: str) -> list[Any]:
    resource = getattr(zoho.books, name.removeprefix("books."))
    return [one async for one in resource.list()]


async def test_a_full_read_has_every_record_and_is_proven(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        hide_some(server)
        summary, events = await export(zoho, tmp_path)
        assert_all(server, tmp_path)
        assert {one.completeness for one in summary.resources} == {"proven"}
        assert [one.total for one in summary.resources] == [one.rows for one in summary.resources]
        assert not any(isinstance(one, RecordsLeftOut | FilterUnconfirmed) for one in events)
        assert summary.calls == server.calls


async def test_a_read_again_in_full_keeps_what_the_default_leaves_out(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        hide_some(server)
        await export(zoho, tmp_path)
        server.store().collection("invoices").remove(8)
        summary, _ = await export(zoho, tmp_path, full=True)
        assert_all(server, tmp_path)
        assert {one.completeness for one in summary.resources} == {"proven"}


async def test_a_tested_value_is_remembered(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "books.taxes")
        first = server.calls
        await export(zoho, tmp_path, "books.taxes", full=True)
        assert (first, server.calls - first) == (3, 1)


async def test_an_interrupted_run_continues_in_the_same_view(tmp_path: Path) -> None:
    async with sandbox(sizes={"books.invoices": 450}) as server, session(server) as zoho:
        for index in range(5, 215):
            server.store().collection("invoices").change(index, {"type": "debit_note"})
        calls = 0
        while calls < 10:
            calls += 1
            try:
                summary, _ = await export(zoho, tmp_path, "books.invoices", max_calls=calls)
                break
            except BudgetSpent:
                continue
        assert summary.resources[0].completeness == "proven"
        assert_all(server, tmp_path, "books.invoices")


async def test_a_refused_value_is_reported_and_not_sent_again(tmp_path: Path) -> None:
    refused = Fault(kind="code", status=400, code=2, path="*/settings/taxes", after=1)
    async with sandbox(faults=[refused]) as server, session(server) as zoho:
        hide_some(server)
        summary, events = await export(zoho, tmp_path, "books.taxes")
        (one,) = summary.resources
        assert (one.rows, one.completeness, one.applied_filter) == (
            24,
            "uncheckable",
            "Taxes.Active",
        )
        resource = "books.taxes"
        assert FilterUnconfirmed(resource=resource, filters=("filter_by=Taxes.All",)) in events
        left_out = RecordsLeftOut(
            resource=resource, applied_filter="Taxes.Active", left_out="inactive taxes"
        )
        assert left_out in events
        calls = server.calls
        summary, _ = await export(zoho, tmp_path, "books.taxes", full=True)
        assert server.calls - calls == 1
        assert (
            summary.resources[0].note
            == "Zoho applied Taxes.Active, so inactive taxes may be missing"
        )


async def test_records_that_a_filter_hides_now_are_not_dropped(tmp_path: Path) -> None:
    """The value held, and then the list shows its default alone: that proves no deletion."""
    async with sandbox() as server, session(server) as zoho:
        hide_some(server)
        await export(zoho, tmp_path, "books.invoices")
        server.faults.append(Fault(kind="code", status=400, code=2, path="*/invoices", after=1))
        summary, _ = await export(zoho, tmp_path, "books.invoices", full=True)
        server.faults.clear()
        assert summary.resources[0].completeness == "uncheckable"
        assert_all(server, tmp_path, "books.invoices")
        await export(zoho, tmp_path, "books.invoices", full=True)
        assert_all(server, tmp_path, "books.invoices")


async def test_a_run_of_changes_misses_a_debit_note_and_a_comparison_finds_it(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, "books.invoices")
        server.store().collection("invoices").change(7, {"type": "debit_note", "notes": "x"})
        summary, _ = await export(zoho, tmp_path, "books.invoices")
        assert summary.rows == 0  # documented: filter_by is not sent with a moment
        summary, _ = await export(zoho, tmp_path, "books.invoices", detect_deletions=True)
        assert summary.resources[0].changed == 1
        assert_all(server, tmp_path, "books.invoices")


async def test_a_record_that_left_a_filtered_list_is_written_as_it_is_now(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        asked: dict[str, Any] = {"filter": {"status": "paid"}}
        await export(zoho, tmp_path, "books.invoices", **asked)
        paid = json.loads((tmp_path / "books/invoices.jsonl").read_bytes().splitlines()[0])
        index = server.store().collection("invoices").find(paid["invoice_id"])
        assert index is not None
        server.store().collection("invoices").change(index, {"status": "void"})
        summary, _ = await export(zoho, tmp_path, "books.invoices", **asked, detect_deletions=True)
        (one,) = summary.resources
        assert (one.changed, one.deleted) == (1, 0)
        (part,) = (tmp_path / "books/invoices.changes").glob("*.jsonl")
        row = json.loads(part.read_bytes().splitlines()[0])
        assert (row["invoice_id"], row["status"]) == (paid["invoice_id"], "void")
        summary, _ = await export(zoho, tmp_path, "books.invoices", **asked, detect_deletions=True)
        assert (summary.rows, summary.resources[0].deleted) == (0, 0)


async def test_a_probe_lets_runs_of_changes_have_every_record(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        hide_some(server)
        found = await probe(zoho, exportable()["books.invoices"])
        assert (found.capabilities.combined, found.calls) == (True, 6)
        found = await probe(zoho, exportable()["books.chart_of_accounts"])
        assert found.capabilities.combined is True
        found = await probe(zoho, exportable()["books.contacts"])
        assert found.capabilities.combined is None


async def test_an_unconfirmed_filter_of_an_export_is_reported(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        asked: dict[str, Any] = {"filter": {"total_less_than": "5", "status": "paid"}}
        summary, events = await export(zoho, tmp_path, "books.invoices", **asked)
        found = FilterUnconfirmed(resource="books.invoices", filters=("total_less_than",))
        assert [one for one in events if isinstance(one, FilterUnconfirmed)] == [found]
        note = "Zoho does not confirm the filter total_less_than"
        assert summary.resources[0].note == note


async def test_a_cancelling_pair_of_an_export_is_refused_before_a_call(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        pair = {"filter_by": "Status.Paid", "date_start": "2026-01-01"}
        with pytest.raises(CancelledFilter, match="filter_by cancels date_start"):
            await export(zoho, tmp_path, "books.invoices", filter=pair)
        with pytest.raises(CancelledFilter):
            zoho.books.invoices.list(filter_by="Status.Paid", date_start=date(2026, 1, 1))
        assert server.calls == 0


async def test_a_list_warns_of_a_filter_that_is_not_confirmed() -> None:
    events: list[Event] = []
    async with sandbox() as server:
        limits = Limits(window=server.limits.minute, linger=server.limits.minute / 2)
        async with Session.from_env(
            server.environment(), limits=limits, ledger=MemoryLedger(), observer=events.append
        ) as zoho:
            invoices = zoho.books.invoices
            extra = {"customer_name_contains": "a"}
            with pytest.warns(UnconfirmedFilter, match="/invoices: .* customer_name_contains"):
                await invoices.list(status="paid", extra_query=extra)
            with pytest.warns(UnconfirmedFilter):
                assert [one async for one in invoices.list(extra_query=extra)]
            await invoices.list(status="paid", customer_name="A", filter_by="Status.Paid")
            await zoho.inventory.items.list_invoices(item_id="1")  # the item chooses the list
    found = [one for one in events if isinstance(one, Unconfirmed)]
    assert [one.filters for one in found] == [("customer_name_contains",)] * 2
