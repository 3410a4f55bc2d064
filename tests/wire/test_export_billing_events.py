"""Lists of Billing are left out while there is no event, and only then.

The records are changed in the sandbox's store, which decides itself which changes have an event.
What the mirror must hold is read from the same store, by its own SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.unlimited_sandbox import strict_session
from zoho_async.export import Export, ExportOptions, ResourceSummary, Summary, feed
from zoho_async.export.writer import ResourceWriter
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

DAY: Final = 86_400.0
#: Noon, in the past: Zoho's clock in the headers is the real one.
START: Final = 1_780_315_200.0
SUBSCRIPTIONS: Final = "billing.subscriptions"
CUSTOMERS: Final = "billing.customers"
#: 5 pages of subscriptions, and 2 of customers.
SIZES: Final = {SUBSCRIPTIONS: 900, CUSTOMERS: 210, "billing.events": 0}


class Time:
    """The clock of the client, and the wall clock of the sandbox."""

    now = START

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Company:
    def __init__(self, sandbox: Sandbox, zoho: Session, clock: Time, file: Path) -> None:
        self.sandbox, self.zoho, self.clock, self.file = sandbox, zoho, clock, file
        self.subscriptions = sandbox.store().collection(SUBSCRIPTIONS)

    async def change(self, place: int, **fields: Any) -> None:
        self.clock.now += 60.0
        self.subscriptions.change(place, fields)
        await self.sandbox.deliveries.idle()

    def job(self, *names: str, **options: Any) -> Export:
        wanted = ExportOptions(change_feed=True, **options)
        to = f"sqlite:{self.file}"
        return Export(self.zoho, names or [SUBSCRIPTIONS], to=to, options=wanted, clock=self.clock)

    async def run(self, *names: str, **options: Any) -> Summary:
        self.clock.now += 60.0
        async with self.job(*names, **options) as job:
            return await job.wait()

    async def next_day(self, *names: str) -> ResourceSummary:
        """Run a day later; return what became of the subscriptions."""
        self.clock.now += DAY
        summary = await self.run(*names)
        return next(one for one in summary.resources if one.resource == SUBSCRIPTIONS)

    async def trusted(self) -> None:
        """Bring the list so far that the next quiet run reads its first page only."""
        await self.run()
        await self.next_day()
        await self.change(700, status="cancelled")
        await self.next_day()
        assert (await self.next_day()).mode == "compared"

    def wrong(self) -> set[str]:
        """The subscriptions in which the mirror differs from the sandbox."""
        rows = [json.loads(row) for row in self.sandbox.truth(SUBSCRIPTIONS)]
        said = {row["subscription_id"]: (row["status"], row["reference_id"]) for row in rows}
        with closing(sqlite3.connect(self.file)) as mirror:
            held = mirror.execute(
                "SELECT subscription_id, status, reference_id FROM billing_subscriptions"
                " WHERE _deleted_time IS NULL"
            )
            have = {one: (status or "", reference or "") for one, status, reference in held}
        return {one for one in said.keys() | have.keys() if said.get(one) != have.get(one)}


@asynccontextmanager
async def company(to: Path) -> AsyncGenerator[Company]:
    clock = Time()
    sandbox = Sandbox(
        per_minute=10**6, per_day=10**6, in_flight=10**3, sizes=SIZES, wall_clock=clock.time
    )
    async with sandbox, strict_session(sandbox) as zoho:
        for place in range(SIZES[SUBSCRIPTIONS]):
            sandbox.store().collection(SUBSCRIPTIONS).change(place, {"status": "live"})
        sandbox.deliveries.install_billing(
            "https://example.com/", organization=sandbox.organization
        )
        yield Company(sandbox, zoho, clock, to / "billing.sqlite")


async def test_the_list_is_left_out_only_while_no_event_came(tmp_path: Path) -> None:
    """Records are cancelled and deleted, created and changed, each with its event."""
    async with company(tmp_path) as firm:
        assert (await firm.run()).feeds == ()  # how much it spares is not known yet
        modes: list[str] = []
        for day in range(12):
            if day == 1:
                await firm.change(100, status="cancelled")
            if day == 7:
                firm.subscriptions.remove(101)
                firm.subscriptions.add({"status": "live", "reference_id": "new"})
                await firm.change(102, status="unpaid")
            done = await firm.next_day()
            modes.append(done.mode)
            assert firm.wrong() == set()
            assert (done.unnamed, done.feed_delay) == (0, None)
            assert (done.mode == "feed") == (done.pages == 1)
        whole = [day for day, mode in enumerate(modes) if mode != "feed"]
        # 0: not measured yet; 1 and 7: events; 2, 3, 5 and 11: the list is due.
        assert whole == [0, 1, 2, 3, 5, 7, 11]


@pytest.mark.parametrize("then", ["due", "event"])
async def test_a_change_without_an_event_is_found_and_reported_by_the_next_whole_read(
    tmp_path: Path, then: str
) -> None:
    async with company(tmp_path) as firm:
        await firm.trusted()
        await firm.change(300, reference_id="no event")
        planned = await firm.job().plan()
        assert (planned.calls, planned.feed_calls, planned.exact) == (2, 1, False)
        assert planned.resources[0].reason.endswith("; the whole list takes 5 calls")
        summary = await firm.run()
        (done,) = summary.resources
        assert summary.calls == planned.calls
        assert (done.mode, done.pages, done.completeness) == ("feed", 1, "uncheckable")
        assert [(one.feed, one.status, one.calls) for one in summary.feeds] == [
            ("billing.events", "read", 1)
        ]
        assert firm.wrong() == {firm.subscriptions.id(300)}
        assert "is found on 2026-06-" in str(done.note)
        if then == "event":
            await firm.change(500, status="cancelled")
            (done,) = (await firm.run()).resources
        else:
            done = await firm.next_day()
        assert (done.mode, done.changed, done.unnamed) == ("compared", 1 + (then == "event"), 1)
        assert firm.wrong() == set()
        assert (await firm.run()).resources[0].mode == "compared"  # it must be earned again
        assert (await firm.run()).resources[0].mode == "feed"


async def test_a_change_on_the_first_page_or_a_new_record_is_found_at_once(tmp_path: Path) -> None:
    async with company(tmp_path) as firm:
        await firm.trusted()
        newest = firm.subscriptions.indexes()[-1]
        await firm.change(300, reference_id="no event")
        await firm.change(newest, reference_id="no event")
        (done,) = (await firm.run()).resources
        assert (done.mode, done.changed, done.unnamed) == ("compared", 2, 2)
        assert "does not explain" in done.reason
        assert firm.wrong() == set()


async def test_an_interrupted_read_of_the_first_page_is_not_believed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change on the first page is written, and then the process ends."""
    async with company(tmp_path) as firm:
        await firm.trusted()
        await firm.change(300, reference_id="no event")
        await firm.change(firm.subscriptions.indexes()[-1], reference_id="no event")

        def end(*_: object) -> None:
            raise RuntimeError("the process ends")

        with monkeypatch.context() as ending:
            ending.setattr(ResourceWriter, "read_whole", end)
            with pytest.raises(RuntimeError, match="process ends"):
                await firm.run()
        assert firm.wrong() == {firm.subscriptions.id(300)}
        assert (await firm.run()).resources[0].mode == "compared"
        assert firm.wrong() == set()


