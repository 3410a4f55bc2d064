"""The modules of Books that are written by hand: contacts, items, invoices, projects.

Their records hold together beyond what the description says (totals, balances, custom fields), and
so do their rules: names and numbers that are unique, contacts that have documents. All else about
them is answered as for every other home (`api`).
"""

from __future__ import annotations

from typing import Final

from zoho_async.sandbox.api.context import Ask, Found
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.api.validation import accepted, missing_field
from zoho_async.sandbox.api.writing import next_number
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid, invalid_field, success
from zoho_async.sandbox.rules import bookkeeping

_LOCATION: Final = "/api/v3"
_MOST_ITEM_IDS: Final = 100


def answer(ask: Ask) -> ApiReply | None:
    """The answer to what the hand-written modules have rules for, else None.

    Raises `ApiRefusal`.
    """
    facts = ask.facts
    if facts.name == "books.items.list_details":
        return _item_details(ask)
    collection = ask.store.collections.get(facts.resource)
    if collection is None or isinstance(collection.resource, Described):
        return None
    match facts.name.removeprefix(f"{facts.resource}."):
        case "create":
            return _create(ask, collection)
        case "upsert":
            return _upsert(ask, collection)
        case "update":
            return _update(ask, collection, _named(ask).index)
        case "clone":
            return _clone(ask, collection, _named(ask).index)
        case _ if "/".join(ask.tail) in collection.resource.verbs and len(ask.ids) == 1:
            return _verb(collection, _named(ask).index, "/".join(ask.tail))
        case _:
            return None


def check_removal(store: Store, found: Found) -> None:
    """Refuse to remove what must stay, as a contact that documents name. Raises `ApiRefusal`."""
    bookkeeping.check_removal(store, found)
    if found.home.name == "books.contacts" and _has_documents(store, found.collection, found.index):
        raise ApiRefusal(
            400, 3000, "This contact cannot be deleted since you have recorded transactions for it."
        )


def _named(ask: Ask) -> Found:
    found = ask.found[0]
    assert found is not None
    return found


def _item_details(ask: Ask) -> ApiReply:
    """Several items at once, in full; ids that are not there are left out."""
    items = ask.store.collection("books.items")
    wanted = [each for each in ask.call.params.get("item_ids", "").split(",") if each]
    if not 0 < len(wanted) <= _MOST_ITEM_IDS:
        raise invalid("item_ids")
    found = [index for item_id in wanted if (index := items.find(item_id)) is not None]
    return success("success", {"items": [items.detail(index) for index in found]})


# -- writes -------------------------------------------------------------------------------------


def _create(ask: Ask, collection: Collection) -> ApiReply:
    resource = collection.resource
    fresh = resource.fresh(collection.world, collection.next_index)
    facts = operations("books")[f"{resource.name}.create"]
    fields = accepted(ask.call.body, facts, fresh, whole=True)
    fields = _checked(ask.store, collection, fields, None)
    if resource.name == "books.invoices" and not fields.get("invoice_number"):
        if ask.call.params.get("ignore_auto_number_generation") == "true":
            raise invalid_field("invoice_number")
        fields["invoice_number"] = next_number(collection)
    home = ask.homes.by_name[resource.name]
    plan = bookkeeping.check(ask, home, collection, fields, None)
    index = collection.add(fields)
    bookkeeping.written(ask, Found(home, collection, index), plan)
    location = f"{_LOCATION}{resource.path}/{collection.id(index)}"
    return success(
        resource.added,
        {resource.single: collection.detail(index)},
        status=201,
        headers={"location": location},
    )


def _update(ask: Ask, collection: Collection, index: int) -> ApiReply:
    resource = collection.resource
    state = collection.state(index)
    facts = operations("books")[f"{resource.name}.update"]
    fields = accepted(ask.call.body, facts, state, whole=False)
    fields = _checked(ask.store, collection, fields, index)
    home = ask.homes.by_name[resource.name]
    plan = bookkeeping.check(ask, home, collection, fields, index)
    collection.change(index, fields)
    bookkeeping.written(ask, Found(home, collection, index), plan)
    return success(resource.saved, {resource.single: collection.detail(index)})


def _upsert(ask: Ask, collection: Collection) -> ApiReply:
    """PUT without an id: the record whose unique custom field has the value that is named."""
    headers = ask.call.headers
    field = headers.get("X-Unique-Identifier-Key", "")
    value = headers.get("X-Unique-Identifier-Value", "")
    if not field or not value:
        raise invalid_field("X-Unique-Identifier-Key")
    for index in collection.indexes():
        if str(collection.row(index).get(field, "")) == value:
            return _update(ask, collection, index)
    if headers.get("X-Upsert", "").lower() != "true":
        code, message = collection.resource.missing
        raise ApiRefusal(404, code, message)
    return _create(ask, collection)


def _clone(ask: Ask, collection: Collection, index: int) -> ApiReply:
    resource = collection.resource
    original = collection.state(index)
    for name in (resource.id_field, "created_time", "last_modified_time"):
        del original[name]
    facts = operations("books")[f"{resource.name}.update"]
    changes = accepted(ask.call.body, facts, original, whole=False)
    made = collection.add(original | changes)
    return success(
        "Project has been cloned successfully.",
        {resource.single: collection.detail(made)},
        status=201,
        headers={"location": f"{_LOCATION}{ask.call.path}"},
    )


def _verb(collection: Collection, index: int, verb: str) -> ApiReply:
    field, value, message = collection.resource.verbs[verb]
    collection.change(index, {field: value})
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


# -- the rules of the modules --------------------------------------------------------------------


def _checked(store: Store, collection: Collection, fields: Record, index: int | None) -> Record:
    """The rules of the modules: names and numbers that are there already, ids that are not."""
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
            _name_customer(store, fields)
        case _:
            _name_customer(store, fields)
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


def _name_customer(store: Store, fields: Record) -> None:
    if not fields.get("customer_id"):
        return
    contacts = store.collection("books.contacts")
    index = contacts.find(str(fields["customer_id"]))
    if index is None:
        raise ApiRefusal(404, 1002, "Contact does not exist.")
    fields["customer_name"] = contacts.row(index)["contact_name"]
