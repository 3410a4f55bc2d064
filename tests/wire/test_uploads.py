"""Uploads arrive whole, are checked first, and are never in memory as a whole."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.answering_server import AnsweringServer, done, refused
from zoho_async import Session, Upload
from zoho_async.books import bills, expenses, invoices
from zoho_async.books.bills import BillCreate
from zoho_async.errors import (
    AmbiguousWrite,
    ConnectionBroken,
    NotAuthorized,
    TooManyInFlight,
)
from zoho_async.http.upload import Content
from zoho_async.inventory import items

PNG = b"\x89PNG" + bytes(range(256)) * 3000


@pytest.fixture
async def zoho(server: AnsweringServer) -> AsyncIterator[Session]:
    async with server.session() as session:
        yield session


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    path = tmp_path / "receipt é.png"
    path.write_bytes(PNG)
    return path


async def test_a_file_arrives_whole_with_its_name_type_and_length(
    server: AnsweringServer, zoho: Session, receipt: Path
) -> None:
    answer = await invoices.add_attachment(zoho, "1", attachment=Upload.from_path(receipt))
    assert answer.message == "done"
    part = server.last.parts["attachment"]
    assert (part.filename, part.content_type, part.content) == (receipt.name, "image/png", PNG)
    assert int(server.last.headers["Content-Length"]) > len(PNG)


async def test_bytes_arrive_whole(server: AnsweringServer, zoho: Session) -> None:
    await invoices.add_attachment(zoho, "1", attachment=Upload("a.pdf", PNG))
    assert server.last.parts["attachment"].content == PNG
    assert server.last.parts["attachment"].content_type == "application/pdf"


async def test_an_iterators_bytes_arrive_whole(server: AnsweringServer, zoho: Session) -> None:
    await invoices.add_attachment(
        zoho, "1", attachment=Upload("a.pdf", pieces(b"%PDF", PNG, b"end"))
    )
    assert server.last.parts["attachment"].content == b"%PDF" + PNG + b"end"
    assert "Content-Length" not in server.last.headers


async def test_an_iterator_of_known_size_is_sent_with_its_length(
    server: AnsweringServer, zoho: Session
) -> None:
    file = Upload("a.pdf", pieces(b"%PDF", PNG), size=4 + len(PNG))
    await invoices.add_attachment(zoho, "1", attachment=file)
    assert int(server.last.headers["Content-Length"]) > len(PNG)
    assert server.last.parts["attachment"].content == b"%PDF" + PNG


async def test_fields_are_sent_as_described(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [done(documents=[])]
    await expenses.add_attachment(
        zoho, "1", attachment=Upload("a.txt", b"x"), total_files=1, document_ids=["7", 8]
    )
    assert server.last.parts["totalFiles"].content == b"1"
    assert server.last.parts["document_ids"].content == b"7,8"
    assert server.last.query == {"organization_id": "1"}
    server.answers = [done()]
    await invoices.add_attachment(
        zoho, "1", attachment=Upload("a.pdf", b"x"), can_send_in_mail=True
    )
    assert server.last.query["can_send_in_mail"] == "true"
    assert server.last.parts.keys() == {"attachment"}


async def test_a_record_and_its_file_are_sent_together(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [done(bill={"bill_id": "5"})]
    bill = BillCreate(vendor_id="1", bill_number="B-1")
    created = await bills.create(zoho, bill, attachment=Upload("a.pdf", b"%PDF"))
    assert created.bill_id == "5"
    assert server.last.parts["JSONString"].content == b'{"vendor_id":"1","bill_number":"B-1"}'
    assert server.last.parts["JSONString"].filename is None
    assert server.last.parts["attachment"].content == b"%PDF"
    await bills.create(zoho, bill)
    assert server.last.headers["Content-Type"] == "application/json"


class Archive:
    """Gives its bytes as often as it is asked."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PNG


@pytest.mark.parametrize("how", ["path", "bytes", "iterable"])
async def test_a_refused_file_is_sent_again(
    how: str, server: AnsweringServer, zoho: Session, receipt: Path
) -> None:
    server.answers = [refused(), done()]
    sources: dict[str, Content] = {"path": receipt, "bytes": PNG, "iterable": Archive()}
    file = Upload("a.png", sources[how])
    await invoices.add_attachment(zoho, "1", attachment=file)
    assert [each.parts["attachment"].content for each in server.taken] == [PNG] * 2


async def test_a_refused_iterator_is_not_sent_again_and_the_error_says_so(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [refused(), done()]
    file = Upload("a.png", pieces(PNG))
    with pytest.raises(TooManyInFlight) as caught:
        await invoices.add_attachment(zoho, "1", attachment=file)
    assert "can be read only once" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="read before"):
        await invoices.add_attachment(zoho, "1", attachment=file)
    assert len(server.taken) == 1