async def test_an_event_that_comes_late_is_reported_and_ends_the_reliance(tmp_path: Path) -> None:
    async with company(tmp_path) as firm:
        await firm.trusted()
        await firm.change(300, reference_id="its event comes late")
        at = datetime.fromtimestamp(firm.clock.now, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")
        assert (await firm.run()).resources[0].mode == "feed"
        firm.clock.now += 3_600
        events = firm.sandbox.store().collection("billing.events")
        events.add({"event_type": "subscription_paused", "event_time": at, "payload": "{}"})
        (done,) = (await firm.run()).resources
        assert (done.mode, done.changed, done.unnamed) == ("compared", 1, 0)
        assert done.feed_delay is not None
        assert 3_600 < done.feed_delay < 2 * 3_600
        assert firm.wrong() == set()
        firm.clock.now += 3_600
        assert (await firm.run()).resources[0].mode == "compared"


@pytest.mark.parametrize("how", ["refused", "incomplete"])
async def test_without_the_events_lists_are_read_whole_and_the_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with company(tmp_path) as firm:
        await firm.trusted()
        if how == "refused":
            firm.sandbox.faults.append(
                Fault(kind="code", path="/billing/v1/events", status=401, code=57, times=None)
            )
        else:
            monkeypatch.setattr(feed, "_PER_PAGE", 1)
            for place in range(5):
                await firm.change(place, status="cancelled")
        summary = await firm.run(SUBSCRIPTIONS, CUSTOMERS)
        (read,) = summary.feeds
        assert read.status == how
        assert bool(read.reason)
        assert [(one.mode, one.unnamed) for one in summary.resources] == [
            ("compared", 0),
            ("full", 0),
        ]
        assert firm.wrong() == set()


async def test_lists_without_events_of_their_own_are_read_whole(tmp_path: Path) -> None:
    async with company(tmp_path) as firm:
        await firm.trusted()
        await firm.run(CUSTOMERS)
        for mode in ("feed", "compared"):
            summary = await firm.run(SUBSCRIPTIONS, CUSTOMERS)
            subscriptions, customers = summary.resources
            assert (subscriptions.mode, customers.mode) == (mode, "compared")
            assert (customers.unnamed, customers.reason) == (
                *(0, "neither a filter nor an order by last modification works"),
            )
            await firm.change(5, status="cancelled")
