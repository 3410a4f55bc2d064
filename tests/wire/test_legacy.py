"""Programs of 2010 find what they had: authtokens, XML, all pages. Today's limits apply too."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest

from zoho_async.auth import AccountsServer
from zoho_async.errors import (
    ConfigurationError,
    InvalidToken,
    LimitError,
    NotFound,
    UnreadableReply,
)
from zoho_async.events import Called, Event
from zoho_async.http.retry import Policy
from zoho_async.legacy import (
    AuthToken,
    AuthTokenRefused,
    Legacy,
    PageNames,
    browser_url,
    create_authtoken,
    read_authtoken,
)
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.sandbox.legacy import APIKEY, AUTHTOKEN, EMAIL, PASSWORD

PROOF = AuthToken(AUTHTOKEN, APIKEY)


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    async with Sandbox(sizes={"books.items": 1_050}) as sandbox:
        yield sandbox


def legacy(sandbox: Sandbox, proof: AuthToken = PROOF, **options: object) -> Legacy:
    options.setdefault("ledger", MemoryLedger())
    return Legacy(proof, api_url=sandbox.url, **options)  # type: ignore[arg-type]  # passed on


async def test_every_item_comes_once_with_exact_money(sandbox: Sandbox) -> None:
    events: list[Event] = []
    async with legacy(sandbox, observer=events.append) as zoho:
        rows = [item async for item in zoho.items()]
    truth = [json.loads(row, parse_float=Decimal) for row in sandbox.truth("items")]
    assert [(row.item_id, row.name, row.rate) for row in rows] == [
        (row["item_id"], row["name"], row["rate"]) for row in truth
    ]
    assert sandbox.calls == 6  # the totals plan all pages: none is read past the end
    calls = [event for event in events if isinstance(event, Called)]
    assert [call.path for call in calls] == ["/items/"] * 6
    assert not any(AUTHTOKEN in repr(event) or APIKEY in repr(event) for event in events)


async def test_awaited_a_list_is_one_page_with_its_totals(sandbox: Sandbox) -> None:
    async with legacy(sandbox) as zoho:
        page = await zoho.items()
    assert len(page.rows) == 200
    assert page.context is not None
    assert (page.context.total, page.context.total_pages) == (1_050, 6)
    assert page.rows[0].tax2_percentage is None


async def test_any_method_can_be_called(sandbox: Sandbox) -> None:
    async with legacy(sandbox) as zoho:
        reply = await zoho.request("GET", "/items/", {"per_page": 3})
        assert [row["uri"] for row in reply["Items"]] == [
            f"/api/items/{row['ItemID']}" for row in reply["Items"]
        ]
        with pytest.raises(NotFound):
            await zoho.request("POST", "/invoices/create", {"XMLString": "<Invoice/>"})
        for method, path in [("DELETE", "/items/"), ("GET", "items"), ("GET", "/items/?a=b")]:
            with pytest.raises(ConfigurationError):
                await zoho.request(method, path)


async def test_the_fields_of_a_post_are_not_in_the_url(sandbox: Sandbox) -> None:
    async with legacy(sandbox) as zoho:
        with pytest.raises(NotFound):
            await zoho.request("POST", "/invoices/create", {"XMLString": "<Invoice/>"})
    assert sandbox.arrivals[-1].query == {}


async def test_a_wrong_authtoken_is_sent_once_and_not_repeated(sandbox: Sandbox) -> None:
    wrong = AuthToken("not-the-authtoken", APIKEY)
    async with legacy(sandbox, wrong) as zoho:
        with pytest.raises(InvalidToken) as raised:
            await zoho.items()
    assert raised.value.code == 14
    assert "Invalid Ticket Passed" in str(raised.value)
    for text in (str(raised.value), repr(raised.value), repr(wrong), repr(zoho)):
        assert "not-the-authtoken" not in text
        assert APIKEY not in text
    assert sandbox.calls == 1


async def test_faults_lose_no_row(sandbox: Sandbox) -> None:
    sandbox.faults += [
        Fault(kind="status_html", path="/api/*", status=502, after=1),
        Fault(kind="cut", path="/api/*", after=2),
    ]
    async with legacy(sandbox, retry=Policy(base=0.001, cap=0.002)) as zoho:
        rows = [item.item_id async for item in zoho.items()]
    assert rows == [json.loads(row)["item_id"] for row in sandbox.truth("items")]


async def test_legacy_calls_count_against_the_same_limits(sandbox: Sandbox) -> None:
    sandbox.limits.per_minute = 2
    async with legacy(sandbox, limits=Limits(limit=90, burst=90)) as zoho:
        await zoho.items()
        await zoho.items()
        with pytest.raises(LimitError):
            await zoho.items()


async def test_a_wrong_page_parameter_does_not_shorten_a_list(sandbox: Sandbox) -> None:
    async with legacy(sandbox, pages=PageNames("Page", "Per_Page")) as zoho:
        with pytest.raises(UnreadableReply, match="requested page 2 but got page 1"):
            [item async for item in zoho.items()]


async def test_an_authtoken_is_fetched_with_e_mail_and_password(sandbox: Sandbox) -> None:
    async with AccountsServer(url=sandbox.url) as server:
        assert await create_authtoken(server, EMAIL, PASSWORD) == AUTHTOKEN
        with pytest.raises(AuthTokenRefused) as raised:
            await create_authtoken(server, EMAIL, "wrong-password")
    assert raised.value.cause == "INVALID_PASSWORD"
    assert "wrong-password" not in str(raised.value)


def test_the_answer_of_either_mode_is_read() -> None:
    stamp = "#\n#Tue Nov 30 13:08:11 PST 2010\n"
    assert read_authtoken(f"{stamp}AUTHTOKEN=a8b6de\nRESULT=TRUE\n") == "a8b6de"
    with pytest.raises(AuthTokenRefused, match="no cause"):
        read_authtoken(f"{stamp}AUTHTOKEN=null\nRESULT=FALSE\n")
    assert browser_url("us").startswith("https://accounts.zoho.com/apiauthtoken/create?SCOPE=")


def test_a_host_that_no_document_names_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="api_url"):
        Legacy(PROOF, region_name="eu")
    assert "invoice.zoho.com" in repr(Legacy(PROOF))
