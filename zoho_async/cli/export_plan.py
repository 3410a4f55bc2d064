"""``zoho-async export --plan-only``: the calls, time and days of an export, without running it.

``--json`` prints one object. Later versions may add keys but remove none:

- ``status``: ``planned``, ``failed``, ``refused`` (bad usage or configuration), ``quota`` or
  ``interrupted``; ``exit_code``; ``error``: one sentence or null
- ``calls`` of the export, ``exact`` (false: at least so many), ``rows``, ``seconds``, ``days``
  (null if the daily limit is not known), ``calls_made`` (for the plan)
- ``resources``: for each ``resource``, ``mode``, ``rows`` (null if not counted), ``calls``,
  ``detail_calls`` (of these, for single records), ``exact``, ``estimated`` (the rows were counted
  by an earlier run), ``seconds`` and ``days`` (of this list alone), ``rows_before``, ``finished``
  (an earlier run wrote all rows), ``error`` (why the list has no plan, or null), ``reason`` (why
  it is read in this mode, with ``--change-feed``; otherwise empty)
- ``feed_calls`` (of ``calls``, for the change feed: as many as the last run made)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import connected
from zoho_async.cli.export_summary import status_of
from zoho_async.cli.outcome import Interrupted, interruptible
from zoho_async.cli.output import count, seconds
from zoho_async.cli.safe import print, safe
from zoho_async.errors import ZohoError
from zoho_async.export import Export, Exports, Planned, PlannedResource

if TYPE_CHECKING:
    from zoho_async.cli.export import ExportCommand


def show_plan(command: ExportCommand, environ: Mapping[str, str], *, json: bool) -> int:
    """Plan the export and print the plan; the exit code."""
    plan, error = None, None
    try:
        command.check(environ)
        plan = asyncio.run(interruptible(_plan(command, environ)))
    except (ZohoError, Interrupted) as problem:
        error = problem
    code = outcome.DONE if error is None else outcome.exit_code(error)
    sentence = None if error is None else "interrupted" if not str(error) else str(error)
    if sentence:
        print(f"zoho-async: {sentence}", file=sys.stderr)
    if json:
        print(as_json(plan, code=code, error=sentence))
    elif plan is not None:
        print("\n".join(as_lines(plan, details=command.options.details)))
    return code


async def _plan(command: ExportCommand, environ: Mapping[str, str]) -> Planned:
    every = command.all_organizations
    scopes, key = command.scopes(environ), command.hash_key(environ)
    async with connected(
        command.connection, environ, lambda event: None, organization=not every
    ) as zoho:
        to, options = command.to, command.options
        if not every:
            return await Export(
                zoho, command.resources, to=to, options=options, scopes=scopes, hash_key=key
            ).plan()
        found = await zoho.organizations()
        jobs = Exports(
            zoho, found, command.resources, to=to, options=options, scopes=scopes, hash_key=key
        )
        plan = await jobs.plan()
        return msgspec.structs.replace(plan, calls_made=plan.calls_made + 1)


def as_json(plan: Planned | None, *, code: int, error: str | None) -> str:
    """The object of ``--json`` on one line."""
    status = "planned" if plan is not None else status_of(code)
    result: dict[str, Any] = {"status": status, "exit_code": code, "error": error}
    empty = Planned(resources=(), rows=0, calls=0, seconds=0.0, exact=False)
    plan = plan or empty
    resources = [msgspec.structs.asdict(one) for one in plan.resources]
    for one in resources:
        del one["file"]  # a plan opens no file
    values = {**msgspec.structs.asdict(plan), "resources": resources}
    return msgspec.json.encode(result | values).decode()


def as_lines(plan: Planned, *, details: bool = False) -> list[str]:
    """The plan for people: a table of the lists, the reasons, and the sum."""
    head = ("list", "rows", "calls", "time", "days")
    table = [head, *(_cells(one) for one in plan.resources)]
    widths = [max(len(cells[place]) for cells in table) for place in range(len(head))]
    lines: list[str] = []
    for cells in table:
        name, *rest = (one.rjust(width) for one, width in zip(cells, widths, strict=True))
        lines.append("  ".join([cells[0].ljust(len(name)), *rest]))
    if any("+" in cells[2] for cells in table):
        lines.append("+: at least so many; the run counts the rest")
    if any(one.estimated for one in plan.resources):
        lines.append("~: by the count of an earlier run")
    lines += [f"{one.resource}: {safe(one.error)}" for one in plan.resources if one.error]
    lines += [f"{one.resource}: {one.mode}: {one.reason}" for one in plan.resources if one.reason]
    if plan.feed_calls:
        lines.append(f"change feed: about {count(plan.feed_calls, 'call')}, as in the last run")
    if details and any(_leaves_out_details(one) for one in plan.resources):
        lines.append("details: up to one more call for each new or changed record")
    least = "" if plan.exact else "at least "
    if any(one.estimated for one in plan.resources):
        least = "about "
    days = "" if plan.days is None else f", {count(plan.days, 'day')}"
    return [
        *lines,
        f"{least}{count(plan.calls, 'call')}, {seconds(plan.seconds)}{days}; "
        f"{count(plan.calls_made, 'call')} made for this plan, nothing written",
    ]


def _leaves_out_details(one: PlannedResource) -> bool:
    """Whether only the run finds out how many records are new or changed."""
    return one.mode in ("newest", "compared", "feed") and not one.finished


def _cells(one: PlannedResource) -> tuple[str, ...]:
    about = "~" if one.estimated else ""
    calls = about + count(one.calls) + ("" if one.exact or about else "+")
    rows = "-" if one.rows is None else about + count(one.rows)
    days = "-" if one.days is None else count(one.days)
    return (one.resource, rows, calls, seconds(one.seconds), days)
