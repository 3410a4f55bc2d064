"""Imports against a sandbox: what arrives, what is kept back, and what is settled."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from zoho_async import Limits, Session
from zoho_async.errors import BudgetSpent, ConfigurationError, ServerError
from zoho_async.importer import (
    Import,
    ImportOptions,
    ImportSummary,
    Intent,
    WriteSettler,
    WrongRows,
    WrongState,
    commit,
    open_journal,
    undo_import,
)
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.simulation.faults import Fault

SIZES = {"books.contacts": 12, "books.items": 6, "books.invoices": 4}
NOTES = ImportOptions(token_in_notes=True, settle_wait=0.2)


@asynccontextmanager
async def opened(
    *,
    faults: list[Fault] | None = None,
    in_flight: int = 10,
    wall_clock: Callable[[], float] = time.time,
) -> AsyncGenerator[tuple[Sandbox, Session]]:
    """A sandbox and a session without limits, and with a linger of nearly nothing."""
    box = Sandbox(
        sizes=SIZES,
        per_minute=10**6,
        per_day=10**6,
        faults=faults or [],
        wall_clock=wall_clock,
    )
    limits = Limits(limit=10**6, burst=10**6, in_flight=in_flight, linger=0.1)
    async with (
        box,
        Session.from_env(box.environment(), ledger=MemoryLedger(), limits=limits) as zoho,
    ):
        yield box, zoho


async def imported(zoho: Session, *args: Any, tmp_path: Path, **options: Any) -> ImportSummary:
    async with Import(zoho, *args, journal=tmp_path / "journal", **options) as job:
        return await job.wait()


def truth(box: Sandbox, resource: str = "books.contacts") -> list[dict[str, Any]]:
    return [json.loads(row) for row in box.truth(resource)]


def writes(box: Sandbox) -> list[str]:
    return [each.path for each in box.arrivals if each.method != "GET"]


def contacts(count: int) -> list[dict[str, Any]]:
    return [{"Name": f"New {n}", "E-mail": f"new{n}@example.com"} for n in range(count)]


WRONG = """\
Name,E-mail,Credit limit,Type,Portal,Payment terms,Company name,Currency,cf_x,Notes
Good,a@b.c,1.5,customer,yes,3,Acme,USD,x,fine
,a@b.c,1,customer,yes,3,Acme,USD,x,fine
Comma,a@b.c,"1,5",customer,yes,3,Acme,USD,x,fine
Float,a@b.c,1e5,customer,yes,3,Acme,USD,x,fine
Allowed,a@b.c,1,customr,yes,3,Acme,USD,x,fine
Boolean,a@b.c,1,customer,perhaps,3,Acme,USD,x,fine
Integer,a@b.c,1,customer,yes,3.5,Acme,USD,x,fine
Long,a@b.c,1,customer,yes,3,LONG,USD,x,fine
Lookup,a@b.c,1,customer,yes,3,Acme,XXX,x,fine
Cells,a@b.c,1,customer,yes,3,Acme,USD,x,fine,too,many
""".replace("LONG", "x" * 201)
EXPECTED = {
    (3, "Name"): "is empty, but Zoho requires it",
    (4, "Credit limit"): "is '1,5', but must be a number such as 1234.50",
    (5, "Credit limit"): "is '1e5', but must be a number such as 1234.50",
    (6, "Type"): "is 'customr', but must be one of customer, vendor",
    (7, "Portal"): "is 'perhaps', but must be true or false",
    (8, "Payment terms"): "is '3.5', but must be a whole number",
    (9, "Company name"): "has 201 characters, but at most 200 are allowed",
    (10, "Currency"): "is 'XXX', which no record of currencies is called",
    (11, ""): "has 12 cells, but the header has 10",
}


async def test_one_wrong_cell_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text(WRONG.replace("Portal", "is_portal_enabled", 1))
    expected = {
        (row, column.replace("Portal", "is_portal_enabled")): text
        for (row, column), text in EXPECTED.items()
    }
    async with opened() as (box, zoho):
        with pytest.raises(WrongRows) as wrong:
            await imported(zoho, "books.contacts", file, tmp_path=tmp_path)
        found = {(one.row, one.column): one.problem for one in wrong.value.problems}
        assert found == expected
        assert writes(box) == []
        before = len(truth(box))
        async with Import(
            zoho,
            "books.contacts",
            file,
            journal=tmp_path / "journal",
            options=ImportOptions(skip_errors=True),
        ) as job:
            summary = await job.wait()
        assert (summary.created, summary.done, summary.exit_code) == (1, False, 4)
        assert len(truth(box)) == before + 1


async def test_the_errors_file_is_corrected_and_imported(tmp_path: Path) -> None:
    file, errors = tmp_path / "c.csv", tmp_path / "errors.csv"
    file.write_text('Name,Credit limit,Notes\n=1+1,5,"-2"\nB,x,=HYPERLINK("a")\nC,y,@x\n')
    async with opened() as (box, zoho):
        journal = tmp_path / "journal"
        options = ImportOptions(skip_errors=True)
        async with Import(zoho, "books.contacts", file, journal=journal, options=options) as job:
            await job.wait()
        assert await job.write_errors(errors) == 2
        rows = list(csv.DictReader(errors.read_text("utf-8").splitlines()))
        assert [row["import_row"] for row in rows] == ["3", "4"]
        assert [row["Notes"] for row in rows] == ['\'=HYPERLINK("a")', "'@x"]
        errors.write_text(errors.read_text().replace(",x,", ",1,").replace(",y,", ",2,"))
        summary = await imported(zoho, "books.contacts", errors, tmp_path=tmp_path)
        assert (summary.created, summary.done) == (2, True)
        made = {one["contact_name"]: one for one in truth(box)[12:]}
        assert set(made) == {"=1+1", "B", "C"}
        record = await zoho.books.contacts.get(made["B"]["contact_id"])
        assert record.notes == '=HYPERLINK("a")'
        with pytest.raises(ConfigurationError, match="is no errors file"):
            await job.write_errors(file)


def files_of(folder: Path) -> list[Path]:
    """The same two rows in every format."""
    rows: list[dict[str, Any]] = [
        {"Name": "Zoë", "Credit limit": Decimal("0.1"), "Portal enabled": False, "Terms": 3},
        {"Name": "0012", "Credit limit": Decimal(7), "Portal enabled": True, "Terms": None},
    ]
    paths = [folder / f"rows{ending}" for ending in (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet")]
    for path, mark in zip(paths[:2], ";\t", strict=True):
        lines = [mark.join(rows[0])]
        lines += [mark.join("" if v is None else str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join(lines), "utf-8-sig")
    paths[2].write_text(
        "\n\n".join(json.dumps(row, default=float, ensure_ascii=False) for row in rows), "utf-8"
    )
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in [list(rows[0]), *[[*row.values()] for row in rows], [None] * 4]:
        sheet.append([float(v) if isinstance(v, Decimal) else v for v in line])
    book.save(paths[3])
    plain = [
        {name: float(v) if isinstance(v, Decimal) else v for name, v in row.items()} for row in rows
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain), paths[4])
    return paths


async def test_every_format_gives_the_same_records(tmp_path: Path) -> None:
    mapping = {
        "Name": "contact_name",
        "Credit limit": "credit_limit",
        "Portal enabled": "is_portal_enabled",
        "Terms": "payment_terms",
    }
    for path in files_of(tmp_path):
        async with opened() as (_, zoho):
            plan = await Import(
                zoho, "books.contacts", path, mapping=mapping, journal=tmp_path / "other"
            ).plan()
            assert (plan.problems, plan.creates, plan.calls_made) == ((), 2, 0)
            journal = tmp_path / f"journal{path.suffix}"
            async with Import(
                zoho, "books.contacts", path, mapping=mapping, journal=journal
            ) as job:
                await job.wait()
            async with open_journal(journal) as opened_journal:
                bodies = [json.loads(one.body) for one in await opened_journal.writes()]
            assert bodies == [
                {
                    "contact_name": "Zoë",
                    "credit_limit": 0.1,
                    "is_portal_enabled": False,
                    "payment_terms": 3,
                },
                {"contact_name": "0012", "credit_limit": 7, "is_portal_enabled": True},
            ]


async def test_rows_match_records(tmp_path: Path) -> None:
    async with opened() as (box, zoho):
        await imported(zoho, "books.contacts", contacts(3), tmp_path=tmp_path, options=NOTES)
        changed = [
            {"Name": "New 0", "E-mail": "NEW0@example.com "},
            {"Name": "Newer 1", "E-mail": "new1@example.com"},
            {"Name": "Other", "E-mail": "other@example.com"},
        ]
        rows = [{**one, "E-mail": one["E-mail"].strip().lower()} for one in changed]
        job = Import(zoho, "books.contacts", rows, match="email", journal=tmp_path / "journal")
        plan = await job.plan()
        assert (plan.creates, plan.updates, plan.unchanged) == (1, 1, 1)
        summary = await imported(zoho, "books.contacts", rows, match="email", tmp_path=tmp_path)
        assert (summary.created, summary.updated, summary.unchanged) == (1, 1, 1)
        made = sorted(one["contact_name"] for one in truth(box)[12:])  # sent at the same time
        assert made == ["New 0", "New 2", "Newer 1", "Other"]
        twice = [rows[0], rows[0]]
        with pytest.raises(WrongRows, match="row 1, column E-mail: is in several rows"):
            await imported(zoho, "books.contacts", twice, match="email", tmp_path=tmp_path)


async def test_rows_become_documents_with_looked_up_names(tmp_path: Path) -> None:
    async with opened() as (box, zoho):
        customers, items = truth(box), truth(box, "books.items")
        rows = [
            {"No": "A1", "Customer": customers[0]["contact_name"], "Item": items[0]["name"]},
            {"No": "A2", "Customer": customers[1]["email"], "Item": items[1]["name"]},
            {"No": "A1", "Customer": customers[0]["contact_name"], "Item": items[2]["item_id"]},
        ]
        rows = [{**one, "Date": date(2026, 1, 31), "Quantity": 2, "Rate": "9.5"} for one in rows]
        given = {"mapping": {**MAPPED, "No": "invoice_number"}}
        options = ImportOptions(group_by="No")
        wrong = [*rows, {**rows[0], "Date": "2026-02-01"}, {**rows[1], "Customer": "Unknown Inc"}]
        with pytest.raises(WrongRows) as problems:
            await imported(
                zoho, "books.invoices", wrong, tmp_path=tmp_path, options=options, **given
            )
        assert [str(one) for one in problems.value.problems] == [
            "row 4, column Date: is '2026-02-01', but row 1 of the same document has '2026-01-31'",
            "row 5, column Customer: is 'Unknown Inc', which no record of contacts is called",
        ]
        summary = await imported(
            zoho, "books.invoices", rows, tmp_path=tmp_path, options=options, **given
        )
        assert (summary.rows, summary.created, summary.done) == (3, 2, True)
        made = {one["invoice_number"]: one for one in truth(box, "books.invoices")}
        first = await zoho.books.invoices.get(made["A1"]["invoice_id"])
        assert first.customer_id == customers[0]["contact_id"]
        assert [line.item_id for line in first.line_items or ()] == [
            items[0]["item_id"],
            items[2]["item_id"],
        ]
        assert made["A2"]["reference_number"].startswith("zaw-")


MAPPED = {
    "Customer": "customer_id",
    "Item": "line_items.item_id",
    "Date": "date",
    "Quantity": "line_items.quantity",
    "Rate": "line_items.rate",
}


@pytest.mark.parametrize("kind", ["drop", "drop_undone", "status_done", "status_html", "cut"])
async def test_a_lost_answer_is_settled_by_its_token(kind: Any, tmp_path: Path) -> None:
    fault = Fault(kind=kind, method="POST", path="/books/v3/contacts", after=2, times=3, status=502)
    async with opened(faults=[fault]) as (box, zoho):
        summary = await imported(
            zoho, "books.contacts", contacts(8), tmp_path=tmp_path, options=NOTES
        )
        assert (summary.created, summary.unknown, summary.done) == (8, (), True)
        names = Counter(one["contact_name"] for one in truth(box)[12:])
        assert names == {f"New {n}": 1 for n in range(8)}
        assert fault.hits == 3


async def test_without_a_token_a_person_decides(tmp_path: Path) -> None:
    faults = [
        Fault(kind="drop", method="POST", path="/books/v3/contacts", after=1),
        Fault(kind="drop_undone", method="POST", path="/books/v3/contacts", after=1),
    ]
    async with opened(faults=faults) as (box, zoho):
        for _ in range(2):
            summary = await imported(zoho, "books.contacts", contacts(6), tmp_path=tmp_path)
            assert (summary.created, len(summary.unknown), summary.exit_code) == (4, 2, 4)
            assert len(truth(box)) == 12 + 5
        made = {one["contact_name"]: one["contact_id"] for one in truth(box)}
        decisions = {one.row: made.get(f"New {one.row - 1}", "") for one in summary.unknown}
        lost = next(iter(value for value in decisions.values() if value))
        assert [one.candidates for one in summary.unknown if decisions[one.row]] == [(lost,)]
        summary = await imported(
            zoho, "books.contacts", contacts(6), tmp_path=tmp_path, decisions=decisions
        )
        assert (summary.created, summary.done) == (6, True)
        assert len(truth(box)) == 12 + 6


async def test_a_custom_field_that_zoho_drops_ends_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ImportOptions(token_field="cf_token", settle_wait=0.2)
    async with opened() as (box, zoho):
        summary = await imported(
            zoho, "books.contacts", contacts(3), tmp_path=tmp_path, options=options
        )
        assert summary.done
        monkeypatch.setattr(
            "zoho_async.sandbox.records.contacts.settle_custom_fields",
            lambda world, state: state.update(custom_fields=[]),
        )
        other = [{"Name": f"Other {n}"} for n in range(3)]
        async with Import(
            zoho, "books.contacts", other, journal=tmp_path / "second", options=options
        ) as job:
            with pytest.raises(ConfigurationError, match="did not keep the token in cf_token"):
                await job.wait()
        assert len(truth(box)) == 12 + 3 + 1
        assert job.summary.remaining == 2


async def test_an_upsert_needs_no_token(tmp_path: Path) -> None:
    fault = Fault(kind="drop", method="PUT", path="/books/v3/contacts", times=2)
    rows = [{"Name": f"U {n}", "Type": "customer", "cf_code": f"c{n}"} for n in range(3)]
    async with opened(faults=[fault]) as (box, zoho):
        for _ in range(2):
            summary = await imported(
                zoho, "books.contacts", rows, match="cf_code", tmp_path=tmp_path
            )
            assert (summary.updated, summary.done) == (3, True)
        made = sorted(one["contact_name"] for one in truth(box)[12:])  # sent at the same time
        assert made == ["U 0", "U 1", "U 2"]


async def test_a_run_continues_and_a_second_file_is_noticed(tmp_path: Path) -> None:
    async with opened() as (box, zoho):
        options = ImportOptions(max_calls=4)
        for made, left in ((3, 5), (6, 2)):
            async with Import(
                zoho, "books.contacts", contacts(8), journal=tmp_path / "journal", options=options
            ) as job:
                with pytest.raises(BudgetSpent):
                    await job.wait()
            assert (job.summary.created, job.summary.remaining) == (made, left)
            assert job.summary.unknown == ()
        summary = await imported(zoho, "books.contacts", contacts(8), tmp_path=tmp_path)
        assert (summary.created, summary.done) == (8, True)
        assert len(truth(box)) == 12 + 8
        again = [*contacts(8), {"Name": "Ninth"}]
        with pytest.raises(WrongRows, match="row 1: has the content of row 1 of job"):
            await imported(zoho, "books.contacts", again, tmp_path=tmp_path)
        summary = await imported(
            zoho,
            "books.contacts",
            again,
            tmp_path=tmp_path,
            options=ImportOptions(repeated="skip"),
        )
        assert (summary.created, summary.skipped, summary.done) == (1, 8, True)


@pytest.mark.parametrize(("kind", "searches"), [("drop", 1), ("drop_undone", 2)])
@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_a_lost_update_or_delete_is_settled_by_its_record(
    verb: str, kind: Any, searches: int, tmp_path: Path
) -> None:
    method = {"update": "PUT", "delete": "DELETE"}[verb]
    async with opened(faults=[Fault(kind=kind, method=method)]) as (box, zoho):
        made = await zoho.request("POST", "/contacts", body={"contact_name": "Old"})
        record = made["contact"]["contact_id"]
        body = {"contact_name": "New", "contact_type": "customer"} if verb == "update" else None
        intent = Intent(operation=f"books.contacts.{verb}", ids=(record,), body=body)
        async with open_journal(tmp_path / "journal") as journal:
            job = await journal.job(
                source="proposal 1", name="p", target="books.contacts", organization="10234695"
            )
            (write,) = await journal.plan(job, [intent])
            lost = (await commit(zoho, journal, write.number)).write
            assert lost.state == "unknown"
            with pytest.raises(WrongState):
                await commit(zoho, journal, write.number)
            (settled,) = await WriteSettler(zoho, journal, wait=0.2).settle([lost])
            if kind == "drop":
                assert (settled.state, settled.record) == ("written", record)
            else:
                assert (settled.state, settled.searches) == ("not_written", searches)
                assert (await commit(zoho, journal, write.number)).write.state == "written"
        names = [one["contact_name"] for one in truth(box)[12:]]
        assert names == (["New"] if verb == "update" else [])


async def test_leaving_early_leaves_nothing_unknown(tmp_path: Path) -> None:
    async with opened(in_flight=2) as (box, zoho):
        async with Import(
            zoho, "books.contacts", contacts(40), journal=tmp_path / "journal"
        ) as job:
            async for event in job:
                if type(event).__name__ == "ImportProgress":
                    break
        assert job.summary.unknown == ()
        assert len(truth(box)) == 12 + job.summary.created
        assert 0 < job.summary.created < 40


async def test_undo_deletes_what_was_not_changed(tmp_path: Path) -> None:
    later = [0.0]
    async with opened(wall_clock=lambda: time.time() + later[0]) as (box, zoho):
        rows = contacts(4)
        summary = await imported(zoho, "books.contacts", rows, tmp_path=tmp_path)
        made = truth(box)[12:]
        later[0] = 5.0
        body = {"contact_name": "Changed", "contact_type": "customer"}
        await zoho.request("PUT", f"/contacts/{made[1]['contact_id']}", body=body)
        await zoho.request("DELETE", f"/contacts/{made[2]['contact_id']}")
        undone = await undo_import(zoho, summary.job, journal=tmp_path / "journal", plan=True)
        assert (undone.deleted, undone.to_delete, len(undone.kept)) == (1, 2, 1)
        undone = await undo_import(zoho, summary.job, journal=tmp_path / "journal")
        assert (undone.deleted, undone.kept[0].reason) == (2, "it was changed after the import")
        assert [one["contact_name"] for one in truth(box)[12:]] == ["Changed"]
        summary = await imported(zoho, "books.contacts", rows, tmp_path=tmp_path)
        assert (summary.created, summary.done) == (4, True)
        undone = await undo_import(zoho, summary.job, journal=tmp_path / "journal")
        assert undone.deleted == 3


async def test_after_an_interrupted_undo_no_row_counts_as_written(tmp_path: Path) -> None:
    async with opened() as (box, zoho):
        rows = contacts(2)
        summary = await imported(zoho, "books.contacts", rows, tmp_path=tmp_path)
        box.faults += [
            Fault(kind="drop", method="DELETE"),
            Fault(kind="status", status=500, method="GET", after=2, times=None),
        ]

        async def undo() -> int:
            journal = tmp_path / "journal"
            return (await undo_import(zoho, summary.job, journal=journal, settle_wait=0.2)).deleted

        with pytest.raises(ServerError):  # the lost delete cannot be settled
            await undo()
        assert len(truth(box)) == 12
        box.faults.clear()
        with pytest.raises(ConfigurationError, match=f"--undo {summary.job}. again"):
            await imported(zoho, "books.contacts", rows, tmp_path=tmp_path)
        assert await undo() == 1
        summary = await imported(zoho, "books.contacts", rows, tmp_path=tmp_path)
        assert (summary.created, summary.done, len(truth(box))) == (2, True, 12 + 2)


async def test_what_an_earlier_run_planned_is_not_sent_if_it_is_no_longer_wanted(
    tmp_path: Path,
) -> None:
    skip = ImportOptions(repeated="skip")
    async with opened() as (box, zoho):
        with pytest.raises(BudgetSpent):
            await imported(
                zoho,
                "books.contacts",
                contacts(6),
                tmp_path=tmp_path,
                options=ImportOptions(max_calls=3),
            )
        begun = len(writes(box))
        assert 0 < begun < 6
        more = [*contacts(6), {"Name": "X"}]  # meanwhile, another file brings the rest
        summary = await imported(zoho, "books.contacts", more, tmp_path=tmp_path, options=skip)
        assert (summary.skipped, summary.created, len(writes(box))) == (begun, 7 - begun, 7)
        summary = await imported(
            zoho, "books.contacts", contacts(6), tmp_path=tmp_path, options=skip
        )
        assert (summary.skipped, summary.done, len(writes(box))) == (6 - begun, True, 7)


async def test_skipping_leaves_out_as_many_equal_rows_as_were_written(tmp_path: Path) -> None:
    mapping = {
        "Account": "account_id",
        "Paid through": "paid_through_account_id",
        "Date": "date",
        "Amount": "amount",
    }
    async with opened() as (box, zoho):
        account = next(iter(truth(box, "books.chart_of_accounts")))["account_id"]
        row = {"Account": account, "Paid through": account, "Date": "2026-01-31", "Amount": 5}
        given: dict[str, Any] = {"tmp_path": tmp_path, "mapping": mapping}
        await imported(zoho, "books.expenses", [row], **given)
        skip = ImportOptions(repeated="skip")
        for _ in range(2):
            summary = await imported(zoho, "books.expenses", [row] * 3, **given, options=skip)
            assert (summary.skipped, summary.created, len(writes(box))) == (1, 2, 3)


async def test_an_undo_names_the_writes_that_may_be_at_zoho(tmp_path: Path) -> None:
    fault = Fault(kind="drop", method="POST", path="/books/v3/contacts")
    async with opened(faults=[fault]) as (box, zoho):
        summary = await imported(zoho, "books.contacts", contacts(3), tmp_path=tmp_path)
        (lost,) = summary.unknown
        undone = await undo_import(zoho, summary.job, journal=tmp_path / "journal")
        assert (undone.deleted, [one.row for one in undone.kept]) == (2, [lost.row])
        assert "it is not known whether it was written" in undone.kept[0].reason
        assert len(truth(box)) == 12 + 1


async def test_until_done_waits_for_the_next_day_and_writes_each_row_once(tmp_path: Path) -> None:
    """A day of the sandbox takes two seconds and has calls for half of the rows."""
    box = Sandbox(
        sizes=SIZES, per_day=8, day=86_400.0, minute=60.0, speed=86_400 / 2.0, per_minute=10**6
    )
    limits = Limits(limit=10**6, burst=10**6, reserve=0, linger=0.1)
    async with (
        box,
        Session.from_env(box.environment(), ledger=MemoryLedger(), limits=limits) as zoho,
    ):
        async with Import(
            zoho,
            "books.contacts",
            contacts(12),
            journal=tmp_path / "journal",
            options=ImportOptions(until_done=True),
        ) as job:
            events = [type(event).__name__ async for event in job]
        assert events.count("WaitingForReset") >= 1
        assert (job.summary.created, job.summary.done, job.summary.unknown) == (12, True, ())
        assert len(truth(box)) == 12 + 12
