"""A nested list and the paths of its elements always agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sandbox_api import Api, status_of_missing
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox.data.nested import nested
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.schemas import CollectionSchema, schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ENCODER, ApiRefusal

#: Fields that a contact and its primary person share.
_SHARED: Final = ("first_name", "last_name", "email", "phone", "mobile")
_ACTIONS: Final = (
    *("new contact", "new contact", "by person", "by person", "by contact", "by contact"),
    *("by own fields", "renamed", "primary", "primary by person", "primary by contact"),
    "primary by id",
    *("remove", "remove contact"),
)
#: An action, the number of a contact, the number of a person, and a name.
Step = tuple[str, int, int, str]
_STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(_ACTIONS),
        st.integers(0, 3),
        st.integers(0, 4),
        st.text("abcdé", min_size=1, max_size=4),
    ),
    max_size=25,
)


class Persons:
    """Contacts of one product with persons, and a simple model of them.

    The model knows names only: the persons of each contact in order of creation, and the id of the
    primary one.
    """

    def __init__(self, product: str) -> None:
        self.api: Final = Api(product)
        self.product: Final = product
        billing = product == "billing"
        self.contacts: Final = "customers" if billing else "contacts"
        self.id_name: Final = "customer_id" if billing else "contact_id"
        self.person_id: Final = "contactperson_id" if billing else "contact_person_id"
        self.primary_id: Final = "primary_contactperson_id" if billing else "primary_contact_id"
        self.flat: Final = not billing
        self.known: Final[dict[str, dict[str, str]]] = {}
        self.primary: Final[dict[str, str]] = {}
        self.gone: Final[list[tuple[str, str]]] = []
        self.made = 0
        seeded = self.api.rows(f"/{self.contacts}", self.contacts, sort_column="created_time")
        for row in seeded[-2:]:  # undocumented, so they can be removed
            self.learn(row[self.id_name])

    # -- the two views ------------------------------------------------------------------------

    def contact(self, contact_id: str) -> dict[str, Any]:
        reply = self.api.call("GET", f"/{self.contacts}/{contact_id}")
        contact: dict[str, Any] = reply[self.contacts[:-1]]
        return contact

    def persons(self, contact_id: str) -> list[dict[str, Any]]:
        path = f"/{self.contacts}/{contact_id}/contactpersons"
        return self.api.rows(path, "contact_persons", sort_column="created_time", sort_order="A")

    def learn(self, contact_id: str) -> None:
        """Add a contact to the model in its current state."""
        rows = self.persons(contact_id)
        self.known[contact_id] = {row[self.person_id]: row["first_name"] for row in rows}
        self.primary[contact_id] = self.contact(contact_id)[self.primary_id]

    def person(self, contact_id: str, person_id: str) -> str:
        inside = f"/{self.contacts}/{contact_id}/contactpersons/{person_id}"
        return f"/contacts/contactpersons/{person_id}" if self.flat else inside

    # -- actions --------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        action, which, nth, name = step
        body: dict[str, Any]
        if action == "new contact":
            return self._new(nth, name)
        if not self.known:
            return None
        contact_id = list(self.known)[which % len(self.known)]
        ids = list(self.known[contact_id])
        if action == "by person":
            return self._by_person(contact_id, name, primary=nth == 4 and self.flat)
        if action == "remove contact":
            return self._remove(contact_id)
        if action == "by own fields":
            return self._own(contact_id, name)
        if not ids:
            return None
        person_id = ids[nth % len(ids)]
        if action == "by contact" and self.flat:
            self._by_contact(contact_id, ids[: nth + 1], name, flagged=which)
        elif action == "renamed":
            body = {"first_name": name, "email": f"{name}@example.com", self.id_name: contact_id}
            self.api.call("PUT", self.person(contact_id, person_id), body)
            self.known[contact_id][person_id] = name
        elif action == "primary" and self.flat:
            self.api.call("POST", f"{self.person(contact_id, person_id)}/primary")
            self.primary[contact_id] = person_id
        elif action == "primary by person" and self.product in ("books", "invoice"):
            # false is not an allowed value, so it changes nothing
            marked: dict[str, Any] = {"first_name": name, "is_primary_contact": name > "b"}
            path = self.person(contact_id, person_id)
            self.api.call("PUT", path, {self.id_name: contact_id, **marked})
            self.known[contact_id][person_id] = name
            if name > "b":
                self.primary[contact_id] = person_id
        elif action == "primary by contact" and self.flat:
            rows = [{self.person_id: each, "is_primary_contact": each == person_id} for each in ids]
            body = {"contact_name": f"C {contact_id}", "contact_persons": rows}
            self.api.call("PUT", f"/contacts/{contact_id}", body)
            self.primary[contact_id] = person_id
        elif action == "primary by id" and self.product in ("books", "billing"):
            # the id of an unknown person changes nothing
            body = {"display_name": f"C {contact_id}", "email": "e@example.com"}
            own = self.contact(contact_id)
            body = {name: own[name] for name in body if name in own}
            body |= {self.primary_id: person_id if name > "b" else "460000000026051"}
            self.api.call("PUT", f"/{self.contacts}/{contact_id}", body)
            if name > "b":
                self.primary[contact_id] = person_id
        elif action == "remove":
            self.api.call("DELETE", self.person(contact_id, person_id))
            self._forget(contact_id, person_id)
        return None

    def _new(self, persons: int, name: str) -> None:
        self.made += 1
        body: dict[str, Any] = {"contact_name": f"Contact {self.made}"}
        rows = [{"first_name": f"{name}{each}"} for each in range(persons)]
        if self.flat:
            body["contact_persons"] = rows
        else:
            rows = [{"first_name": name}]
            body = {"display_name": f"C {self.made}", "email": "e@example.com", **rows[0]}
        contact = self.api.call("POST", f"/{self.contacts}", body)[self.contacts[:-1]]
        contact_id = contact[self.id_name]
        ids = [row[self.person_id] for row in self.persons(contact_id)]
        names = [row["first_name"] for row in rows]
        self.known[contact_id] = dict(zip(ids, names, strict=True))
        self.primary[contact_id] = next(iter(ids), "")

    def _by_person(self, contact_id: str, name: str, *, primary: bool) -> None:
        path = f"/{self.contacts}/{contact_id}/contactpersons"
        body: dict[str, Any] = {"first_name": name, "email": "p@example.com"}
        if self.flat:
            path = "/contacts/contactpersons"
            body |= {"contact_id": contact_id, "is_primary_contact": primary}
        person = self.api.call("POST", path, body)["contact_person"]
        self.known[contact_id][person[self.person_id]] = name
        if primary or len(self.known[contact_id]) == 1:
            self.primary[contact_id] = person[self.person_id]

    def _by_contact(self, contact_id: str, ids: list[str], name: str, *, flagged: int) -> None:
        """Keep some persons, rename the first, add one and leave out the rest."""
        rows: list[dict[str, Any]] = [{self.person_id: each} for each in ids]
        rows[0]["first_name"] = name
        rows.append({"first_name": f"{name}!"})
        if flagged < len(rows):
            rows[flagged]["is_primary_contact"] = True
        before = self.known[contact_id]
        body = {"contact_name": f"C {contact_id}", "contact_persons": rows}
        self.api.call("PUT", f"/contacts/{contact_id}", body)
        for each in [each for each in before if each not in ids]:
            self._forget(contact_id, each)
        before[ids[0]] = name
        there = [row[self.person_id] for row in self.persons(contact_id)]
        (new,) = set(there) - set(before)
        before[new] = f"{name}!"
        if flagged < len(rows):
            self.primary[contact_id] = [*ids, new][flagged]

    def _own(self, contact_id: str, name: str) -> None:
        body = {"display_name": f"C {contact_id}", "email": "e@example.com", "first_name": name}
        if self.flat:
            body = {"contact_name": f"C {contact_id}", "first_name": name}
        if self.product in ("invoice", "inventory"):
            return  # these contacts have no name fields to write
        self.api.call("PUT", f"/{self.contacts}/{contact_id}", body)
        if not self.known[contact_id]:
            self.learn(contact_id)
        self.known[contact_id][self.primary[contact_id]] = name

    def _forget(self, contact_id: str, person_id: str) -> None:
        self.gone.append((contact_id, person_id))
        del self.known[contact_id][person_id]
        if self.primary[contact_id] == person_id:
            self.primary[contact_id] = next(iter(self.known[contact_id]), "")

    def _remove(self, contact_id: str) -> None:
        self.api.call("DELETE", f"/{self.contacts}/{contact_id}")
        for person_id in list(self.known.pop(contact_id)):
            self.gone.append((contact_id, person_id))

    # -- invariants -----------------------------------------------------------------------------

    def check(self) -> None:
        for contact_id, known in self.known.items():
            persons, contact = self.persons(contact_id), self.contact(contact_id)
            assert {row[self.person_id]: row["first_name"] for row in persons} == known
            assert contact[self.primary_id] == self.primary[contact_id]
            if self.flat:
                inside = contact["contact_persons"]
                assert len(inside) == len(persons)
                for one, other in zip(inside, persons, strict=True):
                    both = one.keys() & other.keys()
                    assert {*_SHARED, self.person_id} <= both
                    assert {n: one[n] for n in both} == {n: other[n] for n in both}
                primary = [row[self.person_id] for row in inside if row["is_primary_contact"]]
                assert primary == [each for each in [self.primary[contact_id]] if each]
            index = self.api.store.collection(f"{self.product}.{self.contacts}").find(contact_id)
            assert index is not None
            row = self.api.store.collection(f"{self.product}.{self.contacts}").row(index)
            by_id = {each[self.person_id]: each for each in persons}
            person = by_id.get(self.primary[contact_id]) or dict.fromkeys(_SHARED, "")
            for told in (contact, row):
                own = [name for name in _SHARED if name in told]
                assert {n: told[n] for n in own} == {n: person[n] for n in own}
        for contact_id, person_id in self.gone:
            for method in ("DELETE", "PUT"):
                body = {"first_name": "x", "email": "x@example.com", self.id_name: contact_id}
                with pytest.raises(ApiRefusal) as refusal:
                    self.api.call(method, self.person(contact_id, person_id), body)
                assert refusal.value.status == status_of_missing(self.api.product)


@pytest.mark.parametrize("product", PRODUCTS)
@given(steps=_STEPS)
def test_a_contact_and_the_paths_of_its_persons_agree_after_any_history(
    product: str, steps: list[Step]
) -> None:
    there = Persons(product)
    there.check()
    for step in steps:
        there.do(step)
    there.check()


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_seeded_contact_has_one_primary_person(product: str) -> None:
    there = Persons(product)
    for row in there.api.rows(f"/{there.contacts}", there.contacts):
        there.learn(row[there.id_name])
    assert all(there.known.values())
    assert all(there.primary.values())
    there.check()


def test_persons_survive_reopening_the_file(tmp_path: Path) -> None:
    def told(store: Store) -> list[Any]:
        contacts = store.collection("contacts")
        return [ENCODER.encode(contacts.detail(index)) for index in contacts.indexes()]

    def opened() -> tuple[Persistence, Store]:
        keep = Persistence(tmp_path / "kept.sqlite")
        return keep, Store(SampleData(3, "10234695", {"contacts": 3}), keep)

    keep, store = opened()
    contacts = store.collection("contacts")
    persons = [{"first_name": "Ana"}, {"first_name": "Bo", "is_primary_contact": True}]
    made = contacts.add({"contact_name": "New", "contact_persons": persons})
    inside = store.at(contacts.nests[0].inner, (contacts.id(0),))
    inside.change(1, {"first_name": "Chidi", "is_primary_contact": True})
    inside.remove(0)
    contacts.remove(1)
    assert contacts.detail(made)["first_name"] == "Bo"
    before = told(store)
    keep.close()
    keep, again = opened()
    assert told(again) == before
    keep.close()


# -- every other list inside records --------------------------------------------------------------


def _nests() -> Iterator[Any]:
    for product in PRODUCTS:
        for schema in schemas(product).by_path.values():
            for inner, field in nested(schema):
                if field is not None:
                    name = f"{product}:{'/'.join(inner.path)}"
                    yield pytest.param(schema, inner, field.name, id=name)


@pytest.mark.parametrize(("schema", "inner", "name"), list(_nests()))
def test_a_nested_list_matches_its_collection(
    schema: CollectionSchema, inner: CollectionSchema, name: str
) -> None:
    store = Store(SampleData(3, "10234695", {"contacts": 4}))
    outer = store.at(schema, ())

    def agree(index: int) -> list[str]:
        inside = store.at(inner, (outer.id(index),))
        there = [inside.id(each) for each in inside.indexes()]
        for shown in (outer.whole(index), outer.detail(index)):
            assert [each[inner.id_field] for each in shown.get(name, shown)] == there
        return there

    first, *others = agree(0)
    assert others
    inside = store.at(inner, (outer.id(0),))
    made = inside.id(inside.add({}))
    assert agree(0) == [first, *others, made]
    outer.change(0, {name: [{inner.id_field: made}, {}]})
    new = agree(0)[-1]
    assert agree(0) == [made, new]
    assert new not in (first, *others)
    outer.change(0, {})
    assert agree(0) == [made, new]
    index = outer.add({name: [{}, {}]})
    assert len(agree(index)) == 2
    outer.remove(0)
    assert not inside.indexes()
