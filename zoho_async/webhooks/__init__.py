"""Webhooks: check that a request comes from Zoho, and read the event in it.

`verify` checks the signature and returns a `Delivery`; `parse` turns a delivery into an event with
the same records as the API's. `verify_payments` checks the other form that Zoho Payments uses.
"""

from zoho_async.webhooks.events import (
    BILLING_EVENT_TYPES,
    BillingEvent,
    BillingEventType,
    ChangeEvent,
    UnreadableWebhook,
    parse,
)
from zoho_async.webhooks.signature import (
    Delivery,
    WebhookError,
    WrongSignature,
    verify,
    verify_payments,
)

__all__ = [
    "BILLING_EVENT_TYPES",
    "BillingEvent",
    "BillingEventType",
    "ChangeEvent",
    "Delivery",
    "UnreadableWebhook",
    "WebhookError",
    "WrongSignature",
    "parse",
    "verify",
    "verify_payments",
]
