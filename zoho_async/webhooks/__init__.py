"""Webhooks: check that a request comes from Zoho, and follow the changes that it reports.

`verify` checks the signature and returns a `Delivery`; `parse` turns a delivery into an event with
the same records as the API's. `verify_payments` checks the other form that Zoho Payments uses.

A `Receiver` puts verified requests into a durable queue (`open_queue`), behind `aiohttp_handler` or
`asgi_app`. `handle_changes` takes them from there, and gives the state of each changed record to
your function: late, repeated and missing payloads are read again from the API.
"""

from zoho_async.webhooks.changes import Change, handle_changes
from zoho_async.webhooks.events import (
    BILLING_EVENT_TYPES,
    BillingEvent,
    BillingEventType,
    ChangeEvent,
    UnreadableWebhook,
    parse,
)
from zoho_async.webhooks.queue import FailedDelivery, QueueFull, WebhookQueue, open_queue
from zoho_async.webhooks.receiver import Receiver, aiohttp_handler, asgi_app
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
    "Change",
    "ChangeEvent",
    "Delivery",
    "FailedDelivery",
    "QueueFull",
    "Receiver",
    "UnreadableWebhook",
    "WebhookError",
    "WebhookQueue",
    "WrongSignature",
    "aiohttp_handler",
    "asgi_app",
    "handle_changes",
    "open_queue",
    "parse",
    "verify",
    "verify_payments",
]
