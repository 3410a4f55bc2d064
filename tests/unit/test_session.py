"""A session against mocked HTTP: tokens, retries, refusals and error messages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aioresponses import aioresponses

from zoho_async import Credentials, Limits, Session
from zoho_async.books import contacts
from zoho_async.errors import (
    AmbiguousWrite,
    Blocked,
    ConfigurationError,
    DailyQuotaExceeded,
    DecodeError,
    InvalidGrant,
    InvalidRequest,
    InvalidToken,
    MissingScope,
    NotConnected,
    ServerError,
    SessionClosed,
    UnreadableReply,
    WaitTooLong,
    ZohoError,
)
from zoho_async.events import Called, Event, Refreshed, Retried
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.operation import BOOKS, Operation
from zoho_async.wire import Done

ACCOUNTS = "https://accounts.zoho.com/oauth/v2/token"
ANYTHING = re.compile(r"https://www\.zohoapis\.com/books/v3/.*")
OK = {"code": 0, "message": "success"}
THING = Operation(
    name="books.things.get",
    product=BOOKS,
    method="GET",
    path="/things/{thing_id}",
    result=Done,
    key="thing",
)
#: Written as Zoho writes, without spaces, so that only the decoding finds out what is wrong.
CUT = b'{"code":0,"message":"success","thing":{"thing_id":"7","na'


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def zoho(credentials: Credentials, events: list[Event]) -> AsyncIterator[Session]:
    session = Session(
        credentials,
        organization="10234695",
        ledger=MemoryLedger(),
        observer=events.append,
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


def token(mocked: aioresponses, value: str = "1000.token", **more: Any) -> None:
    mocked.post(ACCOUNTS, payload={"access_token": value, "expires_in": 3600, **more})


def sent(mocked: aioresponses, method: str) -> list[Any]:
    return [
        call
        for (verb, url), calls in mocked.requests.items()
        if verb == method and url.host != "accounts.zoho.com"
        for call in calls
    ]


async def test_a_call_carries_the_token_and_the_organization(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload={**OK, "x": 1.10})
    reply = await zoho.request("GET", "/settings/preferences")
    assert str(reply["x"]) == "1.1"
    (call,) = sent(mocked, "GET")
    assert call.kwargs["headers"]["Authorization"] == "Zoho-oauthtoken 1000.token"
    assert call.kwargs["allow_redirects"] is False


async def test_secrets_go_to_the_accounts_server_in_the_body(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload=OK)
    await zoho.request("GET", "/x")
    urls = [str(url) for _, url in mocked.requests]
    assert not any("the-secret" in url or "1000." in url for url in urls)


async def test_many_calls_at_once_share_one_token(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload=OK, repeat=True)
    await asyncio.gather(*(zoho.request("GET", "/x") for _ in range(20)))
    assert len(sent(mocked, "GET")) == 20


async def test_a_dead_token_is_renewed_once_and_the_call_repeated(
    mocked: aioresponses, zoho: Session, events: list[Event]
) -> None:
    token(mocked, "old")
    token(mocked, "new")
    mocked.post(ANYTHING, status=401, payload={"code": 57, "message": "not authorized"})
    mocked.post(ANYTHING, payload=OK)
    await zoho.request("POST", "/x")
    assert [call.kwargs["headers"]["Authorization"] for call in sent(mocked, "POST")] == [
        "Zoho-oauthtoken old",
        "Zoho-oauthtoken new",
    ]
    assert sum(isinstance(event, Refreshed) for event in events) == 2


@pytest.mark.parametrize(("code", "kind"), [(57, MissingScope), (14, InvalidToken)])
async def test_a_fresh_token_that_is_refused_too_is_a_clear_error(
    mocked: aioresponses, zoho: Session, code: int, kind: type[ZohoError]
) -> None:
    token(mocked, "old")
    token(mocked, "new")
    mocked.get(ANYTHING, status=401, payload={"code": code, "message": "no"}, repeat=True)
    with pytest.raises(kind):
        await zoho.request("GET", "/x")
    assert len(sent(mocked, "GET")) == 2


async def test_a_wrong_refresh_token_says_what_to_do_and_sends_nothing(
    mocked: aioresponses, zoho: Session
) -> None:
    mocked.post(ACCOUNTS, payload={"error": "invalid_code"})
    with pytest.raises(InvalidGrant, match="ZOHO_REFRESH_TOKEN"):
        await zoho.request("GET", "/x")
    assert sent(mocked, "GET") == []


async def test_a_read_survives_temporary_faults(
    mocked: aioresponses, zoho: Session, events: list[Event]
) -> None:
    token(mocked)
    mocked.get(ANYTHING, status=502, body="<html>", content_type="text/html")
    mocked.get(ANYTHING, body="")
    mocked.get(ANYTHING, exception=aiohttp.ClientPayloadError("cut"))
    mocked.get(ANYTHING, payload={**OK, "x": []})
    assert (await zoho.request("GET", "/x"))["x"] == []
    assert [event.cause for event in events if isinstance(event, Retried)] == [
        "ServerError",
        "UnreadableReply",
        "ConnectionBroken",
    ]
    assert sum(isinstance(event, Called) for event in events) == 4


async def test_a_reply_without_its_value_is_an_error_that_names_the_call(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload=OK)
    with pytest.raises(UnreadableReply, match=r"GET /things/7 .*'thing'"):
        await zoho.call(THING, ids=[7])


@pytest.mark.parametrize("decode", [True, False])
async def test_a_read_whose_json_was_cut_is_tried_again(
    mocked: aioresponses, zoho: Session, events: list[Event], decode: bool
) -> None:
    token(mocked)
    mocked.get(ANYTHING, body=CUT)
    mocked.get(ANYTHING, body=b'{"code":0,"message":"success","thing":{"message":"7"}}')
    if decode:
        assert (await zoho.call(THING, ids=[7])).message == "7"
    else:
        assert (await zoho.request("GET", "/x"))["thing"] == {"message": "7"}
    assert [event.cause for event in events if isinstance(event, Retried)] == ["UnreadableReply"]
    assert (await zoho.snapshot()).in_flight == 0


@pytest.mark.parametrize("decode", [True, False])
async def test_a_write_whose_reply_was_cut_is_not_sent_again(
    mocked: aioresponses, zoho: Session, decode: bool
) -> None:
    token(mocked)
    mocked.post(ANYTHING, body=CUT, repeat=True)
    add = msgspec.structs.replace(THING, method="POST")
    with pytest.raises(AmbiguousWrite, match="UnreadableReply"):
        await (zoho.call(add, ids=[7]) if decode else zoho.request("POST", "/x"))
    assert len(sent(mocked, "POST")) == 1


async def test_a_complete_reply_without_its_value_is_not_tried_again(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, body=b'{"code":0,"message":"success"}', repeat=True)
    with pytest.raises(UnreadableReply, match=r"GET /things/7 .*'thing'"):
        await zoho.call(THING, ids=[7])
    assert len(sent(mocked, "GET")) == 1


async def test_a_read_is_given_up_after_four_tries(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    mocked.get(ANYTHING, status=503, payload={}, repeat=True)
    with pytest.raises(ServerError):
        await zoho.request("GET", "/x")
    assert len(sent(mocked, "GET")) == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 200])
async def test_a_write_that_may_have_happened_is_never_sent_again(
    mocked: aioresponses, zoho: Session, method: str, status: int
) -> None:
    token(mocked)
    mocked.add(ANYTHING, method, status=status, body="", repeat=True)
    with pytest.raises(AmbiguousWrite, match="not known whether"):
        await zoho.request(method, "/x")
    assert len(sent(mocked, method)) == 1


async def test_a_write_is_repeated_if_the_caller_allows_it(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.put(ANYTHING, status=503, payload={})
    mocked.put(ANYTHING, payload=OK)
    await zoho.with_options(retry_writes=True).request("PUT", "/x")


async def test_a_write_that_never_left_is_sent_again(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    key: Any = None
    mocked.post(ANYTHING, exception=aiohttp.ClientConnectorError(key, OSError("refused")))
    mocked.post(ANYTHING, payload=OK)
    await zoho.request("POST", "/x")


async def test_no_network_raises_not_connected(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    key: Any = None
    error = aiohttp.ClientConnectorError(key, OSError("refused"))
    mocked.get(ANYTHING, exception=error, repeat=True)
    with pytest.raises(NotConnected, match="check the network"):
        await zoho.request("GET", "/x")


async def test_a_wrong_value_is_not_tried_again(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    mocked.post(ANYTHING, status=400, payload={"code": 4, "message": "Invalid value for date"})
    with pytest.raises(InvalidRequest, match="Invalid value for date"):
        await zoho.request("POST", "/x")
    assert len(sent(mocked, "POST")) == 1


async def test_after_a_block_nothing_is_sent(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    mocked.get(
        ANYTHING,
        status=429,
        payload={"code": 44, "message": "wait"},
        headers={"Retry-After": "900"},
    )
    with pytest.raises(WaitTooLong) as caught:
        await zoho.request("GET", "/x")
    assert isinstance(caught.value.__cause__, Blocked)
    assert str(caught.value).startswith("GET /x (organization 10234695): waiting for the end of")
    assert caught.value.seconds > 800
    with pytest.raises(WaitTooLong):
        await zoho.request("GET", "/x")
    assert len(sent(mocked, "GET")) == 1


async def test_a_block_of_one_organization_does_not_stop_another(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, status=429, payload={"code": 44, "message": "wait"})
    mocked.get(ANYTHING, payload=OK, repeat=True)
    with pytest.raises(WaitTooLong):
        await zoho.request("GET", "/x")
    await zoho.for_organization("20345678").request("GET", "/x")


async def test_after_the_days_quota_nothing_is_sent(mocked: aioresponses, zoho: Session) -> None:
    token(mocked)
    mocked.get(
        ANYTHING,
        status=429,
        payload={"code": "45", "message": "1,000"},
        headers={"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1124"},
    )
    with pytest.raises(DailyQuotaExceeded) as caught:
        await zoho.request("GET", "/x")
    assert caught.value.reset_at is not None
    with pytest.raises(DailyQuotaExceeded):
        await zoho.with_options(lane="bulk", max_wait=None).request("GET", "/x")
    assert len(sent(mocked, "GET")) == 1


async def test_the_token_names_the_api_host_only_from_the_table(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked, api_domain="https://evil.example")
    mocked.get(ANYTHING, payload=OK)
    await zoho.request("GET", "/x")
    assert zoho.api_url == "https://www.zohoapis.com"


async def test_the_token_of_another_data_center_moves_the_calls_there(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked, api_domain="https://www.zohoapis.eu")
    mocked.get(re.compile(r"https://www\.zohoapis\.eu/.*"), payload=OK)
    await zoho.request("GET", "/x")
    assert zoho.api_url == "https://www.zohoapis.eu"


async def test_cancelled_calls_block_no_other_call_and_are_counted_once(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload=OK)
    await zoho.request("GET", "/x")
    flying = 0
    full = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        nonlocal flying
        flying += 1
        if flying == 10:
            full.set()
        await asyncio.Event().wait()

    mocked.delete(ANYTHING, callback=never, repeat=True)
    calls = [asyncio.create_task(zoho.request("DELETE", "/x")) for _ in range(30)]
    await full.wait()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    snapshot = await zoho.snapshot()
    assert sum(snapshot.waiting.values()) == 0
    assert snapshot.minute_used == 11
    mocked.get(ANYTHING, payload=OK)
    await zoho.request("GET", "/x")
    assert (await zoho.snapshot()).minute_used == 12


class _FullDisk(MemoryLedger):
    """A ledger that can be read but no longer written."""

    @property
    def immediate(self) -> None:
        """None: it waits, as a file does."""

    async def settle(self, *_: object, **__: object) -> float:
        raise ConfigurationError("the disk is full")


async def test_a_failing_ledger_does_not_lose_an_answer(
    mocked: aioresponses, credentials: Credentials
) -> None:
    token(mocked)
    mocked.post(ANYTHING, payload={**OK, "x": 1})
    async with Session(credentials, ledger=_FullDisk()) as zoho:
        assert (await zoho.request("POST", "/x"))["x"] == 1


async def test_a_closed_session_says_so_and_leaves_no_task(
    mocked: aioresponses, credentials: Credentials
) -> None:
    before = asyncio.all_tasks()
    session = Session(credentials, ledger=MemoryLedger())
    token(mocked)
    mocked.get(ANYTHING, payload=OK, repeat=True)
    await session.request("GET", "/x")
    work = session.start(asyncio.sleep(3600), name="test")
    await session.aclose()
    await session.aclose()
    assert work.cancelled()
    assert asyncio.all_tasks() == before
    with pytest.raises(SessionClosed):
        await session.request("GET", "/x")


async def test_a_view_shares_the_account_and_does_not_close_it(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    mocked.get(ANYTHING, payload=OK, repeat=True)
    async with zoho.with_options(lane="bulk") as view:
        await view.request("GET", "/x")
    await zoho.request("GET", "/x")


async def test_no_secret_is_in_any_text_about_a_session(zoho: Session) -> None:
    text = repr(zoho) + repr(zoho.__dict__)
    assert "the-secret" not in text
    assert "1000.refresh" not in text


_ENV = {
    "ZOHO_CLIENT_ID": "1000.C",
    "ZOHO_CLIENT_SECRET": "s",
    "ZOHO_REFRESH_TOKEN": "1000.r",
    "ZOHO_ORGANIZATION_ID": "10234695",
}


async def test_a_session_is_created_from_the_environment() -> None:
    async with Session.from_env({**_ENV, "ZOHO_REGION": "IN"}) as zoho:
        assert zoho.organization == "10234695"
        assert zoho.api_url == "https://www.zohoapis.in"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ZOHO_CLIENT_SECRET": "", "ZOHO_REFRESH_TOKEN": ""}, "ZOHO_CLIENT_SECRET, ZOHO_REFRESH"),
        ({"ZOHO_REGION": "mars"}, "unknown region 'mars'"),
        ({"ZOHO_REGION": "uk"}, "ZOHO_BASE_URL"),
        ({"ZOHO_ORGANIZATION_ID": "acme"}, "must be a number such as 10234695, got 'acme'"),
        ({"ZOHO_BASE_URL": "http://zoho.example"}, "must be https"),
    ],
)
def test_a_wrong_environment_raises_before_anything_is_sent(
    changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Session.from_env({**_ENV, **changes})


def test_limits_are_the_callers() -> None:
    session = Session(Credentials("a", "b", "c"), limits=Limits(limit=50))
    assert session.limits.limit == 50


# -- answers about another record, or under another key -------------------------------------------

CONTACT = "460000000026049"


def answered(mocked: aioresponses, method: str, **members: Any) -> None:
    body = msgspec.json.encode({**OK, **members})
    mocked.add(ANYTHING, method=method, body=body, repeat=False)


async def test_a_read_answered_with_another_record_is_tried_again(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    answered(mocked, "GET", contact={"contact_id": "460000000026051"})
    answered(mocked, "GET", contact={"contact_id": CONTACT})
    assert (await contacts.get(zoho, CONTACT)).contact_id == CONTACT


async def test_a_write_answered_by_another_record_is_ambiguous(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    answered(mocked, "PUT", contact={"contact_id": "460000000026051"})
    with pytest.raises(AmbiguousWrite):
        await contacts.update(zoho, CONTACT, contacts.ContactInput(notes="x"))
    assert len(sent(mocked, "PUT")) == 1


async def test_a_record_under_another_key_is_read_by_its_id(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    answered(mocked, "GET", customer={"contact_id": CONTACT})
    assert (await contacts.get(zoho, CONTACT)).contact_id == CONTACT
    assert dict(zoho.decoder.drift) == {("Contact", ""): 1}


async def test_a_create_whose_record_cannot_be_identified_is_ambiguous(
    mocked: aioresponses, zoho: Session
) -> None:
    token(mocked)
    answered(mocked, "POST", customer={"contact_id": CONTACT})
    with pytest.raises(AmbiguousWrite, match="not known whether it took effect") as caught:
        await contacts.create(zoho, contacts.ContactCreate(contact_name="Kim"))
    assert isinstance(caught.value.__cause__, UnreadableReply)
    assert len(sent(mocked, "POST")) == 1


async def test_a_write_whose_reply_is_too_strange_for_strict_is_ambiguous(
    mocked: aioresponses, credentials: Credentials
) -> None:
    """The write happened, and a `DecodeError` would say that it did not."""
    token(mocked)
    answered(mocked, "PUT", contact={"contact_id": CONTACT, "payment_terms": "soon"})
    answered(mocked, "GET", contact={"contact_id": CONTACT, "payment_terms": "soon"})
    async with Session(credentials, organization=1, ledger=MemoryLedger(), strict=True) as zoho:
        with pytest.raises(AmbiguousWrite, match="HTTP 200"):
            await contacts.update(zoho, CONTACT, contacts.ContactInput(notes="x"))
        with pytest.raises(DecodeError):
            await contacts.get(zoho, CONTACT)


def test_a_second_event_loop_gets_a_clear_error(credentials: Credentials) -> None:
    made: list[Session] = []

    async def first() -> None:
        made.append(Session(credentials, organization=1, ledger=MemoryLedger()))
        await made[0].snapshot()

    async def second() -> None:
        for call in (made[0].snapshot(), made[0].request("GET", "/x")):
            with pytest.raises(ConfigurationError, match="belongs to another event loop"):
                await call

    asyncio.run(first())
    asyncio.run(second())
