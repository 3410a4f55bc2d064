"""The collections, settings and files of one organization.

The four hand-written resources exist from the start. Every other schema of the description gets a
collection when it is first used, one per parent record. Lists inside records whose elements have
paths are not stored here: see `nested`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from zoho_async.sandbox.data.collection import DELETED, STATE, Collection, View
from zoho_async.sandbox.data.files import File
from zoho_async.sandbox.data.nested import Nest, PersonsOf, nested, updater
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas, schemas
from zoho_async.sandbox.data.seed import SampleData, person_index
from zoho_async.sandbox.records import accounts, currencies, journals
from zoho_async.sandbox.records.contacts import Contacts
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.invoices import Invoices
from zoho_async.sandbox.records.items import Items
from zoho_async.sandbox.records.persons import Persons, is_persons_schema
from zoho_async.sandbox.records.projects import Projects
from zoho_async.sandbox.records.resource import Record, ResourceRules
from zoho_async.sandbox.records.sales_events import (
    CREDIT_NOTES,
    PAYMENTS,
    CreditNotes,
    CustomerPayments,
)
from zoho_async.sandbox.replies import ENCODER
from zoho_async.sandbox.simulation.activity import ActivityRules

RESOURCES: Final[tuple[ResourceRules, ...]] = (Contacts(), Items(), Invoices(), Projects())

_MAX_NESTED: Final = 256
#: Lists that only Zoho writes: their records are events themselves.
_WRITTEN_BY_ZOHO: Final = frozenset({"billing.events"})
_FIRST_DOCUMENT: Final = 7001


class RecordEvent(msgspec.Struct, frozen=True):
    """A record that was created, updated or deleted, with its fields at that moment."""

    operation: str
    kind: str
    record_id: str
    state: Record
    schema: CollectionSchema


class Store:
    """All records, settings and files of one organization."""

    def __init__(self, world: SampleData, keep: Persistence | None = None) -> None:
        self.world: Final = world
        self.keep: Final = keep or Persistence()
        self._worlds: Final = {"books": world}
        self._nested: Final[dict[tuple[str, tuple[str, ...]], Collection]] = {}
        self._views: Final[dict[str, View]] = {}
        self._things: Final[dict[tuple[str, str], Record]] = {}
        self._files: Final[dict[tuple[str, str], File | None]] = {}
        self._settings_version = 0
        self._events: list[RecordEvent] = []
        #: Called with each event of a record, in addition to what `take_events` returns.
        self.on_event: Callable[[Store, RecordEvent], None] | None = None
        #: The activity log, oldest first; None until it is read.
        self.log: list[Any] | None = None
        #: What the activity log shows.
        self.activity = ActivityRules()
        self.collections: Final = {
            resource.name: Collection(world, resource, self.keep, self._place(resource.name))
            for resource in RESOURCES
        }
        for resource in RESOURCES:
            schema = schemas("books").by_name[resource.name]
            self._nest(schema, ())
            self._watch(schema, self.collections[resource.name])

    def collection(self, name: str) -> Collection:
        """A collection by ``product.resource``, or by the operation that lists its records.

        ``books.`` may be left out. Raises `KeyError` if there is no such top-level collection.
        """
        name = name if "." in name else f"books.{name}"
        known = self.collections.get(name)
        if known is not None:
            return known
        schema = self._schemas(name.partition(".")[0]).by_name[name]
        if schema.parents:
            raise KeyError(name)
        return self.at(schema, ())

    def rows(self, name: str) -> Collection | View:
        """The rows of a list by name: a collection, or a view of another one."""
        name = name if "." in name else f"books.{name}"
        if name in self.collections:
            return self.collections[name]
        return self.shown(self._schemas(name.partition(".")[0]).by_name[name])

    def shown(self, schema: CollectionSchema, parents: tuple[str, ...] = ()) -> Collection | View:
        """The rows that the list of a schema shows."""
        known = schemas(schema.product)
        main = known.viewed(schema) if not schema.parents else None
        if main is None or schema.listed is None:
            return self.at(schema, parents)
        view = self._views.get(schema.name)
        if view is None:
            form = Described(schema, known, ())
            view = self._views[schema.name] = View(self.at(main, ()), schema.listed, form)
        return view

    def at(self, schema: CollectionSchema, parents: tuple[str, ...]) -> Collection:
        """The collection of a schema below the records with these ids."""
        if not schema.parents:
            known = self.collections.get(schema.name)
            if known is not None:
                return known
        inside = self._nested.get((schema.name, parents))
        if inside is not None:
            return inside
        resource = self._form(schema, parents)
        if schema.parents and self._is_written_parent(schema, parents):
            resource.default_rows = 0
        place = self._place("/".join((schema.name, *parents)))
        made = Collection(self.world_of(schema.product), resource, self.keep, place)
        if schema.parents:
            self._make_room()
            self._nested[schema.name, parents] = made
        else:
            self.collections[schema.name] = made
            self._watch(schema, made)
        self._nest(schema, parents)
        return made

    def _watch(self, schema: CollectionSchema, collection: Collection) -> None:
        """Note what happens to the records of a collection."""
        if schema.name in _WRITTEN_BY_ZOHO:
            return

        def note(operation: str, index: int, state: Record) -> None:
            event = RecordEvent(operation, schema.noun, collection.id(index), state, schema)
            self._events.append(event)
            if self.on_event is not None:
                self.on_event(self, event)

        collection.on_event = note

    def take_events(self) -> list[RecordEvent]:
        """Return what happened to records since the last call of this method."""
        events, self._events = self._events, []
        return events

    def _form(self, schema: CollectionSchema, parents: tuple[str, ...]) -> Described:
        known = schemas(schema.product)
        named = list(zip(self.names_above(schema), parents, strict=True))
        if schema.path == currencies.PATH:
            return currencies.Currencies(schema, known, named)
        if schema.path == accounts.PATH:
            return accounts.ChartOfAccounts(schema, known, named)
        if schema.path == journals.PATH:
            return journals.Journals(schema, known, named)
        if schema.name in (PAYMENTS, CREDIT_NOTES):
            sales = self.world_of(schema.product).sales
            if schema.name == PAYMENTS:
                return CustomerPayments(
                    schema, known, named, [each.moment for each in sales.receipts]
                )
            return CreditNotes(schema, known, named, sales.credit_moments)
        if not is_persons_schema(schema):
            return Described(schema, known, named)
        contacts = self.at(known.by_path[schema.path[:1]], ())

        def contact() -> Record:
            index = contacts.resource.index_of(contacts.world, parents[0])
            return contacts.resource.row(contacts.world, index) if index is not None else {}

        return Persons(schema, known, named[0], contact)

    def _nest(self, schema: CollectionSchema, parents: tuple[str, ...]) -> None:
        """Connect a new collection to its nested collections and to its parent."""
        outer, known = self.at(schema, parents), schemas(schema.product)
        outer.nests = [
            (PersonsOf if is_persons_schema(inner) else Nest)(
                inner, field, functools.partial(self._inner, inner, parents)
            )
            for inner, field in nested(schema)
        ]
        above = known.by_path.get(schema.path[:-2]) if schema.parents else None
        if above is None or above.parents != schema.parents - 1:
            return
        around = self.at(above, parents[:-1])
        for nest in around.nests:
            if nest.inner is schema:
                outer.on_write = updater(nest, around, parents[-1])

    def _inner(
        self, schema: CollectionSchema, above: tuple[str, ...], record_id: str
    ) -> Collection:
        return self.at(schema, (*above, record_id))

    def _is_written_parent(self, schema: CollectionSchema, parents: tuple[str, ...]) -> bool:
        """Whether a caller created the innermost parent. Such a parent starts without children."""
        above = schemas(schema.product).along(self.template(schema))[: schema.parents][-1]
        if above is None or above.parents >= schema.parents:
            return False
        collection = self.at(above, parents[: above.parents])
        index = collection.find(parents[-1])
        rows = collection.world.size(collection.resource.name, collection.resource.default_rows)
        return index is not None and index >= rows

    def _make_room(self) -> None:
        """Drop unwritten collections once there are many. The seed can make them again."""
        if len(self._nested) >= _MAX_NESTED:
            for key in [key for key, inside in self._nested.items() if not inside.version]:
                del self._nested[key]

    def holding(
        self, schema: CollectionSchema, above: tuple[str, ...], record_id: str
    ) -> Collection | None:
        """The collection that has the record, if the path does not name all its parents.

        Collections that are already in use are searched first, then every parent.
        """
        for (name, _), inside in list(self._nested.items()):
            if name == schema.name and inside.find(record_id) is not None:
                return inside
        first = schemas(schema.product).along(self.template(schema))[0]
        if schema.parents != 1 or above or first is None:
            return None
        parents = self.at(first, ())
        of_persons = is_persons_schema(schema)
        for index in parents.indexes():
            parent = parents.id(index)
            if of_persons and person_index(parent, record_id) is None:
                continue
            inside = self.at(schema, (parent,))
            if inside.find(record_id) is not None:
                return inside
        return None

    def world_of(self, product: str) -> SampleData:
        """The organization's sample data in a product."""
        world = self._worlds.get(product)
        if world is None:
            world = self._worlds[product] = self.world.of(product)
        known = schemas(product)
        if len(world.numbers) < len(known.by_path):
            world.numbers |= {schema.name: schema.number for schema in known.by_path.values()}
        return world

    # -- values that are not records ---------------------------------------------------------

    def thing(self, product: str, path: str) -> Record:
        """The value of a path that is not a record: a setting, an address, a preference."""
        known = self._things.get((product, path))
        if known is None:
            kept = self.keep.place(self._place("things")).get(f"{product}{path}", DELETED)
            known = self._things[product, path] = STATE.decode(kept) if kept else {}
        return known

    def keep_thing(self, product: str, path: str, fields: Mapping[str, Any]) -> None:
        """Set fields of a path's value; other fields stay."""
        self._set_thing(product, path, {**self.thing(product, path), **fields})

    def forget(self, product: str, path: str) -> None:
        """Remove a path's value and file."""
        self._set_thing(product, path, {})
        if self.file(product, path) is not None:
            self._files[product, path] = None
            self.keep.put(self._place("files"), f"{product}{path}", DELETED)

    @property
    def version(self) -> int:
        """Grows with every write to a record or a setting."""
        inside = (*self.collections.values(), *self._nested.values())
        return self._settings_version + sum(each.version for each in inside)

    def _set_thing(self, product: str, path: str, fields: Record) -> None:
        self._settings_version += 1
        self._things[product, path] = fields
        value = ENCODER.encode(fields) if fields else DELETED
        self.keep.put(self._place("things"), f"{product}{path}", value)

    def file(self, product: str, path: str) -> File | None:
        """The file that was uploaded to a path."""
        if (product, path) not in self._files:
            kept = self.keep.place(self._place("files")).get(f"{product}{path}", DELETED)
            found = msgspec.msgpack.decode(kept, type=File) if kept else None
            self._files[product, path] = found
        return self._files[product, path]

    def keep_file(self, product: str, path: str, file: File) -> None:
        """Store a file under a path; it replaces an earlier one."""
        self._files[product, path] = file
        self.keep.put(self._place("files"), f"{product}{path}", msgspec.msgpack.encode(file))

    def new_document(self, product: str) -> str:
        """A document id that this organization has not used yet."""
        start = f"{product}/documents/"
        kept = {path for path in self.keep.place(self._place("files")) if path.startswith(start)}
        here = {f"{of}{path}" for of, path in self._files if f"{of}{path}".startswith(start)}
        return str(_FIRST_DOCUMENT + len(kept | here))

    def has_written(self, name: str) -> bool:
        """Whether a caller wrote to the list ``product.resource``. Loads nothing."""
        known = self.collections.get(name)
        is_written = known is not None and known.version > 0
        return is_written or bool(self.keep.place(self._place(name)))

    def exists(self, name: str, record_id: object) -> bool:
        return self.collections[name].find(str(record_id)) is not None

    def _schemas(self, product: str) -> CollectionSchemas:
        try:
            return schemas(product)
        except LookupError:
            raise KeyError(product) from None

    def names_above(self, schema: CollectionSchema) -> list[str]:
        """The names of the ids above a schema in its paths."""
        facts = schema.listed or schema.read or schema.made
        if facts is None:
            return []
        parts = [part[1:-1] for part in facts.path.split("/") if part.startswith("{")]
        return parts[: schema.parents]

    def template(self, schema: CollectionSchema) -> str:
        """The path template of one of the schema's operations."""
        facts = schema.listed or schema.read or schema.made
        return facts.path if facts is not None else ""

    def _place(self, name: str) -> str:
        return f"{self.world.organization}/{name}"
