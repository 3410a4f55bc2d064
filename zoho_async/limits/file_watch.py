"""Wake waiters when another process changes the ledger's file.

SQLite does not notify, but reading its ``data_version`` is cheap: a number in shared memory that
changes with every transaction of another connection. One thread reads it while there are watchers.
It reads often at first, and less often the longer nothing changes, so that the delay is about a
hundredth of the time waited.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.fork import Process

#: Seconds between two checks: the shortest, the longest, and the share of the time waited.
SHORTEST: Final = 0.002
LONGEST: Final = 0.05
PART: Final = 0.01
#: Seconds that the thread stays without watchers, because a new one often comes soon.
STAYS: Final = 1.0


class Watched(Protocol):
    """A file with a number that changes when others write."""

    def version(self) -> int: ...

    def close(self) -> None: ...


class FileWatch:
    """Calls all watchers, from its own thread, whenever the file's version changes."""

    def __init__(self, opened: Callable[[], Watched]) -> None:
        self._opened: Final = opened
        self._process: Final = Process()
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._watchers: dict[object, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None
        self._closing = False

    def _check_process(self) -> None:
        """Start fresh in a forked process, which has neither the thread nor the watchers."""
        if self._process.changed():
            self._begin()

    def add(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` on changes. Returns a function that stops it."""
        self._check_process()
        token = object()
        with self._changed:
            self._watchers[token] = wake
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="zoho-limits watch", daemon=True
                )
                self._thread.start()

        changed, watchers = self._changed, self._watchers

        def forget() -> None:
            with changed:
                watchers.pop(token, None)

        return forget

    def close(self) -> None:
        """End the thread, which takes no longer than one check."""
        self._check_process()
        with self._changed:
            thread = self._thread
            self._closing = thread is not None
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        file = self._opened()  # a new one, because the one before may be closing
        version: int | None = None
        since = time.monotonic()
        try:
            while self._wait(since):
                now = _version(file)
                if now != version:
                    version, since = now, time.monotonic()
                    with self._changed:
                        watchers = tuple(self._watchers.values())
                    for wake in watchers:
                        wake()
        finally:
            file.close()

    def _wait(self, since: float) -> bool:
        """Wait until the next check. Returns False if the thread should end."""
        with self._changed:
            if self._watchers and not self._closing:
                quiet = PART * (time.monotonic() - since)
                self._changed.wait(min(max(SHORTEST, quiet), LONGEST))
            elif not self._closing:
                self._changed.wait_for(lambda: self._closing or self._watchers, STAYS)
            if self._closing or not self._watchers:
                self._thread = None
                self._closing = False
                return False
            return True


def _version(file: Watched) -> int | None:
    """Return the version, or None if the file cannot be read; the next `take` raises the error."""
    try:
        return file.version()
    except (ConfigurationError, LedgerError):
        return None
