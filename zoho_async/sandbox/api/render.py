"""What an answer says about a record: its message, and its fields in the reply's own form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import Ask, Found
from zoho_async.sandbox.api.envelopes import key_of
from zoho_async.sandbox.api.verbs import status_after
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.resources import Home
from zoho_async.sandbox.data.values import blank, render, render_fields
from zoho_async.sandbox.records.described import Described, holder_of
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiReply, success

_TOLD: Final = {
    "billing.invoices": ("sent", "overdue", "partially_paid", "paid", "void"),
    "billing:/unbilledcharges": ("open", "invoiced"),
}


def told_record(
    facts: OperationFacts,
    found: Found,
    message: str = "success",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> ApiReply:
    """The answer of an operation about one record."""
    collection = found.collection
    values: Mapping[str, Any] = {}
    resource = collection.resource
    if not isinstance(resource, Described):
        key = key_of(facts)
        values = {key: collection.detail(found.index)} if key else {}
    elif facts.answer != "done":
        values = told_state(facts, found.home, resource, collection.whole(found.index))
    return success(message, values, status=status, headers=headers)


def status_of(ask: Ask) -> int:
    """The HTTP status of what was done: 201 where a POST is described so, and 200."""
    return 201 if ask.call.method == "POST" and ask.facts.status == 201 else 200


def told_state(
    facts: OperationFacts, home: Home | None, form: Described | None, state: Record
) -> Record:
    """What stands beside code and message in an answer about a record in this state."""
    holder = holder_of(facts, home)
    if facts.answer == "record" or holder is not None:
        fields = facts.reply if holder is None else holder.fields
        if form is not None:
            record = form.render(fields, state)
        else:
            known = {field.name: field for field in fields}
            sent = {name: value for name, value in state.items() if name in known}
            record = {name: blank(field) for name, field in known.items()}
            record |= render_fields(fields, sent)
        if holder is None:
            key = key_of(facts)
            return {key: record} if key else record
        rest = {each.name: blank(each) for each in facts.reply if each is not holder}
        return rest | {holder.name: [record] if holder.kind == "list" else record}
    return {
        field.name: render(field, state[field.name]) if field.name in state else blank(field)
        for field in facts.reply
        if field.name not in ("code", "message")
    }


def message_of(ask: Ask) -> str:
    record = ask.record
    noun = record.home.noun.replace("_", " ") if record is not None else ask.call.parts[0]
    words = " ".join(ask.tail) or "change"
    if "email" in ask.tail:
        return "Your email is on its way."
    after = status_after(ask.tail, ()) if ask.tail else ""
    if after:
        return f"The {noun} has been marked as {after.replace('_', ' ')}."
    return f"The {noun} has been updated: {words}."


def statuses(collection: Collection) -> Sequence[str]:
    """The words that a status may be: those that the description allows, or tells in a sentence."""
    resource = collection.resource
    allowed = resource.statuses if isinstance(resource, Described) else ()
    return allowed or _TOLD.get(resource.name, ())
