"""Downloads are saved whole or not at all, never in memory, and release what they hold."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.answering_server import Answering, AnsweringServer, done, refused
from zoho_async import Session
from zoho_async.books import credit_notes, expenses, invoices
from zoho_async.errors import CallTimeout, ConnectionBroken, NotFound, ReplyError, UnreadableReply
from zoho_async.http import atomic_file
from zoho_async.http.transport import OpenResponse, Transport

PDF = b"%PDF-1.4 " + bytes(range(256)) * 2000


@pytest.fixture
async def server(server: AnsweringServer) -> AnsweringServer:
    server.answers = [pdf()]
    return server


@pytest.fixture
async def zoho(server: AnsweringServer) -> AsyncIterator[Session]:
    async with server.session() as session:
        yield session
        assert (await session.snapshot()).in_flight == 0


def pdf(disposition: str = 'attachment; filename="INV-1.pdf"') -> web.Response:
    return web.Response(
        body=PDF, content_type="application/pdf", headers={"Content-Disposition": disposition}
    )


def streamed(*chunks: bytes, then: asyncio.Event | None = None, size: int = 0) -> Answering:
    """A PDF in pieces; at its end it waits for ``then``, and breaks off short of ``size``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/pdf"})
        response.content_length = size or None
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then is not None:
            await then.wait()
        if size:
            assert request.transport is not None
            request.transport.close()
        return response

    return answer


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# -- saving -----------------------------------------------------------------------------------


