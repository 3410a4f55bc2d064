"""The schemas of the collections under which records live, read once from a product's operations.

A collection's path is ``/bills``, or ``/bills/{}/comments`` below each bill. A path is that of a
collection if an operation lists it or reads a single record there. Every name in a path identifies
a record of a collection. The first rule that applies decides which one:

1. the collection of the words before the name (``/bills/{bill_id}``),
2. a collection with a slightly different spelling (``/bill/{bill_id}/customfields``,
   ``/recurring_bills/{recurring_bill_id}``),
3. a collection with the same words and more or fewer records between them
   (``/contacts/contactpersons/{}`` is one of ``/contacts/{}/contactpersons``, and the template in
   ``/invoices/{}/templates/{}`` is one of ``/invoices/templates``),
4. the collection whose records have an id of that name, if its word is in the path
   (``/invoices/expenses/{expense_id}``).

If no rule applies the name is *free*: the operations do not restrict its values, so every value is
accepted.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from zoho_async.description import Field, OperationFacts
from zoho_async.sandbox.api.router import all_operations
from zoho_async.sandbox.api.undescribed import undescribed

Shape: TypeAlias = tuple[str, ...]

#: Numbers of the four hand-written collections. Ids contain the number, so these must not change.
_FIRST_NUMBERS: Final = {"contacts": 1, "items": 2, "invoices": 3, "projects": 4}
#: Fields that name records of a collection by another name.
_ALSO: Final = {"customer_id": ("contact_id",), "vendor_id": ("contact_id",)}
#: Paths that refer to the records of another collection.
_STANDS_FOR: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("registers",): ("chartofaccounts",),
    ("banktransactions", "uncategorized"): ("banktransactions",),
}
#: A name that callers choose, not Zoho.
_FOREIGN: Final = "reference_id"
#: The id of rows of mixed kinds; it belongs to no single collection.
_ANYTHINGS: Final = "transaction_id"
_ID_KINDS: Final = ("id", "text")


class CollectionSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The schema of one collection. ``number`` makes the ids of top-level collections distinct.

    ``id_field`` is the field with a record's id, or "" if records have none. ``noun`` is the word
    for one record. ``listed``, ``read`` and ``made`` are the operations that list, read and create
    records.
    """

    name: str
    product: str
    path: Shape
    number: int
    id_field: str
    noun: str
    parameter: str
    listed: OperationFacts | None
    read: OperationFacts | None
    made: OperationFacts | None

    @property
    def parents(self) -> int:
        """The number of records in the path above this collection."""
        return self.path.count("{}")

    @property
    def resource(self) -> str:
        """``product.resource`` of this collection's operations."""
        facts = self.listed or self.read or self.made
        return facts.resource if facts is not None else self.name


class CollectionSchemas:
    """The schemas of all collections of one product."""

    def __init__(self, product: str) -> None:
        self.product: Final = product
        self.by_path: Final = _found(product)
        self.by_name: Final = {schema.name: schema for schema in self.by_path.values()}
        self._plain: Final = {_plain(path): path for path in reversed(self.by_path)}
        self._words: Final = {_words(path): path for path in reversed(self.by_path)}
        self.known_as: Final[dict[str, list[CollectionSchema]]] = {}
        self.by_noun: Final[dict[str, CollectionSchema]] = {}
        late = _undescribed_shapes(product)
        top = [each for path, each in self.by_path.items() if not each.parents and path not in late]
        for schema in sorted(top, key=lambda each: each.name != each.resource):
            self.by_noun.setdefault(schema.noun, schema)
            if schema.id_field and schema.name == schema.resource:
                self.known_as.setdefault(schema.id_field, []).append(schema)

    def viewed(self, schema: CollectionSchema) -> CollectionSchema | None:
        """The collection whose records a list shows, if the list stores none itself."""
        if schema.listed is None or schema.made is not None or schema.read is not None:
            return None
        if not schema.id_field and len(schema.path) > 1:
            return self.by_path.get(schema.path[-1:])
        main = self.known_as.get(schema.id_field, ()) if schema.id_field != _ANYTHINGS else ()
        return main[0] if len(main) == 1 and main[0] is not schema else None

    def for_name(self, name: str) -> list[CollectionSchema]:
        """The top-level collections whose records a field called ``name`` may identify."""
        found = self.known_as.get(name)
        if found is None:
            also = _ALSO.get(name, ())
            found = [schema for each in also for schema in self.known_as.get(each, ())]
        return found

    @functools.cache  # noqa: B019 - there is one instance for each product, for good
    def along(self, path: str) -> tuple[CollectionSchema | None, ...]:
        """The collection of each name in an operation's path, or None for a free name."""
        shape, names = shape_of(path), _names(path)
        ends = [number for number, part in enumerate(shape) if part == "{}"]
        return tuple(self._schema(shape[:end], name) for end, name in zip(ends, names, strict=True))

    def at(self, path: str) -> CollectionSchema | None:
        """The collection of a path that does not end in a name."""
        shape = shape_of(path)
        schema = self.by_path.get(shape)
        if schema is None and (not shape or shape[-1] == "{}"):
            return None
        if schema is None and _plain(shape) in self._plain:
            schema = self.by_path[self._plain[_plain(shape)]]
        if schema is None and _words(shape) in self._words:
            twin = self.by_path[self._words[_words(shape)]]
            schema = twin if twin.parents == shape.count("{}") + 1 else None
        return schema

    def _schema(self, before: Shape, name: str) -> CollectionSchema | None:
        before = _STANDS_FOR.get(before, before)
        if before in self.by_path:
            return self.by_path[before]
        for shapes, key in ((self._plain, _plain(before)), (self._words, _words(before))):
            if before and key in shapes:
                return self.by_path[shapes[key]]
        words = {_singular(part) for part in before}
        for schema in self.for_name(name):
            if _singular(schema.path[-1]) in words or schema.path[0] == before[0]:
                return schema
        return None


