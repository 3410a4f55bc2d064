"""Webhooks arrive late, twice, in any order and while the process dies: the last state is right."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from zoho_async.books import invoices
from zoho_async.errors import (
    ConfigurationError,
    InvalidRequest,
    NotFound,
    ReplyTooLong,
    Request,
    ServerError,
    UnreadableReply,
)
from zoho_async.session import Session
from zoho_async.webhooks import (
    Change,
    Delivery,
    QueueFull,
    WebhookQueue,
    changes,
    decisions,
    handle_changes,
    open_queue,
)
from zoho_async.webhooks.decisions import decide
from zoho_async.webhooks.queue import KnownRecord
from zoho_async.wire import Decoder

#: The first second of the world, 2026-11-01, in seconds since 1970.
START: Final = 1793491200.0
IDS: Final = ("101", "102", "103")


def delivery(record: dict[str, Any], event_type: str, *, is_proven: bool = True) -> Delivery:
    body = json.dumps({"invoice": record}).encode()
    return Delivery(
        query={"event_type": event_type}, body=body, is_proven=is_proven, digest=str(hash(body))
    )


def time_text(second: int) -> str:
    return f"2026-11-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}+0000"


class World:
    """Invoices that change, and what Zoho sends of it. ``balance`` counts the changes."""

    def __init__(self, random: random.Random) -> None:
        self.random: Final = random
        self.records: Final[dict[str, dict[str, Any]]] = {}
        self.changes = 0
        self.second = 0
        self.reads = 0

    def change(self) -> Delivery:
        self.changes += 1
        self.second += self.random.choice([0, 0, 1, 7])
        key = self.random.choice(IDS)
        if key in self.records and self.random.random() < 0.1:
            record = self.records.pop(key)
            return delivery(self.random.choice([record, {"invoice_id": key}]), "deleted")
        kind = "edited" if key in self.records else "created"
        self.records[key] = {
            "invoice_id": key,
            "balance": self.changes,
            "last_modified_time": time_text(self.second),
        }
        sent = dict(self.records[key])
        match self.random.random():
            case low if low < 0.1:
                del sent["last_modified_time"]
            case low if low < 0.2:
                return delivery(sent, kind, is_proven=False)
            case low if low < 0.3:
                return delivery(sent, "")
            case _:
                pass
        return delivery(sent, kind)

    async def read(self, session: Session, invoice_id: str) -> invoices.Invoice:
        """The record as it is at one moment of the call."""
        self.reads += 1
        await self.pause()
        found = dict(self.records.get(invoice_id, {}))
        await self.pause()
        if not found:
            raise missing()
        return Decoder().value(invoices._GET, json.dumps({"invoice": found}).encode())

    async def pause(self) -> None:
        for _step in range(self.random.randrange(4)):
            await anyio.lowlevel.checkpoint()


def missing() -> NotFound:
    return NotFound(Request("GET", "/invoices/1"), 404, 1002, "not found")


class Died(BaseException):
    """The process ends. An `Exception` of the handler would be tried again."""


@contextmanager
def suppress_group() -> Generator[None]:
    """Let the process die."""
    try:
        yield
    except* Died:
        pass


class SilentSession:
    """A session that sends nothing; the functions that read are replaced."""

    organization: str | None = "7"

    def with_options(self, **_: object) -> SilentSession:
        return self


async def run_until(
    queue: WebhookQueue,
    handler: Callable[[Change], Awaitable[None]],
    done: Callable[[], bool],
    wall: Callable[[], float] = lambda: 0.0,
) -> None:
    """Handle changes until ``done``, which is asked after each step of the queue."""
    session: Any = SilentSession()
    async with anyio.create_task_group() as tasks:
        finish = queue.finish

        async def finish_and_ask(*arguments: Any) -> None:
            await finish(*arguments)
            if done():
                tasks.cancel_scope.cancel()

        setattr(queue, "finish", finish_and_ask)  # noqa: B010 - mypy forbids the plain form
        if not queue.pending:
            return
        await handle_changes(queue, session, handler, wall=wall)


async def sources_of(queue: WebhookQueue) -> list[str]:
    """Handle all that is in the queue. Returns the source of each change."""
    sources: list[str] = []

    async def handler(change: Change) -> None:
        sources.append(change.source)

    with anyio.fail_after(10):
        await run_until(queue, handler, lambda: queue.pending == 0)
    return sources


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_PAUSES", (0.0,))


@pytest.mark.parametrize("seed", range(25))
async def test_the_last_state_handled_is_the_last_state(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = random.Random(seed)
    world = World(chosen)
    monkeypatch.setattr(invoices, "get", world.read)
    handled: dict[str, int | None] = {}
    newest_in_run: dict[str, int] = {}
    died = 0

    async def handler(change: Change) -> None:
        nonlocal died
        assert change.resource == "books.invoices"
        assert change.source in ("payload", "read")
        await world.pause()
        record = change.record
        assert record is None or isinstance(record, invoices.Invoice)
        assert change.is_deleted == (record is None)
        version = None if record is None else int(record.balance or 0)
        if version is not None:
            assert version >= newest_in_run.get(change.record_id, 0), "an older state came later"
            newest_in_run[change.record_id] = version
        handled[change.record_id] = version
        if chosen.random() < 0.03:
            died += 1
            raise Died

    sent: list[Delivery] = []
    for _ in range(12):
        sent += [world.change() for _ in range(chosen.randrange(8))]
        chosen.shuffle(sent)
        keep = chosen.randrange(len(sent) + 1)
        now, sent = sent[keep:], sent[:keep]
        newest_in_run.clear()
        async with open_queue(
            tmp_path / "queue.sqlite", max_known=chosen.choice([1, 100])
        ) as queue:
            for each in [*now, *chosen.sample(now, len(now) // 2)]:
                await queue.put(each, "books")
            with suppress_group():
                await run_until(
                    queue,
                    handler,
                    lambda: not queue.pending or chosen.random() < 0.05,
                    lambda: START + world.second,
                )
    while True:
        newest_in_run.clear()
        async with open_queue(tmp_path / "queue.sqlite") as queue:
            for each in sent:
                await queue.put(each, "books")
            sent = []
            with suppress_group():
                await run_until(queue, handler, lambda: queue.pending == 0)
                break
    assert {key: value for key, value in handled.items() if value is not None} == {
        key: record["balance"] for key, record in world.records.items()
    }


async def test_a_payload_of_another_organization_is_never_applied_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(random.Random(0))
    monkeypatch.setattr(invoices, "get", world.read)
    record = {"invoice_id": "1", "last_modified_time": time_text(1)}
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for organization in ("7", "8", 7):
            body = json.dumps({"invoice": record, "organization_id": organization}).encode()
            query = {"event_type": "edited"}
            sent = Delivery(query=query, body=body, is_proven=True, digest=str(hash(body)))
            await queue.put(sent, "books")
        sources = await sources_of(queue)
    assert sorted(sources)[-1] == "unconfirmed"
    assert sources.count("unconfirmed") == 1


async def test_few_deliveries_are_in_memory_while_reads_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MOST_OPEN", 5)
    open_most = handled = parsed = 0
    items_of = decisions.items_of

    def counted(pending: Any) -> Any:
        nonlocal parsed, open_most
        parsed += 1
        open_most = max(open_most, parsed - handled)
        return items_of(pending)

    monkeypatch.setattr(changes, "items_of", counted)
    world = World(random.Random(3))
    monkeypatch.setattr(invoices, "get", world.read)

    async def handler(_: Change) -> None:
        nonlocal handled
        handled += 1

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for number in range(40):
            await queue.put(delivery({"invoice_id": str(number)}, "deleted"), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
    assert handled == 40
    assert open_most <= 6  # the one that is being handled is not finished yet


async def test_what_is_proven_and_newer_needs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(random.Random(0))
    monkeypatch.setattr(invoices, "get", world.read)
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for second in range(50):
            record = {"invoice_id": "1", "last_modified_time": time_text(second)}
            for _ in range(2):
                await queue.put(delivery(record, "edited"), "books")
        sources = await sources_of(queue)
    assert sources == ["payload"] * 50
    assert world.reads == 0


@pytest.mark.parametrize(
    ("known", "moment", "digest", "event_type", "expected"),
    [
        (None, 5.0, "a", "edited", "read"),
        (None, 11.0, "a", "edited", "apply"),
        (KnownRecord(20.0, "a"), 21.0, "b", "edited", "apply"),
        (KnownRecord(20.0, "a"), 20.0, "a", "edited", "drop"),
        (KnownRecord(20.0, "a"), 20.0, "b", "edited", "read"),
        (KnownRecord(20.0, "a"), 19.0, "b", "edited", "drop"),
        (KnownRecord(None), 21.0, "b", "edited", "read"),
        (KnownRecord(20.0, "a"), 21.0, "b", "deleted", "read"),
        (KnownRecord(20.0, "a"), 21.0, "b", "", "read"),
        (KnownRecord(20.0, "a"), None, "b", "edited", "read"),
        (KnownRecord(20.0, "a"), 21.0, "b", "subscription_renewed", "read"),
        (KnownRecord(20.0, "a"), 21.0, "b", "invoice_updated", "apply"),
        (KnownRecord(20.0, "a"), 21.0, "b", "subscription_created", "read"),
    ],
)
def test_decisions(
    known: KnownRecord | None, moment: float | None, digest: str, event_type: str, expected: str
) -> None:
    assert expected == decide(
        event_type=event_type,
        module="invoice",
        is_proven=True,
        moment=moment,
        digest=digest,
        known=known,
        horizon=10.0,
    )


async def test_a_full_queue_refuses_and_a_failed_disk_is_no_success(tmp_path: Path) -> None:
    async with open_queue(tmp_path / "queue.sqlite", max_pending=2) as queue:
        for _ in range(2):
            await queue.put(delivery({"invoice_id": "1"}, "edited"), "books")
        with pytest.raises(QueueFull):
            await queue.put(delivery({"invoice_id": "2"}, "edited"), "books")

    path = tmp_path / "small.sqlite"
    async with open_queue(path) as queue:
        disk = queue._connection
        pages = disk.execute("PRAGMA page_count").fetchone()[0]
        disk.execute(f"PRAGMA max_page_count = {pages + 2}")
        large = delivery({"invoice_id": "1", "notes": "x" * 50_000}, "edited")
        results: list[bool] = []

        async def put(each: Delivery) -> None:
            try:
                await queue.put(each, "books")
            except sqlite3.OperationalError:
                results.append(False)
            else:
                results.append(True)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(put, large)
        assert results == [False] * 5
        assert queue.pending == 0
        await put(delivery({"invoice_id": "2"}, "edited"))
        assert results[-1]
        assert [b"notes" in each.delivery.body for each in await queue.take(0)] == [False]


async def test_a_cancelled_put_leaves_no_transaction_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Task.cancel`` goes through the scopes of anyio: a server that stops uses it."""
    began, goes_on = threading.Event(), threading.Event()

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        insert = queue._insert

        def slow(rows: Sequence[tuple[str, bytes]]) -> None:
            queue._connection.execute("BEGIN")
            began.set()
            goes_on.wait(10)
            queue._connection.execute("COMMIT")
            insert(rows)

        monkeypatch.setattr(queue, "_insert", slow)
        first = asyncio.create_task(queue.put(delivery({"invoice_id": "1"}, "edited"), "books"))
        await asyncio.to_thread(began.wait)
        monkeypatch.setattr(queue, "_insert", insert)
        second = asyncio.create_task(queue.put(delivery({"invoice_id": "2"}, "edited"), "books"))
        first.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [each.number for each in await queue.take(0)] == [1, 2]


