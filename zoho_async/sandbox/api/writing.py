"""Records that callers make and change: what is kept of a body, and what is refused.

What the description names of a body is checked by it: required fields, kinds, allowed values,
lengths. What it does not name is kept if the records have such a field, and dropped without a word
otherwise. Ids of seeded or written records must be there; numbers, and the names that Zoho wants
unique, must not be there yet. ``null`` and ``""`` are blanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.context import Ask, Found, missing
from zoho_async.sandbox.api.validation import missing_field
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.resources import Home
from zoho_async.sandbox.data.values import is_list, is_object, parse
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, invalid_field
from zoho_async.sandbox.rules import bookkeeping

#: Required in some editions or in place of one another: no body has all of them.
_ALTERNATIVES: Final = frozenset(
    {"customer", "card_id", "account_id", "paypal_id", "tax_authority_id", "tax_authority_name"}
)
#: Required of a payment, unless it pays a retainer.
_OF_INVOICES: Final = frozenset({"invoices", "invoice_id", "amount_applied"})
_INSTEAD: Final = {"customer_id": "customer", "customer": "customer_id"}
_SERVERS_OWN: Final = frozenset({"created_time", "last_modified_time", "code", "message"})
_UNIQUE_NAMES: Final = frozenset({"contact_name", "display_name"})
#: What is missing has these codes in every resource.
_MISSING: Final = {2006: "no such item", 9004: "no such currency"}
_TAKEN_OF_VENDOR: Final = 13011


def accepted(
    facts: OperationFacts,
    body: Mapping[str, Any],
    *,
    whole: bool,
    form: Described | None = None,
) -> Record:
    """The fields of a body that are kept. Raises `ApiRefusal` for what cannot be.

    ``whole`` asks for everything that is required (pages have headings among it, which are not
    spelt as fields are); ``form`` says what else the records have.
    """
    described = {field.name: field for field in facts.body}
    given_by_us = form.number_field if form is not None and form.single != "bill" else ""
    if whole:
        for required in (f.name for f in facts.body if f.required and f.name.islower()):
            if required != given_by_us and not _is_given(facts, body, required):
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
    ask: Ask, home: Home, collection: Collection, body: Mapping[str, Any], *, checked: bool = True
) -> Found:
    """Make a record of a body; ``checked`` is False for what the sandbox itself puts together."""
    resource = collection.resource
    if not isinstance(resource, Described):
        fresh = resource.fresh(collection.world, collection.next_index)
        kept = {name: value for name, value in body.items() if name in fresh}
        if "invoice_number" in fresh:
            kept.setdefault("invoice_number", next_number(collection))
        plan = bookkeeping.check(ask, home, collection, kept, None)
        made = Found(home, collection, collection.add(kept))
        bookkeeping.written(ask, made, plan)
        return made
    fields = accepted(ask.facts, body, whole=checked, form=resource) if checked else dict(body)
    number = resource.number_field
    if not fields.get(number):
        if ask.call.params.get("ignore_auto_number_generation") == "true" and number:
            raise invalid_field(number)
        fields.pop(number, None)
    _check(ask, collection, fields, None)
    plan = bookkeeping.check(ask, home, collection, fields, None)
    found = Found(home, collection, collection.add(fields))
    bookkeeping.written(ask, found, plan)
    return found


def next_number(collection: Collection) -> str:
    """The number that an invoice of Books gets where nobody gives it one."""
    return f"INV-{collection.next_index + 1:06d}"


def update(ask: Ask, found: Found) -> None:
    """Change a record by the body of a call; what the body does not name stays."""
    collection = found.collection
    form = collection.resource if isinstance(collection.resource, Described) else None
    fields = accepted(ask.facts, ask.call.body, whole=False, form=form)
    _check(ask, collection, fields, found.index)
    plan = bookkeeping.check(ask, found.home, collection, fields, found.index)
    state = collection.state(found.index)
    for name, value in fields.items():
        before = state.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            fields[name] = before | value
    collection.change(found.index, fields)
    bookkeeping.written(ask, found, plan)


def upsert(ask: Ask, home: Home, collection: Collection) -> Found | None:
    """The record whose unique field has the value that the headers name, changed by the body.

    None where there is none and it shall be made.
    """
    field = ask.call.headers.get("X-Unique-Identifier-Key", "")
    value = ask.call.headers.get("X-Unique-Identifier-Value", "")
    if not field or not value:
        raise invalid_field("X-Unique-Identifier-Key")
    for index in collection.indexes():
        if str(collection.state(index).get(field, "")) == value:
            found = Found(home, collection, index)
            update(ask, found)
            return found
    if ask.call.headers.get("X-Upsert", "").lower() != "true":
        raise missing(collection, home)
    return None


def _is_given(facts: OperationFacts, body: Mapping[str, Any], name: str) -> bool:
    """Whether a body has a field, at its top or inside: some descriptions tell them at the top."""
    if name in _OF_INVOICES and body.get("retainerinvoice_id"):
        return True
    if facts.product == "billing" and name in _ALTERNATIVES:
        return name not in _INSTEAD or _is_given(facts, body, _INSTEAD[name])
    if any(value not in (None, "", []) for value in _named(body, name)):
        return True
    other = _INSTEAD.get(name) if facts.product == "billing" else None
    return other is not None and any(value for value in _named(body, other))


def _named(value: Any, name: str) -> Iterator[Any]:
    if is_object(value):
        if name in value:
            yield value[name]
        for each in value.values():
            yield from _named(each, name)
    elif is_list(value):
        for each in value:
            yield from _named(each, name)


# -- what is there already, and what is not ------------------------------------------------------


def _check(ask: Ask, collection: Collection, fields: Record, index: int | None) -> None:
    _check_references(ask, fields, collection.resource.id_field)
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
                    raise _taken_already(form, name)


def _same_vendor(collection: Collection, fields: Record, other: int) -> bool:
    """Whether a number counts: those of bills are their vendors', and unique for each."""
    if collection.resource.single != "bill" or not fields.get("vendor_id"):
        return True
    return bool(collection.state(other).get("vendor_id") == fields["vendor_id"])


