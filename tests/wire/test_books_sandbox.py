"""The generated functions against the sandbox: records can be sent back, writes take effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from zoho_async import Session
from zoho_async.books import contacts, invoices, items, organizations, projects
from zoho_async.books.contacts import ContactInput
from zoho_async.books.invoices import InvoiceCreate, InvoiceInput, InvoiceLineItemInput
from zoho_async.books.items import ItemInput
from zoho_async.books.projects import ProjectInput
from zoho_async.errors import NotFound
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox


@pytest.fixture
async def zoho() -> AsyncIterator[Session]:
    sizes = {
        "books.contacts": 5,
        "books.items": 5,
        "books.invoices": 30,
        "books.projects": 5,
    }
    async with Sandbox(sizes=sizes) as box:
        async with Session.from_env(box.environment(), ledger=MemoryLedger()) as session:
            yield session
        assert box.refused == 0


async def test_an_invoice_lives_from_draft_to_gone(zoho: Session) -> None:
    contact = (await contacts.list(zoho)).rows[0]
    item = (await items.list(zoho)).rows[0]
    line = InvoiceLineItemInput(item_id=item.item_id, quantity=2, rate=Decimal("12.10"))
    new = await invoices.create(
        zoho, InvoiceCreate(customer_id=contact.contact_id, line_items=[line])
    )
    assert new.total == Decimal("24.20")
    assert (await invoices.mark_as_sent(zoho, new.invoice_id)).message
    assert (await invoices.get(zoho, new.invoice_id)).status == "sent"
    assert (await invoices.delete(zoho, new.invoice_id)).message
    with pytest.raises(NotFound, match="1002"):
        await invoices.get(zoho, new.invoice_id)


async def test_an_invoice_that_was_read_can_be_sent_back_with_its_lines(zoho: Session) -> None:
    invoice = await invoices.get(zoho, (await invoices.list(zoho)).rows[0].invoice_id)
    again = await invoices.update(zoho, invoice.invoice_id, InvoiceInput.of(invoice, notes="seen"))
    assert again.notes == "seen"
    assert again.total == invoice.total
    assert again.line_items == invoice.line_items


async def test_a_contact_that_was_read_can_be_sent_back(zoho: Session) -> None:
    contact = await contacts.get(zoho, (await contacts.list(zoho)).rows[0].contact_id)
    again = await contacts.update(zoho, contact.contact_id, ContactInput.of(contact, notes="seen"))
    assert again.notes == "seen"
    assert again.billing_address == contact.billing_address


async def test_an_item_that_was_read_can_be_sent_back(zoho: Session) -> None:
    item = await items.get(zoho, (await items.list(zoho)).rows[0].item_id)
    again = await items.update(zoho, item.item_id, ItemInput.of(item, rate=Decimal("1.10")))
    assert again.rate == Decimal("1.10")
    assert again.name == item.name


async def test_a_project_that_was_read_can_be_sent_back(zoho: Session) -> None:
    project = await projects.get(zoho, (await projects.list(zoho)).rows[0].project_id)
    changed = ProjectInput.of(project, description="seen")
    assert (await projects.update(zoho, project.project_id, changed)).description == "seen"


async def test_filters_and_their_variants_choose_rows(zoho: Session) -> None:
    every = [invoice async for invoice in invoices.list(zoho)]
    drafts = [invoice async for invoice in invoices.list(zoho, status="draft")]
    assert {i.invoice_id for i in drafts} == {i.invoice_id for i in every if i.status == "draft"}
    dates = sorted(invoice.date for invoice in every if invoice.date is not None)
    middle = dates[len(dates) // 2]
    later = [invoice async for invoice in invoices.list(zoho, date_after=middle)]
    assert len(later) == sum(date > middle for date in dates)


async def test_organizations_belong_to_the_user(zoho: Session) -> None:
    (organization,) = (await organizations.list(zoho)).rows
    assert organization.organization_id == zoho.organization


async def test_no_value_of_a_seeded_record_drifts(zoho: Session) -> None:
    for invoice in await invoices.list(zoho):
        await invoices.get(zoho, invoice.invoice_id)
        break
    for contact in await contacts.list(zoho):
        await contacts.get(zoho, contact.contact_id)
    for item in await items.list(zoho):
        await items.get(zoho, item.item_id)
    for project in await projects.list(zoho):
        await projects.get(zoho, project.project_id)
    assert zoho.decoder.drift == {}
