"""What is tried when a list was read and is not proven to be complete.

The tries decide nothing: whatever they bring is judged by the rule in
`zoho_async.paging.completeness`. Each is worth its calls in some case, and they come in this order:

1. ``backwards``: a list in the order of creation, from its last page to its first. Deletions hide
   nothing from such a reader. Where sort values repeat at a page border, rows may change places
   there, and it is not tried.
2. ``sorted``: a pass in the order of a column whose values were all different, so that no row can
   change places with another.
3. ``sliced``: the list in spans of dates, each so short that it fits on one page. (A filter by
   status is not used: it may show records that the list itself hides, and these would be counted.)
4. ``asked``: the few records that were met before and not in the last pass are asked for by id.
5. ``again``: another pass from the beginning, two at most.

All of them together take at most a tenth of the day's calls. A list that gives no total gains by
the first alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async._msgspec import decoder_of
from zoho_async.description import Field, OperationFacts
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.paging.completeness import Borders
from zoho_async.paging.times import CREATED, MODIFIED, times_of

Try: TypeAlias = Literal["backwards", "sorted", "sliced", "asked", "again"]

#: Further passes from the beginning at most.
PASSES: Final = 2
#: The share of the day's calls that the tries of a list may take.
SHARE: Final = 0.1
#: Records that are asked for by id at most.
FEW: Final = 20
#: The field of a row that tells its date, and begins the names of the filters by it.
DATE: Final = "date"

_ROW: Final = decoder_of(dict[str, msgspec.Raw])


def next_try(
    facts: OperationFacts,
    position: ResourceState,
    evidence: OrderEvidence,
    *,
    narrowed: bool,
    pages: int,
) -> Try | None:
    """The next thing to try with a list of so many ``pages`` that is not proven; None: give up."""
    tried = position.tried
    counted = any(one.total is not None for one in position.passes)
    whole = position.mode in ("full", "compared") and not narrowed and position.since is None
    in_order = whole and facts.order == CREATED and pages > 1
    if in_order and evidence.borders.differ and "backwards" not in tried:
        return "backwards"
    if not counted:
        return None
    if whole and pages > 1 and evidence.distinct and "sorted" not in tried:
        return "sorted"
    if whole and pages > 1 and evidence.slices(facts.max_per_page) and "sliced" not in tried:
        return "sliced"
    if whole and "asked" not in tried:
        return "asked"
    return "again" if tried.count("again") < PASSES else None


class OrderEvidence:
    """What the first pass showed of a list's order; lost when a run is interrupted.

    ``borders`` are those of its pages, in the order of creation. ``distinct`` are the columns by
    which it can be sorted and whose values were all different.
    """

    #: More records are not looked at, for memory's sake.
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

    def page(self, ids: Sequence[str], rows: Sequence[bytes]) -> None:
        """The next page of the first pass."""
        self.borders.page([times_of(row).created for row in rows])
        if not self._columns and self._dates is None:
            return
        for identity, row in zip(ids, rows, strict=True):
            if identity in self._ids or len(self._ids) >= self.MOST:
                continue
            self._ids.add(identity)
            try:
                fields = _ROW.decode(row)
            except msgspec.DecodeError:
                self._columns.clear()
                self._dates = None
                return
            self._count(fields)

    def _count(self, fields: dict[str, msgspec.Raw]) -> None:
        for name in list(self._columns):
            value, values = bytes(fields.get(name, b"")), self._columns[name]
            if value in (b"", b'""', b"null") or value in values:
                del self._columns[name]
            else:
                values.add(value)
        if self._dates is not None:
            self._dates[bytes(fields.get(DATE, b"")).decode(errors="replace").strip('"')] += 1

    def slices(self, per_page: int) -> list[dict[str, str]]:
        """Filters that part the list by date, each for clearly less than a page; () if unable."""
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


def _has_dates(facts: OperationFacts) -> bool:
    """Whether rows tell their date, and the list can be narrowed by it from both sides."""
    taken = {name for field in facts.query for name in (field.name, *field.variants)}
    ignored = {"*", DATE, f"{DATE}_start", f"{DATE}_end"} & set(facts.ignored)
    dated = any(field.name == DATE for field in facts.reply)
    return dated and not ignored and {f"{DATE}_start", f"{DATE}_end"} <= taken


def _sortable(sort: Field, facts: OperationFacts) -> list[str]:
    """Columns of ``sort`` that the rows have and edits seldom change; numbers before names."""
    replied = {field.name for field in facts.reply}
    usable = [
        name
        for name in sort.allowed
        if name in replied and name not in (CREATED, MODIFIED, "total", "balance")
    ]
    return sorted(usable, key=lambda name: not name.endswith(("_number", "_code")))
