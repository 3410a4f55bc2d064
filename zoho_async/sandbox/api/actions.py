"""Paths that end with words which are no home: verbs, settings, things that a record has one of.

A verb changes its record. A thing (a preference, the text of an email) is kept under its path and
read there. An operation whose answer is a record of another home has made that record there (those
that put an invoice together are in `instant`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zoho_async.sandbox.api.bulk import home_of_requested, many, requested_ids
from zoho_async.sandbox.api.context import ROWS, RecordRef, RequestContext, missing
from zoho_async.sandbox.api.files import document, removed, uploaded, uploads, wants_print
from zoho_async.sandbox.api.render import (
    record_reply,
    reply_message,
    reply_status,
    reply_values,
    statuses,
)
from zoho_async.sandbox.api.verbs import changes
from zoho_async.sandbox.api.writing import accept_fields, create
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiReply, success
from zoho_async.sandbox.rules import bookkeeping

#: Where a record keeps what other systems call it.
_FOREIGN: Final = ("reference_id", "zcrm_account_id", "zcrm_contact_id", "crm_reference_id")
#: The key of an answer that tells what became of each of many.
_OUTCOMES: Final = "data"


def answer_action(ask: RequestContext) -> ApiReply:
    """The path ends with words that are no home."""
    call, facts, record = ask.call, ask.facts, ask.record
    if facts.answer == "file" or (call.method == "GET" and wants_print(call)):
        return document(ask, record)
    if call.form.files or uploads(facts):
        return uploaded(ask)
    of_one = facts.answer == "record" and facts.key != _OUTCOMES
    ids = None if ask.ids or of_one else requested_ids(ask)
    home = home_of_requested(ask) if ids is not None and call.method != "GET" else None
    makes = facts.answer == "record" and facts.key in ask.homes.by_noun
    if ids is not None and home is not None and not makes:
        return many(ask, home, ids)
    if call.method == "DELETE":
        if not removed(ask):
            ask.store.forget(call.product, call.path)
        return success(reply_message(ask))
    body = accept_fields(facts, call.body, whole=False) if call.method != "GET" else {}
    if ROWS in call.body and ask.tail[-1:] == ["customfields"]:
        body = {"custom_fields": call.body[ROWS]}
    made = _made_elsewhere(ask, record, body)
    if made is not None:
        return made
    if body:
        ask.store.keep_thing(call.product, call.path, body)
    if record is not None and call.method != "GET":
        _change(ask, record, body)
    return _thing(ask, record)


def _thing(ask: RequestContext, record: RecordRef | None) -> ApiReply:
    """An answer about a record, or about a thing that is kept under its path."""
    facts, call = ask.facts, ask.call
    message = "success" if call.method == "GET" else reply_message(ask)
    status = reply_status(ask)
    if facts.answer == "done":
        return success(message, status=status)
    thing = ask.store.thing(call.product, call.path)
    if record is None:
        record = _standing_for(ask)
    home = record.home if record is not None else None
    if record is not None and home is not None and facts.key == home.noun:
        return record_reply(facts, record, message, status=status)
    state: Record = record.collection.whole(record.index) if record is not None else {}
    state |= call.params
    values = reply_values(facts, home, None, state | thing)
    return success(message, values, status=status)


def _standing_for(ask: RequestContext) -> RecordRef | None:
    """The record that ``/users/me`` or ``/customers/reference/{reference_id}`` means."""
    home = ask.homes.by_noun.get(ask.facts.key)
    if home is None or ask.call.parts[0] != home.path[0]:
        return None
    collection = ask.store.at(home, ())
    for index in collection.indexes():
        if not ask.ids:
            return RecordRef(home, collection, index)
        state = collection.state(index)
        if any(str(state.get(name, "")) == ask.ids[-1] for name in _FOREIGN):
            return RecordRef(home, collection, index)
    raise missing(collection, home)


def _made_elsewhere(ask: RequestContext, record: RecordRef | None, body: Record) -> ApiReply | None:
    """An operation that answers a record of another home has made it there."""
    facts = ask.facts
    if ask.call.method != "POST" or facts.answer != "record":
        return None
    home = ask.homes.by_noun.get(facts.key)
    copies = ask.tail == ["clone"]
    if home is None or (record is not None and home is record.home and not copies):
        return None
    if facts.status != 201 and record is None:
        return None
    record = record or _source(ask)
    collection = ask.store.at(home, ())
    source = record.collection.state(record.index) if record is not None else {}
    known = {field.name for field in facts.reply}
    fields = {name: value for name, value in source.items() if name in known}
    own = (collection.resource.id_field, "status", "created_time", "last_modified_time")
    kept = {name: value for name, value in (fields | body).items() if name not in own}
    found = create(ask, home, collection, kept, checked=False)
    headers = {"location": f"/api/v3/{home.path[0]}/{found.id}"}
    return record_reply(facts, found, collection.resource.added, status=201, headers=headers)


def _source(ask: RequestContext) -> RecordRef | None:
    """The record that the query names as what another is made of."""
    for name, value in ask.call.params.items():
        for home in ask.homes.for_name(name):
            collection = ask.store.at(home, ())
            index = collection.find(value)
            if index is None:
                raise missing(collection, home)
            return RecordRef(home, collection, index)
    return None


def _change(ask: RequestContext, record: RecordRef, body: Mapping[str, Any]) -> None:
    """Do what the words after a record say."""
    collection = record.collection
    state = collection.state(record.index)
    body = bookkeeping.kept(record.home, body)
    if not ask.tail:
        words: list[str] = []
        changed = {name: value for name, value in body.items() if name in state}
    else:
        words = ask.tail
        changed = changes(words, body, statuses(collection), state)
    own = (collection.resource.id_field, "organization_id")
    changed |= {
        name: value
        for name, value in (*zip(ask.names, ask.ids, strict=True), *ask.call.params.items())
        if name in state and name not in own and value != record.id
    }
    if changed:
        collection.change(record.index, changed)
