"""Read the event in a verified webhook.

Model
-----
Books, Invoice and Inventory send a record under the singular name of its module, as the read of one
record does: ``{"invoice": {...}}``. What happened is not in the body; the webhook's address can
tell it, as in ``https://example.com/hook?event_type=created``. Billing sends an event with a type,
an id, a time and several records.

Records have the same structs as the API's, with the same exact amounts and the same ``extra``.

What is unknown
---------------
The names of all modules: an unknown one gives an event without a record, whose ``values`` hold what
was sent. The list of Billing's event types is not complete, so a type is any text.

A payload is not the truth
--------------------------
Webhooks arrive late, twice and in any order. Use a record only if its ``last_modified_time`` is
later than that of the record you have. If it has no time, or was deleted, read it from the API.
"""

from __future__ import annotations

import functools
import importlib
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args, overload

import msgspec

from zoho_async import description
from zoho_async._msgspec import decoder_of
from zoho_async.http.target import quoted_id
from zoho_async.operation import PRODUCTS, Operation
from zoho_async.webhooks.signature import Delivery, WebhookError
from zoho_async.wire import Decoder, Record, Unreadable
from zoho_async.wire.text import UNDECODABLE, is_object, untyped_object

RecordProduct: TypeAlias = Literal["books", "invoice", "inventory"]
ProductName: TypeAlias = Literal["books", "invoice", "inventory", "billing"]

#: The event types of Billing that documents name. There are more.
BillingEventType: TypeAlias = Literal[
    "billing_date_changed",
    "card_deleted",
    "card_expired",
    "card_expiring",
    "creditnote_added",
    "creditnote_deleted",
    "creditnote_refunded",
    "invoice_created",
    "invoice_notification",
    "invoice_updated",
    "invoice_voided",
    "payment_declined",
    "payment_method_added",
    "payment_method_deleted",
    "payment_method_updated",
    "payment_refunded",
    "payment_thankyou",
    "payment_voided",
    "subscription_activation",
    "subscription_ahead",
    "subscription_cancellation_scheduled",
    "subscription_cancelled",
    "subscription_cancelling",
    "subscription_created",
    "subscription_deleted",
    "subscription_downgraded",
    "subscription_expired",
    "subscription_expiring",
    "subscription_move_to_free_scheduled",
    "subscription_reactivated",
    "subscription_reactivation_scheduled",
    "subscription_renewed",
    "subscription_scheduled_cancellation_removed",
    "subscription_unpaid",
    "subscription_upgraded",
    "trial_expiring",
    "unbilled_charges_added",
    "unbilled_charges_deleted",
    "unbilled_charges_invoiced",
    "unbilled_charges_updated",
]
BILLING_EVENT_TYPES: Final[tuple[str, ...]] = get_args(BillingEventType)

#: Other names that modules have in payloads, and their names in the API.
_SYNONYMS: Final = {"customer": "contact", "vendor": "contact", "customerpayment": "payment"}
#: Keys of a payload that hold no record.
_NOT_RECORDS: Final = frozenset({"organization_id", "code", "message"})


class UnreadableWebhook(WebhookError):
    """The body of a webhook is not the JSON that its product sends: answer 400."""


class ChangeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a record of Books, Invoice or Inventory.

    ``module`` is the record's key in the payload (``invoice``), ``resource`` its module in the API
    (``books.invoices``), "" if unknown. ``record`` is the decoded record, None if the module is
    unknown; then ``values`` has it as plain JSON. ``record_id`` is "" if the payload has none.
    ``event_type`` is the parameter of that name in the webhook's address, or "". ``is_proven``
    is that of the `Delivery`.
    """

    product: RecordProduct
    module: str
    resource: str
    record_id: str
    record: Record | None
    values: Mapping[str, Any]
    event_type: str
    organization_id: str
    is_proven: bool

    @property
    def last_modified_time(self) -> datetime | None:
        """When the record was last changed; None if the payload does not say it."""
        found = getattr(self.record, "last_modified_time", None)
        return found if isinstance(found, datetime) else None


class BillingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Billing.

    ``event_type`` is one of `BillingEventType` or another text. ``records`` are the records of
    known modules by their key (``subscription``, ``invoice``), ``values`` all as plain JSON.
    """

    event_id: str
    event_type: str
    event_time: datetime | None
    records: Mapping[str, Record]
    values: Mapping[str, Any]
    is_proven: bool