async def test_a_document_is_saved_under_its_own_name(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    path = await invoices.get_pdf(zoho, "1").save(tmp_path / "new folder")
    assert path == tmp_path / "new folder" / "INV-1.pdf"
    assert path.read_bytes() == PDF
    assert server.last.headers["Accept"] == "application/pdf"
    assert server.last.query["accept"] == "pdf"


async def test_a_document_is_saved_at_the_given_path(zoho: Session, tmp_path: Path) -> None:
    target = tmp_path / "a" / "mine.pdf"
    assert await invoices.get_pdf(zoho, "1").save(str(target)) == target
    target.write_bytes(b"old")
    await invoices.get_pdf(zoho, "1").save(target)
    assert target.read_bytes() == PDF
    assert names(target.parent) == ["mine.pdf"]


async def test_a_document_in_a_folder_never_replaces_another(zoho: Session, tmp_path: Path) -> None:
    paths = [await invoices.get_pdf(zoho, str(n)).save(tmp_path) for n in (1, 2, 3)]
    assert [path.name for path in paths] == ["INV-1.pdf", "INV-1 (2).pdf", "INV-1 (3).pdf"]
    assert all(path.read_bytes() == PDF for path in paths)


async def test_a_saved_document_is_as_readable_as_any_new_file(
    zoho: Session, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    saved = await invoices.get_pdf(zoho, "1").save(tmp_path)
    assert saved.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="../../etc/INV-1.pdf"', "INV-1.pdf"),
        ("attachment; filename=C:\\temp\\INV-1.pdf", "INV-1.pdf"),
        ("attachment; filename=\"x\"; filename*=UTF-8''Re%C3%A7u%2F1.pdf", "1.pdf"),
        ("attachment; filename*=UTF-8''Re%C3%A7u.pdf; filename=x", "Reçu.pdf"),
        ('attachment; filename="50% off.pdf"', "50% off.pdf"),
        ('attachment; filename=".."', "books.invoices.get_pdf.pdf"),
        ("inline", "books.invoices.get_pdf.pdf"),
    ],
)
async def test_a_name_never_leads_out_of_the_folder(
    disposition: str, name: str, server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    server.answers = [pdf(disposition)]
    assert await invoices.get_pdf(zoho, "1").save(tmp_path) == tmp_path / name


async def test_many_records_are_split_into_documents_of_twenty_five(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    pdfs = invoices.export_pdf(zoho, list(range(60)))
    assert len(pdfs) == 3
    paths = [await each.save(tmp_path) async for each in pdfs]
    assert len(set(paths)) == 3
    asked = [each.query["invoice_ids"].split(",") for each in server.taken]
    assert asked == [[str(n) for n in range(a, b)] for a, b in ((0, 25), (25, 50), (50, 60))]
    assert len(credit_notes.print_pdf(zoho, [])) == 0


async def test_an_unread_document_makes_no_call(server: AnsweringServer, zoho: Session) -> None:
    invoices.get_pdf(zoho, "1")
    async for _ in invoices.export_pdf(zoho, ["1", "2"]):
        break
    assert server.taken == []


# -- looking at it while it comes ---------------------------------------------------------------


async def test_a_document_can_be_processed_while_it_arrives(
    server: AnsweringServer, zoho: Session
) -> None:
    rest = asyncio.Event()
    server.answers = [streamed(PDF, then=rest)]
    async with invoices.get_pdf(zoho, "1").open() as document:
        assert document.name == "books.invoices.get_pdf.pdf"
        assert document.content_type == "application/pdf"
        assert document.size is None
        assert (await zoho.snapshot()).in_flight == 1
        first = await anext(aiter(document))
        rest.set()
        assert first + await document.read() == PDF
    assert await invoices.get_pdf(zoho, "1").read() == PDF


async def test_the_size_is_known_if_zoho_sends_it(zoho: Session, tmp_path: Path) -> None:
    async with invoices.get_pdf(zoho, "1").open() as document:
        assert (document.size, document.name) == (len(PDF), "INV-1.pdf")
        assert b"".join([chunk async for chunk in document]) == PDF


async def test_leaving_early_releases_the_slot_and_the_connection(
    server: AnsweringServer, zoho: Session
) -> None:
    never = asyncio.Event()
    server.answers = [streamed(PDF, then=never), streamed(PDF, then=never), done()]
    async with invoices.get_pdf(zoho, "1").open() as document:
        async for _ in document:
            break
    assert (await zoho.snapshot()).in_flight == 0
    with pytest.raises(LookupError):
        async with invoices.get_pdf(zoho, "1").open():
            raise LookupError
    assert (await zoho.snapshot()).in_flight == 0
    assert (await invoices.mark_as_sent(zoho, "1")).message == "done"
    never.set()


@pytest.mark.parametrize("step", ["open", "write", "finish"])
async def test_a_cancelled_save_leaves_a_whole_file_or_nothing(
    step: str,
    server: AnsweringServer,
    zoho: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    proceed = threading.Event()
    real: Callable[..., object] = getattr(atomic_file.Draft, step)

    def slow(self: atomic_file.Draft, *args: object) -> object:
        loop.call_soon_threadsafe(begun.set)
        proceed.wait(10)
        return real(self, *args)

    monkeypatch.setattr(atomic_file.Draft, step, slow)
    task = asyncio.create_task(invoices.get_pdf(zoho, "1").save(tmp_path / "x" / "x.pdf"))
    await begun.wait()
    task.cancel()
    proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    saved = names(tmp_path / "x") if (tmp_path / "x").exists() else []
    assert saved in ([], ["x.pdf"] if step == "finish" else [])
    assert (await zoho.snapshot()).in_flight == 0


async def test_a_cancelled_download_holds_nothing(server: AnsweringServer, zoho: Session) -> None:
    never, here = asyncio.Event(), asyncio.Event()
    server.answers = [streamed(PDF, then=never)]

    async def look() -> None:
        async with invoices.get_pdf(zoho, "1").open() as document:
            here.set()
            await document.read()

    task = asyncio.create_task(look())
    await here.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    never.set()


async def test_closing_the_session_closes_open_documents(
    server: AnsweringServer, zoho: Session
) -> None:
    never = asyncio.Event()
    server.answers = [streamed(PDF, then=never)]
    other = server.session()
    async with invoices.get_pdf(other, "1").open() as document:
        await other.aclose()
        with pytest.raises(ConnectionBroken):
            await document.read()
    never.set()


# -- what goes wrong ----------------------------------------------------------------------------


async def test_a_document_that_breaks_off_is_fetched_again(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    server.answers = [streamed(PDF[:70_000], size=len(PDF)), refused(), pdf()]
    path = await invoices.get_pdf(zoho, "1").save(tmp_path)
    assert path.read_bytes() == PDF
    assert names(tmp_path) == [path.name]
    assert len(server.taken) == 3


async def test_half_a_document_is_never_saved(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    server.answers = [streamed(PDF[:70_000], size=len(PDF))]
    with pytest.raises(ConnectionBroken):
        await invoices.get_pdf(zoho, "1").save(tmp_path)
    assert names(tmp_path) == []
    assert len(server.taken) == 4
    with pytest.raises(ConnectionBroken):
        async with invoices.get_pdf(zoho, "1").open() as document:
            await document.read()


async def test_a_server_that_falls_silent_is_a_timeout(
    server: AnsweringServer, zoho: Session
) -> None:
    never = asyncio.Event()
    server.answers = [streamed(PDF, then=never)]
    with pytest.raises(CallTimeout):
        await invoices.get_pdf(zoho.with_options(timeout=0.05), "1").read()
    never.set()


async def test_documents_have_no_total_timeout(
    server: AnsweringServer, zoho: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[float | None, float]] = []
    send = Transport.open

    async def watched(self: Transport, *args: Any, **named: Any) -> OpenResponse:
        given.append((named["total_timeout"], named["read_timeout"]))
        return await send(self, *args, **named)

    monkeypatch.setattr(Transport, "open", watched)
    server.answers = [done(), pdf()]
    await zoho.request("GET", "/x")
    await invoices.get_pdf(zoho, "1").read()
    assert given[-2:] == [(300.0, 60.0), (None, 60.0)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (web.Response(text="<html>", content_type="text/html"), "HTML"),
        (web.Response(body=b"gone", content_type="application/pdf"), "not a PDF"),
        (web.Response(body=b"", content_type="application/pdf"), "empty"),
        (web.json_response({"code": 0, "message": "success"}), "JSON"),
    ],
)
async def test_an_answer_that_is_not_a_pdf_is_an_error(
    answer: web.Response, problem: str, server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    server.answers = [answer]
    with pytest.raises(UnreadableReply, match=problem):
        await invoices.get_pdf(zoho, "1").save(tmp_path)
    assert names(tmp_path) == []


async def test_an_error_answer_to_a_document_request_is_raised(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [web.json_response({"code": 1002, "message": "gone"}, status=404)]
    with pytest.raises(NotFound, match="gone"):
        await invoices.get_pdf(zoho, "1").read()
    server.answers = [web.json_response({"code": 9004, "message": "no such currency"})]
    with pytest.raises(ReplyError, match="no such currency"):
        await expenses.get_receipt(zoho, "1").read()


async def test_html_is_accepted_if_html_was_requested(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [web.Response(text="<html>", content_type="text/html")]
    assert await invoices.get_html(zoho, "1").read() == b"<html>"


async def test_a_full_disk_raises_and_leaves_nothing(
    zoho: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await invoices.get_pdf(zoho, "1").save(tmp_path)
    assert names(tmp_path) == []


# -- memory ---------------------------------------------------------------------------------------


async def _save_large(server: AnsweringServer, zoho: Session, folder: Path, megabytes: int) -> int:
    """The most memory in use, in bytes, while a document of some size is saved."""
    megabyte = bytes(1024 * 1024)
    server.answers = [streamed(b"%PDF-1.4", *([megabyte] * megabytes))]
    tracemalloc.start()
    try:
        path = await invoices.get_pdf(zoho, "1").save(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == megabytes * len(megabyte) + 8
    path.unlink()
    return peak


async def test_a_document_is_never_in_memory_as_a_whole(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    assert await _save_large(server, zoho, tmp_path, 24) < 8 * 1024 * 1024


@pytest.mark.long
async def test_two_hundred_megabytes_need_no_more_memory_than_a_few(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    small = await _save_large(server, zoho, tmp_path, 24)
    assert await _save_large(server, zoho, tmp_path, 200) < small + 4 * 1024 * 1024
