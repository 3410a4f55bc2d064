"""Documents over a real connection: what comes is saved, what is sent arrives whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import BodyPartReader, web
from pytest_aiohttp.plugin import AiohttpServer

from zoho_async import Credentials, Session, Upload
from zoho_async.books import invoices
from zoho_async.errors import NotFound, UnreadableReply
from zoho_async.limits import MemoryLedger
from zoho_async.retry import Policy

PDF = b"%PDF-1.4 " + bytes(range(256))


class Zoho:
    """Answers tokens, and one reply of the test's making to everything else."""

    def __init__(self) -> None:
        self.reply = web.Response()
        self.parts: dict[str, tuple[str | None, bytes]] = {}
        self.accept = ""
        self.content_type: str | None = None

    async def token(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": "1000.t", "expires_in": 3600})

    async def answer(self, request: web.Request) -> web.Response:
        self.accept = request.headers["Accept"]
        self.content_type = request.headers.get("Content-Type")
        if request.content_type == "multipart/form-data":
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                self.parts[part.name or ""] = (part.filename, bytes(await part.read()))
        return web.Response(
            status=self.reply.status, body=self.reply.body, headers=self.reply.headers
        )


@pytest.fixture
def server() -> Zoho:
    return Zoho()


@pytest.fixture
async def zoho(server: Zoho, aiohttp_server: AiohttpServer) -> AsyncIterator[Session]:
    app = web.Application()
    app.router.add_post("/oauth/v2/token", server.token)
    app.router.add_route("*", "/books/v3/{path:.*}", server.answer)
    running = await aiohttp_server(app)
    url = str(running.make_url("")).rstrip("/")
    session = Session(
        Credentials("a", "b", "c"),
        organization=1,
        api_url=url,
        accounts_url=url,
        ledger=MemoryLedger(),
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


async def test_a_document_is_saved_under_its_own_name(
    server: Zoho, zoho: Session, tmp_path: Path
) -> None:
    server.reply = web.Response(
        body=PDF,
        content_type="application/pdf",
        headers={"Content-Disposition": 'attachment; filename="../INV-1.pdf"'},
    )
    document = await invoices.get_pdf(zoho, "1")
    assert server.accept == "application/pdf"
    path = await document.save(tmp_path / "new folder")
    assert path == tmp_path / "new folder" / "INV-1.pdf"
    assert path.read_bytes() == PDF


async def test_a_document_without_a_name_gets_one(server: Zoho, zoho: Session) -> None:
    server.reply = web.Response(body=PDF, content_type="application/pdf")
    assert (await invoices.get_pdf(zoho, "1")).name.endswith(".pdf")


async def test_a_page_of_html_is_not_a_document(server: Zoho, zoho: Session) -> None:
    server.reply = web.Response(text="<html>", content_type="text/html")
    with pytest.raises(UnreadableReply, match="HTML"):
        await invoices.get_pdf(zoho, "1")


async def test_an_error_stays_an_error_where_a_document_was_asked_for(
    server: Zoho, zoho: Session
) -> None:
    server.reply = web.json_response({"code": 1002, "message": "gone"}, status=404)
    with pytest.raises(NotFound, match="gone"):
        await invoices.get_pdf(zoho, "1")


async def test_an_attachment_arrives_whole_with_its_name(
    server: Zoho, zoho: Session, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.png"
    receipt.write_bytes(PDF)
    server.reply = web.json_response({"code": 0, "message": "attached"})
    upload = await Upload.from_path(receipt)
    done = await invoices.add_attachment(zoho, "1", attachment=upload)
    assert done.message == "attached"
    assert server.parts["attachment"] == ("receipt.png", PDF)


async def test_a_call_without_a_body_claims_no_type_of_it(server: Zoho, zoho: Session) -> None:
    server.reply = web.json_response({"code": 0, "message": "sent"})
    await invoices.mark_as_sent(zoho, "1")
    assert server.content_type is None
    await zoho.request("POST", "/x", body={"a": 1})
    assert server.content_type == "application/json"
