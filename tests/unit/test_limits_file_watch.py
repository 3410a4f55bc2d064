"""A watch calls its watchers when the file's version changes, and ends its thread when asked."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from zoho_async.errors import LedgerError
from zoho_async.limits import file_watch
from zoho_async.limits.database import LedgerDatabase
from zoho_async.limits.file_watch import FileWatch


class File:
    """A file whose version the test sets."""

    def __init__(self) -> None:
        self.now = 1
        self.read = threading.Semaphore(0)
        self.closed = 0
        self.away = False

    def version(self) -> int:
        self.read.release()
        if self.away:
            raise LedgerError("the file is away")
        return self.now

    def close(self) -> None:
        self.closed += 1

    def wait_for_reads(self, count: int) -> None:
        for _ in range(count):
            assert self.read.acquire(timeout=5)


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "zoho-limits watch"]


@pytest.mark.timeout(10)
def test_watchers_are_called_for_each_change_until_they_leave() -> None:
    file, called = File(), threading.Semaphore(0)
    watch = FileWatch(lambda: file)
    forget = watch.add(called.release)
    assert [each.daemon for each in threads()] == [True]
    assert called.acquire(timeout=5)  # the first version is a change
    file.now = 2
    assert called.acquire(timeout=5)
    file.away = True  # a file that cannot be read is a change, too: its error is for the waiters
    assert called.acquire(timeout=5)
    file.wait_for_reads(5)
    assert not called.acquire(blocking=False)  # no change, no call
    forget()
    watch.close()
    file.away = False
    assert not called.acquire(blocking=False)
    assert (threads(), file.closed) == ([], 1)


@pytest.mark.timeout(10)
def test_a_thread_without_watchers_is_woken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a new watcher and by the end, however long it would stay."""
    monkeypatch.setattr(file_watch, "STAYS", 3600.0)
    file, called = File(), threading.Semaphore(0)
    watch = FileWatch(lambda: file)
    watch.add(called.release)()
    (thread,) = threads()
    forget = watch.add(called.release)
    file.now = 2
    assert called.acquire(timeout=5)
    assert threads() == [thread]
    forget()
    watch.close()
    assert threads() == []


def test_the_version_of_a_ledger_changes_with_the_writes_of_others(tmp_path: Path) -> None:
    here, there = (LedgerDatabase(tmp_path / "limits.db", "boot") for _ in range(2))
    first = here.version()
    with there.transaction(time.monotonic(), time.time()) as connection:
        connection.execute("INSERT INTO usage (key, state) VALUES ('a', x'')")
    second = here.version()
    assert second > first
    with here.transaction(time.monotonic(), time.time()) as connection:
        connection.execute("UPDATE usage SET state = x'01'")
    assert here.version() == second  # its own writes are no news
    here.close()
    there.close()
