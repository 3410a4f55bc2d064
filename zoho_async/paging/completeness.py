"""Whether a reading of a list is complete.

Model
-----
A *pass* is one reading of a list from its first page on. Between its pages others add, change and
delete records, and rows with equal sort values may change places. The reply that carries the
list's count ``total`` was made at one moment, t.

A record is *certain at t* if there is evidence that it was in the list at or before t, and at or
after t.

- Before: its ``created_time`` lies before t, or it was met before the pass began.
- After: it was met on a page that was asked for after the reply with the total had arrived, or
  Zoho answered it by its id then.
- The rows of the page that carries the total were there at t itself.

Rows without a time, on another page, and not met before, are evidence of nothing. Nor are rows
without an id, if the list's rows have ids: whether the list counts them is not known. A list that
lacks no more than such rows is ``uncheckable``.

Invariant
---------
A list is ``proven`` if exactly ``total`` records are certain for the t of some pass. If more are
certain for any pass, then counts of this list are wrong, and nothing is proven by them.

A list that gives no total is ``proven`` if its first page is shorter than a page can be and the
next one is empty, or by a pass from its last page to its first whose sort values differ at every
page border (`Borders`). A list that is not numbered by pages is one answer.

Why it holds
------------
Records that are certain at t were in the list at t. If there are as many of them as the list had
at t, they are all of it. No order is supposed, and no record counts twice, for records count by
their ids. Records that were deleted since count too, for the same t; so ids of several passes are
never just joined.

Moments are compared by Zoho's clock only: the ``Date`` of the reply that carries the total, less
the time that this call took, less a margin (``CLOCKS``) between the clocks that date replies and
rows. A reply without a date gives no such moment, and then no time is evidence.

In a list that is narrowed by a filter a record can come and go without being made or deleted. There
only a ``last_modified_time`` before t is evidence (since then nothing changed it), or that it was
met before with the same content.

Backwards: rows in the order of their creation move only towards the beginning, but for ties. A row
that was missed was on page p or before it when page p + 1 was read, and behind page p when page p
was read. If the last value of page p and the first value of page p + 1 differ, no block of equal
values crossed that border at both moments, and the number of rows at or before a value never
grows. So no row can have crossed it.

Unknown
-------
Whether a total is that of the list as it is shown (a total that is too small by as much as was
missed cannot be told from a right one), and whether a list shows every record from its creation to
its deletion. Whether a filter such as "overdue" lets records in without a change to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

Completeness: TypeAlias = Literal["proven", "uncheckable", "changed", "short"]

#: Seconds that the clock of a row's ``created_time`` may differ from the one that dates replies.
CLOCKS: Final = 10.0


class Pass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reading of a list, as far as it came; ``number`` counts passes upwards.

    ``total`` is the list's count (None: it gave none). A time before ``since`` is evidence that a
    record was there when the count was made (None: no time is). ``certain`` are the records that
    are certain for this pass; ``nameless`` are rows without an id on the page of the total.
    ``closed`` says that the pass is complete by its pages alone.
    ``met`` are the records that it met, ``again`` those of them that the pass before it met too,
    and ``begun`` is its begin by our own clock.
    """

    number: int = 1
    total: int | None = None
    since: float | None = None
    certain: int = 0
    nameless: int = 0
    closed: bool = False
    met: int = 0
    again: int = 0
    begun: float = 0.0


def is_certain(
    one: Pass, *, time: float | None = None, met_before: bool = False, on_its_page: bool = False
) -> bool:
    """Whether a record that was just met was in the list when ``one`` was counted.

    ``time`` is the moment since which it is known to have been there, ``met_before`` says that it
    was met before the pass began, ``on_its_page`` that its row came with the total.
    """
    if on_its_page or met_before:
        return True
    return time is not None and one.since is not None and time < one.since


def verdict(passes: Sequence[Pass], met: int) -> Completeness:
    """What ``passes`` over one list show, which met so many records in all."""
    counted = [(one, one.total) for one in passes if one.total is not None]
    if not counted:
        return "proven" if any(one.closed for one in passes) else "uncheckable"
    if any(one.certain > total for one, total in counted):
        return "changed"
    if any(one.certain == total for one, total in counted):
        return "proven"
    if any(total - one.certain <= one.nameless for one, total in counted):
        return "uncheckable"
    return "short" if missing(passes, met) else "changed"


def missing(passes: Sequence[Pass], met: int) -> int:
    """How many records the list counted last beyond those that were met in all."""
    totals = [one.total for one in passes if one.total is not None]
    return max(0, totals[-1] - met) if totals else 0


class Borders:
    """The sort values at the borders of pages that are read one after the other.

    ``differ`` says that all of them differed so far, and that rows were in ascending order. Values
    from ``since`` on are those of records so new that others may still get the same value.
    """

    def __init__(self, since: float | None = None, *, backwards: bool = False) -> None:
        self.since = since
        self.differ = True
        self._backwards: Final = backwards
        self._edge: float | None = None
        self._begun = False

    def page(self, values: Sequence[float | None]) -> None:
        """The next page that was read, by the values of its rows."""
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
