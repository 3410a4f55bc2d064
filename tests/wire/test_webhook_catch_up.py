"""Catching up: every change that the lists show is in the queue, wherever a run was interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.judges.list_exports import session
from tests.judges.list_server import EPOCH, ITEMS, ListServer, Manners, Record, Resource, records
from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply
from tests.support.raw_session import connected
from zoho_async import Session
from zoho_async.errors import ConfigurationError
from zoho_async.webhooks import (
    BillingEvent,
    CaughtUp,
    Change,
    WebhookQueue,
    catch_up,
    catching_up,
    handle_changes,
    keep_caught_up,
    open_queue,
    parse,
)

INVOICES: Final = "books.invoices"
JOURNALS: Final = Resource("/books/v3/journals", "journals", "journal", "journal_id")


class EndingServer(ListServer):
    """A list server that ends its client when call ``ends_at`` arrives, and answers nothing."""

    ends_at = 0
    end: Callable[[], object] = staticmethod(lambda: None)

    async def _answer(self, request: Request) -> Reply | None:  # type: ignore[override]
        reply = await super()._answer(request)
        if self.calls == self.ends_at:
            self.end()
            return None
        return reply


def ending(work: asyncio.Task[Any]) -> Callable[[], object]:
    """A function that cancels ``work`` from another thread."""
    loop = asyncio.get_running_loop()
    return lambda: loop.call_soon_threadsafe(work.cancel)


@dataclass
class SortedServer(ListServer):
    """A list that can only be sorted by last modification, and says by what it is sorted."""

    resource: Resource = JOURNALS

    def _applied(self, query: dict[str, str]) -> dict[str, object]:
        order = "created_time" if self.manners.ignores_sort else query.get("sort_column")
        return super()._applied(query) | {"sort_column": order}


async def drain(queue: WebhookQueue, zoho: Session) -> list[Change]:
    """Handle everything in the queue."""
    changes: list[Change] = []
    all_finished, finish = asyncio.Event(), queue.finish

    async def note(change: Change) -> None:
        changes.append(change)

    async def finish_and_tell(*arguments: Any) -> None:
        await finish(*arguments)
        if not queue.pending:
            all_finished.set()

    setattr(queue, "finish", finish_and_tell)  # noqa: B010 - mypy forbids the plain form
    if queue.pending:
        working = asyncio.create_task(handle_changes(queue, zoho, note))
        await asyncio.wait_for(all_finished.wait(), 30)
        working.cancel()
        await asyncio.wait([working])
    setattr(queue, "finish", finish)  # noqa: B010
    return changes


async def run(
    queue: WebhookQueue, server: ListServer, resource: str = INVOICES, **options: Any
) -> CaughtUp:
    async with session(server) as zoho:
        (found,) = await catch_up(queue, zoho, [resource], wall=lambda: server.now, **options)
    return found


async def test_what_changed_during_a_downtime_is_read_by_its_id(tmp_path: Path) -> None:
    """And what was handled already is not read again."""
    with ListServer(records(450, moments=450)) as server:
        async with open_queue(tmp_path / "queue.sqlite", since=EPOCH - 10) as queue:
            first = await run(queue, server)
            assert (first.listed, queue.pending) == (0, 0)
            server.pass_time(3600)
            changed = {one.id for one in server.truth[:220]}
            for each in sorted(changed):
                server.modify(each)
            new = server.insert()
            server.delete(server.truth[300].id)
            server.pass_time(3600)
            second = await run(queue, server)
            assert (second.listed, second.queued) == (221, 221)
            async with session(server) as zoho:
                changes = await drain(queue, zoho)
            assert {one.record_id for one in changes} == changed | {new}
            assert {(one.source, one.is_deleted) for one in changes} == {("read", False)}
            assert {one.event.event_type for one in changes} == {"changed"}
        calls = server.calls
        async with open_queue(tmp_path / "queue.sqlite") as queue:
            third = await run(queue, server, since=EPOCH - 10)
            assert (third.listed, third.queued, queue.pending) == (0, 0, 0)
        assert server.calls - calls <= 2


async def test_a_second_that_was_not_over_is_read_once_more(tmp_path: Path) -> None:
    with ListServer(records(3, moments=3)) as server:
        async with open_queue(tmp_path / "queue.sqlite", since=EPOCH - 10) as queue:
            queued: list[int] = []
            server.modify(server.truth[0].id)
            for _ in range(4):
                found = await run(queue, server)
                queued.append(found.queued)
                async with session(server) as zoho:
                    await drain(queue, zoho)
                server.pass_time(200)
    assert queued == [1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(6))
async def test_no_change_is_lost_while_records_move(seed: int, tmp_path: Path) -> None:
    """Others edit and delete during each pass, and the process ends at every call.

    The queues of all runs hold each change before the mark, unless the record was deleted since.
    """
    path, start, reached = tmp_path / "queue.sqlite", EPOCH - 400, None
    shape: dict[str, Any] = {"ties": "shuffled"}
    if seed % 2:
        shape = {"total": "none", "ignores_filters": True}
    moving = Manners(edits=0.3, largest_page=20, seconds=2.0, **shape)
    queued: dict[str, int] = {}
    server = EndingServer(records(60, moments=7), moving, seed=seed)
    with server:
        for number in range(1, 20):
            is_last = number == 19
            if is_last:
                server.manners = Manners(largest_page=20)
            async with open_queue(path, since=start) as queue:
                server.pass_time(200)
                working = asyncio.create_task(run(queue, server))
                server.end = ending(working)
                server.ends_at = 0 if is_last else server.calls + number
                with contextlib.suppress(asyncio.CancelledError):
                    await working
            async with open_queue(path) as queue:  # the process has started again
                while queue.pending:
                    for each in await queue.take(0):
                        values = json.loads(each.delivery.body)["invoice"]
                        moment = datetime.fromisoformat(values["last_modified_time"]).timestamp()
                        record_id = values["invoice_id"]
                        queued[record_id] = max(int(moment), queued.get(record_id, 0))
                        await queue.finish([each.number], {}, 0.0)
                reached = await queue.mark(INVOICES) or start
            assert lost(server.truth, queued, start, reached) == []
    assert reached is not None
    assert reached > start + 2000


def lost(truth: list[Record], queued: dict[str, int], start: float, reached: float) -> list[str]:
    """The ids of records that changed from ``start`` to ``reached`` and were not queued since."""
    return [
        one.id
        for one in truth
        if one.died is None
        and start <= one.modified < reached
        and queued.get(one.id, 0) < int(one.modified)
    ]


@pytest.mark.parametrize("is_sorted", [True, False])
async def test_a_sorted_list_is_read_up_to_the_mark(is_sorted: bool, tmp_path: Path) -> None:
    manners = Manners(ignores_sort=not is_sorted, largest_page=50, total="none")
    with SortedServer(records(500, moments=500), manners) as server:
        async with open_queue(tmp_path / "queue.sqlite", since=EPOCH - 10) as queue:
            for one in server.truth[3:73]:
                server.modify(one.id)
            found = await run(queue, server, "books.journals")
    assert (found.listed, found.queued) == (70, 70)
    if is_sorted:  # read twice, because a deletion between two pages would hide a row
        assert [one.get("page", "1") for one in server.arrived] == ["1", "2"] * 2


async def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "_PAUSE", 0.001)
    handled: set[str] = set()
    with ListServer(records(60, moments=60)) as server:
        for one in list(server.truth):
            server.modify(one.id)
        async with (
            open_queue(tmp_path / "queue.sqlite", since=EPOCH - 10, max_pending=5) as queue,
            session(server) as zoho,
            asyncio.TaskGroup() as tasks,
        ):

            async def note(change: Change) -> None:
                handled.add(change.record_id)
                if len(handled) == 60:
                    handling.cancel()

            handling = tasks.create_task(handle_changes(queue, zoho, note))
            (found,) = await catch_up(queue, zoho, [INVOICES], wall=lambda: server.now)
    assert (found.queued, len(handled)) == (60, 60)


async def test_without_a_beginning_the_first_run_only_sets_the_mark(tmp_path: Path) -> None:
    with ListServer(records(30, moments=3)) as server:
        async with open_queue(tmp_path / "queue.sqlite") as queue:
            first = await run(queue, server)
            assert (server.calls, queue.pending, first.mark) == (1, 0, EPOCH - 300)
            server.modify(server.truth[0].id)
            assert (await run(queue, server)).queued == 1


async def test_a_clock_that_is_a_day_ahead_hides_no_change(tmp_path: Path) -> None:
    with ListServer(records(3, moments=3)) as server:
        async with open_queue(tmp_path / "queue.sqlite") as queue, session(server) as zoho:
            for _ in range(2):
                server.pass_time(3600)
                (done,) = await catch_up(queue, zoho, [INVOICES], wall=lambda: server.now + 86400)
                assert done.mark <= server.now - 300
                server.modify(server.truth[0].id)
            assert (await run(queue, server)).listed == 1


async def test_catching_up_goes_on_after_a_failure_that_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full twice; wrong settings end it."""
    with ListServer(records(3, moments=3)) as server:
        server.modify(server.truth[0].id)
        async with open_queue(tmp_path / "queue.sqlite", since=EPOCH - 10) as queue:
            insert, failures = queue._insert, 0

            def full(rows: Sequence[tuple[str, bytes]]) -> None:
                nonlocal failures
                failures += 1
                if failures < 3:
                    raise sqlite3.OperationalError("database or disk is full")
                insert(rows)

            monkeypatch.setattr(queue, "_insert", full)
            async with session(server) as zoho:
                keeping = asyncio.create_task(keep_caught_up(queue, zoho, [INVOICES], every=0.0))
                async with asyncio.timeout(10):
                    while not queue.pending or failures < 3:  # noqa: ASYNC110 - the queue is the outcome
                        await asyncio.sleep(0.001)
                keeping.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await keeping
                with pytest.raises(ConfigurationError):
                    await keep_caught_up(queue, zoho, ["books.taxes"], every=0.0)


