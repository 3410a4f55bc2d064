"""Where one organization's records are: made from the seed until somebody writes them.

Rows are encoded when they are first read and kept as bytes, so a page is a join. A record that was
written is kept whole; a deleted one leaves a gap. Row numbers ascend with ``created_time``, so
"in the order of creation" is simply the order of numbers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from zoho_async.sandbox.records.contacts import Contacts
from zoho_async.sandbox.records.invoices import Invoices
from zoho_async.sandbox.records.items import Items
from zoho_async.sandbox.records.projects import Projects
from zoho_async.sandbox.records.resource import Record, Resource
from zoho_async.sandbox.replies import ENCODER
from zoho_async.sandbox.world import World, day_formatted, stamp

RESOURCES: Final[tuple[Resource, ...]] = (Contacts(), Items(), Invoices(), Projects())


_LAST_NUMBER: Final = re.compile(r"[0-9]{1,9}$")


class Collection:
    """The records of one resource in one organization."""

    def __init__(self, world: World, resource: Resource) -> None:
        self.world: Final = world
        self.resource: Final = resource
        self.next_index = world.size(resource.name)
        #: Grows with every write; whoever remembers an order checks it.
        self.version = 0
        #: Orders worked out for this version, by what was asked.
        self.orders: dict[object, list[int]] = {}
        self._written: dict[int, Record] = {}
        self._gone: set[int] = set()
        self._rows: list[bytes | None] = [None] * self.next_index
        self._row_keys: tuple[str, ...] | None = None

    def indexes(self) -> Sequence[int]:
        """The numbers of the records that are there, in the order of their creation."""
        if not self._gone:
            return range(self.next_index)
        return [index for index in range(self.next_index) if index not in self._gone]

    def find(self, record_id: str) -> int | None:
        """The number of the record with this id, if it is there."""
        index = self.world.index(self.resource.name, record_id)
        if index is None or index >= self.next_index or index in self._gone:
            return None
        return index

    def row(self, index: int) -> Record:
        """The list form of a record."""
        state = self._written.get(index)
        if state is None:
            return self.resource.row(self.world, index)
        names = self._names_of_rows()
        row = {name: value for name, value in state.items() if name in names or name[:3] == "cf_"}
        return row | self.resource.row_differs

    def encoded_row(self, index: int) -> bytes:
        """The list form as the wire has it."""
        encoded = self._rows[index]
        if encoded is None:
            encoded = self._rows[index] = ENCODER.encode(self.row(index))
        return encoded

    def detail(self, index: int) -> Record:
        """The form that get, create and update answer."""
        state = self._written.get(index)
        if state is None:
            row = self.resource.row(self.world, index)
            return self.resource.detail(self.world, index, row)
        names = self._names_of_details()
        return {name: value for name, value in state.items() if name in names or name[:3] == "cf_"}

    def state(self, index: int) -> Record:
        """Every field of both forms; a copy, to be changed and written back."""
        state = self._written.get(index)
        if state is None:
            row = self.resource.row(self.world, index)
            return row | self.resource.detail(self.world, index, row)
        return dict(state)

    def with_value(self, name: str, value: object) -> Iterator[int]:
        """The records whose ``name`` is ``value``, for fields that differ in every row.

        Seeded values of those end in the row's number, so no list needs to be looked through.
        """
        number = _LAST_NUMBER.search(str(value))
        guess = int(number[0]) if number else -2
        for index in {guess - 1, guess, *self._written}:
            there = 0 <= index < self.next_index and index not in self._gone
            if there and self.row(index).get(name) == value:
                yield index

    def written(self) -> Iterator[Record]:
        """The records that somebody made or changed."""
        yield from self._written.values()

    def add(self, fields: Mapping[str, Any]) -> int:
        """Make a record now; returns its number."""
        index = self.next_index
        now = stamp(int(time.time()))
        state = self.resource.fresh(self.world, index)
        state["created_time"] = now
        if "created_time_formatted" in state:
            state["created_time_formatted"] = day_formatted(now)
        state.update(fields)
        self.next_index += 1
        self._rows.append(None)
        self._write(index, state, now)
        return index

    def change(self, index: int, fields: Mapping[str, Any]) -> None:
        """Set fields of a record; the rest stays."""
        self._write(index, self.state(index) | dict(fields), stamp(int(time.time())))

    def remove(self, index: int) -> None:
        self._gone.add(index)
        self._written.pop(index, None)
        self._rows[index] = None
        self._forget_orders()

    def _write(self, index: int, state: Record, now: str) -> None:
        state["last_modified_time"] = now
        if "last_modified_time_formatted" in state:
            state["last_modified_time_formatted"] = day_formatted(now)
        self.resource.settle(self.world, state)
        self._written[index] = state
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
    """Everything one organization has."""

    def __init__(self, world: World) -> None:
        self.world: Final = world
        self.collections: Final = {
            resource.name: Collection(world, resource) for resource in RESOURCES
        }

    def collection(self, name: str) -> Collection:
        """By ``product.resource``; ``books.`` may be left out. Raises `KeyError`."""
        return self.collections[name if "." in name else f"books.{name}"]

    def exists(self, name: str, record_id: object) -> bool:
        return self.collections[name].find(str(record_id)) is not None
