"""The columns that a resource's rows have in tables, made from its description.

The model, the same for every destination:

- A plain field is a column. The fields of an object are columns of the row that holds it, named
  ``billing_address_city``. A list of objects is rows of its own (a child table, or a list of
  structs), and so on within them. A list of texts stays a list where the destination has lists; any
  other list, and what nobody describes, is JSON text.
- Half of what a live row holds is described nowhere, and described fields come with other types
  than promised. So every table, and every child, has a column ``_extra``: the JSON object of all
  that the other columns do not hold exactly. A field is either in its column or, whole and as Zoho
  sent it, in ``_extra``. That is the invariant: the columns and ``_extra`` together hold the row.
- Blank is nothing: ``""``, ``" "``, ``null`` and a missing field are all NULL.

Names are kept as Zoho writes them. Databases fold case and PostgreSQL cuts names at 63 bytes, so a
name that would be longer, or equals one that is taken, ends in a digest of its full path instead.
The same goes for a name with characters that a database cannot hold or a person cannot see, which
become ``_``. Names are the same if they are so without regard to case and Unicode's forms.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.description import Field, Kind

EXTRA: Final = "_extra"
DELETED: Final = "_deleted_time"
#: The id of the row that a child belongs to, and the child's place in its list, from 1.
ROW: Final = "_row_id"
POSITION: Final = "_position"

#: What a column holds. ``texts`` is a list of texts, ``json`` the JSON text of anything.
ColumnKind: TypeAlias = Literal[
    "text", "decimal", "integer", "boolean", "date", "time", "json", "texts"
]

#: The longest name that PostgreSQL keeps whole.
LONGEST_NAME: Final = 63

_PLAIN: Final[dict[Kind, ColumnKind]] = {
    "id": "text",
    "text": "text",
    "decimal": "decimal",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "time": "time",
}


class Column(msgspec.Struct, frozen=True):
    """One column; ``path`` are the names of the fields that lead to it within the row."""

    name: str
    kind: ColumnKind
    path: tuple[str, ...]


class Nested(msgspec.Struct, frozen=True):
    """A list of objects within a row; ``shape`` is that of its elements."""

    name: str
    shape: ColumnShape
    path: tuple[str, ...]


class ColumnShape(msgspec.Struct, frozen=True):
    """The columns of a row, ``_extra`` not among them, and the lists of objects within it."""

    columns: tuple[Column, ...]
    lists: tuple[Nested, ...]

    @property
    def depth(self) -> int:
        """How many lists lie within each other here."""
        return max((1 + nested.shape.depth for nested in self.lists), default=0)


def shape_of(
    fields: Iterable[Field], row_id: str = "", *, lists: bool = True, texts: bool = False
) -> ColumnShape:
    """The shape of a resource's rows, with the time of their deletion as the last column.

    ``row_id`` is text, and has a column also where nobody describes it. Without ``lists``, lists of
    objects are JSON text; with ``texts``, lists of texts are lists.
    """
    identity = {row_id: Field(name=row_id, kind="id")} if row_id else {}
    known = {field.name: field for field in fields if field.name not in (DELETED, EXTRA)}
    deleted = Field(name=DELETED, kind="time")
    return _shape([*{**known, **identity}.values(), deleted], lists=lists, texts=texts)


def short_name(name: str) -> str:
    """``name``, or its beginning and a digest of all of it if no database can hold it as it is."""
    clean = "".join(each if each.isprintable() else "_" for each in name)
    fits = clean == name and 0 < len(clean.encode()) <= LONGEST_NAME
    return name if fits else _with_digest(clean, name)


def _shape(fields: Iterable[Field], *, lists: bool, texts: bool) -> ColumnShape:
    columns: list[Column] = []
    nested: list[Nested] = []
    taken = {EXTRA, ROW, POSITION}

    def add(field: Field, above: tuple[str, ...]) -> None:
        path = (*above, field.name)
        if field.kind == "object" and field.fields:
            for inner in field.fields:
                add(inner, path)
            return
        name = _name(path, taken)
        if field.kind == "list" and field.fields and lists:
            inside = _shape(field.fields, lists=lists, texts=texts)
            nested.append(Nested(name, inside, path))
        else:
            columns.append(Column(name, _kind(field, texts=texts), path))

    unique = {field.name: field for field in fields}.values()
    for field in sorted(unique, key=lambda field: field.kind == "object"):  # plain names come first
        add(field, ())
    return ColumnShape(tuple(columns), tuple(nested))


def _kind(field: Field, *, texts: bool) -> ColumnKind:
    if field.kind == "list" and texts and field.element in ("id", "text"):
        return "texts"
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
