"""Find the operations that read full records and documents of a resource.

Lists leave out line items, taxes and addresses. The *detail* of a record has them. It is the reply
to the read of one record, or to a batch read of several ids, if the description names one
(`OperationFacts.details`). A detail is written instead of the list's row. If it does not have the
record's id under the list's name for it, the id is added in front.

Documents are what Zoho prints of a record (``accept=pdf`` on its read) and its attachments
(`zoho_async.export.details.documents`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from zoho_async import description
from zoho_async._msgspec import decoder_of
from zoho_async.description import Field, OperationFacts
from zoho_async.export.catalog import exportable
from zoho_async.wire.text import untyped

#: The row's field that says whether there is such a file, by the end of the file's path.
_ATTACHED: Final = {
    "attachment": "has_attachment",
    "receipt": "expense_receipt_name",
    "image": "image_name",
}
PDF: Final = "pdf"
#: Whatever is attachments to a record, whether by one file or by many.
ATTACHMENT: Final = "attachment"
#: The fields of a reply that are not values of the record.
_ENVELOPE: Final = ("code", "message")


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """A read of many full records, ``most`` ids at once in its parameter ``parameter``.

    It may be the list itself with ids. Its description then does not say that it returns more than
    the list does, so one batch is tried. It returns full records if its rows have one of the fields
    ``proof``, which the read of one record has and the list has not. Other reads need no ``proof``.
    """

    facts: OperationFacts
    parameter: str
    most: int
    proof: frozenset[str] = frozenset()

    def tells_all(self, rows: Iterable[bytes]) -> bool:
        """Whether these rows are full records."""
        fields = decoder_of(dict[str, msgspec.Raw])
        return not self.proof or any(self.proof & fields.decode(row).keys() for row in rows)


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """How to read full records of a resource; in batches if there is such a read.

    ``row_id`` is the list's name for the id, ``fields`` are those of a detail.
    """

    read: OperationFacts | None
    batches: Batches | None
    row_id: str

    @property
    def fields(self) -> tuple[Field, ...]:
        sure = self.batches is not None and not self.batches.proof
        best = self.batches.facts if self.batches and sure else self.read
        fields = best.reply if best else ()
        for field in fields:
            if best and not best.key and field.name == stem_of(self.row_id):
                fields = field.fields
        if self.row_id in [field.name for field in fields]:
            return fields
        return (Field(name=self.row_id, kind="id"), *fields)


class DocumentSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where to get the documents of a resource's records.

    ``printed`` is the read that can also print. ``attachments`` are files fetched by the record's
    id, by the end of their path. ``by_id`` are the ways to one of many by its own id. ``read`` is
    the read of a single record, whose ``documents`` lists them. ``many_attachments`` says that a
    record can have more than one.
    """

    printed: OperationFacts | None
    attachments: dict[str, OperationFacts]
    product: str
    row_id: str
    read: OperationFacts | None = None
    by_id: tuple[OperationFacts, ...] = ()
    many_attachments: bool = False

    def choose(self, row: bytes) -> str:
        """Return which documents to fetch, as far as the row shows, and the record's number.

        They are one text, such as ``pdf image`` and ``INV-000123`` on the next line.
        """
        values = untyped(row)
        chosen = [PDF] if self.printed else []
        names = [ATTACHMENT] if self.many_attachments else []
        names += [name for name in self.attachments if name not in names]
        chosen += [name for name in names if values.get(_ATTACHED[name], True)]
        number = values.get(f"{stem_of(self.row_id)}_number")
        return "\n".join([" ".join(chosen), *([str(number)] if number else [])])


def record_in(read: OperationFacts, body: bytes, row_id: str) -> bytes | None:
    """Return the record's bytes in the reply to ``read``; None if it has none.

    The record is under the key of the description. If that names none, it is an object named after
    the record, or the reply itself. Raises `msgspec.DecodeError`.
    """
    envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    key = read.key or (stem_of(row_id) if row_id not in envelope else "")
    if not key:
        own = {name: value for name, value in envelope.items() if name not in _ENVELOPE}
        return msgspec.json.encode(own)
    found = bytes(envelope.get(key, b"")).strip()
    return found if found.startswith(b"{") else None


