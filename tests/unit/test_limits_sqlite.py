"""Usage in a file: restarts, killed processes, several processes, and errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from bisect import bisect_left
from pathlib import Path

import pytest

from zoho_async.clock import SYSTEM_CLOCK
from zoho_async.errors import ConfigurationError, WaitTooLong
from zoho_async.limits import Limits, Quota, Refusal, Scheduler, SqliteLedger, machine, scheduler
from zoho_async.limits.sqlite import SqliteFile
from zoho_async.limits.usage import Denial, Ending

KEY, ACCOUNT = "api/1", "api/@me"
LIMITS = Limits()

#: A worker that makes calls until it has made enough or is killed. Each prints the monotonic
#: moments between which it arrived, the same clock for every process of the machine.
WORKER = textwrap.dedent("""
    import asyncio, json, random, sys, time
    from zoho_async.clock import SYSTEM_CLOCK
    from zoho_async.limits import Limits, SqliteLedger, scheduler

    path, calls, limits = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])

    async def main():
        ledger = SqliteLedger(path)
        limiter = scheduler(
            "api/1", account="api/@me", limits=Limits(**limits), ledger=ledger,
            clock=SYSTEM_CLOCK, observer=None,
        )

        async def call():
            slot = await limiter.admit("bulk", max_wait=None)
            slot.sent()
            print("sent", time.monotonic(), flush=True)
            await asyncio.sleep(random.uniform(0.0, 0.02))
            await slot.replied()

        await asyncio.gather(*(call() for _ in range(calls)))
        await ledger.close()

    asyncio.run(main())