@overload
def parse(delivery: Delivery, product: Literal["billing"]) -> BillingEvent: ...
@overload
def parse(delivery: Delivery, product: RecordProduct) -> ChangeEvent: ...
@overload
def parse(delivery: Delivery, product: ProductName) -> ChangeEvent | BillingEvent: ...
def parse(delivery: Delivery, product: ProductName) -> ChangeEvent | BillingEvent:
    """Read the event in ``delivery``.

    Loads the product's description and the record's module when first used: 10 to 60 ms. Raises
    `UnreadableWebhook` if the body has another form, and `LookupError` for an unknown product.

        event = parse(delivery, "books")
        match event.record:
            case Invoice(invoice_number=number, balance=balance):
                ...
    """
    if product not in PRODUCTS:
        raise LookupError(f"unknown product {product!r}; choose one of {', '.join(PRODUCTS)}")
    try:
        payload = untyped_object(delivery.body)
        if product == "billing":
            return _billing_event(payload, delivery)
        return _record_event(payload, delivery, product)
    except (*UNDECODABLE, Unreadable, RecursionError):
        raise UnreadableWebhook("the body of the webhook is not a JSON object") from None


def _record_event(
    payload: dict[str, Any], delivery: Delivery, product: RecordProduct
) -> ChangeEvent:
    modules = [
        name for name, value in payload.items() if name not in _NOT_RECORDS and is_object(value)
    ]
    if len(modules) != 1:
        raise UnreadableWebhook(f"the payload must have one record, but has {len(modules)}")
    module = modules[0]
    known = _records_of(product).get(_plain(module))
    values: dict[str, Any] = payload[module]
    return ChangeEvent(
        product=product,
        module=module,
        resource=known.resource if known else "",
        record_id=_id_text(values.get(known.id_field)) if known else "",
        record=_record(known, product, module, delivery.body) if known else None,
        values=values,
        event_type=delivery.query.get("event_type", ""),
        organization_id=_id_text(payload.get("organization_id")),
        is_proven=delivery.is_proven,
    )


def _billing_event(payload: dict[str, Any], delivery: Delivery) -> BillingEvent:
    data, body = _billing_data(payload, delivery.body)
    event_id, event_type = _id_text(payload.get("event_id")), payload.get("event_type")
    if not event_id or not isinstance(event_type, str):
        raise UnreadableWebhook("the payload has no event_id and event_type")
    records: dict[str, Record] = {}
    for name, value in data.items():
        known = _records_of("billing").get(_plain(name))
        record = (
            _record(known, "billing", name, body) if known and isinstance(value, dict) else None
        )
        if record is not None:
            records[name] = record
    return BillingEvent(
        event_id=event_id,
        event_type=event_type,
        event_time=_time(payload.get("event_time")),
        records=records,
        values=data,
        is_proven=delivery.is_proven,
    )


def _billing_data(payload: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """The records of an event as values and as JSON.

    They are under ``data``, formerly ``payload``, which the list of events shows as JSON text.
    """
    key = next((key for key in ("data", "payload") if key in payload), "")
    data = payload.get(key)
    if isinstance(data, str):
        return untyped_object(data.encode()), data.encode()
    if not is_object(data):
        raise UnreadableWebhook("the payload has no data")
    parts = decoder_of(dict[str, msgspec.Raw]).decode(body)
    return data, bytes(parts[key])


class _KnownRecord(msgspec.Struct, frozen=True):
    """A record that a product's API can read: its ``product.resource``, and its id's field.

    ``by_id`` says that its own id is enough to read it.
    """

    resource: str
    id_field: str
    by_id: bool


@functools.cache
def _records_of(product: str) -> Mapping[str, _KnownRecord]:
    """The records of a product by their plain names."""
    found: dict[str, _KnownRecord] = {}
    for facts in description.reads(product):
        _, brace, id_field = facts.path.rpartition("{")
        if facts.name.endswith(".get") and facts.key and brace and id_field.endswith("}"):
            known = _KnownRecord(facts.resource, id_field[:-1], facts.path.count("{") == 1)
            found.setdefault(_plain(facts.key), known)
    for other, name in _SYNONYMS.items():
        if name in found:
            found.setdefault(other, found[name])
    return found


def readable(product: str, module: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """The resource and the id with which the API reads a payload's record; "" if it cannot."""
    known = _records_of(product).get(_plain(module))
    record_id = _id_text(values.get(known.id_field)) if known and known.by_id else ""
    try:
        quoted_id("id", record_id)
    except ValueError:  # empty, or not one segment of a path
        return "", ""
    return (known.resource, record_id) if known else ("", "")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _record(known: _KnownRecord, product: str, key: str, body: bytes) -> Record | None:
    """The record under ``key`` of ``body``, decoded like a reply of the API."""
    result = _type_of(known.resource)
    if result is None:
        return None
    operation = Operation(
        name=f"{known.resource}.get",
        product=PRODUCTS[product],
        method="GET",
        path="",
        result=result,
        key=key,
    )
    return Decoder().value(operation, body)


@functools.cache
def _type_of(resource: str) -> type[Record] | None:
    module = importlib.import_module(f"zoho_async.{resource}")
    found = typing.get_type_hints(module.get)["return"]
    return found if isinstance(found, type) and issubclass(found, Record) else None


def _id_text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _time(value: object) -> datetime | None:
    try:
        return msgspec.convert(value, datetime, strict=False) if isinstance(value, str) else None
    except msgspec.ValidationError:
        return None
