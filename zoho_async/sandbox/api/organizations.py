"""Organizations: those that the user belongs to, told by every product; the list is not paged.

One that is made by a call belongs to the user too: it is listed, read, changed and called for by
its id from then on, in all four products, has limits of its own (as each organization has, under
the sandbox's one set of rules) and touches no other. It is kept with the records.

Known from descriptions: what a body must hold (``name``, ``currency_code``, ``time_zone``,
``portal_name``), the months, how a portal may be called, and that the user who makes it is its
admin. Not known, and chosen: it begins with that user and its base currency as records, and with
nothing else (Zoho gives a chart of accounts, which no document lists); its plan is the free one;
several may have one name, or one portal's; moments of its records are told in the sandbox's time
zone, not in its own. There are at most `MOST` of them, so that a program that makes one in a loop
fills no memory; Zoho's own bound is not documented.
"""

from __future__ import annotations

import re
import time
from collections.abc import MutableSequence, Sequence
from decimal import Decimal
from typing import Any, Final

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.api.context import ApiCall
from zoho_async.sandbox.api.writing import accepted
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.resources import homes
from zoho_async.sandbox.data.seed import SampleData, day, stamp
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import blank, render_fields
from zoho_async.sandbox.records import organizations
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ENCODER, ApiRefusal, ApiReply, invalid_field, success

#: All organizations of a sandbox.
MOST: Final = 500
_PLACE: Final = "organizations"
_FIRST_ID: Final = 60_000_001
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_PORTAL: Final = re.compile(r"[A-Za-z0-9]{5,30}")
_FIELDS: Final = decoder_of(dict[str, Any], float_hook=Decimal)


def answer(
    call: ApiCall, facts: OperationFacts, own: Store, every: MutableSequence[Store]
) -> ApiReply | None:
    """The answer to what is asked of organizations themselves, else None. Raises `ApiRefusal`."""
    if facts.answer == "list" and facts.row_id == "organization_id":
        return success("success", {facts.key: [_row(each, every, facts) for each in every]})
    if facts.path == "/organizations" and call.method == "POST":
        return _created(call, facts, own, every)
    if not facts.path.startswith("/organizations/{organization_id}"):
        return None
    named = next((each for each in every if each.world.organization == call.parts[1]), None)
    if named is None:
        raise ApiRefusal(404, 1002, "Organization does not exist.")
    if call.method == "PUT" and len(call.parts) == 2:
        named.keep_thing("", "/organizations", accepted(facts, call.body, whole=False))
    if call.parts[2:] == ("inactive",):
        named.keep_thing("", "/organizations", {"is_org_active": False})
    if facts.answer == "done":
        return success("The organization has been updated.")
    return success("success", {facts.key: _detail(named, every, facts)})


def rows(every: Sequence[Store], facts: OperationFacts) -> list[bytes]:
    """The rows of a list of organizations, encoded."""
    return [ENCODER.encode(_row(each, every, facts)) for each in every]


def name_of(store: Store) -> str:
    """What an organization is called."""
    kept = store.thing("", "/organizations").get("name")
    return str(kept or organizations.row(store.world, False)["name"])


def made_before(keep: Persistence, seed: int, known: Sequence[str]) -> list[Store]:
    """The organizations that were made by calls when the sandbox's file was written."""
    kept = ((name, _FIELDS.decode(sent)) for name, sent in sorted(keep.place(_PLACE).items()))
    return [_opened(keep, seed, name, sent) for name, sent in kept if name not in known]


# -- making one ---------------------------------------------------------------------------------


def _created(
    call: ApiCall, facts: OperationFacts, own: Store, every: MutableSequence[Store]
) -> ApiReply:
    sent = accepted(facts, call.body, whole=True)
    if not _PORTAL.fullmatch(str(sent["portal_name"])):
        raise invalid_field("portal_name")
    if not _CURRENCY.fullmatch(str(sent["currency_code"])):
        raise ApiRefusal(400, 9004, "Currency does not exist.")
    if len(every) >= MOST:
        raise ApiRefusal(400, 1000, f"This sandbox holds at most {MOST} organizations.")
    taken = {each.world.organization for each in every}
    number = next(n for n in range(_FIRST_ID, _FIRST_ID + MOST) if str(n) not in taken)
    made = _opened(own.keep, own.world.seed, str(number), sent)
    own.keep.put(_PLACE, str(number), ENCODER.encode(sent))
    now = int(time.time())
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


def _opened(keep: Persistence, seed: int, name: str, sent: Record) -> Store:
    """A store with what a new organization has; what was written there since is there again."""
    code = str(sent["currency_code"])
    store = Store(SampleData(seed, name, {}, currency=code, seeded=False), keep)
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
    """The id of the first record of a home, which is made where there is none."""
    home = homes(product).by_path.get(path)
    if home is None:
        return ""
    collection = store.at(home, ())
    if not collection.next_index:
        collection.add(fields)
    return collection.id(0)


# -- telling ------------------------------------------------------------------------------------


def _row(store: Store, every: Sequence[Store], facts: OperationFacts) -> Record:
    made = organizations.row(store.world, _is_default(store, every))
    kept = store.thing("", "/organizations")
    return _fitted(
        organizations.settled(made | {n: v for n, v in kept.items() if n in made}), facts
    )


def _detail(store: Store, every: Sequence[Store], facts: OperationFacts) -> Record:
    made = organizations.detail(store.world, _is_default(store, every))
    return _fitted(organizations.settled(made | store.thing("", "/organizations")), facts)


def _is_default(store: Store, every: Sequence[Store]) -> bool:
    return store is every[0]


def _fitted(record: Record, facts: OperationFacts) -> Record:
    """In the described kinds; Books' own differ from its description as its recordings do."""
    months = {field.name: field.kind for field in facts.reply if field.name == organizations.FISCAL}
    as_number = months.get(organizations.FISCAL) == "integer" or facts.answer == "list"
    record[organizations.FISCAL] = organizations.month(record[organizations.FISCAL], as_number)
    if facts.product == "books" and facts.method != "POST":
        return record
    blanks = {field.name: blank(field) for field in facts.reply}
    shown = {name: value for name, value in record.items() if name in blanks}
    return blanks | render_fields(facts.reply, shown)
