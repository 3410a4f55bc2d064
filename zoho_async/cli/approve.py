"""``zoho-async approve``: shows what an agent proposed, asks a person, and writes it once."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from zoho_async.cli import outcome
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.questions import ask
from zoho_async.cli.safe import print, safe, say
from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp.approving import Approval, approve, check_approvable
from zoho_async.integrations.mcp.effects import closing_lines, effect_lines, effect_of
from zoho_async.integrations.mcp.proposals import Proposal, Proposals
from zoho_async.runtime import ledger_path

#: How a line begins that belongs to the one above it.
_GOES_ON: Final = "    | "


def agent_files(environ: Mapping[str, str]) -> tuple[Proposals, Path]:
    """The proposals and the journal of their writes, next to the ledger."""
    folder = ledger_path(environ).parent
    return Proposals(folder / "proposals.sqlite"), folder / "proposals-journal.sqlite"


def list_proposals(environ: Mapping[str, str]) -> int:
    """Print the proposals that wait, one per line. Makes no API call."""
    proposals, _ = agent_files(environ)
    for one in asyncio.run(proposals.waiting()):
        minutes = max(0, int((one.expires - time.time()) / 60))
        print(f"{one.id}  {one.effect['call']}  (expires in {minutes} minutes)")
    return outcome.DONE


def approve_proposal(id: str, wanted: ConnectionOptions, *, environ: Mapping[str, str]) -> int:
    """Show a proposal, ask, and send it. Exit code 0 only if it is written.

    Raises `ConfigurationError` without a terminal, because a person must answer, and for a proposal
    that cannot be approved.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError("approve asks a person: run it in a terminal")
    proposals, journal = agent_files(environ)
    proposal, effect = asyncio.run(interruptible(_effect(id, proposals, wanted, environ)))
    if effect is not None and not _agrees(proposals, proposal, effect):
        return outcome.FAILED
    done = asyncio.run(interruptible(_send(proposal, proposals, journal, wanted, environ)))
    say(f"{proposal.id}: {done.outcome}")
    return outcome.DONE if done.state == "written" else outcome.FAILED


async def _effect(
    id: str, proposals: Proposals, wanted: ConnectionOptions, environ: Mapping[str, str]
) -> tuple[Proposal, dict[str, Any] | None]:
    """The proposal and its effect as it is now; None if it was sent and need not be asked."""
    async with connected(wanted, environ, lambda event: None) as zoho:
        proposal = await proposals.find(id)
        await check_approvable(zoho, proposals, proposal)
        if proposal.state not in ("open", "approved"):
            return proposal, None
        warnings = proposal.effect.get("warnings", ())
        effect = await effect_of(zoho, proposal.intent, warnings, proposal.files)
        same = await proposals.same(proposal.digest, but=proposal.id)
        return proposal, {**effect, "same": same}


async def _send(
    shown: Proposal,
    proposals: Proposals,
    journal: Path,
    wanted: ConnectionOptions,
    environ: Mapping[str, str],
) -> Approval:
    async with connected(wanted, environ, lambda event: None) as zoho:
        return await approve(zoho, proposals, await _same(proposals, shown), journal)


async def _same(proposals: Proposals, shown: Proposal) -> Proposal:
    """The proposal as it is now. Raises `ConfigurationError` if it is not what was shown."""
    now = await proposals.find(shown.id)
    if now.digest != shown.digest:
        raise ConfigurationError(f"proposal {shown.id} was changed while it was shown")
    return now


def _agrees(proposals: Proposals, proposal: Proposal, effect: Mapping[str, Any]) -> bool:
    """Show the effect and ask. A "no" declines the proposal for good."""
    size = shutil.get_terminal_size()
    lines = [
        piece
        for line in effect_lines(proposal.id, effect)
        for piece in _wrapped(safe(line, encoding=sys.stderr.encoding), max(40, size.columns - 1))
    ]
    for line in lines:
        say(line)
    for name in _changed(proposal.effect, effect):
        say(f"  {name} changed since it was proposed; this is how it is now")
    if len(lines) > size.lines - 8:
        for line in closing_lines(proposal.id, effect, len(lines)):
            say(line)
    word = "delete" if effect["deletes"] else "yes"
    answer = ask(
        f"type {word} to write this now, no to decline it, Enter to decide later", optional=True
    )
    if answer == "no":
        asyncio.run(proposals.mark(proposal.id, "declined", "a person declined it"))
        say(f"{proposal.id}: declined")
    return answer == word


def _wrapped(line: str, width: int) -> Iterator[str]:
    """The lines of the terminal for ``line``.

    Each but the first has a mark, so that spaces in a value cannot make one look like another line.
    """
    piece, columns = "", 0
    for character in line:
        needed = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns + needed > width:
            yield piece
            piece, columns = _GOES_ON, len(_GOES_ON)
        piece, columns = piece + character, columns + needed
    yield piece


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in ("record", "refers_to") if before.get(name) != now.get(name)]
