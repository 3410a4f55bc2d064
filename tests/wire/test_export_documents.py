"""Exports of the documents of records: each is saved once, none is lost, none leads elsewhere."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support import hostile
from tests.support.answering_server import AnsweringServer
from zoho_async.books import bills, invoices
from zoho_async.errors import BudgetSpent
from zoho_async.export import DocumentFailed, Export, ExportEvent, ExportOptions, Summary
from zoho_async.export.details.documents import print_name
from zoho_async.http.file_names import component
from zoho_async.http.retry import Policy
from zoho_async.http.target import quoted_id
from zoho_async.http.upload import Upload
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

SIZES = {"books.contacts": 3, "books.invoices": 4, "books:/bills": 3, "books.bills": 3}


@asynccontextmanager
async def opened(**rules: Any) -> AsyncGenerator[tuple[Sandbox, Session]]:
    async with Sandbox(sizes=SIZES, minute=0.5, **rules) as server:
        limits = Limits(window=server.client_minute, linger=server.client_minute / 2, reserve=0)
        async with Session.from_env(
            server.environment(), limits=limits, ledger=MemoryLedger()
        ) as zoho:
            yield server, zoho


async def export(
    zoho: Session, to: Path, *names: str, **asked: Any
) -> tuple[list[ExportEvent], Summary]:
    async with Export(zoho, names, to=to, options=ExportOptions(files=True, **asked)) as job:
        events = [event async for event in job]
    return events, job.summary


async def attach(zoho: Session, invoice: str, name: str, content: bytes) -> str:
    """Attach a file to an invoice; its id."""
    await invoices.add_attachment(zoho, invoice, attachment=Upload(name, content))
    reply: Any = await zoho.request("GET", f"/invoices/{invoice}")
    return str(reply["invoice"]["documents"][-1]["document_id"])


def ids_of(server: Sandbox, name: str, row_id: str) -> list[str]:
    return [json.loads(row)[row_id] for row in server.truth(name)]


def touch(server: Sandbox, invoice: str) -> None:
    """Change a record so that it shows within the second."""
    collection = server.store().collection("books.invoices")
    index = collection.find(invoice)
    assert index is not None
    collection.change(index, {"reference_number": f"touched {len(server.arrivals)}"})


def held(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()} if place.exists() else {}


def asked(server: Sandbox, since: int, part: str) -> int:
    return sum(part in each.path for each in server.arrivals[since:])


def failed(events: list[ExportEvent]) -> list[DocumentFailed]:
    return [event for event in events if isinstance(event, DocumentFailed)]


async def test_every_document_of_a_record_is_saved_and_one_more_costs_no_other(
    tmp_path: Path,
) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[1]
        ids = [await attach(zoho, invoice, f"{name}.png", name.encode()) for name in "abc"]
        _, summary = await export(zoho, tmp_path, "invoices")
        place = tmp_path / "books/invoices.files" / invoice
        expected = {f"{one}_{n}.png": n.encode() for one, n in zip(ids, "abc", strict=True)}
        assert held(place) == expected
        assert summary.files == 4 + 3
        since = len(server.arrivals)
        more = await attach(zoho, invoice, "d.png", b"d")
        touch(server, invoice)
        _, summary = await export(zoho, tmp_path, "invoices")
        assert held(place) == expected | {f"{more}_d.png": b"d"}
        assert summary.files == 2  # the new one, and the print of what changed
        assert [asked(server, since, f"/documents/{one}") for one in ids] == [0, 0, 0]


async def test_documents_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        for content in (b"first", b"second", b"first"):
            await attach(zoho, invoice, "scan.pdf", content)
        await export(zoho, tmp_path, "invoices")
        place = tmp_path / "books/invoices.files" / invoice
        assert sorted(held(place).values()) == [b"first", b"first", b"second"]


async def test_what_was_saved_stays_when_it_is_removed_or_renamed_at_zoho(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        for name in "ab":
            await attach(zoho, invoice, f"{name}.png", name.encode())
        await export(zoho, tmp_path, "invoices")
        place = tmp_path / "books/invoices.files" / invoice
        before = held(place)
        await invoices.delete_attachment(zoho, invoice)
        collection = server.store().collection("books.invoices")
        index = collection.find(invoice)
        assert index is not None
        (left,) = collection.state(index)["documents"]
        collection.change(index, {"documents": [left | {"file_name": "renamed.png"}]})
        touch(server, invoice)
        since = len(server.arrivals)
        await export(zoho, tmp_path, "invoices")
        assert held(place) == before
        assert asked(server, since, "/documents/") == 0


async def test_a_document_that_a_person_removed_is_fetched_again_with_its_record(
    tmp_path: Path,
) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        await attach(zoho, invoice, "a.png", b"a")
        await export(zoho, tmp_path, "invoices")
        (path,) = (tmp_path / "books/invoices.files" / invoice).iterdir()
        path.unlink()
        await export(zoho, tmp_path, "invoices", full=True)
        assert path.read_bytes() == b"a"


async def test_documents_that_an_answer_names_in_the_place_of_a_file_are_followed(
    tmp_path: Path,
) -> None:
    async with opened() as (server, zoho):
        bill = ids_of(server, "books.bills", "bill_id")[0]
        for name in "ab":
            await bills.add_attachment(zoho, bill, attachment=Upload(f"{name}.pdf", name.encode()))
        answer: Any = await zoho.request("GET", f"/bills/{bill}/attachment")
        ids = [row["document_id"] for row in answer["documents"]]
        assert [row["file_name"] for row in answer["documents"]] == ["a.pdf", "b.pdf"]
        expected = {f"{one}_{n}.pdf": n.encode() for one, n in zip(ids, "ab", strict=True)}
        _, summary = await export(zoho, tmp_path / "named", "bills")
        assert held(tmp_path / "named/books/bills.files" / bill) == expected
        assert summary.files == 2
        # the read of the record says nothing of documents
        server.faults.append(
            Fault(kind="odd", path=f"*/bills/{bill}", field="documents", value="", times=None)
        )
        _, summary = await export(zoho, tmp_path / "unnamed", "bills")
        assert held(tmp_path / "unnamed/books/bills.files" / bill) == expected
        assert summary.files == 2


async def test_the_last_attachment_is_what_get_attachment_answers(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        for name in "ab":
            await attach(zoho, invoice, f"{name}.png", name.encode())
        assert await invoices.get_attachment(zoho, invoice).read() == b"b"
        await invoices.delete_attachment(zoho, invoice)
        assert await invoices.get_attachment(zoho, invoice).read() == b"a"
        reply: Any = await zoho.request("GET", f"/invoices/{invoice}")
        assert [row["file_name"] for row in reply["invoice"]["documents"]] == ["a.png"]


@pytest.mark.parametrize("fault", ["refused", "missing", "html", "broken"])
async def test_one_bad_document_is_reported_and_retried_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(Policy, "delay", lambda *_: 0.001)
    faults = {
        "refused": {"kind": "code", "status": 400, "code": 1000},
        "missing": {"kind": "code", "status": 404, "code": 1002},
        "html": {"kind": "html"},
        "broken": {"kind": "broken_body"},
    }
    async with opened() as (server, zoho):
        invoice, other, *_ = ids_of(server, "books.invoices", "invoice_id")
        bad = await attach(zoho, invoice, "a.png", b"a" * 5000)
        good = await attach(zoho, invoice, "b.png", b"b")
        await attach(zoho, other, "c.png", b"c")
        rule: Any = faults[fault]
        server.faults.append(Fault(path=f"*/documents/{bad}", times=None, **rule))
        events, summary = await export(zoho, tmp_path, "invoices")
        assert summary.done
        assert [(one.record, one.document) for one in failed(events)] == [(invoice, bad)]
        assert summary.resources[0].passed_over == 1
        place = tmp_path / "books/invoices.files"
        assert held(place / invoice) == {f"{good}_b.png": b"b"}
        assert len(held(place / other)) == 1
        events, summary = await export(zoho, tmp_path, "invoices")
        assert (len(failed(events)), summary.done) == (1, True)  # asked for again, in vain
        server.faults.clear()
        since = len(server.arrivals)
        events, summary = await export(zoho, tmp_path, "invoices")
        assert failed(events) == []
        assert held(place / invoice)[f"{bad}_a.png"] == b"a" * 5000
        assert asked(server, since, f"/documents/{good}") == 0
        since = len(server.arrivals)
        await export(zoho, tmp_path, "invoices")
        assert len(server.arrivals) - since == 1


async def test_another_way_to_a_document_is_tried_and_a_missing_scope_costs_few_calls(
    tmp_path: Path,
) -> None:
    async with opened() as (server, zoho):
        ids = ids_of(server, "books.invoices", "invoice_id")
        for invoice in ids:
            for name in "abcd":
                await attach(zoho, invoice, f"{name}.png", name.encode())
        server.faults.append(
            Fault(kind="code", path="/books/v3/documents/*", status=401, code=57, times=None)
        )
        since = len(server.arrivals)
        events, summary = await export(zoho, tmp_path, "invoices")
        assert (failed(events), summary.files) == ([], 4 + 16)
        assert asked(server, since, "/v3/documents/") <= 2 * len(ids)  # each with a new token


async def test_an_end_at_any_call_leaves_no_half_and_no_second_document(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        for invoice in ids_of(server, "books.invoices", "invoice_id"):
            for name in "ab":
                await attach(zoho, invoice, f"{name}.png", name.encode() * 1000)
        await export(zoho, tmp_path / "whole", "invoices")
        for _ in range(40):
            try:
                await export(zoho, tmp_path / "parts", "invoices", max_calls=12)
            except BudgetSpent:
                continue
            break
        folders = [tmp_path / place / "books/invoices.files" for place in ("whole", "parts")]
        whole, parts = (
            {path.relative_to(root): path.read_bytes() for path in root.rglob("*.p*")}
            for root in folders
        )
        assert whole == parts
        assert len(whole) == 4 * 3


async def test_a_place_that_an_earlier_version_filled_gets_the_other_attachments(
    tmp_path: Path,
) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        ids = [await attach(zoho, invoice, f"{name}.png", name.encode()) for name in "ab"]
        await export(zoho, tmp_path, "invoices")
        place = tmp_path / "books/invoices.files" / invoice
        (place / f"{ids[0]}_a.png").unlink()
        (place / f"{ids[1]}_b.png").rename(place / "b.png")
        with closing(sqlite3.connect(tmp_path / ".zoho-export/checkpoint.sqlite")) as state:
            state.execute(
                "UPDATE _zoho_resource SET state = json_remove(state, '$.details.all_attachments')"
            )
            state.commit()
        await export(zoho, tmp_path, "invoices")
        assert held(place) == {f"{ids[0]}_a.png": b"a", f"{ids[1]}_b.png": b"b", "b.png": b"b"}


async def test_what_a_killed_run_had_begun_is_cleared_away(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        await attach(zoho, invoice, "a.png", b"a")
        folder = tmp_path / "books/invoices.files"
        (folder / ".abc.part").mkdir(parents=True)
        (folder / ".abc.part/half.png").write_bytes(b"half")
        (folder / ".def.part").write_bytes(b"half")
        victim = tmp_path / "victim"
        victim.mkdir()
        (victim / "kept").touch()
        (folder / ".ghi.part").symlink_to(victim)
        await export(zoho, tmp_path, "invoices")
        assert not list(folder.glob(".*"))
        assert (victim / "kept").exists()


async def test_a_record_folder_that_is_a_link_is_refused_and_reported(tmp_path: Path) -> None:
    async with opened() as (server, zoho):
        invoice = ids_of(server, "books.invoices", "invoice_id")[0]
        one = await attach(zoho, invoice, "a.png", b"a")
        victim = tmp_path / "victim"
        victim.mkdir()
        place = tmp_path / "to/books/invoices.files" / invoice
        place.parent.mkdir(parents=True)
        place.symlink_to(victim)
        row = json.loads(next(iter(server.truth("books.invoices"))))
        printed = place.with_name(print_name(invoice, row["invoice_number"]))
        target = tmp_path / "target"
        target.write_bytes(b"mine")
        printed.symlink_to(target)
        events, summary = await export(zoho, tmp_path / "to", "invoices")
        assert summary.done
        (failure,) = failed(events)
        assert "symbolic link" in failure.reason
        assert held(victim) == {}
        # a link that has the name of a file is replaced, and what it names is not written to
        assert (printed.is_symlink(), target.read_bytes()) == (False, b"mine")
        place.unlink()
        await export(zoho, tmp_path / "to", "invoices")
        assert held(place) == {f"{one}_a.png": b"a"}


# -- names from outside ---------------------------------------------------------------------------


def zoho_of(ids: list[str], names: list[str], documents: list[str] | None = None) -> Any:
    """Answers a list of invoices with these ids, each with documents of these names.

    The documents have the ids of the invoices if none are given.
    """
    pairs = zip(documents or ids, names, strict=True)
    held = [{"document_id": one, "file_name": name} for one, name in pairs]

    async def answer(request: web.Request) -> web.StreamResponse:
        accept = request.query.get("accept", "")
        path = request.path
        if path.endswith("/invoices"):
            rows = [
                {"invoice_id": one, "invoice_number": one, "has_attachment": one == ids[0]}
                for one in ids
            ]
            context = {"page": 1, "per_page": 200, "has_more_page": False, "total": len(rows)}
            return web.json_response({"code": 0, "invoices": rows, "page_context": context})
        if accept == "pdf":
            return web.Response(body=b"%PDF-1.4 x", content_type="application/pdf")
        if "/documents/" in path:
            head = {"Content-Disposition": 'attachment; filename="../../../../victim/x.pdf"'}
            return web.Response(body=b"content", content_type="image/png", headers=head)
        invoice = {"invoice_id": "1", "documents": held}
        return web.json_response({"code": 0, "invoice": invoice})

    return answer


def around(root: Path, place: Path) -> set[Path]:
    """Everything in ``root`` but what is in ``place``."""
    return {path for path in root.rglob("*") if place not in path.parents}


async def test_no_id_and_no_name_leads_out_of_the_folder(
    server: AnsweringServer, tmp_path: Path
) -> None:
    every = (*hostile.PATHS, *hostile.WINDOWS, *hostile.LONG, "a\nb", "-rf", "A", "a", "\x1b[2J")
    ids = [one for one in every if one == one.strip()]
    to = tmp_path / "a/b/c/to"
    victims = [to / "books/invoices.files" / one for one in ("../../../../victim", "../../victim")]
    for victim in victims:
        victim.resolve().mkdir(parents=True)
        (victim.resolve() / "kept").write_bytes(b"kept")
    before = around(tmp_path, to)
    server.answers = [zoho_of(ids, ids)]
    async with server.session() as zoho:
        events, summary = await export(zoho, to, "invoices")
    assert summary.done
    after = around(tmp_path, to)
    assert after == before | {to}
    assert all((victim.resolve() / "kept").read_bytes() == b"kept" for victim in victims)
    folder = to / "books/invoices.files"
    bad = {one for one in ids if is_refused(one)}  # the client asks for none of them
    assert {"../../../../victim", "a\nb", "\x1b[2J"} <= bad
    refused = {one.record for one in failed(events) if one.document == "pdf"}
    assert bad - {".", ".."} <= refused <= bad
    good = [one for one in ids if one not in bad]
    assert {path.name for path in folder.glob("*.pdf")} == {print_name(one, one) for one in good}
    assert all(len(path.name.encode()) <= 255 for path in folder.rglob("*"))


async def test_no_document_id_leads_out_of_the_folder(
    server: AnsweringServer, tmp_path: Path
) -> None:
    every = (*hostile.PATHS, *hostile.WINDOWS, *hostile.LONG, "a\nb", "-rf", "\x1b[2J")
    ids = [one for one in every if one == one.strip()]
    to = tmp_path / "a/b/c/to"
    before = around(tmp_path, to)
    server.answers = [zoho_of(["1"], ids, documents=ids)]
    async with server.session() as zoho:
        events, _ = await export(zoho, to, "invoices")
    assert around(tmp_path, to) == before | {
        path for path in (to, *to.parents) if path != tmp_path and tmp_path in path.parents
    }
    bad = {one for one in ids if is_refused(one)}
    assert {one.document for one in failed(events)} == bad
    saved = {path.name.partition("_")[0] for path in (to / "books/invoices.files/1").iterdir()}
    assert saved == {component(one) for one in ids if one not in bad}


def is_refused(one: str) -> bool:
    try:
        quoted_id("id", one)
    except ValueError:
        return True
    return False


async def test_a_name_of_ninety_japanese_characters_is_saved(
    server: AnsweringServer, tmp_path: Path
) -> None:
    server.answers = [zoho_of(["1"], ["請求書" * 30 + ".pdf"])]
    async with server.session() as zoho:
        _, summary = await export(zoho, tmp_path, "invoices")
    (path,) = (tmp_path / "books/invoices.files/1").iterdir()
    assert path.name.startswith("1_請求書請求書")
    assert path.suffix == ".pdf"
    assert summary.files == 2