def with_fields(row: bytes, fields: Mapping[str, str]) -> bytes:
    """Return ``row`` with those of ``fields`` added in front that it lacks."""
    there = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    missing = {name: text for name, text in fields.items() if name not in there}
    if not missing:
        return row
    front = msgspec.json.encode(missing)
    return front if not there else front[:-1] + b"," + row.strip()[1:]


def together(fields: Sequence[Field], others: Sequence[Field]) -> tuple[Field, ...]:
    """Join ``fields`` with those of ``others`` that they lack, in nested objects too."""
    known = {field.name: field for field in others}
    joined = [
        msgspec.structs.replace(field, fields=together(field.fields, known[field.name].fields))
        if field.fields and field.name in known
        else field
        for field in fields
    ]
    names = {field.name for field in fields}
    return (*joined, *(field for field in others if field.name not in names))


def stem_of(row_id: str) -> str:
    """Return ``invoice`` for ``invoice_id``."""
    return row_id.removesuffix("_id")


@functools.cache
def details_of(resource: str) -> Details | None:
    """Return how to read full records of a resource; None if its list has everything."""
    listed = exportable().get(resource)
    if listed is None or not listed.row_id:
        return None
    read = _read(listed)
    batches = _batches(listed, read)
    if read is None and batches is None:
        return None
    return Details(read=read, batches=batches, row_id=listed.row_id)


@functools.cache
def document_sources(resource: str) -> DocumentSources | None:
    """Return the sources of a resource's documents; None if it has none."""
    listed = exportable().get(resource)
    if listed is None or not listed.row_id:
        return None
    read = _read(listed)
    prints = read is not None and any(
        one.name == "accept" and "pdf" in one.allowed for one in read.query
    )
    attachments: dict[str, OperationFacts] = {}
    by_id: list[OperationFacts] = []
    many_attachments = False
    for facts in description.load(listed.product).operations:
        above, _, last = facts.path.rpartition("/")
        one_of_many = above.endswith("/documents") and last.startswith("{")
        if facts.answer == "file" and last in _ATTACHED and _is_below(above, listed):
            attachments[last] = facts
        record = above.removesuffix("/documents")
        if one_of_many and facts.method == "GET" and _is_below(record, listed):
            by_id.append(facts)
        many_attachments = many_attachments or (last == ATTACHMENT and _is_below(above, listed))
    many_attachments = read is not None and (many_attachments or bool(by_id))
    if not prints and not attachments and not many_attachments:
        return None
    return DocumentSources(
        printed=read if prints else None,
        attachments=attachments,
        product=listed.product,
        row_id=listed.row_id,
        read=read if many_attachments else None,
        by_id=tuple(by_id),
        many_attachments=many_attachments,
    )


def _read(listed: OperationFacts) -> OperationFacts | None:
    for facts in description.reads(listed.product):
        is_read = facts.answer in ("record", "values")
        if is_read and facts.name == f"{listed.resource}.get" and _is_below(facts.path, listed):
            return facts
    return None


def _is_below(path: str, listed: OperationFacts) -> bool:
    """Whether ``path`` is the path of a single record of the list."""
    above, _, rest = path.partition("/{")
    return above == listed.path and rest.endswith("}") and "/" not in rest and "_name" not in rest


def _batches(listed: OperationFacts, read: OperationFacts | None) -> Batches | None:
    if not listed.details or not listed.batch:
        return None
    facts = description.load(listed.product).named(listed.details)
    wanted = f"{stem_of(listed.row_id)}_ids"
    parameter = next(one.name for one in facts.query if one.name == wanted)
    proof: frozenset[str] = frozenset()
    if facts.name == listed.name:
        there = {field.name for field in listed.reply}
        nested = [field.name for field in read.reply if field.fields] if read else []
        proof = frozenset(nested) - there
    return Batches(facts=facts, parameter=parameter, most=listed.batch, proof=proof)
