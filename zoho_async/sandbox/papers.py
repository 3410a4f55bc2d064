"""Documents of records: uploads that are kept and given back, and what Zoho would print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zoho_async.description import OperationFacts
from zoho_async.sandbox import documents
from zoho_async.sandbox.many import home_of_ids, ids_asked
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, Reply, invalid, invalid_field, success
from zoho_async.sandbox.request import Ask, Call, Found, missing
from zoho_async.sandbox.telling import told_state

#: The fields of forms that files come in; descriptions have some of them among the query.
UPLOADS: Final = frozenset({"attachment", "receipt", "image", "doc", "back_image", "file"})
_MOST_PRINTED: Final = 25


def wants_print(call: Call) -> bool:
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    printable = any(kind in wanted for kind in ("pdf", "html", "csv", "xls"))
    return printable and "json" not in wanted


def uploads(facts: OperationFacts) -> bool:
    return any(field.name in UPLOADS and field.required for field in facts.query)


def uploaded(ask: Ask) -> Reply:
    """Keep what was uploaded under the path; where records have documents, it is one of them."""
    if not ask.call.form.files:
        wanted = next(field.name for field in ask.facts.query if field.name in UPLOADS)
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


def document(ask: Ask, record: Found | None) -> Reply:
    """A file that was kept under the path, or what Zoho would print."""
    call = ask.call
    kept = ask.store.file(call.product, call.path)
    if kept is not None:
        return _sent(kept.content_type, kept.name, kept.content)
    if ask.tail and ask.tail[-1] in ("attachment", "receipt", "image"):
        raise ApiRefusal(404, 1002, f"There is no {ask.tail[-1]} here.")
    ids = ids_asked(ask)
    if ids is not None:
        _check_prints(ask, ids)
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    lines = [f"{call.product} {call.path}", *(ids or [])]
    if record is not None:
        shown = record.collection.row(record.index)
        lines += [f"{name}: {value}" for name, value in shown.items() if value not in ("", [], {})]
    return _sent(*documents.printed(call.path, wanted, lines))


def _check_prints(ask: Ask, ids: Sequence[str]) -> None:
    home = home_of_ids(ask)
    if len(ids) > (ask.facts.batch or _MOST_PRINTED):
        raise invalid("ids")
    collection = ask.store.at(home, ()) if home is not None and not home.parents else None
    for each in ids:
        if collection is not None and home is not None and collection.find(each) is None:
            raise missing(collection, home)


def _sent(content_type: str, name: str, content: bytes) -> Reply:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(body=content, content_type=content_type, headers=headers)
