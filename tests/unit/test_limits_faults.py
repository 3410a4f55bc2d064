"""Faults of a ledger: endings that cannot be written, lost calls, a deleted file."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socketserver
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.held_clock import HeldClock
from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import LedgerError
from zoho_async.limits import (
    Limits,
    MemoryLedger,
    Quota,
    Refusal,
    Scheduler,
    SqliteLedger,
    database,
)
from zoho_async.limits.sqlite import SqliteFile
from zoho_async.limits.usage import Denial, Ending

KEY, ACCOUNT = "api/1", "api/@me"
LIMITS = Limits(in_flight=10)
WALL = 1_790_000_000.0


class Held:
    """A file ledger with a clock that the test sets."""

    def __init__(self, path: Path, owner: str | None = None) -> None:
        self.file = SqliteFile(path, boot="one", owner=owner)
        self.now = 1000.0

    def take(self) -> int | Denial:
        return self.file.take(KEY, ACCOUNT, "interactive", LIMITS, self.now, WALL + self.now)

    def settle(self, place: int, ending: Ending) -> float:
        return self.file.settle(KEY, ACCOUNT, place, ending, LIMITS, self.now, WALL + self.now)

    def used(self) -> tuple[int, int]:
        """Return the used places of the minute, and the calls in flight."""
        seen = self.file.snapshot(KEY, ACCOUNT, LIMITS, self.now, WALL + self.now)
        return seen.minute_used, seen.in_flight


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Limit the size of this process's files to that of the ledger's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Another connection holds the write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY", 0.02)


@pytest.mark.parametrize("fault", [full_disk, locked_file])
@pytest.mark.parametrize("how", ["replied", "lost", "unsent"])
def test_endings_that_cannot_be_written_are_written_before_the_next_admission(
    tmp_path: Path, fault: Callable[[Path], Iterator[None]], how: str
) -> None:
    path = tmp_path / "limits.db"
    one, other = Held(path), Held(path)
    places = [one.take() for _ in range(LIMITS.in_flight)]
    assert isinstance(one.take(), Denial)
    with contextmanager(fault.__wrapped__)(path):  # type: ignore[attr-defined]
        for place in places:
            assert isinstance(place, int)
            one.settle(place, Ending(how))  # type: ignore[arg-type] # one of its words
        with pytest.raises(LedgerError):
            one.take()
    one.now = other.now = 1031.0  # the lost calls are no longer in flight
    assert isinstance(one.take(), int)
    assert other.used() == ((1, 1) if how == "unsent" else (11, 1))
    for held in (one, other):
        held.file.close()


def test_a_late_ending_still_reports_its_refusal_and_quota(tmp_path: Path) -> None:
    one = Held(tmp_path / "limits.db")
    first, second = one.take(), one.take()
    assert isinstance(first, int)
    assert isinstance(second, int)
    with locked_file(one.file.path):
        one.settle(first, Ending("replied", 1.0, quota=Quota(1000, 400, 500.0)))
        one.settle(second, Ending("replied", 1.0, refusal=Refusal(44, 100.0)))
    one.now += 40.0
    denial = one.take()
    assert denial == Denial("block", pytest.approx(60.0))  # type: ignore[arg-type] # equal to floats
    one.file.close()


def test_closing_writes_what_is_pending(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    one = Held(path)
    place = one.take()
    assert isinstance(place, int)
    with locked_file(path):
        one.settle(place, Ending("replied"))
        one.file.close()  # fails now
    one.file.close()
    other = Held(path)
    assert other.used() == (1, 0)
    other.file.close()


async def test_a_ledger_that_cannot_be_written_keeps_endings_of_cancelled_calls(
    tmp_path: Path,
) -> None:
    path = tmp_path / "limits.db"
    for steps in range(1, 9):  # not called is not ended
        ledger = SqliteLedger(path)
        asked = (KEY, ACCOUNT)
        place = await ledger.take(*asked, "bulk", LIMITS, SYSTEM_CLOCK)
        assert isinstance(place, int)
        with locked_file(path):
            work = [
                asyncio.ensure_future(
                    ledger.settle(*asked, place, Ending("unsent"), LIMITS, SYSTEM_CLOCK)
                ),
                asyncio.ensure_future(ledger.take(*asked, "bulk", LIMITS, SYSTEM_CLOCK)),
            ]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await asyncio.to_thread(ledger._submit(int).result)  # what was begun has ended
        seen = await ledger.snapshot(*asked, LIMITS, SYSTEM_CLOCK)
        assert (seen.minute_used, seen.in_flight) == (0, 0)
        await ledger.close()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_calls_of_a_closed_loop_do_not_keep_their_places(tmp_path: Path, kind: str) -> None:
    ledger = MemoryLedger() if kind == "memory" else SqliteLedger(tmp_path / "limits.db")
    limits = Limits(in_flight=10, linger=0.0)

    async def take() -> int | Denial:
        return await ledger.take(KEY, ACCOUNT, "interactive", limits, SYSTEM_CLOCK)

    async def fill() -> None:
        for _ in range(limits.in_flight):
            assert isinstance(await take(), int)
        assert isinstance(await take(), Denial)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(fill())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()

    async def after() -> None:
        assert isinstance(await take(), int)
        seen = await ledger.snapshot(KEY, ACCOUNT, limits, SYSTEM_CLOCK)
        assert (seen.minute_used, seen.in_flight) == (11, 1)
        await ledger.close()

    asyncio.run(after())


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_an_ending_counts_for_its_organization_alone(tmp_path: Path, kind: str) -> None:
    ledger = MemoryLedger() if kind == "memory" else SqliteLedger(tmp_path / "limits.db")
    asked = (ACCOUNT, LIMITS, SYSTEM_CLOCK)
    places = {}
    for key in ("api/1", "api/2"):
        place = await ledger.take(key, ACCOUNT, "bulk", LIMITS, SYSTEM_CLOCK)
        assert isinstance(place, int)
        places[key] = place
    ending = Ending("replied", 0.0, Quota(1000, 700, 3600.0))
    await ledger.settle("api/1", ACCOUNT, places["api/1"], ending, LIMITS, SYSTEM_CLOCK)
    first, second = [await ledger.snapshot(key, *asked) for key in ("api/1", "api/2")]
    assert (first.in_flight, first.day_remaining, first.day_limit) == (0, 700, 1000)
    assert (second.in_flight, second.day_limit) == (1, None)
    await ledger.close()


def test_places_that_a_live_process_forgot_expire(tmp_path: Path) -> None:
    """The process cannot be asked. If its ledger is gone, its places expire at once."""
    path = tmp_path / "limits.db"
    forgetful, other = Held(path), Held(path)
    for _ in range(LIMITS.in_flight):
        forgetful.take()
    other.now += 299.0
    assert isinstance(other.take(), Denial)
    other.now += 2.0
    other.take()  # from here on they count as lost
    other.now += 31.0
    assert isinstance(other.take(), int)
    forgetful.file.close()
    gone = Held(path)
    gone.now = other.now
    assert isinstance(gone.take(), int)
    assert other.used()[1] == 2
    gone.file.close()
    del gone
    gc.collect()
    other.used()
    other.now += 31.0
    assert other.used()[1] == 1
    other.file.close()


# -- the file is deleted or replaced ------------------------------------------------------------


def delete(path: Path, files: str) -> None:
    for file in path.parent.glob(files):
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("files", ["limits.db", "limits.db*"])
def test_a_file_that_is_deleted_during_a_run_is_noticed(tmp_path: Path, files: str) -> None:
    path = tmp_path / "limits.db"
    one = Held(path)
    for _ in range(5):
        place = one.take()
        assert isinstance(place, int)
        one.settle(place, Ending("replied"))
    open_one = one.take()
    assert isinstance(open_one, int)
    delete(path, files)
    new = Held(path)
    paused = new.take()
    assert isinstance(paused, Denial)
    assert paused.reason == "ledger"
    assert paused.wait == pytest.approx(60 * 1.001 + 30 + 30, abs=0.1)
    assert isinstance(one.take(), Denial)
    assert new.used() == (6, 1)  # the usage of the old file is there
    new.now = one.now = 1000.0 + 125.0
    assert isinstance(new.take(), int)
    one.settle(open_one, Ending("replied"))
    assert new.used() == (2, 1)
    for held in (one, new):
        held.file.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


@pytest.mark.parametrize("awake", [29.9, 31.0, 95.0, 130.0, 299.0])
async def test_a_process_that_stops_before_it_sends_does_not_break_the_pause(
    tmp_path: Path, awake: float
) -> None:
    """It stops right after its calls were admitted, and its file is replaced.

    Seconds later it is awake and sends what it may, which arrives as late as can be. Another
    process uses the new file. The judge counts arrivals.
    """
    path, clock = tmp_path / "limits.db", HeldClock(1000.0, ahead=WALL)
    limits, arrivals = Limits(limit=5, burst=5, linger=30.0), list[float]()
    old = SqliteLedger(path)
    limiter = Scheduler(KEY, account=ACCOUNT, limits=limits, ledger=old, clock=clock, observer=None)
    stopped = [await limiter.admit() for _ in range(limits.limit)]
    delete(path, "limits.db*")
    new = SqliteFile(path, boot="one")
    while clock.now < 1400.0:
        clock.now += 0.1
        if stopped and clock.now >= 1000.0 + awake:
            arrivals += [clock.now + limits.linger for slot in stopped if not slot.stale]
            stopped.clear()
        now, wall = clock.now, clock.time()
        place = new.take(KEY, ACCOUNT, "interactive", limits, now, wall)
        if isinstance(place, int):
            arrivals.append(now)
            new.settle(KEY, ACCOUNT, place, Ending("replied"), limits, now, wall)
    assert len(arrivals) >= 4 * limits.limit
    arrivals.sort()
    for first, sixth in zip(arrivals, arrivals[limits.limit :], strict=False):
        assert sixth - first >= limits.window
    await old.close()
    new.close()


def test_a_block_survives_the_deletion_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    one = Held(path)
    place = one.take()
    assert isinstance(place, int)
    one.settle(place, Ending("replied", refusal=Refusal(44, 1000.0)))
    delete(path, "limits.db*")
    new = Held(path)
    new.take()
    new.now += 125.0
    assert isinstance(new.take(), int)  # it does not know the block
    one.now = new.now
    assert one.take() == Denial("block", pytest.approx(875.0))  # type: ignore[arg-type]
    assert isinstance(new.take(), Denial)
    for held in (one, new):
        held.file.close()


def test_closing_the_old_file_keeps_the_log_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    one = Held(path)
    one.take()
    delete(path, "limits.db*")
    new = Held(path)
    new.take()
    one.file.close()
    assert (tmp_path / "limits.db-wal").exists()
    assert new.used() == (0, 0)
    new.file.close()


def test_a_first_start_does_not_pause(tmp_path: Path) -> None:
    one = Held(tmp_path / "limits.db")
    assert one.take() == 1
    one.file.close()


def test_a_file_that_was_deleted_long_after_its_last_use_does_not_pause(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    one = Held(path)
    one.take()
    one.file.close()
    delete(path, "limits.db*")
    long_ago = time.time() - 200
    os.utime(tmp_path / ".limits.db.used", (long_ago, long_ago))
    new = Held(path)
    assert new.take() == 1
    new.file.close()


#: Makes calls at the judge, one after the other in several tasks, until it is stopped.
WORKER = textwrap.dedent("""
    import asyncio, json, sys
    from zoho_async.clock import SYSTEM_CLOCK
    from zoho_async.errors import LedgerError
    from zoho_async.limits import Limits, SqliteLedger, scheduler

    path, port, calls, limits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

    async def main():
        ledger = SqliteLedger(path)
        limiter = scheduler(
            "api/1", account="api/@me", limits=Limits(**json.loads(limits)), ledger=ledger,
            clock=SYSTEM_CLOCK, observer=None,
        )

        async def call():
            slot = await limiter.admit(max_wait=None)
            if slot.stale:
                return await slot.unsent()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            slot.sent()
            writer.write(b"call\\n")
            await reader.readline()
            await slot.replied()
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(call() for _ in range(calls)))
        await ledger.close()

    asyncio.run(main())
