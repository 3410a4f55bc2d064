"""Lists inside records whose elements have paths too, such as a contact's persons.

Model
-----
``comments`` in a task and ``/tasks/{}/comments`` are the same records. Only the inner collection
stores them. The list inside the record is made from it each time the record is shown, so the two
cannot differ.

- A body with the list writes to the inner collection. An element with a known id changes that
  record, and fields that it does not name stay. Any other element creates a record. Records that
  the list leaves out are removed, as Zoho documents for a PUT of a contact.
- A body without the list leaves the records as they are.
- Removing a record removes its nested records.

What counts as nested
---------------------
A list is nested if its elements carry the id of the inner collection, or if it has the same name
as the inner path. The id must not name a record of a top-level collection: the tasks of a project
are records of ``/tasks``.

Not nested are:

- the payments, credits and refunds that documents list (`rules` keeps them in a ledger),
- collections whose operations neither list nor create records with ids (documents, which are
  files, and the notes of subscriptions),
- the tasks of projects in Books, which are written by hand,
- ``billing_address`` and ``shipping_address`` of a contact, which are objects outside the list of
  ``/contacts/{}/address``. Zoho does not say that the list contains them.

Persons of a contact
--------------------
One person is the primary contact. The contact's name, email and phones are that person's, however
they were written. See `Persons` in `records.persons`.

Documented: a primary person exists; a person can be marked as primary but not unmarked (``true``
is the only allowed value); Billing's ``primary_contactperson_id`` names one of the customer's
persons.

Assumed:

- The first person is primary by default. If several claim to be, the last one written is.
- If the primary person is removed, the oldest remaining person becomes primary.
- Names in a contact's body go to its primary person. If it has none, one is created.
- Writing an element changes the ``last_modified_time`` of its record. Comments do not: a new
  comment was seen to leave it alone.
- An unknown id in the list creates a new element.
- A primary contact that is not one of the contact's persons changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from zoho_async.description import Field
from zoho_async.sandbox.data.schemas import CollectionSchema, Shape, schemas
from zoho_async.sandbox.data.seed import PRIMARY_IDS
from zoho_async.sandbox.data.values import blank, is_list, is_object, render_fields
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.persons import IS_PRIMARY, SHARED, is_persons_schema
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.rules.documents import kind_at

if TYPE_CHECKING:
    from zoho_async.sandbox.data.collection import Collection

_COMMENTS: Final = "comments"


class Nest:
    """The nested list of one collection's records.

    ``field`` is the list in which the records show it, or None if they do not. ``at`` finds the
    elements of the record with an id.
    """

    def __init__(
        self, inner: CollectionSchema, field: Field | None, at: Callable[[str], Collection]
    ) -> None:
        self.inner: Final = inner
        self.name: Final = field.name if field is not None else ""
        #: The fields of the record that are not written as they are sent.
        self.follows: frozenset[str] = frozenset({self.name})
        self._fields: Final = field.fields if field is not None else ()
        self._at: Final = at

    def elements(self, record_id: str) -> list[Record]:
        """The list as its record shows it. Each element has its id, described or not."""
        inner = self._at(record_id)
        blanks = {field.name: blank(field) for field in self._fields}
        states = [inner.state(index) for index in inner.indexes()]
        return [
            {self.inner.id_field: state[self.inner.id_field]}
            | render_fields(self._fields, {name: state.get(name, blanks[name]) for name in blanks})
            for state in states
        ]

    def write(self, outer: Collection, index: int, fields: Mapping[str, Any]) -> None:
        """Write the elements that a body of the record holds."""
        if self.name in fields:
            self._replace(self._at(outer.id(index)), fields[self.name])

    def element_written(self, outer: Collection, index: int, element: int | None) -> None:
        """Update a record after its ``element`` was written (None: removed).

        A comment does not count as a change of its record.
        """
        if self.inner.path[-1] == _COMMENTS:
            outer.refresh(index)
        else:
            outer.follow(index, {})

    def clear(self, record_id: str) -> None:
        """Remove every element of a removed record."""
        inner = self._at(record_id)
        for index in list(inner.indexes()):
            inner.remove(index)

    def _replace(self, inner: Collection, elements: Any) -> None:
        rows = [each for each in elements if is_object(each)] if is_list(elements) else []
        found = [inner.find(str(row.get(self.inner.id_field) or "")) for row in rows]
        for left_out in [each for each in inner.indexes() if each not in found]:
            inner.remove(left_out)
        form = inner.resource
        known = {field.name for field in self._fields}
        known |= form.fields.keys() if isinstance(form, Described) else set()
        for row, index in zip(rows, found, strict=True):
            kept = {k: v for k, v in row.items() if k in known and k != self.inner.id_field}
            if index is None:
                inner.add(kept)
            else:
                inner.change(index, kept)


class PersonsOf(Nest):
    """The persons of a contact or of Billing's customer. One of them is primary."""

    def __init__(
        self, inner: CollectionSchema, field: Field | None, at: Callable[[str], Collection]
    ) -> None:
        super().__init__(inner, field, at)
        self.follows |= frozenset(PRIMARY_IDS)

    def write(self, outer: Collection, index: int, fields: Mapping[str, Any]) -> None:
        super().write(outer, index, fields)
        persons = self._at(outer.id(index))
        primary = self._named(persons, fields)
        if primary is None:
            primary = self._named(persons, outer.state(index))
        own = {
            person: fields[contact]
            for contact, person in self._shared(persons)
            if contact in fields and self.name not in fields
        }
        if own and primary is not None:
            persons.change(primary, own)
        elif any(own.values()):
            primary = persons.add(own)
        self._settle(outer, index, primary)

    def element_written(self, outer: Collection, index: int, element: int | None) -> None:
        persons = self._at(outer.id(index))
        claims = element is not None and persons.state(element).get(IS_PRIMARY) is True
        primary = element if claims else self._named(persons, outer.state(index))
        self._settle(outer, index, primary)

    def _settle(self, outer: Collection, index: int, primary: int | None) -> None:
        """Make one person primary (the oldest by default) and copy its names to the contact."""
        persons, state = self._at(outer.id(index)), outer.state(index)
        there = persons.indexes()
        if primary is None and there:
            primary = there[0]
        for each in there:
            said = persons.state(each).get(IS_PRIMARY)
            if said is not None and said is not (each == primary):
                persons.follow(each, {IS_PRIMARY: each == primary})
        person = persons.state(primary) if primary is not None else {}
        follows = {name: person.get(self.inner.id_field, "") for name in PRIMARY_IDS}
        follows |= {contact: person.get(name, "") for contact, name in self._shared(persons)}
        outer.follow(index, {name: each for name, each in follows.items() if name in state})

    def _named(self, persons: Collection, fields: Mapping[str, Any]) -> int | None:
        """The person that a contact's fields name as primary, if the contact has that person."""
        found = (persons.find(str(fields.get(name) or "")) for name in PRIMARY_IDS)
        return next((index for index in found if index is not None), None)

    def _shared(self, persons: Collection) -> list[tuple[str, str]]:
        form = persons.resource
        return [pair for pair in SHARED if isinstance(form, Described) and pair[1] in form.fields]


