"""The interface of a resource in the sandbox.

A record has a *row* (sent by lists) and a *detail* (sent by get, create and update). The two share
most fields, and each has some that the other lacks. The seed makes rows; details are made from
rows. A written record is stored as its *state*: the fields of both forms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, timedelta
from typing import Any, Final, TypeAlias

from zoho_async.sandbox.data.dates import day_formatted
from zoho_async.sandbox.data.seed import SampleData, custom_field_forms

Record: TypeAlias = dict[str, Any]


class ResourceRules(ABC):
    """One resource: its names, forms and rules. It holds no records."""

    #: ``product.resource``, as in the names of operations.
    name: str
    path: str
    key: str
    single: str
    id_field: str
    report_name: str
    default_sort: tuple[str, str]
    searched: tuple[str, ...]
    blanks: Record
    #: Fields of both forms that have another type in rows, with their values there.
    row_differs: Record = {}
    #: Fields that are asked for, and that no record has as the seed has it.
    not_seeded: frozenset[str] = frozenset()
    added: str
    saved: str
    deleted: str
    missing: tuple[int, str]
    #: The field and value that a POST to ``/{id}/<verb>`` sets, and its message.
    verbs: dict[str, tuple[str, str, str]]
    #: Filters that Zoho accepts but does not apply.
    ignored: frozenset[str] = frozenset()
    #: The default number of seeded rows; None means the default of a top-level list.
    default_rows: int | None = None

    @property
    def has_numbers_for_ids(self) -> bool:
        """Whether a record's id contains its number; a code that callers choose does not."""
        return True

    def id_of(self, world: SampleData, index: int) -> str:
        """The id of row ``index``."""
        return world.id(self.name, index)

    def index_of(self, world: SampleData, record_id: str) -> int | None:
        """The row number of an id, or None if no row can have the id."""
        return world.index(self.name, record_id)

    def knows(self, field: str) -> bool:
        """Whether a filter on ``field`` can be applied; other filters are ignored."""
        return True

    @abstractmethod
    def row(self, world: SampleData, index: int) -> Record:
        """The list form of row ``index`` as the seed has it."""

    @abstractmethod
    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        """The full form of row ``index``."""

    def booked(self, world: SampleData, index: int) -> Record | None:
        """The fields of row ``index`` that the ledger and the reports read, with exact amounts.

        None if that is not cheaper than the whole record. A field that is left out is empty.
        """
        return None

    def fresh(self, world: SampleData, index: int) -> Record:
        """The state of a new record before the caller's values are set."""
        row = self.row(world, index)
        state = row | self.detail(world, index, row) | self.blanks
        for name in [name for name in state if name.startswith("cf_")]:
            del state[name]
        return state | {"custom_fields": [], "custom_field_hash": {}}

    @abstractmethod
    def settle(self, world: SampleData, state: Record) -> None:
        """Derive the fields that follow from others."""

    def matches(self, record: Record, filter_by: str, today: str) -> bool:
        """Whether a record passes the filter ``filter_by`` on a day."""
        kind, _, wanted = filter_by.partition(".")
        return wanted == "All" or (kind == "Status" and record.get("status") == wanted.lower())


def settle_custom_fields(world: SampleData, state: Record) -> None:
    """Bring the ``custom_fields`` that a caller sent into all three forms."""
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


# -- spans of days ------------------------------------------------------------------------------


def within(shown: str, word: str, today: str) -> bool | None:
    """Whether a date (``2026-06-09``) is in the named span; None if the span is unknown.

    Weeks, quarters and years depend on an organization's settings and fiscal year. The sandbox
    cannot evaluate those filters (``Date.ThisWeek``) and lets every row pass.
    """
    match word.lower():
        case "today":
            return shown[:10] == today
        case "previousday":
            return shown[:10] == str(date.fromisoformat(today) - timedelta(days=1))
        case "thismonth":
            return shown[:7] == today[:7]
        case "previousmonth":
            return shown[:7] == _month_before(today)
        case _:
            return None


def is_relative(filter_by: str, today: str) -> bool:
    """Whether the rows of a filter change from day to day."""
    return within("", filter_by.rpartition(".")[2], today) is not None


def _month_before(today: str) -> str:
    year, month = int(today[:4]), int(today[5:7])
    return f"{year}-{month - 1:02d}" if month > 1 else f"{year - 1}-12"
