"""The Books API over a store: which path does what, and the rules of its modules.

Everything here is synchronous but lists, which may have many rows to look through. Limits, tokens
and organizations were checked before a call comes here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.sandbox import queries
from zoho_async.sandbox.bodies import accepted, missing_field
from zoho_async.sandbox.records import organizations
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, Reply, invalid, invalid_field, success
from zoho_async.sandbox.store import Collection, Store

_LOCATION: Final = "/api/v3"
_PATHS: Final = {
    "contacts": "books.contacts",
    "items": "books.items",
    "invoices": "books.invoices",
    "projects": "books.projects",
}
_ID: Final = re.compile(r"\{\w+_id\}")
_NAME: Final = re.compile(r"\{\w+\}")
_MOST_ITEM_IDS: Final = 100


class Call(msgspec.Struct, frozen=True):
    """A request as the API sees it; ``parts`` is its path below the product's base."""

    method: str
    parts: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Record


@functools.cache
def _facts() -> dict[str, OperationFacts]:
    return {operation.name: operation for operation in description.load().operations}


@functools.cache
def _shapes() -> tuple[tuple[re.Pattern[str], OperationFacts], ...]:
    """Every described path of Books as a pattern, those with fewer ids first."""
    described = [each for each in _facts().values() if each.product == "books"]
    described.sort(key=lambda operation: operation.path.count("{"))
    return tuple(
        (re.compile(_NAME.sub(r"[^/]+", _ID.sub(r"\\d+", _own(operation.path)))), operation)
        for operation in described
    )


def _own(path: str) -> str:
    """A path whose modules are custom ones, by the prefix that their names have."""
    return path.replace("{module_name}", "cm_{name}")


def described(method: str, parts: Sequence[str]) -> OperationFacts | None:
    """The operation of the description that a request asks for, if there is one."""
    path = "/" + "/".join(parts)
    for shape, operation in _shapes():
        if operation.method == method and shape.fullmatch(path):
            return operation
    return None


async def answer(call: Call, store: Store, every: Sequence[Store]) -> Reply:
    """Answer a call for ``store``'s organization; ``every`` are all of the user's.

    Raises `ApiRefusal`.
    """
    if call.parts and call.parts[0] == "organizations":
        return _organizations(call, store, every)
    name = _PATHS.get(call.parts[0]) if call.parts else None
    if name is not None:
        collection = store.collection(name)
        match call.method, call.parts[1:]:
            case "GET", ():
                facts = _facts()[f"{name}.list"]
                query = queries.understand(collection, facts, call.params)
                return await queries.answer(collection, query, collection.resource.key)
            case "POST", ():
                return _create(call, store, collection)
            case "PUT", ():
                return _upsert(call, store, collection)
            case "GET", (record_id,) if record_id.isdigit():
                record = collection.detail(_found(collection, record_id))
                return success("success", {collection.resource.single: record})
            case "PUT", (record_id,) if record_id.isdigit():
                return _update(call, store, collection, _found(collection, record_id))
            case "DELETE", (record_id,) if record_id.isdigit():
                return _delete(store, collection, _found(collection, record_id))
            case "POST", (record_id, "clone") if name == "books.projects":
                return _clone(call, collection, _found(collection, record_id))
            case "POST", (record_id, *verb) if "/".join(verb) in collection.resource.verbs:
                return _verb(collection, _found(collection, record_id), "/".join(verb))
            case _:
                pass
    if call.method == "GET" and call.parts == ("itemdetails",):
        return _item_details(call, store.collection("books.items"))
    return _unanswered(call, store)


def _item_details(call: Call, items: Collection) -> Reply:
    """Several items at once, in full; ids that are not there are left out."""
    wanted = [each for each in call.params.get("item_ids", "").split(",") if each]
    if not 0 < len(wanted) <= _MOST_ITEM_IDS:
        raise invalid("item_ids")
    found = [index for item_id in wanted if (index := items.find(item_id)) is not None]
    return success("success", {"items": [items.detail(index) for index in found]})


