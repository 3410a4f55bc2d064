"""Whether a read missed a row while others edited, and what a second look is.

The model. A list is read page by page, each page at a moment of its own; between them rows are
added, modified and deleted, and so move to other pages. A row that moves from a page that is still
to be read to one that was read already is missed.

A read is *proven* if every record that was in the list when its first page was read, and that
nobody touched since, has been met. There are three proofs, the first two of which cost nothing:

1. *One page.* A list whose first page says that it is all (``alone``) was read at one moment.
2. *Everyone counted was met.* With its first page Zoho counts the rows: ``total``. Let ``certain``
   be how many different rows the look met that certainly were in the list then: whose
   ``created_time`` lies before that moment (``last_modified_time`` in a read of what was modified
   since some moment: it says whether the row was among them). If ``certain`` is no less than
   ``total``, all of them were met. No order of the list is supposed. Rows that tell no time are
   taken to have been there.
3. *Backwards.* Rows of a list in the order of creation move only towards its beginning (by
   deletions; what is new comes at the end). So whoever reads such a list from its last page to its
   first, one page after the other, meets every row: one that was not met yet stands on the page
   that is due or before it, and moves no other way.

What is not proven is looked at again: a list in steady order backwards, once, which proves it; any
other from the beginning, `LOOKS` times in all at most, until a look proves itself. A look backwards
costs as many calls as the list has pages; so does each look again.

A list from its newest row on (`newest`) is proven by its own first page: if that still brings
nothing new, and as many rows are counted, nobody added, modified or deleted anything since the look
before began. That is one call, where the read took more than one page.

What stays unproven moves no watermark: the next run reads and compares. A list that counts nothing
cannot be proven; the next run's overlap and a full read now and then are all there is. What is not
known: whether ``total`` counts what a filter hides; if it does, a filtered read of several pages
costs `LOOKS` looks and its watermark stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zoho_async.description import OperationFacts
from zoho_async.export.modes import CREATED, Mode, RowTimes
from zoho_async.export.state import Position

#: How often a list is read in one run at most, the first time included.
LOOKS: Final = 3


def is_steady(facts: OperationFacts, filters: Mapping[str, str], position: Position) -> bool:
    """Whether the rows of this read move only towards its beginning."""
    whole = position.mode in ("full", "compared") and not filters and position.low is None
    return whole and facts.order == CREATED


def was_there(times: RowTimes, mode: Mode, since: float | None) -> bool:
    """Whether a row was in the list at ``since`` (None: not known when), for certain."""
    if mode in ("full", "compared"):
        time = times.modified if times.created is None else times.created
    else:
        time = times.modified
    return time is None or (since is not None and time < since)


def verdict(position: Position) -> bool | None:
    """Whether the look that ended is proven by itself; None where that cannot be known."""
    if position.alone:
        return True
    if position.total is None:
        return None
    if position.mode == "newest":
        return False
    return position.certain >= position.total
