"""A session against the sandbox: what arrives at a server that behaves as Zoho does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from zoho_async import Credentials, Session
from zoho_async.errors import AmbiguousWrite, ConnectionBroken, NotFound, OrganizationError
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Fault, Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sizes = {"books.contacts": 30}
    async with Sandbox(sizes=sizes, organizations=["20345678"]) as box:
        yield box


@pytest.fixture
async def zoho(sandbox: Sandbox) -> AsyncIterator[Session]:
    """A session that is opened and closed in fixture code, as users' own tests do."""
    session = Session(
        Credentials.from_env(sandbox.environment()),
        organization=sandbox.organization,
        api_url=sandbox.url,
        accounts_url=sandbox.accounts_url,
        ledger=MemoryLedger(),
        retry=Policy(base=0.0),
    )
    async with session:
        yield session


async def test_a_session_works_as_a_fixture(zoho: Session) -> None:
    reply = await zoho.request("GET", "/contacts", query={"per_page": 5})
    assert len(reply["contacts"]) == 5


async def test_a_hundred_concurrent_calls_request_one_token(sandbox: Sandbox) -> None:
    async with Session.from_env(sandbox.environment(), ledger=MemoryLedger()) as zoho:
        await asyncio.gather(*(zoho.request("GET", "/contacts") for _ in range(50)))
    assert sandbox.token_requests == 1
    assert sandbox.most_in_flight <= 10
    assert sandbox.refused == 0


async def test_a_revoked_token_costs_one_more_request(sandbox: Sandbox, zoho: Session) -> None:
    await zoho.request("GET", "/contacts")
    sandbox.revoke_tokens()
    await zoho.request("GET", "/contacts")
    assert sandbox.token_requests == 2
    assert [arrival.status for arrival in sandbox.arrivals] == [200, 401, 200]


async def test_a_short_lived_token_is_renewed_before_it_ends() -> None:
    async with Sandbox(token_life=4.0) as sandbox:
        sandbox.tokens.per_window = 100
        async with Session.from_env(sandbox.environment(), ledger=MemoryLedger()) as zoho:
            for _ in range(5):
                await zoho.request("GET", "/contacts")
        assert {arrival.status for arrival in sandbox.arrivals} == {200}


async def test_an_organization_of_another_user_raises(sandbox: Sandbox, zoho: Session) -> None:
    with pytest.raises(OrganizationError, match="6041"):
        await zoho.for_organization("99999999").request("GET", "/contacts")


async def test_several_organizations_without_a_name_raise(sandbox: Sandbox) -> None:
    environment = sandbox.environment() | {"ZOHO_ORGANIZATION_ID": ""}
    async with Session.from_env(environment, ledger=MemoryLedger()) as zoho:
        with pytest.raises(OrganizationError, match="6024"):
            await zoho.request("GET", "/contacts")


async def test_a_missing_record_raises_not_found(zoho: Session) -> None:
    with pytest.raises(NotFound, match="1002"):
        await zoho.request("GET", "/contacts/460000000000000001")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_dropped_connection_counts_one_arrival_a_try(
    sandbox: Sandbox, zoho: Session, method: str
) -> None:
    await zoho.request("GET", "/contacts")  # so that the connection is a kept-alive one
    before = sandbox.calls
    sandbox.faults.append(Fault(kind="drop", method=method, times=1000))
    with pytest.raises(ConnectionBroken if method == "GET" else AmbiguousWrite):
        await zoho.request(method, "/contacts/460000000000000001")
    assert sandbox.calls - before == (4 if method == "GET" else 1)


async def test_a_closed_session_leaves_nothing_open(sandbox: Sandbox) -> None:
    before = asyncio.all_tasks()
    async with Session.from_env(sandbox.environment(), ledger=MemoryLedger()) as zoho:
        await zoho.request("GET", "/contacts")
        waiting = asyncio.create_task(zoho.request("GET", "/contacts"))
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gc.collect()
    own = {task for task in asyncio.all_tasks() - before if "zoho_async" in task.get_name()}
    assert own == set()
