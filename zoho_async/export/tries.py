"""Choose what to try next if a list was read and is not proven complete.

A try decides nothing; `zoho_async.paging.completeness` judges its result. Each try helps in some
case. They are made in this order:

1. ``backwards``: read a list in order of creation from its last page to its first. Deletions hide
   nothing from such a reader. It is not tried if sort values repeat at a page border, because rows
   may change places there.
2. ``sort``: a pass in the order of a column whose values all differ, so that no row can change
   places with another.
3. ``slices``: the list in spans of dates, each short enough for one page. (A filter by status is
   not used: it may show records that the list itself hides.)
4. ``lookup``: fetch by id the few records that an earlier pass saw and the last one did not.
5. ``repeat``: another pass from the beginning, at most two.

All tries together take at most a tenth of the day's calls. A list without a total is read backwards
or once more, as `zoho_async.export.prover` says.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import astuple

from zoho_async._msgspec import decoder_of
from zoho_async.description import Field, OperationFacts
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.export.row_times import PageTimes, ends
from zoho_async.paging.completeness import Borders
from zoho_async.wire import Page
from zoho_async.wire.page import CREATED, MODIFIED

Try: TypeAlias = Literal["backwards", "sort", "slices", "lookup", "repeat"]

#: The largest number of extra passes from the beginning.
PASSES: Final = 2
#: The share of the day's calls that the tries of a list may take.
SHARE: Final = 0.1
#: The largest number of records that are fetched by id.
FEW: Final = 20
#: The field of a row with its date; the names of the date filters begin with it.
DATE: Final = "date"

_BLANKS: Final = frozenset({b"", b'""', b"null"})


def next_try(
    facts: OperationFacts,
    state: ResourceState,
    evidence: OrderEvidence,
    *,
    narrowed: bool,
    pages: int,
) -> Try | None:
    """Return the next try for an unproven list of ``pages`` pages; None to give up."""
    part, tries = state.part, state.passes.tries
    counted = any(one.total is not None for one in state.passes.counts)
    whole = part.mode in ("full", "compared") and not narrowed and part.since is None
    in_order = whole and facts.order == CREATED and pages > 1
    if in_order and evidence.borders.differ and "backwards" not in tries:
        return "backwards"
    if not counted:
        return None
    if whole and pages > 1 and evidence.distinct and "sort" not in tries:
        return "sort"
    if whole and pages > 1 and evidence.slices(facts.max_per_page) and "slices" not in tries:
        return "slices"
    if whole and "lookup" not in tries:
        return "lookup"
    return "repeat" if tries.count("repeat") < PASSES else None


class OrderEvidence:
    """What the first pass showed about a list's order. Lost when a run is interrupted.

    ``borders`` are the page borders in order of creation. ``distinct`` are the sortable columns
    whose values all differed.
    """

    #: The largest number of records that are compared, to limit memory.
    MOST: Final = 100_000

    def __init__(self, facts: OperationFacts) -> None:
        sort = next((field for field in facts.query if field.name == "sort_column"), None)
        self.borders: Final = Borders()
        self._dates: Counter[str] | None = Counter() if _has_dates(facts) else None
        self._columns: dict[str, set[bytes]] = {}
        self._ids: set[str] = set()
        if sort is not None and not {"sort_column", "*"} & set(facts.ignored):
            self._columns = {name: set() for name in _sortable(sort, facts)}

    @property
    def distinct(self) -> tuple[str, ...]:
        return tuple(name for name, values in self._columns.items() if values)

    def page(self, page: Page[bytes]) -> None:
        """Add the next page of the first pass."""
        if self.borders.differ:
            self.borders.page(ends(PageTimes(page.rows).created))
        if not self._columns and self._dates is None:
            return
        rows: dict[str, bytes] = {}
        for identity, row in zip(page.ids, page.rows, strict=True):
            if identity not in self._ids:
                rows.setdefault(identity, row)
        new = dict(islice(rows.items(), self.MOST - len(self._ids)))
        self._ids.update(new)
        names = list(self._columns)
        if self._dates is not None and DATE not in names:
            names.append(DATE)
        try:
            fields = _decoder(tuple(names)).decode_lines(b"\n".join(new.values()))
        except msgspec.DecodeError:
            fields = []
        if len(fields) == len(new):
            self._count(dict(zip(names, zip(*map(astuple, fields), strict=True), strict=False)))
        else:
            self._columns.clear()
            self._dates = None

    def _count(self, fields: Mapping[str, Sequence[msgspec.Raw]]) -> None:
        """Count the values of new records, by field."""
        for name in list(self._columns):
            values, before = {*map(bytes, fields.get(name, ()))}, self._columns[name]
            if len(values) < len(fields.get(name, ())) or values & _BLANKS or values & before:
                del self._columns[name]
            else:
                before |= values
        if self._dates is not None:
            dates = [bytes(raw).decode(errors="replace") for raw in fields.get(DATE, ())]
            self._dates.update([one.strip('"') for one in dates])

    def slices(self, per_page: int) -> list[dict[str, str]]:
        """Return date filters that split the list into parts of less than a page, if possible."""
        if self._dates is None or not all(map(_is_date, self._dates)):
            return []
        most = per_page * 3 // 4
        ends: list[str] = []
        rows = 0
        for day in sorted(self._dates):
            if ends and rows + self._dates[day] <= most:
                ends[-1], rows = day, rows + self._dates[day]
            else:
                ends, rows = [*ends, day], self._dates[day]
        starts = [date.fromisoformat(end) + timedelta(days=1) for end in ends[:-1]]
        spans = zip([None, *starts], [*ends[:-1], None], strict=True) if ends else ()
        return [
            ({} if start is None else {f"{DATE}_start": start.isoformat()})
            | ({} if end is None else {f"{DATE}_end": end})
            for start, end in spans
        ]


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@functools.cache
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """A decoder of these fields of a row alone, as raw values: b"" if a field is missing."""
    fields: list[tuple[str, Any, Any]] = [
        (f"f{number}", msgspec.Raw, msgspec.field(name=name, default=msgspec.Raw()))
        for number, name in enumerate(names)
    ]
    return decoder_of(msgspec.defstruct("Fields", fields, gc=False))


def _has_dates(facts: OperationFacts) -> bool:
    """Whether rows have a date, and the list can be filtered by it from both sides."""
    taken = {name for field in facts.query for name in (field.name, *field.variants)}
    ignored = {"*", DATE, f"{DATE}_start", f"{DATE}_end"} & set(facts.ignored)
    dated = any(field.name == DATE for field in facts.reply)
    return dated and not ignored and {f"{DATE}_start", f"{DATE}_end"} <= taken


def _sortable(sort: Field, facts: OperationFacts) -> list[str]:
    """Return sortable columns that rows have and edits rarely change; numbers before names."""
    replied = {field.name for field in facts.reply}
    usable = [
        name
        for name in sort.allowed
        if name in replied and name not in (CREATED, MODIFIED, "total", "balance")
    ]
    return sorted(usable, key=lambda name: not name.endswith(("_number", "_code")))
