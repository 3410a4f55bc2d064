# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""A create without its required fields is refused by mypy and pyright, and an input in its place.

The function is never called. An error that does not occur is an unused ``type: ignore``, which
fails the check.
"""

from __future__ import annotations

import pytest

from tests.support.type_checkers import check_with_mypy, check_with_pyright
from zoho_async.billing import subscriptions
from zoho_async.books import contacts, invoices
from zoho_async.books.contacts import ContactCreate, ContactInput
from zoho_async.books.invoices import InvoiceCreate, InvoiceInput, InvoiceLineItemInput
from zoho_async.books.types.invoices import InvoiceFields
from zoho_async.inventory import sales_orders
from zoho_async.session import Session


async def creates(zoho: Session) -> None:
    line = InvoiceLineItemInput(item_id="1", quantity=2)
    new = InvoiceCreate(customer_id="1", line_items=[line])
    change = InvoiceInput(customer_id="1", line_items=[line])
    await invoices.create(zoho, new)
    await invoices.update(zoho, "1", change)
    await contacts.create(zoho, ContactCreate.of(contacts.Contact(), contact_name="A"))

    InvoiceCreate(customer_id="1")  # type: ignore[call-arg]
    ContactCreate()  # type: ignore[call-arg]
    sales_orders.SalesOrderCreate(customer_id="1")  # type: ignore[call-arg]
    subscriptions.SubscriptionCreate()  # type: ignore[call-arg]
    ContactCreate(contact_name=None)  # type: ignore[arg-type]
    await invoices.create(zoho, change)  # type: ignore[arg-type]
    await invoices.create(zoho, InvoiceFields())  # type: ignore[arg-type]
    await invoices.update(zoho, "1", new)  # type: ignore[arg-type]
    await contacts.create(zoho, ContactInput(contact_name="A"))  # type: ignore[arg-type]


@pytest.mark.timeout(240)
def test_mypy_refuses_wrong_creates() -> None:
    check_with_mypy(__file__)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_pyright_refuses_wrong_creates() -> None:
    check_with_pyright(__file__)
