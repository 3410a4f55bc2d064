"""What every resource of the sandbox tells about itself.

A record has a *row* (what lists send) and a *detail* (what get, create and update send); they
share most fields and each has some of its own. The seed makes rows; details are made from rows.
A record that somebody wrote is kept as its *state*: the fields of both forms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, TypeAlias

from zoho_async.sandbox.world import World, custom_field_forms, day_formatted

Record: TypeAlias = dict[str, Any]


class Resource(ABC):
    """One resource: names, forms, rules. Holds no records."""

    #: ``product.resource``, as in the names of operations.
    name: ClassVar[str]
    path: ClassVar[str]
    key: ClassVar[str]
    single: ClassVar[str]
    id_field: ClassVar[str]
    report_name: ClassVar[str]
    default_sort: ClassVar[tuple[str, str]]
    searched: ClassVar[tuple[str, ...]]
    blanks: ClassVar[Record]
    #: Fields that both forms have and rows hold in another type.
    row_differs: ClassVar[Record] = {}
    added: ClassVar[str]
    saved: ClassVar[str]
    deleted: ClassVar[str]
    missing: ClassVar[tuple[int, str]]
    #: What a POST to ``/{id}/<verb>`` sets, and what it answers.
    verbs: ClassVar[dict[str, tuple[str, str, str]]]
    #: Filters that Zoho takes and does not apply.
    ignored: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def row(self, world: World, index: int) -> Record:
        """The list form of row ``index`` as the seed has it."""

    @abstractmethod
    def detail(self, world: World, index: int, row: Record) -> Record:
        """The full form of row ``index``."""

    def fresh(self, world: World, index: int) -> Record:
        """The state of a record that somebody makes now, before anything is filled in."""
        row = self.row(world, index)
        state = row | self.detail(world, index, row) | self.blanks
        for name in [name for name in state if name.startswith("cf_")]:
            del state[name]
        return state | {"custom_fields": [], "custom_field_hash": {}}

    @abstractmethod
    def settle(self, world: World, state: Record) -> None:
        """Work out the fields that follow from others."""

    def matches(self, record: Record, filter_by: str) -> bool:
        """Whether ``filter_by`` lets a record through."""
        kind, _, wanted = filter_by.partition(".")
        return wanted == "All" or (kind == "Status" and record.get("status") == wanted.lower())


def settle_custom_fields(world: World, state: Record) -> None:
    """Bring ``custom_fields`` that a caller sent into all three forms."""
    sent: list[Record] = state.get("custom_fields") or []
    for name in [name for name in state if name.startswith("cf_")]:
        del state[name]
    fields: list[tuple[str, str, str, str, str, Any]] = []
    for number, field in enumerate(sent):
        label = str(field.get("label") or f"Field {number + 1}")
        name = str(field.get("api_name") or "cf_" + label.lower().replace(" ", "_"))
        field_id = str(field.get("customfield_id") or world.fixed_id(801 + 2 * number))
        value: Any = field.get("value", "")
        data_type = str(field.get("data_type") or "string")
        formatted = day_formatted(str(value)) if data_type == "date" else str(value)
        fields.append((field_id, label, name, data_type, formatted, value))
    state.update(custom_field_forms(fields))


ACTIVE: Final = "active"
INACTIVE: Final = "inactive"