def updater(nest: Nest, around: Collection, record_id: str) -> Callable[[int | None], None]:
    """A callback that updates a record, while it exists, after writes to its nested records."""

    def update(element: int | None) -> None:
        index = around.find(record_id)
        if index is not None:
            nest.element_written(around, index, element)

    return update


def nested(schema: CollectionSchema) -> Sequence[tuple[CollectionSchema, Field | None]]:
    """The collections nested in a schema's records, each with the list that shows it."""
    return _nested(schema.product, schema.path)


@functools.cache
def _nested(product: str, path: Shape) -> Sequence[tuple[CollectionSchema, Field | None]]:
    known = schemas(product)
    fields = Described(known.by_path[path], known, ()).fields
    found: list[tuple[CollectionSchema, Field | None]] = []
    for inner in known.by_path.values():
        if inner.path[:-1] != (*path, "{}") or known.for_name(inner.id_field):
            continue
        replies = [facts.reply for facts in (inner.listed, inner.made) if facts is not None]
        if inner.id_field not in {field.name for reply in replies for field in reply}:
            continue
        if kind_at(path) is not None and inner.path[-1] != _COMMENTS:
            continue
        field = _list_of(inner, fields)
        if field is not None or is_persons_schema(inner):
            found.append((inner, field))
    return found


def _list_of(inner: CollectionSchema, fields: Mapping[str, Field]) -> Field | None:
    for name, field in fields.items():
        names = {each.name for each in field.fields}
        alike = name.replace("_", "") == inner.path[-1].replace("_", "")
        if field.kind == "list" and names and (inner.id_field in names or alike):
            return field
    return None
