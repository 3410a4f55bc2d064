"""The types of bound calls, and the mistakes in them: mypy and pyright read this file.

The functions below are never called. `assert_type` fails where a type is another. A line with
``type: ignore`` is a mistake that both checkers must find: an ignore without an error is an error.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, assert_type

import msgspec
import pytest

from tests.support.type_checkers import check_with_mypy, check_with_pyright
from zoho_async import Reply, Session
from zoho_async.billing import ZohoBilling
from zoho_async.billing.coupons import Coupon
from zoho_async.billing.customers import Customer
from zoho_async.billing.plans import Plan
from zoho_async.billing.subscriptions import Subscription, SubscriptionsResource
from zoho_async.books import ZohoBooks, invoices
from zoho_async.books.bank_accounts import BankAccount
from zoho_async.books.bills import Bill
from zoho_async.books.contacts import Contact, ContactInput, ContactPerson
from zoho_async.books.invoices import Invoice, InvoiceInput, InvoicesResource
from zoho_async.books.items import Item
from zoho_async.books.projects import ProjectUser
from zoho_async.books.tasks import Task, TasksResource
from zoho_async.books.taxes import Tax
from zoho_async.books.types.shared import Address, AddressInput
from zoho_async.http.download import Download, Downloads
from zoho_async.http.upload import Upload
from zoho_async.inventory import ZohoInventory
from zoho_async.inventory.composite_items import CompositeItem
from zoho_async.inventory.items import Item as InventoryItem
from zoho_async.inventory.packages import Package
from zoho_async.inventory.sales_orders import SalesOrder
from zoho_async.inventory.transfer_orders import TransferOrder
from zoho_async.invoice import ZohoInvoice
from zoho_async.invoice.contacts import Contact as InvoiceContact
from zoho_async.invoice.estimates import Estimate
from zoho_async.invoice.expenses import Expense
from zoho_async.paging import Page, Pager
from zoho_async.wire import Done


async def of_books(zoho: Session) -> None:
    assert_type(zoho.books, ZohoBooks)
    assert_type(zoho.books.invoices, InvoicesResource)
    assert_type(zoho.books.tasks, TasksResource)
    assert_type(zoho.books.invoices.list(), Pager[Invoice])
    assert_type(await zoho.books.invoices.list(per_page=50), Page[Invoice])
    async for row in zoho.books.invoices.list(status="overdue", date_after=dt.date(2026, 1, 1)):
        assert_type(row, Invoice)
        assert_type(row.balance, Decimal | None)
    rows = [row async for row in zoho.books.bills.list()]
    assert_type(rows, list[Bill])
    assert_type(await zoho.books.invoices.get("982000000567114"), Invoice)
    assert_type(await zoho.books.invoices.update(1, InvoiceInput(notes="Thanks")), Invoice)
    assert_type(await zoho.books.invoices.mark_as_sent("1"), Done)
    assert_type(await zoho.books.invoices.bulk_delete(["1", 2]), Done)
    assert_type(zoho.books.invoices.get_pdf("1"), Download)
    assert_type(zoho.books.invoices.export_pdf(["1", "2"]), Downloads)
    await zoho.books.invoices.add_attachment("1", attachment=Upload("a.pdf", b""))
    assert_type(await zoho.books.contacts.get(982000000567001), Contact)
    assert_type(zoho.books.contacts.list_contact_persons("1"), Pager[ContactPerson])
    contact = ContactInput(contact_name="A")
    assert_type(await zoho.books.contacts.upsert(contact, key="cf_id", value="7"), Contact)
    assert_type(zoho.books.items.list(rate_less_than=Decimal(5)), Pager[Item])
    assert_type(zoho.books.projects.list_users(1), Pager[ProjectUser])
    assert_type(await zoho.books.taxes.get("1"), Tax)
    assert_type(zoho.books.tasks.list(), Pager[Task])
    assert_type(zoho.books.bank_accounts.list(filter_by="Status.Active"), Pager[BankAccount])
    assert_type(await zoho.books.bills.update_billing_address("1", AddressInput()), Address)


async def of_the_others(zoho: Session) -> None:
    assert_type(zoho.invoice, ZohoInvoice)
    assert_type(zoho.invoice.estimates.list(), Pager[Estimate])
    assert_type(zoho.invoice.estimates.get_pdf("1"), Download)
    assert_type(await zoho.invoice.estimates.mark_as_accepted("1"), Done)
    assert_type(await zoho.invoice.expenses.get("1"), Expense)
    assert_type(zoho.invoice.contacts.list(), Pager[InvoiceContact])
    assert_type(zoho.billing, ZohoBilling)
    assert_type(zoho.billing.subscriptions.list(), Pager[Subscription])
    assert_type(zoho.billing.subscriptions, SubscriptionsResource)
    assert_type(await zoho.billing.plans.get("gold"), Plan)
    assert_type(await zoho.billing.customers.get("1"), Customer)
    assert_type(zoho.billing.coupons.list(), Pager[Coupon])
    assert_type(zoho.inventory, ZohoInventory)
    assert_type(await zoho.inventory.sales_orders.get("1"), SalesOrder)
    assert_type(zoho.inventory.items.list_details(["1"]), Pager[InventoryItem])
    assert_type(await zoho.inventory.composite_items.get("1"), CompositeItem)
    assert_type(await zoho.inventory.packages.list(), Page[Package])
    assert_type(zoho.inventory.transfer_orders.list(), Pager[TransferOrder])


async def of_views_and_replies(zoho: Session) -> None:
    other = zoho.for_organization("20345678").with_options(lane="bulk")
    assert_type(other.books.invoices.list(), Pager[Invoice])
    assert_type(await zoho.reply(zoho.books.invoices.get("1")), Reply[Invoice])
    assert_type((await zoho.reply(zoho.books.invoices.get("1"))).value, Invoice)
    assert_type(await zoho.reply(other.books.invoices.list()), Reply[Page[Invoice]])
    assert_type(await zoho.reply(invoices.mark_as_sent(zoho, "1")), Reply[Done])
    assert_type(await zoho.reply(zoho.request("GET", "/x")), Reply[Any])
    # On the class it is the function, and a bound call is a plain callable.
    assert_type(await InvoicesResource.get(zoho, "1"), Invoice)
    mark: Callable[[str], Coroutine[Any, Any, Done]] = zoho.books.invoices.mark_as_sent
    await mark("1")


class Open(msgspec.Struct):
    """A few fields of an invoice."""

    invoice_number: str
    balance: Decimal | None = None


async def own_shapes(zoho: Session) -> None:
    pager = zoho.books.invoices.list(status="unpaid").into(Open)
    assert_type(pager, Pager[Open])
    assert_type(await pager, Page[Open])
    assert_type([one.balance async for one in pager], list[Decimal | None])
    async for page in pager.pages():
        assert_type(page.rows, list[Open])
    async for raw in zoho.books.invoices.list().raw_pages():
        assert_type(raw, Page[bytes])


async def mistakes(zoho: Session) -> None:
    zoho.books.invoices.list().into("Open")  # type: ignore[arg-type]  # a class, not its name
    zoho.books.invoices.list(status="lost")  # type: ignore[arg-type]  # no such status
    zoho.books.invoices.list("overdue")  # type: ignore[call-arg]  # keywords only
    zoho.books.invoices.list(stauts="paid")  # type: ignore[call-arg]  # no such parameter
    zoho.books.invoices.list(zoho)  # type: ignore[arg-type,call-arg]  # the session is bound already
    await zoho.books.invoices.get()  # type: ignore[call-arg]  # which one?
    await zoho.books.invoices.get(zoho, "1")  # type: ignore[arg-type,call-arg]  # bound already
    await zoho.books.invoices.get(invoice="1")  # type: ignore[call-arg]  # it is `invoice_id`
    await zoho.books.invoices.get(["1"])  # type: ignore[arg-type]  # one id
    await zoho.books.invoices.update("1", ContactInput())  # type: ignore[arg-type]  # another input
    await zoho.books.contacts.upsert(ContactInput(), key="a")  # type: ignore[call-arg]  # no value
    await zoho.books.estimatez.get("1")  # type: ignore[attr-defined]  # no such resource
    await zoho.books.invoices.destroy("1")  # type: ignore[attr-defined]  # no such call
    _ = zoho.billing.packages  # type: ignore[attr-defined]  # a resource of another product
    _ = zoho.crm  # type: ignore[attr-defined]  # no such product
    await zoho.books.invoices.list  # type: ignore[misc]  # not called
    for _ in zoho.books.invoices.list():  # type: ignore[attr-defined]  # `async for`
        pass
    await zoho.reply(zoho.books.invoices.get)  # type: ignore[arg-type]  # the call, not its name
    await zoho.reply(invoices.get, "1")  # type: ignore[arg-type,call-arg]  # the older form
    await zoho.reply(zoho.books.invoices.get_pdf("1"))  # type: ignore[arg-type]  # no JSON


@pytest.mark.timeout(400)
def test_mypy_finds_these_types_and_mistakes() -> None:
    check_with_mypy(__file__)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_pyright_finds_these_types_and_mistakes() -> None:
    check_with_pyright(__file__)
