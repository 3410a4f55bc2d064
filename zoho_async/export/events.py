"""Events of a running export, and its summary.

Events arrive in the order in which things happened. Rows counted in an event are durable: they are
in their file or table, and in the checkpoint. Times are in seconds, sizes in bytes. ``file`` is the
path or the table that holds the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from zoho_async.errors import ZohoError
from zoho_async.export.columns.observed import SchemaChange
from zoho_async.export.feed import FeedStatus
from zoho_async.export.incremental import Mode
from zoho_async.export.outcomes import DONE, ListState
from zoho_async.paging.completeness import Completeness

DetailWork: TypeAlias = Literal["details", "children", "refresh", "files"]
Status: TypeAlias = Literal["done", "partial", "failed", "not allowed"]


class PlannedResource(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one resource.

    ``mode`` is how the list is read (`zoho_async.export.incremental`). ``rows`` is Zoho's count of
    the list, None if Zoho gives none. ``calls`` are still to be made, including the first page. The
    number is exact if ``rows`` is known; otherwise it is the certain minimum. ``detail_calls`` of
    them fetch single records: their details, children and documents. ``rows_before`` were written
    by an earlier, interrupted run. ``finished`` says that the earlier run wrote all rows.

    ``exact`` says that the number of calls is known; otherwise it is at least ``calls``. With
    ``estimated``, the rows were counted by an earlier run, and the calls may also be fewer.
    ``seconds`` and ``days`` are as in `Planned`, for this list alone. ``error`` is the reason why
    the list has no plan, None if it has one. ``reason`` says why it is read in this mode, "" if
    nothing chose it (`zoho_async.export.cost`).
    """

    resource: str
    file: str
    rows: int | None
    calls: int
    mode: Mode = "full"
    rows_before: int = 0
    finished: bool = False
    detail_calls: int = 0
    exact: bool = True
    estimated: bool = False
    seconds: float = 0.0
    days: int | None = None
    error: str | None = None
    reason: str = ""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The first page of every resource was read, so the size of the job is known.

    ``rows`` and ``calls`` are sums over the resources. ``exact`` says whether they are complete.
    ``seconds`` is how long the limits make the calls last. ``days`` is how many days of the
    organization's quota they take, None if that is not known. ``calls_made`` were made for the
    plan; a run makes them again only if another run made this plan (`Export.plan`). ``feed_calls``
    of ``calls`` are for change feeds; in a plan alone, as many as the last run made.
    """

    resources: tuple[PlannedResource, ...]
    rows: int
    calls: int
    seconds: float
    exact: bool
    days: int | None = None
    calls_made: int = 0
    feed_calls: int = 0


class ChangeFeedRead(msgspec.Struct, frozen=True, kw_only=True):
    """The change feed was read, or could not be: then the run does without it.

    ``feed`` is its name, ``entries`` were read with ``calls``. ``status`` and ``reason`` are as in
    `zoho_async.export.feed.ChangeFeed`.
    """

    feed: str
    status: FeedStatus
    entries: int = 0
    calls: int = 0
    reason: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One more page is durable. ``rows`` were written so far, ``total`` is the list's count."""

    resource: str
    page: int
    rows: int
    total: int | None
    bytes: int


class NextPass(msgspec.Struct, frozen=True, kw_only=True):
    """The list changed while it was read, so it is read again. ``pass_number`` counts from 1."""

    resource: str
    pass_number: int


class DetectingDeletions(msgspec.Struct, frozen=True, kw_only=True):
    """Records that the list no longer shows were checked. ``gone`` of ``asked`` were deleted."""

    resource: str
    asked: int
    gone: int


class RecordsLeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho applied a filter that was not sent, so the list may leave records out.

    ``applied_filter`` is the filter as Zoho names it, "" if it names none. ``left_out`` says which
    records, None if that is not known. The list cannot be proven complete.
    """

    resource: str
    applied_filter: str
    left_out: str | None


def left_out_text(applied_filter: str, left_out: str | None) -> str:
    """Say which filter hides which records."""
    return f"Zoho applied {applied_filter or 'a filter'}, so {left_out or 'records'} may be missing"


class FilterUnconfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho's reply does not confirm these ``filters``. It may have ignored them."""

    resource: str
    filters: tuple[str, ...]


class DetailsPlanned(msgspec.Struct, frozen=True, kw_only=True):
    """The list is read, and ``records`` are now asked for their details, children or files.

    This takes ``calls``; ``exact`` says that it takes no more. ``days`` is as in `Planned`.
    """

    resource: str
    work: DetailWork
    records: int
    calls: int
    exact: bool
    days: int | None = None


class DetailsProgress(msgspec.Struct, frozen=True, kw_only=True):
    """``asked`` of the ``of`` records are done and durable.

    ``rows`` and ``bytes`` of the resource were written so far.
    """

    resource: str
    work: DetailWork
    asked: int
    of: int
    rows: int
    bytes: int


class DocumentFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A document could not be downloaded. The next run tries again.

    ``record`` is the record's id. ``document`` is the document's id, or its kind (``pdf``,
    ``attachment``, ``receipt``, ``image``) if it has no id.
    """

    resource: str
    record: str
    document: str
    reason: str


class SchemaChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A list's columns changed in this run, or values did not fit them.

    Comes before the end of its list, or last: a single file (``invoices.csv``, ``books.xlsx``) is
    made after the ends of its lists.
    """

    resource: str
    changes: tuple[SchemaChange, ...]


class SinceMidnight(msgspec.Struct, frozen=True, kw_only=True):
    """The moment that a date in ``since`` means: midnight in ``time_zone``, the organization's.

    If that could not be read, ``time_zone=None``, and it is midnight in this computer's time zone.
    """

    organization: str
    since: datetime
    time_zone: str | None


