"""The types of the four products: mypy reads this file, pytest runs mypy.

The functions below are never called; `assert_type` fails the check where a type is another.
"""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

import pytest

from tests.support.type_checkers import check_with_mypy
from zoho_async import billing, books, inventory, invoice
from zoho_async.billing import subscriptions
from zoho_async.books import bills, chart_of_accounts, purchase_orders, taxes
from zoho_async.books.types.shared import Address, AddressInput
from zoho_async.description import Endpoint
from zoho_async.http.download import Download
from zoho_async.inventory import items as inventory_items
from zoho_async.inventory import packages, sales_orders
from zoho_async.invoice import estimates, expenses
from zoho_async.paging import Pager
from zoho_async.session import Session
from zoho_async.wire import Done


async def of_books(zoho: Session) -> None:
    assert_type(bills.list(zoho), Pager[bills.Bill])
    bill = await bills.get(zoho, "1")
    assert_type(bill.total, Decimal | None)
    assert_type(await purchase_orders.mark_as_billed(zoho, "1"), Done)
    assert_type(chart_of_accounts.list(zoho), Pager[chart_of_accounts.ChartOfAccount])
    assert_type((await taxes.get(zoho, "1")).tax_percentage, Decimal | None)
    assert_type(await bills.update_billing_address(zoho, "1", AddressInput()), Address)


async def of_the_others(zoho: Session) -> None:
    assert_type(estimates.list(zoho), Pager[estimates.Estimate])
    assert_type(estimates.get_pdf(zoho, "1"), Download)
    assert_type(expenses.get_receipt(zoho, "1"), Download)
    assert_type(subscriptions.list(zoho), Pager[subscriptions.Subscription])
    assert_type(await sales_orders.get(zoho, "1"), sales_orders.SalesOrder)
    assert_type(packages.list(zoho), Pager[packages.Package])
    assert_type(inventory_items.list_details(zoho, ["1"]), Pager[inventory_items.Item])
    assert_type(books.operations() + invoice.operations(), tuple[Endpoint, ...])
    assert_type(billing.operations() + inventory.operations(), tuple[Endpoint, ...])


@pytest.mark.timeout(240)
def test_the_types_are_what_this_file_says() -> None:
    check_with_mypy(__file__)
