"""The API of the four products over a store: from a call to its answer, by the description.

A path says what is meant (see `homes`): the name of a record at its end reads, changes or removes
that record; a home at its end lists it or makes a record in it; other words after a record are a
verb (see `verbs`), or a thing that the record has one of, kept under its path. Words under a home
with ids in the query are the same verb for many. An operation whose answer is a record of another
home makes one there. Limits, tokens and organizations were checked before a call comes here.

What a reply holds is told in the kinds that the operation's own reply is described with.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api import billing_runs, books, listing, organizations
from zoho_async.sandbox.api.actions import of_words
from zoho_async.sandbox.api.bulk import ids_asked, ids_in_body, many
from zoho_async.sandbox.api.context import ROWS, ApiCall, Ask, texts
from zoho_async.sandbox.api.files import UPLOADS, by_id, document, forgotten, wants_print
from zoho_async.sandbox.api.render import told_record
from zoho_async.sandbox.api.router import route
from zoho_async.sandbox.api.writing import accepted, create, update, upsert
from zoho_async.sandbox.data.collection import Collection, View
from zoho_async.sandbox.data.resources import Home
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_object
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid, success
from zoho_async.sandbox.rules import bookkeeping, pending, subscriptions

_MOST_AT_ONCE: Final = 100


def described(product: str, method: str, parts: Sequence[str]) -> OperationFacts | None:
    """The operation of the description that a request asks for, if there is one."""
    found = route(product, method, parts)
    return found.facts if found is not None else None


async def answer(call: ApiCall, store: Store, every: MutableSequence[Store]) -> ApiReply:
    """Answer a call for ``store``'s organization; ``every`` are all of the user's, to which
    one that is made is added.

    Raises `ApiRefusal`.
    """
    found = route(call.product, call.method, call.parts)
    if found is None and (told := by_id(call, store)) is not None:
        return told
    if found is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    if call.parts[0] == "organizations":
        known = organizations.answer(call, found.facts, store, every)
        if known is not None:
            return known
    if ROWS in call.body and not _takes_rows(found.facts):
        raise ApiRefusal(400, 1038, "JSON is not well formed")
    listing.check(found.facts, call.params, UPLOADS)
    ask = Ask(call, found, store)
    reply = await _answered(ask)
    forgotten(ask)
    if ask.call.method != "GET" and ask.found and ask.found[0] is not None:
        bookkeeping.followed(store, ask.found[0])
    return reply


async def _answered(ask: Ask) -> ApiReply:
    by_rules = (
        bookkeeping.answer(ask)
        or subscriptions.answer(ask)
        or books.answer(ask)
        or pending.answer(ask)
        or billing_runs.answer(ask)
    )
    if by_rules is not None:
        return by_rules
    if ask.facts.answer == "list":
        return await _listed(ask)
    if ask.names_record:
        return _of_record(ask)
    here = ask.here
    if here is not None and not ask.call.form.files:
        reply = _of_home(ask, here)
        if reply is not None:
            return reply
    return of_words(ask)


def _takes_rows(facts: OperationFacts) -> bool:
    """Whether a body may be a list: custom fields, and many records at once."""
    return facts.path.endswith("/customfields") or ".bulk_" in facts.name


async def _listed(ask: Ask) -> ApiReply:
    home = ask.homes.at(ask.facts.path)
    if home is None or home.listed is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    several = _several(ask)
    if several is not None:
        return several
    rows: Collection | View
    if home.listed is ask.facts and home.parents == len(ask.ids):
        rows = ask.store.shown(home, ask.ids)
    else:
        rows = ask.store.at(home, ask.ids[: home.parents])
    query = listing.understand(rows, ask.facts, ask.call.params)
    return await listing.answer(rows, query, ask.facts)


def _several(ask: Ask) -> ApiReply | None:
    """The records whose ids the query must name, in full; ids that are not there are left out."""
    facts = ask.facts
    for field in facts.query:
        known = ask.homes.for_name(field.name.removesuffix("s"))
        if not field.required or not field.name.endswith("_ids") or not known:
            continue
        ids = texts(ask.call.params[field.name])
        if not 0 < len(ids) <= (facts.batch or _MOST_AT_ONCE):
            raise invalid(field.name)
        collection = ask.store.at(known[0], ())
        form = Described(ask.homes.at(facts.path) or known[0], ask.homes, ())
        found = (collection.find(each) for each in ids)
        rows = [form.render(facts.reply, collection.whole(i)) for i in found if i is not None]
        return success("success", {facts.key: rows})
    return None


def _of_record(ask: Ask) -> ApiReply:
    """The path ends with the name of a record."""
    found, call, facts = ask.found[-1], ask.call, ask.facts
    if found is None or found.home.parents < len(ask.ids) - 1:
        return of_words(ask)
    as_json = "json" in call.params.get("accept", "") or call.method != "GET"
    kept = not as_json and ask.store.file(call.product, call.path) is not None
    if facts.answer == "file" or kept or (call.method == "GET" and wants_print(call)):
        return document(ask, found)
    match call.method:
        case "GET":
            return told_record(facts, found)
        case "DELETE":
            books.check_removal(ask.store, found)
            found.collection.remove(found.index)
            return success(found.collection.resource.deleted)
        case _ if facts.body or facts.answer != "done" or call.method == "PUT":
            update(ask, found)
            return told_record(facts, found, found.collection.resource.saved)
        case _:
            return of_words(ask)


def _of_home(ask: Ask, home: Home) -> ApiReply | None:
    """The path is a home: a record is made, changed by its unique field, or many are changed."""
    call, facts = ask.call, ask.facts
    ids = ids_asked(ask)
    match call.method:
        case "POST" if ids is None or facts.answer != "done":
            return _made(ask, home, ask.within(home))
        case "PUT" if facts.headers:
            collection = ask.within(home)
            found = upsert(ask, home, collection)
            if found is None:
                return _made(ask, home, collection)
            return told_record(facts, found, collection.resource.saved)
        case "DELETE":
            return many(ask, home, ids if ids is not None else ids_in_body(ask, home))
        case "PUT" if home.parents <= len(ask.ids):
            return many(ask, home, ids if ids is not None else ids_in_body(ask, home))
        case "GET" if facts.answer == "values" and home.parents == len(ask.ids):
            collection = ask.within(home)
            rows = [collection.row(index) for index in collection.indexes()]
            return success("success", {field.name: rows for field in facts.reply[:1]})
        case _:
            return None


def _made(ask: Ask, home: Home, collection: Collection) -> ApiReply:
    elements = _elements(ask)
    for element in elements[:-1]:
        create(ask, home, collection, element, checked=False)
    last = elements[-1] if elements else ask.call.body
    found = create(ask, home, collection, last, checked=not elements)
    status = 201 if ask.facts.status == 201 or ask.facts.answer != "done" else 200
    where = f"{ask.call.path}/{found.id}"
    message = collection.resource.added
    headers = {"location": f"/api/v3{where}"} if status == 201 else None
    return told_record(ask.facts, found, message, status=status, headers=headers)


def _elements(ask: Ask) -> list[Record]:
    """The records that a body asks for where it holds a list of them, and little beside it."""
    body, fields = ask.call.body, ask.facts.body
    if ask.facts.answer == "record" or len(fields) > 2:
        return []
    whole = accepted(ask.facts, body, whole=True)
    lists = [each.name for each in fields if each.kind == "list" and each.fields]
    beside = {name: value for name, value in whole.items() if name not in lists}
    rows: list[Record] = []
    for name in lists:
        elements: list[Any] = whole.get(name) or []
        rows += [beside | each for each in elements if is_object(each)]
    return rows
