"""Derive the columns of a resource's tables from its description.

Model
-----
The columns are the same for every destination.

- A plain field is a column.
- The fields of an object are columns of the containing row, such as ``billing_address_city``.
- A list of objects becomes separate rows: a child table, or a list of structs.
- A list of texts stays a list if the destination has lists.
- Any other list, and each undescribed field, is JSON text.
- Blanks (``""``, ``" "``, ``null`` and missing fields) are NULL.

Live rows hold about twice as many fields as are described, and some described fields have other
types. Fields that rows show become columns too (`zoho_async.export.columns.observed`). Every table
has a column ``_extra``: a JSON object of everything that the other columns do not hold. Numbers
with more digits than their column holds are in ``_exact`` (`zoho_async.export.columns.numbers`).

The lists of custom fields always have ``label``, ``api_name``, ``data_type``, ``value`` and
``value_formatted``, and their values are plain text.

Invariant
---------
The columns, ``_exact`` and ``_extra`` together hold the row. A field is either in its column, with
the digits that the column lacks in ``_exact``, or complete and as Zoho sent it in ``_extra``.

Names
-----
Names are Zoho's. Databases fold case, and PostgreSQL cuts names at 63 bytes. A name that is too
long or already taken ends in a digest of its full path. The same applies to names with invisible or
unsupported characters, which become ``_``. Names are compared without case and in Unicode's NFKC
form. Described fields are named before observed ones, so an observed one never renames a column.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.description import Field, Kind
from zoho_async.export.columns.numbers import number_kind

EXTRA: Final = "_extra"
EXACT: Final = "_exact"
DELETED: Final = "_deleted_time"
#: The id of the row that a child belongs to, and the child's position in its list, from 1.
ROW: Final = "_row_id"
POSITION: Final = "_position"

_RESERVED: Final = frozenset({EXACT, EXTRA, ROW, POSITION})

#: The field with a record's custom fields, as a list of objects.
CUSTOM_FIELDS: Final = "custom_fields"
#: The fields of a custom field that are always columns. A value of any type is plain text.
_CUSTOM: Final = (
    Field(name="label", kind="text"),
    Field(name="api_name", kind="text"),
    Field(name="data_type", kind="text"),
    Field(name="value", kind="text"),
    Field(name="value_formatted", kind="text"),
)

#: The kind of a column. ``texts`` is a list of texts, ``json`` any value as JSON text. The kinds
#: ``decimal`` and ``exchange_rate`` are numbers (`zoho_async.export.columns.numbers`).
ColumnKind: TypeAlias = Literal[
    "text", "decimal", "exchange_rate", "integer", "boolean", "date", "time", "json", "texts"
]

#: The longest name in PostgreSQL, in bytes.
LONGEST_NAME: Final = 63

_PLAIN: Final[dict[Kind, ColumnKind]] = {
    "id": "text",
    "text": "text",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "time": "time",
}


class Column(msgspec.Struct, frozen=True):
    """One column. ``path`` lists the field names from the row to the value."""

    name: str
    kind: ColumnKind
    path: tuple[str, ...]


class ObservedField(msgspec.Struct, frozen=True):
    """An undescribed field that rows showed. ``path`` is as in `Column`."""

    path: tuple[str, ...]
    kind: ColumnKind


#: The observed fields of a resource, in the order of their first rows.
Observed: TypeAlias = tuple[ObservedField, ...]


class Nested(msgspec.Struct, frozen=True):
    """A list of objects in a row. ``shape`` is the shape of its elements."""

    name: str
    shape: ColumnShape
    path: tuple[str, ...]


class ColumnShape(msgspec.Struct, frozen=True):
    """The columns of a row without ``_exact`` and ``_extra``, and its lists of objects."""

    columns: tuple[Column, ...]
    lists: tuple[Nested, ...]

    @property
    def depth(self) -> int:
        """The depth of nested lists."""
        return max((1 + nested.shape.depth for nested in self.lists), default=0)


def shape_of(
    fields: Iterable[Field], row_id: str = "", *, lists: bool = True, texts: bool = False
) -> ColumnShape:
    """The shape of a resource's rows. The last column is the time of deletion.

    ``row_id`` is text and always has a column, even if it is not described. If ``lists`` is false,
    lists of objects are JSON text. If ``texts`` is true, lists of texts stay lists.
    """
    identity = {row_id: Field(name=row_id, kind="id")} if row_id else {}
    known = {field.name: field for field in fields if field.name not in (DELETED, EXACT, EXTRA)}
    deleted = Field(name=DELETED, kind="time")
    return _shape([*{**known, **identity}.values(), deleted], lists=lists, texts=texts)


def with_observed(shape: ColumnShape, observed: Observed) -> ColumnShape:
    """``shape`` with a column for each of the ``observed`` fields, after its own columns.

    A field that was observed before it was described keeps the kind of its column.
    """
    kinds: dict[tuple[str, ...], ColumnKind] = {field.path: field.kind for field in observed}
    own = [
        msgspec.structs.replace(column, kind=kinds.pop(column.path, column.kind))
        for column in shape.columns
    ]
    names = [*(one.name for one in shape.columns), *(one.name for one in shape.lists)]
    taken = {*map(_fold, names), *_RESERVED}
    new = [Column(_name(path, taken), kind, path) for path, kind in kinds.items()]
    return ColumnShape((*own, *new), shape.lists)


def short_name(name: str) -> str:
    """``name``, or its start and a digest if databases cannot hold all of it."""
    clean = "".join(each if each.isprintable() else "_" for each in name)
    fits = clean == name and 0 < len(clean.encode()) <= LONGEST_NAME
    return name if fits else _with_digest(clean, name)


def _shape(fields: Iterable[Field], *, lists: bool, texts: bool) -> ColumnShape:
    columns: list[Column] = []
    nested: list[Nested] = []
    taken = set(_RESERVED)

    def add(field: Field, above: tuple[str, ...]) -> None:
        path = (*above, field.name)
        if field.kind == "object" and field.fields:
            for inner in field.fields:
                add(inner, path)
            return
        name = _name(path, taken)
        inner_fields = fields_of(field)
        if field.kind == "list" and inner_fields and lists:
            inside = _shape(inner_fields, lists=lists, texts=texts)
            nested.append(Nested(name, inside, path))
        else:
            columns.append(Column(name, _kind(field, texts=texts), path))

    unique = {field.name: field for field in fields}.values()
    for field in sorted(unique, key=lambda field: field.kind == "object"):  # plain names come first
        add(field, ())
    return ColumnShape(tuple(columns), tuple(nested))


def fields_of(field: Field) -> tuple[Field, ...]:
    """The fields inside ``field``. A list of custom fields has more than described."""
    if field.name != CUSTOM_FIELDS or field.kind != "list":
        return field.fields
    own = {one.name: one for one in field.fields}
    ids = () if "custom_field_id" in own else (Field(name="customfield_id", kind="id"),)
    return tuple({**own, **{one.name: one for one in (*ids, *_CUSTOM)}}.values())


def _kind(field: Field, *, texts: bool) -> ColumnKind:
    if field.kind == "list" and texts and field.element in ("id", "text"):
        return "texts"
    if field.kind == "decimal":
        return number_kind(field.name)
    return _PLAIN.get(field.kind, "json")


def _name(path: tuple[str, ...], taken: set[str]) -> str:
    name = short_name("_".join(path))
    if _fold(name) in taken:
        name = _with_digest(name, ".".join(path))
    taken.add(_fold(name))
    return name


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _with_digest(name: str, whole: str) -> str:
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    start = name.encode()[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{start}_{digest}"
