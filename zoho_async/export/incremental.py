"""How a list is read this time, and from which moment on: decisions over values, nothing else.

The model. A resource that was read once in full has a *watermark*: a moment by Zoho's clock of
which it is proven that every record whose last modification lies before it has been written as it
was then. The next run needs only what was modified since, and which way that can be had is the
list's capability:

- ``changed``: a filter (`OperationFacts.changes`) asks for what was modified since a moment;
- ``newest``: the list can be sorted by ``last_modified_time``, and is read from its newest row
  until the rows are older than the watermark;
- ``compared``: nothing of that works; the whole list is read and each row's content compared with
  what was written before.

``full`` is the first read, or one that was asked for; nothing is compared, everything is written.

The watermark never passes the start of the run that sets it: a record that is modified while its
list is being read may have been read before that, and must come again. The start is a moment by
two clocks, ours and that of Zoho's first reply (its ``Date`` header); the earlier counts, less a
`Margin.start` for what neither shows (how long Zoho takes until a list shows a change is not
known). Nor does it pass the largest ``last_modified_time`` that was seen, so that a clock of ours
that runs ahead costs nothing. It never goes back.

Zoho's moments have whole seconds, and whether the filter's bound is a closed one is not written
anywhere. So it is asked from one second before the watermark. Rows that come again are known by
their id and content and not written again (`zoho_async.export.checkpoint.records`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.paging.completeness import CLOCKS
from zoho_async.paging.times import MODIFIED

Mode: TypeAlias = Literal["full", "changed", "newest", "compared"]

#: Zoho's moments have whole seconds, and a bound may leave out the second that it names.
BOUND: Final = 1.0


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that are allowed for what is not known of clocks.

    ``start``: how far before the start of a run a change may be shown late by a list, or our clock
    may run ahead of Zoho's. ``row``: how far the ``created_time`` of a row may lie from the clock
    that dates Zoho's replies.
    """

    start: float = 300.0
    row: float = CLOCKS


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt of a list's capabilities on the organization itself; None: not known.

    ``totals``: a list whose description names no ``response_option`` counts its rows all the same.
    """

    changes: bool | None = None
    newest: bool | None = None
    totals: bool | None = None


def choose(
    facts: OperationFacts,
    *,
    known: bool,
    watermark: float | None,
    filtering: Capabilities,
    full: bool = False,
    detect_deletions: bool = False,
) -> Mode:
    """How to read the list. ``known`` says that its rows were written by an earlier run."""
    if full or not known or not facts.row_id:
        return "full"
    if detect_deletions or watermark is None:
        return "compared"
    if asks_changes(facts) and filtering.changes is not False:
        return "changed"
    if sorts_by_change(facts) and filtering.newest is not False:
        return "newest"
    return "compared"


def asks_changes(facts: OperationFacts) -> bool:
    """Whether the list is described to filter by what changed since a moment."""
    return bool(facts.changes) and not {"*", facts.changes} & set(facts.ignored)


def sorts_by_change(facts: OperationFacts) -> bool:
    """Whether the list is described to sort by its rows' last modification."""
    sort = next((field for field in facts.query if field.name == "sort_column"), None)
    return sort is not None and MODIFIED in sort.allowed


def query_of(
    facts: OperationFacts, mode: Mode, filters: Mapping[str, str], low: float | None
) -> dict[str, object]:
    """The parameters of the list for ``mode``; ``low`` is the moment to read from."""
    query: dict[str, object] = dict(filters)
    if mode == "newest":
        query |= {"sort_column": MODIFIED, "sort_order": "D"}
    elif low is not None and facts.changes:
        query[facts.changes] = written(low - BOUND)
    return query


def watermark_after(
    before: float | None, *, begun: float, newest: float | None, margin: Margin
) -> float:
    """The watermark after a proven read that began at ``begun`` and saw ``newest``.

    ``begun`` is the earlier of both clocks, ``newest`` the largest last modification seen, None
    where rows tell none.
    """
    reached = begun - margin.start
    if newest is not None:
        reached = min(reached, newest)
    return reached if before is None else max(before, reached)


# -- moments --------------------------------------------------------------------------------------


def written(seconds: float) -> str:
    """A moment as Zoho takes it in parameters: whole seconds, an offset without a colon."""
    return datetime.fromtimestamp(int(seconds // 1), UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def stamp(seconds: float) -> str:
    """A moment as the name of a part: ``20261123T020000Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