@functools.cache
def schemas(product: str) -> CollectionSchemas:
    """The schemas of a product's collections."""
    return CollectionSchemas(product)


def shape_of(path: str) -> Shape:
    """``/bills/{bill_id}/comments`` as ``("bills", "{}", "comments")``."""
    return tuple(
        "{}" if part.startswith("{") else part for part in path.strip("/").split("/") if part
    )


def _undescribed_shapes(product: str) -> frozenset[Shape]:
    """The paths that no description has. Their ids are not checked in other records."""
    named = all_operations(product).values()
    described = {shape_of(each.path) for each in named if not each.evidence}
    described -= {shape_of(each.path) for each in undescribed(product).values()}
    return frozenset(shape_of(each.path) for each in named) - described


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _found(product: str) -> dict[Shape, CollectionSchema]:
    listed: dict[Shape, OperationFacts] = {}
    read: dict[Shape, OperationFacts] = {}
    made: dict[Shape, OperationFacts] = {}
    parameters: dict[Shape, str] = {}
    for facts in all_operations(product).values():
        shape, names = shape_of(facts.path), _names(facts.path)
        if facts.answer == "list":
            listed[shape] = facts
        elif facts.method == "POST" and shape[-1] != "{}":
            if facts.answer != "done" or not facts.evidence:  # else no reply names the new id
                made[shape] = facts
        elif shape[-1] == "{}" and names[-1] != _FOREIGN:
            parameters.setdefault(shape[:-1], names[-1])
            if facts.method == "GET" and facts.answer in ("record", "values", "file"):
                read[shape[:-1]] = facts
    shapes = dict.fromkeys(listed)
    ways = ({_plain(shape) for shape in shapes}, {_words(shape) for shape in shapes})
    for shape in (*read, *parameters):
        spelt_otherwise = shape not in shapes and (
            _plain(shape) in ways[0] or _words(shape) in ways[1]
        )
        if (shape in read or shape in made) and not spelt_otherwise and shape:
            shapes.setdefault(shape)
            ways[0].add(_plain(shape))
            ways[1].add(_words(shape))
    found: dict[Shape, CollectionSchema] = {}
    number = 10
    late = _undescribed_shapes(product)
    # Of the late ones only those whose rows have ids take a number: there are 89.
    for shape in sorted(shapes, key=lambda each: (each.count("{}"), each in late, each)):
        own = (listed.get(shape), read.get(shape), made.get(shape))
        named = shape not in late or (own[0].row_id if own[0] else own[1] or own[2])
        number += "{}" not in shape and bool(named)
        found[shape] = _schema(product, shape, number, parameters.get(shape, ""), own)
    return found


def _schema(
    product: str,
    shape: Shape,
    number: int,
    parameter: str,
    own: tuple[OperationFacts | None, OperationFacts | None, OperationFacts | None],
) -> CollectionSchema:
    listed, read, made = own
    if listed is not None:
        top = listed.name.endswith(".list") and "{}" not in shape
        name = listed.resource if top else listed.name
    else:
        name = f"{product}:/" + "/".join(shape)
    single = next((each for each in (read, made) if each is not None and each.key), None)
    rows = listed.key.rpartition(".")[2] if listed else shape[-1]
    noun = single.key if single is not None else _singular(rows)
    first = _FIRST_NUMBERS.get(shape[0]) if len(shape) == 1 and product == "books" else None
    return CollectionSchema(
        name=name,
        product=product,
        path=shape,
        number=first or number,
        id_field=_id_field(parameter, own),
        noun=noun,
        parameter=parameter,
        listed=listed,
        read=read,
        made=made,
    )


def _id_field(parameter: str, own: Iterable[OperationFacts | None]) -> str:
    """The field that identifies a record: the list's, or the one named as in the path."""
    wanted = parameter.replace("_", "")
    for facts in own:
        if facts is None:
            continue
        if facts.row_id:
            return facts.row_id
        fields: Mapping[str, Field] = {field.name: field for field in facts.reply}
        for name, field in fields.items():
            if wanted and name.replace("_", "") == wanted and field.kind in _ID_KINDS:
                return name
        for name, field in fields.items():
            if wanted and field.kind == "id" and wanted in name.replace("_", ""):
                return name
    return parameter


def _plain(shape: Shape) -> Shape:
    return tuple(_singular(part) for part in shape)


def _words(shape: Shape) -> Shape:
    return tuple(_singular(part) for part in shape if part != "{}")


def _singular(word: str) -> str:
    word = word.replace("_", "")
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
