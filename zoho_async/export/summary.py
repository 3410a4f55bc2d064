"""The plan that a run reports, and its summary."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import anyio
from msgspec.structs import replace

from zoho_async.clock import Clock
from zoho_async.export.estimate import bulk_left, days_needed, estimated_seconds
from zoho_async.export.events import (
    Planned,
    PlannedResource,
    ResourceSummary,
    Status,
    Summary,
    WaitingForReset,
)
from zoho_async.export.feed import ChangeFeed
from zoho_async.export.feeds import event_of
from zoho_async.export.outcomes import DONE, INCOMPLETE, worst
from zoho_async.export.reader import ListReader
from zoho_async.http.call import Budget
from zoho_async.limits import Limits, Snapshot
from zoho_async.session import Session

#: Seconds between two checks whether the day's calls are used up.
_POLL_SECONDS: Final = 1.0
#: Seconds until the wait is reported again, if Zoho named no reset.
_REPORT_AGAIN: Final = 3600.0


class SummaryBuilder:
    """Builds the plan and the summary of one run of ``readers``, which may still grow.

    All calls of the run spend ``budget``, so it counts them. ``feeds`` are the change feeds of the
    run by product, and may be filled later.
    """

    def __init__(
        self,
        zoho: Session,
        organization: str,
        readers: Sequence[ListReader],
        *,
        budget: Budget,
        feeds: Mapping[str, ChangeFeed],
    ) -> None:
        self._zoho: Final = zoho
        self._organization: Final = organization
        self._readers: Final = readers
        self._budget: Final = budget
        self._feeds: Final = feeds
        self._started = time.monotonic()
        self._before: Snapshot | None = None

    async def begin(self) -> None:
        """Start counting calls and time."""
        self._started = time.monotonic()
        self._before = await self._zoho.snapshot()

    async def planned(self, *, only: bool = False) -> Planned:
        """Return the plan, once each reader has planned or failed.

        With ``only``, no run follows: the calls that were made for the plan will be made again.
        """
        limits = self._zoho.limits
        today = await self.today()
        ahead: list[PlannedResource] = []
        for reader in self._readers:
            planned = reader.planned
            if planned is None and only:
                planned = reader.unplanned()
            if planned is not None:
                made = 0 if only else reader.calls_for_list
                days = days_needed(planned.calls - made, today, limits)
                seconds = estimated_seconds(planned.calls, limits)
                ahead.append(replace(planned, seconds=seconds, days=days))
        feed_calls = self._feed_calls(only=only)
        calls = sum(one.calls for one in ahead) + feed_calls
        made = sum(one.calls_for_list for one in self._readers) + feed_calls
        made = self._budget.spent if only else made
        return Planned(
            resources=tuple(ahead),
            rows=sum(one.rows or 0 for one in ahead),
            calls=calls,
            seconds=estimated_seconds(calls, limits),
            exact=all(one.exact for one in ahead) if only else all(r.exact for r in self._readers),
            days=days_needed(calls if only else calls - made, today, limits),
            calls_made=made,
            feed_calls=feed_calls,
        )

    async def today(self) -> Snapshot:
        """Return the usage, with the daily quota of the products that are exported."""
        resources = [reader.facts.resource for reader in self._readers]
        products = {name.partition(".")[0] for name in resources}
        return (await self._zoho.snapshot()).for_products(*products)

    async def summary(self, directory: str) -> Summary:
        """What the run did, into ``directory``."""
        resources = tuple(reader.summary() for reader in self._readers)
        statuses: list[Status] = [one.status for one in resources]
        return Summary(
            organization=self._organization,
            directory=directory,
            resources=resources,
            done=_is_done(statuses),
            rows=sum(one.rows for one in resources),
            rows_new=sum(one.rows_new for one in resources),
            calls=self._budget.spent,
            least_calls=sum(one.least_calls for one in resources),
            refused=await self._refused(),
            seconds=time.monotonic() - self._started,
            records=sum(one.records for one in resources),
            files=sum(one.files for one in resources),
            rounded=sum(sum(one.rounded.values()) for one in resources),
            exit_code=code_of_all(resources),
            planned_calls=sum(one.planned_calls or 0 for one in resources)
            + self._feed_calls(only=False),
            plan_exact=all(one.plan_exact for one in resources),
            feeds=tuple(event_of(feed) for feed in self._feeds.values()),
        )

    def _feed_calls(self, *, only: bool) -> int:
        """Return the calls for change feeds; for a plan alone, those of the last run."""
        if not only:
            return sum(feed.calls for feed in self._feeds.values())
        last: dict[str, int] = {}
        for reader in self._readers:
            product, calls = reader.facts.product, reader.writer.state.feed.feed_calls
            if product in self._feeds:
                last[product] = max(1, last.get(product, 1), calls)
        return sum(last.values())

    async def _refused(self) -> int:
        """Return how many calls Zoho refused for the limits since `begin`."""
        if self._before is None:
            return 0
        return (await self._zoho.snapshot()).refused - self._before.refused


async def report_waiting(
    snapshot: Callable[[], Awaitable[Snapshot]],
    limits: Limits,
    organization: str,
    clock: Clock,
    report: Callable[[WaitingForReset], Awaitable[None]],
) -> None:
    """Report once a day that its calls are used up, as ``snapshot`` says, until cancelled."""
    quiet_until = 0.0
    while True:
        today = await snapshot()
        now = clock.monotonic()
        if bulk_left(today, limits) == 0 and now >= quiet_until:
            wait = today.day_reset_in
            quiet_until = now + (_REPORT_AGAIN if wait is None else wait)
            await report(WaitingForReset(organization=organization, seconds=wait))
        await anyio.sleep(_POLL_SECONDS)


def code_of_all(resources: Sequence[ResourceSummary]) -> int:
    """Return the exit code of a run over these lists."""
    statuses = {one.status for one in resources}
    # If no list could be read, that is reported each time.
    read = INCOMPLETE if statuses and {"failed", "not allowed"} >= statuses else DONE
    return worst([read, *(one.exit_code for one in resources)])


def _is_done(statuses: Sequence[Status]) -> bool:
    """Whether every allowed list is complete, and at least one is allowed."""
    return "done" in statuses and {"done", "not allowed"} >= set(statuses)
