"""What an export tells while it runs, and its summary at the end.

Events come in the order in which things happened. A row counted in an event is durable: it is in
its file and the checkpoint knows it. Times are seconds; sizes are bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from zoho_async.errors import ZohoError


class PlannedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What lies ahead for one resource.

    ``rows`` is the whole list as Zoho counted it, None where Zoho does not say. ``calls`` are
    those still to make, the first page included: exact where ``rows`` is known, otherwise the
    least that is certain. ``rows_before`` were written by an earlier, interrupted run;
    ``finished`` says that the earlier run wrote all of them.
    """

    resource: str
    file: Path
    rows: int | None
    calls: int
    rows_before: int = 0
    finished: bool = False


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The first page of every resource has come, so the size of the job is known.

    ``rows`` and ``calls`` are sums over the resources (of what is known: ``exact`` says whether
    that is all of it), ``seconds`` is the time that the limits take for those calls.
    """

    resources: tuple[PlannedResource, ...]
    rows: int
    calls: int
    seconds: float
    exact: bool


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One more page is durable: ``rows`` are in the file now, of ``total`` as Zoho counted."""

    resource: str
    page: int
    rows: int
    total: int | None
    bytes: int


class ResourceDone(msgspec.Struct, frozen=True, kw_only=True):
    """A resource's file is complete and stands under its own name.

    ``total`` is Zoho's own count from the first page, None where it gave none; it differs from
    ``rows`` when the list was edited meanwhile or repeats rows.
    """

    resource: str
    file: Path
    rows: int
    total: int | None
    bytes: int


class ResourceFailed(msgspec.Struct, frozen=True, kw_only=True):
    """Zoho refused this list for a reason of its own; the other resources go on."""

    resource: str
    error: ZohoError


ExportEvent: TypeAlias = Planned | Progress | ResourceDone | ResourceFailed


class ResourceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How one resource stands at the end of a run.

    ``rows`` are in its file (the partial one unless ``status`` is done), ``rows_new`` of them
    written by this run. ``pages`` were read by this run, ``least_calls`` could have been enough.
    """

    resource: str
    file: Path
    status: Literal["done", "partial", "failed"]
    rows: int
    rows_new: int
    total: int | None
    bytes: int
    pages: int
    least_calls: int
    error: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. ``done`` says that every resource is complete.

    ``calls`` were admitted for the organization while the run lasted and ``refused`` of them were
    turned away by Zoho for its limits; another job in the same process counts too.
    """

    organization: str
    directory: Path
    resources: tuple[ResourceSummary, ...]
    done: bool
    rows: int
    rows_new: int
    calls: int
    least_calls: int
    refused: int
    seconds: float
