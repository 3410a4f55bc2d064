"""The events of Zoho Billing that follow from changes of records.

Zoho sets webhooks of Billing in the web application only. The sandbox installs them with
`Deliveries.install_billing`, and from then on each change that has an event type adds an event to
``/billing/v1/events``. The event has its payload as JSON text and the status of each webhook.

Documented are the names of the types, and which records they are about. Assumed is that each change
below makes its event, and that renewals, expiries and failed payments, which the sandbox does not
simulate, make none. The status of a webhook is ``scheduled``, ``success`` or ``failure``, as
documented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_object
from zoho_async.sandbox.deliveries.requests import WebhookRequest, request_of
from zoho_async.sandbox.deliveries.rules import plain
from zoho_async.sandbox.deliveries.settings import WebhookDelivery
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER

EVENTS: Final = "billing.events"

#: The type of an event by the record's kind and the operation, if the record does not decide it.
_TYPES: Final[Mapping[tuple[str, str], str]] = {
    ("subscription", "created"): "subscription_created",
    ("subscription", "deleted"): "subscription_deleted",
    ("invoice", "created"): "invoice_notification",
    ("invoice", "updated"): "invoice_updated",
    ("creditnote", "created"): "creditnote_added",
    ("creditnote", "deleted"): "creditnote_deleted",
    ("payment", "created"): "payment_thankyou",
    ("payment", "deleted"): "payment_voided",
    ("refund", "created"): "payment_refunded",
    ("card", "deleted"): "card_deleted",
    ("unbilledcharge", "created"): "unbilled_charges_added",
    ("unbilledcharge", "updated"): "unbilled_charges_updated",
    ("unbilledcharge", "deleted"): "unbilled_charges_deleted",
}
#: The type of an event by the status that a subscription gets.
_STATUSES: Final[Mapping[str, str]] = {
    "cancelled": "subscription_cancelled",
    "non_renewing": "subscription_cancellation_scheduled",
    "expired": "subscription_expired",
    "unpaid": "subscription_unpaid",
}


class BillingWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of Billing. Without ``events`` it gets all types."""

    webhook_id: str
    organization: str
    url: str
    secret: str
    events: frozenset[str]

    def wants(self, store: Store, event_type: str) -> bool:
        """Return whether the webhook is called for an event of an organization."""
        same = self.organization == store.world.organization
        return same and (not self.events or event_type in self.events)

    def request(self, payload: Mapping[str, Any]) -> WebhookRequest:
        """Return the request for an event. Raises `ValueError` for an invalid address."""
        return request_of({"url": self.url, "secret": self.secret}, payload, {})


class SubscriptionTerms(msgspec.Struct, frozen=True):
    """What decides the type of the next event of a subscription."""

    status: str
    plan: str
    price: float
    next_billing: str


def subscription_of(state: Mapping[str, Any]) -> SubscriptionTerms:
    """Return what matters of a subscription's record."""
    plan: Any = state.get("plan")
    of_plan: Record = plan if is_object(plan) else {}
    return SubscriptionTerms(
        status=str(state.get("status") or ""),
        plan=str(of_plan.get("plan_code") or state.get("plan_code") or ""),
        price=float(of_plan.get("price") or 0),
        next_billing=str(state.get("next_billing_at") or ""),
    )


def event_type_of(
    kind: str, operation: str, state: Mapping[str, Any], before: SubscriptionTerms | None
) -> str:
    """Return the type of the event for a change, or "" if it has none.

    ``before`` is the subscription before the change, None if it is not known.
    """
    kind = plain(kind)
    if kind == "invoice" and operation == "updated" and state.get("status") == "void":
        return "invoice_voided"
    if kind != "subscription" or operation != "updated":
        return _TYPES.get((kind, operation), "")
    now = subscription_of(state)
    if before is None or now.status != before.status:
        was_ending = before is not None and before.status in ("non_renewing", "cancelled")
        reactivated = "subscription_reactivated" if was_ending else ""
        return _STATUSES.get(now.status, reactivated)
    if now.plan != before.plan:
        higher = now.price >= before.price
        return "subscription_upgraded" if higher else "subscription_downgraded"
    return "billing_date_changed" if now.next_billing != before.next_billing else ""


def add_event(
    store: Store, event_type: str, moment: str, data: Record, webhooks: Sequence[BillingWebhook]
) -> Record:
    """Add an event to ``/events``. Returns the payload for the webhooks."""
    collection = store.collection(EVENTS)
    index = collection.add(
        {
            "event_type": event_type,
            "event_time": moment,
            "payload": ENCODER.encode(data).decode(),
            "webhooks": [
                {
                    "webhook_id": each.webhook_id,
                    "url": each.url,
                    "status": "scheduled",
                    "last_updated_time": moment,
                }
                for each in webhooks
            ],
        }
    )
    event_id = collection.id(index)
    return {"event_id": event_id, "event_type": event_type, "event_time": moment, "data": data}


def note_status(store: Store, event_id: str, entry: WebhookDelivery, moment: str) -> None:
    """Write what became of a webhook into its event."""
    collection = store.collection(EVENTS)
    index = collection.find(event_id)
    if index is None:
        return
    status = "success" if entry.status == "success" else "failure"
    rows: list[Record] = collection.state(index)["webhooks"]
    changed = {"status": status, "last_updated_time": moment}
    fields = [row | changed if row["webhook_id"] == entry.webhook_id else row for row in rows]
    collection.change(index, {"webhooks": fields})
