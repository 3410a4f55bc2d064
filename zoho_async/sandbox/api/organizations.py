"""Organizations: list, read, create and change them, in all four products.

A created organization belongs to the user. It is then listed, and its id works in all four
products. It has its own limits, under the same rules as the others, and is kept in the sandbox's
file.

Known from the specification: the required fields (``name``, ``currency_code``, ``time_zone``,
``portal_name``), the months, the form of portal names, and that the creator becomes an admin.

Unknown, and chosen here:

- it starts with that user and its base currency only (Zoho also creates a chart of accounts, which
  no document lists)
- its plan is the free one
- several organizations may have the same name or portal name
- times of its records are in the sandbox's time zone
- at most `MAX_ORGANIZATIONS` exist, so that a program that creates them in a loop does not fill the
  memory; Zoho's limit is not documented
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableSequence, Sequence
from decimal import Decimal
from typing import Any, Final

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.writing import accept_fields
from zoho_async.sandbox.data.dates import day, stamp
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import blank, render_fields
from zoho_async.sandbox.records import organizations
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, ApiReply, invalid_field, success

#: The most organizations of a sandbox.
MAX_ORGANIZATIONS: Final = 500
_COLLECTION: Final = "organizations"
_FIRST_ID: Final = 60_000_001
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_PORTAL: Final = re.compile(r"[A-Za-z0-9]{5,30}")
_FIELDS: Final = decoder_of(dict[str, Any], float_hook=Decimal)


def answer(
    call: ApiCall, facts: OperationFacts, own: Store, every: MutableSequence[Store]
) -> ApiReply | None:
    """Answer an operation on organizations, else return None. Raises `ApiRefusal`."""
    if facts.answer == "list" and facts.row_id == "organization_id":
        return success("success", {facts.key: [_row(each, every, facts) for each in every]})
    if facts.path == "/organizations" and call.method == "POST":
        return _create(call, facts, own, every)
    if not facts.path.startswith("/organizations/{organization_id}"):
        return None
    named = next((each for each in every if each.world.organization == call.parts[1]), None)
    if named is None:
        raise ApiRefusal(404, 1002, "Organization does not exist.")
    if call.method == "PUT" and len(call.parts) == 2:
        named.keep_thing("", "/organizations", accept_fields(facts, call.body, whole=False))
    if call.parts[2:] == ("inactive",):
        named.keep_thing("", "/organizations", {"is_org_active": False})
    if facts.answer == "done":
        return success("The organization has been updated.")
    return success("success", {facts.key: _detail(named, every, facts)})


def rows(every: Sequence[Store], facts: OperationFacts) -> list[bytes]:
    """Return the encoded rows of the list of organizations."""
    return [ENCODER.encode(_row(each, every, facts)) for each in every]


def name_of(store: Store) -> str:
    """Return the name of an organization."""
    kept = store.thing("", "/organizations").get("name")
    return str(kept or organizations.row(store.world, False)["name"])


def time_zone_of(store: Store) -> str:
    """Return the name of an organization's time zone."""
    return str(store.thing("", "/organizations").get("time_zone") or organizations.TIME_ZONE)


def load_organizations(
    keep: Persistence, seed: int, known: Sequence[str], clock: Callable[[], float]
) -> list[Store]:
    """Return the created organizations that the sandbox's file has."""
    kept = ((name, _FIELDS.decode(sent)) for name, sent in sorted(keep.place(_COLLECTION).items()))
    return [_open_store(keep, seed, name, sent, clock) for name, sent in kept if name not in known]


# -- creation -----------------------------------------------------------------------------------


def _create(
    call: ApiCall, facts: OperationFacts, own: Store, every: MutableSequence[Store]
) -> ApiReply:
    sent = accept_fields(facts, call.body, whole=True)
    if not _PORTAL.fullmatch(str(sent["portal_name"])):
        raise invalid_field("portal_name")
    if not _CURRENCY.fullmatch(str(sent["currency_code"])):
        raise ApiRefusal(400, 9004, "Currency does not exist.")
    if len(every) >= MAX_ORGANIZATIONS:
        raise ApiRefusal(
            400, 1000, f"This sandbox holds at most {MAX_ORGANIZATIONS} organizations."
        )
    taken = {each.world.organization for each in every}
    number = next(n for n in range(_FIRST_ID, _FIRST_ID + MAX_ORGANIZATIONS) if str(n) not in taken)
    made = _open_store(own.keep, own.world.seed, str(number), sent, own.world.clock)
    made.on_event = own.on_event
    own.keep.put(_COLLECTION, str(number), ENCODER.encode(sent))
    now = own.world.now()
    dates = {"account_created_date": day(now), "created_time": stamp(now)}
    made.keep_thing("", "/organizations", {**sent, **dates})
    every.append(made)
    headers = {"location": f"/api/v3/organizations/{number}"}
    return success(
        "The organization has been created.",
        {facts.key: _detail(made, every, facts)},
        status=201,
        headers=headers,
    )


def _open_store(
    keep: Persistence, seed: int, name: str, sent: Record, clock: Callable[[], float]
) -> Store:
    """Open the store of a created organization, with what was written to it before."""
    code = str(sent["currency_code"])
    store = Store(SampleData(seed, name, {}, currency=code, seeded=False, clock=clock), keep)
    for product in PRODUCTS:
        world = store.world_of(product)
        symbol = {"currency_symbol": world.currency_symbol}
        user = organizations.THE_USER
        currency = {"currency_code": code, "currency_name": code, "is_base_currency": True} | symbol
        world.user_id = _first(store, product, ("users",), user) or world.user_id
        currencies = ("settings", "currencies")
        world.currency_id = _first(store, product, currencies, currency) or world.currency_id
    return store


def _first(store: Store, product: str, path: tuple[str, ...], fields: Record) -> str:
    """Return the id of the first record of a collection. Creates it if the collection is empty."""
    schema = schemas(product).by_path.get(path)
    if schema is None:
        return ""
    collection = store.at(schema, ())
    if not collection.next_index:
        collection.add(fields)
    return collection.id(0)


# -- replies ------------------------------------------------------------------------------------


def _row(store: Store, every: Sequence[Store], facts: OperationFacts) -> Record:
    made = organizations.row(store.world, _is_default(store, every))
    kept = store.thing("", "/organizations")
    return _fit(organizations.settled(made | {n: v for n, v in kept.items() if n in made}), facts)


def _detail(store: Store, every: Sequence[Store], facts: OperationFacts) -> Record:
    made = organizations.detail(store.world, _is_default(store, every))
    return _fit(organizations.settled(made | store.thing("", "/organizations")), facts)


def _is_default(store: Store, every: Sequence[Store]) -> bool:
    return store is every[0]


def _fit(record: Record, facts: OperationFacts) -> Record:
    """Convert to the specified types. Replies of Books follow its recordings instead."""
    months = {field.name: field.kind for field in facts.reply if field.name == organizations.FISCAL}
    as_number = months.get(organizations.FISCAL) == "integer" or facts.answer == "list"
    record[organizations.FISCAL] = organizations.month(record[organizations.FISCAL], as_number)
    if facts.product == "books" and facts.method != "POST":
        return record
    blanks = {field.name: blank(field) for field in facts.reply}
    shown = {name: value for name, value in record.items() if name in blanks}
    return blanks | render_fields(facts.reply, shown)
