"""One export as one ordinary function call, for schedulers: cron, Celery, Airflow, Prefect, ...

    from zoho_async.export.run import run_export

    summary = run_export(["invoices", "contacts"], to="backup")

It returns when everything is exported and raises when not (`zoho_async.export.outcomes` says what
counts); what was written stays, and the same
call goes on from there, because the state stands in the destination. So a scheduler needs to keep
nothing, and whether it repeats a failed call, runs it twice or kills it changes no row: of two at
once the second raises `ExportRunning`.

What a scheduler may want to tell apart: `DailyQuotaExceeded` (call again after its ``reset_at``),
`TransportError` (Zoho or the network; call again), and everything else, which a person must see to.
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
from zoho_async.runtime import Account, alone, unattended


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
    """Export and wait for the end. Blocks; can be called where an event loop runs, too.

    ``to`` is a `Destination`, or what ``zoho-async export --to`` takes, with ``format`` for files.
    ``account`` opens the session (by default that of the environment or the logged-in profile, with
    limits and tokens that outlive the process); ``organization`` names another than that one's.
    The rest is as for `Export`. Raises what `Export` raises, and `ExportIncomplete` if the command
    would end with another exit code than 0 because of the state of a list.
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

    summary = alone(work)
    if summary.exit_code:
        raise ExportIncomplete(summary)
    return summary
