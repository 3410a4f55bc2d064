"""Build replies about records: the message, and the fields in the reply's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.envelopes import key_of
from zoho_async.sandbox.api.verbs import status_after
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.resources import Home
from zoho_async.sandbox.data.values import blank, render, render_fields
from zoho_async.sandbox.records.described import Described, holder_of
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiReply, success

_STATUSES_IN_PROSE: Final = {
    "billing.invoices": ("sent", "overdue", "partially_paid", "paid", "void"),
    "billing:/unbilledcharges": ("open", "invoiced"),
}


def record_reply(
    facts: OperationFacts,
    found: RecordRef,
    message: str = "success",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> ApiReply:
    """Return the reply about one record."""
    collection = found.collection
    values: Mapping[str, Any] = {}
    resource = collection.resource
    if not isinstance(resource, Described):
        key = key_of(facts)
        values = {key: collection.detail(found.index)} if key else {}
    elif facts.answer != "done":
        values = reply_values(facts, found.home, resource, collection.whole(found.index))
    return success(message, values, status=status, headers=headers)


def reply_status(context: RequestContext) -> int:
    """Return 201 for a POST whose specification says so, else 200."""
    return 201 if context.call.method == "POST" and context.facts.status == 201 else 200


def reply_values(
    facts: OperationFacts, home: Home | None, form: Described | None, state: Record
) -> Record:
    """Return the values of a reply about a record, without code and message."""
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


def reply_message(context: RequestContext) -> str:
    record = context.record
    noun = record.home.noun.replace("_", " ") if record is not None else context.call.parts[0]
    words = " ".join(context.tail) or "change"
    if "email" in context.tail:
        return "Your email is on its way."
    after = status_after(context.tail, ()) if context.tail else ""
    if after:
        return f"The {noun} has been marked as {after.replace('_', ' ')}."
    return f"The {noun} has been updated: {words}."


def allowed_statuses(collection: Collection) -> Sequence[str]:
    """Return the statuses that the specification allows for a collection."""
    resource = collection.resource
    allowed = resource.statuses if isinstance(resource, Described) else ()
    return allowed or _STATUSES_IN_PROSE.get(resource.name, ())
