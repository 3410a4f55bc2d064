"""Several organizations, missing scopes and shared tokens, through a whole session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from zoho_async import Session
from zoho_async.auth import MemoryStore
from zoho_async.books import invoices, items
from zoho_async.errors import ConfigurationError, MissingScope, OrganizationError
from zoho_async.events import Event, Refreshed
from zoho_async.export import Export
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox


def session(zoho: Sandbox, **changes: Any) -> Session:
    return Session.from_env(zoho.environment(), ledger=MemoryLedger(), **changes)


async def test_the_organizations_of_an_account_are_listed_and_worked_through() -> None:
    zoho = Sandbox(organization="111", organizations=["111", "222"])
    async with zoho, session(zoho) as account:
        there = await account.organizations()
        assert [each.id for each in there] == ["111", "222"]
        assert there[0].name in str(there[0])
        pages = [await items.list(account.for_organization(each.id)) for each in there]
        assert len(pages) == 2


async def test_a_job_over_all_organizations_of_an_account(tmp_path: Path) -> None:
    zoho = Sandbox(organization="111", organizations=["111", "222"], sizes={"books.items": 450})
    async with zoho, session(zoho) as account:

        async def exported(organization: str) -> bytes:
            view, folder = account.for_organization(organization), tmp_path / organization
            async with Export(view, ["items"], to=folder) as job:
                async for _ in job:
                    pass
            return (folder / "books/items.jsonl").read_bytes()

        there = [each.id for each in await account.organizations()]
        files = await asyncio.gather(*map(exported, there))
        for organization, content in zip(there, files, strict=True):
            assert sorted(content.splitlines()) == sorted(zoho.truth("books.items", organization))
        assert zoho.token_requests == 1


async def test_no_organization_raises_with_the_choices() -> None:
    async with Sandbox(organization="111", organizations=["111", "222"]) as zoho:
        env = {**zoho.environment(), "ZOHO_ORGANIZATION_ID": ""}
        async with Session.from_env(env, ledger=MemoryLedger()) as account:
            with pytest.raises(OrganizationError, match="choose one of 111, 222") as caught:
                await items.list(account)
            assert caught.value.code == 6024
            assert caught.value.choices == ("111", "222")


async def test_a_foreign_organization_raises_with_choices_fetched_once() -> None:
    zoho = Sandbox(organization="111", organizations=["111", "222"])
    async with zoho, session(zoho, organization="333") as account:
        failed = await asyncio.gather(
            *(items.list(account) for _ in range(3)), return_exceptions=True
        )
        for error in failed:
            assert isinstance(error, OrganizationError)
            assert error.code == 6041
            assert [choice.split()[0] for choice in error.choices] == ["111", "222"]
        assert sum(each.path.endswith("/organizations") for each in zoho.arrivals) == 1


async def test_a_missing_scope_is_named_even_if_organizations_cannot_be_listed() -> None:
    async with Sandbox() as zoho:
        zoho.tokens.scope = "ZohoBooks.contacts.READ"
        async with session(zoho) as account:
            with pytest.raises(MissingScope, match=r"ZohoBooks\.invoices\.READ.*zoho-async login"):
                await invoices.list(account)
            with pytest.raises(MissingScope, match=r"ZohoBooks\.settings\.READ"):
                await account.organizations()


async def test_sessions_that_share_a_store_share_a_token() -> None:
    async with Sandbox() as zoho:
        store = MemoryStore()
        async with session(zoho, tokens=store) as one, session(zoho, tokens=store) as other:
            await asyncio.gather(items.list(one), items.list(other))
            assert zoho.token_requests == 1
            zoho.revoke_tokens()
            await asyncio.gather(items.list(one), items.list(other))
            assert zoho.token_requests == 2
            assert one.token_age is not None


async def test_an_observer_that_fails_loses_no_token() -> None:
    def observer(event: Event) -> None:
        if isinstance(event, Refreshed):
            raise RuntimeError("the observer's own fault")

    async with Sandbox() as zoho, session(zoho, observer=observer) as account:
        for _ in range(2):
            await items.list(account)
        assert zoho.token_requests == 1


@pytest.mark.parametrize("url", ["https://www.zohoapis.com", "http://127.0.0.1:1"])
async def test_unverified_tls_is_refused(url: str) -> None:
    env = {
        "ZOHO_CLIENT_ID": "c",
        "ZOHO_CLIENT_SECRET": "s",
        "ZOHO_REFRESH_TOKEN": "r",
        "ZOHO_BASE_URL": url,
    }
    connector = aiohttp.TCPConnector(ssl=False)
    with pytest.raises(ConfigurationError, match="verif"):
        Session.from_env(env, http=connector)
    await connector.close()
