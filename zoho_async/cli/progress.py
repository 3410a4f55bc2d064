"""The figures of a running export, collected from its events and the limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from zoho_async import events
from zoho_async.cli.output import count, seconds
from zoho_async.export import (
    DetailsPlanned,
    DetailsProgress,
    DetectingDeletions,
    DocumentFailed,
    ExportEvent,
    NextPass,
    Planned,
    PlannedResource,
    Progress,
    ResourceDone,
    ResourceFailed,
    WaitingForReset,
)
from zoho_async.limits import Snapshot


class ListProgress(msgspec.Struct, kw_only=True):
    """The progress of one resource: ``rows`` written, of ``total`` if that is known."""

    resource: str
    file: str
    rows: int = 0
    total: int | None = None
    state: str = "reading"
    note: str = ""
    error: str = ""


class Tracker:
    """Keeps the figures up to date for a display.

    ``rate`` is the steady rate of the limits in calls per second, 0 until it is known.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = 0.0
        self.resources: Final[dict[str, ListProgress]] = {}
        self.plan: Planned | None = None
        self.snapshot: Snapshot | None = None
        self.calls = 0
        self.refused = 0
        self._now: Final = now
        self._started: Final = now()
        self._rows_before = 0

    # -- events -------------------------------------------------------------------------------

    def exported(self, event: ExportEvent) -> None:
        """Count an event of the export."""
        if isinstance(event, Planned):
            self.plan = event
            for planned in event.resources:
                self._plan(planned)
        elif isinstance(event, Progress):
            progress = self.resources[event.resource]
            progress.rows = event.rows
        elif isinstance(event, ResourceDone):
            progress = self.resources[event.resource]
            progress.rows, progress.total, progress.state = event.rows, event.rows, "done"
        elif isinstance(event, NextPass):
            self.resources[event.resource].note = "changed meanwhile: reading it again"
        elif isinstance(event, DocumentFailed):
            note = f"document {event.document} of {event.record} not saved"
            self.resources[event.resource].note = note
        elif isinstance(event, DetailsPlanned | DetailsProgress | WaitingForReset):
            self._count_details(event)
        elif isinstance(event, DetectingDeletions):
            note = f"{count(event.gone)} of {count(event.asked)} missing records deleted"
            self.resources[event.resource].note = note
        elif isinstance(event, ResourceFailed):
            self._fail(event)

    def _plan(self, planned: PlannedResource) -> None:
        self._rows_before += planned.rows_before
        self.resources[planned.resource] = ListProgress(
            resource=planned.resource,
            file=planned.file,
            rows=planned.rows_before,
            total=planned.rows,
            state="done before" if planned.finished else "reading",
        )

    def _count_details(self, event: DetailsPlanned | DetailsProgress | WaitingForReset) -> None:
        if isinstance(event, WaitingForReset):
            return  # the limits show it
        progress = self.resources[event.resource]
        if isinstance(event, DetailsPlanned):
            progress.note = f"{event.work} of {count(event.records, 'record')}"
            return
        progress.rows = event.rows
        progress.note = f"{event.work} {count(event.asked)} of {count(event.of)}"

    def _fail(self, event: ResourceFailed) -> None:
        progress = self.resources.setdefault(
            event.resource, ListProgress(resource=event.resource, file="")
        )
        progress.state = "failed" if event.allowed else "not allowed"
        if event.state == "refused_before":
            progress.state = "refused as before"
        progress.error = str(event.error)

    def called(self, event: events.Event) -> None:
        """Count an event of the session."""
        if isinstance(event, events.Called):
            self.calls += 1
        elif isinstance(event, events.Refused):
            self.refused += 1

    # -- figures ------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.resources.values())

    @property
    def total(self) -> int | None:
        """Rows of all resources, None if one of them is not known."""
        totals = [one.total for one in self.resources.values()]
        known = [total for total in totals if total is not None]
        return sum(known) if len(known) == len(totals) else None

    @property
    def calls_left(self) -> int | None:
        """Calls left to make, None if that is not known."""
        if self.plan is None or not self.plan.exact:
            return None
        return max(0, self.plan.calls - self.calls)

    @property
    def to_go(self) -> float | None:
        """Seconds that the remaining calls take, None if that is not known."""
        left = self.calls_left
        if left is None or self.rate <= 0:
            return None
        blocked = self.snapshot.blocked_for if self.snapshot else 0.0
        return blocked + left / self.rate

    @property
    def rows_per_second(self) -> float:
        """Rows written by this run, divided by its time."""
        return (self.rows - self._rows_before) / max(self.elapsed, 0.001)

    def figures(self) -> list[str]:
        """The figures of the whole job, the most important first."""
        if self.plan is None:
            return ["reading the first pages", *self._limits()]
        total, calls = self.total, self.plan.calls if self.plan.exact else None
        parts = [
            f"{count(self.rows)} of {count(total, 'row')}" if total else count(self.rows, "row"),
            f"{count(self.calls)} of {count(calls, 'call')}"
            if calls
            else count(self.calls, "call"),
            f"{self.rows_per_second:,.0f} rows/s",
        ]
        if self.refused:
            parts.append(f"{self.refused} refused")
        parts += self._limits()
        if self.to_go is not None:
            parts.append(f"{seconds(self.to_go)} to go")
        return parts

    def _limits(self) -> list[str]:
        snapshot = self.snapshot
        if snapshot is None:
            return []
        parts = [f"minute {snapshot.minute_used} of {snapshot.limit}"]
        if snapshot.day_remaining is not None:
            parts.append(f"day {count(snapshot.day_remaining)} left")
        if snapshot.starts_in > 0:
            parts.append(f"new ledger starts in {seconds(snapshot.starts_in)}")
        if snapshot.blocked_for > 0:
            parts.append(f"blocked for {seconds(snapshot.blocked_for)}")
        return parts
