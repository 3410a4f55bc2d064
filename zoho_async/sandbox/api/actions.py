"""Paths that end with words after a record: actions, settings, and values of a record.

An action changes its record. A value (a preference, the text of an email) is kept under its path
and read there. An operation whose reply is a record of another collection creates it there.
`billing_runs` has those that build an invoice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.api.bulk import change_many, requested_ids, schema_of_requested
from zoho_async.sandbox.api.context import (
    ROWS,
    OperationHandler,
    RecordRef,
    RequestContext,
    missing,
)
from zoho_async.sandbox.api.files import (
    document_reply,
    is_upload,
    remove_last_attachment,
    save_uploads,
    wants_print,
)
from zoho_async.sandbox.api.render import (
    allowed_statuses,
    record_reply,
    reply_message,
    reply_status,
    reply_values,
)
from zoho_async.sandbox.api.verbs import changes
from zoho_async.sandbox.api.writing import accept_fields, create
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiReply, success
from zoho_async.sandbox.rules import bookkeeping

#: Fields with the ids of other systems.
_FOREIGN: Final = ("reference_id", "zcrm_account_id", "zcrm_contact_id", "crm_reference_id")
#: The key of a reply that lists the outcome of each record.
_OUTCOMES: Final = "data"


def execute_trial(context: RequestContext) -> ApiReply | None:
    """Answer an update that runs the function in place of changing it; no code runs here."""
    if context.call.body.get("is_execute") is not True:
        return None
    args = context.call.body.get("sample_param", {})
    return success("success", {"execution_response": {"args": args, "log_message": []}})


#: Operations that the path alone does not distinguish from a plain creation or update.
HANDLERS: Final[Mapping[str, OperationHandler]] = {
    f"{product}.{name}": handler
    for product in ("books", "inventory")
    for name, handler in (
        ("documents.upload", save_uploads),
        ("custom_functions.update", execute_trial),
    )
}


def answer_action(context: RequestContext) -> ApiReply:
    """Answer a path that ends with words that are not a collection."""
    call, facts, record = context.call, context.facts, context.record
    if facts.answer == "file" or (call.method == "GET" and wants_print(call)):
        return document_reply(context, record)
    if call.form.files or is_upload(facts):
        return save_uploads(context)
    of_one = facts.answer == "record" and facts.key != _OUTCOMES
    ids = None if context.ids or of_one else requested_ids(context)
    schema = schema_of_requested(context) if ids is not None and call.method != "GET" else None
    makes = facts.answer == "record" and facts.key in context.schemas.by_noun
    if ids is not None and schema is not None and not makes:
        return change_many(context, schema, ids)
    if call.method == "DELETE":
        if not remove_last_attachment(context):
            context.store.forget(call.product, call.path)
        return success(reply_message(context))
    body = accept_fields(facts, call.body, whole=False) if call.method != "GET" else {}
    if ROWS in call.body and context.tail[-1:] == ["customfields"]:
        body = {"custom_fields": call.body[ROWS]}
    made = _create_elsewhere(context, record, body)
    if made is not None:
        return made
    if body:
        context.store.keep_thing(call.product, call.path, body)
    if record is not None and call.method != "GET":
        _apply_change(context, record, body)
    return _action_reply(context, record)


def _action_reply(context: RequestContext, record: RecordRef | None) -> ApiReply:
    """Reply about a record, or about a value that is kept under the path."""
    facts, call = context.facts, context.call
    message = "success" if call.method == "GET" else reply_message(context)
    status = reply_status(context)
    if facts.answer == "done":
        return success(message, status=status)
    thing = context.store.thing(call.product, call.path)
    if record is None:
        record = _implied_record(context)
    schema = record.schema if record is not None else None
    if record is not None and schema is not None and facts.key == schema.noun:
        return record_reply(facts, record, message, status=status)
    state: Record = record.collection.whole(record.index) if record is not None else {}
    state |= call.params
    values = reply_values(facts, schema, None, state | thing)
    return success(message, values, status=status)


def _implied_record(context: RequestContext) -> RecordRef | None:
    """Find the record of ``/users/me`` or ``/customers/reference/{reference_id}``."""
    schema = context.schemas.by_noun.get(context.facts.key)
    if schema is None or context.call.parts[0] != schema.path[0]:
        return None
    collection = context.store.at(schema, ())
    for index in collection.indexes():
        if not context.ids:
            return RecordRef(schema, collection, index)
        state = collection.state(index)
        if any(str(state.get(name, "")) == context.ids[-1] for name in _FOREIGN):
            return RecordRef(schema, collection, index)
    raise missing(collection, schema)


def _create_elsewhere(
    context: RequestContext, record: RecordRef | None, body: Record
) -> ApiReply | None:
    """Create the record if the reply is a record of another collection, else return None."""
    facts = context.facts
    if context.call.method != "POST" or facts.answer != "record":
        return None
    schema = context.schemas.by_noun.get(facts.key)
    copies = context.tail == ["clone"]
    if schema is None or (record is not None and schema is record.schema and not copies):
        return None
    if facts.status != 201 and record is None:
        return None
    record = record or _record_in_query(context)
    collection = context.store.at(schema, ())
    source = record.collection.state(record.index) if record is not None else {}
    known = {field.name for field in facts.reply}
    fields = {name: value for name, value in source.items() if name in known}
    own = (collection.resource.id_field, "status", "created_time", "last_modified_time")
    kept = {name: value for name, value in (fields | body).items() if name not in own}
    found = create(context, schema, collection, kept, checked=False)
    headers = {"location": f"/api/v3/{schema.path[0]}/{found.id}"}
    return record_reply(facts, found, collection.resource.added, status=201, headers=headers)


def _record_in_query(context: RequestContext) -> RecordRef | None:
    """Return the record that the query names as the source of a new one."""
    for name, value in context.call.params.items():
        for schema in context.schemas.for_name(name):
            collection = context.store.at(schema, ())
            index = collection.find(value)
            if index is None:
                raise missing(collection, schema)
            return RecordRef(schema, collection, index)
    return None


def _apply_change(context: RequestContext, record: RecordRef, body: Mapping[str, Any]) -> None:
    """Apply the words after a record to it."""
    collection = record.collection
    state = collection.state(record.index)
    body = bookkeeping.kept(record.schema, body)
    if not context.tail:
        words: list[str] = []
        changed = {name: value for name, value in body.items() if name in state}
    else:
        words = context.tail
        changed = changes(words, body, allowed_statuses(collection), state)
    own = (collection.resource.id_field, "organization_id")
    changed |= {
        name: value
        for name, value in (
            *zip(context.names, context.ids, strict=True),
            *context.call.params.items(),
        )
        if name in state and name not in own and value != record.id
    }
    if changed:
        collection.change(record.index, changed)
