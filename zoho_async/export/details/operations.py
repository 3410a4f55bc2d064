"""How single records are read in full, and which documents there are of them.

Lists leave out line items, taxes and addresses. What has them is the *detail*: the answer to the
read of one record, or to a batch read that takes so many ids in one call where the description
names one (`OperationFacts.details`). A detail stands in the place of the list's row; where it does
not tell the record's id under the list's name for it, that is spliced in front.

Documents: what Zoho prints of a record (``accept=pdf`` on its read), and what was attachments to it
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

#: Files that hang below a record, by the end of their path; the row's field that tells of one.
_ATTACHED: Final = {
    "attachment": "has_attachment",
    "receipt": "expense_receipt_name",
    "image": "image_name",
}
PDF: Final = "pdf"
#: Whatever is attachments to a record, whether by one file or by many.
ATTACHMENT: Final = "attachment"
#: What an answer says besides its values.
_ENVELOPE: Final = ("code", "message")


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """A read of many records in full, ``most`` ids at once in its parameter ``parameter``.

    Where that is the list itself, asked for ids, its description does not say that it then tells
    more than a list does. So one batch is tried: it does if its rows have any of the fields called
    ``proof``, which the read of one record has and the list has not. No
    ``proof`` is wanted of any other.
    """

    facts: OperationFacts
    parameter: str
    most: int
    proof: frozenset[str] = frozenset()

    def tells_all(self, rows: Iterable[bytes]) -> bool:
        """Whether these rows are records in full."""
        fields = decoder_of(dict[str, msgspec.Raw])
        return not self.proof or any(self.proof & fields.decode(row).keys() for row in rows)


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """How the details of a resource's records are had: by batches where there are such reads.

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
    """The documents of a resource's records.

    ``printed`` is the read that also prints. ``attachments`` are files that are had by the record's
    id, by the end of their path; ``by_id`` the ways to one of many by its own id. ``read`` is the
    read of a single record, in which ``documents`` names them.
    """

    printed: OperationFacts | None
    attachments: dict[str, OperationFacts]
    product: str
    row_id: str
    read: OperationFacts | None = None
    by_id: tuple[OperationFacts, ...] = ()
    many_attachments: bool = False

    def wanted(self, row: bytes) -> str:
        """What to ask for of the record with this row, as far as the row tells: ``pdf image``."""
        values = untyped(row)
        wanted = [PDF] if self.printed else []
        names = [ATTACHMENT] if self.many_attachments else []
        names += [name for name in self.attachments if name not in names]
        wanted += [name for name in names if values.get(_ATTACHED[name], True)]
        return " ".join(wanted)


def record_in(read: OperationFacts, body: bytes, row_id: str) -> bytes | None:
    """The record's own bytes in the answer to ``read``; None where it holds none.

    It stands under the key of the description. Where that names none, it is an object called after
    the record, or the answer itself. Raises `msgspec.DecodeError`.
    """
    envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    key = read.key or (stem_of(row_id) if row_id not in envelope else "")
    if not key:
        own = {name: value for name, value in envelope.items() if name not in _ENVELOPE}
        return msgspec.json.encode(own)
    found = bytes(envelope.get(key, b"")).strip()
    return found if found.startswith(b"{") else None


def with_fields(row: bytes, fields: Mapping[str, str]) -> bytes:
    """``row`` with texts spliced in front, those that it has no field for."""
    there = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    missing = {name: text for name, text in fields.items() if name not in there}
    if not missing:
        return row
    front = msgspec.json.encode(missing)
    return front if not there else front[:-1] + b"," + row.strip()[1:]


def together(fields: Sequence[Field], others: Sequence[Field]) -> tuple[Field, ...]:
    """``fields`` and those of ``others`` that they lack, within objects too."""
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
    """``invoice`` for ``invoice_id``."""
    return row_id.removesuffix("_id")


@functools.cache
def details_of(resource: str) -> Details | None:
    """How to read a resource's records in full; None where its list tells all there is to read."""
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
    """The documents of a resource's records; None where there are none."""
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
    for facts in description.load(listed.product).operations:
        is_read = facts.method == "GET" and facts.answer in ("record", "values")
        if is_read and facts.name == f"{listed.resource}.get" and _is_below(facts.path, listed):
            return facts
    return None


def _is_below(path: str, listed: OperationFacts) -> bool:
    """Whether ``path`` is that of a single record of the list."""
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