@pytest.mark.parametrize("name", ["books.taxes", "books.webhook", "invoices", "x.y"])
async def test_a_list_that_cannot_be_asked_is_refused(name: str, tmp_path: Path) -> None:
    with ListServer([], resource=ITEMS) as server:
        async with open_queue(tmp_path / "queue.sqlite", since=1.0) as queue:
            with pytest.raises(ConfigurationError):
                await run(queue, server, name)
        assert server.calls == 0


# -- billing --------------------------------------------------------------------------------------


class BillingServer:
    """Billing's events, and the subscriptions that they are about."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.now = EPOCH
        self.calls: list[str] = []
        self.ends_at = 0
        self.end: Callable[[], object] = lambda: None

    def change(self, subscription_id: str, kind: str, **values: Any) -> None:
        self.now += 60
        stamp = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        record = {"subscription_id": subscription_id, "last_modified_time": stamp} | values
        self.subscriptions[subscription_id] = record
        if kind == "subscription_deleted":
            del self.subscriptions[subscription_id]
        event_id = str(9000 + len(self.events))
        self.events[event_id] = {
            "event_id": event_id,
            "event_type": kind,
            "event_time": stamp,
            "payload": json.dumps({"subscription": record}),
        }

    async def answer(self, request: Request) -> Reply | None:
        if is_token_request(request):
            return token_reply()
        self.calls.append(request.path)
        if len(self.calls) == self.ends_at:
            self.end()
            return None
        *_, folder, name = request.path.split("/")
        if name == "events":
            keys = ("event_id", "event_type", "event_time")
            rows = [{key: one[key] for key in keys} for one in self.events.values()]
            body: dict[str, Any] = {"code": 0, "events": rows}
        elif folder == "events":
            body = {"code": 0, "event": self.events[name]}
        elif name in self.subscriptions:
            body = {"code": 0, "subscription": self.subscriptions[name]}
        else:
            return Reply(404, {"code": 1002, "message": "not found"}, date=self.now)
        return Reply(200, body, date=self.now)


async def test_the_events_of_billing_show_changes_and_deletions(tmp_path: Path) -> None:
    """The process ends at every call; the last state of each subscription is handled."""
    billing = BillingServer()
    billing.change("1", "subscription_created", status="before the mark")
    since = billing.now + 30
    for number in range(5):
        billing.change(str(number), "subscription_created", status="live")
    billing.change("2", "subscription_cancelled", status="cancelled")
    billing.change("3", "subscription_deleted")
    states: dict[str, str | None] = {}
    with Server(billing.answer) as server:

        async def once() -> list[CaughtUp]:
            path = tmp_path / "queue.sqlite"
            async with open_queue(path, since=since) as queue, connected(server) as zoho:
                return await catch_up(queue, zoho, ["billing.events"], wall=lambda: billing.now)

        found, number = None, 0
        while found is None:
            number += 1
            working = asyncio.create_task(once())
            billing.ends_at = len(billing.calls) + number
            billing.end = ending(working)
            with contextlib.suppress(asyncio.CancelledError):
                (found,) = await working
        billing.ends_at = 0
        assert (found.listed, found.queued) == (7, 7)
        assert number == 9  # one call for the list, one for each event
        async with open_queue(tmp_path / "queue.sqlite") as queue, connected(server) as zoho:
            for each in await queue.take(0):
                event = parse(each.delivery, "billing")
                assert isinstance(event, BillingEvent)
                assert event.is_proven
            for change in await drain(queue, zoho):
                states[change.record_id] = getattr(change.record, "status", None)
    assert states == {"0": "live", "1": "live", "2": "cancelled", "3": None, "4": "live"}
