"""Run an API call against a store, as the specification of its operation says.

How a path is read (`data.schemas` has the collections):

- an id at its end: read, change or delete that record
- a collection at its end: list it, or create a record in it
- other words after a record: an action (`verbs`), or a value of the record that is kept by path
- words after a collection, with ids in the query: the same action on each record
- ``reports`` and a name: a report of the books (`reports.answer`), described or not

An operation whose reply is a record of another collection creates one there. The field types of a
reply are those of its specification. Limits, tokens and organizations are checked before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, MutableSequence
from typing import Any, Final

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api import actions, billing_runs, books, listing, organizations
from zoho_async.sandbox.api.actions import answer_action
from zoho_async.sandbox.api.bulk import change_many, ids_in_body, requested_ids
from zoho_async.sandbox.api.context import ROWS, ApiCall, OperationHandler, RequestContext, texts
from zoho_async.sandbox.api.files import (
    UPLOADS,
    answer_document,
    document_reply,
    purge_document,
    wants_print,
)
from zoho_async.sandbox.api.render import record_reply
from zoho_async.sandbox.api.router import Route, all_operations
from zoho_async.sandbox.api.writing import accept_fields, create, update, upsert
from zoho_async.sandbox.data.collection import Collection, View
from zoho_async.sandbox.data.schemas import CollectionSchema
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_object
from zoho_async.sandbox.deliveries import rules as workflow_rules
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid, success
from zoho_async.sandbox.reports import account_lines
from zoho_async.sandbox.reports.activity import record_call
from zoho_async.sandbox.reports.answer import answer_report
from zoho_async.sandbox.rules import applying, bookkeeping, pending, subscriptions

_MOST_AT_ONCE: Final = 100


async def answer(
    call: ApiCall, found: Route | None, store: Store, every: MutableSequence[Store]
) -> ApiReply:
    """Answer a call for the organization of ``store``. Raises `ApiRefusal`.

    ``found`` is the operation of the call, or None if none is described. ``every`` has the stores
    of all organizations. A new organization is added to it.
    """
    if (report := await answer_report(call, store)) is not None:
        return report
    if (known := answer_document(call, store)) is not None:
        return known
    if found is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    try:
        return await _answer_route(_with_ids_of_body(call, found.facts), found, store, every)
    except ApiRefusal as refusal:
        if call.product != "billing" or refusal.status != 404 or refusal.code == 5:
            raise
        # Billing was seen to answer 400 where the other products answer 404
        raise ApiRefusal(400, refusal.code, refusal.message) from None


def _with_ids_of_body(call: ApiCall, facts: OperationFacts) -> ApiCall:
    """Move ids that a form or a body has in place of the query (``invoice_ids=1,2``) there."""
    moved = {
        field.name: ",".join(texts(call.body[field.name]))
        for field in facts.query
        if field.name.endswith("_ids") and field.name in call.body
        if not call.params.get(field.name)
    }
    if not moved:
        return call
    body = {name: value for name, value in call.body.items() if name not in moved}
    return msgspec.structs.replace(call, params={**call.params, **moved}, body=body)


async def _answer_route(
    call: ApiCall, found: Route, store: Store, every: MutableSequence[Store]
) -> ApiReply:
    if call.parts[0] == "organizations":
        known = organizations.answer(call, found.facts, store, every)
        if known is not None:
            return known
    if ROWS in call.body and not _takes_rows(found.facts):
        raise ApiRefusal(400, 1038, "JSON is not well formed")
    listing.check(found.facts, call.params, UPLOADS)
    context = RequestContext(call, found, store)
    reply = await _answer(context)
    purge_document(context)
    if context.call.method != "GET" and context.records and context.records[0] is not None:
        bookkeeping.followed(store, context.records[0])
    if call.method != "GET":
        ids = (each for value in call.params.values() for each in texts(value))
        record_call(store, {*call.parts, *ids})
    return reply


async def _answer(context: RequestContext) -> ApiReply:
    if context.call.method == "POST" and len(context.ids) == 1 and context.records[0] is not None:
        bookkeeping.verb(context.store, context.records[0], context.tail)
    own = registry(context.facts.product).get(context.facts.name)
    reply = own(context) if own is not None else None
    if reply is not None:
        return reply
    if context.facts.answer == "list":
        return await _answer_list(context)
    return _general_handler(context)(context)


@functools.cache
def registry(product: str) -> Mapping[str, OperationHandler]:
    """Return the handlers of a product's operations that the general rules do not cover.

    Raises `ValueError` for an operation with two handlers.
    """
    found: dict[str, OperationHandler] = {}
    modules = (
        *(subscriptions.HANDLERS, pending.HANDLERS, billing_runs.HANDLERS),
        *(actions.HANDLERS, books.handlers(), workflow_rules.HANDLERS),
    )
    for name, facts in all_operations(product).items():
        several = [table[name] for table in modules if name in table]
        applies = applying.handler_of(facts)
        if applies is not None:
            several.append(applies)
        if len(several) > 1:
            raise ValueError(f"{name} has {len(several)} handlers")
        if several:
            found[name] = several[0]
    return found


def _general_handler(context: RequestContext) -> Callable[[RequestContext], ApiReply]:
    """Return the general rule for a path that is not a list."""
    if context.names_record:
        return _answer_record
    if context.schema is not None and not context.call.form.files:
        return _answer_collection
    return answer_action


def _takes_rows(facts: OperationFacts) -> bool:
    """Return whether a body may be a list: for custom fields and bulk operations."""
    return facts.path.endswith("/customfields") or ".bulk_" in facts.name


async def _answer_list(context: RequestContext) -> ApiReply:
    if context.facts.name == account_lines.OPERATION:
        return await account_lines.answer_lines(context.call, context.store)
    schema = context.schemas.at(context.facts.path)
    if schema is None or schema.listed is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    several = _answer_by_ids(context)
    if several is not None:
        return several
    rows: Collection | View
    if schema.listed is context.facts and schema.parents == len(context.ids):
        rows = context.store.shown(schema, context.ids)
    else:
        rows = context.store.at(schema, context.ids[: schema.parents])
    query = listing.parse_query(rows, context.facts, context.call.params)
    return await listing.answer(rows, query, context.facts)


def _answer_by_ids(context: RequestContext) -> ApiReply | None:
    """Answer with the full records of the ids in the query. Unknown ids are left out."""
    facts = context.facts
    for field in facts.query:
        known = context.schemas.for_name(field.name.removesuffix("s"))
        if not field.required or not field.name.endswith("_ids") or not known:
            continue
        ids = texts(context.call.params[field.name])
        if not 0 < len(ids) <= (facts.batch or _MOST_AT_ONCE):
            raise invalid(field.name)
        collection = context.store.at(known[0], ())
        form = Described(context.schemas.at(facts.path) or known[0], context.schemas, ())
        found = (collection.find(each) for each in ids)
        rows = [form.render(facts.reply, collection.whole(i)) for i in found if i is not None]
        return success("success", {facts.key: rows})
    return None


def _answer_record(context: RequestContext) -> ApiReply:
    """Answer a path that ends with the id of a record."""
    found, call, facts = context.records[-1], context.call, context.facts
    if found is None or found.schema.parents < len(context.ids) - 1:
        return answer_action(context)
    as_json = "json" in call.params.get("accept", "") or call.method != "GET"
    kept = not as_json and context.store.file(call.product, call.path) is not None
    if facts.answer == "file" or kept or (call.method == "GET" and wants_print(call)):
        return document_reply(context, found)
    match call.method:
        case "GET":
            return record_reply(facts, found)
        case "DELETE":
            books.check_removal(context.store, found)
            found.collection.remove(found.index)
            return success(found.collection.resource.deleted)
        case _ if facts.body or facts.answer != "done" or call.method == "PUT":
            update(context, found)
            return record_reply(facts, found, found.collection.resource.saved)
        case _:
            return answer_action(context)


def _answer_collection(context: RequestContext) -> ApiReply:
    """Answer a path that is a collection: create, upsert, or change several records."""
    call, facts, schema = context.call, context.facts, context.schema
    assert schema is not None  # `_general_handler` chose this for the collection
    ids = requested_ids(context)
    match call.method:
        case "POST" if ids is None or facts.answer != "done":
            return _create(context, schema, context.collection_for(schema))
        case "PUT" if facts.headers:
            collection = context.collection_for(schema)
            found = upsert(context, schema, collection)
            if found is None:
                return _create(context, schema, collection)
            return record_reply(facts, found, collection.resource.saved)
        case "DELETE":
            return change_many(
                context, schema, ids if ids is not None else ids_in_body(context, schema)
            )
        case "PUT" if schema.parents <= len(context.ids):
            return change_many(
                context, schema, ids if ids is not None else ids_in_body(context, schema)
            )
        case "GET" if facts.answer == "values" and schema.parents == len(context.ids):
            collection = context.collection_for(schema)
            rows = [collection.row(index) for index in collection.indexes()]
            return success("success", {field.name: rows for field in facts.reply[:1]})
        case _:
            return answer_action(context)


def _create(context: RequestContext, schema: CollectionSchema, collection: Collection) -> ApiReply:
    elements = _elements_of(context)
    for element in elements[:-1]:
        create(context, schema, collection, element, checked=False)
    last = elements[-1] if elements else context.call.body
    found = create(context, schema, collection, last, checked=not elements)
    status = 201 if context.facts.status == 201 or context.facts.answer != "done" else 200
    where = f"{context.call.path}/{found.id}"
    message = collection.resource.added
    headers = {"location": f"/api/v3{where}"} if status == 201 else None
    return record_reply(context.facts, found, message, status=status, headers=headers)


def _elements_of(context: RequestContext) -> list[Record]:
    """Return the records of a body that is mainly a list of them, else []."""
    body, fields = context.call.body, context.facts.body
    if context.facts.answer == "record" or len(fields) > 2:
        return []
    whole = accept_fields(context.facts, body, whole=True)
    lists = [each.name for each in fields if each.kind == "list" and each.fields]
    shared = {name: value for name, value in whole.items() if name not in lists}
    rows: list[Record] = []
    for name in lists:
        elements: list[Any] = whole.get(name) or []
        rows += [shared | each for each in elements if is_object(each)]
    return rows
