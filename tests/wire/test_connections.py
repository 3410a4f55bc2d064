"""Waiting for a connection is not a failure, and every connection is released."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from zoho_async import Session
from zoho_async.books import invoices
from zoho_async.errors import NotConnected, ZohoError
from zoho_async.http import client, transport
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.sandbox.simulation.faults import FaultKind

ORGANIZATIONS = [str(20_000_000 + number) for number in range(12)]
SIZES = {"contacts": 5, "invoices": 5}
BROKEN: tuple[FaultKind, ...] = (
    *("drop", "drop_undone", "reset", "broken_body", "cut", "empty", "html", "status", "bad_gzip"),
    *("redirect", "dead_token", "slow", "silent"),
)


@asynccontextmanager
async def session(box: Sandbox, connections: int) -> AsyncIterator[Session]:
    async with (
        aiohttp.TCPConnector(limit=connections) as connector,
        Session.from_env(
            box.environment(),
            http=connector,
            ledger=MemoryLedger(),
            retry=Policy(tries=1),  # what fails fails at once
        ) as zoho,
    ):
        yield zoho


def free(zoho: Session) -> int:
    open_now = zoho._core.client._transport
    assert open_now is not None
    return open_now._free.value


async def test_waiting_for_a_connection_is_not_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(total: float | None, read: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total, connect=0.3, sock_read=read)

    async with (
        Sandbox(organizations=ORGANIZATIONS[:6], latency=0.4, sizes=SIZES) as box,
        session(box, 2) as zoho,
    ):
        await zoho.for_organization(ORGANIZATIONS[0]).request("GET", "/contacts")
        monkeypatch.setattr(transport, "_timeout", hasty)
        await asyncio.gather(
            *(zoho.for_organization(one).request("GET", "/contacts") for one in ORGANIZATIONS[:6])
        )
        assert box.calls == 7
        assert free(zoho) == 2


async def test_a_connection_is_released_however_its_call_ends() -> None:
    async with Sandbox(sizes={"invoices": 5}) as box, session(box, 3) as zoho:
        row = (await invoices.list(zoho)).rows[0]
        patient = zoho.with_options(timeout=0.05)
        for kind in BROKEN:
            box.faults[:] = [Fault(kind=kind, path="*/invoices*", seconds=0.2)]
            with suppress(ZohoError):
                await invoices.get(patient, row.invoice_id)
            box.faults[:] = [Fault(kind=kind, path="*/invoices*", seconds=0.2)]
            with suppress(ZohoError):
                await invoices.get_pdf(patient, row.invoice_id).read()
            assert free(zoho) == 3, kind
        box.faults[:] = [Fault(kind="silent", path="*", seconds=0.2, times=None)]
        for turns in range(12):
            waiting = [asyncio.create_task(invoices.get(zoho, row.invoice_id)) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert free(zoho) == 3, turns


async def test_a_call_without_a_connection_releases_its_slot_and_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_CONNECTION_SOON", 0.01)
    async with Sandbox(sizes={"invoices": 5}) as box, session(box, 1) as zoho:
        row = (await invoices.list(zoho)).rows[0]
        async with invoices.get_pdf(zoho, row.invoice_id).open() as document:
            with pytest.raises(NotConnected, match="all 1 connections are in use"):
                await invoices.get(zoho.with_options(max_wait=0.05), row.invoice_id)
            assert (await zoho.snapshot()).in_flight == 1
            later = asyncio.create_task(invoices.get(zoho, row.invoice_id))
            async for _ in document:
                pass
        assert (await later).invoice_id == row.invoice_id
        assert free(zoho) == 1


@pytest.mark.parametrize(
    ("limits", "most"), [((5, 2), 2), ((2, 5), 2), ((0, 3), 3), ((4, 0), 4), ((0, 0), sys.maxsize)]
)
async def test_a_connectors_limit_per_host_counts(limits: tuple[int, int], most: int) -> None:
    """A call that holds a slot must not wait within aiohttp, whichever limit is smaller."""
    both, per_host = limits
    async with aiohttp.TCPConnector(limit=both, limit_per_host=per_host) as connector:
        one = transport.Transport(connector, user_agent="test")
        assert one.connections == most
        await one.close()


async def test_calls_beyond_the_limit_per_host_wait_without_a_failure() -> None:
    async with (
        Sandbox(organizations=ORGANIZATIONS, latency=0.05, sizes=SIZES) as box,
        aiohttp.TCPConnector(limit=50, limit_per_host=1) as connector,
        Session.from_env(
            box.environment(),
            http=connector,
            ledger=MemoryLedger(),
            retry=Policy(tries=1),  # what fails fails at once
        ) as zoho,
    ):
        await asyncio.gather(
            *(zoho.for_organization(one).request("GET", "/contacts") for one in ORGANIZATIONS)
        )
        assert box.calls == len(ORGANIZATIONS)
        assert free(zoho) == 1
