"""Build replies about records: the message, and the fields in the reply's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import RecordRef, RequestContext
from zoho_async.sandbox.api.verbs import status_after
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema
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
    return success(message, record_values(facts, found), status=status, headers=headers)


def record_values(facts: OperationFacts, found: RecordRef) -> Mapping[str, Any]:
    """Return the values of the reply about one record, without code and message."""
    collection = found.collection
    resource = collection.resource
    if not isinstance(resource, Described):
        key = key_of(facts)
        return {key: collection.detail(found.index)} if key else {}
    if facts.answer == "done":
        return {}
    return reply_values(facts, found.schema, resource, collection.whole(found.index))


def reply_status(context: RequestContext) -> int:
    """Return 201 for a POST whose specification says so, else 200."""
    return 201 if context.call.method == "POST" and context.facts.status == 201 else 200


def reply_values(
    facts: OperationFacts, schema: CollectionSchema | None, form: Described | None, state: Record
) -> Record:
    """Return the values of a reply about a record, without code and message."""
    holder = holder_of(facts, schema)
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
    noun = record.schema.noun.replace("_", " ") if record is not None else context.call.parts[0]
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


# -- envelope keys ------------------------------------------------------------------------------

#: Keys that Zoho was seen to use, even if its specification differs: by product and first word of
#: the path. The client is generated from the specification. If the sandbox took these keys from
#: there, it would confirm every wrong key.
_SEEN: Final[dict[tuple[str, str], str]] = {
    ("books", "chartofaccounts"): "chart_of_account",  # recorded
    ("books", "vendorpayments"): "vendorpayment",  # recorded
    ("inventory", "bundles"): "bundle",  # this and all that follow: used by live clients
    ("inventory", "compositeitems"): "composite_item",
    ("inventory", "itemgroups"): "item_group",
    ("inventory", "purchaseorders"): "purchaseorder",
    ("inventory", "purchasereceives"): "purchasereceive",
    ("inventory", "salesorders"): "salesorder",
    ("inventory", "shipmentorders"): "shipmentorder",
}


def key_of(facts: OperationFacts) -> str:
    """Return the key of one record in the reply; "" if its fields are at the top level."""
    first, *rest = facts.path.strip("/").split("/")
    is_one = not rest or (len(rest) == 1 and rest[0].startswith("{"))
    seen = _SEEN.get((facts.product, first)) if is_one else None
    return facts.key if seen is None else seen
