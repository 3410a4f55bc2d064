"""Values that the live service sends fit typed fields, even if the description is wrong."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from zoho_async.billing.types.subscriptions import Subscription
from zoho_async.books.types.chart_of_accounts import ChartOfAccount
from zoho_async.books.types.credit_notes import CreditNote
from zoho_async.books.types.customer_payments import CustomerPayment
from zoho_async.books.types.expenses import Expense
from zoho_async.books.types.invoices import Invoice
from zoho_async.books.types.items import Item, ItemInput
from zoho_async.books.types.vendor_payments import VendorPayment
from zoho_async.inventory.types.item_groups import ItemGroup
from zoho_async.operation import BOOKS, Operation
from zoho_async.wire import Decoder, encode

ID = "460000000026049"
TIME = "2024-10-02T22:41:13-0400"
#: Records in the form in which live clients saw them.
SEEN: list[tuple[type[Any], dict[str, Any]]] = [
    (ChartOfAccount, {"account_id": ID, "is_child_present": False}),
    (Invoice, {"invoice_id": ID, "salesorders": []}),
    (Invoice, {"invoice_id": ID, "salesorders": [{"salesorder_id": ID}]}),
    (
        VendorPayment,
        {
            "payment_id": ID,
            "billing_address": {"address": "1 Main St", "city": "Pleasanton"},
            "comments": [{"comment_id": ID, "description": "made", "date": "2024-10-02"}],
        },
    ),
    (
        ItemGroup,
        {
            "group_id": ID,
            "items": [{"item_id": ID, "attribute_option_name1": "Small", "upc": "012345678905"}],
            "attributes": [{"id": ID, "name": "Size", "options": [{"id": ID, "name": "Small"}]}],
        },
    ),
    (Subscription, {"subscription_id": ID, "interval": 1}),
    (
        Item,
        {
            "item_id": ID,
            "account_id": ID,
            "purchase_rate": 46.5,
            "purchase_account_id": ID,
            "created_time": TIME,
            "last_modified_time": TIME,
            "tags": [{"tag_id": ID, "tag_option_id": ID}],
            "unit": "pcs",
        },
    ),
    (
        CustomerPayment,
        {
            "payment_id": ID,
            "account_id": ID,
            "unused_amount": 46.5,
            "exchange_rate": 1.0,
            "currency_id": ID,
            "created_time": TIME,
            "last_modified_time": TIME,
            "invoice_numbers": "INV-1, INV-2",
        },
    ),
    (
        Expense,
        {
            "expense_id": ID,
            "vendor_id": ID,
            "paid_through_account_id": ID,
            "custom_fields": [{"customfield_id": ID, "value": "a"}],
            "line_items": [{"line_item_id": ID, "item_order": 1, "amount": 46.5}],
        },
    ),
    (
        CreditNote,
        {
            "creditnote_id": ID,
            "exchange_rate": 1.0,
            "discount": "10%",
            "line_items": [{"line_item_id": ID, "item_total": 46.5}],
        },
    ),
]


def read(struct: type[Any], record: dict[str, Any], decoder: Decoder) -> Any:
    operation: Operation[Any] = Operation(
        name="books.any.get", product=BOOKS, method="GET", path="/", result=struct, key="it"
    )
    return decoder.value(operation, json.dumps({"code": 0, "it": record}).encode())


@pytest.mark.parametrize(("struct", "record"), SEEN)
def test_values_seen_by_live_clients_fit_typed_fields(
    struct: type[Any], record: dict[str, Any]
) -> None:
    decoder = Decoder()
    shown = read(struct, record, decoder)
    assert shown.extra == {}
    assert dict(decoder.drift) == {}


def test_core_fields_have_the_types_of_their_values() -> None:
    decoder = Decoder()
    item = read(Item, dict(SEEN[6][1]), decoder)
    assert item.purchase_rate == Decimal("46.5")
    assert item.created_time == dt.datetime.fromisoformat(TIME)
    written = json.loads(encode(ItemInput.of(item)))
    assert (written["unit"], written["tags"]) == ("pcs", [{"tag_id": ID, "tag_option_id": ID}])
    account = read(ChartOfAccount, {"is_child_present": True}, decoder)
    assert account.is_child_present is True