""")


class Judge(socketserver.ThreadingTCPServer):
    """Notes when calls arrive, and answers them."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        super().__init__(("127.0.0.1", 0), _Arrival)

    def __enter__(self) -> Judge:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def worst(self, window: float) -> int:
        ordered = sorted(self.arrivals)
        return max(bisect_left(ordered, start + window) - at for at, start in enumerate(ordered))


class _Arrival(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            if self.rfile.readline():
                assert isinstance(self.server, Judge)
                self.server.arrivals.append(time.monotonic())
                self.wfile.write(b"ok\n")


def worker(path: Path, judge: Judge, calls: int, limits: dict[str, float]) -> subprocess.Popen[str]:
    port = str(judge.server_address[1])
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), port, str(calls), json.dumps(limits)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


@pytest.mark.long
def test_two_processes_keep_the_limit_while_the_file_is_deleted_repeatedly(
    tmp_path: Path,
) -> None:
    path = tmp_path / "limits.db"
    limits = {"limit": 20, "burst": 20, "window": 1.0, "linger": 0.3, "in_flight": 20}
    with Judge() as judge:
        workers = [worker(path, judge, 60, limits)]
        for deletions in range(3):
            before = len(judge.arrivals)
            until = time.monotonic() + 30
            while len(judge.arrivals) < before + 15 and time.monotonic() < until:
                time.sleep(0.01)
            delete(path, "limits.db*" if deletions % 2 else "limits.db")
            workers.append(worker(path, judge, 60, limits))
        for one in workers:
            _, errors = one.communicate(timeout=100)
            assert (one.returncode, errors) == (0, "")
        assert len(judge.arrivals) == 240
        assert judge.worst(1.0) <= 20
