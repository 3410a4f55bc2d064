"""The records of one resource: seeded rows until a caller writes them.

Rows are encoded when they are first read and cached as bytes, so a page is a join of bytes. A
written record is stored whole; a deleted one leaves a gap. Row numbers ascend with
``created_time``, so the order of creation is the order of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from zoho_async._msgspec import decoder_of
from zoho_async.description import OperationFacts
from zoho_async.sandbox.data.dates import day_formatted, stamp
from zoho_async.sandbox.data.nested import Nest
from zoho_async.sandbox.data.persistence import Persistence
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.records.described import Described
from zoho_async.sandbox.records.resource import Record, ResourceRules
from zoho_async.sandbox.replies import ENCODER

_LAST_NUMBER: Final = re.compile(r"[0-9]{1,9}$")
STATE: Final = decoder_of(dict[str, Any], float_hook=Decimal)
DELETED: Final = b""


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
        #: Called with "created", "updated" or "deleted", the record's number and its fields.
        self.on_event: Callable[[str, int, Record], None] | None = None
        self._load()

    def _load(self) -> None:
        """Load what an earlier process wrote."""
        for item, value in sorted(self._keep.place(self._place).items()):
            index = int(item)
            self.next_index = max(self.next_index, index + 1)
            if value == DELETED:
                self._deleted.add(index)
            else:
                self._written[index] = STATE.decode(value)
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

    def lacks(self, index: int, name: str) -> bool:
        """Whether a record certainly has no field ``name``, known without building the record."""
        return name in self.resource.not_seeded and index not in self._written

    def booked(self, index: int) -> Record:
        """The fields of a record that the ledger and the reports read."""
        brief = None if index in self._written else self.resource.booked(self.world, index)
        return self.state(index) if brief is None else brief

    def with_value(self, name: str, value: object) -> Iterator[int]:
        """The records whose ``name`` is ``value``, for fields that differ in every row.

        Seeded values of such fields end in the row's number, so no scan is needed.
        """
        number = _LAST_NUMBER.search(str(value))
        guess = int(number[0]) if number else -2
        for index in {guess - 1, guess, *self._written}:
            if not 0 <= index < self.next_index or index in self._deleted:
                continue
            known = self._written.get(index)
            if (self.row(index) if known is None else known).get(name) == value:
                yield index

    def written(self) -> Iterator[Record]:
        """The records that a caller created or changed."""
        yield from self._written.values()

    def add(self, fields: Mapping[str, Any]) -> int:
        """Create a record and return its number."""
        index = self.next_index
        now = stamp(self.world.now())
        state = self.resource.fresh(self.world, index)
        state["created_time"] = now
        if "created_time_formatted" in state:
            state["created_time_formatted"] = day_formatted(now)
        state.update(self._own_fields(fields))
        self.next_index += 1
        self._rows.append(None)
        self._write(index, state, now)
        self._pass_on(index, fields)
        self._announce("created", index)
        return index

    def change(self, index: int, fields: Mapping[str, Any]) -> None:
        """Set fields of a record; the rest stays."""
        self.follow(index, self._own_fields(fields))
        self._pass_on(index, fields)
        self._announce("updated", index)

    def follow(self, index: int, fields: Mapping[str, Any]) -> None:
        """Set derived fields of a record. Unlike `change`, this does not notify related records."""
        self._write(index, self.state(index) | dict(fields), stamp(self.world.now()))

    def refresh(self, index: int) -> None:
        """Show a record's nested lists again. The record itself does not change."""
        self._rows[index] = None
        self._forget_orders()

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

    def _announce(self, operation: str, index: int) -> None:
        if self.on_event is not None:
            self.on_event(operation, index, self.state(index))

    def remove(self, index: int) -> None:
        self._announce("deleted", index)
        record_id = self.id(index)
        self._deleted.add(index)
        self._keep.put(self._place, str(index), DELETED)
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


class View:
    """A list that shows the records of another collection in another form."""

    def __init__(self, shown: Collection, facts: OperationFacts, resource: Described) -> None:
        self.world: Final = shown.world
        self.resource: Final = resource
        self.orders: dict[object, list[int]] = {}
        self._shown: Final = shown
        self._facts: Final = facts
        self._seen = shown.version

    @property
    def version(self) -> int:
        """Grows with every write to the records that are shown."""
        if self._seen != self._shown.version:
            self._seen = self._shown.version
            self.orders.clear()
        return self._seen

    def indexes(self) -> Sequence[int]:
        return self._shown.indexes()

    def row(self, index: int) -> Record:
        return self.resource.render(self._facts.reply, self._shown.whole(index))

    def encoded_row(self, index: int) -> bytes:
        return ENCODER.encode(self.row(index))

    def state(self, index: int) -> Record:
        return self._shown.state(index)

    def lacks(self, index: int, name: str) -> bool:
        return self._shown.lacks(index, name)