async def test_an_expired_token_raises_if_a_file_cannot_be_sent_again(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [web.json_response({"code": 57, "message": "no"}, status=401), done()]
    with pytest.raises(NotAuthorized) as caught:
        await invoices.add_attachment(zoho, "1", attachment=Upload("a.png", pieces(PNG)))
    assert "can be read only once" in caught.value.__notes__[0]
    server.answers = [web.json_response({"code": 57, "message": "no"}, status=401), done()]
    await invoices.add_attachment(zoho, "1", attachment=Upload("a.png", PNG))
    assert len(server.taken) == 3


async def test_an_unread_iterator_can_still_be_sent(zoho: Session, server: AnsweringServer) -> None:
    file = Upload("a.png", pieces(PNG))
    with pytest.raises(ValueError, match="invoice_id"):
        await invoices.add_attachment(zoho, "", attachment=file)
    await invoices.add_attachment(zoho, "1", attachment=file)
    assert server.last.parts["attachment"].content == PNG


async def test_undocumented_file_types_are_refused_before_anything_is_sent(
    server: AnsweringServer, zoho: Session
) -> None:
    for name in ("run.exe", "pdf", "a.pdf.zip"):
        with pytest.raises(ValueError, match="Zoho accepts gif, png, jpeg, jpg, bmp, pdf here"):
            await invoices.add_attachment(zoho, "1", attachment=Upload(name, b"x"))
    assert server.taken == []
    await invoices.add_attachment(zoho, "1", attachment=Upload("A.PDF", b"x"))
    await invoices.add_attachment(zoho, "1", attachment=Upload("a.zip", b"x", check=False))
    assert len(server.taken) == 2


async def test_files_larger_than_documented_are_refused_before_anything_is_sent(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    with pytest.raises(ValueError, match="has 10485761 bytes, but Zoho accepts 10485760"):
        await invoices.add_attachment(zoho, "1", attachment=Upload.from_path(path))
    seven = Upload("a.png", pieces(b""), size=7 * 1024 * 1024 + 1)
    with pytest.raises(ValueError, match="Zoho accepts 7340032"):
        await items.upload_image(zoho, "1", image=seven)
    with pytest.raises(ValueError, match="empty"):
        await invoices.add_attachment(zoho, "1", attachment=Upload("a.png", b""))
    assert server.taken == []


async def test_a_missing_file_makes_no_call(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await invoices.add_attachment(zoho, "1", attachment=Upload.from_path(tmp_path / "none.png"))
    with pytest.raises(IsADirectoryError):
        await invoices.add_attachment(zoho, "1", attachment=Upload("a.png", tmp_path))
    assert server.taken == []


@pytest.mark.parametrize(
    ("size", "most", "problem"),
    [
        (3, b"12345", "more than the expected 3 bytes"),
        (9, b"12345", "ended after 5 of 9 bytes"),
        (None, bytes(11 * 1024 * 1024), "more than the 10485760 bytes"),
    ],
)
async def test_an_iterator_of_the_wrong_size_raises(
    size: int | None, most: bytes, problem: str, server: AnsweringServer, zoho: Session
) -> None:
    file = Upload("a.png", pieces(most), size=size)
    with pytest.raises(ValueError, match=re.escape(problem)):
        await invoices.add_attachment(zoho, "1", attachment=file)
    assert not any("attachment" in each.parts for each in server.taken)


async def test_an_exception_of_a_files_source_is_raised_unchanged(
    server: AnsweringServer, zoho: Session
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"%PDF"
        raise LookupError("the archive is gone")

    with pytest.raises(LookupError, match="archive"):
        await invoices.add_attachment(zoho, "1", attachment=Upload("a.pdf", broken()))
    assert not any(each.parts for each in server.taken)


async def test_a_file_is_never_in_memory_as_a_whole(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    size = 32 * 1024 * 1024
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(size)
    counted = 0

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal counted
        async for chunk in request.content.iter_any():
            counted += len(chunk)
        return done()

    server.is_hungry, server.answers = False, [count]
    tracemalloc.start()
    try:
        await invoices.add_attachment(zoho, "1", attachment=Upload.from_path(path, check=False))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counted > size
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("name", ["", "../a.png", "a\r\nb.png", 'a".png'])
def test_names_that_would_break_the_form_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a file name"):
        Upload(name, b"x")


def test_a_path_as_str_is_refused_as_content() -> None:
    with pytest.raises(TypeError, match=r"must be bytes, a pathlib\.Path .* got str"):
        Upload("a.png", "scans/a.png")  # type: ignore[arg-type]  # the mistake itself


def test_the_bytes_of_a_file_are_not_in_its_repr() -> None:
    assert repr(Upload("a.png", b"secret")) == "Upload('a.png', 6 bytes)"


async def test_a_broken_connection_is_not_reported_as_the_files_fault(
    server: AnsweringServer, zoho: Session
) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.answers = [hang_up]
    with pytest.raises(AmbiguousWrite) as caught:
        await invoices.add_attachment(zoho, "1", attachment=Upload("a.png", PNG))
    assert isinstance(caught.value.__cause__, ConnectionBroken)


async def test_a_refusal_before_the_whole_file_was_read_is_raised(
    server: AnsweringServer, zoho: Session, tmp_path: Path
) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(bytes(9 * 1024 * 1024))
    reads: list[int] = []

    async def read(request: web.Request) -> web.StreamResponse:
        reads.append(len(await request.read()))
        return done()

    server.is_hungry, server.answers = False, [refused(), refused(), read]
    await invoices.add_attachment(zoho, "1", attachment=Upload.from_path(path))
    assert len(server.taken) == 3
    assert reads[0] > 9 * 1024 * 1024


@pytest.mark.parametrize("ends", ["cancelled", "too long"])
async def test_the_source_of_an_abandoned_file_is_closed(
    ends: str, server: AnsweringServer, zoho: Session
) -> None:
    here, closed = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        try:
            yield b"%PDF"
            here.set()
            if ends == "cancelled":
                await asyncio.Event().wait()
            yield b"more"
        finally:
            closed.set()

    file = Upload("a.pdf", slow(), size=6)
    sending = asyncio.create_task(invoices.add_attachment(zoho, "1", attachment=file))
    await here.wait()
    if ends == "cancelled":
        sending.cancel()
    with pytest.raises(asyncio.CancelledError if ends == "cancelled" else ValueError):
        await sending
    await closed.wait()
