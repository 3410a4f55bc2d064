"""Events in webhooks: the same records as the API's, and whatever else may arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from zoho_async.billing.subscriptions import Subscription
from zoho_async.books.contacts import Contact
from zoho_async.books.customer_payments import CustomerPayment
from zoho_async.books.invoices import Invoice
from zoho_async.webhooks import BillingEvent, ChangeEvent, Delivery, UnreadableWebhook, parse


def delivery(body: bytes, **query: str) -> Delivery:
    return Delivery(query=query, body=body, is_proven=True, digest="0" * 64)


def test_a_record_has_the_api_s_types_and_its_exact_amounts() -> None:
    body = (
        b'{"invoice": {"invoice_id": 90000000000000101, "total": "1000000000000000.01", '
        b'"balance": 0.1, "last_modified_time": "2026-11-01T10:00:00+0100", "cf_region": "north",'
        b'"due_date": ""}, "organization_id": 10234695}'
    )
    event = parse(delivery(body, event_type="edited"), "books")
    assert isinstance(event.record, Invoice)
    assert event.record.total == Decimal("1000000000000000.01")
    assert event.record.balance == Decimal("0.1")
    assert event.record.due_date is None
    assert event.record.extra == {"cf_region": "north"}
    assert event.last_modified_time == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert (event.module, event.resource) == ("invoice", "books.invoices")
    assert (event.record_id, event.organization_id) == ("90000000000000101", "10234695")
    assert (event.event_type, event.is_proven) == ("edited", True)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("contact", Contact),
        ("customer", Contact),
        ("vendor", Contact),
        ("payment", CustomerPayment),
        ("customer_payment", CustomerPayment),
    ],
)
def test_modules_are_found_under_their_other_names(module: str, kind: type[object]) -> None:
    assert isinstance(parse(delivery(b'{"%s": {}}' % module.encode()), "books").record, kind)


def test_an_unknown_module_keeps_its_values() -> None:
    event = parse(delivery(b'{"cm_vehicle": {"plate": "X 1", "price": 1.10}}'), "books")
    assert (event.module, event.record, event.resource) == ("cm_vehicle", None, "")
    assert event.values == {"plate": "X 1", "price": Decimal("1.10")}


def test_a_deletion_with_only_an_id() -> None:
    event = parse(delivery(b'{"invoice": {"invoice_id": "5"}}', event_type="deleted"), "invoice")
    assert (event.record_id, event.event_type, event.last_modified_time) == ("5", "deleted", None)


@pytest.mark.parametrize("key", ["data", "payload"])
@pytest.mark.parametrize("as_text", [False, True])
def test_an_event_of_billing(key: str, as_text: bool) -> None:
    data: Any = {"subscription": {"subscription_id": "9", "amount": 10.10}, "other": {"a": 1}}
    body = msgspec.json.encode(
        {
            "event_id": 77,
            "event_type": "subscription_paused",
            "event_time": "2026-11-01T10:00:00+01:00",
            key: msgspec.json.encode(data).decode() if as_text else data,
        }
    )
    event = parse(delivery(body), "billing")
    assert isinstance(event, BillingEvent)
    assert (event.event_id, event.event_type) == ("77", "subscription_paused")
    assert event.event_time == datetime(2026, 11, 1, 9, tzinfo=UTC)
    subscription = event.records["subscription"]
    assert isinstance(subscription, Subscription)
    assert subscription.amount == Decimal("10.1")
    assert list(event.records) == ["subscription"]
    assert event.values["other"] == {"a": 1}


@pytest.mark.parametrize("product", ["books", "billing"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b'{"invoice": []}',
        b'{"invoice": {}, "contact": {}}',
        b'{"event_id": "1", "event_type": "x", "data": 5}',
        b'{"event_id": "1", "event_type": 5, "data": {}, "other": {}}',
        b'{"invoice":' * 100_000,
        b"[" * 100_000,
        b'{"event_id": "1", "event_type": "x", "data": "{"}',
    ],
)
def test_other_bodies_are_refused(product: Any, body: bytes) -> None:
    with pytest.raises(UnreadableWebhook):
        parse(delivery(body), product)


def test_a_value_of_another_type_costs_only_its_field() -> None:
    event: ChangeEvent = parse(
        delivery(b'{"invoice": {"invoice_id": "1", "total": "none", "status": "paid"}}'), "books"
    )
    assert isinstance(event.record, Invoice)
    assert (event.record.total, event.record.status) == (None, "paid")
    assert event.record.extra == {"total": "none"}


def test_an_unknown_product_is_named() -> None:
    product: Any = "crm"
    with pytest.raises(LookupError, match="crm"):
        parse(delivery(b"{}"), product)
