"""Persistence of written records: in memory and, if there is a file, in SQLite.

A value (bytes) has a place (a collection of an organization) and an item (a record's number). The
file is read once, when it is opened. Later writes go in order through a background thread, so that
no request waits for the disk. `close` returns after the last write is on disk. A process that is
killed loses at most the writes of its last moments. `entries` are what a snapshot saves.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

_TABLE: Final = """create table if not exists kept (
    place text not null, item text not null, value blob not null, primary key (place, item)
) without rowid"""


class Persistence:
    """Written values by place and item: in memory and, if there is a file, on disk.

    ``entries`` are values that exist from the start, without a file.

    Raises `sqlite3.Error` if ``file`` cannot be opened or is not a database.
    """

    def __init__(
        self, file: Path | None = None, entries: Iterable[tuple[str, str, bytes]] = ()
    ) -> None:
        self._known: dict[str, dict[str, bytes]] = {}
        for place, item, value in entries:
            self._known.setdefault(place, {})[item] = value
        self._file: Final = file
        self._waiting: queue.SimpleQueue[tuple[str, str, bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if file is not None:
            self._read(file)

    def place(self, place: str) -> Mapping[str, bytes]:
        """The present values of a place."""
        return self._known.get(place, {})

    def entries(self) -> Iterator[tuple[str, str, bytes]]:
        """All values with place and item, sorted by both."""
        for place, values in sorted(self._known.items()):
            for item, value in sorted(values.items()):
                yield place, item, value

    def put(self, place: str, item: str, value: bytes) -> None:
        """Store a value; it replaces an earlier one of the same item."""
        self._known.setdefault(place, {})[item] = value
        if self._file is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="sandbox-keep", daemon=True)
            self._thread.start()
        self._waiting.put((place, item, value))

    def close(self) -> None:
        """Wait until every write is on disk. The object can be used again afterwards."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _read(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(_TABLE)
            connection.commit()
            for place, item, value in connection.execute("select place, item, value from kept"):
                self._known.setdefault(place, {})[item] = value

    def _write(self) -> None:
        assert self._file is not None
        with closing(sqlite3.connect(self._file)) as connection:
            while (entry := self._waiting.get()) is not None:
                batch = [entry]
                ended = False
                while not self._waiting.empty() and not ended:
                    following = self._waiting.get()
                    ended = following is None
                    if following is not None:
                        batch.append(following)
                with connection:
                    connection.executemany("insert or replace into kept values (?, ?, ?)", batch)
                if ended:
                    return
