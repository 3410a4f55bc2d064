"""The activity log: what callers created, changed and deleted, newest first.

Records that are directly below an organization are logged. A write that changes other documents (a
payment and its invoices) is logged for the record that the call names, and for each record that it
creates or deletes. Entries have a day and no time, as seen live.

Unknown: how late Zoho shows an entry, which changes have none, and how far back the log goes. Here
each has an entry at once, unless `zoho_async.sandbox.simulation.activity` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.data.store import RecordEvent, Store
from zoho_async.sandbox.replies import ENCODER
from zoho_async.sandbox.reports.ledger import number_of
from zoho_async.sandbox.reports.query import PagedValue, ReportQuestion

_PLACE: Final = "activity"
_USER: Final = "Sam Sandbox"


class Activity(msgspec.Struct, frozen=True):
    """One entry of the log."""

    day: str
    operation: str
    kind: str
    record_id: str
    name: str
    party: str
    party_name: str
    amount: str


_DECODER: Final = decoder_of(Activity)


def log_of(store: Store) -> list[Activity]:
    """The log of an organization, oldest first."""
    if store.log is None:
        kept = store.keep.place(f"{store.world.organization}/{_PLACE}")
        store.log = [_DECODER.decode(kept[item]) for item in sorted(kept)]
    log: list[Activity] = store.log
    return log


def record_call(store: Store, named: set[str]) -> None:
    """Log the events of one call. A change counts if the call names the record.

    ``named`` are the ids in the call's path and query.
    """
    once: dict[tuple[str, str], RecordEvent] = {}
    for event in store.take_events():
        key = event.kind, event.record_id
        before = once.get(key)
        if event.operation == "updated" and (before is not None or event.record_id not in named):
            continue
        once[key] = event
    for event in once.values():
        log_entry(store, event)


def log_entry(store: Store, event: RecordEvent) -> None:
    """Add an entry for ``event`` to the log."""
    state, log = event.state, log_of(store)
    entry = Activity(
        day=store.world.day_now(),
        operation=event.operation,
        kind=event.kind,
        record_id=event.record_id,
        name=_name(event.kind, state),
        party=str(state.get("customer_id") or state.get("vendor_id") or ""),
        party_name=str(state.get("customer_name") or state.get("vendor_name") or ""),
        amount=str(state.get("total") or state.get("amount") or ""),
    )
    place = f"{store.world.organization}/{_PLACE}"
    store.keep.put(place, f"{len(log):09d}", ENCODER.encode(entry))
    log.append(entry)


def _name(kind: str, state: Mapping[str, Any]) -> str:
    names = (f"{kind}_number", f"{kind}_name", "contact_name", "account_name", "name")
    found = (state.get(name) for name in names)
    return str(number_of(state) or next(filter(None, found), ""))


def activity_rows(store: Store, asked: ReportQuestion) -> list[Any] | PagedValue:
    """The rows of the report, newest first."""
    world, log, rules = store.world, log_of(store), store.activity
    today = world.day_now()
    rows: list[Any] = []
    for number, entry in enumerate(log):
        if not asked.first <= entry.day <= asked.last:
            continue
        if not rules.shows(number, entry.operation, entry.day, today):
            continue
        title = entry.kind.replace("_", " ").capitalize()
        amount = f" of amount {entry.amount}" if entry.amount else ""
        rows.append(
            {
                "activity_id": world.fixed_id(1_000_000 + number),
                "date": entry.day,
                "description": f'{title} "{entry.name}"{amount} {entry.operation}',
                "user_id": world.user_id,
                "user_name": _USER,
                "activity_type": "",
                "ref_transaction_type": entry.kind,
                "activity_details": {
                    "transaction_id": entry.record_id,
                    "transaction_name": entry.name,
                    "transaction_type": entry.kind,
                    "operation_type": entry.operation,
                    "customer_id": entry.party,
                    "customer_name": entry.party_name,
                },
            }
        )
    rows.reverse()
    return PagedValue(rows[: asked.per_page], len(rows)) if rules.repeats else rows