class WaitingForReset(msgspec.Struct, frozen=True, kw_only=True):
    """The day's calls are used up. The job continues by itself after ``seconds``.

    If Zoho names no reset, ``seconds=None``, and the job tries again every hour.
    """

    organization: str
    seconds: float | None


class ResourceDone(msgspec.Struct, frozen=True, kw_only=True):
    """A resource is complete and in place.

    ``rows`` were written: ``new`` ones for unknown records and ``changed`` ones for known records.
    ``deleted`` records were found to be gone. ``total`` is Zoho's count from the first page, None
    if Zoho gave no count. ``completeness`` says whether a row can be missing
    (`zoho_async.paging.completeness`), ``missing`` how many more rows Zoho counts than were found.
    ``proven`` is ``completeness`` in short; None means uncheckable.
    """

    resource: str
    file: str
    rows: int
    total: int | None
    bytes: int
    mode: Mode = "full"
    new: int = 0
    changed: int = 0
    deleted: int = 0
    proven: bool | None = True
    completeness: Completeness | None = None
    missing: int = 0


class ResourceFailed(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho refused this list, or failed on it. The other lists continue.

    ``allowed`` is False if the token's scopes do not include the list and it was not named.
    ``state`` is ``refused``, ``refused_before`` (the same refusal as in the last run) or
    ``failed``.
    """

    resource: str
    error: ZohoError
    allowed: bool = True
    state: ListState = "refused"


ExportEvent: TypeAlias = (
    SinceMidnight
    | ChangeFeedRead
    | Planned
    | Progress
    | NextPass
    | RecordsLeftOut
    | FilterUnconfirmed
    | DetailsPlanned
    | DetailsProgress
    | DocumentFailed
    | SchemaChanged
    | WaitingForReset
    | DetectingDeletions
    | ResourceDone
    | ResourceFailed
)


class ResourceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one resource at the end of a run.

    ``rows`` were written for this part, also by an earlier, interrupted run: ``new`` ones for
    unknown records and ``changed`` ones for known records. ``rows_new`` are those that this run
    wrote. ``deleted`` records were found to be gone.

    ``calls`` were made by this run, ``pages`` of them for pages of the list. ``least_calls`` is the
    smallest number that could have brought these rows: full pages, and the calls for details,
    children and documents. ``records`` were asked for details or children, ``refreshed`` of them
    although they had not changed, and ``files`` were saved.
    ``passed_over`` counts records whose children Zoho refused,
    and documents that could not be saved (`DocumentFailed`).

    ``refusal`` is what Zoho said if it refused the list. ``completeness`` (None before the list was
    read), ``missing`` and ``proven`` are as in
    `ResourceDone`; ``state`` and ``exit_code`` as in `zoho_async.export.outcomes`. ``note`` says
    why a list was read in full again, which filter hides records, or which filter is not confirmed.
    ``applied_filter`` is the filter that hides records (`RecordsLeftOut`), None if none does.
    ``rounded`` counts numbers with more digits than their columns hold, by field. Their digits are
    in ``_exact``.
    ``schema`` has the columns that this run added or widened, and conflicts.

    ``planned_calls`` is the plan of this run for the list: that of its first page, with the calls
    for records once their number was known. None if the run ended before. It is the certain minimum
    unless ``plan_exact``.

    ``reason`` says why the list was read in this ``mode``, "" if nothing chose it. ``surplus`` is
    how many more records were exported than the list counts now: they were deleted, and the change
    feed did not name them; None without a count. ``unnamed`` counts changes that
    this run found and the change feed did not name. ``feed_delay`` is the largest delay of an entry
    that this run measured, in seconds; None if none was late.
    """

    resource: str
    file: str
    status: Status
    rows: int
    rows_new: int
    total: int | None
    bytes: int
    pages: int
    least_calls: int
    mode: Mode = "full"
    new: int = 0
    changed: int = 0
    deleted: int = 0
    calls: int = 0
    proven: bool | None = None
    records: int = 0
    files: int = 0
    refreshed: int = 0
    passed_over: int = 0
    error: str | None = None
    completeness: Completeness | None = None
    missing: int = 0
    state: ListState = "unfinished"
    exit_code: int = DONE
    note: str | None = None
    refusal: str | None = None
    applied_filter: str | None = None
    rounded: Mapping[str, int] = {}
    schema: tuple[SchemaChange, ...] = ()
    planned_calls: int | None = None
    plan_exact: bool = True
    reason: str = ""
    surplus: int | None = None
    unnamed: int = 0
    feed_delay: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run. ``done`` says that every allowed resource is complete.

    ``exit_code`` is the exit code of the command for this result (`zoho_async.export.outcomes`).
    ``records`` were asked for details or children, and ``files`` were saved. ``calls`` were made by
    this run. Zoho rejected ``refused`` calls of the organization meanwhile because of its limits.
    ``rounded`` numbers have more digits than their columns hold.
    ``planned_calls`` and ``plan_exact`` sum up those of the resources and the calls for ``feeds``.
    """

    organization: str
    directory: str
    resources: tuple[ResourceSummary, ...]
    done: bool
    rows: int
    rows_new: int
    calls: int
    least_calls: int
    refused: int
    seconds: float
    records: int = 0
    files: int = 0
    rounded: int = 0
    exit_code: int = DONE
    planned_calls: int = 0
    plan_exact: bool = True
    feeds: tuple[ChangeFeedRead, ...] = ()

    @property
    def incomplete(self) -> tuple[ResourceSummary, ...]:
        """The lists that make `exit_code` differ from 0."""
        if not self.exit_code:
            return ()
        blamed = tuple(one for one in self.resources if one.exit_code)
        return blamed or self.resources  # no list could be read
