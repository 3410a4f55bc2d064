"""Decide whether a list was read completely.

Model
-----
A *pass* reads a list from its first page on. Between two pages other clients add, change and delete
records, and rows with equal sort values may change places. The reply that carries the list's count,
``total``, was made at one moment, t.

A record is *certain at t* if there is evidence that it was in the list at or before t, and also at
or after t.

- Before t: its ``created_time`` is before t, or it was seen before the pass began.
- After t: it was on a page that was requested after the reply with the total arrived, or Zoho
  returned it by its id then.
- At t: the rows of the page that carries the total.

A row without a time proves nothing, unless it is on that page or was seen before. A row without an
id proves nothing if the list's rows have ids, because the list may or may not count it. A list that
lacks only such rows is ``uncheckable``.

Invariant
---------
A list is ``proven`` if exactly ``total`` records are certain for the t of some pass. If more are
certain for any pass, the counts of this list are wrong and prove nothing.

A list without a total is ``proven`` in two cases: its first page is shorter than ``per_page`` and
the next page is empty, or a pass from the last page to the first has different sort values at every
page border (`Borders`). A list without numbered pages is complete in one reply.

Why it holds
------------
Records that are certain at t were in the list at t. If their number equals the number of records in
the list at t, they are all of them. No order is assumed. No record counts twice, because records
are counted by id. Records that were deleted later count for the same t, so ids of several passes
are never simply joined.

Times are compared by Zoho's clock only: the ``Date`` of the reply with the total, minus the
duration of the call, minus a margin (``CLOCKS``) between the clocks that date replies and rows.
Without a ``Date``, no time is evidence.

In a filtered list a record can appear and disappear without being created or deleted. There the
only evidence is a ``last_modified_time`` before t, because the record has not changed since, or
that the record was seen before with the same content.

Backwards: rows in order of creation move only towards the beginning, except for ties. A missed row
was on page p or before it when page p + 1 was read, and after page p when page p was read. If the
last value of page p differs from the first value of page p + 1, no block of equal values crossed
that border at both moments, and the number of rows at or before a value never grows. So no row
crossed it.

Unknown
-------
- Whether a total counts exactly the rows that the list shows. A total that is too small by the
  number of missed rows looks correct.
- Whether a list shows every record from its creation to its deletion.
- Whether a filter such as "overdue" adds records without a change to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

Completeness: TypeAlias = Literal["proven", "uncheckable", "changed", "short"]

#: Seconds that the clock of a row's ``created_time`` may differ from the one that dates replies.
CLOCKS: Final = 10.0


class Pass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One pass over a list, as far as it was read. ``number`` counts passes from 1.

    ``total`` is the list's count, None if the list gave none. A record's time before ``since`` is
    evidence that it existed when the count was made; None means that no time is evidence.
    ``certain`` is the number of records certain for this pass, ``without_id`` the number of rows
    without an id on the page of the total. ``closed`` is true if the pages alone prove the pass
    complete. ``records`` is the number of records read, ``repeated`` the number of those that the
    previous pass read too. ``started`` is the start by the local clock. ``order`` is a digest of
    the ids in their order, None if the pages do not join without gaps and repeats. ``page_rows`` is
    the number of rows on the first page.
    """

    number: int = 1
    total: int | None = None
    since: float | None = None
    certain: int = 0
    without_id: int = 0
    closed: bool = False
    records: int = 0
    repeated: int = 0
    started: float = 0.0
    order: int | None = 0
    page_rows: int = 0


def is_certain(
    one: Pass, *, time: float | None = None, seen_before: bool = False, on_its_page: bool = False
) -> bool:
    """Whether a record that was just read was in the list when pass ``one`` was counted.

    ``time`` is when the record is first known to exist. ``seen_before`` means that it was seen
    before the pass began, ``on_its_page`` that its row came with the total.
    """
    if on_its_page or seen_before:
        return True
    return time is not None and one.since is not None and time < one.since


def verdict(passes: Sequence[Pass], records: int) -> Completeness:
    """Judge the ``passes`` over one list, which read ``records`` different records in all."""
    counted = [(one, one.total) for one in passes if one.total is not None]
    if not counted:
        return "proven" if any(one.closed for one in passes) else "uncheckable"
    if any(one.certain > total for one, total in counted):
        return "changed"
    if any(one.certain == total for one, total in counted):
        return "proven"
    if any(total - one.certain <= one.without_id for one, total in counted):
        return "uncheckable"
    return "short" if missing(passes, records) else "changed"


def missing(passes: Sequence[Pass], records: int) -> int:
    """The list's last total minus the number of records read, at least 0."""
    totals = [one.total for one in passes if one.total is not None]
    return max(0, totals[-1] - records) if totals else 0


class Borders:
    """The sort values at the borders of consecutive pages.

    ``differ`` is true while all borders differ and all rows are in ascending order. Values from
    ``since`` on are too new: other records may still get the same value.
    """

    def __init__(self, since: float | None = None, *, backwards: bool = False) -> None:
        self.since = since
        self.differ = True
        self._backwards: Final = backwards
        self._edge: float | None = None
        self._begun = False

    def page(self, values: Sequence[float | None]) -> None:
        """Add the sort values of the next page."""
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values) or known != sorted(known):
            self.differ = False
            return
        near, far = (known[-1], known[0]) if self._backwards else (known[0], known[-1])
        if self._begun and (self._edge == near or self._is_new(self._edge) or self._is_new(near)):
            self.differ = False
        self._edge, self._begun = far, True

    def _is_new(self, value: float | None) -> bool:
        return value is None or (self.since is not None and value >= self.since)
