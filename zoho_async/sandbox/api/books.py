"""The hand-written modules of Books: contacts, items, invoices, projects.

Their records have rules that the specification does not have: totals, balances, custom fields,
unique names and numbers, contacts that cannot be deleted. `dispatch` handles everything else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Final

from zoho_async.sandbox.api.context import OperationHandler, RecordRef, RequestContext, tail_of
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.api.validation import accept_fields, missing_field
from zoho_async.sandbox.api.writing import next_number
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.store import RESOURCES, Store
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid, invalid_field, success
from zoho_async.sandbox.rules import bookkeeping

_LOCATION: Final = "/api/v3"
_MOST_ITEM_IDS: Final = 100


def check_removal(store: Store, found: RecordRef) -> None:
    """Raise `ApiRefusal` for a record that cannot be deleted, such as a contact with invoices."""
    bookkeeping.check_removal(store, found)
    if found.schema.name == "books.contacts" and _has_documents(
        store, found.collection, found.index
    ):
        raise ApiRefusal(
            400, 3000, "This contact cannot be deleted since you have recorded transactions for it."
        )


def _first_record(context: RequestContext) -> RecordRef:
    found = context.records[0]
    assert found is not None
    return found


def _collection(context: RequestContext) -> Collection:
    return context.store.collections[context.facts.resource]


def _item_details(context: RequestContext) -> ApiReply:
    """Answer with several full items. Unknown ids are left out."""
    items = context.store.collection("books.items")
    wanted = [each for each in context.call.params.get("item_ids", "").split(",") if each]
    if not 0 < len(wanted) <= _MOST_ITEM_IDS:
        raise invalid("item_ids")
    found = [index for item_id in wanted if (index := items.find(item_id)) is not None]
    return success("success", {"items": [items.detail(index) for index in found]})


# -- writes -------------------------------------------------------------------------------------


def _create(context: RequestContext) -> ApiReply:
    collection = _collection(context)
    resource = collection.resource
    fresh = resource.fresh(collection.world, collection.next_index)
    facts = operations("books")[f"{resource.name}.create"]
    fields = accept_fields(context.call.body, facts, fresh, whole=True)
    fields = _apply_module_rules(context.store, collection, fields, None)
    if resource.name == "books.invoices" and not fields.get("invoice_number"):
        if context.call.params.get("ignore_auto_number_generation") == "true":
            raise invalid_field("invoice_number")
        fields["invoice_number"] = next_number(collection)
    schema = context.schemas.by_name[resource.name]
    plan = bookkeeping.check(context, schema, collection, fields, None)
    index = collection.add(fields)
    bookkeeping.written(context, RecordRef(schema, collection, index), plan)
    location = f"{_LOCATION}{resource.path}/{collection.id(index)}"
    return success(
        resource.added,
        {resource.single: collection.detail(index)},
        status=201,
        headers={"location": location},
    )


def _update(context: RequestContext) -> ApiReply:
    return _change(context, _collection(context), _first_record(context).index)


def _change(context: RequestContext, collection: Collection, index: int) -> ApiReply:
    resource = collection.resource
    state = collection.state(index)
    facts = operations("books")[f"{resource.name}.update"]
    fields = accept_fields(context.call.body, facts, state, whole=False)
    fields = _apply_module_rules(context.store, collection, fields, index)
    schema = context.schemas.by_name[resource.name]
    plan = bookkeeping.check(context, schema, collection, fields, index)
    collection.change(index, fields)
    bookkeeping.written(context, RecordRef(schema, collection, index), plan)
    return success(resource.saved, {resource.single: collection.detail(index)})


def _upsert(context: RequestContext) -> ApiReply:
    """Update the record whose unique custom field has the value in the headers, or create it."""
    collection = _collection(context)
    headers = context.call.headers
    field = headers.get("X-Unique-Identifier-Key", "")
    value = headers.get("X-Unique-Identifier-Value", "")
    if not field or not value:
        raise invalid_field("X-Unique-Identifier-Key")
    for index in collection.indexes():
        if str(collection.row(index).get(field, "")) == value:
            return _change(context, collection, index)
    if headers.get("X-Upsert", "").lower() != "true":
        code, message = collection.resource.missing
        raise ApiRefusal(404, code, message)
    return _create(context)


def _clone(context: RequestContext) -> ApiReply:
    collection = _collection(context)
    resource = collection.resource
    original = collection.state(_first_record(context).index)
    for name in (resource.id_field, "created_time", "last_modified_time"):
        del original[name]
    facts = operations("books")[f"{resource.name}.update"]
    changes = accept_fields(context.call.body, facts, original, whole=False)
    made = collection.add(original | changes)
    return success(
        "Project has been cloned successfully.",
        {resource.single: collection.detail(made)},
        status=201,
        headers={"location": f"{_LOCATION}{context.call.path}"},
    )


def _run_verb(context: RequestContext) -> ApiReply:
    collection = _collection(context)
    field, value, message = collection.resource.verbs["/".join(context.tail)]
    collection.change(_first_record(context).index, {field: value})
    return success(message)


def _has_documents(store: Store, contacts: Collection, index: int) -> bool:
    contact = contacts.state(index)
    if contact["has_transaction"]:
        return True
    written = (
        *store.collection("books.invoices").written(),
        *store.collection("books.projects").written(),
    )
    return any(record["customer_id"] == contact["contact_id"] for record in written)


# -- module rules --------------------------------------------------------------------------------


def _apply_module_rules(
    store: Store, collection: Collection, fields: Record, index: int | None
) -> Record:
    """Check that names and numbers are new and that ids exist."""
    match collection.resource.name:
        case "books.contacts":
            _unique(collection, fields, index, "contact_name", 3062, "The contact already exists.")
        case "books.items":
            _unique(collection, fields, index, "name", 1000, "The item name already exists.")
        case "books.invoices":
            text = "Invoice Number already exists."
            _unique(collection, fields, index, "invoice_number", 1001, text)
            lines: list[Record] = fields.get("line_items") or []
            for line in lines:
                item_id = line.get("item_id")
                if item_id and not store.exists("books.items", item_id):
                    raise ApiRefusal(400, 2006, "Item does not exist.")
            _fill_customer_name(store, fields)
        case _:
            _fill_customer_name(store, fields)
    return fields


def _unique(
    collection: Collection,
    fields: Record,
    index: int | None,
    name: str,
    code: int,
    message: str,
) -> None:
    wanted = fields.get(name)
    if not wanted:
        if index is None and collection.resource.name == "books.contacts":
            raise missing_field(name)
        return
    for other in collection.with_value(name, wanted):
        if other != index:
            raise ApiRefusal(400, code, message)


def _fill_customer_name(store: Store, fields: Record) -> None:
    if not fields.get("customer_id"):
        return
    contacts = store.collection("books.contacts")
    index = contacts.find(str(fields["customer_id"]))
    if index is None:
        raise ApiRefusal(404, 1002, "Contact does not exist.")
    fields["customer_name"] = contacts.row(index)["contact_name"]


# -- registry ------------------------------------------------------------------------------------


def _handlers() -> Iterator[tuple[str, OperationHandler]]:
    yield "books.items.list_details", _item_details
    by_name = {"create": _create, "upsert": _upsert, "update": _update, "clone": _clone}
    resources = {resource.name: resource for resource in RESOURCES}
    for name, facts in operations("books").items():
        resource = resources.get(facts.resource)
        if resource is None:
            continue
        handler = by_name.get(name.rpartition(".")[2])
        if handler is not None:
            yield name, handler
        elif "/".join(tail_of(facts.path)) in resource.verbs and facts.path.count("{") == 1:
            yield name, _run_verb


@functools.cache
def handlers() -> Mapping[str, OperationHandler]:
    """Return the handlers of the hand-written modules by the names of their operations."""
    return dict(_handlers())
