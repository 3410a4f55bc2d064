"""Commit an approved proposal once, through the write journal.

Model
-----
The command can be run twice, at the same time too, and any process can be killed at any moment.

Invariant
---------
A proposal is sent at most once. What became of it is found out, and never guessed.

Why it holds
------------
The proposal is a job of the journal under its id, with one write. The journal lets one process
open it at a time and sends a write only once; a write whose process ended is *unknown*, and is
settled by evidence (`zoho_async.importer.settle`). The state of the proposal is what a model is
shown. It also says that a proposal was approved before: if the journal does not know it then, the
journal was lost, and nothing is sent.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from anyio import to_thread

from zoho_async.errors import ConfigurationError
from zoho_async.importer import JournaledWrite, WriteJournal, WriteSettler, commit, open_journal
from zoho_async.integrations.mcp.proposals import Proposal, Proposals, ProposalState
from zoho_async.integrations.mcp.uploads import read_files, send_files
from zoho_async.session import Session

_STATES: Final[dict[str, ProposalState]] = {
    "written": "written",
    "not_written": "not_written",
    "unknown": "unknown",
}


class Approval(msgspec.Struct, frozen=True):
    """What became of an approved proposal, and a sentence about it."""

    state: ProposalState
    outcome: str


async def check_approvable(zoho: Session, proposals: Proposals, proposal: Proposal) -> None:
    """Raise `ConfigurationError` if ``proposal`` must not be sent by this session."""
    if not proposal.is_intact:
        raise ConfigurationError(f"proposal {proposal.id} was changed after it was made")
    if proposal.organization != zoho.organization or proposal.api_url != zoho.api_url:
        raise ConfigurationError(
            f"proposal {proposal.id} is for organization {proposal.organization} at "
            f"{proposal.api_url}: choose that account with --profile or --organization"
        )
    if proposal.state == "declined":
        raise ConfigurationError(f"proposal {proposal.id} was declined; propose it again")
    if proposals.is_expired(proposal):
        raise ConfigurationError(f"proposal {proposal.id} is expired; propose it again")


async def approve(
    zoho: Session, proposals: Proposals, proposal: Proposal, journal: Path
) -> Approval:
    """Send an approved ``proposal`` if it was never sent, and return what became of it.

    Run it again to settle an ``unknown`` outcome; it is not sent again. Raises
    `ConfigurationError` as `check_approvable` does and if another process has the journal open, and
    the errors of a call that had no effect: then nothing was sent.
    """
    await check_approvable(zoho, proposals, proposal)
    async with open_journal(journal) as opened:
        if proposal.state == "approved" and not await _is_planned(opened, proposal):
            raise _lost(proposal)
        write = await planned(opened, proposal)
        if write.state == "planned":
            _check_unsent(proposals, proposal)
            files = await to_thread.run_sync(read_files, proposal.files)
            request = partial(send_files, files=files) if files else None
            await proposals.mark(proposal.id, "approved")
            write = (await commit(zoho, opened, write.number, request=request)).write
        elif write.state == "unknown":
            (write,) = await WriteSettler(zoho, opened).search([write])
    done = Approval(_STATES[write.state], _outcome(write))
    await proposals.mark(proposal.id, done.state, done.outcome)
    return done


def _check_unsent(proposals: Proposals, proposal: Proposal) -> None:
    """Raise `ConfigurationError` if a write that the journal has not sent must not be sent now."""
    if proposal.state not in ("open", "approved"):
        raise _lost(proposal)
    if proposals.is_late(proposal):
        raise ConfigurationError(f"proposal {proposal.id} is expired; propose it again")


async def _is_planned(journal: WriteJournal, proposal: Proposal) -> bool:
    return any(job.source == _source(proposal) for job in await journal.jobs())


def _lost(proposal: Proposal) -> ConfigurationError:
    return ConfigurationError(
        f"proposal {proposal.id} was approved before, but the journal of its write is gone: look "
        "in the books, and propose it again if it is missing"
    )


async def planned(journal: WriteJournal, proposal: Proposal) -> JournaledWrite:
    """The write of a proposal: the same one each time."""
    job = await journal.job(
        source=_source(proposal),
        name=f"proposal {proposal.id}",
        target=proposal.intent.operation.rpartition(".")[0],
        organization=proposal.organization,
    )
    (write,) = await journal.plan(job, [proposal.intent])
    return write


def _source(proposal: Proposal) -> str:
    return f"{proposal.id} {proposal.digest}"


def _outcome(write: JournaledWrite) -> str:
    if write.state == "written":
        return f"done, record {write.record}" if write.record else "done"
    if write.state == "not_written":
        return f"not done: {write.problem}"
    records = f"; look at the records {', '.join(write.candidates)}" if write.candidates else ""
    return (
        f"it is not known whether it was done ({write.problem}){records}; approve it again to look "
        "for evidence: it is not sent again"
    )