def _taken_already(form: Described, name: str) -> ApiRefusal:
    kind = "number" if name == form.number_field else "name"
    documented = description.load(form.home.product).errors.get(form.home.resource, {})
    if form.single == "bill":
        usual = _TAKEN_OF_VENDOR
    elif kind == "number":
        usual = 1001
    else:
        usual = 3062 if name in _UNIQUE_NAMES else 1000
    codes = [code for code, meaning in documented.items() if meaning == f"the {kind} is taken"]
    return ApiRefusal(400, codes[0] if codes else usual, f"The {name} already exists.")


def _check_references(ask: Ask, fields: Record, own: str) -> None:
    """Ids must be those of records that are there; the names beside them are filled in."""
    for name, value in list(fields.items()):
        if name.endswith("_id") and name != own and value:
            found = _inside(ask, name, str(value), fields) or _referred(ask, name, str(value))
            if found is not None:
                _fill_name(fields, name, found)
        elif is_list(value):
            pairs = (pair for each in value if is_object(each) for pair in each.items())
            for inner, each in pairs:
                if inner.endswith("_id") and each and inner != own:
                    _referred(ask, inner, str(each))


def _inside(ask: Ask, name: str, record_id: str, fields: Record) -> Found | None:
    """The record with that id below another that the fields name, as the task of a project."""
    for home in ask.homes.by_path.values():
        if home.parents == 1 and home.id_field == name:
            above = fields.get(ask.store.names_above(home)[0])
            inside = ask.store.at(home, (str(above),)) if above else None
            index = inside.find(record_id) if inside is not None else None
            if inside is not None and index is not None:
                return Found(home, inside, index)
    return None


def _referred(ask: Ask, name: str, record_id: str) -> Found | None:
    candidates = ask.homes.for_name(name)
    for home in candidates:
        collection = ask.store.at(home, ())
        index = collection.find(record_id)
        if index is not None:
            return Found(home, collection, index)
    if not candidates or record_id == ask.store.world_of(ask.facts.product).currency_id:
        return None
    noun = name.removesuffix("_id")
    documented = description.load(ask.facts.product).errors.get(ask.facts.resource, {})
    for code, meaning in (*documented.items(), *_MISSING.items()):
        if meaning == f"no such {noun}":
            raise ApiRefusal(400, code, f"The {noun} does not exist.")
    raise missing(ask.store.at(candidates[0], ()), candidates[0])


def _fill_name(fields: Record, name: str, found: Found) -> None:
    row = found.collection.row(found.index)
    words = name.removesuffix("_id")
    for label in (f"{words}_name", f"{found.home.noun}_name", "display_name", "name"):
        if row.get(label):
            fields.setdefault(f"{words}_name", row[label])
            return
