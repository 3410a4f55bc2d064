"""Attachments and documents: uploads, and the files that Zoho would print.

Model
    A record has any number of attachments. Each is a document with an id, listed in ``documents``
    of the full record. ``/attachment`` is the last one: an upload adds one, and a deletion removes
    the last. A document is available under ``/documents/{document_id}`` and under its record.

For bills and purchase orders with several attachments, ``/attachment`` returns their names and ids
as JSON, as was seen live.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.bulk import requested_ids, schema_of_requested
from zoho_async.sandbox.api.context import ApiCall, RecordRef, RequestContext, missing
from zoho_async.sandbox.api.render import reply_values
from zoho_async.sandbox.data import files
from zoho_async.sandbox.data.files import File
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply, invalid, invalid_field, success

#: Form fields for files. Some specifications list them as query parameters.
UPLOADS: Final = frozenset(
    {"attachment", "receipt", "image", "doc", "document", "back_image", "file"}
)
_MOST_PRINTED: Final = 25
#: Collections that return several attachments as JSON.
_LISTS_ATTACHMENTS: Final = frozenset({"bills", "purchaseorders"})
#: Products that are known to return documents by id alone.
_BY_ID: Final = frozenset({"books", "inventory"})


def wants_print(call: ApiCall) -> bool:
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    printable = any(kind in wanted for kind in ("pdf", "html", "csv", "xls"))
    return printable and "json" not in wanted


def is_upload(facts: OperationFacts) -> bool:
    return any(field.name in UPLOADS and field.required for field in facts.query)


def save_uploads(context: RequestContext) -> ApiReply:
    """Keep the uploaded files under the path, and as documents of the record."""
    if not context.call.form.files:
        wanted = next(field.name for field in context.facts.query if field.name in UPLOADS)
        raise invalid_field(wanted)
    rows: list[Record] = []
    for file in context.call.form.files:
        context.store.keep_file(context.call.product, context.call.path, file)
        rows.append(_add_document(context, file))
    if context.tail == ["attachment"]:
        _set_documents(
            context.records[-1] if context.records else None, [*_documents(context), *rows]
        )
    values: Record = {}
    if context.facts.answer == "values":
        values = reply_values(context.facts, None, None, {"documents": rows})
    elif context.facts.answer == "record":
        values = reply_values(context.facts, None, None, rows[0])
    status = 201 if context.facts.status == 201 else 200
    return success("Your file has been successfully attached.", values, status=status)


def _add_document(context: RequestContext, file: File) -> Record:
    """Keep a file as a document of its record. Returns its row."""
    ending = file.name.rpartition(".")[2].lower()
    row: Record = {"file_name": file.name, "file_size": len(file.content), "file_type": ending}
    product, above = context.call.product, context.call.path.rpartition("/")[0]
    shelf = context.schemas.at(
        "/".join((*context.facts.path.split("/")[: -len(context.tail)], "documents"))
    )
    if shelf is not None and shelf.parents == len(context.ids):
        collection = context.store.at(shelf, context.ids)
        index = collection.add(row)
        row = {**collection.state(index), "document_id": collection.id(index)}
    else:
        row["document_id"] = context.store.new_document(product)
    for path in (f"{above}/documents", "/documents"):
        context.store.keep_file(product, f"{path}/{row['document_id']}", file)
    return row


def _documents(context: RequestContext) -> list[Record]:
    """Return the attachments of the record in the path, in order."""
    found = context.records[-1] if context.records else None
    held = found.collection.state(found.index).get("documents") if found is not None else None
    return list(held) if is_list(held) else []


def _set_documents(found: RecordRef | None, rows: Sequence[Record]) -> None:
    if found is None:
        return
    changed: Record = {"documents": list(rows)}
    if "has_attachment" in found.collection.state(found.index):
        changed["has_attachment"] = bool(rows)
    found.collection.change(found.index, changed)


def remove_last_attachment(context: RequestContext) -> bool:
    """Remove the last attachment if the path is ``/attachment``. Returns whether it did."""
    rows = _documents(context)
    if context.tail != ["attachment"] or not rows:
        return False
    store, product, above = (
        context.store,
        context.call.product,
        context.call.path.rpartition("/")[0],
    )
    *rest, last = rows
    store.forget(product, context.call.path)
    forget_document(store, product, above, str(last["document_id"]))
    if rest:
        before = store.file(product, f"/documents/{rest[-1]['document_id']}")
        if before is not None:
            store.keep_file(product, context.call.path, before)
    _set_documents(context.records[-1], rest)
    return True


def forget_document(store: Store, product: str, above: str, document_id: str) -> None:
    """Remove a document under its id and under its record, whose path is ``above``."""
    store.forget(product, f"/documents/{document_id}")
    store.forget(product, f"{above}/documents/{document_id}")


def purge_document(context: RequestContext) -> None:
    """After a document is deleted by id, remove its other copies too."""
    call = context.call
    if call.method != "DELETE" or call.parts[-2:-1] != ("documents",):
        return
    above, document_id = "/" + "/".join(call.parts[:-2]), call.parts[-1]
    forget_document(context.store, call.product, above, document_id)
    owner = next((each for each in reversed(context.records[:-1]) if each is not None), None)
    if owner is None:
        return
    held = owner.collection.state(owner.index).get("documents")
    if not is_list(held):
        return
    rest = [row for row in held if str(row.get("document_id")) != document_id]
    if len(rest) < len(held):
        before = str(rest[-1]["document_id"]) if rest else ""
        last = context.store.file(call.product, f"/documents/{before}")
        context.store.forget(call.product, f"{above}/attachment")
        if last is not None:
            context.store.keep_file(call.product, f"{above}/attachment", last)
        _set_documents(owner, rest)


def answer_document(call: ApiCall, store: Store) -> ApiReply | None:
    """Answer ``GET /documents/{document_id}`` for the documents of records too, else None."""
    if call.method != "GET" or call.parts[:1] != ("documents",) or len(call.parts) != 2:
        return None
    kept = store.file(call.product, call.path) if call.product in _BY_ID else None
    if kept is None:
        raise ApiRefusal(404, 1002, "Document does not exist.")
    return _file_reply(kept.content_type, kept.name, kept.content)


def document_reply(context: RequestContext, record: RecordRef | None) -> ApiReply:
    """Answer with the file kept under the path, or with a printed document."""
    call = context.call
    rows = _documents(context) if context.tail == ["attachment"] else []
    if len(rows) > 1 and call.parts[0] in _LISTS_ATTACHMENTS:
        names = [{name: row[name] for name in ("document_id", "file_name")} for row in rows]
        return success("success", {"documents": names})
    kept = context.store.file(call.product, call.path)
    if kept is not None:
        return _file_reply(kept.content_type, kept.name, kept.content)
    if context.tail and context.tail[-1] in ("attachment", "receipt", "image"):
        raise ApiRefusal(404, 1002, f"There is no {context.tail[-1]} here.")
    ids = requested_ids(context)
    if ids is not None:
        _check_prints(context, ids)
    wanted = call.params.get("accept") or call.headers.get("Accept", "")
    lines = [f"{call.product} {call.path}", *(ids or [])]
    if record is not None:
        shown = record.collection.row(record.index)
        lines += [f"{name}: {value}" for name, value in shown.items() if value not in ("", [], {})]
    return _file_reply(*files.printed(call.path, wanted, lines))


def _check_prints(context: RequestContext, ids: Sequence[str]) -> None:
    schema = schema_of_requested(context)
    if len(ids) > (context.facts.batch or _MOST_PRINTED):
        raise invalid("ids")
    collection = context.store.at(schema, ()) if schema is not None and not schema.parents else None
    for each in ids:
        if collection is not None and schema is not None and collection.find(each) is None:
            raise missing(collection, schema)


def _file_reply(content_type: str, name: str, content: bytes) -> ApiReply:
    headers = {"Content-Disposition": disposition(name)}
    return ApiReply(body=content, content_type=content_type, headers=headers)


def disposition(name: str) -> str:
    """Return the header for a file name: plain ASCII, with an encoded form if needed."""
    plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    plain = "".join(each for each in plain if each.isprintable())
    encoded = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
