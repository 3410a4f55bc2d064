"""Undocumented fields, the rest of a reply, and other paths and headers of a product."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import msgspec
import pytest
from aiohttp import web

from tests.support.answering_server import AnsweringServer, done
from zoho_async import Credentials, Session, Upload
from zoho_async.billing import plans
from zoho_async.books import bills, contacts, invoices
from zoho_async.books.bills import BillCreate
from zoho_async.books.contacts import ContactEmailStatementInput
from zoho_async.books.invoices import Invoice, InvoiceCreate
from zoho_async.errors import NotFound, ReplyTooLong
from zoho_async.http import transport
from zoho_async.invoice import items
from zoho_async.limits import MemoryLedger
from zoho_async.operation import (
    BILLING,
    BOOKS,
    INVOICE_BY_HEADER,
    SUBSCRIPTIONS,
    Operation,
    Product,
)
from zoho_async.paging import Page
from zoho_async.wire import Done


@pytest.fixture
async def zoho(server: AnsweringServer) -> AsyncIterator[Session]:
    async with server.session() as session:
        yield session


# -- undocumented fields ------------------------------------------------------------------------


async def test_undocumented_fields_can_be_sent(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [done(invoice={"invoice_id": "1"})]
    await invoices.create(
        zoho,
        InvoiceCreate(customer_id="7", line_items=[]),
        extra_body={"new_field": True, "nested": {"rate": 2}, "nothing": None},
        extra_query={"new_parameter": "x"},
    )
    assert json.loads(server.last.body) == {
        "customer_id": "7",
        "line_items": [],
        "new_field": True,
        "nested": {"rate": 2},
        "nothing": None,
    }
    assert server.last.query["new_parameter"] == "x"


async def test_a_field_cannot_be_given_twice(server: AnsweringServer, zoho: Session) -> None:
    invoice = InvoiceCreate(customer_id="7", line_items=[], notes="a")
    with pytest.raises(ValueError, match="customer_id, notes, which the body already has"):
        await invoices.create(zoho, invoice, extra_body={"customer_id": 8, "notes": "b"})
    with pytest.raises(TypeError, match="float"):
        await invoices.create(zoho, invoice, extra_body={"rate": 1.5})
    assert server.taken == []


async def test_extra_fields_are_sent_with_a_file(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [done(bill={"bill_id": "1"})]
    await bills.create(
        zoho,
        BillCreate(vendor_id="1", bill_number="B-1"),
        attachment=Upload("a.pdf", b"%PDF"),
        extra_body={"x": 1},
    )
    sent = {"vendor_id": "1", "bill_number": "B-1", "x": 1}
    assert json.loads(server.last.parts["JSONString"].content) == sent


# -- JSON in a form -----------------------------------------------------------------------------


async def test_json_is_sent_in_a_form_if_the_documents_require_it(
    server: AnsweringServer, zoho: Session
) -> None:
    mail = ContactEmailStatementInput(to_mail_ids=["a+b@c.org"], subject="50% & more", body="é")
    await contacts.email_statement(zoho, "1", mail, extra_body={"x": 1})
    assert server.last.headers["Content-Type"] == "application/x-www-form-urlencoded"
    ((name, text),) = parse_qsl(server.last.body.decode(), strict_parsing=True)
    assert name == "JSONString"
    assert json.loads(text) == {
        "to_mail_ids": ["a+b@c.org"],
        "subject": "50% & more",
        "body": "é",
        "x": 1,
    }


async def test_a_form_without_a_body_holds_an_empty_object(
    server: AnsweringServer, zoho: Session
) -> None:
    bare = Operation(
        name="books.x.do", product=BOOKS, method="POST", path="/x", result=Done, form="JSONString"
    )
    await zoho.call(bare)
    assert server.last.body == b"JSONString=%7B%7D"


# -- the rest of a reply ------------------------------------------------------------------------


async def test_a_reply_holds_the_rest_of_the_answer(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [
        web.json_response(
            {"code": 0, "message": "created", "invoice": {"invoice_id": "1"}, "warnings": [1.5]},
            status=201,
            headers={"Location": "/invoices/1"},
        )
    ]
    reply = await zoho.reply(
        zoho.books.invoices.create(
            InvoiceCreate(customer_id="7", line_items=[]), extra_query={"a": 1}
        )
    )
    assert isinstance(reply.value, Invoice)
    assert reply.value.invoice_id == "1"
    assert (reply.status, reply.code, reply.message) == (201, 0, "created")
    assert reply.headers["location"] == "/invoices/1"
    assert list(reply.extra) == ["warnings"]
    assert json.loads(reply.body)["warnings"] == [1.5]
    assert "created" in repr(reply)
    assert server.last.query["a"] == "1"


@pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter")
async def test_a_page_has_a_reply_too(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [done(invoices=[{"invoice_id": "1"}], page_context={"page": 1}, server="x")]
    reply = await zoho.reply(zoho.books.invoices.list(status="sent"))
    assert isinstance(reply.value, Page)
    assert reply.value.rows[0].invoice_id == "1"
    assert reply.extra == {"server": "x"}


async def test_a_call_that_is_not_bound_has_a_reply_too(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [done(invoice={"invoice_id": "1"}), done(settings={"a": 1})]
    assert (await zoho.reply(invoices.get(zoho, "1"))).value.invoice_id == "1"
    reply = await zoho.reply(zoho.request("GET", "/settings"))
    assert (reply.status, reply.message, reply.value["settings"]) == (200, "done", {"a": 1})
    assert reply.extra == {}


async def test_a_reply_leaves_errors_and_options_as_they_are(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [web.json_response({"code": 1002, "message": "gone"}, status=404)]
    with pytest.raises(NotFound):
        await zoho.reply(zoho.books.invoices.get("1"))
    server.answers = [done()]
    other = zoho.for_organization("20345678").with_options(lane="bulk")
    reply = await zoho.reply(other.books.invoices.mark_as_sent("1"))
    assert reply.value.message == "done"
    assert server.last.query["organization_id"] == "20345678"


async def test_replies_of_calls_at_the_same_time_do_not_mix(
    server: AnsweringServer, zoho: Session
) -> None:
    ids = [str(number) for number in range(20)]

    async def answer(request: web.Request) -> web.Response:
        one = request.path.rpartition("/")[2]
        return web.json_response({"code": 0, "message": one, "invoice": {"invoice_id": one}})

    server.answers = [answer]
    replies = await asyncio.gather(*(zoho.reply(zoho.books.invoices.get(one)) for one in ids))
    assert [reply.message for reply in replies] == ids
    assert [reply.value.invoice_id for reply in replies] == ids


async def test_a_reply_is_that_of_the_last_call(server: AnsweringServer, zoho: Session) -> None:
    server.answers = [
        web.json_response({"code": 0, "message": name, "invoice": {"invoice_id": "1"}})
        for name in ("first", "second", "third")
    ]

    async def three() -> str:
        await zoho.books.invoices.get("1")
        inner = await zoho.reply(zoho.books.invoices.get("1"))
        assert inner.message == "second"
        await asyncio.create_task(zoho.books.invoices.get("1"))
        return "all"

    reply = await zoho.reply(three())
    assert (reply.value, reply.message) == ("all", "third")


async def test_a_reply_within_a_reply_counts_for_both(
    server: AnsweringServer, zoho: Session
) -> None:
    server.answers = [done(invoice={"invoice_id": "1"})]
    reply = await zoho.reply(zoho.reply(zoho.books.invoices.get("1")))
    assert reply.message == reply.value.message == "done"


async def test_a_reply_without_a_call_is_a_type_error(
    server: AnsweringServer, zoho: Session
) -> None:
    async def idle() -> None:
        return None

    with pytest.raises(TypeError, match="no API call was made"):
        await zoho.reply(idle())
    server.answers = [done(invoice={"invoice_id": "1"})]
    with pytest.raises(TypeError, match="no API call was made"):
        await zoho.reply(asyncio.create_task(zoho.books.invoices.get("1")))
    with pytest.raises(TypeError, match="takes a call such as"):
        await zoho.reply(invoices.get)  # type: ignore[arg-type]  # the function, not its call


async def test_a_reply_that_never_starts_closes_its_call(zoho: Session) -> None:
    """Otherwise Python warns that the call was never awaited, and warnings are errors."""
    call = zoho.books.invoices.get("1")
    zoho.reply(call).close()
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
    task = asyncio.create_task(zoho.reply(zoho.books.invoices.get("1")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- other ways to the same products ------------------------------------------------------------


def session(server: AnsweringServer, *products: Product) -> Session:
    return Session(
        Credentials("a", "b", "c"),
        organization=7,
        api_url=server.url,
        accounts_url=server.url,
        ledger=MemoryLedger(),
        products=products,
    )


async def test_older_paths_versions_and_both_ways_to_name_the_organization(
    server: AnsweringServer,
) -> None:
    server.answers = [done(plans=[], items=[], page_context={})]
    async with session(server) as zoho:
        await plans.list(zoho)
        assert server.last.path == "/billing/v1/plans"
        assert server.last.headers["X-com-zoho-subscriptions-organizationid"] == "7"
        await items.list(zoho)
        assert (server.last.path, server.last.query["organization_id"]) == (
            "/invoice/v3/items",
            "7",
        )
    older = msgspec.structs.replace(INVOICE_BY_HEADER, base_path="/api/v3")
    async with session(server, SUBSCRIPTIONS, older) as zoho:
        await plans.list(zoho)
        assert server.last.path == "/subscriptions/v1/plans"
        await items.list(zoho)
        assert server.last.path == "/api/v3/items"
        assert server.last.headers["X-com-zoho-invoice-organizationid"] == "7"
        assert "organization_id" not in server.last.query
        await zoho.for_organization(8).request("GET", "/anything", product="billing")
        assert server.last.path == "/subscriptions/v1/anything"
    newer = msgspec.structs.replace(BILLING, base_path="/billing/v2", organization_query="org")
    async with session(server, newer) as zoho:
        await plans.list(zoho)
        assert (server.last.path, server.last.query["org"]) == ("/billing/v2/plans", "7")
        assert server.last.headers["X-com-zoho-subscriptions-organizationid"] == "7"


# -- large answers ------------------------------------------------------------------------------


async def test_an_answer_over_the_size_limit_is_fetched_once(
    server: AnsweringServer, zoho: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)
    server.answers = [done(text="x" * 400_000)]
    with pytest.raises(ReplyTooLong, match="longer than 1,000 bytes"):
        await zoho.request("GET", "/large")
    assert len(server.taken) == 1
