"""The types of the generated functions: mypy reads this file, pytest runs mypy.

The functions below are never called; `assert_type` fails the check where a type is another.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import pytest

from zoho_async.books import contacts, invoices, items, projects
from zoho_async.books.contacts import Contact, ContactInput, ContactPerson
from zoho_async.books.invoices import (
    Invoice,
    InvoiceCreate,
    InvoiceInput,
    InvoiceLineItem,
    InvoiceLineItemInput,
)
from zoho_async.books.items import Item
from zoho_async.books.projects import ProjectUser, ProjectUsers
from zoho_async.books.types.shared import Address, CustomField
from zoho_async.http.download import Download, Downloads
from zoho_async.http.reply import Reply
from zoho_async.http.upload import Upload
from zoho_async.paging import Page, Pager
from zoho_async.session import Session
from zoho_async.wire import Done


async def reads(zoho: Session) -> None:
    assert_type(invoices.list(zoho), Pager[Invoice])
    assert_type(await invoices.list(zoho, per_page=50), Page[Invoice])
    async for invoice in invoices.list(zoho, status="overdue", date_after=dt.date(2026, 1, 1)):
        assert_type(invoice, Invoice)
    invoice = await invoices.get(zoho, "982000000567114")
    assert_type(invoice.invoice_id, str)
    assert_type(invoice.total, Decimal | None)
    assert_type(invoice.date, dt.date | None)
    assert_type(invoice.created_time, dt.datetime | None)
    assert_type(invoice.reminders_sent, int | None)
    assert_type(invoice.line_items, list[InvoiceLineItem] | None)
    assert_type(invoice.billing_address, Address | None)
    assert_type(invoice.extra, dict[str, Any])
    contact = await contacts.get(zoho, 982000000567001)
    assert_type(contact, Contact)
    assert_type(contact.custom_fields, list[CustomField] | None)
    assert_type(contacts.list_contact_persons(zoho, contact.contact_id), Pager[ContactPerson])
    assert_type(projects.list_users(zoho, 1), Pager[ProjectUser])


async def writes(zoho: Session) -> None:
    line = InvoiceLineItemInput(item_id=1, quantity=2, rate=Decimal("120.50"))
    assert_type(
        await invoices.create(zoho, InvoiceCreate(customer_id="1", line_items=[line])), Invoice
    )
    assert_type(await invoices.mark_as_sent(zoho, "1"), Done)
    assert_type(await invoices.bulk_delete(zoho, ["1", 2]), Done)
    assert_type(invoices.get_pdf(zoho, "1"), Download)
    assert_type(await invoices.get_pdf(zoho, "1").save("folder"), Path)
    assert_type(invoices.export_pdf(zoho, ["1", "2"]), Downloads)
    assert_type(await zoho.reply(zoho.books.invoices.get("1")), Reply[Invoice])
    sent = zoho.books.invoices.list(status="sent")
    assert_type(await zoho.reply(sent), Reply[Page[Invoice]])
    await invoices.add_attachment(zoho, "1", attachment=Upload("a.pdf", b""))
    assert_type(await projects.add_user(zoho, "1", projects.ProjectAddUserInput()), ProjectUsers)
    upserted = await contacts.upsert(zoho, ContactInput(contact_name="A"), key="cf_id", value="7")
    assert_type(upserted, Contact)
    assert_type(items.list(zoho, rate_less_than=Decimal(5)), Pager[Item])


async def mistakes(zoho: Session) -> None:
    """Each line is a mistake that the checker must find: an unused ignore is an error."""
    invoices.list(zoho, status="lost")  # type: ignore[arg-type] # no such status
    invoices.list(zoho, "overdue")  # type: ignore[call-arg] # keywords only
    InvoiceLineItemInput(rate=12.5)  # type: ignore[arg-type] # money is never a float
    InvoiceInput(customer="1")  # type: ignore[call-arg] # no such field
    await invoices.get(zoho)  # type: ignore[call-arg] # which one?
    invoice = await invoices.get(zoho, "1")
    invoice.total = None  # type: ignore[misc] # records do not change


@pytest.mark.timeout(240)
def test_the_types_are_what_this_file_says(tmp_path: Path) -> None:
    from mypy import api

    root = Path(__file__).parents[2]
    config = ["--config-file", str(root / "pyproject.toml"), "--warn-unused-ignores"]
    cache = ["--cache-dir", str(root / ".mypy_cache")]
    said, errors, code = api.run([*config, *cache, "--no-error-summary", __file__])
    assert (said, errors, code) == ("", "", 0)
