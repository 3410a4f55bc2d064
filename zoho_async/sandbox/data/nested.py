"""Lists inside records whose elements have paths of their own: a contact's persons and the like.

``comments`` in a task and ``/tasks/{}/comments`` are one thing told twice. The records of the inner
home are the truth: the list inside is made of them whenever its record is shown and is kept nowhere
else, so the two cannot differ. A body that holds the list is a list of writes to the inner home:
an element with the id of one that is there changes it (fields that it does not name stay), any
other makes one, and one that the list leaves out is removed, as the description of contacts says
of a PUT. A body that does not hold the list leaves it as it is. Removing a record removes what it
nests.

A list is nested if its elements carry the id of the home below, or it is called like that home's
paths, and that id names no record that lives elsewhere (the tasks of a project are records of
``/tasks``). Apart stay the lists of applied payments, credits and refunds in documents, which a
ledger tells (see `rules`), and homes whose own operations list or make no records with ids
(documents, which are files; the notes of subscriptions), and the tasks of Books' own projects,
which is written by hand. So do ``billing_address`` and ``shipping_address`` of a contact, which are
two objects beside the list of ``/contacts/{}/address``: nothing says that they stand in it.

A contact has more in common with its persons, see `Persons` in `records.persons`: one of them is
its primary contact, and the contact's own name, email and phones are that person's, whichever of
the two is written. Known from descriptions: that there is such a person, that it can be marked and
never unmarked (the allowed value is ``true`` only), and that Billing's ``primary_contactperson_id``
names one of the customer's persons. Not known, and chosen: the first person is primary by itself;
of several that claim to be, the last written is; when the primary is removed the oldest that is
left follows; the names in a contact's own body go to its primary person, and make one where there
is none; writing an element changes the ``last_modified_time`` of the record around it; an id in
the list that is none of its elements' makes a new one; a primary contact that is none of the
contact's persons changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from zoho_async.description import Field
from zoho_async.sandbox.data.resources import Home, Shape, homes
from zoho_async.sandbox.data.seed import PRIMARY_IDS
from zoho_async.sandbox.data.values import blank, is_list, is_object, told_fields
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.persons import IS_PRIMARY, SHARED, is_home_of_persons
from zoho_async.sandbox.records.resource import Record
from zoho_async.sandbox.rules.documents import kind_at

if TYPE_CHECKING:
    from zoho_async.sandbox.data.store import Collection

_COMMENTS: Final = "comments"


class Nest:
    """What records of one collection nest of one inner home.

    ``field`` is the list in which they show it, None where they show none. ``at`` finds the
    elements of the record with an id.
    """

    def __init__(self, inner: Home, field: Field | None, at: Callable[[str], Collection]) -> None:
        self.inner: Final = inner
        self.name: Final = field.name if field is not None else ""
        #: The fields of the record that are not written as they are sent.
        self.follows: frozenset[str] = frozenset({self.name})
        self._fields: Final = field.fields if field is not None else ()
        self._at: Final = at

    def elements(self, record_id: str) -> list[Record]:
        """The list as its record shows it; each element with its id, described there or not."""
        inner = self._at(record_id)
        blanks = {field.name: blank(field) for field in self._fields}
        states = [inner.state(index) for index in inner.indexes()]
        return [
            {self.inner.id_field: state[self.inner.id_field]}
            | told_fields(self._fields, {name: state.get(name, blanks[name]) for name in blanks})
            for state in states
        ]

    def write(self, outer: Collection, index: int, fields: Mapping[str, Any]) -> None:
        """Carry out what a body of the record says about its elements."""
        if self.name in fields:
            self._replace(self._at(outer.id(index)), fields[self.name])

    def written(self, outer: Collection, index: int, element: int | None) -> None:
        """Bring a record up to date after a write to its ``element``, or a removal."""
        outer.follow(index, {})

    def clear(self, record_id: str) -> None:
        """Remove every element of a record that is gone."""
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
    """The persons of a contact, or of Billing's customer, one of which is primary."""

    def __init__(self, inner: Home, field: Field | None, at: Callable[[str], Collection]) -> None:
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

    def written(self, outer: Collection, index: int, element: int | None) -> None:
        persons = self._at(outer.id(index))
        claims = element is not None and persons.state(element).get(IS_PRIMARY) is True
        primary = element if claims else self._named(persons, outer.state(index))
        self._settle(outer, index, primary)

    def _settle(self, outer: Collection, index: int, primary: int | None) -> None:
        """Make one person primary, the oldest where none is named, and the contact's names its."""
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
        """The person whose id stands among a contact's fields, if it is one of its own."""
        found = (persons.find(str(fields.get(name) or "")) for name in PRIMARY_IDS)
        return next((index for index in found if index is not None), None)

    def _shared(self, persons: Collection) -> list[tuple[str, str]]:
        form = persons.resource
        return [pair for pair in SHARED if isinstance(form, Described) and pair[1] in form.fields]


def teller(nest: Nest, around: Collection, record_id: str) -> Callable[[int | None], None]:
    """Tells a record of writes to what it nests, while it is there."""

    def tell(element: int | None) -> None:
        index = around.find(record_id)
        if index is not None:
            nest.written(around, index, element)

    return tell


def nested(home: Home) -> Sequence[tuple[Home, Field | None]]:
    """The homes whose records stand in lists of a home's records, and those lists."""
    return _nested(home.product, home.path)


@functools.cache
def _nested(product: str, path: Shape) -> Sequence[tuple[Home, Field | None]]:
    known = homes(product)
    fields = Described(known.by_path[path], known, ()).fields
    found: list[tuple[Home, Field | None]] = []
    for inner in known.by_path.values():
        if inner.path[:-1] != (*path, "{}") or known.for_name(inner.id_field):
            continue
        replies = [facts.reply for facts in (inner.listed, inner.made) if facts is not None]
        if inner.id_field not in {field.name for reply in replies for field in reply}:
            continue
        if kind_at(path) is not None and inner.path[-1] != _COMMENTS:
            continue
        field = _list_of(inner, fields)
        if field is not None or is_home_of_persons(inner):
            found.append((inner, field))
    return found


def _list_of(inner: Home, fields: Mapping[str, Field]) -> Field | None:
    for name, field in fields.items():
        names = {each.name for each in field.fields}
        alike = name.replace("_", "") == inner.path[-1].replace("_", "")
        if field.kind == "list" and names and (inner.id_field in names or alike):
            return field
    return None