""")


def worker(path: Path, calls: int, **limits: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(calls), json.dumps(limits)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def moments(output: str) -> list[float]:
    """Return when calls were sent. The last line of a killed worker may be cut."""
    lines = (line.split() for line in output.splitlines(keepends=True) if line.endswith("\n"))
    return [float(parts[1]) for parts in lines]


def worst_window(arrivals: list[float], window: float) -> int:
    ordered = sorted(arrivals)
    return max(bisect_left(ordered, start + window) - at for at, start in enumerate(ordered))


def make(ledger: SqliteLedger, limits: Limits = LIMITS) -> Scheduler:
    return scheduler(
        KEY, account=ACCOUNT, limits=limits, ledger=ledger, clock=SYSTEM_CLOCK, observer=None
    )


def test_four_processes_keep_the_limit_and_use_it(tmp_path: Path) -> None:
    limits = {"limit": 20, "burst": 20, "window": 0.5, "linger": 0.1, "in_flight": 8}
    workers = [worker(tmp_path / "limits.db", 30, **limits) for _ in range(4)]
    sent: list[float] = []
    for pending in workers:
        output, _ = pending.communicate(timeout=100)
        assert pending.returncode == 0
        sent += moments(output)
    assert len(sent) == 120
    assert worst_window(sent, 0.5) <= 20
    # 120 calls of 20 in half a second take 2.5 s. A busy machine may take longer, but not hang.
    assert max(sent) - min(sent) < 20.0


@pytest.mark.long
def test_sixteen_processes_on_one_file_raise_no_lock_error(tmp_path: Path) -> None:
    """Each exits with 0, which it does not if SQLite reports a busy file."""
    limits = {"limit": 200, "burst": 200, "window": 0.5, "linger": 0.1, "in_flight": 64}
    workers = [worker(tmp_path / "limits.db", 60, **limits) for _ in range(16)]
    sent: list[float] = []
    for pending in workers:
        output, _ = pending.communicate(timeout=100)
        assert pending.returncode == 0
        sent += moments(output)
    assert len(sent) == 960
    assert worst_window(sent, 0.5) <= 200


def test_a_killed_processs_calls_count_for_the_next_one(tmp_path: Path) -> None:
    dice = random.Random(1)
    limits = {"limit": 15, "burst": 15, "window": 1.0, "linger": 0.2, "in_flight": 5}
    sent: list[float] = []
    for _ in range(6):
        pending = worker(tmp_path / "limits.db", 1000, **limits)
        assert pending.stdout is not None
        output = pending.stdout.readline()  # it has started
        try:
            rest, _ = pending.communicate(timeout=dice.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            pending.send_signal(signal.SIGKILL)
            rest, _ = pending.communicate()
        sent += moments(output + rest)
    assert worst_window(sent, 1.0) <= 15


async def test_a_restart_remembers_the_minute_the_day_and_the_block(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "limits.db")
    slot = await make(first).admit()
    await slot.replied(quota=Quota(1000, 400, 3600.0))
    slot = await make(first).admit()
    await slot.replied(refusal=Refusal(44, 500.0))
    await first.close()
    updated = SqliteLedger(tmp_path / "limits.db")
    seen = await make(updated).snapshot()
    assert (seen.minute_used, seen.day_used, seen.day_remaining) == (2, 2, 399)
    assert seen.blocked_for == pytest.approx(500.0, abs=5)
    assert seen.day_reset_in == pytest.approx(3601.0, abs=5)
    with pytest.raises(WaitTooLong):
        await make(updated).admit()
    await updated.close()


def test_calls_of_another_start_of_the_machine_count_as_a_full_minute(tmp_path: Path) -> None:
    limits = Limits(limit=3, burst=3)
    before = SqliteFile(tmp_path / "limits.db", boot="one", owner="old")
    for _ in range(3):
        place = before.take(KEY, ACCOUNT, "bulk", limits, 5000.0, 1e9)
        assert not isinstance(place, Denial)
        if place != 2:  # one gets no reply
            before.settle(KEY, ACCOUNT, place, Ending("replied"), limits, 5000.0, 1e9)
    before.close()
    after = SqliteFile(tmp_path / "limits.db", boot="two", owner="new")
    denial = after.take(KEY, ACCOUNT, "bulk", limits, 20.0, 1e9 + 40)
    assert denial == Denial("minute", pytest.approx(60.06))  # type: ignore[arg-type] # equal to floats
    assert after.snapshot(KEY, ACCOUNT, limits, 20.0, 1e9 + 40).minute_used == 3
    assert after.snapshot(KEY, ACCOUNT, limits, 81.0, 1e9 + 101).minute_used == 1
    assert after.snapshot(KEY, ACCOUNT, limits, 111.0, 1e9 + 131).minute_used == 0
    after.close()


def test_old_calls_do_not_count_after_the_machine_was_off(tmp_path: Path) -> None:
    before = SqliteFile(tmp_path / "limits.db", boot="one", owner="old")
    place = before.take(KEY, ACCOUNT, "bulk", LIMITS, 5000.0, 1e9)
    assert not isinstance(place, Denial)
    before.settle(KEY, ACCOUNT, place, Ending("replied"), LIMITS, 5000.0, 1e9)
    before.close()
    after = SqliteFile(tmp_path / "limits.db", boot="two", owner="new")
    assert after.snapshot(KEY, ACCOUNT, LIMITS, 20.0, 1e9 + 80_000).minute_used == 0
    after.close()


def test_places_of_an_unknown_owner_expire(tmp_path: Path) -> None:
    path, limits = tmp_path / "limits.db", Limits(in_flight=1)
    away = SqliteFile(path, boot="one", owner="away")
    here = SqliteFile(path, boot="one", owner="here", alive=lambda _: None)
    away.take(KEY, ACCOUNT, "bulk", limits, 1000.0, 1e9)
    assert here.take(KEY, ACCOUNT, "bulk", limits, 1299.0, 1e9) == Denial("in_flight", None)
    assert here.take(KEY, ACCOUNT, "bulk", limits, 1331.0, 1e9) == 2
    for file in (away, here):
        file.close()


async def test_a_call_cancelled_inside_the_ledger_leaves_no_place_behind(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "limits.db")
    limiter = make(ledger, Limits(limit=50, burst=50))
    for steps in range(30):
        asking = asyncio.ensure_future(limiter.admit(max_wait=None))
        for _ in range(steps % 6):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await asking).unsent()
    seen = await limiter.snapshot()
    assert (seen.minute_used, seen.in_flight, seen.day_used) == (0, 0, 0)
    await ledger.close()


async def test_settling_takes_effect_if_its_caller_is_cancelled(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "limits.db")
    limiter = make(ledger)
    slot = await limiter.admit()
    settling = asyncio.ensure_future(slot.replied())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    seen = await limiter.snapshot()
    assert (seen.minute_used, seen.in_flight) == (1, 0)
    await ledger.close()


async def test_closing_finishes_cancelled_work_and_can_be_repeated(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "limits.db")
    asking = asyncio.ensure_future(make(ledger).admit())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await ledger.close()
    await ledger.close()
    updated = SqliteLedger(tmp_path / "limits.db")
    assert (await make(updated).snapshot()).in_flight == 0
    await updated.close()


async def test_a_place_that_another_process_frees_is_found(tmp_path: Path) -> None:
    limits = Limits(in_flight=1)
    other = SqliteFile(tmp_path / "limits.db")
    place = other.take(KEY, ACCOUNT, "bulk", limits, time.monotonic(), time.time())
    assert not isinstance(place, Denial)
    ledger = SqliteLedger(tmp_path / "limits.db")
    ledger.poll = 3600.0  # so that only the file watch wakes it
    waiting = asyncio.ensure_future(make(ledger, limits).admit(max_wait=30.0))
    while not (await make(ledger, limits).snapshot()).waiting["interactive"]:
        pass
    ending = Ending("replied")
    other.settle(KEY, ACCOUNT, place, ending, limits, time.monotonic(), time.time())
    await (await waiting).replied()
    other.close()
    await ledger.close()


async def test_a_path_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = SqliteLedger(tmp_path / "file" / "limits.db")
    with pytest.raises(ConfigurationError, match="cannot keep the limits in"):
        await make(ledger).admit()
    await ledger.close()


async def test_a_file_that_is_not_a_ledger_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    path.write_text("this is not a database at all, only some text of some length" * 20)
    ledger = SqliteLedger(path)
    with pytest.raises(ConfigurationError, match="cannot keep the limits in"):
        await make(ledger).admit()
    await ledger.close()


def test_a_ledger_of_another_version_is_reported(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "limits.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    file = SqliteFile(path)
    with pytest.raises(ConfigurationError, match="layout"):
        file.take(KEY, ACCOUNT, "bulk", LIMITS, 1.0, 1.0)


def test_a_process_is_alive_and_ended_ones_are_not() -> None:
    me = machine.this_process()
    assert machine.alive(me) is True
    gone = subprocess.run(
        [
            sys.executable,
            "-c",
            "from zoho_async.limits import machine as m;print(m.this_process())",
        ],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ).stdout.strip()
    assert machine.alive(gone) is False
    assert machine.alive("elsewhere/1/2") is None
    assert machine.boot_id() == machine.boot_id()
