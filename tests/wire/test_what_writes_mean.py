"""A write's answer, from the server to the exception: what was done is never said to be undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from zoho_async import Credentials, Session
from zoho_async.books import contacts
from zoho_async.books.contacts import ContactCreate
from zoho_async.errors import (
    AmbiguousWrite,
    ConnectionBroken,
    InvalidRequest,
    NotFound,
    ReplyError,
    Request,
    ServerError,
    ZohoError,
)
from zoho_async.http.retry import Policy
from zoho_async.http.transport import Answer
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox

NEW = ContactCreate(contact_name="Only Once")


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(sizes={"contacts": 5}, per_minute=10_000) as box:
        yield box


@pytest.fixture
async def zoho(box: Sandbox) -> AsyncIterator[Session]:
    session = Session(
        Credentials.from_env(box.environment()),
        organization=box.organization,
        api_url=box.url,
        accounts_url=box.accounts_url,
        limits=Limits(limit=10_000, burst=10_000),
        ledger=MemoryLedger(),
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits before other tries, which take no time."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", sleep)
    return waited


def made(box: Sandbox) -> int:
    return sum(b"Only Once" in row for row in box.truth("contacts"))


@pytest.mark.parametrize(
    ("fault", "status", "code", "done"),
    [
        (Fault(kind="status"), 500, 1000, 0),
        (Fault(kind="status_done"), 500, 1000, 1),
        (Fault(kind="status_done", status=503), 503, 1000, 1),
        (Fault(kind="status_done", status=408), 408, 1000, 1),
        (Fault(kind="status_done", status=499), 499, 1000, 1),
        (Fault(kind="status_html_done"), 502, None, 1),
        (Fault(kind="status_html_done", status=404), 404, None, 1),
        (Fault(kind="status_html_done", status=429), 429, None, 1),
        (Fault(kind="status_html_done", status=401), 401, None, 1),
        (Fault(kind="code", status=500, code=9999), 500, 9999, 0),
        (Fault(kind="code", status=500, code=44), 500, 44, 0),
        (Fault(kind="code", status=503, code=57), 503, 57, 0),
        (Fault(kind="code", status=400, code=-1), 400, -1, 0),
        (Fault(kind="redirect"), 302, None, 0),
        (Fault(kind="empty"), 201, None, 1),
        (Fault(kind="cut"), 201, None, 1),
        (Fault(kind="html"), 200, None, 1),
        (Fault(kind="cut_gzip"), 201, None, 1),
        (Fault(kind="bad_gzip"), 201, None, 1),
    ],
)
async def test_a_write_that_may_have_run_is_ambiguous_and_sent_once(
    box: Sandbox, zoho: Session, fault: Fault, status: int, code: int | None, done: int
) -> None:
    await contacts.list(zoho)
    before = box.calls
    fault.method, fault.times = "POST", None
    box.faults.append(fault)
    with pytest.raises(AmbiguousWrite) as caught:
        await contacts.create(zoho, NEW)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert (caught.value.method, caught.value.path) == ("POST", "/contacts")
    assert caught.value.organization == box.organization
    assert made(box) == done
    assert box.calls == before + 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="code", status=400, code=4), InvalidRequest),
        (Fault(kind="code", status=404, code=1002), NotFound),
        (Fault(kind="code", status=200, code=9004), ReplyError),
        (Fault(kind="code", status=200, code="error", message="It is wrong"), ReplyError),
        (Fault(kind="code", status=500, code=3062), ServerError),
        (Fault(kind="status", status=501), ServerError),
        (Fault(kind="status_html", status=505), ServerError),
        (Fault(kind="status_html", status=521), ServerError),
        (Fault(kind="status_html", status=523), ServerError),
        (Fault(kind="status_html", status=525), ServerError),
        (Fault(kind="status_html", status=526), ServerError),
    ],
)
async def test_a_write_that_did_not_run_is_an_error_and_sent_once(
    box: Sandbox, zoho: Session, fault: Fault, kind: type[ZohoError]
) -> None:
    await contacts.list(zoho)
    before = box.calls
    fault.method, fault.times = "POST", None
    box.faults.append(fault)
    with pytest.raises(kind) as caught:
        await contacts.create(zoho, NEW)
    assert not isinstance(caught.value, AmbiguousWrite)
    if fault.message:
        assert fault.message in str(caught.value)
    assert made(box) == 0
    assert box.calls == before + 1


async def test_a_delete_that_is_answered_without_content_is_done(
    box: Sandbox, zoho: Session
) -> None:
    new = await contacts.create(zoho, NEW)
    assert new.contact_id
    box.faults.append(Fault(kind="no_content", method="DELETE"))
    done = await contacts.delete(zoho, new.contact_id)
    assert done.message == ""
    assert made(box) == 0


async def test_a_repeated_write_tells_of_the_try_that_may_have_run(
    box: Sandbox, zoho: Session
) -> None:
    box.faults += [
        Fault(kind="status_done", method="POST"),
        Fault(kind="code", method="POST", status=400, code=3062),
    ]
    with pytest.raises(AmbiguousWrite) as caught:
        await contacts.create(zoho.with_options(retry_writes=True), NEW)
    assert isinstance(caught.value.__cause__, InvalidRequest)
    assert made(box) == 1


async def test_a_repeated_write_is_ambiguous_when_its_tries_are_used_up(
    box: Sandbox, zoho: Session
) -> None:
    box.faults.append(Fault(kind="status_html", method="POST", times=None))
    with pytest.raises(AmbiguousWrite) as caught:
        await contacts.create(zoho.with_options(retry_writes=True), NEW)
    assert caught.value.status == 502
    assert box.faults[0].hits == 4


async def test_a_reply_after_a_byte_order_mark_is_read_and_read_again(
    box: Sandbox, zoho: Session
) -> None:
    box.faults.append(Fault(kind="byte_order_mark", times=None))
    reply = await zoho.reply(zoho.books.contacts.create(NEW))
    assert reply.value.contact_name == "Only Once"
    assert reply.code == 0
    assert isinstance(reply.value.extra, dict)
    assert isinstance(await zoho.request("GET", "/contacts"), dict)
    assert [row async for row in contacts.list(zoho)][-1].contact_id


async def test_a_read_waits_as_long_as_the_server_asks(
    box: Sandbox, zoho: Session, waits: list[float]
) -> None:
    box.faults.append(Fault(kind="status", status=503, retry_after=7))
    assert len((await contacts.list(zoho)).rows) == 5
    assert [wait for wait in waits if wait] == [7.0]


async def test_a_wait_that_the_caller_does_not_allow_is_the_error_at_once(
    box: Sandbox, zoho: Session, waits: list[float]
) -> None:
    box.faults.append(Fault(kind="status", status=503, retry_after=61, times=None))
    with pytest.raises(ServerError) as caught:
        await contacts.list(zoho)
    assert caught.value.retry_after == 61
    assert "longer than max_wait" in caught.value.__notes__[0]
    assert box.faults[0].hits == 1
    assert not any(waits)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 522, 524, 529, 408, 499])
async def test_a_read_outlives_a_passing_status(box: Sandbox, zoho: Session, status: int) -> None:
    box.faults.append(Fault(kind="status_html", status=status, times=3))
    assert len((await contacts.list(zoho)).rows) == 5
    assert box.faults[0].hits == 3


@pytest.mark.parametrize("status", [501, 505, 507, 530])
async def test_a_read_is_not_repeated_for_a_lasting_status(
    box: Sandbox, zoho: Session, status: int
) -> None:
    box.faults.append(Fault(kind="status_html", status=status, times=None))
    with pytest.raises(ServerError):
        await contacts.list(zoho)
    assert box.faults[0].hits == 1


async def test_a_stray_reply_is_never_the_answer_to_a_later_call(
    box: Sandbox, zoho: Session
) -> None:
    rows = (await contacts.list(zoho)).rows
    box.faults.append(Fault(kind="stray", times=None))
    for row in rows:
        assert row.contact_id
        assert (await contacts.get(zoho, row.contact_id)).contact_id == row.contact_id


class Broken:
    """An answer whose head came, and whose body breaks off."""

    headers: Mapping[str, str] = {}

    def __init__(self, status: int) -> None:
        self.status = status

    async def read(self) -> Answer:
        raise ConnectionBroken(Request("GET", "/x"), "the connection broke")


async def test_a_refusal_is_heard_whatever_becomes_of_its_text(zoho: Session) -> None:
    read: Any = zoho._core.client._sender._read
    assert (await read(Broken(429))).status == 429
    with pytest.raises(ConnectionBroken):
        await read(Broken(200))
