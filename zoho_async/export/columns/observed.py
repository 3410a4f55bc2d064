"""Learn columns from rows: custom fields, and fields that live rows show without a description.

Model
-----
A field of a row, or of a described object in it, becomes a column as soon as one row shows a value
that is a text, a number or a boolean. The kind of the column is that of the first value:

- JSON numbers are amounts, with or without a decimal point.
- Texts ``2026-06-09`` are dates, and texts with a time and an offset are times.
- ``true`` and ``false`` are booleans. Everything else is text.

If a later value does not fit, the column is *widened* to text. Text takes every plain value.

These stay in ``_extra``: objects and lists, fields in the elements of lists, and ``x_formatted``,
the display form of another field. Custom fields (``cf_...``) always become columns. A table gets at
most `MOST_CUSTOM` columns for custom fields and `MOST_OTHERS` for others, in the order of the rows,
so that objects with ids or dates as names do not make a table of thousands of columns.

Why one value is enough
-----------------------
A higher threshold leaves the first values in ``_extra``, and a sum over the column lacks them. It
also has to count rows, and a row that is read again after a crash counts twice. With one value, the
columns depend only on the rows, not on their batches or repetitions.

Invariant
---------
The same rows in the same order give the same columns in every destination, also after crashes.

Why it holds
------------
The kind is a fold over the values in the order of the rows, and its result does not change when
values are repeated. New fields of a portion are added in the order of their first rows. What was
learned is stored with the rows (`zoho_async.export.checkpoint.observed`).

Conflicts
---------
A value that does not fit a described column is in ``_extra`` and counted as a conflict. So is an
object, a list, or a text with NUL, in a column of observed values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from zoho_async.export.columns.decode import BLANKS, RawValues, coerce
from zoho_async.export.columns.schema import (
    ColumnKind,
    ColumnShape,
    Observed,
    ObservedField,
    with_observed,
)

T = TypeVar("T")

MOST_CUSTOM: Final = 250
MOST_OTHERS: Final = 150
#: The prefix of custom fields in rows.
CUSTOM: Final = "cf_"

_FORMATTED: Final = "_formatted"
_DATE: Final = re.compile(rb'"\d{4}-\d\d-\d\d"')
_TIME: Final = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*"')

#: The names of the fields from the row to a value.
Path: TypeAlias = tuple[str, ...]


class ShapeGrew(Exception):
    """Rows showed new or wider fields. Read them again with the fields of the observer."""


class Observer:
    """Learns the observed fields of one resource. ``fields`` are those learned before.

    Call `end_portion` after each portion of rows.
    """

    def __init__(self, fields: Observed = ()) -> None:
        #: The number of values in ``_extra`` that do not fit their column, by path.
        self.conflicts: Final[Counter[Path]] = Counter()
        #: Makes `fields` durable. A file destination calls it before it gives up the rows.
        self.store: Callable[[], None] = lambda: None
        self._kinds: Final[dict[Path, ColumnKind]] = {}
        self._free = {True: MOST_CUSTOM, False: MOST_OTHERS}
        self._found: Final[dict[Path, tuple[int, ColumnKind]]] = {}
        self._grew = False
        for one in fields:
            self._add(one.path, one.kind)

    def forget(self) -> None:
        """Forget all fields, because the rows that showed them are gone."""
        self._kinds.clear()
        self._found.clear()
        self.conflicts.clear()
        self._free.update({True: MOST_CUSTOM, False: MOST_OTHERS})

    @property
    def fields(self) -> Observed:
        """The fields in the order in which they became columns."""
        return tuple(ObservedField(path, kind) for path, kind in self._kinds.items())

    def see(self, path: Path, raws: RawValues) -> None:
        """Note the values of a field without a column, by row."""
        kind = self._kinds.get(path)
        if kind is None and not self._may_add(path):
            return
        places = [place for place, raw in enumerate(raws) if is_plain(raw)]
        if not places:
            return
        values = [raws[place] for place in places]
        if kind is None:
            self._found[path] = (places[0], _fold(_kind_of(values[0]), values))
        else:
            self._widen(path, _fold(kind, values))

    def note_misfits(self, path: Path, raws: Sequence[msgspec.Raw]) -> None:
        """Note values that do not fit the column of ``path``."""
        if self._kinds.get(path, "text") != "text" and any(map(is_plain, raws)):
            self._widen(path, "text")

    def end_portion(self) -> bool:
        """Add the fields that a portion of rows showed. Return whether anything changed."""
        for path in sorted(self._found, key=lambda path: (self._found[path][0], path)):
            if self._may_add(path):
                self._add(path, self._found[path][1])
                self._grew = True
        self._found.clear()
        grew, self._grew = self._grew, False
        return grew

    def _add(self, path: Path, kind: ColumnKind) -> None:
        self._kinds[path] = kind
        self._free[_is_custom(path)] -= 1

    def _widen(self, path: Path, kind: ColumnKind) -> None:
        if self._kinds[path] != kind:
            self._kinds[path] = kind
            self._grew = True

    def _may_add(self, path: Path) -> bool:
        custom = _is_custom(path)
        return self._free[custom] > 0 and (custom or not path[-1].endswith(_FORMATTED))


class SchemaChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the columns of a list in a run.

    ``change`` is ``added`` (a new column), ``widened`` (its type became text) or ``conflict``:
    ``values`` values do not fit the column and are in ``_extra``. ``field`` is the path of the
    field (``billing_address.county``), ``column`` its column. ``type`` is the type of the column,
    and ``before`` the type before it was widened.
    """

    change: Literal["added", "widened", "conflict"]
    field: str
    column: str
    type: str
    before: str | None = None
    values: int = 0


def changes_between(
    described: ColumnShape, before: Observed, observer: Observer
) -> tuple[SchemaChange, ...]:
    """The changes since the fields were those of ``before``, and the conflicts."""
    columns = {one.path: one for one in with_observed(described, observer.fields).columns}
    kinds = {one.path: one.kind for one in before}
    changes = [
        SchemaChange(
            change="widened" if one.path in kinds else "added",
            field=".".join(one.path),
            column=columns[one.path].name,
            type=one.kind,
            before=kinds.get(one.path),
        )
        for one in observer.fields
        if kinds.get(one.path) != one.kind
    ]
    conflicts = [
        SchemaChange(
            change="conflict",
            field=".".join(path),
            column=columns[path].name if path in columns else path[-1],
            type=columns[path].kind if path in columns else "json",
            values=count,
        )
        for path, count in sorted(observer.conflicts.items())
    ]
    return (*changes, *conflicts)


def until_steady(work: Callable[[], T]) -> T:
    """Repeat ``work`` until its rows show nothing new."""
    while True:
        try:
            return work()
        except ShapeGrew:
            continue


def _is_custom(path: Path) -> bool:
    return path[-1].startswith(CUSTOM)


def is_plain(raw: msgspec.Raw) -> bool:
    """Whether a value is a text, a number or a boolean, and not blank."""
    text = bytes(raw)
    return text[:1] not in (b"{", b"[") and text not in BLANKS


def _kind_of(raw: msgspec.Raw) -> ColumnKind:
    text = bytes(raw)
    if text in (b"true", b"false"):
        return "boolean"
    if not text.startswith(b'"'):
        return "decimal"
    if _DATE.fullmatch(text):
        return "date"
    return "time" if _TIME.fullmatch(text) else "text"


def _fold(kind: ColumnKind, values: Sequence[msgspec.Raw]) -> ColumnKind:
    """The kind of a column of ``kind`` after more ``values``."""
    return kind if kind == "text" or not coerce(kind, values).misfits else "text"
