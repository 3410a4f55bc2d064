"""Create and change records from the body of a call.

The specification of the body decides about required fields, types, allowed values and lengths. A
field that it does not name is kept if the records have it, and dropped silently otherwise. Ids must
be those of existing records. Numbers and names that must be unique are checked. ``null`` and ``""``
are blanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import RecordRef, RequestContext, missing
from zoho_async.sandbox.api.validation import missing_field
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.schemas import CollectionSchema
from zoho_async.sandbox.data.values import is_list, is_object, parse
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, invalid_field
from zoho_async.sandbox.rules import bookkeeping

#: Required in some editions, or alternatives: no body has all of them.
_ALTERNATIVES: Final = frozenset(
    {"customer", "card_id", "account_id", "paypal_id", "tax_authority_id", "tax_authority_name"}
)
#: Required for a payment, unless it pays a retainer.
_OF_INVOICES: Final = frozenset({"invoices", "invoice_id", "amount_applied"})
_EQUIVALENT: Final = {"customer_id": "customer", "customer": "customer_id"}
_SERVERS_OWN: Final = frozenset({"created_time", "last_modified_time", "code", "message"})
_UNIQUE_NAMES: Final = frozenset({"contact_name", "display_name"})
#: Codes for missing records, the same in every resource.
_MISSING: Final = {2006: "no such item", 9004: "no such currency"}
_TAKEN_OF_VENDOR: Final = 13011


def accept_fields(
    facts: OperationFacts,
    body: Mapping[str, Any],
    *,
    whole: bool,
    form: Described | None = None,
) -> Record:
    """Return the fields of a body to keep. Raises `ApiRefusal` for a missing or wrong field.

    If ``whole`` is true, required fields must be there. (Specifications mark some headings as
    required; they are not in lower case.) ``form`` has the other fields of the records.
    """
    described = {field.name: field for field in facts.body}
    given_by_us = form.number_field if form is not None and form.single != "bill" else ""
    if whole:
        for required in (f.name for f in facts.body if f.required and f.name.islower()):
            if required != given_by_us and not _has_field(facts, body, required):
                raise missing_field(required)
    own = form.id_field if form is not None and form.has_numbers_for_ids else ""
    kept: Record = {}
    for name, value in body.items():
        field = described.get(name)
        if field is None and form is not None:
            field = form.fields.get(name)
        if name in _SERVERS_OWN or name == own:
            continue
        if field is not None:
            kept[name] = parse(field, value)
        elif not described and form is None:
            kept[name] = value
    return kept


def create(
    context: RequestContext,
    schema: CollectionSchema,
    collection: Collection,
    body: Mapping[str, Any],
    *,
    checked: bool = True,
) -> RecordRef:
    """Create a record. ``checked`` is False for a body that the sandbox built itself."""
    resource = collection.resource
    if not isinstance(resource, Described):
        fresh = resource.fresh(collection.world, collection.next_index)
        kept = {name: value for name, value in body.items() if name in fresh}
        if "invoice_number" in fresh:
            kept.setdefault("invoice_number", next_number(collection))
        plan = bookkeeping.check(context, schema, collection, kept, None)
        made = RecordRef(schema, collection, collection.add(kept))
        bookkeeping.written(context, made, plan)
        return made
    fields = (
        accept_fields(context.facts, body, whole=checked, form=resource) if checked else dict(body)
    )
    number = resource.number_field
    if not fields.get(number):
        if context.call.params.get("ignore_auto_number_generation") == "true" and number:
            raise invalid_field(number)
        fields.pop(number, None)
    _check(context, collection, fields, None)
    plan = bookkeeping.check(context, schema, collection, fields, None)
    found = RecordRef(schema, collection, collection.add(fields))
    bookkeeping.written(context, found, plan)
    return found


def next_number(collection: Collection) -> str:
    """Return the number for a Books invoice without one."""
    return f"INV-{collection.next_index + 1:06d}"


def update(context: RequestContext, found: RecordRef) -> None:
    """Change the fields of a record that the body of a call names."""
    collection = found.collection
    form = collection.resource if isinstance(collection.resource, Described) else None
    fields = accept_fields(context.facts, context.call.body, whole=False, form=form)
    _check(context, collection, fields, found.index)
    plan = bookkeeping.check(context, found.schema, collection, fields, found.index)
    state = collection.state(found.index)
    for name, value in fields.items():
        before = state.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            fields[name] = before | value
    collection.change(found.index, fields)
    bookkeeping.written(context, found, plan)


def upsert(
    context: RequestContext, schema: CollectionSchema, collection: Collection
) -> RecordRef | None:
    """Update the record whose unique field has the value in the headers, and return it.

    Returns None if no record matches and the headers ask to create one.
    """
    field = context.call.headers.get("X-Unique-Identifier-Key", "")
    value = context.call.headers.get("X-Unique-Identifier-Value", "")
    if not field or not value:
        raise invalid_field("X-Unique-Identifier-Key")
    for index in collection.indexes():
        if str(collection.state(index).get(field, "")) == value:
            found = RecordRef(schema, collection, index)
            update(context, found)
            return found
    if context.call.headers.get("X-Upsert", "").lower() != "true":
        raise missing(collection, schema)
    return None


def _has_field(facts: OperationFacts, body: Mapping[str, Any], name: str) -> bool:
    """Return whether a body has a field, at any depth: some specifications list it at the top."""
    if name in _OF_INVOICES and body.get("retainerinvoice_id"):
        return True
    if facts.product == "billing" and name in _ALTERNATIVES:
        return name not in _EQUIVALENT or _has_field(facts, body, _EQUIVALENT[name])
    if any(value not in (None, "", []) for value in _values_named(body, name)):
        return True
    other = _EQUIVALENT.get(name) if facts.product == "billing" else None
    return other is not None and any(value for value in _values_named(body, other))


def _values_named(value: Any, name: str) -> Iterator[Any]:
    if is_object(value):
        if name in value:
            yield value[name]
        for each in value.values():
            yield from _values_named(each, name)
    elif is_list(value):
        for each in value:
            yield from _values_named(each, name)


# -- uniqueness and references -------------------------------------------------------------------


def _check(
    context: RequestContext, collection: Collection, fields: Record, index: int | None
) -> None:
    _check_references(context, fields, collection.resource.id_field)
    form = collection.resource
    if not isinstance(form, Described):
        return
    for name in (form.number_field, form.name_field, form.id_field):
        if not name or not fields.get(name):
            continue
        is_name = name in _UNIQUE_NAMES or (name == "name" and form.single == "item")
        is_code = name == form.id_field and not form.has_numbers_for_ids
        if name == form.number_field or is_name or is_code:
            for other in collection.with_value(name, fields[name]):
                if other != index and _same_vendor(collection, fields, other):
                    raise _duplicate(form, name)


def _same_vendor(collection: Collection, fields: Record, other: int) -> bool:
    """Return whether a number must be unique: bill numbers are unique per vendor."""
    if collection.resource.single != "bill" or not fields.get("vendor_id"):
        return True
    return bool(collection.state(other).get("vendor_id") == fields["vendor_id"])


def _duplicate(form: Described, name: str) -> ApiRefusal:
    kind = "number" if name == form.number_field else "name"
    documented = description.load(form.schema.product).errors.get(form.schema.resource, {})
    if form.single == "bill":
        usual = _TAKEN_OF_VENDOR
    elif kind == "number":
        usual = 1001
    else:
        usual = 3062 if name in _UNIQUE_NAMES else 1000
    codes = [code for code, meaning in documented.items() if meaning == f"the {kind} is taken"]
    return ApiRefusal(400, codes[0] if codes else usual, f"The {name} already exists.")


def _check_references(context: RequestContext, fields: Record, own: str) -> None:
    """Check that ids are those of existing records, and fill in their names."""
    for name, value in list(fields.items()):
        if name.endswith("_id") and name != own and value:
            found = _find_child(context, name, str(value), fields) or _find_referenced(
                context, name, str(value)
            )
            if found is not None:
                _fill_name(fields, name, found)
        elif is_list(value):
            pairs = (pair for each in value if is_object(each) for pair in each.items())
            for inner, each in pairs:
                if inner.endswith("_id") and each and inner != own:
                    _find_referenced(context, inner, str(each))


def _find_child(
    context: RequestContext, name: str, record_id: str, fields: Record
) -> RecordRef | None:
    """Find a child record of another record in the fields, such as the task of a project."""
    for schema in context.schemas.by_path.values():
        if schema.parents == 1 and schema.id_field == name:
            above = fields.get(context.store.names_above(schema)[0])
            inside = context.store.at(schema, (str(above),)) if above else None
            index = inside.find(record_id) if inside is not None else None
            if inside is not None and index is not None:
                return RecordRef(schema, inside, index)
    return None


def _find_referenced(context: RequestContext, name: str, record_id: str) -> RecordRef | None:
    candidates = context.schemas.for_name(name)
    for schema in candidates:
        collection = context.store.at(schema, ())
        index = collection.find(record_id)
        if index is not None:
            return RecordRef(schema, collection, index)
    if not candidates or record_id == context.store.world_of(context.facts.product).currency_id:
        return None
    noun = name.removesuffix("_id")
    documented = description.load(context.facts.product).errors.get(context.facts.resource, {})
    for code, meaning in (*documented.items(), *_MISSING.items()):
        if meaning == f"no such {noun}":
            raise ApiRefusal(400, code, f"The {noun} does not exist.")
    raise missing(context.store.at(candidates[0], ()), candidates[0])


def _fill_name(fields: Record, name: str, found: RecordRef) -> None:
    row = found.collection.row(found.index)
    words = name.removesuffix("_id")
    for label in (f"{words}_name", f"{found.schema.noun}_name", "display_name", "name"):
        if row.get(label):
            fields.setdefault(f"{words}_name", row[label])
            return
