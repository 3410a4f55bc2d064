"""What an export tells while it runs, and its summary at the end.

Events come in the order in which things happened. A row counted in an event is durable: it is in
its file or table and the state knows it. Times are seconds; sizes are bytes. ``file`` says where
the rows are: a path, or the name of a table.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from zoho_async.errors import ZohoError
from zoho_async.export.incremental import Mode
from zoho_async.export.outcomes import DONE, ListState
from zoho_async.paging.completeness import Completeness

DetailWork: TypeAlias = Literal["details", "children", "files"]
Status: TypeAlias = Literal["done", "partial", "failed", "not allowed"]


class PlannedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What lies ahead for one resource.

    ``mode`` says how it is read (see `zoho_async.export.incremental`). ``rows`` are those of the
    list as Zoho counted them, None where Zoho does not say. ``calls`` are those still to make, the
    first page included: exact where ``rows`` is known, otherwise the least that is certain.
    ``rows_before`` were written by an earlier, interrupted run; ``finished`` says that the earlier
    run wrote all of them. ``detail_calls`` of the calls are for single records: their details, children
    and documents.
    """

    resource: str
    file: str
    rows: int | None
    calls: int
    mode: Mode = "full"
    rows_before: int = 0
    finished: bool = False
    detail_calls: int = 0


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The first page of every resource has come, so the size of the job is known.

    ``rows`` and ``calls`` are sums over the resources (of what is known: ``exact`` says whether
    that is all of it), ``seconds`` is the time that the limits take for those calls, and ``days``
    how many of the organization's days they take of its quota, None where that is not known.
    """

    resources: tuple[PlannedResource, ...]
    rows: int
    calls: int
    seconds: float
    exact: bool
    days: int | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One more page is durable: ``rows`` were written so far; the list has ``total``."""

    resource: str
    page: int
    rows: int
    total: int | None
    bytes: int


class NextPass(msgspec.Struct, frozen=True, kw_only=True):
    """The list was edited while it was read, and a row may have been missed: it is read again."""

    resource: str
    pass_number: int


class DetectingDeletions(msgspec.Struct, frozen=True, kw_only=True):
    """Records that the list no longer has were asked about: ``asked`` so far, ``gone`` of them."""

    resource: str
    asked: int
    gone: int


class DetailsPlanned(msgspec.Struct, frozen=True, kw_only=True):
    """A list is at its end: so many ``records`` are asked for their details, children or files.

    They take so many ``calls``; ``exact`` says whether no more. ``days`` is as in `Planned`.
    """

    resource: str
    work: DetailWork
    records: int
    calls: int
    exact: bool
    days: int | None = None


class DetailsProgress(msgspec.Struct, frozen=True, kw_only=True):
    """``asked`` records of the ``of`` that are asked for are durable with what they brought.

    ``rows`` were written of the resource so far, in so many ``bytes``.
    """

    resource: str
    work: DetailWork
    asked: int
    of: int
    rows: int
    bytes: int


class DocumentFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a record was refused, is missing or came broken. The next run asks again.

    ``record`` is the record's id; ``document`` the document's id, or what it is (``pdf``,
    ``attachment``, ``receipt``, ``image``) if it has none.
    """

    resource: str
    record: str
    document: str
    reason: str


class WaitingForReset(msgspec.Struct, frozen=True, kw_only=True):
    """The day's calls are used up: the job goes on by itself in ``seconds``.

    None where Zoho named no reset: then it is asked once an hour.
    """

    organization: str
    seconds: float | None


class ResourceDone(msgspec.Struct, frozen=True, kw_only=True):
    """A resource's part is complete and stands under its own name.

    ``rows`` were written, ``new`` of them for records not known before and ``changed`` for others;
    ``deleted`` were found gone. ``total`` is Zoho's own count from the first page, None where it
    gave none. ``completeness`` says whether no row was missed (`zoho_async.paging.completeness`),
    and ``missing`` how many rows the list counts beyond those that were found. ``proven`` is the
    same in short (None: uncheckable).
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
    """Zoho refused this list for a reason of its own; the other resources go on.

    ``allowed`` False: the token's scopes do not hold it, and it was not asked for by name.
    ``state`` is ``refused``, ``refused_before`` (for the same reason as in the last run) or
    ``failed``.
    """

    resource: str
    error: ZohoError
    allowed: bool = True
    state: ListState = "refused"


ExportEvent: TypeAlias = (
    Planned
    | Progress
    | NextPass
    | DetailsPlanned
    | DetailsProgress
    | DocumentFailed
    | WaitingForReset
    | DetectingDeletions
    | ResourceDone
    | ResourceFailed
)


class ResourceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How one resource stands at the end of a run.

    ``rows`` were written in this part (by an interrupted run before it, too), ``new`` for records
    not known before and ``changed`` for others, ``deleted`` were found gone; ``rows_new`` are those
    of the rows that this run wrote. ``calls`` were made by this run, ``pages`` of them for pages of
    the list, and ``least_calls`` could have been enough for the rows that it read. ``records`` were
    asked for their details or children by this run, and ``files`` of them saved.
    ``passed_over`` counts records whose children Zoho refused, and documents that could not be
    saved (`DocumentFailed`). ``completeness`` (None before the list was read), ``missing`` and
    ``proven`` are as in `ResourceDone`. ``state`` and ``exit_code`` are explained in
    `zoho_async.export.outcomes`. ``note`` says that and why a list was read in full again.
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
    passed_over: int = 0
    error: str | None = None
    completeness: Completeness | None = None
    missing: int = 0
    state: ListState = "unfinished"
    exit_code: int = DONE
    note: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. ``done`` says that every resource that is allowed is complete.

    ``exit_code`` is the one with which the command would end: 0, or why not
    (`zoho_async.export.outcomes`).
    ``records`` were asked for their details or children, and ``files`` documents saved.
    ``calls`` were admitted for the organization while the run lasted and ``refused`` of them were
    turned away by Zoho for its limits; another job in the same process counts too.
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
    exit_code: int = DONE

    @property
    def incomplete(self) -> tuple[ResourceSummary, ...]:
        """The lists because of which `exit_code` is not 0."""
        if not self.exit_code:
            return ()
        blamed = tuple(one for one in self.resources if one.exit_code)
        return blamed or self.resources  # no list at all could be read
