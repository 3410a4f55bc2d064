"""The records of one organization: seeded rows until a caller writes them.

Rows are encoded when they are first read and cached as bytes, so a page is a join of bytes. A
written record is stored whole; a deleted one leaves a gap. Row numbers ascend with
``created_time``, so the order of creation is the order of numbers.

The four hand-written resources exist from the start. Every other home of the description gets a
collection when it is first used, one per parent record. Lists inside records whose elements have
paths are not stored here: see `nested`.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.sandbox.data.files import File
from zoho_async.sandbox.data.nested import Nest, PersonsOf, nested, updater
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.resources import Home, Homes, homes
from zoho_async.sandbox.data.seed import SampleData, day_formatted, person_index, stamp
from zoho_async.sandbox.data.view import View
from zoho_async.sandbox.records import currencies
from zoho_async.sandbox.records.contacts import Contacts
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.invoices import Invoices
from zoho_async.sandbox.records.items import Items
from zoho_async.sandbox.records.persons import Persons, is_home_of_persons
from zoho_async.sandbox.records.projects import Projects
from zoho_async.sandbox.records.resource import Record, ResourceRules
from zoho_async.sandbox.replies import ENCODER

RESOURCES: Final[tuple[ResourceRules, ...]] = (Contacts(), Items(), Invoices(), Projects())


_LAST_NUMBER: Final = re.compile(r"[0-9]{1,9}$")
_STATE: Final = decoder_of(dict[str, Any], float_hook=Decimal)
_DELETED: Final = b""
_MAX_NESTED: Final = 256
_FIRST_DOCUMENT: Final = 7001


class Collection:
    """The records of one resource in one organization."""

    def __init__(
        self, world: SampleData, resource: ResourceRules, keep: Persistence, place: str
    ) -> None:
        self.world: Final = world
        self.resource: Final = resource
        self.next_index = world.size(resource.name, resource.default_rows)
        self._keep: Final = keep
        self._place: Final = place
        #: Grows with every write; cached orders are valid for one version.
        self.version = 0
        #: Sorted row numbers of this version, by query.
        self.orders: dict[object, list[int]] = {}
        self._written: dict[int, Record] = {}
        self._deleted: set[int] = set()
        self._rows: list[bytes | None] = [None] * self.next_index
        self._row_keys: tuple[str, ...] | None = None
        #: The nested lists of the records.
        self.nests: Sequence[Nest] = ()
        #: Called with the record's number after each write, and with None after each removal.
        self.on_write: Callable[[int | None], None] | None = None
        self._load()

    def _load(self) -> None:
        """Load what an earlier process wrote."""
        for item, value in sorted(self._keep.place(self._place).items()):
            index = int(item)
            self.next_index = max(self.next_index, index + 1)
            if value == _DELETED:
                self._deleted.add(index)
            else:
                self._written[index] = _STATE.decode(value)
        self._rows.extend([None] * (self.next_index - len(self._rows)))

    def id(self, index: int) -> str:
        """The id of a record."""
        if self.resource.has_numbers_for_ids:
            return self.resource.id_of(self.world, index)
        return str(self.row(index).get(self.resource.id_field, ""))

    def indexes(self) -> Sequence[int]:
        """The numbers of the existing records, in order of creation."""
        if not self._deleted:
            return range(self.next_index)
        return [index for index in range(self.next_index) if index not in self._deleted]

    def find(self, record_id: str) -> int | None:
        """The number of the record with this id, or None if it does not exist."""
        if not self.resource.has_numbers_for_ids:
            return next(self.with_value(self.resource.id_field, record_id), None)
        index = self.resource.index_of(self.world, record_id)
        if index is None or index >= self.next_index or index in self._deleted:
            return None
        return index

    def row(self, index: int) -> Record:
        """The list form of a record."""
        state = self._written.get(index)
        if state is None:
            return self._with_nested(index, self.resource.row(self.world, index))
        if isinstance(self.resource, Described):
            return self._with_nested(index, self.resource.render(self.resource.row_fields, state))
        names = self._names_of_rows()
        row = {name: value for name, value in state.items() if name in names or name[:3] == "cf_"}
        return row | self.resource.row_differs

    def encoded_row(self, index: int) -> bytes:
        """The list form as encoded JSON."""
        encoded = self._rows[index]
        if encoded is None:
            encoded = self._rows[index] = ENCODER.encode(self.row(index))
        return encoded

    def detail(self, index: int) -> Record:
        """The form that get, create and update return."""
        state = self._written.get(index)
        if state is None:
            row = self.resource.row(self.world, index)
            return self._with_nested(index, self.resource.detail(self.world, index, row))
        if isinstance(self.resource, Described):
            return self._with_nested(
                index, self.resource.render(self.resource.detail_fields, state)
            )
        names, elsewhere = self._names_of_details(), self._names_of_rows()
        shown = {
            name: value
            for name, value in state.items()
            if name in names or name[:3] == "cf_" or name not in elsewhere
        }
        return self._with_nested(index, shown)

    def whole(self, index: int) -> Record:
        """Every field of both forms, nested lists included."""
        return self._with_nested(index, self.state(index))

    def _with_nested(self, index: int, shown: Record) -> Record:
        for nest in self.nests:
            if nest.name in shown:
                shown[nest.name] = nest.elements(self.id(index))
        return shown

    def state(self, index: int) -> Record:
        """A copy of every field of both forms, without nested lists, to change and write back."""
        state = self._written.get(index)
        if state is None:
            row = self.resource.row(self.world, index)
            return row | self.resource.detail(self.world, index, row)
        return dict(state)

    def with_value(self, name: str, value: object) -> Iterator[int]:
        """The records whose ``name`` is ``value``, for fields that differ in every row.

        Seeded values of such fields end in the row's number, so no scan is needed.
        """
        number = _LAST_NUMBER.search(str(value))
        guess = int(number[0]) if number else -2
        for index in {guess - 1, guess, *self._written}:
            there = 0 <= index < self.next_index and index not in self._deleted
            if there and self.row(index).get(name) == value:
                yield index

    def written(self) -> Iterator[Record]:
        """The records that a caller created or changed."""
        yield from self._written.values()

    def add(self, fields: Mapping[str, Any]) -> int:
        """Create a record and return its number."""
        index = self.next_index
        now = stamp(int(time.time()))
        state = self.resource.fresh(self.world, index)
        state["created_time"] = now
        if "created_time_formatted" in state:
            state["created_time_formatted"] = day_formatted(now)
        state.update(self._own_fields(fields))
        self.next_index += 1
        self._rows.append(None)
        self._write(index, state, now)
        self._pass_on(index, fields)
        return index

    def change(self, index: int, fields: Mapping[str, Any]) -> None:
        """Set fields of a record; the rest stays."""
        self.follow(index, self._own_fields(fields))
        self._pass_on(index, fields)

    def follow(self, index: int, fields: Mapping[str, Any]) -> None:
        """Set derived fields of a record. Unlike `change`, this does not notify related records."""
        self._write(index, self.state(index) | dict(fields), stamp(int(time.time())))

    def _own_fields(self, fields: Mapping[str, Any]) -> Record:
        """The written fields that are not derived from nested records."""
        follows = frozenset[str]().union(*(nest.follows for nest in self.nests))
        return {name: value for name, value in fields.items() if name not in follows}

    def _pass_on(self, index: int, fields: Mapping[str, Any]) -> None:
        """Pass a write on to the nested records and to the parent record."""
        for nest in self.nests:
            nest.write(self, index, fields)
        if self.on_write is not None:
            self.on_write(index)

    def remove(self, index: int) -> None:
        record_id = self.id(index)
        self._deleted.add(index)
        self._keep.put(self._place, str(index), _DELETED)
        self._written.pop(index, None)
        self._rows[index] = None
        self._forget_orders()
        for nest in self.nests:
            nest.clear(record_id)
        if self.on_write is not None:
            self.on_write(None)

    def _write(self, index: int, state: Record, now: str) -> None:
        state["last_modified_time"] = now
        if "last_modified_time_formatted" in state:
            state["last_modified_time_formatted"] = day_formatted(now)
        self.resource.settle(self.world, state)
        self._written[index] = state
        self._keep.put(self._place, str(index), ENCODER.encode(state))
        self._rows[index] = None
        self._forget_orders()

    def _forget_orders(self) -> None:
        self.version += 1
        self.orders.clear()

    def _names_of_rows(self) -> tuple[str, ...]:
        if self._row_keys is None:
            self._row_keys = tuple(self.resource.row(self.world, 0))
        return self._row_keys

    def _names_of_details(self) -> frozenset[str]:
        row = self.resource.row(self.world, 0)
        return frozenset(self.resource.detail(self.world, 0, row))


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
        self.collections: Final = {
            resource.name: Collection(world, resource, self.keep, self._place(resource.name))
            for resource in RESOURCES
        }
        for resource in RESOURCES:
            self._nest(homes("books").by_name[resource.name], ())

    def collection(self, name: str) -> Collection:
        """A collection by ``product.resource``, or by the operation that lists its records.

        ``books.`` may be left out. Raises `KeyError` if there is no such top-level collection.
        """
        name = name if "." in name else f"books.{name}"
        known = self.collections.get(name)
        if known is not None:
            return known
        home = self._homes(name.partition(".")[0]).by_name[name]
        if home.parents:
            raise KeyError(name)
        return self.at(home, ())

    def rows(self, name: str) -> Collection | View:
        """The rows of a list by name: a collection, or a view of another one."""
        name = name if "." in name else f"books.{name}"
        if name in self.collections:
            return self.collections[name]
        return self.shown(self._homes(name.partition(".")[0]).by_name[name])

    def shown(self, home: Home, parents: tuple[str, ...] = ()) -> Collection | View:
        """The rows that the list of a home shows."""
        known = homes(home.product)
        main = known.viewed(home) if not home.parents else None
        if main is None or home.listed is None:
            return self.at(home, parents)
        view = self._views.get(home.name)
        if view is None:
            form = Described(home, known, ())
            view = self._views[home.name] = View(self.at(main, ()), home.listed, form)
        return view

    def at(self, home: Home, parents: tuple[str, ...]) -> Collection:
        """The collection of a home below the records with these ids."""
        if not home.parents:
            known = self.collections.get(home.name)
            if known is not None:
                return known
        inside = self._nested.get((home.name, parents))
        if inside is not None:
            return inside
        resource = self._form(home, parents)
        if home.parents and self._is_written_parent(home, parents):
            resource.default_rows = 0
        place = self._place("/".join((home.name, *parents)))
        made = Collection(self.world_of(home.product), resource, self.keep, place)
        if home.parents:
            self._make_room()
            self._nested[home.name, parents] = made
        else:
            self.collections[home.name] = made
        self._nest(home, parents)
        return made

    def _form(self, home: Home, parents: tuple[str, ...]) -> Described:
        known = homes(home.product)
        named = list(zip(self.names_above(home), parents, strict=True))
        if home.path == currencies.HOME:
            return currencies.Currencies(home, known, named)
        if not is_home_of_persons(home):
            return Described(home, known, named)
        contacts = self.at(known.by_path[home.path[:1]], ())

        def contact() -> Record:
            index = contacts.resource.index_of(contacts.world, parents[0])
            return contacts.resource.row(contacts.world, index) if index is not None else {}

        return Persons(home, known, named[0], contact)

    def _nest(self, home: Home, parents: tuple[str, ...]) -> None:
        """Connect a new collection to its nested collections and to its parent."""
        outer, known = self.at(home, parents), homes(home.product)
        outer.nests = [
            (PersonsOf if is_home_of_persons(inner) else Nest)(
                inner, field, functools.partial(self._inner, inner, parents)
            )
            for inner, field in nested(home)
        ]
        above = known.by_path.get(home.path[:-2]) if home.parents else None
        if above is None or above.parents != home.parents - 1:
            return
        around = self.at(above, parents[:-1])
        for nest in around.nests:
            if nest.inner is home:
                outer.on_write = updater(nest, around, parents[-1])

    def _inner(self, home: Home, above: tuple[str, ...], record_id: str) -> Collection:
        return self.at(home, (*above, record_id))

    def _is_written_parent(self, home: Home, parents: tuple[str, ...]) -> bool:
        """Whether a caller created the innermost parent. Such a parent starts without children."""
        above = homes(home.product).along(self.template(home))[: home.parents][-1]
        if above is None or above.parents >= home.parents:
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

    def holding(self, home: Home, above: tuple[str, ...], record_id: str) -> Collection | None:
        """The collection of a home that has the record, if the path does not name all its parents.

        Collections that are already in use are searched first, then every parent.
        """
        for (name, _), inside in list(self._nested.items()):
            if name == home.name and inside.find(record_id) is not None:
                return inside
        first = homes(home.product).along(self.template(home))[0]
        if home.parents != 1 or above or first is None:
            return None
        parents = self.at(first, ())
        of_persons = is_home_of_persons(home)
        for index in parents.indexes():
            parent = parents.id(index)
            if of_persons and person_index(parent, record_id) is None:
                continue
            inside = self.at(home, (parent,))
            if inside.find(record_id) is not None:
                return inside
        return None

    def world_of(self, product: str) -> SampleData:
        """The organization's sample data in a product."""
        world = self._worlds.get(product)
        if world is None:
            world = self._worlds[product] = self.world.of(product)
        known = homes(product)
        if len(world.numbers) < len(known.by_path):
            world.numbers |= {home.name: home.number for home in known.by_path.values()}
        return world

    # -- values that are not records ---------------------------------------------------------

    def thing(self, product: str, path: str) -> Record:
        """The value of a path that is not a record: a setting, an address, a preference."""
        known = self._things.get((product, path))
        if known is None:
            kept = self.keep.place(self._place("things")).get(f"{product}{path}", _DELETED)
            known = self._things[product, path] = _STATE.decode(kept) if kept else {}
        return known

    def keep_thing(self, product: str, path: str, fields: Mapping[str, Any]) -> None:
        """Set fields of a path's value; other fields stay."""
        self._set_thing(product, path, {**self.thing(product, path), **fields})

    def forget(self, product: str, path: str) -> None:
        """Remove a path's value and file."""
        self._set_thing(product, path, {})
        if self.file(product, path) is not None:
            self._files[product, path] = None
            self.keep.put(self._place("files"), f"{product}{path}", _DELETED)

    def _set_thing(self, product: str, path: str, fields: Record) -> None:
        self._things[product, path] = fields
        value = ENCODER.encode(fields) if fields else _DELETED
        self.keep.put(self._place("things"), f"{product}{path}", value)

    def file(self, product: str, path: str) -> File | None:
        """The file that was uploaded to a path."""
        if (product, path) not in self._files:
            kept = self.keep.place(self._place("files")).get(f"{product}{path}", _DELETED)
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

    def exists(self, name: str, record_id: object) -> bool:
        return self.collections[name].find(str(record_id)) is not None

    def _homes(self, product: str) -> Homes:
        try:
            return homes(product)
        except LookupError:
            raise KeyError(product) from None

    def names_above(self, home: Home) -> list[str]:
        """The names of the ids above a home in its paths."""
        facts = home.listed or home.read or home.made
        if facts is None:
            return []
        parts = [part[1:-1] for part in facts.path.split("/") if part.startswith("{")]
        return parts[: home.parents]

    def template(self, home: Home) -> str:
        """The path template of one of the home's operations."""
        facts = home.listed or home.read or home.made
        return facts.path if facts is not None else ""

    def _place(self, name: str) -> str:
        return f"{self.world.organization}/{name}"
