"""What a run tells of itself as a whole: its plan, its waits for another day, and its sum.

Calls are counted by the organization's scheduler, which counts for everyone in this process; so
what another job sent meanwhile is in the sum too, unless a budget counted this run's own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from zoho_async.call import Budget
from zoho_async.clock import Clock
from zoho_async.export.events import ExportEvent, Parked, Planned, Status, Summary
from zoho_async.export.outcomes import DONE, INCOMPLETE, worst
from zoho_async.export.plan import bulk_left, days_needed, estimated_seconds
from zoho_async.export.reading import Reading
from zoho_async.limits import Snapshot
from zoho_async.session import Session

#: Seconds between two looks at whether the day's calls are used up.
_LOOK: Final = 1.0
#: Seconds after which it is told again where nobody named the reset.
_UNNAMED: Final = 3600.0


class Tally:
    """Counts one run of ``readings``, which may still be added to."""

    def __init__(
        self,
        zoho: Session,
        organization: str,
        readings: Sequence[Reading],
        *,
        budget: Budget | None,
        clock: Clock,
    ) -> None:
        self._zoho: Final = zoho
        self._organization: Final = organization
        self._readings: Final = readings
        self._budget: Final = budget
        self._clock: Final = clock
        self._started = time.monotonic()
        self._before: Snapshot | None = None

    async def begin(self) -> None:
        """Count from here."""
        self._started = time.monotonic()
        self._before = await self._zoho.snapshot()

    async def planned(self) -> Planned:
        """What lies ahead, once every reading has planned or failed."""
        ahead = [reading.planned for reading in self._readings if reading.planned is not None]
        calls = sum(one.calls for one in ahead)
        made = sum(reading.pages for reading in self._readings)
        limits = self._zoho.limits
        today = await self._zoho.snapshot()
        return Planned(
            resources=tuple(ahead),
            rows=sum(one.rows or 0 for one in ahead),
            calls=calls,
            seconds=estimated_seconds(calls, rate=self._zoho.rate, burst=limits.burst),
            exact=all(reading.exact for reading in self._readings),
            days=days_needed(calls - made, today, limits),
        )

    async def tell_parking(self, send: MemoryObjectSendStream[ExportEvent]) -> None:
        """Say once a day that its calls are used up; goes on until it is cancelled."""
        told_until = 0.0
        while True:
            today = await self._zoho.snapshot()
            now = self._clock.monotonic()
            if bulk_left(today, self._zoho.limits) == 0 and now >= told_until:
                wait = today.day_reset_in
                told_until = now + (_UNNAMED if wait is None else wait)
                await send.send(Parked(organization=self._organization, seconds=wait))
            await anyio.sleep(_LOOK)

    async def summary(self, directory: str) -> Summary:
        """What the run did, into ``directory``."""
        resources = tuple(reading.summary() for reading in self._readings)
        statuses: list[Status] = [one.status for one in resources]
        # If no list at all could be read, that is news each time.
        read = INCOMPLETE if statuses and {"failed", "not allowed"} >= set(statuses) else DONE
        admitted, refused = await self._since()
        # Lists of the user rather than the organization go by the account's own limits.
        own = sum(reading.pages for reading in self._readings if reading.facts.per_user)
        made = own + admitted
        if self._budget is not None:  # what was admitted too late was not sent
            made = self._budget.calls - self._budget.left
        return Summary(
            organization=self._organization,
            directory=directory,
            resources=resources,
            done=_is_done(statuses),
            rows=sum(one.rows for one in resources),
            rows_new=sum(one.rows_new for one in resources),
            calls=made,
            least_calls=sum(one.least_calls for one in resources),
            refused=refused,
            seconds=time.monotonic() - self._started,
            records=sum(one.records for one in resources),
            files=sum(one.files for one in resources),
            exit_code=worst([read, *(one.exit_code for one in resources)]),
        )

    async def _since(self) -> tuple[int, int]:
        """Calls admitted for the organization since `begin`, and refused of them."""
        before, after = self._before, await self._zoho.snapshot()
        if before is None:
            return 0, 0
        return after.admitted - before.admitted, after.refused - before.refused


def _is_done(statuses: Sequence[Status]) -> bool:
    """Whether everything that may be read is complete, and something may."""
    return "done" in statuses and {"done", "not allowed"} >= set(statuses)
