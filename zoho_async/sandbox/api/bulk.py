"""Run an action on many records. Each has its own outcome, and one error does not stop the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from zoho_async.sandbox.api import books
from zoho_async.sandbox.api.context import ROWS, RecordRef, RequestContext, missing, texts
from zoho_async.sandbox.api.render import (
    allowed_statuses,
    reply_message,
    reply_status,
    reply_values,
)
from zoho_async.sandbox.api.verbs import changes
from zoho_async.sandbox.api.writing import accept_fields
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.described import Described, holder_of
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import bookkeeping


def requested_ids(context: RequestContext) -> list[str] | None:
    """Return the ids of the records in the query, or None."""
    for field in context.facts.query:
        many = field.name.endswith("_ids") or (field.required and field.name.endswith("_id"))
        if many and field.name in context.call.params and context.call.params[field.name]:
            return texts(context.call.params[field.name])
    return None


def schema_of_requested(context: RequestContext) -> CollectionSchema | None:
    """Return the collection of the ids in the query, preferably that of the path."""
    paths = (tuple(context.tail[:length]) for length in range(len(context.tail), 0, -1))
    own = next(
        (context.schemas.by_path[path] for path in paths if path in context.schemas.by_path), None
    )
    for field in context.facts.query:
        if field.name.endswith("_ids") and field.name in context.call.params:
            named = context.schemas.for_name(field.name.removesuffix("s"))
            if own is not None and own.id_field == field.name.removesuffix("s"):
                return own
            if named:
                return named[0]
    return own


def ids_in_body(context: RequestContext, schema: CollectionSchema) -> list[str]:
    """Return the ids of records of a collection in a body."""
    body = context.call.body
    if ROWS in body:
        return [str(each[schema.id_field]) for each in body[ROWS] if each.get(schema.id_field)]
    own = body.get(f"{schema.id_field}s") or body.get(schema.id_field)
    if own:
        return texts(own)
    lists = [value for value in body.values() if is_list(value)]
    named = (each.get(schema.id_field) for rows in lists for each in rows if is_object(each))
    return [str(each) for each in named if each]


def change_many(context: RequestContext, schema: CollectionSchema, ids: Sequence[str]) -> ApiReply:
    """Run the action of the path on many records of a collection."""
    collection = context.store.at(schema, context.ids[: schema.parents])
    body = accept_fields(context.facts, context.call.body, whole=False)
    do = functools.partial(_do_to, context, schema, collection, body=body)
    return apply_to_each(context, schema, ids, do, reply_message(context))


def apply_to_each(
    context: RequestContext,
    schema: CollectionSchema,
    ids: Sequence[str],
    do: Callable[[str], object],
    message: str,
) -> ApiReply:
    """Call ``do`` for each id and reply with the outcomes. Successes have ``message``."""
    outcomes: dict[tuple[int, str], list[str]] = {}
    for record_id in ids:
        try:
            do(record_id)
        except ApiRefusal as refusal:
            outcomes.setdefault((refusal.code, refusal.message), []).append(record_id)
        else:
            outcomes.setdefault((0, message), []).append(record_id)
    rows = [
        {"code": code, "message": text, "ids": those} for (code, text), those in outcomes.items()
    ]
    return _outcomes(context, schema, context.store.at(schema, context.ids[: schema.parents]), rows)


def _do_to(
    context: RequestContext,
    schema: CollectionSchema,
    collection: Collection,
    record_id: str,
    body: Record,
) -> None:
    """Run the action on one record. Raises `ApiRefusal`."""
    index = collection.find(record_id)
    if index is None:
        raise missing(collection, schema)
    if context.call.method == "DELETE":
        books.check_removal(context.store, RecordRef(schema, collection, index))
        collection.remove(index)
        bookkeeping.followed(context.store, RecordRef(schema, collection, index))
        return
    words = context.tail[len(schema.path) :]
    bookkeeping.verb(context.store, RecordRef(schema, collection, index), words)
    state = collection.state(index)
    sent = bookkeeping.kept(schema, body | _row_of(context.call.body, schema, record_id))
    named = {name: value for name, value in sent.items() if name in state}
    named.pop(collection.resource.id_field, None)
    changed = changes(words, body, allowed_statuses(collection), state) if words else named
    if changed:
        collection.change(index, changed)
    bookkeeping.followed(context.store, RecordRef(schema, collection, index))


def _row_of(body: Record, schema: CollectionSchema, record_id: str) -> Record:
    """Return the row for one record in a body that is a list."""
    rows: list[Record] = body.get(ROWS) or []
    nothing: Record = {}
    return next((row for row in rows if str(row.get(schema.id_field)) == record_id), nothing)


def _outcomes(
    context: RequestContext, schema: CollectionSchema, collection: Collection, rows: list[Record]
) -> ApiReply:
    facts = context.facts
    good = [row for row in rows if row["code"] == 0]
    bad = [row for row in rows if row["code"] != 0]
    done: list[str] = [record_id for row in good for record_id in row["ids"]]
    message = str(good[0]["message"]) if good else "Nothing was changed."
    if facts.answer == "done":
        return success(message, {"data": rows} if rows else {}, status=reply_status(context))
    holder = holder_of(facts, schema)
    resource = collection.resource
    if holder is not None and isinstance(resource, Described):
        indexes = (collection.find(each) for each in done)
        states = [collection.state(index) for index in indexes if index is not None]
        shown = [resource.render(holder.fields, state) for state in states]
        return success(message, {holder.name: shown}, status=reply_status(context))
    sent = {field.name: field.kind for field in facts.reply}.get("email_success_info")
    state: Record = {
        "errors": bad,
        "email_success_info": good
        if sent == "list"
        else {"message": message, "sent_count": len(done)},
        "email_errors_info": bad,
        "email_error_info": bad,
    }
    return success(message, reply_values(facts, None, None, state), status=reply_status(context))
