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

from collections.abc import Sequence
from os import PathLike

from zoho_async.export.destinations.base import Destination
from zoho_async.export.errors import ExportIncomplete
from zoho_async.export.events import Summary
from zoho_async.export.job import Export
from zoho_async.export.options import ExportOptions
from zoho_async.runtime import Account, run_blocking, unattended


def run_export(
    resources: Sequence[str] = (),
    *,
    to: str | PathLike[str] | Destination,
    options: ExportOptions = ExportOptions(),  # noqa: B008 - a frozen value
    organization: str | None = None,
    account: Account = unattended,
) -> Summary:
    """Export, and wait for the end. Blocks; works in a thread that runs an event loop, too.

    Args:
        resources: The lists to export. Default: all lists of Books.
        to: A destination, or what ``zoho-async export --to`` takes.
        options: The options of the command.
        organization: The organization, if it is not the session's.
        account: Opens the session. The default uses the environment or the logged-in profile, with
            limits and tokens that outlive the process.

    Raises:
        ExportIncomplete: The state of a list would make the command exit with a code other than 0.
        ZohoError: What `Export` raises.
    """

    async def work() -> Summary:
        async with account() as session:
            own = session if organization is None else session.for_organization(organization)
            async with Export(own, resources, to=to, options=options) as job:
                return await job.wait()

    summary = run_blocking(work)
    if summary.exit_code:
        raise ExportIncomplete(summary)
    return summary
