"""``zoho-async resources``: what can be exported, and how far a run can prove it complete."""

from __future__ import annotations

import sys
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.safe import print
from zoho_async.description import OperationFacts
from zoho_async.export.catalog import all_lists, children
from zoho_async.export.incremental import Capabilities, Mode, choose

#: What a list offers as evidence that every record was found.
Evidence: TypeAlias = Literal["count", "order", "unknown"]

_MEANINGS: Final[dict[Evidence, str]] = {
    "count": "counted",
    "order": "read in order",
    "unknown": "uncheckable if it does not fit on a page and Zoho counts nothing",
}
_LATER: Final[dict[Mode, str]] = {
    "changed": "reads what changed",
    "newest": "reads from the newest on",
    "compared": "reads all and compares",
    "full": "reads all",
}


class ResourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One list: how a later run reads it (``mode``), and its ``evidence`` of completeness."""

    resource: str
    mode: Mode
    evidence: Evidence


def capabilities(name: str, facts: OperationFacts) -> ResourceRow:
    """What is described of a list."""
    mode = choose(facts, known=True, watermark=0.0, capabilities=Capabilities())
    evidence: Evidence = "unknown"
    if facts.totals:
        evidence = "count"
    elif facts.order or not facts.paged:
        evidence = "order"
    return ResourceRow(resource=name, mode=mode, evidence=evidence)


def list_resources(*, json: bool) -> int:
    """Print every list: with words in a terminal, its name alone in a pipe; the exit code."""
    found = [capabilities(name, facts) for name, facts in all_lists().items()]
    if json:
        for one in found:
            print(msgspec.json.encode(one).decode())
        return outcome.DONE
    if not sys.stdout.isatty():
        print("\n".join(one.resource for one in found))
        return outcome.DONE
    width = max(len(one.resource) for one in found)
    below = children()
    for one in found:
        of = "its parents' list " if one.resource in below else ""
        told = f"{of}{_MEANINGS[one.evidence]}; a later run {_LATER[one.mode]}"
        print(f"{one.resource:<{width}}  {told}")
    return outcome.DONE
