"""A page of 200 invoices from the sandbox: from bytes to records, and to rows of bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from benchmarks.measure import Figure, in_turns
from zoho_async import Limits, Session
from zoho_async.books.types.invoices import Invoice
from zoho_async.limits import MemoryLedger
from zoho_async.operation import BOOKS, ListOperation
from zoho_async.sandbox import Sandbox
from zoho_async.wire import Decoder, raw_page

_LIST = ListOperation(
    name="books.invoices.list",
    product=BOOKS,
    path="/invoices",
    row=Invoice,
    key="invoices",
    row_id="invoice_id",
)


class _Reply(msgspec.Struct):
    invoices: list[Invoice]


async def a_page() -> bytes:
    """One page of invoices as the wire has it."""
    async with Sandbox(sizes={"books.invoices": 200}) as sandbox:
        session = Session.from_env(sandbox.environment(), ledger=MemoryLedger())
        async with session as zoho:
            return (await zoho.fetch_page(_LIST, query={"per_page": 200})).body


def _drifted(body: bytes) -> bytes:
    """The page with a value of the wrong type in every row."""
    reply: dict[str, Any] = msgspec.json.decode(body)
    for row in reply["invoices"]:
        row["balance"] = {"odd": True}
    return msgspec.json.encode(reply)


async def decoding(rounds: int) -> tuple[str, list[Figure]]:
    """The page typed, drifted and raw, beside plain msgspec with the same types."""
    body = await a_page()
    blanks_are_null = body.replace(b':""', b":null")
    drifted = _drifted(body)
    floor = msgspec.json.Decoder(_Reply, float_hook=Decimal)
    ours = Decoder()

    async def plain() -> object:
        return floor.decode(blanks_are_null).invoices

    async def typed() -> object:
        return ours.page(_LIST, body).rows

    async def drift() -> object:
        return ours.page(_LIST, drifted).rows

    async def raw() -> object:
        return raw_page(_LIST, body).rows

    if await plain() != await typed():
        raise AssertionError("the contenders do not give equal values")
    title = f"a page of 200 invoices, {len(body) / 1000:.0f} kB"
    return title, await in_turns(
        [
            ("plain msgspec, blanks made null beforehand", plain),
            ("zoho_async, typed", typed),
            ("zoho_async, typed, one drifted field a row", drift),
            ("zoho_async, rows as bytes", raw),
        ],
        rounds=rounds,
        inner=20,
    )


async def calling(rounds: int) -> tuple[str, list[Figure]]:
    """One small call through session, limits, token and errors, beside bare aiohttp."""
    async with Sandbox(sizes={"books.contacts": 1}, per_minute=10**9, per_day=10**9) as sandbox:
        sandbox.limits.in_flight = 10**9
        session = Session.from_env(
            sandbox.environment(), ledger=MemoryLedger(), limits=Limits(limit=10**6, burst=10**6)
        )
        async with session as zoho, aiohttp.ClientSession() as client:
            await zoho.request("GET", "/contacts")
            token = zoho._account._tokens.current()
            assert token is not None
            headers = {"Authorization": f"Zoho-oauthtoken {token.value}"}
            url = f"{sandbox.url}/books/v3/contacts?organization_id={sandbox.organization}"

            async def bare() -> object:
                async with client.get(url, headers=headers) as reply:
                    return msgspec.json.decode(await reply.read())

            async def ours() -> object:
                return await zoho.request("GET", "/contacts")

            return "one small call (the server's share of CPU is in both)", await in_turns(
                [("aiohttp + msgspec", bare), ("zoho_async", ours)], rounds=rounds, inner=50
            )
