"""Run an export with one ordinary function call, for schedulers: cron, Celery, Airflow, Prefect.

    from zoho_async.export.run import run_export

    summary = run_export(["invoices", "contacts"], to="backup")

The call returns when everything is exported, and raises otherwise (see
`zoho_async.export.outcomes`). What was written stays, and the same call continues from there,
because the checkpoint is in the destination. The scheduler keeps no state. It may repeat a failed
call, run it twice or kill it: no row is lost or doubled. If two calls run at once, the second
raises `ExportRunning`.

Three kinds of failure: after `DailyQuotaExceeded`, call again after its ``reset_at``. After
`TransportError` (Zoho or the network), call again. Everything else needs a person.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from os import PathLike

from zoho_async.export.destinations.base import Destination
from zoho_async.export.destinations.open import open_destination
from zoho_async.export.errors import ExportIncomplete
from zoho_async.export.events import Summary
from zoho_async.export.job import Export
from zoho_async.runtime import Account, run_blocking, unattended


def run_export(
    resources: Sequence[str] = (),
    *,
    to: str | PathLike[str] | Destination,
    format: str | None = None,
    organization: str | None = None,
    filters: Mapping[str, str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    detect_deletions: bool = False,
    strict: bool = False,
    accept_short: Collection[str] = (),
    accept_shorter: bool = False,
    account: Account = unattended,
) -> Summary:
    """Export, and wait for the end. Blocks; works in a thread that runs an event loop, too.

    ``to`` is a `Destination`, or what ``zoho-async export --to`` takes, with ``format`` for files.
    ``account`` opens the session; the default uses the environment or the logged-in profile, with
    limits and tokens that outlive the process. ``organization`` overrides the session's
    organization. The other parameters are those of `Export`.

    Raises what `Export` raises, and `ExportIncomplete` if the state of a list would make the
    command exit with a code other than 0.
    """
    destination = open_destination(to, format) if isinstance(to, str | PathLike) else to

    async def work() -> Summary:
        async with account() as session:
            own = session if organization is None else session.for_organization(organization)
            job = Export(
                own,
                resources,
                to=destination,
                filters=filters,
                since=since,
                full=full,
                detect_deletions=detect_deletions,
                strict=strict,
                accept_short=accept_short,
                accept_shorter=accept_shorter,
            )
            async with job:
                return await job.wait()

    summary = run_blocking(work)
    if summary.exit_code:
        raise ExportIncomplete(summary)
    return summary
