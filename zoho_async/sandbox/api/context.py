"""A request to the API, and the records that its path names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from zoho_async import description
from zoho_async.description import OperationFacts
from zoho_async.sandbox.api.router import Route
from zoho_async.sandbox.data.collection import Collection
from zoho_async.sandbox.data.files import UploadedForm
from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas, schemas, shape_of
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.data.values import is_list
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.replies import ApiRefusal, ApiReply

#: The key under which a body that is a list is kept.
ROWS: Final = "[]"


class ApiCall(msgspec.Struct, frozen=True):
    """An HTTP request. ``parts`` are the segments of its path after the product's base."""

    method: str
    parts: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Record
    product: str = "books"
    form: UploadedForm = UploadedForm()

    @property
    def path(self) -> str:
        return "/" + "/".join(self.parts)


class RecordRef(msgspec.Struct, frozen=True):
    """A record that a path names, with its collection."""

    schema: CollectionSchema
    collection: Collection
    index: int

    @property
    def id(self) -> str:
        return self.collection.id(self.index)


class RequestContext:
    """The operation, the store and the records of one call.

    ``records`` has one entry per id in the path: the record, or None if any id is accepted.
    ``tail`` are the words after the last id. Raises `ApiRefusal` for a record that does not exist.
    """

    def __init__(self, call: ApiCall, route: Route, store: Store) -> None:
        self.call: Final = call
        self.facts: Final[OperationFacts] = route.facts
        self.ids: Final = route.ids
        self.store: Final = store
        self.schemas: Final[CollectionSchemas] = schemas(route.facts.product)
        self.along: Final = self.schemas.along(route.facts.path)
        self.tail: Final = tail_of(route.facts.path)
        self.names: Final = [
            part[1:-1] for part in route.facts.path.split("/") if part.startswith("{")
        ]
        self.records: Final[list[RecordRef | None]] = []
        for number in range(len(self.ids)):
            self.records.append(self._find(number))

    @property
    def names_record(self) -> bool:
        """Whether the path ends with the id of a record."""
        return bool(self.ids) and not self.tail

    @property
    def record(self) -> RecordRef | None:
        """The last record that the path names, or None."""
        return next((each for each in reversed(self.records) if each is not None), None)

    @property
    def schema(self) -> CollectionSchema | None:
        """The collection that the path names, if the path ends with a word."""
        return self.schemas.at(self.facts.path) if self.tail else None

    def collection_for(self, schema: CollectionSchema) -> Collection:
        """Return the collection of ``schema`` under the records that the request names."""
        if schema.parents <= len(self.ids):
            return self.store.at(schema, self.ids[: schema.parents])
        name = self.store.names_above(schema)[-1]
        parent = str(self.call.body.get(name) or self.call.params.get(name) or "")
        first = self.schemas.along(self.store.template(schema))[0]
        if not parent:
            raise ApiRefusal(400, 4, f"Invalid value passed for {name}")
        if first is not None:
            collection = self.store.at(first, ())
            if collection.find(parent) is None:
                raise missing(collection, first)
        return self.store.at(schema, (*self.ids, parent))

    def _find(self, number: int) -> RecordRef | None:
        schema, record_id = self.along[number], self.ids[number]
        if schema is None:
            return None
        if schema.parents <= number:
            collection = self.store.at(schema, self.ids[: schema.parents])
            index = collection.find(record_id)
        else:
            holder = self.store.holding(schema, self.ids[:number], record_id)
            index = holder.find(record_id) if holder is not None else None
            collection = holder or self.store.at(schema, (*self.ids[:number], "0"))
        if index is None:
            elsewhere = self._elsewhere(schema, record_id)
            if elsewhere is None:
                raise missing(collection, schema)
            return elsewhere
        return RecordRef(schema, collection, index)

    def _elsewhere(self, schema: CollectionSchema, record_id: str) -> RecordRef | None:
        """Find the record in another collection, as for an invoice under a retainer.

        Applies only if no operation lists or reads the records of ``schema``.
        """
        if schema.listed is None and schema.read is None:
            for other in self.schemas.for_name(schema.id_field):
                collection = self.store.at(other, ())
                index = collection.find(record_id)
                if index is not None:
                    return RecordRef(other, collection, index)
        return None


#: Answers one operation. Returns None if the general rule for its path applies to this call.
OperationHandler: TypeAlias = Callable[[RequestContext], ApiReply | None]


def tail_of(path: str) -> list[str]:
    """Return the words after the last id of a path template."""
    shape = shape_of(path)
    last = len(shape) - shape[::-1].index("{}") if "{}" in shape else 0
    return list(shape[last:])


def missing(collection: Collection, schema: CollectionSchema) -> ApiRefusal:
    """Return the error for a record that does not exist, with its resource's code."""
    code, message = collection.resource.missing
    documented = description.load(schema.product).errors.get(schema.resource, {})
    noun = schema.noun.replace("_", " ")
    for each, meaning in documented.items():
        if meaning == f"no such {noun}":
            return ApiRefusal(404, each, message)
    return ApiRefusal(404, code, message)


def texts(value: Any) -> list[str]:
    """Return ids from a list or from a text with commas."""
    if is_list(value):
        return [str(each) for each in value]
    return [part.strip() for part in str(value).strip("[]").split(",") if part.strip(' "')]
