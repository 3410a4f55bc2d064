"""``zoho-async resources``: the lists that can be exported, and if they can be proven complete."""

from __future__ import annotations

import sys
from typing import Final, Literal, TypeAlias

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.safe import print
from zoho_async.description import OperationFacts
from zoho_async.export.catalog import Child, all_lists, children
from zoho_async.export.incremental import Capabilities, Mode, choose
from zoho_async.export.options import ExportOptions
from zoho_async.paging.list_defaults import default_of
from zoho_async.wire.page import MODIFIED

#: Whose children a later run reads again, one call or more per parent.
Refresh: TypeAlias = Literal["recent", "all"]
#: What a list offers as evidence that every record was found.
Evidence: TypeAlias = Literal["count", "order", "unknown"]

_MEANINGS: Final[dict[Evidence, str]] = {
    "count": "counted",
    "order": "read in order",
    "unknown": "cannot be checked if it has several pages and Zoho sends no count",
}
LATER_RUNS: Final[dict[Mode, str]] = {
    "changed": "reads what changed",
    "newest": "reads from the newest row on",
    "compared": "reads the whole list and compares",
    "feed": "reads what the change feed names",
    "full": "reads the whole list",
}


class ResourceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One list: how a later run reads it (``mode``), and its ``evidence`` of completeness.

    For children, ``parents`` is the resource of their parents, and ``refresh`` says of which
    unchanged parents a later run reads them again: those that were changed in the last days, or all
    if their rows have no time of modification.

    If its default leaves records out, ``left_out`` says which, and ``filter_by`` has the values
    that read them.
    """

    resource: str
    mode: Mode
    evidence: Evidence
    parents: str | None
    refresh: Refresh | None
    left_out: str = ""
    filter_by: tuple[str, ...] = ()


def capabilities(name: str, facts: OperationFacts) -> ResourceRow:
    """How the API description says that a list can be read."""
    mode = choose(facts, known=True, watermark=0.0, capabilities=Capabilities())
    evidence: Evidence = "unknown"
    if facts.totals:
        evidence = "count"
    elif facts.order or not facts.paged:
        evidence = "order"
    child = children().get(name)
    default = default_of(facts.product, facts.path)
    return ResourceRow(
        resource=name,
        mode=mode,
        evidence=evidence,
        parents=None if child is None else child.parents.resource,
        refresh=None if child is None else _refresh_of(child, mode),
        left_out="" if default is None else default.leaves_out,
        filter_by=() if default is None else default.values,
    )


def _refresh_of(child: Child, mode: Mode) -> Refresh:
    """Return whose children a later run reads again."""
    dated = any(field.name == MODIFIED for field in child.parents.reply)
    return "recent" if dated or mode == "changed" else "all"


def refresh_text(one: ResourceRow) -> str:
    """Explain whose children a later run reads again, and the cost; "" for other lists."""
    if one.refresh is None:
        return ""
    days = ExportOptions().refresh_children
    whose = f"changed in the last {days} days" if one.refresh == "recent" else "(all of them)"
    return f", and again the children of {one.parents} {whose}: a call or more per parent"


def list_resources(*, json: bool) -> int:
    """Print every list: explained in a terminal, its name alone in a pipe; the exit code."""
    found = [capabilities(name, facts) for name, facts in all_lists().items()]
    if json:
        for one in found:
            print(msgspec.json.encode(one).decode())
        return outcome.DONE
    if not sys.stdout.isatty():
        print("\n".join(one.resource for one in found))
        return outcome.DONE
    width = max(len(one.resource) for one in found)
    for one in found:
        of = "its parents' list " if one.parents else ""
        text = f"{of}{_MEANINGS[one.evidence]}; a later run {LATER_RUNS[one.mode]}"
        text += refresh_text(one)
        if one.left_out:
            text += f"; {one.left_out} are read with filter_by={', '.join(one.filter_by)}"
            text += ", but not by a later run" if one.mode == "changed" else ""
        print(f"{one.resource:<{width}}  {text}")
    return outcome.DONE
