"""Decide how a list is read, and from which moment on. Values in, values out.

Model. After a full read, a list has a *watermark*: a moment by Zoho's clock. Every record whose
last modification lies before it is proven to be written in that version. The next run needs only
what was modified since. How it can get that depends on the list:

- ``changed``: a filter (`OperationFacts.changes`) selects what was modified since a moment.
- ``newest``: the list can be sorted by ``last_modified_time``. It is read from its newest row until
  the rows are older than the watermark.
- ``compared``: neither works. The whole list is read, and each row is compared with what was
  written before.
- ``feed``: neither works, but the change feed names the records that changed. Only their pages are
  read (`zoho_async.export.feed_pass`). Such a read proves nothing, and leaves the watermark alone.
- ``full``: the first read, or a requested one. Nothing is compared, and everything is written.

Invariant. The watermark never passes the start of the run that sets it, it never passes the largest
``last_modified_time`` that the run saw, and it never goes back.

Why it holds. A record that is modified during a read may have been read before that, and must be
read again. The start of a run is taken from two clocks, ours and the ``Date`` of Zoho's first
reply. The earlier one counts, less `Margin.start`. The bound by ``last_modified_time`` covers a
clock of ours that runs ahead.

Unknown. How long Zoho takes to show a change in a list: `Margin.start` allows for it. Whether the
filter includes its bound: Zoho's times have whole seconds, so the filter starts one second before
the watermark. Rows that come again are recognized by id and content
(`zoho_async.export.checkpoint.records`) and not written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.description import OperationFacts
from zoho_async.paging.completeness import CLOCKS
from zoho_async.wire.page import MODIFIED

Mode: TypeAlias = Literal["full", "changed", "newest", "compared", "feed"]
#: What a test of a value showed; "lost" is one that held before and is refused now.
ValueState: TypeAlias = Literal["holds", "refused", "lost"]

#: The field of rows that has the moment of their creation.
CREATED: Final = "created_time"
#: Zoho's moments have whole seconds, and a bound may leave out the second that it names.
BOUND: Final = 1.0


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds allowed for what is unknown about clocks.

    ``start``: how late a list may show a change, or how far our clock may be ahead of Zoho's.
    ``row``: how far a row's ``created_time`` may differ from the clock that dates Zoho's replies.
    """

    start: float = 300.0
    row: float = CLOCKS


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Which filters of a list work on this organization. None means not known.

    ``changes``: the filter by last modification works. ``newest``: sorting by last modification
    works. ``totals``: the list counts its rows, even if its description names no
    ``response_option``. ``values`` are the values of ``filter_by`` that show what the list leaves
    out (`zoho_async.export.views`). ``combined``: they hold together with the filter by last
    modification.
    """

    changes: bool | None = None
    newest: bool | None = None
    totals: bool | None = None
    values: dict[str, ValueState] = {}
    combined: bool | None = None


def choose(
    facts: OperationFacts,
    *,
    known: bool,
    watermark: float | None,
    capabilities: Capabilities,
    full: bool = False,
    detect_deletions: bool = False,
) -> Mode:
    """Choose how to read the list. ``known`` says that an earlier run wrote its rows."""
    if full or not known or not facts.row_id:
        return "full"
    if detect_deletions or watermark is None:
        return "compared"
    if asks_changes(facts) and capabilities.changes is not False:
        return "changed"
    if sorts_by_change(facts) and capabilities.newest is not False:
        return "newest"
    return "compared"


def asks_changes(facts: OperationFacts) -> bool:
    """Whether the description lists a filter by last modification."""
    return bool(facts.changes) and not {"*", facts.changes} & set(facts.ignored)


def sorts_by_change(facts: OperationFacts) -> bool:
    """Whether the description lists sorting by last modification."""
    return sorts_by(facts, MODIFIED)


def sorts_by(facts: OperationFacts, column: str) -> bool:
    """Whether the description lists sorting by ``column``."""
    sort = next((field for field in facts.query if field.name == "sort_column"), None)
    return sort is not None and column in sort.allowed


def query_of(
    facts: OperationFacts, mode: Mode, filters: Mapping[str, str], since: float | None
) -> dict[str, object]:
    """Return the list's parameters for ``mode``, from the moment ``since`` on."""
    query: dict[str, object] = dict(filters)
    if mode == "feed":
        query |= {"sort_column": CREATED, "sort_order": "D"}
    elif mode == "newest":
        query |= {"sort_column": MODIFIED, "sort_order": "D"}
    elif since is not None and facts.changes:
        query[facts.changes] = zoho_time(since - BOUND)
    return query


def watermark_after(
    before: float | None, *, begun: float, newest: float | None, margin: Margin
) -> float:
    """Return the watermark after a proven read that began at ``begun``.

    ``begun`` is the earlier of both clocks. ``newest`` is the largest last modification seen, None
    if rows have none.
    """
    reached = begun - margin.start
    if newest is not None:
        reached = min(reached, newest)
    return reached if before is None else max(before, reached)


# -- moments --------------------------------------------------------------------------------------


def zoho_time(seconds: float) -> str:
    """Format a moment for a parameter: whole seconds, an offset without a colon."""
    return datetime.fromtimestamp(int(seconds // 1), UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def stamp(seconds: float) -> str:
    """Format a moment for the name of a part: ``20261123T020000Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
