"""Webhooks: check that a request comes from Zoho, and follow the changes that it reports.

`verify` checks the signature and returns a `Delivery`; `parse` turns a delivery into an event with
the same records as the API's. `verify_payments` checks the other form that Zoho Payments uses.

A `Receiver` puts verified requests into a durable queue (`open_queue`), behind `aiohttp_handler` or
`asgi_app`. `handle_changes` takes them from there, and gives the state of each changed record to
your function: late, repeated and missing payloads are read again from the API. `catch_up` finds the
changes whose webhooks did not arrive.

`zoho_async.webhooks.install` creates webhooks and their rules, as ``zoho-async webhooks`` does;
`saved_secret` returns the secret that it saved.
"""

from zoho_async.webhooks.catching_up import CaughtUp, catch_up, keep_caught_up
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
from zoho_async.webhooks.secret_store import saved_secret
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
    "CaughtUp",
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
    "catch_up",
    "handle_changes",
    "keep_caught_up",
    "open_queue",
    "parse",
    "saved_secret",
    "verify",
    "verify_payments",
]
