"""Progress without a terminal: plain lines, few enough for a log."""

from __future__ import annotations

from typing import Final, TextIO

from zoho_async.cli.output import count, seconds
from zoho_async.cli.progress import Tracker
from zoho_async.cli.safe import print
from zoho_async.export import (
    ChangeFeedRead,
    DetailsPlanned,
    DetailsProgress,
    DocumentFailed,
    ExportEvent,
    NextPass,
    Planned,
    ResourceDone,
    ResourceFailed,
    SinceMidnight,
    WaitingForReset,
)

#: Seconds between two lines of figures.
EVERY: Final = 5.0


class Lines:
    """Writes the plan, the end of each resource, and the figures every few seconds."""

    def __init__(self, tracker: Tracker, stream: TextIO) -> None:
        self._tracker: Final = tracker
        self._stream: Final = stream
        self._last_tick = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def show(self, event: ExportEvent) -> None:
        """Write a line for ``event`` if it matters."""
        if isinstance(event, Planned):
            for line in plan_lines(event):
                self._write(line)
        elif isinstance(event, ResourceDone):
            self._write(f"{event.resource} done: {count(event.rows, 'row')}")
        elif isinstance(event, ResourceFailed) and event.state != "refused_before":
            how = "failed" if event.allowed else "is not allowed"
            self._write(f"{event.resource} {how}: {event.error}")
        elif isinstance(event, NextPass):
            self._write(f"{event.resource} changed while it was read: reading it again")
        elif isinstance(event, DocumentFailed):
            self._write(document_line(event))
        elif isinstance(event, SinceMidnight):
            self._write(since_line(event))
        elif isinstance(event, ChangeFeedRead):
            self._write(feed_line(event))
        elif isinstance(event, DetailsPlanned | DetailsProgress | WaitingForReset):
            self._show_details(event)

    def _show_details(self, event: DetailsPlanned | DetailsProgress | WaitingForReset) -> None:
        if isinstance(event, DetailsPlanned):
            self._write(details_line(event))
        elif isinstance(event, WaitingForReset):
            self._write(waiting_line(event))

    def note(self, text: str) -> None:
        """Write ``text``."""
        self._write(text)

    def tick(self) -> None:
        """Write the figures if enough time has passed."""
        if self._tracker.elapsed - self._last_tick >= EVERY:
            self._last_tick = self._tracker.elapsed
            self._write(", ".join(self._tracker.figures()))

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def details_line(event: DetailsPlanned) -> str:
    """The number of single records to read, and the calls that this needs."""
    least = "" if event.exact else "at least "
    days = f", {count(event.days, 'day')} of calls" if event.days and event.days > 1 else ""
    return (
        f"{event.resource}: {event.work} of {count(event.records, 'record')} "
        f"in {least}{count(event.calls, 'call')}{days}"
    )


def document_line(event: DocumentFailed) -> str:
    """The document that was not saved, and the reason."""
    return f"{event.resource} {event.record}: document {event.document} not saved: {event.reason}"


def since_line(event: SinceMidnight) -> str:
    """The moment that a date means, and the time zone."""
    zone = event.time_zone or (
        "this computer's time zone, because the organization's could not be read"
    )
    return f"--since is {event.since.isoformat()} ({zone})"


def feed_line(event: ChangeFeedRead) -> str:
    """The change feed was read, or why not."""
    if event.status == "read":
        entries = "entry" if event.entries == 1 else "entries"
        calls = count(event.calls, "call")
        return f"{event.feed}: {count(event.entries)} {entries} in {calls}"
    return (
        f"{event.feed}: {event.status}: {event.reason}; lists are read without it, and deleted "
        "records are found when a list is read whole"
    )


def waiting_line(event: WaitingForReset) -> str:
    """The job waits for the next day."""
    when = "at the reset" if event.seconds is None else f"in {seconds(event.seconds)}"
    return f"the day's calls of organization {event.organization} are used up: continuing {when}"


def plan_lines(plan: Planned) -> list[str]:
    """The plan: one line per resource, then the total and the time."""
    width = max((len(one.resource) for one in plan.resources), default=0)
    lines: list[str] = []
    for one in plan.resources:
        rows = "rows unknown" if one.rows is None else count(one.rows, "row")
        more = "" if one.rows is not None else " or more"
        line = f"  {one.resource:<{width}}  {rows:>14}  {count(one.calls, 'call'):>9}{more}"
        if one.detail_calls:
            line += f"  ({count(one.detail_calls)} of them for single records)"
        if one.finished:
            line += "  (already complete)"
        elif one.rows_before:
            line += f"  ({count(one.rows_before)} already there)"
        lines.append(line)
    least = "" if plan.exact else "at least "
    days = f", {count(plan.days, 'day')} of calls" if plan.days and plan.days > 1 else ""
    lines.append(
        f"plan: {least}{count(plan.rows, 'row')} in {least}{count(plan.calls, 'call')}, "
        f"{least or 'about '}{seconds(plan.seconds)}{days}"
    )
    return lines
