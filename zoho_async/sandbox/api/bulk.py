"""The same done to many records: each has its own outcome, and one refusal spares the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from zoho_async.sandbox.api import books
from zoho_async.sandbox.api.context import ROWS, Ask, Found, missing, texts
from zoho_async.sandbox.api.render import message_of, status_of, statuses, told_state
from zoho_async.sandbox.api.verbs import changes
from zoho_async.sandbox.api.writing import accepted
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.resources import Home
from zoho_async.sandbox.data.values import is_list, is_object
from zoho_async.sandbox.records.described import Described, holder_of
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, success
from zoho_async.sandbox.rules import bookkeeping


def ids_asked(ask: Ask) -> list[str] | None:
    """The ids in the query that say which records are meant, or None."""
    for field in ask.facts.query:
        many = field.name.endswith("_ids") or (field.required and field.name.endswith("_id"))
        if many and field.name in ask.call.params and ask.call.params[field.name]:
            return texts(ask.call.params[field.name])
    return None


def home_of_ids(ask: Ask) -> Home | None:
    """Whose records the ids in the query are: those of the path's own home, if they may be."""
    paths = (tuple(ask.tail[:length]) for length in range(len(ask.tail), 0, -1))
    own = next((ask.homes.by_path[path] for path in paths if path in ask.homes.by_path), None)
    for field in ask.facts.query:
        if field.name.endswith("_ids") and field.name in ask.call.params:
            named = ask.homes.for_name(field.name.removesuffix("s"))
            if own is not None and own.id_field == field.name.removesuffix("s"):
                return own
            if named:
                return named[0]
    return own


def ids_in_body(ask: Ask, home: Home) -> list[str]:
    """The ids of the records of a home that a body names."""
    body = ask.call.body
    if ROWS in body:
        return [str(each[home.id_field]) for each in body[ROWS] if each.get(home.id_field)]
    own = body.get(f"{home.id_field}s") or body.get(home.id_field)
    if own:
        return texts(own)
    lists = [value for value in body.values() if is_list(value)]
    named = (each.get(home.id_field) for rows in lists for each in rows if is_object(each))
    return [str(each) for each in named if each]


def many(ask: Ask, home: Home, ids: Sequence[str]) -> ApiReply:
    """Do what the path says to many records of a home."""
    collection = ask.store.at(home, ask.ids[: home.parents])
    body = accepted(ask.facts, ask.call.body, whole=False)
    do = functools.partial(_do_to, ask, home, collection, body=body)
    return each(ask, home, ids, do, message_of(ask))


def each(
    ask: Ask, home: Home, ids: Sequence[str], do: Callable[[str], object], message: str
) -> ApiReply:
    """Do something for each id; each outcome has its own code, and ``message`` if it is good."""
    outcomes: dict[tuple[int, str], list[str]] = {}
    for record_id in ids:
        try:
            do(record_id)
        except ApiRefusal as refusal:
            outcomes.setdefault((refusal.code, refusal.message), []).append(record_id)
        else:
            outcomes.setdefault((0, message), []).append(record_id)
    rows = [
        {"code": code, "message": told, "ids": those} for (code, told), those in outcomes.items()
    ]
    return _outcomes(ask, home, ask.store.at(home, ask.ids[: home.parents]), rows)


def _do_to(ask: Ask, home: Home, collection: Collection, record_id: str, body: Record) -> None:
    """Do to one record what is asked for many. Raises `ApiRefusal`."""
    index = collection.find(record_id)
    if index is None:
        raise missing(collection, home)
    if ask.call.method == "DELETE":
        books.check_removal(ask.store, Found(home, collection, index))
        collection.remove(index)
        bookkeeping.followed(ask.store, Found(home, collection, index))
        return
    words = ask.tail[len(home.path) :]
    bookkeeping.verb(ask.store, Found(home, collection, index), words)
    state = collection.state(index)
    sent = bookkeeping.kept(home, body | _row_of(ask.call.body, home, record_id))
    named = {name: value for name, value in sent.items() if name in state}
    named.pop(collection.resource.id_field, None)
    changed = changes(words, body, statuses(collection), state) if words else named
    if changed:
        collection.change(index, changed)
    bookkeeping.followed(ask.store, Found(home, collection, index))


def _row_of(body: Record, home: Home, record_id: str) -> Record:
    """What a body that is a list says of one record."""
    rows: list[Record] = body.get(ROWS) or []
    nothing: Record = {}
    return next((row for row in rows if str(row.get(home.id_field)) == record_id), nothing)


def _outcomes(ask: Ask, home: Home, collection: Collection, rows: list[Record]) -> ApiReply:
    facts = ask.facts
    good = [row for row in rows if row["code"] == 0]
    bad = [row for row in rows if row["code"] != 0]
    done: list[str] = [record_id for row in good for record_id in row["ids"]]
    message = str(good[0]["message"]) if good else "Nothing was changed."
    if facts.answer == "done":
        return success(message, {"data": rows} if rows else {}, status=status_of(ask))
    holder = holder_of(facts, home)
    resource = collection.resource
    if holder is not None and isinstance(resource, Described):
        indexes = (collection.find(each) for each in done)
        states = [collection.state(index) for index in indexes if index is not None]
        told = [resource.render(holder.fields, state) for state in states]
        return success(message, {holder.name: told}, status=status_of(ask))
    sent = {field.name: field.kind for field in facts.reply}.get("email_success_info")
    state: Record = {
        "errors": bad,
        "email_success_info": good
        if sent == "list"
        else {"message": message, "sent_count": len(done)},
        "email_errors_info": bad,
        "email_error_info": bad,
    }
    return success(message, told_state(facts, None, None, state), status=status_of(ask))