class Zoho:
    """Answers of `invoices.get` in turn; the last one repeats. An exception is raised."""

    def __init__(self, *answers: dict[str, Any] | Exception | None) -> None:
        self.answers: Final = list(answers)
        self.reads = 0

    async def get(self, session: Session, invoice_id: str) -> invoices.Invoice:
        answer = self.answers[min(self.reads, len(self.answers) - 1)]
        self.reads += 1
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            raise missing()
        record = {"invoice_id": invoice_id, **answer}
        return Decoder().value(invoices._GET, json.dumps({"invoice": record}).encode())


def at(second: int, **fields: object) -> dict[str, Any]:
    return {"last_modified_time": time_text(second), **fields}


async def test_a_change_that_always_fails_is_set_aside_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoices, "get", Zoho(at(50)).get)
    handled: list[str] = []
    is_broken = True

    async def handler(change: Change) -> None:
        if is_broken and change.record_id == "1":
            raise ValueError("password of the database")
        handled.append(change.record_id)

    path = tmp_path / "queue.sqlite"
    async with open_queue(path) as queue:
        for number in (1, 1, 2, 3):
            record = {"invoice_id": str(number), **at(len(handled))}
            await queue.put(delivery(record, "edited" if number < 3 else "deleted"), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
        assert sorted(set(handled)) == ["2", "3"]
    async with open_queue(path, max_pending=3) as queue:
        failed = await queue.failed()
        assert [each.number for each in failed][:2] == [1, 2]
        assert failed[0].problem == "ValueError: password of the database"
        with pytest.raises(QueueFull, match="3 failed"):
            await queue.put(failed[0].delivery, "books")
        is_broken = False
        await queue.retry([each.number for each in failed if "1" in each.delivery.query])
        await queue.retry([1, 2, 99])
        assert queue.pending == 2
        await run_until(queue, handler, lambda: queue.pending == 0)
        assert "1" in handled
        assert [each.number for each in await queue.failed()] == [4]


async def test_nothing_is_set_aside_while_the_handler_fails_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoices, "get", Zoho(at(50)).get)
    calls, handled = 0, set[str]()

    async def handler(change: Change) -> None:
        nonlocal calls
        calls += 1
        if calls < 200:
            raise OSError("the database is down")
        handled.add(change.record_id)

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for number in range(10):
            await queue.put(delivery({"invoice_id": str(number), **at(1)}, "edited"), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
        assert await queue.failed() == []
    assert handled == {str(number) for number in range(10)}


async def test_a_disk_that_fails_while_changes_are_noted_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.sqlite"
    async with open_queue(path) as queue:
        write, failures = queue._finish, 3

        def full(*arguments: Any) -> None:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise sqlite3.OperationalError("database or disk is full")
            write(*arguments)

        monkeypatch.setattr(queue, "_finish", full)
        await queue.put(delivery({"invoice_id": "1", **at(1)}, "edited"), "books")
        handled = await sources_of(queue)
    assert handled == ["payload"]
    async with open_queue(path) as queue:
        assert (queue.pending, await queue.failed()) == (0, [])


async def test_records_that_zoho_cannot_show_stop_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are readers. They are tried until Zoho answers."""
    broken = {str(number) for number in range(8)}
    handled: set[str] = set()

    async def read(session: Session, invoice_id: str) -> invoices.Invoice:
        await anyio.lowlevel.checkpoint()
        if invoice_id in broken:
            raise ServerError(Request("GET", "/invoices/1"), 500, None, "Internal error")
        raise missing()

    async def handler(change: Change) -> None:
        handled.add(change.record_id)
        if "9" in handled:
            broken.clear()

    monkeypatch.setattr(invoices, "get", read)
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for number in range(10):
            await queue.put(delivery({"invoice_id": str(number)}, "deleted"), "books")
        with anyio.fail_after(10):
            await run_until(queue, handler, lambda: queue.pending == 0)
        assert await queue.failed() == []
    assert handled == {str(number) for number in range(10)}


FAR: Final = 20
REQUEST: Final = Request("GET", "/invoices/1", "7")


@pytest.mark.parametrize(
    ("event", "answers", "seen", "failed"),
    [
        # a deletion that the copy at Zoho does not have yet, or never gets
        ("deleted", [at(5), at(5), None], [None], ""),
        ("deleted", [at(5)], [5], "still finds"),
        # a change that the copy does not have yet, or never gets
        ("", [at(5), at(5), at(9)], [9], ""),
        ("", [at(5)], [], "older"),
        # a record that the copy does not have yet, or never gets
        ("renewed", [None, None, at(9)], [9], ""),
        ("edited", [None, None, at(9)], [9], ""),
        ("edited", [None], [None], ""),
        # replies that no further try makes better
        ("", [ReplyTooLong(REQUEST, "too long")], [], "too long"),
        ("", [UnreadableReply(REQUEST, "HTML"), at(9)], [9], ""),
    ],
)
async def test_a_read_that_cannot_be_believed_is_repeated_and_nothing_is_lost(
    event: str,
    answers: list[Any],
    seen: list[int | None],
    failed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoho = Zoho(*answers)
    monkeypatch.setattr(invoices, "get", zoho.get)
    handled: list[int | None] = []

    async def handler(change: Change) -> None:
        record = change.record
        assert record is None or isinstance(record, invoices.Invoice)
        time = record.last_modified_time if record is not None else None
        handled.append(None if time is None else int(time.timestamp() - START))
        assert change.is_deleted == (record is None)

    async with open_queue(tmp_path / "queue.sqlite", since=START + FAR) as queue:
        await queue.put(delivery({"invoice_id": "1", **at(9)}, event), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
        problems = [each.problem for each in await queue.failed()]
    assert handled == seen
    assert len(problems) == bool(failed)
    assert all(failed in each for each in problems)
    assert zoho.reads <= changes.MOST_TRIES


@pytest.mark.parametrize("record_id", ["5", "../contacts", "."])
async def test_an_id_that_cannot_be_read_stops_no_other_record(
    record_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(session: Session, invoice_id: str) -> invoices.Invoice:
        assert invoice_id in ("5", "6")
        refused = InvalidRequest(Request("GET", "/invoices/5"), 400, 2, "refused")
        raise missing() if invoice_id == "6" else refused

    monkeypatch.setattr(invoices, "get", read)
    seen: list[tuple[str, bool]] = []

    async def handler(change: Change) -> None:
        seen.append((change.source, change.is_deleted))

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        for each in (record_id, "6"):
            await queue.put(delivery({"invoice_id": each}, "edited"), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
    assert sorted(seen) == [("read", True), ("unconfirmed", False)]


async def test_one_process_at_a_time_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    async with open_queue(path):
        with pytest.raises(ConfigurationError, match="another process"):
            async with open_queue(path):
                pass
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    with pytest.raises(ConfigurationError, match="not a webhook queue"):
        async with open_queue(other):
            pass
    other.write_text("text" * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        async with open_queue(other):
            pass


async def test_after_a_crash_the_file_has_every_delivery_without_its_log(tmp_path: Path) -> None:
    """As if it was moved, or opened through a hard link: SQLite looks for the log by name."""
    path, moved = tmp_path / "queue.sqlite", tmp_path / "moved"
    async with open_queue(path) as queue:
        for number in "123":
            await queue.put(delivery({"invoice_id": number}, "edited"), "books")
        shutil.copyfile(path, moved)
    async with open_queue(moved) as queue:
        assert [each.number for each in await queue.take(0)] == [1, 2, 3]
        assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_put_that_is_cancelled_while_it_waits_leaves_nothing(tmp_path: Path) -> None:
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        async with queue._lock:
            waiting = asyncio.create_task(
                queue.put(delivery({"invoice_id": "1"}, "edited"), "books")
            )
            await asyncio.sleep(0)
            assert queue.pending == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert queue.pending == 0
        await queue.put(delivery({"invoice_id": "2"}, "edited"), "books")
        assert queue.pending == 1
        assert len(await queue.take(0)) == 1


@pytest.mark.parametrize("kind", ["edited", ""])  # applied, and read
async def test_a_handler_whose_own_task_was_cancelled_is_tried_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an error looks like the cancellation of the reader, and must not end it."""
    monkeypatch.setattr(invoices, "get", Zoho(at(1)).get)
    calls = 0

    async def handler(change: Change) -> None:
        nonlocal calls
        calls += 1
        if calls <= 5:
            lost = asyncio.ensure_future(asyncio.Event().wait())
            lost.cancel()
            await lost

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        await queue.put(delivery({"invoice_id": "1", **at(1)}, kind), "books")
        with anyio.fail_after(10):
            await run_until(queue, handler, lambda: queue.pending == 0)
    assert calls == 6


@pytest.mark.parametrize(
    ("status", "code", "is_deleted"), [(400, 1002, True), (404, 1002, True), (400, 2006, False)]
)
async def test_each_answer_that_means_deleted(
    status: int, code: int, is_deleted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = NotFound if status == 404 else InvalidRequest
    answer = kind(Request("GET", "/invoices/1"), status, code, "no such record")
    monkeypatch.setattr(invoices, "get", Zoho(answer).get)
    handled: list[Change] = []

    async def handler(change: Change) -> None:
        handled.append(change)

    async with open_queue(tmp_path / "queue.sqlite") as queue:
        await queue.put(delivery({"invoice_id": "1"}, "deleted"), "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
    (change,) = handled
    assert change.is_deleted == is_deleted
    assert change.source == ("read" if is_deleted else "unconfirmed")


async def test_a_foreign_payload_does_not_join_the_read_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoho = Zoho(at(5, notes="ours"))
    monkeypatch.setattr(invoices, "get", zoho.get)
    handled: list[tuple[str, str | None]] = []

    async def handler(change: Change) -> None:
        assert isinstance(change.record, invoices.Invoice)
        handled.append((change.source, change.record.notes))

    record = {"invoice_id": "1", **at(9, notes="theirs")}
    body = json.dumps({"invoice": record, "organization_id": "8"}).encode()
    foreign = Delivery(query={"event_type": "edited"}, body=body, is_proven=True, digest="f")
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        await queue.put(delivery({"invoice_id": "1"}, "edited"), "books")
        await queue.put(foreign, "books")
        await run_until(queue, handler, lambda: queue.pending == 0)
    assert sorted(handled) == [("read", "ours"), ("unconfirmed", "theirs")]


async def test_records_without_an_id_in_one_event_are_each_handled(tmp_path: Path) -> None:
    data = {"subscription": {"status": "live"}, "invoice": {"total": 1}}
    body = json.dumps({"event_id": "1", "event_type": "a", "data": data}).encode()
    sent = Delivery(query={}, body=body, is_proven=True, digest="d")
    async with open_queue(tmp_path / "queue.sqlite") as queue:
        await queue.put(sent, "billing")
        handled = await sources_of(queue)
    assert handled == ["unconfirmed"] * 2
