"""Telling those who wait when another process has changed the ledger's file.

SQLite has no way to tell, but a cheap one to ask: a number in shared memory that changes with every
transaction of somebody else. One thread asks for it, and only while somebody waits for what nobody
can know the time of. It asks often at first and then the more rarely the longer nothing happened,
so that what is lost by asking late is about a hundredth of what was waited anyhow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from zoho_async.errors import ConfigurationError, LedgerError
from zoho_async.fork import Process

#: Seconds between two looks, at first and at most, and what part of the time waited.
SHORTEST: Final = 0.002
LONGEST: Final = 0.05
PART: Final = 0.01
#: Seconds for which the thread stays when nobody watches: mostly the next one soon will.
STAYS: Final = 1.0


class Watched(Protocol):
    """What has a number that changes when others write."""

    def version(self) -> int: ...

    def close(self) -> None: ...


class FileWatch:
    """Calls everyone who was added, from its thread, whenever the file's version changes."""

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
        """A forked process has neither the thread of its parent nor those who waited there."""
        if self._process.changed():
            self._begin()

    def add(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called on changes until what this returns is called."""
        self._check_process()
        token = object()
        with self._changed:
            self._watchers[token] = wake
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._look, name="zoho-limits watch", daemon=True
                )
                self._thread.start()

        changed, watchers = self._changed, self._watchers

        def forget() -> None:
            with changed:
                watchers.pop(token, None)

        return forget

    def close(self) -> None:
        """End the thread, which takes no longer than one look."""
        self._check_process()
        with self._changed:
            thread = self._thread
            self._closing = thread is not None
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _look(self) -> None:
        file = self._opened()  # its own, because the one before may be closing
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
        """Until the next look; False when there shall be none."""
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
    """None where the file cannot be read, which whoever asks for a place is told of."""
    try:
        return file.version()
    except (ConfigurationError, LedgerError):
        return None
