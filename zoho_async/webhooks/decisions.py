"""Decide what to do with a payload, and whether to believe a read.

The theory is in `zoho_async.webhooks.changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from zoho_async.webhooks.events import (
    BillingEvent,
    ChangeEvent,
    ProductName,
    parse,
    readable,
)
from zoho_async.webhooks.queue import KnownRecord, PendingDelivery
from zoho_async.wire import Record

Decision: TypeAlias = Literal["apply", "drop", "read"]
#: Events after which the payload can be the record, and those of Billing behind the record's name.
#: Any other event is confirmed by a read.
_EDITS: Final = frozenset({"created", "edited", "updated", "created_or_edited", "changed"})
#: The doubt in a record that is older than what is known of it.
OLDER: Final = "Zoho answers with an older state than it sent"
_BILLING_EDITS: Final = ("created", "updated", "upgraded")


class ChangedItem(msgspec.Struct, frozen=True):
    """One record of one delivery.

    ``moment`` is when the payload says that it was changed, in seconds since 1970.
    """

    number: int
    digest: str
    module: str
    resource: str
    record_id: str
    record: Record | None
    event: ChangeEvent | BillingEvent

    @property
    def key(self) -> str:
        return f"{self.resource} {self.record_id}"

    @property
    def moment(self) -> float | None:
        return moment_of(self.record)

    @property
    def is_deletion(self) -> bool:
        kind = self.event.event_type
        return kind in ("deleted", f"{self.module}_deleted", f"{self.module}s_deleted")

    @property
    def shows_that_it_exists(self) -> bool:
        """Whether the record existed after the event. A deletion has only the id, or its type."""
        return bool(self.moment is not None and self.event.event_type and not self.is_deletion)

    @property
    def can_be_read(self) -> bool:
        return bool(self.resource and self.record_id)


def moment_of(record: Record | None) -> float | None:
    """When a record was last changed, in seconds since 1970; None if it does not say."""
    for name in ("last_modified_time", "updated_time"):
        found = getattr(record, name, None)
        if isinstance(found, datetime) and found.tzinfo is not None:
            return found.timestamp()
    return None


def decide(
    *,
    event_type: str,
    module: str,
    is_proven: bool,
    moment: float | None,
    digest: str,
    known: KnownRecord | None,
    horizon: float,
) -> Decision:
    """Choose what to do with a payload of a record whose last change was at ``moment``."""
    if moment is None or not is_proven or not _is_edit(event_type, module):
        return "read"
    if known is None:
        return "apply" if moment > horizon else "read"
    if known.moment is None:
        return "read"
    if moment == known.moment:
        return "drop" if digest == known.digest else "read"
    return "apply" if moment > known.moment else "drop"


def _is_edit(event_type: str, module: str) -> bool:
    return event_type in _EDITS or event_type in [f"{module}_{edit}" for edit in _BILLING_EDITS]


def doubt_of(record: Record | None, items: Sequence[ChangedItem], known: KnownRecord | None) -> str:
    """Why a read cannot be believed yet, or "".

    A copy at Zoho that lags can miss a deletion, a change or a new record.
    """
    if record is None:
        was_deleted = known is not None and known.moment is None
        if was_deleted or not all(each.shows_that_it_exists for each in items):
            return ""
        return "Zoho does not find a record that was edited"
    if any(each.is_deletion and each.event.is_proven for each in items):
        return "Zoho still finds a record that was deleted"
    moment = moment_of(record)
    latest = [known.moment] if known is not None and known.moment is not None else []
    latest += [each.moment for each in items if each.moment is not None and each.event.is_proven]
    if moment is not None and latest and moment < max(latest):
        return OLDER
    return ""


def items_of(pending: PendingDelivery) -> Iterator[ChangedItem]:
    """The records of a delivery. Raises `UnreadableWebhook` and `LookupError` if it has none."""
    delivery = pending.delivery
    event = parse(delivery, cast(ProductName, pending.product))
    if isinstance(event, ChangeEvent):
        records: dict[str, Record | None] = {event.module: event.record}
        values: Mapping[str, Any] = {event.module: event.values}
    else:
        records, values = dict(event.records), event.values
    for module, record in records.items():
        resource, record_id = readable(pending.product, module, values[module])
        yield ChangedItem(
            number=pending.number,
            digest=delivery.digest,
            module=module,
            resource=resource,
            record_id=record_id,
            record=record,
            event=event,
        )