def _unanswered(call: Call, store: Store) -> Reply:
    """What is described but not played: lists inside a record are empty, the rest says so."""
    operation = described(call.method, call.parts)
    if operation is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    if operation.answer != "list":
        raise ApiRefusal(501, 1000, "This operation is not part of the sandbox yet.")
    name = _PATHS.get(call.parts[0])
    if name is not None and operation.path.startswith(f"/{call.parts[0]}/{{"):
        _found(store.collection(name), call.parts[1])
    values: dict[str, Any] = {operation.key: []}
    if operation.paged:
        values["page_context"] = {"page": 1, "per_page": 200, "has_more_page": False}
    return success("success", values)


def _organizations(call: Call, own: Store, every: Sequence[Store]) -> Reply:
    names = [store.world.organization for store in every]
    match call.method, call.parts[1:]:
        case "GET", () | ("user",):
            rows = [organizations.row(store.world, names) for store in every]
            return success("success", {"organizations": rows})
        case "GET", (wanted,) if wanted.isdigit():
            for store in every:
                if store.world.organization == wanted:
                    record = organizations.detail(store.world, names)
                    return success("success", {"organization": record})
            raise ApiRefusal(404, 1002, "Organization does not exist.")
        case _:
            return _unanswered(call, own)


def _found(collection: Collection, record_id: str) -> int:
    index = collection.find(record_id)
    if index is None:
        code, message = collection.resource.missing
        raise ApiRefusal(404, code, message)
    return index


# -- writes -------------------------------------------------------------------------------------


def _create(call: Call, store: Store, collection: Collection) -> Reply:
    resource = collection.resource
    fresh = resource.fresh(collection.world, collection.next_index)
    fields = accepted(call.body, _facts()[f"{resource.name}.create"], fresh, whole=True)
    fields = _checked(store, collection, fields, None)
    if resource.name == "books.invoices" and not fields.get("invoice_number"):
        fields["invoice_number"] = f"INV-{collection.next_index + 1:06d}"
    index = collection.add(fields)
    location = f"{_LOCATION}{resource.path}/{collection.world.id(resource.name, index)}"
    return success(
        resource.added,
        {resource.single: collection.detail(index)},
        status=201,
        headers={"location": location},
    )


def _update(call: Call, store: Store, collection: Collection, index: int) -> Reply:
    resource = collection.resource
    state = collection.state(index)
    fields = accepted(call.body, _facts()[f"{resource.name}.update"], state, whole=False)
    collection.change(index, _checked(store, collection, fields, index))
    return success(resource.saved, {resource.single: collection.detail(index)})


def _upsert(call: Call, store: Store, collection: Collection) -> Reply:
    """PUT without an id: the record whose unique custom field has the value that is named."""
    field = call.headers.get("X-Unique-Identifier-Key", "")
    value = call.headers.get("X-Unique-Identifier-Value", "")
    if not field or not value:
        raise invalid_field("X-Unique-Identifier-Key")
    for index in collection.indexes():
        if str(collection.row(index).get(field, "")) == value:
            return _update(call, store, collection, index)
    if call.headers.get("X-Upsert", "").lower() != "true":
        code, message = collection.resource.missing
        raise ApiRefusal(404, code, message)
    return _create(call, store, collection)


def _delete(store: Store, collection: Collection, index: int) -> Reply:
    resource = collection.resource
    if resource.name == "books.contacts" and _has_documents(store, collection, index):
        raise ApiRefusal(
            400, 3000, "This contact cannot be deleted since you have recorded transactions for it."
        )
    collection.remove(index)
    return success(resource.deleted)


def _clone(call: Call, collection: Collection, index: int) -> Reply:
    resource = collection.resource
    original = collection.state(index)
    for name in (resource.id_field, "created_time", "last_modified_time"):
        del original[name]
    changes = accepted(call.body, _facts()[f"{resource.name}.update"], original, whole=False)
    made = collection.add(original | changes)
    return success(
        "Project has been cloned successfully.",
        {resource.single: collection.detail(made)},
        status=201,
        headers={"location": f"{_LOCATION}/" + "/".join(call.parts)},
    )


def _verb(collection: Collection, index: int, verb: str) -> Reply:
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


def organization_rows(every: Sequence[Store]) -> list[bytes]:
    """The rows of ``GET /organizations``, encoded."""
    names = [store.world.organization for store in every]
    return [ENCODER.encode(organizations.row(store.world, names)) for store in every]
