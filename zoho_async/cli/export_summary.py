"""The result of an export: lines for people, or with ``--json`` an object for programs.

The object of ``--json`` has these keys. Later versions may add keys but remove none:

- ``status``: ``done``, ``incomplete`` (exit code 4), ``failed``, ``refused`` (bad usage or
  configuration), ``quota`` or ``interrupted``; ``exit_code``; ``error``: one sentence or null;
  ``continue``: the command that continues the export, or null
- ``organization``, ``directory``, ``seconds``
- ``rows`` (written, by an interrupted run before this one too), ``rows_new`` (by this run),
  ``calls`` (made by this run), ``planned_calls`` (the run's own plan; at least so many unless
  ``plan_exact``), ``least_calls`` (the fewest calls that could have read the rows),
  ``rounded`` (numbers with more digits than their columns hold),
  ``refused`` (calls that Zoho refused for its limits), ``records`` (asked for their details or
  children by this run) and ``files`` (saved by this run)
- ``resources``: for each ``resource``, ``file``, ``status`` (``done``, ``partial``, ``failed``,
  ``not allowed``), ``mode`` (``full``, ``changed``, ``newest``, ``compared`` or ``feed``),
  ``rows``, ``rows_new``, ``new``, ``changed`` and ``deleted`` (records), ``total`` (Zoho's own
  count or null), ``bytes``, ``calls``, ``planned_calls`` (null if the run ended before its plan),
  ``plan_exact``, ``pages`` (read by this run), ``least_calls``, ``proven`` (that no row was missed;
  null if that cannot be known), ``records``, ``refreshed`` (of these, the unchanged parents whose
  children were read again), ``files``, ``passed_over`` (records of which Zoho refused the children
  or a document), ``error`` (or null), ``completeness`` (``proven``, ``uncheckable``, ``changed``,
  ``short``; null if the list was not read to its end), ``missing`` (records that the list counts
  beyond those found), ``state`` and ``exit_code`` (of this list, see `zoho_async.export.outcomes`),
  ``note`` (why it was read in full again, why the next run reads it again, which filter hides
  records or is not confirmed, or null), ``refusal`` (what Zoho said if it refused the list, or
  null), ``applied_filter`` (the filter that hides records, or null), ``schema`` (of each column
  that this run added or widened, and of each field with values that do not fit its column:
  ``change`` (``added``, ``widened`` or ``conflict``), ``field``, ``column``, ``type``, ``before``
  (the type before, or null) and ``values``, how many do not fit), ``rounded`` (the same by field),
  and with ``--change-feed``: ``reason`` (of the mode), ``surplus`` (deleted records that were not
  found yet, by the list's count, or null), ``unnamed`` (changes that the feed did not name),
  ``feed_delay`` (the largest delay of an entry, in seconds, or null)
- ``feeds``: of each change feed, ``feed``, ``status`` (``read``, ``refused``, ``incomplete`` or
  ``failed``), ``entries``, ``calls`` and ``reason``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.output import count, seconds, size
from zoho_async.cli.safe import safe
from zoho_async.export import ResourceSummary, Summary
from zoho_async.export.catalog import children
from zoho_async.export.errors import organization_of, refused_organizations, rounded_text

#: The largest number of columns that a line names.
_SHOWN: Final = 8
_STATUSES: Final = {
    outcome.DONE: "done",
    outcome.FAILED: "failed",
    outcome.USAGE: "refused",
    outcome.QUOTA: "quota",
    outcome.INCOMPLETE: "incomplete",
}


def status_of(code: int) -> str:
    """The word for an exit code in the object of ``--json``."""
    return _STATUSES.get(code, "interrupted")


def as_json(
    summary: Summary | None,
    *,
    code: int,
    error: str | None,
    next_command: str | None,
    calls: int = 0,
) -> str:
    """The object of ``--json`` on one line. Without ``summary``, ``calls`` were made in vain."""
    result: dict[str, Any] = {
        "status": status_of(code),
        "exit_code": code,
        "error": error,
        "continue": next_command,
        "organization": None,
        "directory": None,
        "seconds": 0.0,
        "rows": 0,
        "rows_new": 0,
        "calls": calls,
        "least_calls": 0,
        "planned_calls": 0,
        "plan_exact": False,
        "refused": 0,
        "records": 0,
        "files": 0,
        "rounded": 0,
        "resources": [],
        "feeds": [],
    }
    if summary is not None:
        result |= {
            "organization": summary.organization,
            "directory": summary.directory,
            "seconds": round(summary.seconds, 3),
            "rows": summary.rows,
            "rows_new": summary.rows_new,
            "calls": summary.calls,
            "least_calls": summary.least_calls,
            "planned_calls": summary.planned_calls,
            "plan_exact": summary.plan_exact,
            "refused": summary.refused,
            "records": summary.records,
            "files": summary.files,
            "rounded": summary.rounded,
            "resources": [msgspec.structs.asdict(one) for one in summary.resources],
            "feeds": [msgspec.structs.asdict(one) for one in summary.feeds],
        }
    return msgspec.json.encode(result).decode()


def as_lines(summary: Summary) -> list[str]:
    """The result of an export, for people."""
    width = max((len(_location(one)) for one in summary.resources), default=0)
    refused = refused_organizations(summary)
    shown = [
        one
        for one in summary.resources
        if one.state != "refused_before" and organization_of(summary, one) not in refused
    ]
    lines = [_resource(one, width) for one in shown]
    lines += [
        f"  {one.resource}: {count(one.planned_calls, 'call')} planned, {count(one.calls)} made"
        for one in shown
        if one.status == "done" and _differs_from_plan(one) and one.planned_calls is not None
    ]
    lines += [f"  {one.resource}: {one.note}" for one in summary.resources if one.note]
    lines += [text for one in summary.resources for text in _feed_texts(one)]
    lines += [
        f"  {feed.feed}: {feed.status}: {safe(feed.reason)}"
        for feed in summary.feeds
        if feed.status != "read"
    ]
    lines += [
        f"  {one.resource}: {rounded_text(one)}"
        for one in summary.resources
        if one.rounded and not one.exit_code  # otherwise it is a problem of the run
    ]
    for one in summary.resources:
        lines += [f"  {one.resource}: {text}" for text in _schema_texts(one)]
    ended = all(one.status != "partial" and one.state != "failed" for one in shown)
    head = "done: " if ended else "stopped: "
    rows = f"{head}{count(summary.rows, 'row')} in {seconds(summary.seconds)}"
    if summary.rows_new != summary.rows:
        rows += f", {count(summary.rows_new)} of them by this run"
    least = "" if summary.plan_exact else "at least "
    planned = f"{least}{count(summary.planned_calls)} planned" if summary.planned_calls else ""
    calls = (
        f"{count(summary.calls, 'call')} made, {planned + ', ' if planned else ''}"
        f"{count(summary.least_calls)} the least possible, "
        f"{count(summary.refused)} refused"
    )
    if summary.records or summary.files:
        details = f"{count(summary.records, 'record')} asked for details or children"
        calls += f"; {details}, {count(summary.files, 'file')} saved"
    return [*lines, rows, calls]


def _resource(one: ResourceSummary, width: int) -> str:
    calls = count(one.calls, "call")
    line = f"  {_location(one):<{width}}  {_rows_text(one):>14}  {size(one.bytes):>9}  {calls:>9}"
    if one.status != "done":
        return f"{line}  {one.status}"
    if one.passed_over:
        line += f"  (Zoho refused {count(one.passed_over, 'record')})"
    if one.refreshed:
        line += f"  (children of {count(one.refreshed, 'unchanged record')} read again)"
    if one.completeness == "changed":
        return f"{line}  (changed while it was read: the next run reads it again)"
    if one.completeness == "short":
        return f"{line}  (short: {count(one.missing, 'record')} missing)"
    counted = one.mode == "full" and one.resource not in children()  # Zoho counts their parents
    if counted and one.total is not None and one.total != one.rows:
        return f"{line}  (Zoho counted {count(one.total)}: the list was edited meanwhile)"
    return line


def _feed_texts(one: ResourceSummary) -> list[str]:
    """What the list shows that the change feed did not name, and how late the feed was."""
    texts: list[str] = []
    if one.surplus is not None and one.surplus > 0:
        records = count(one.surplus, "deleted record")
        texts.append(f"{records} not found yet: the next read of the whole list finds them")
    if one.surplus is not None and one.surplus < 0:
        records = count(-one.surplus, "record")
        texts.append(
            f"it counts {records} more than were exported: created during the run, or missed"
        )
    if one.unnamed:
        texts.append(f"the change feed did not name {count(one.unnamed, 'change')}")
    if one.feed_delay is not None:
        texts.append(f"entries of the change feed came up to {seconds(one.feed_delay)} late")
    return [f"  {one.resource}: {text}" for text in texts]


def _schema_texts(resource: ResourceSummary) -> list[str]:
    """``new columns: cf_region, cf_score`` and the like. In a full read, all columns are new."""
    changes = resource.schema
    added = [one.column for one in changes if one.change == "added" and resource.mode != "full"]
    texts = [f"new columns: {_some(added)}"] if added else []
    texts += [
        f"column {one.column} was {one.before} and became text, because a value is not"
        for one in changes
        if one.change == "widened"
    ]
    conflicts = [one for one in changes if one.change == "conflict"]
    if conflicts:
        number = count(sum(one.values for one in conflicts), "value")
        names = _some([one.column for one in conflicts])
        texts.append(f"{number} did not fit the columns {names}: see _extra")
    return texts


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are. The names come from outside."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _differs_from_plan(one: ResourceSummary) -> bool:
    """Whether the run made another number of calls, and not just more than the least planned."""
    planned = one.planned_calls or 0
    return one.calls < planned or (one.plan_exact and one.calls > planned)


def _location(one: ResourceSummary) -> str:
    """The file of the rows, or the resource if the run wrote no file."""
    there = one.mode == "full" or one.rows or one.deleted
    return one.file if there else one.resource


def _rows_text(one: ResourceSummary) -> str:
    """``6,000 rows`` of a full read, ``3 new, 2 changed`` of any other."""
    if one.mode == "full":
        return count(one.rows, "row")
    parts = {"new": one.new, "changed": one.changed, "deleted": one.deleted}
    texts = [f"{count(number)} {what}" for what, number in parts.items() if number]
    return ", ".join(texts) or "no changes"
