"""A session behind a proxy that is slow, narrow, cut off or dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from zoho_async import Credentials, Session
from zoho_async.books import contacts
from zoho_async.books.contacts import ContactCreate
from zoho_async.errors import AmbiguousWrite, CallTimeout, ConnectionBroken, NotConnected
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Proxy, Sandbox


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(sizes={"contacts": 40}) as box:
        yield box


@pytest.fixture
async def line(box: Sandbox) -> AsyncIterator[Proxy]:
    async with Proxy(box.url) as line:
        yield line


@pytest.fixture
async def zoho(box: Sandbox, line: Proxy) -> AsyncIterator[Session]:
    async with session(box, line) as one:
        yield one


def session(box: Sandbox, line: Proxy) -> Session:
    """A session whose API calls go through the proxy. Token requests do not."""
    return Session(
        Credentials.from_env(box.environment()),
        organization=box.organization,
        api_url=line.url,
        accounts_url=box.accounts_url,
        ledger=MemoryLedger(),
        retry=Policy(base=0.0),
    )


async def names(zoho: Session) -> list[str]:
    return [str(row.contact_id) async for row in contacts.list(zoho, per_page=10)]


async def test_a_plain_proxy_changes_nothing(box: Sandbox, line: Proxy, zoho: Session) -> None:
    assert len(await names(zoho)) == 40
    assert line.connections >= 1
    assert 0 < line.bytes_up < line.bytes_down


async def test_a_slow_and_narrow_proxy_loses_nothing(line: Proxy, zoho: Session) -> None:
    line.latency, line.bandwidth = 0.02, 200_000.0
    began = time.monotonic()
    assert len(await names(zoho)) == 40
    # every byte down passed at the bandwidth, over two connections at least one after another
    assert time.monotonic() - began > 0.04


async def test_a_read_whose_reply_is_cut_off_is_retried_and_then_fails(
    box: Sandbox, line: Proxy, zoho: Session
) -> None:
    line.cut_down = 300
    with pytest.raises(ConnectionBroken):
        await zoho.request("GET", "/contacts")
    assert box.calls == 4
    line.cut_down = None
    assert len((await zoho.request("GET", "/contacts"))["contacts"]) == 40


async def test_a_write_whose_reply_is_cut_off_is_ambiguous_and_happened_once(
    box: Sandbox, line: Proxy, zoho: Session
) -> None:
    await zoho.request("GET", "/contacts")
    line.cut_down = 10
    with pytest.raises(AmbiguousWrite):
        await contacts.create(zoho, ContactCreate(contact_name="Only Once"))
    assert len(box.truth("contacts")) == 41


async def test_a_write_whose_request_is_cut_off_did_not_happen(
    box: Sandbox, line: Proxy, zoho: Session
) -> None:
    line.cut_up = 30
    with pytest.raises(AmbiguousWrite):
        await contacts.create(zoho, ContactCreate(contact_name="Never"))
    assert len(box.truth("contacts")) == 40


async def test_a_blackhole_is_a_timeout(box: Sandbox, line: Proxy, zoho: Session) -> None:
    line.blackhole = True
    with pytest.raises(CallTimeout):
        await zoho.with_options(timeout=0.1).request("GET", "/contacts")
    assert box.calls == 0


async def test_open_connections_can_be_cut_at_any_moment(
    box: Sandbox, line: Proxy, zoho: Session
) -> None:
    box.latency = {"/books/*": 30.0}
    waiting = asyncio.create_task(zoho.request("POST", "/contacts", body={"contact_name": "X"}))
    await box.arrived(1)
    line.cut()
    with pytest.raises(AmbiguousWrite):
        await waiting


async def test_a_missing_server_breaks_the_connection_and_a_closed_proxy_accepts_none(
    box: Sandbox,
) -> None:
    async with Proxy("http://127.0.0.1:1") as nowhere, session(box, nowhere) as other:
        with pytest.raises(ConnectionBroken):
            await other.request("GET", "/contacts")
    async with session(box, nowhere) as other:
        with pytest.raises(NotConnected):
            await other.request("GET", "/contacts")


def test_a_target_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        Proxy("http://127.0.0.1")
