"""A created organization works like every other and does not change the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from zoho_async import Session
from zoho_async.books import contacts, currencies, invoices, organizations, users
from zoho_async.books.types.contacts import ContactCreate, ContactPersonInput
from zoho_async.books.types.invoices import InvoiceCreate, InvoiceLineItemInput
from zoho_async.books.types.organizations import OrganizationCreate, OrganizationInput
from zoho_async.errors import InvalidRequest, NotFound, OrganizationError, ZohoError
from zoho_async.inventory import organizations as inventory_organizations
from zoho_async.inventory.types import organizations as inventory_types
from zoho_async.limits import MemoryLedger
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.api import organizations as made
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store

NEW: Final = OrganizationCreate(
    name="Zillium Inc",
    currency_code="EUR",
    time_zone="Europe/Berlin",
    portal_name="zilliuminc",
    fiscal_year_start_month="july",
)


def session(box: Sandbox, **changes: Any) -> Session:
    return Session.from_env(box.environment(), ledger=MemoryLedger(), **changes)


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(sizes={"contacts": 20, "invoices": 20, "items": 5}) as running:
        yield running


async def test_a_created_organization_is_listed_read_changed_and_used(
    box: Sandbox,
) -> None:
    async with session(box) as zoho:
        new = await organizations.create(zoho, NEW)
        assert new.name == "Zillium Inc"
        assert new.user_role == "admin"
        assert new.is_default_org is False
        listed = await organizations.list(zoho)
        assert [row.organization_id for row in listed.rows] == [
            box.organization,
            new.organization_id,
        ]
        row = listed.rows[1]
        assert (row.name, row.currency_code, row.plan_name) == ("Zillium Inc", "EUR", "FREE")
        assert [each.id for each in await zoho.organizations()] == list(box.organizations)
        read = await organizations.get(zoho, new.organization_id)
        assert (read.name, read.time_zone) == ("Zillium Inc", "Europe/Berlin")
        assert read.fiscal_year_start_month == "july"
        await organizations.update(zoho, new.organization_id, OrganizationInput(name="Zillium"))
        assert (await organizations.list(zoho)).rows[1].name == "Zillium"
        assert (await organizations.list(zoho)).rows[0].name != "Zillium"
        theirs = zoho.for_organization(new.organization_id)
        assert (await contacts.list(theirs)).rows == []
        customer = await contacts.create(
            theirs,
            ContactCreate(contact_name="A", contact_persons=[ContactPersonInput(first_name="Ana")]),
        )
        assert customer.currency_code == "EUR"
        line = InvoiceLineItemInput(name="Work", rate=Decimal(10), quantity=2)
        invoice = InvoiceCreate(customer_id=customer.contact_id, line_items=[line])
        bill = await invoices.create(theirs, invoice)
        assert (bill.total, bill.currency_code) == (Decimal(20), "EUR")
        assert len([row async for row in contacts.list(theirs)]) == 1
        assert len([row async for row in contacts.list(zoho)]) == 20
        with pytest.raises(NotFound):
            await contacts.get(zoho, customer.contact_id)


async def test_a_new_organization_has_its_creator_and_base_currency(box: Sandbox) -> None:
    async with session(box) as zoho:
        new = await organizations.create(zoho, NEW)
        theirs = zoho.for_organization(new.organization_id)
        (user,) = (await users.list(theirs)).rows
        assert (user.name, user.user_role, user.status) == ("Sam Sandbox", "admin", "active")
        assert (await users.get_current(theirs)).user_id == user.user_id
        (currency,) = (await currencies.list(theirs)).rows
        assert (currency.currency_code, currency.is_base_currency) == ("EUR", True)
        assert (await organizations.list(zoho)).rows[1].currency_id == currency.currency_id
        contact = await contacts.create(theirs, ContactCreate(contact_name="A"))
        assert contact.currency_id == currency.currency_id


async def test_it_has_separate_limits() -> None:
    async with Sandbox(per_minute=8, sizes={"contacts": 3}) as box, session(box) as zoho:
        new = await organizations.create(zoho, NEW)
        judged = box.rate_limiter.account(new.organization_id)
        assert len(judged.times) == 0
        theirs = zoho.for_organization(new.organization_id)
        await asyncio.gather(*(contacts.list(view, per_page=5) for view in [theirs, zoho] * 5))
        assert len(judged.times) == 5
        assert len(box.rate_limiter.account(box.organization).times) == 5
        assert box.refused == 0


async def test_one_created_by_inventory_works_in_every_product(box: Sandbox) -> None:
    async with session(box) as zoho:
        body = inventory_types.OrganizationCreate(
            name="Stock", currency_code="JPY", time_zone="Asia/Tokyo", portal_name="stock1"
        )
        new = await inventory_organizations.create(zoho, body)
        there = await organizations.get(zoho, new.organization_id)
        assert (there.name, there.currency_code) == ("Stock", "JPY")
        assert (await contacts.list(zoho.for_organization(new.organization_id))).rows == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(({name: None}, 4) for name in ("name", "currency_code", "time_zone", "portal_name")),
        ({"portal_name": "four"}, 4),
        ({"portal_name": "with spaces"}, 4),
        ({"portal_name": "a" * 31}, 4),
        ({"fiscal_year_start_month": "smarch"}, 4),
        ({"currency_code": "dollars"}, 9004),
    ],
)
async def test_an_invalid_body_creates_no_organization(
    box: Sandbox, changes: dict[str, Any], code: int
) -> None:
    async with session(box) as zoho:
        body = OrganizationCreate.of(NEW)
        for name, value in changes.items():
            setattr(body, name, value)  # after its own check
        with pytest.raises(InvalidRequest) as refused:
            await organizations.create(zoho, body)
        assert refused.value.code == code
        assert box.organizations == (box.organization,)


async def test_an_unknown_organization_cannot_be_used_or_read(box: Sandbox) -> None:
    async with session(box) as zoho:
        with pytest.raises(OrganizationError):
            await contacts.list(zoho.for_organization("60000001"))
        with pytest.raises(ZohoError):
            await organizations.get(zoho, "60000001")
        with pytest.raises(OrganizationError):
            await organizations.get(zoho.for_organization("60000001"), box.organization)


async def test_organizations_are_bounded(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "MAX_ORGANIZATIONS", 3)
    async with session(box) as zoho:
        for _ in range(2):
            await organizations.create(zoho, NEW)
        with pytest.raises(InvalidRequest, match="at most 3 organizations"):
            await organizations.create(zoho, NEW)
        assert len(box.organizations) == 3


async def test_it_is_restored_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite"
    async with Sandbox(file=file, sizes={"contacts": 3}) as box, session(box) as zoho:
        new = await organizations.create(zoho, NEW)
        theirs = zoho.for_organization(new.organization_id)
        contact = await contacts.create(theirs, ContactCreate(contact_name="A"))
        before = await users.get_current(theirs)
        await organizations.update(zoho, new.organization_id, OrganizationInput(name="Later"))
        listed = box.truth("books.organizations")
    async with Sandbox(file=file, sizes={"contacts": 3}) as box, session(box) as zoho:
        assert box.truth("books.organizations") == listed
        theirs = zoho.for_organization(new.organization_id)
        assert (await contacts.get(theirs, contact.contact_id)).contact_name == "A"
        assert await users.get_current(theirs) == before
        assert (await currencies.list(theirs)).rows[0].currency_code == "EUR"
        again = await organizations.create(zoho, NEW)
        assert again.organization_id not in (new.organization_id, box.organization)


async def test_a_new_organization_has_empty_lists_and_does_not_change_the_others(
    box: Sandbox,
) -> None:
    def lists(store: Store) -> dict[str, list[bytes]]:
        return {
            schema.name: [rows.encoded_row(index) for index in rows.indexes()]
            for product in PRODUCTS
            for schema in schemas(product).by_path.values()
            if not schema.parents and schema.path[0] != "organizations"
            for rows in [store.shown(schema)]
        }

    before = lists(box.store())
    async with session(box) as zoho:
        new = await organizations.create(zoho, NEW)
        held = {name for name, rows in lists(box.store(new.organization_id)).items() if rows}
        assert {name.partition(".")[2] for name in held} == {
            *("users", "currencies", "chart_of_accounts")
        }
        theirs = zoho.for_organization(new.organization_id)
        await contacts.create(theirs, ContactCreate(contact_name="A"))
    assert lists(box.store()) == before


async def test_an_organization_has_the_currency_that_its_documents_name_and_each_code_once(
    box: Sandbox,
) -> None:
    async with session(box) as zoho:
        every = (await currencies.list(zoho)).rows
        (base,) = (each for each in every if each.is_base_currency)
        document = (await invoices.list(zoho, per_page=1)).rows[0]
        assert (base.currency_id, base.currency_code) == (
            document.currency_id,
            document.currency_code,
        )
        assert (await currencies.get(zoho, base.currency_id)).currency_code == base.currency_code
        codes = [each.currency_code for each in every]
        assert len(set(codes)) == len(codes) == len({each.currency_id for each in every}) > 5
