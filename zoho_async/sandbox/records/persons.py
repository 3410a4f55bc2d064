"""Persons of a contact. The primary person shares its names with the contact.

The seed gives every contact some persons. The first is primary and has the contact's names. A
person's id is the contact's id with other last digits, so the contact follows from the id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas
from zoho_async.sandbox.data.seed import SampleData, person_id, person_index
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record

IS_PRIMARY: Final = "is_primary_contact"
#: The contact's fields that its primary person shares, with the person's names for them.
SHARED: Final = (
    *((name, name) for name in ("first_name", "last_name", "email", "phone", "mobile")),
    *((name, name) for name in ("salutation", "designation", "department")),
    ("contact_salutation", "salutation"),
)


def is_persons_schema(schema: CollectionSchema) -> bool:
    """Whether a schema's records are the persons of a contact or a customer."""
    return schema.path in (
        ("contacts", "{}", "contactpersons"),
        ("customers", "{}", "contactpersons"),
    )


class Persons(Described):
    """The persons of one contact. ``contact`` returns the contact's seeded row."""

    def __init__(
        self,
        schema: CollectionSchema,
        schemas: CollectionSchemas,
        contact_id: tuple[str, str],
        contact: Callable[[], Record],
    ) -> None:
        super().__init__(schema, schemas, [contact_id])
        self._contact_id: Final = contact_id[1]
        self._contact: Final = contact

    def id_of(self, world: SampleData, index: int) -> str:
        return person_id(self._contact_id, index) or super().id_of(world, index)

    def index_of(self, world: SampleData, record_id: str) -> int | None:
        index = person_index(self._contact_id, record_id)
        return super().index_of(world, record_id) if index is None else index

    def row(self, world: SampleData, index: int) -> Record:
        return self._seeded(super().row(world, index), index)

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        return self._seeded(super().detail(world, index, row), index)

    def settle(self, world: SampleData, state: Record) -> None:
        super().settle(world, state)
        state |= {name: value for name, value in self.parents.items() if name in state}

    def _seeded(self, made: Record, index: int) -> Record:
        if IS_PRIMARY in made:
            made[IS_PRIMARY] = index == 0
        if index == 0:
            contact = self._contact()
            shared = ((theirs, contact[own]) for own, theirs in SHARED if own in contact)
            made |= {name: value for name, value in shared if name in made}
        return made
