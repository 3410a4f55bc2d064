"""The API of the four products over a store: from a call to its answer, by the description.

A path says what is meant (see `homes`): the name of a record at its end reads, changes or removes
that record; a home at its end lists it or makes a record in it; other words after a record are a
verb (see `verbs`), or a thing that the record has one of, kept under its path. Words under a home
with ids in the query are the same verb for many. An operation whose answer is a record of another
home makes one there. Limits, tokens and organizations were checked before a call comes here.

What a reply holds is told in the kinds that the operation's own reply is described with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox import books, documents, organizations, queries
from zoho_async.sandbox.homes import Home
from zoho_async.sandbox.records.described import Described, holder_of
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, Reply, invalid, invalid_field, success
from zoho_async.sandbox.request import ROWS, Ask, Call, Found, missing, texts
from zoho_async.sandbox.routes import route
from zoho_async.sandbox.store import Collection, Store, View
from zoho_async.sandbox.values import blank, is_list, is_object, told, told_fields
from zoho_async.sandbox.verbs import changes, status_after
from zoho_async.sandbox.writes import accepted, create, update, upsert

_UPLOADS: Final = frozenset({"attachment", "receipt", "image", "doc", "back_image", "file"})
_MOST_AT_ONCE: Final = 100
_FOREIGN: Final = ("reference_id", "zcrm_account_id", "zcrm_contact_id", "crm_reference_id")


def described(product: str, method: str, parts: Sequence[str]) -> OperationFacts | None:
    """The operation of the description that a request asks for, if there is one."""
    found = route(product, method, parts)
    return found.facts if found is not None else None


async def answer(call: Call, store: Store, every: Sequence[Store]) -> Reply:
    """Answer a call for ``store``'s organization; ``every`` are all of the user's.

    Raises `ApiRefusal`.
    """
    found = route(call.product, call.method, call.parts)
    if found is None:
        raise ApiRefusal(404, 5, "Invalid URL Passed")
    if call.parts[0] == "organizations":
        known = organizations.answer(call, found.facts, store, every)
        if known is not None:
            return known
    if ROWS in call.body and not _takes_rows(found.facts):
        raise ApiRefusal(400, 1038, "JSON is not well formed")
    queries.check(found.facts, call.params, _UPLOADS)
    ask = Ask(call, found, store)
    by_hand = books.answer(ask)
    if by_hand is not None:
        return by_hand
    if ask.facts.answer == "list":
        return await _listed(ask)
    if ask.names_record:
        return _of_record(ask)
    here = ask.here
    if here is not None and not call.form.files:
        reply = _of_home(ask, here)
        if reply is not None:
            return reply
    return _of_words(ask)


def _takes_rows(facts: OperationFacts) -> bool:
    """Whether a body may be a list: custom fields, and many records at once."""
    return facts.path.endswith("/customfields") or ".bulk_" in facts.name


async def _listed(ask: Ask) -> Reply:
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
    query = queries.understand(rows, ask.facts, ask.call.params)
    return await queries.answer(rows, query, ask.facts)


def _several(ask: Ask) -> Reply | None:
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
        rows = [form.tell(facts.reply, collection.state(i)) for i in found if i is not None]
        return success("success", {facts.key: rows})
    return None


# -- a record -----------------------------------------------------------------------------------


def _of_record(ask: Ask) -> Reply:
    """The path ends with the name of a record."""
    found, call, facts = ask.found[-1], ask.call, ask.facts
    if found is None or found.home.parents < len(ask.ids) - 1:
        return _of_words(ask)
    as_json = "json" in call.params.get("accept", "") or call.method != "GET"
    kept = not as_json and ask.store.file(call.product, call.path) is not None
    if facts.answer == "file" or kept or (call.method == "GET" and _wants_print(call)):
        return _document(ask, found)
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
            return _of_words(ask)


def told_record(
    facts: OperationFacts,
    found: Found,
    message: str = "success",
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Reply:
    """The answer of an operation about one record."""
    collection = found.collection
    values: Mapping[str, Any] = {}
    resource = collection.resource
    if not isinstance(resource, Described):
        values = {facts.key: collection.detail(found.index)} if facts.key else {}
    elif facts.answer != "done":
        values = told_state(facts, found.home, resource, collection.state(found.index))
    return success(message, values, status=status, headers=headers)


def told_state(
    facts: OperationFacts, home: Home | None, form: Described | None, state: Record
) -> Record:
    """What stands beside code and message in an answer about a record in this state."""
    holder = holder_of(facts, home)
    if facts.answer == "record" or holder is not None:
        fields = facts.reply if holder is None else holder.fields
        if form is not None:
            record = form.tell(fields, state)
        else:
            known = {field.name: field for field in fields}
            sent = {name: value for name, value in state.items() if name in known}
            record = {name: blank(field) for name, field in known.items()}
            record |= told_fields(fields, sent)
        if holder is None:
            return {facts.key: record} if facts.key else record
        rest = {each.name: blank(each) for each in facts.reply if each is not holder}
        return rest | {holder.name: [record] if holder.kind == "list" else record}
    return {
        field.name: told(field, state[field.name]) if field.name in state else blank(field)
        for field in facts.reply
        if field.name not in ("code", "message")
    }


# -- a home -------------------------------------------------------------------------------------


def _of_home(ask: Ask, home: Home) -> Reply | None:
    """The path is a home: a record is made, changed by its unique field, or many are changed."""
    call, facts = ask.call, ask.facts
    ids = _ids_asked(ask)
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
            return _many(ask, home, ids if ids is not None else _in_body(ask, home))
        case "PUT" if home.parents <= len(ask.ids):
            return _many(ask, home, ids if ids is not None else _in_body(ask, home))
        case "GET" if facts.answer == "values" and home.parents == len(ask.ids):
            collection = ask.within(home)
            rows = [collection.row(index) for index in collection.indexes()]
            return success("success", {field.name: rows for field in facts.reply[:1]})
        case _:
            return None


def _made(ask: Ask, home: Home, collection: Collection) -> Reply:
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
    rows: list[Any] = [each for name in lists for each in whole.get(name) or []]
    return [beside | each for each in rows if is_object(each)]


def _in_body(ask: Ask, home: Home) -> list[str]:
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


# -- verbs, things that a record has one of, settings ------------------------------------------


def _of_words(ask: Ask) -> Reply:
    """The path ends with words that are no home."""
    call, facts, record = ask.call, ask.facts, ask.record
    if facts.answer == "file" or (call.method == "GET" and _wants_print(call)):
        return _document(ask, record)
    if call.form.files or _uploads(facts):
        return _uploaded(ask)
    ids = None if ask.ids else _ids_asked(ask)
    if ids is not None and call.method != "GET":
        return _many(ask, _home_of_ids(ask), ids)
    if call.method == "DELETE":
        ask.store.forget(call.product, call.path)
        return success(_message(ask))
    body = accepted(facts, call.body, whole=False) if call.method != "GET" else {}
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


def _thing(ask: Ask, record: Found | None) -> Reply:
    """An answer about a record, or about a thing that is kept under its path."""
    facts, call = ask.facts, ask.call
    message = "success" if call.method == "GET" else _message(ask)
    status = 201 if call.method == "POST" and facts.status == 201 else 200
    if facts.answer == "done":
        return success(message, status=status)
    thing = ask.store.thing(call.product, call.path)
    if record is None:
        record = _standing_for(ask)
    home = record.home if record is not None else None
    if record is not None and home is not None and facts.key == home.noun:
        return told_record(facts, record, message, status=status)
    state: Record = dict(record.collection.state(record.index)) if record is not None else {}
    state |= call.params
    values = told_state(facts, home, None, state | thing)
    return success(message, values, status=status)


def _standing_for(ask: Ask) -> Found | None:
    """The record that ``/users/me`` or ``/customers/reference/{reference_id}`` means."""
    home = ask.homes.by_noun.get(ask.facts.key)
    if home is None or ask.call.parts[0] != home.path[0]:
        return None
    collection = ask.store.at(home, ())
    for index in collection.indexes():
        if not ask.ids:
            return Found(home, collection, index)
        state = collection.state(index)
        if any(str(state.get(name, "")) == ask.ids[-1] for name in _FOREIGN):
            return Found(home, collection, index)
    raise missing(collection, home)


def _made_elsewhere(ask: Ask, record: Found | None, body: Record) -> Reply | None:
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
    return told_record(facts, found, collection.resource.added, status=201, headers=headers)


def _source(ask: Ask) -> Found | None:
    """The record that the query names as what another is made of."""
    for name, value in ask.call.params.items():
        for home in ask.homes.for_name(name):
            collection = ask.store.at(home, ())
            index = collection.find(value)
            if index is None:
                raise missing(collection, home)
            return Found(home, collection, index)
    return None


def _change(ask: Ask, record: Found, body: Mapping[str, Any]) -> None:
    """Do what the words after a record say."""
    collection = record.collection
    state = collection.state(record.index)
    if not ask.tail:
        words: list[str] = []
        changed = {name: value for name, value in body.items() if name in state}
    else:
        words = ask.tail
        changed = changes(words, body, _statuses(collection), state)
    changed |= {
        name: value
        for name, value in (*zip(ask.names, ask.ids, strict=True), *ask.call.params.items())
        if name in state and name != collection.resource.id_field and value not in ask.ids[:1]
    }
    if changed:
        collection.change(record.index, changed)


def _statuses(collection: Collection) -> Sequence[str]:
    resource = collection.resource
    return resource.statuses if isinstance(resource, Described) else ()


def _message(ask: Ask) -> str:
    record = ask.record
    noun = record.home.noun.replace("_", " ") if record is not None else ask.call.parts[0]
    words = " ".join(ask.tail) or "change"
    if "email" in ask.tail:
        return "Your email is on its way."
    after = status_after(ask.tail, ()) if ask.tail else ""
    if after:
        return f"The {noun} has been marked as {after.replace('_', ' ')}."
    return f"The {noun} has been updated: {words}."


# -- many at once ------------------------------------------------------------------------------


def _ids_asked(ask: Ask) -> list[str] | None:
    """The ids in the query that say which records are meant, or None."""
    for field in ask.facts.query:
        many = field.name.endswith("_ids") or (field.required and field.name.endswith("_id"))
        if many and field.name in ask.call.params and ask.call.params[field.name]:
            return texts(ask.call.params[field.name])
    return None


def _home_of_ids(ask: Ask) -> Home | None:
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


def _many(ask: Ask, home: Home | None, ids: Sequence[str]) -> Reply:
    """Do the same to many records; each outcome has its own code."""
    if home is None:
        return _thing(ask, None)
    collection = ask.store.at(home, ask.ids[: home.parents])
    body = accepted(ask.facts, ask.call.body, whole=False)
    outcomes: dict[tuple[int, str], list[str]] = {}
    for record_id in ids:
        try:
            _do_to(ask, home, collection, record_id, body)
        except ApiRefusal as refusal:
            outcomes.setdefault((refusal.code, refusal.message), []).append(record_id)
        else:
            outcomes.setdefault((0, _message(ask)), []).append(record_id)
    rows = [
        {"code": code, "message": message, "ids": each}
        for (code, message), each in outcomes.items()
    ]
    return _outcomes(ask, home, collection, rows)


def _do_to(ask: Ask, home: Home, collection: Collection, record_id: str, body: Record) -> None:
    """Do to one record what is asked for many. Raises `ApiRefusal`."""
    index = collection.find(record_id)
    if index is None:
        raise missing(collection, home)
    if ask.call.method == "DELETE":
        books.check_removal(ask.store, Found(home, collection, index))
        collection.remove(index)
        return
    words = ask.tail[len(home.path) :]
    state = collection.state(index)
    sent = body | _row_of(ask.call.body, home, record_id)
    named = {name: value for name, value in sent.items() if name in state}
    named.pop(collection.resource.id_field, None)
    changed = changes(words, body, _statuses(collection), state) if words else named
    if changed:
        collection.change(index, changed)


def _row_of(body: Record, home: Home, record_id: str) -> Record:
    """What a body that is a list says of one record."""
    rows: list[Record] = body.get(ROWS) or []
    nothing: Record = {}
    return next((row for row in rows if str(row.get(home.id_field)) == record_id), nothing)


def _outcomes(ask: Ask, home: Home, collection: Collection, rows: list[Record]) -> Reply:
    facts = ask.facts
    good = [row for row in rows if row["code"] == 0]
    bad = [row for row in rows if row["code"] != 0]
    done: list[str] = [record_id for row in good for record_id in row["ids"]]
    message = str(good[0]["message"]) if good else "Nothing was changed."
    if facts.answer == "done":
        return success(message, {"data": rows} if rows else {})
    holder = holder_of(facts, home)
    resource = collection.resource
    if holder is not None and isinstance(resource, Described):
        indexes = (collection.find(each) for each in done)
        states = [collection.state(index) for index in indexes if index is not None]
        return success(
            message, {holder.name: [resource.tell(holder.fields, state) for state in states]}
        )
    sent = {field.name: field.kind for field in facts.reply}.get("email_success_info")
    state: Record = {
        "errors": bad,
        "email_success_info": good
        if sent == "list"
        else {"message": message, "sent_count": len(done)},
        "email_errors_info": bad,
        "email_error_info": bad,
    }
    return success(message, told_state(facts, None, None, state))


# -- documents ----------------------------------------------------------------------------------


def _wants_print(call: Call) -> bool:
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    printable = any(kind in wanted for kind in ("pdf", "html", "csv", "xls"))
    return printable and "json" not in wanted


def _uploads(facts: OperationFacts) -> bool:
    return any(field.name in _UPLOADS and field.required for field in facts.query)


def _uploaded(ask: Ask) -> Reply:
    """Keep what was uploaded under the path; where records have documents, it is one of them."""
    if not ask.call.form.files:
        wanted = next(field.name for field in ask.facts.query if field.name in _UPLOADS)
        raise invalid_field(wanted)
    rows: list[Record] = []
    for file in ask.call.form.files:
        ask.store.keep_file(ask.call.product, ask.call.path, file)
        shelf = ask.homes.at("/".join((*ask.facts.path.split("/")[: -len(ask.tail)], "documents")))
        row: Record = {"file_name": file.name, "file_size": len(file.content), "file_type": "pdf"}
        if shelf is not None and shelf.parents == len(ask.ids):
            collection = ask.store.at(shelf, ask.ids)
            index = collection.add(row)
            path = f"{ask.call.path.rpartition('/')[0]}/documents/{collection.id(index)}"
            ask.store.keep_file(ask.call.product, path, file)
            row = collection.state(index)
        rows.append(row)
    record = ask.record
    if record is not None and "has_attachment" in record.collection.state(record.index):
        record.collection.change(record.index, {"has_attachment": True})
    values: Record = {}
    if ask.facts.answer == "values":
        values = told_state(ask.facts, None, None, {"documents": rows})
    elif ask.facts.answer == "record":
        values = told_state(ask.facts, None, None, rows[0])
    status = 201 if ask.facts.status == 201 else 200
    return success("Your file has been successfully attached.", values, status=status)


def _document(ask: Ask, record: Found | None) -> Reply:
    """A file that was kept under the path, or what Zoho would print."""
    call = ask.call
    kept = ask.store.file(call.product, call.path)
    if kept is not None:
        return _sent(kept.content_type, kept.name, kept.content)
    if ask.tail and ask.tail[-1] in ("attachment", "receipt", "image"):
        raise ApiRefusal(404, 1002, f"There is no {ask.tail[-1]} here.")
    ids = _ids_asked(ask)
    if ids is not None:
        _check_prints(ask, ids)
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    lines = [f"{call.product} {call.path}", *(ids or [])]
    if record is not None:
        shown = record.collection.row(record.index)
        lines += [f"{name}: {value}" for name, value in shown.items() if value not in ("", [], {})]
    return _sent(*documents.printed(call.path, wanted, lines))


def _check_prints(ask: Ask, ids: Sequence[str]) -> None:
    home = _home_of_ids(ask)
    if len(ids) > (ask.facts.batch or 25):
        raise invalid("ids")
    collection = ask.store.at(home, ()) if home is not None and not home.parents else None
    for each in ids:
        if collection is not None and home is not None and collection.find(each) is None:
            raise missing(collection, home)


def _sent(content_type: str, name: str, content: bytes) -> Reply:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(body=content, content_type=content_type, headers=headers)
