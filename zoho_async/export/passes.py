"""Counting, page by page, what is certain of each pass over one list.

The rule is `zoho_async.paging.completeness`; here it is fed. What is needed of a record is its row
and what `zoho_async.export.checkpoint.records` holds of it, the number of the pass that met it
last:

- It was met before pass number n began if it is known, and its last pass has a smaller number.
  Records of earlier runs have smaller numbers than any of this run.
- It is counted for pass n when it is met for the first time in pass n or a later one: then its last
  pass had a smaller number than n. Every meeting after that has a number of n or above.

The counts are in the position (`zoho_async.export.checkpoint.store`), which moves in the
transactions that the rows and the records move in. So a pass that was interrupted goes on with what
it had counted.

A row without an id cannot be known again once it is edited, and is never certain. Where a filter
narrows the list, "met before" says nothing of the moment between, unless
the content is the same.

A list that is read from its newest row on is not read whole. Such a read is complete if its first
page reached rows older than the watermark; or if the first page, read once more at the end, brings
nothing new, the count is the same, and the sort values at all page borders differed: then nothing
was added, changed or deleted meanwhile, and no row can have changed its place unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from zoho_async.export.checkpoint.records import IndexedRecord
from zoho_async.export.checkpoint.store import ResourceState
from zoho_async.paging.completeness import Completeness, Pass, is_certain, missing, verdict
from zoho_async.paging.times import RowTimes


class Counting:
    """Counts one page of the pass under way; ``first`` says that it is the one with the total."""

    def __init__(self, position: ResourceState, *, narrowed: bool, first: bool) -> None:
        self._position: Final = position
        self._narrowed: Final = narrowed
        self._first: Final = first
        self._certain: Final = [0] * len(position.passes)
        self._met = 0
        self._met_in_pass = 0
        self._again = 0
        self._nameless = 0

    def row(self, key: str, before: IndexedRecord | None, content: int, times: RowTimes) -> None:
        """A row that this pass has not met yet; ``before`` is what was known of it."""
        position = self._position
        last = before.pass_number if before is not None else 0
        met_in_part = before is not None and last >= position.first_pass
        self._met += not met_in_part
        self._nameless += key.startswith("#") and self._first
        self._met_in_pass += 1
        self._again += before is not None and last == position.pass_number - 1
        nameless = key.startswith("#")
        time = None if nameless else times.there_since(narrowed=self._narrowed)
        for place, one in enumerate(position.passes):
            if before is not None and last >= one.number:
                continue
            known = before is not None and not nameless
            if self._narrowed:
                known = known and met_in_part and before is not None and before.digest == content
            on_its_page = self._first and one.number == position.pass_number and not nameless
            self._certain[place] += is_certain(
                one, time=time, met_before=known, on_its_page=on_its_page
            )

    def plain(self, rows: int) -> None:
        """So many rows of a list whose rows have no ids."""
        self._met += rows
        self._met_in_pass += rows
        if self._first and self._certain:
            self._certain[-1] += rows

    def after(self) -> ResourceState:
        """The position with this page counted."""
        passes = [
            msgspec.structs.replace(one, certain=one.certain + certain)
            for one, certain in zip(self._position.passes, self._certain, strict=True)
        ]
        if passes:
            passes[-1] = msgspec.structs.replace(
                passes[-1],
                met=passes[-1].met + self._met_in_pass,
                again=passes[-1].again + self._again,
                nameless=passes[-1].nameless + self._nameless,
            )
        return msgspec.structs.replace(
            self._position,
            passes=tuple(passes),
            records_seen=self._position.records_seen + self._met,
        )


def completeness_of(position: ResourceState) -> Completeness:
    """What the passes of a part show."""
    found = verdict(position.passes, position.records_seen)
    if position.mode != "newest" or found in ("proven", "uncheckable"):
        return found
    return "proven" if any(one.closed for one in position.passes) else "changed"


def missing_of(position: ResourceState) -> int:
    """How many records the list counts beyond those that were found."""
    short = completeness_of(position) == "short"
    return missing(position.passes, position.records_seen) if short else 0


def with_answers(passes: Sequence[Pass], asked_in: int, alive: int) -> tuple[Pass, ...]:
    """The passes after so many records, met before pass ``asked_in`` alone, were answered by id."""
    return tuple(
        msgspec.structs.replace(one, certain=one.certain + alive) if one.number == asked_in else one
        for one in passes
    )


def are_steady(position: ResourceState, apart: float) -> bool:
    """Whether the last pass brought the same records as the one before, ``apart`` seconds later."""
    if len(position.passes) < 2:
        return False
    before, last = position.passes[-2:]
    if last.number != before.number + 1 or not last.met:
        return False
    return last.met == before.met == last.again and last.begun - before.begun >= apart
